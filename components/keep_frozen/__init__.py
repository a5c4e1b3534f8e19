"""The keep_frozen step."""
