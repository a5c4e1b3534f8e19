"""Causal language models: what they read, how they are trained, scored and asked to write."""
