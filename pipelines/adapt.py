"""The one definition of the adaptation DAG.

``python -m pipelines.adapt`` compiles it to the IR that the wheel carries; ``--check`` fails when that file is stale.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from kfp import compiler, dsl

from components.baseline.component import baseline
from components.decide.component import decide
from components.evaluate.component import evaluate
from components.finetune.component import finetune
from components.gap.component import gap
from components.ingest.component import ingest
from components.keep_frozen.component import keep_frozen
from components.register.component import register

COMPILED = Path(__file__).parents[1] / "src" / "acclimate" / "pipelines" / "adapt.yaml"


def uncached(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Switch KFP's cache off: it does not see our code, so our manifests are the only cache."""
    return task.set_caching_options(False)


@dsl.pipeline(name="acclimate-adapt", description="Adapt a pretrained model to your own data, from evidence.")
def adapt(request: str, run_id: str) -> str:
    """Ingest, gap, baseline, decide, finetune where it pays, evaluate, register.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run's folder in the workspace.
    """
    common = {"request": request, "run_id": run_id}
    data = uncached(ingest(**common)).output
    distance = uncached(gap(**common, data=data)).output
    frozen = uncached(baseline(**common, data=data)).output
    decision = uncached(decide(**common, data=data, gap=distance, baseline=frozen))
    with dsl.If(decision.outputs["action"] == "finetune", name="fine-tuning-pays"):
        trained = uncached(finetune(**common, data=data, baseline=frozen, decision=decision.outputs["folder"]))
    with dsl.Else(name="frozen-is-enough"):
        kept = uncached(keep_frozen(baseline=frozen))
    candidate = dsl.OneOf(trained.output, kept.output)
    evaluation = uncached(evaluate(**common, data=data, baseline=frozen, candidate=candidate))
    registration = register(
        **common,
        data=data,
        gap=distance,
        baseline=frozen,
        decision=decision.outputs["folder"],
        candidate=candidate,
        evaluation=evaluation.output,
    )
    return uncached(registration).output


def compile_to(path: Path) -> None:
    """Write the compiled pipeline."""
    compiler.Compiler().compile(adapt, str(path))


def main() -> int:
    """Compile, or check that the compiled file is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 when the compiled file is stale")
    if not parser.parse_args().check:
        COMPILED.parent.mkdir(exist_ok=True)
        compile_to(COMPILED)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "adapt.yaml"
        compile_to(fresh)
        if COMPILED.is_file() and fresh.read_bytes() == COMPILED.read_bytes():
            return 0
    sys.stderr.write(f"{COMPILED} is stale: run make compile\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
