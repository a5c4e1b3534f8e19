"""Torch and transformers: source models, heads, pooling, training."""
