"""Settings (where) and Params (what to compute)."""
