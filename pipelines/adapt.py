"""The one definition of the adaptation DAG.

KFP's local runner finds the value of a lone ``If`` only among the parameters of the pipeline around it, and takes the
condition for false otherwise. So what a condition guards is a nested pipeline that is given the value.
"""

from kfp import dsl

from components.baseline.component import baseline
from components.decide.component import decide
from components.evaluate.component import evaluate
from components.finetune.component import finetune
from components.finish.component import finish
from components.gap.component import gap
from components.ingest.component import ingest
from components.keep_frozen.component import keep_frozen
from components.register.component import register
from pipelines.settings import CONFIG, placed


@dsl.pipeline(name="adaptation")
def adaptation(request: str, run_id: str, data: str, follow: str) -> None:
    """All that follows ingest, unless another run makes the same adaptation already.

    Args:
        request: the adaptation as JSON.
        run_id: names this run's folder in the workspace.
        data: reference of the ingested data.
        follow: the other run, or an empty string.
    """
    common = {"request": request, "run_id": run_id}
    with dsl.If(follow == "", name="nobody-else-does-it"):
        distance = placed(gap(**common, data=data)).outputs["Output"]
        frozen = placed(baseline(**common, data=data)).outputs["Output"]
        decision = placed(decide(**common, data=data, gap=distance, baseline=frozen))
        with dsl.If(decision.outputs["action"] == "finetune", name="fine-tuning-pays"):
            trained = placed(finetune(**common, data=data, baseline=frozen, decision=decision.outputs["folder"]))
        with dsl.Else(name="frozen-is-enough"):
            kept = placed(keep_frozen(baseline=frozen))
        candidate = dsl.OneOf(trained.outputs["Output"], kept.output)
        evaluation = placed(evaluate(**common, data=data, baseline=frozen, candidate=candidate))
        placed(
            register(
                **common,
                data=data,
                gap=distance,
                baseline=frozen,
                decision=decision.outputs["folder"],
                candidate=candidate,
                evaluation=evaluation.outputs["Output"],
            )
        )


def adapting(request: str, run_id: str) -> None:
    """Add ingest and all that follows it to the pipeline being defined."""
    data = placed(ingest(request=request, run_id=run_id))
    rest = adaptation(request=request, run_id=run_id, data=data.outputs["folder"], follow=data.outputs["follow"])
    rest.set_caching_options(False)


@dsl.pipeline(
    name="acclimate-adapt",
    description="Adapt a pretrained model to your own data, from evidence.",
    pipeline_config=CONFIG,
)
def adapt(request: str, run_id: str = "") -> None:
    """Ingest, gap, baseline, decide, finetune where it pays, evaluate, register; the report at the end of every run.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run's folder in the workspace; empty: KFP's own run id.
    """
    with dsl.ExitHandler(placed(finish(request=request, run_id=run_id)), name="reported"):
        adapting(request, run_id)
