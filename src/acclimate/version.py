"""The version of acclimate: one for wheel, image and chart."""

__version__ = "0.1.0"
