"""The ``decide`` stage as a KFP component: one import, one call."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def decide(request: str, run_id: str, data: str, gap: str, baseline: str) -> NamedTuple(
    "Decided", [("folder", str), ("action", str)]
):
    """Decide from the evidence whether and how to fine-tune."""
    from acclimate.steps import run_decide

    return run_decide(request, run_id, data=data, gap=gap, baseline=baseline)
