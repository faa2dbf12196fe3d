"""What the stage `evaluate` reads and writes: its inputs checked (inputs), its tables built (tables)."""
