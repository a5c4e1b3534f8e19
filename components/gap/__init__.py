"""The gap step."""
