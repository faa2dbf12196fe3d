"""What the stages `train_base` and `train_search` do once there is something to do; imports torch."""
