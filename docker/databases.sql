-- The first database, airflow, is made by the image.
CREATE DATABASE mlflow;
