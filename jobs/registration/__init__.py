"""What `register_model` writes to MLflow: the record of the night, the model card, the check of the version."""
