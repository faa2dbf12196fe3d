"""What `evaluate_similar` reads and writes: pictures hashed, truths and arms read and checked, tables built."""
