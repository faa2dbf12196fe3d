"""What `evaluate` reads and writes: inputs checked, queries sliced (segments) and pooled (by_query), tables built."""
