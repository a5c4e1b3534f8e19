"""The ``finetune`` stage as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def finetune(
    request: str, run_id: str, data: str, baseline: str, decision: str, metrics: dsl.Output[dsl.Metrics]
) -> str:
    """Train the arms the decision asks for and pick one.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run in the workspace; empty: KFP's own run id.
        data: reference of the ingested data.
        baseline: reference of the baseline.
        decision: reference of the decision.
        metrics: the stage's main numbers, for KFP's own page.

    Returns:
        The chosen model's reference.
    """
    from acclimate.steps import run_step

    return run_step("finetune", request, run_id, {"metrics": metrics}, data=data, baseline=baseline, decision=decision)
