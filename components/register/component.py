"""The ``register`` stage as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(
    request: str, run_id: str, data: str, gap: str, baseline: str, decision: str, candidate: str, evaluation: str
) -> str:
    """Pass the gate and register the model with its lineage."""
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
