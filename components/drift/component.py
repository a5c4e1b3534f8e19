"""Measuring drift by itself as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def drift(request: str, run_id: str, metrics: dsl.Output[dsl.Metrics]) -> str:
    """Measure how far fresh rows lie from what the champion was trained on.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run in the workspace; empty: KFP's own run id.
        metrics: the stage's main numbers, for KFP's own page.

    Returns:
        The drift report's reference.
    """
    from acclimate.steps import run_drift

    return run_drift(request, run_id, {"metrics": metrics})
