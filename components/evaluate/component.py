"""The ``evaluate`` stage as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(request: str, run_id: str, data: str, baseline: str, candidate: str) -> str:
    """Judge the candidate on the test split."""
    from acclimate.steps import run_step

    return run_step("evaluate", request, run_id, data=data, baseline=baseline, candidate=candidate)
