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
from acclimate.errors import ConfigError, ModelError
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import TrainJob, TrainResult
from acclimate.nn.layer_groups import layer_groups
from acclimate.nn.model import AdaptedModel
from acclimate.nn.penalties import Start, penalties_of
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


def test_gradual_opens_all_groups_before_patience_ends_it(make_job: MakeJob) -> None:
    """A rate too small to change a prediction: each epoch is a stall."""
    job = make_job("gradual", epochs=20, patience=2, settings={"learning_rate": 1e-7})
    result, _ = trained_by(job)
    groups = len(layer_groups(build(job)[1].encoder))
    assert [point.open_groups for point in result.history] == [1, *range(1, groups + 1), groups]


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


def test_lora_adapts_the_layers_that_are_named(make_job: MakeJob, tmp_path: Path) -> None:
    """By the ends of their names, as peft has them; what was trained on them alone is merged into them alone."""
    job = make_job("lora", epochs=1)
    job = replace(job, settings={**job.settings, "targets": ["query", "output.dense", "layer.1.intermediate.dense"]})
    named = dict(Encoder.load(job.source, precision="fp32").module.named_parameters())
    adapts = {
        f"encoder.layer.{i}.{name}.weight"
        for i in range(2)
        for name in ("attention.self.query", "attention.output.dense", "output.dense")
    } | {"encoder.layer.1.intermediate.dense.weight"}
    lora = {key.partition(".lora_")[0] for key in trainable(build(job)[1]) if key.startswith("encoder.")}
    assert {f"{layer.removeprefix('encoder.base_model.model.')}.weight" for layer in lora} == adapts
    result, trained = trained_by(job)
    after = dict(trained.encoder.module.named_parameters())
    assert {key for key, value in named.items() if not torch.equal(value, after[key])} == adapts
    merged = adapted(job, trained).logits(job.validation.inputs)
    np.testing.assert_allclose(merged, result.validation_outputs, atol=1e-4)


@pytest.mark.parametrize("target", ["querry", "uery", "attention.self", "word_embeddings", "LayerNorm", ""])
def test_lora_refuses_what_is_the_name_of_no_linear_layer(target: str, make_job: MakeJob) -> None:
    job = make_job("lora")
    with pytest.raises(ConfigError) as caught:
        build(replace(job, settings={**job.settings, "targets": ["value", target]}))
    assert (caught.value.code, caught.value.where) == ("E-TRAIN-038", "finetune.lora.targets")
    assert str(caught.value).endswith(f" {target}")
    assert caught.value.hint == "their names end in dense, key, query, value"


def test_what_lora_adapts_is_part_of_a_training(make_job: MakeJob) -> None:
    job = make_job("lora")
    digests = {
        replace(job, settings={**job.settings, **more}).digest()
        for more in ({}, {"targets": ["query"]}, {"targets": ["query", "value"]})
    }
    assert len(digests) == 3


def with_new_layers(job: TrainJob, layers: int) -> TrainJob:
    return replace(job, settings={**job.settings, "reinitialise": layers})


@pytest.mark.parametrize("layers", [1, 2])
def test_full_may_start_from_random_top_layers(layers: int, make_job: MakeJob) -> None:
    """As the architecture draws them, from the job's seed; what lies below is the source's, the head not the probe."""
    job = with_new_layers(make_job(), layers)
    start, again, other = (build(one)[1].state_dict() for one in (job, job, replace(job, seed=1)))
    source = build(make_job())[1].state_dict()
    anew = tuple(f"encoder.encoder.layer.{i}." for i in range(2 - layers, 2))
    for key, value in start.items():
        assert torch.equal(value, again[key])
        if value.ndim > 1 and key.startswith((*anew, "head.")):
            assert not torch.allclose(value, source[key])
            assert not torch.allclose(value, other[key])
        elif not key.startswith("head."):
            assert torch.equal(value, source[key]), key
    made = torch.cat([v.flatten() for k, v in start.items() if k.startswith(anew) and v.ndim > 1])
    assert float(made.std()) == pytest.approx(0.02, rel=0.05)
    result, trained = trained_by(job)
    now = adapted(job, trained).logits(job.validation.inputs)
    np.testing.assert_allclose(now, result.validation_outputs, atol=1e-4)


def test_l2_sp_holds_random_top_layers_to_where_they_start(make_job: MakeJob) -> None:
    job = with_new_layers(make_job(), 1)
    encoder, model = build(job)
    shared = {name: value for name, value in trainable(model).items() if name.startswith("encoder.")}
    penalties = penalties_of(Start(replace(job, settings={**job.settings, "l2_sp": 1.0}), encoder, model, shared))
    assert float(penalties.of_weights[0]().detach()) == 0.0


def test_no_more_layers_are_made_anew_than_there_are(make_job: MakeJob) -> None:
    with pytest.raises(ConfigError) as caught:
        build(with_new_layers(make_job(), 3))
    assert (caught.value.code, caught.value.where) == ("E-TRAIN-039", "finetune.full.reinitialise")
    assert caught.value.hint == "write at most 2"
