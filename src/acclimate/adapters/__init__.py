"""The only importers of boto3, mlflow, ray and kfp; they implement the ports."""
