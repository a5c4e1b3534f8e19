"""The decide step."""
