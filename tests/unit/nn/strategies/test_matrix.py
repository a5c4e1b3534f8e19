"""Every registered strategy on every form of encoder: all checks of :mod:`tests.strategy_matrix` that apply."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from acclimate.errors import ModelError
from acclimate.nn.job import TrainJob
from acclimate.nn.strategies import STRATEGIES, Settings
from acclimate.nn.strategies.strategy import Form, nothing_to_merge
from acclimate.nn.trainable import Trainable
from acclimate.nn.training_model import build
from tests import strategy_matrix
from tests.conftest import write_tiny_source
from tests.small_jobs import image_job, text_job
from tests.strategy_matrix import Case, checks_of
from tests.toy_images import write_image_source

TESTS = Path(__file__).parents[3]
ROOT = TESTS.parent
#: Of its real size; DELTA asks what each of its thousands of channels is good for.
DEEP = "efficientnet-lite"
#: A source model of each form; of maps one from transformers and one from a package.
FORMS: dict[str, Form] = {"bert": "text", "vit": "patches", "resnet": "map", DEEP: "map"}
QUICK = (strategy_matrix.starts_at_the_probe, strategy_matrix.what_is_stored_computes_what_was_trained)
CaseOf = Callable[[str, str], Case]


def cells() -> Iterator[Any]:
    """Every source, strategy and check that go together."""
    for kind, name in working():
        for check in checks_of(name):
            if kind == DEEP and check is strategy_matrix.composes_with_penalties:
                continue
            is_map = FORMS[kind] == "map"
            marks = [pytest.mark.slow] if is_map and check not in QUICK else []
            yield pytest.param(kind, name, check, id=f"{kind}-{name}-{check.__name__}", marks=marks)


def working() -> list[tuple[str, str]]:
    """Every source and a strategy that trains it."""
    return [(kind, name) for kind, form in FORMS.items() for name, one in STRATEGIES.items() if one.works_on(form)]


@pytest.fixture(scope="module")
def case_of(tmp_path_factory: pytest.TempPathFactory) -> CaseOf:
    """``case_of(kind, strategy)``: what it trains is trained once for all its checks."""
    root, made, known = tmp_path_factory.mktemp("matrix"), count(), {}
    sources = {
        kind: write_tiny_source(root / kind) if kind == "bert" else write_image_source(root / kind, kind)
        for kind in FORMS
    }

    def found(kind: str, name: str) -> Case:
        def make(strategy: str, **changes: Any) -> TrainJob:
            job_of = text_job if kind == "bert" else image_job
            return job_of(sources[kind], root / f"job-{next(made)}", strategy, **changes)

        return known.setdefault((kind, name), Case(name, make))

    return found


@pytest.mark.parametrize(("kind", "name", "check"), cells())
def test_a_strategy_passes(kind: str, name: str, check: Callable[[Case], None], case_of: CaseOf) -> None:
    check(case_of(kind, name))


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in FORMS for name in STRATEGIES if (kind, name) not in working()]
)
def test_a_strategy_that_does_not_suit_the_encoder_is_refused(kind: str, name: str, case_of: CaseOf) -> None:
    with pytest.raises(ModelError) as caught:
        build(case_of(kind, name).job)
    assert caught.value.code == "E-MODEL-024"
    assert name in str(caught.value)


@pytest.mark.parametrize(("kind", "copied"), [("bert", "full"), ("resnet", "lora"), ("bert", "adapter")])
def test_a_strategy_gets_all_of_it_by_being_registered(
    kind: str, copied: str, case_of: CaseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy under a name that no list knows."""
    name = f"{copied}_anew"
    monkeypatch.setitem(STRATEGIES, name, replace(STRATEGIES[copied], name=name))
    of_copy, of_copied = ([cell.values for cell in cells() if cell.values[1] == one] for one in (name, copied))
    assert [(k, check) for k, _, check in of_copy] == [(k, check) for k, _, check in of_copied]
    checks = [check for k, _, check in of_copy if k == kind]
    assert len(checks) >= 7
    for check in checks:
        check(case_of(kind, name))


def test_a_strategy_that_does_not_keep_its_word_is_found(case_of: CaseOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says it trains additions only and moves the source's weights, and one that forgets to merge."""
    lora = STRATEGIES["lora"]
    monkeypatch.setitem(STRATEGIES, "unmerged", replace(lora, name="unmerged", merge=nothing_to_merge))
    with pytest.raises(AssertionError):
        strategy_matrix.what_is_merged_is_a_plain_model(case_of("bert", "unmerged"))
    monkeypatch.setitem(STRATEGIES, "moved", replace(lora, name="moved", prepare=_moved))
    for check in (strategy_matrix.starts_at_the_probe, strategy_matrix.moves_what_is_trained_and_nothing_else):
        with pytest.raises(AssertionError):
            check(case_of("bert", "moved"))


def _moved(model: Trainable, settings: Settings) -> None:
    """Prepare: as lora does, on a weight that is no longer the source's."""
    with torch.no_grad():
        model.encoder.embeddings.word_embeddings.weight.mul_(-2.0)
    STRATEGIES["lora"].prepare(model, settings)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_other_tests_of_strategies_take_a_new_one_too() -> None:
    """Gradients, workers, bfloat16, language models: whatever is named after a strategy, run by another pytest."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.registered_anew", "-p", "no:cacheprovider", "-k", "anew"]
    done = subprocess.run([*command, str(TESTS / "unit" / "nn")], check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 80
