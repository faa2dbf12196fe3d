"""The pipeline: stages, the command line, and what they stand on."""
