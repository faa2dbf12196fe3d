"""Making room, forgetting a visitor, and saying what a thing was made from."""
