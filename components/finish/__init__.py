"""The finish step."""
