"""Commands that work on a cluster: submit, schedule, list and cancel runs on Kubeflow Pipelines."""
