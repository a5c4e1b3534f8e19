"""The ``gap`` stage as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gap(request: str, run_id: str, data: str, metrics: dsl.Output[dsl.Metrics]) -> str:
    """Measure how far the target lies from the source domain.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run in the workspace; empty: KFP's own run id.
        data: reference of the ingested data.
        metrics: the stage's main numbers, for KFP's own page.

    Returns:
        The gap report's reference.
    """
    from acclimate.steps import run_step

    return run_step("gap", request, run_id, {"metrics": metrics}, data=data)
