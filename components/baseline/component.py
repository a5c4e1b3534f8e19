"""The ``baseline`` stage as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def baseline(request: str, run_id: str, data: str) -> str:
    """Fit and score the frozen baseline and its controls."""
    from acclimate.steps import run_step

    return run_step("baseline", request, run_id, data=data)
