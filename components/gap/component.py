"""The ``gap`` stage as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gap(request: str, run_id: str, data: str) -> str:
    """Measure how far the target lies from the source domain."""
    from acclimate.steps import run_step

    return run_step("gap", request, run_id, data=data)
