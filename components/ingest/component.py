"""The ``ingest`` stage as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(request: str, run_id: str) -> str:
    """Read, check, deduplicate and split the data."""
    from acclimate.steps import run_step

    return run_step("ingest", request, run_id)
