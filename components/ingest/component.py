"""The ``ingest`` stage as a KFP component: one import, one call."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(request: str, run_id: str) -> NamedTuple("Ingested", [("folder", str), ("follow", str)]):
    """Read, check, deduplicate and split the data.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run in the workspace; empty: KFP's own run id.

    Returns:
        folder: reference of the ingested data.
        follow: the run that makes this adaptation already; empty where none does.
    """
    from acclimate.steps import run_ingest

    return run_ingest(request, run_id)
