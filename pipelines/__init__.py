"""The pipelines: which stage follows which, and how they are compiled."""
