"""The ``finetune`` stage as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def finetune(request: str, run_id: str, data: str, baseline: str, decision: str) -> str:
    """Train the arms the decision asks for and pick one."""
    from acclimate.steps import run_step

    return run_step("finetune", request, run_id, data=data, baseline=baseline, decision=decision)
