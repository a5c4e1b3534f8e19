"""The first step of a retraining as a KFP component: one import, one call."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def check(request: str, run_id: str) -> NamedTuple("Checked", [("folder", str), ("action", str), ("request", str)]):
    """Decide whether there is a reason to train again, and record it.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run in the workspace; empty: KFP's own run id.

    Returns:
        folder: reference of the decision to train again or not.
        action: the branch to take, ``retrain`` or ``nothing``.
        request: the adaptation with the model that training starts from settled.
    """
    from acclimate.steps import run_check

    return run_check(request, run_id)
