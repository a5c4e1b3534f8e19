"""Who is compared in ``benchmarks/recipes.py``: each trains from a table to a saved model in a process of its own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.outcome import GATE_REFUSED
from acclimate.stage_work.training import candidate_of

HERE = Path(__file__).parent
OURS, SETFIT, TRAINER = "ours", "setfit", "trainer"
SETFIT_VERSION = "1.2."
SETFIT_PACKAGES = "'setfit==1.2.*' 'transformers<5' 'sentence-transformers<5' 'torch==2.13.0'"
HOW_TO_MAKE = f"""make one with
    python3.11 -m venv FOLDER && FOLDER/bin/pip install {SETFIT_PACKAGES}
and name it by --setfit-python FOLDER/bin/python"""
ASKED_OF_SETFIT = """import json, setfit, torch, transformers
print(json.dumps({module.__name__: module.__version__ for module in (setfit, torch, transformers)}))"""


@dataclass(frozen=True)
class Task:
    """What a contender is given.

    Args:
        name: of the data set.
        folder: holds the tables of :func:`benchmarks.recipe_tables.hand_over`; the contender writes here too.
        source: address of the source model, as a configuration names it.
        source_folder: where it lies.
        seed: of everything random.
        at_least: score asked of ours; None asks for none.
    """

    name: str
    folder: Path
    source: str
    source_folder: Path
    seed: int
    at_least: float | None


@dataclass(frozen=True)
class Outcome:
    """What a contender came to: wall seconds, its label of each test row, and for people what it decided."""

    seconds: float
    answers: list[str]
    decided: str


def setfit_versions(python: Path | None) -> dict[str, str]:
    """Versions in SetFit's environment.

    Raises:
        SystemExit: there is no such environment, or not one of SetFit 1.2; says how to make it.
    """
    if python is None:
        raise SystemExit(
            f"SetFit needs older libraries, so an environment of its own: {HOW_TO_MAKE} by --setfit-python"
        )
    try:
        done = subprocess.run([str(python), "-c", ASKED_OF_SETFIT], capture_output=True, text=True, check=False)
    except OSError as error:
        raise SystemExit(f"{python} can't be run ({error.strerror}): {HOW_TO_MAKE}") from error
    if done.returncode:
        says = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SystemExit(f"{python} can't import SetFit ({says}): {HOW_TO_MAKE}")
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    if not found["setfit"].startswith(SETFIT_VERSION):
        raise SystemExit(f"{python} has SetFit {found['setfit']}, compared is {SETFIT_VERSION}x: {HOW_TO_MAKE}")
    return found


def contend(name: str, task: Task, setfit_python: Path | None) -> Outcome:
    """Train, which is timed, then answer the test rows, which isn't."""
    if name == OURS:
        return _ours(task)
    if name == TRAINER:
        return _recipe(task, name, Path(sys.executable), HERE / "recipe_trainer.py")
    assert setfit_python is not None, "asked for before anything is run"
    return _recipe(task, name, setfit_python, HERE / "recipe_setfit.py")


def our_config(task: Task) -> dict[str, Any]:
    """What a user writes: the source, the table and its columns; all else is at its default."""
    goal = {} if task.at_least is None else {"at_least": task.at_least}
    return {
        "name": f"recipes-{task.name}",
        "source": {"model": task.source},
        "target": {"data": "all.csv", "split": "split"},
        "goal": {"metric": "macro_f1", **goal},
        "baseline": {"seed": task.seed},
        "finetune": {"seed": task.seed},
        "evaluate": {"seed": task.seed},
        "workspace": "workspace",
    }


def _ours(task: Task) -> Outcome:
    config = task.folder / "adaptation.yaml"
    # JSON is YAML
    config.write_text(json.dumps(our_config(task), indent=1) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "acclimate", "run", str(config), "--json"]
    seconds, output = _timed(command, task.folder / "ours.log", allowed=(0, GATE_REFUSED))
    summary, out = json.loads(output.splitlines()[-1]), task.folder / "ours-answers.csv"
    workspace = task.folder / "workspace"
    model = summary["model_uri"] or str(_refused_model(workspace))
    command = [sys.executable, "-m", "acclimate", "predict", model, str(task.folder / "test.csv")]
    _timed([*command, "--out", str(out), "--workspace", str(workspace)], task.folder / "ours-answers.log")
    with out.open(encoding="utf-8", newline="") as file:
        answers = [row["predicted"] for row in csv.DictReader(file)]
    decision = summary["decision"]
    chosen = next((arm["strategy"] for arm in summary["arms"] if arm["chosen"]), decision["strategy"])
    return Outcome(seconds, answers, f"{decision['rule']}: {chosen}, {summary['verdict']}")


def _refused_model(workspace: Path) -> Path:
    """The model of a run whose gate let nothing into the registry: it is in the stage's folder all the same."""
    found = [*workspace.glob("stages/finetune/*/manifest.json"), *workspace.glob("stages/baseline/*/manifest.json")]
    (baseline,) = workspace.glob("stages/baseline/*/manifest.json")
    return candidate_of(found[0].parent, baseline.parent).model


def _recipe(task: Task, name: str, python: Path, script: Path) -> Outcome:
    model, out = task.folder / f"{name}-model", task.folder / f"{name}-answers.txt"
    train = [str(python), str(script), "train", str(task.source_folder), str(task.folder / "train.csv"), str(model)]
    seconds, _ = _timed([*train, str(task.seed)], task.folder / f"{name}.log")
    predict = [str(python), str(script), "predict", str(model), str(task.folder / "test.csv"), str(out)]
    _timed(predict, task.folder / f"{name}-answers.log")
    return Outcome(seconds, out.read_text(encoding="utf-8").splitlines(), "")


def _timed(command: Sequence[str], log: Path, allowed: Sequence[int] = (0,)) -> tuple[float, str]:
    """Wall seconds of a process from its start to its end, and what it printed; its stderr is kept in a log.

    Raises:
        SystemExit: it failed; with the end of the log.
    """
    # these settings would lead one process to another's registry or modules
    dropped = {"MLFLOW_TRACKING_URI"} | ({"PYTHONPATH"} if command[0] != sys.executable else set())
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    with log.open("w", encoding="utf-8") as file:
        started = time.perf_counter()
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            check=False,
            env={**environment, "HF_HUB_OFFLINE": "1"},
        )
        seconds = time.perf_counter() - started
    if done.returncode not in allowed:
        tail = (log.read_text(encoding="utf-8") + done.stdout)[-3000:]
        raise SystemExit(f"{' '.join(command[:4])} ... failed with exit code {done.returncode}:\n{tail}")
    return seconds, done.stdout
