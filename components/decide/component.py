"""The ``decide`` stage as a KFP component: one import, one call."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def decide(request: str, run_id: str, data: str, gap: str, baseline: str) -> NamedTuple(
    "Decided", [("folder", str), ("action", str)]
):
    """Decide from the evidence whether and how to fine-tune.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run in the workspace; empty: KFP's own run id.
        data: reference of the ingested data.
        gap: reference of the gap report.
        baseline: reference of the baseline.

    Returns:
        folder: reference of the decision.
        action: the branch to take, ``finetune`` or ``freeze``.
    """
    from acclimate.steps import run_decide

    return run_decide(request, run_id, data=data, gap=gap, baseline=baseline)
