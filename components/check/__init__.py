"""The check step."""
