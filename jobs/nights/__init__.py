"""Which night is meant, running it through Airflow, and summing it up."""
