"""The ``register`` stage as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(
    request: str, run_id: str, data: str, gap: str, baseline: str, decision: str, candidate: str, evaluation: str
) -> str:
    """Pass the gate and register the model with its lineage.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run in the workspace; empty: KFP's own run id.
        data: reference of the ingested data.
        gap: reference of the gap report.
        baseline: reference of the baseline.
        decision: reference of the decision.
        candidate: reference of the model to judge: a fine-tuned one or the frozen baseline.
        evaluation: reference of the evaluation.

    Returns:
        The verdict's reference.
    """
    from acclimate.steps import run_step

    return run_step(
        "register",
        request,
        run_id,
        data=data,
        gap=gap,
        baseline=baseline,
        decision=decision,
        candidate=candidate,
        evaluation=evaluation,
    )
