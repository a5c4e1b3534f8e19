"""What is running: the version of acclimate, one for wheel, image and chart, and on a cluster the image."""

from __future__ import annotations

import os

__version__ = "0.1.0"
# the environment variable that tells a step on a cluster what image it runs in
STEP_IMAGE = "ACCLIMATE_STEP_IMAGE"


def step_image() -> str | None:
    """The image this step runs in; None on a machine of one's own."""
    return os.environ.get(STEP_IMAGE) or None
