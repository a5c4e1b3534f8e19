"""The image of every step; ``acclimate submit`` puts the digest of the released one in its place."""

IMAGE = "acclimate-python:0.1.0"
