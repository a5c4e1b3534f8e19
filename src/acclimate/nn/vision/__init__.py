"""Vision encoders of our own, for weights that transformers has no architecture for."""
