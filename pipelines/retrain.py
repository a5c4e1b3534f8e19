"""The pipeline a schedule runs: adapt again if there is a reason, else end at once."""

from kfp import dsl

from components.check.component import check
from components.finish.component import finish
from pipelines.adapt import adapting
from pipelines.settings import CONFIG, placed


@dsl.pipeline(name="retraining")
def retraining(request: str, run_id: str, action: str) -> None:
    """The adaptation, if the check asks for it.

    Args:
        request: the adaptation as JSON.
        run_id: names this run's folder in the workspace.
        action: what the check decided.
    """
    with dsl.If(action == "retrain", name="there-is-a-reason"):
        adapting(request, run_id)


@dsl.pipeline(
    name="acclimate-retrain",
    description="Look whether data, source or domain have changed, and adapt again where they have.",
    pipeline_config=CONFIG,
)
def retrain(request: str, run_id: str = "") -> None:
    """Check the triggers; where one has fired, the whole adaptation and its gate; the report at the end of every run.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run's folder in the workspace; empty: KFP's own run id.
    """
    with dsl.ExitHandler(placed(finish(request=request, run_id=run_id)), name="reported"):
        checked = placed(check(request=request, run_id=run_id))
        settled, action = checked.outputs["request"], checked.outputs["action"]
        rest = retraining(request=settled, run_id=run_id, action=action)
        rest.set_caching_options(False)
