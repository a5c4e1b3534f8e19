"""What is of single strategies; what all have in common is in :mod:`tests.strategy_matrix`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from acclimate.core.unfreezing import next_opening
from acclimate.errors import ModelError
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import TrainJob, TrainResult
from acclimate.nn.layer_groups import layer_groups
from acclimate.nn.model import AdaptedModel
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.training_model import Trained, build, finish, trainable
from tests.small_jobs import result_of
from tests.strategy_matrix import CARD

MakeJob = Callable[..., TrainJob]


def trained_by(job: TrainJob) -> tuple[TrainResult, Trained]:
    result = result_of(job)
    return result, finish(job, result.weights[0])


def adapted(job: TrainJob, trained: Trained) -> AdaptedModel:
    return AdaptedModel.build(
        trained.encoder, trained.weight, trained.bias, ["a", "b"], strategy=job.strategy, source=CARD
    )


@pytest.mark.parametrize("damage", ["truncated", "kind", "shape", "nan"])
def test_damaged_added_layers_are_refused(damage: str, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job("adapter", epochs=1)
    adapted(job, trained_by(job)[1]).save(tmp_path)
    path = tmp_path / "insert.safetensors"
    tensors = load_file(path)
    described = {"kind": "other" if damage == "kind" else "adapter", "settings": {"bottleneck": 8}}
    if damage == "shape":
        described["settings"] = {"bottleneck": 9}
    if damage == "nan":
        next(iter(tensors.values()))[0] = float("nan")
    save_file(tensors, path, metadata={"insert": json.dumps(described)})
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError) as caught:
        AdaptedModel.load(tmp_path)
    assert caught.value.code in {"E-MODEL-010", "E-MODEL-014", "E-MODEL-022"}


@pytest.mark.parametrize("option", ["rslora", "dora"])
def test_options_of_lora_change_what_is_learnt(option: str, make_job: MakeJob) -> None:
    plain, other = make_job("lora", epochs=1), make_job("lora", epochs=1)
    other = replace(other, settings={**other.settings, option: True})
    results = [trained_by(job) for job in (plain, other)]
    assert not np.allclose(results[0][0].validation_outputs, results[1][0].validation_outputs, atol=1e-4)
    merged = adapted(other, results[1][1]).logits(other.validation.inputs)
    np.testing.assert_allclose(merged, results[1][0].validation_outputs, atol=1e-4)


def test_partial_trains_the_top_and_learns_slower_downwards(make_job: MakeJob) -> None:
    job = make_job("partial")
    for groups, lowest in ((1, "encoder.layer.1."), (2, "encoder.layer.0."), (9, "embeddings.")):
        names = trainable(build(replace(job, settings={"learning_rate": 1e-3, "groups": groups}))[1])
        encoders = [name for name in names if name.startswith("encoder.")]
        assert encoders[0].startswith(f"encoder.{lowest}")
    model = build(job)[1]
    rates = STRATEGIES["full"].rates(model, {"layer_decay": 0.5})
    by_depth = {
        "encoder.embeddings.word_embeddings.weight": 0.25,
        "encoder.encoder.layer.0.output.dense.weight": 0.5,
        "encoder.encoder.layer.1.output.dense.weight": 1.0,
    }
    assert {name: rates[name] for name in by_depth} == by_depth


def test_slower_layers_move_less(make_job: MakeJob) -> None:
    def moved(decay: float) -> float:
        job = make_job("full", epochs=1, settings={"learning_rate": 2e-3, "layer_decay": decay})
        start = Encoder.load(job.source, precision="fp32").module.embeddings.word_embeddings.weight.detach()
        now = trained_by(job)[1].encoder.module.embeddings.word_embeddings.weight.detach()
        return float((now - start).abs().max())

    assert moved(0.1) < 0.1 * moved(1.0)


def test_gradual_opens_groups_from_the_top_and_goes_back(make_job: MakeJob) -> None:
    """A rate so high that it stalls: what opens is what the scores ask for, and a kill changes nothing."""
    job = make_job("gradual", epochs=12, patience=12, settings={"learning_rate": 3e-3})
    result, _ = trained_by(job)
    scores = [point.validation_score for point in result.history]
    groups = len(layer_groups(build(job)[1].encoder))
    expected = [next_opening(scores[:epoch], groups).groups for epoch in range(len(scores))]
    assert [point.open_groups for point in result.history] == expected
    assert max(expected) > 1


def test_lora_trains_few_parameters_on_every_linear_layer(make_job: MakeJob) -> None:
    job = make_job("lora")
    names = trainable(build(job)[1])
    linears = [
        n for n, m in Encoder.load(job.source, precision="fp32").module.named_modules() if type(m) is torch.nn.Linear
    ]
    assert len(linears) == 12
    for linear_name in linears:
        assert {f"encoder.base_model.model.{linear_name}.lora_{side}.default.weight" for side in "AB"} <= names.keys()
    assert len(names) == 2 * len(linears) + 2
