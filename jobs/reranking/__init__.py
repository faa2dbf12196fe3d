"""What `train_reranker` and `evaluate` share: the second stage of a window's searches, read and checked (inputs)."""
