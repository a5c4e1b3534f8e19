"""The exit step as a KFP component: it runs at the end of every run, however that went."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def finish(request: str, run_id: str, page: dsl.Output[dsl.HTML]) -> None:
    """Render the report, store it and release the run's claim.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run in the workspace; empty: KFP's own run id.
        page: the report, for KFP's own page.
    """
    from acclimate import steps

    steps.finish(request, run_id, page.path)
