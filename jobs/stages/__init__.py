"""The night, one module per stage, and their registry."""
