"""What belongs to a running process, whichever stage it runs."""
