"""The checks that every strategy passes, chosen by what the strategy says of itself.

Each takes a :class:`Case`: a strategy on a source model. A strategy gets all that apply by being registered.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch

from acclimate.arms.arm_task import fitting_penalties
from acclimate.errors import ModelError
from acclimate.nn.compute import Compute
from acclimate.nn.encoder import Encoder
from acclimate.nn.inserts import detach
from acclimate.nn.job import TrainJob, TrainResult
from acclimate.nn.layer_groups import layer_groups
from acclimate.nn.model import AdaptedModel, is_batch_norm, linear
from acclimate.nn.penalties import PenaltyBatch, Start, penalties_of
from acclimate.nn.penalties.l2_sp import L2SP
from acclimate.nn.source_card import source_card
from acclimate.nn.step import Rows, Workers, gradients
from acclimate.nn.strategies import STRATEGIES, Strategy
from acclimate.nn.train import finished, train
from acclimate.nn.trainable import Trainable
from acclimate.nn.training_model import Trained, build, finish, trainable
from acclimate.records import SourceCard
from tests.small_jobs import Killed, assert_same, break_off, kill_after, result_of

CARD = SourceCard(
    name="tiny", revision="1", digest="d" * 64, licence="MIT", model_type="tiny", parameters=1, labels=None
)
PENALTIES = {"delta": 0.01, "bss": 0.001, "lwf": 1.0, "l2_sp": 0.01}


class MakeJob(Protocol):
    """Makes equal jobs of one source model, each in a new folder."""

    def __call__(self, strategy: str, **changes: Any) -> TrainJob:
        """A job of a strategy; ``changes`` are of its fields."""


@dataclass(frozen=True)
class Case:
    """A strategy on a source model; what it trains is trained once.

    Args:
        name: the strategy's.
        make: makes its jobs.
    """

    name: str
    make: MakeJob

    @property
    def strategy(self) -> Strategy:
        """As registered."""
        return STRATEGIES[self.name]

    @cached_property
    def job(self) -> TrainJob:
        """The training that checks look at."""
        return self.make(self.name, epochs=2)

    @cached_property
    def result(self) -> TrainResult:
        """Of :attr:`job`."""
        return result_of(self.job)

    @cached_property
    def trained(self) -> Trained:
        """What comes of :attr:`job`."""
        return finish(self.job, self.result.weights[0])

    def adapted(self) -> AdaptedModel:
        """The trained model as it is stored and served."""
        parts = self.trained
        return AdaptedModel.build(parts.encoder, parts.weight, parts.bias, ["a", "b"], strategy=self.name, source=CARD)

    def stored(self) -> Path:
        """Folder of the trained model."""
        folder = self.job.folder / "stored"
        if not folder.exists():
            self.adapted().save(folder)
        return folder

    def source(self) -> Encoder:
        """What training starts from: the source model; of a random start the same shape with its random weights."""
        seed = None if self.strategy.starts_from_probe else self.job.seed
        return Encoder.load(self.job.source, precision="fp32", random_seed=seed)

    def frozen_logits(self) -> np.ndarray:
        """The source's features through the probe, on the validation rows."""
        job = self.job
        encoder = Encoder.load(job.source, precision="fp32", max_length=job.max_length)
        return linear(encoder.embed(job.validation.inputs), job.probe_weight, job.probe_bias)


# --- the start -------------------------------------------------------------------------------------------------------


def starts_at_the_probe(case: Case) -> None:
    """Logits at step 0 are the probe's, also in training: batch normalisation keeps to the source's statistics.

    What changes them untrained, as prefixes do by their share of the attention, must say so.
    """
    job = case.job
    encoder, model = build(job)
    model.train()
    assert not any(layer.training for layer in model.modules() if is_batch_norm(layer))
    model.eval()
    batch = encoder.reader.prepare(job.validation.inputs).batch(range(len(job.validation)))
    with torch.no_grad():
        same = np.allclose(model(batch).numpy(), case.frozen_logits(), atol=1e-4)
    assert same != case.strategy.changes_first_logits


def knows_neither_source_nor_probe(case: Case) -> None:
    """A random start is that of its seed."""
    first, again, other = (build(case.make(case.name, seed=seed))[1] for seed in (11, 11, 12))
    source = Encoder.load(case.job.source, precision="fp32").module.state_dict()
    for key, value in first.encoder.state_dict().items():
        assert torch.equal(value, again.encoder.state_dict()[key])
        if value.ndim > 1:
            assert not torch.allclose(value, source[key])
            assert not torch.allclose(value, other.encoder.state_dict()[key])
    assert not np.allclose(first.head.weight.detach().numpy(), case.job.probe_weight)


def building_leaves_the_global_generator_alone(case: Case) -> None:
    """Whatever random numbers it takes."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = torch.rand(3)
        torch.manual_seed(3)
        build(case.job)
        assert torch.equal(torch.rand(3), expected)


# --- training --------------------------------------------------------------------------------------------------------


def moves_what_is_trained_and_nothing_else(case: Case) -> None:
    """Frozen weights are bit-identical in the stored model; so are the buffers of all but a random start."""
    job, result = case.job, case.result
    start, model = case.source().module, build(job)[1]
    stored = Encoder.load(case.stored(), precision="fp32")
    after = stored.module if stored.insert is None else detach(stored.insert.kind, copy.deepcopy(stored.module))
    touched = _touched(case, model, start)
    now = dict(after.named_parameters())
    assert now.keys() == dict(start.named_parameters()).keys()
    moved = {key for key, value in start.named_parameters() if not torch.equal(now[key], value)}
    assert moved <= touched
    assert len(moved) >= len(touched) / 2
    if not model.learns_statistics:
        buffers = dict(after.named_buffers())
        assert all(torch.equal(buffers[key], value) for key, value in start.named_buffers())
    assert not np.allclose(case.trained.weight, job.probe_weight)
    assert result.trained_parameters == sum(p.numel() for p in trainable(model).values())
    assert result.total_parameters == sum(p.numel() for p in model.parameters())


def _touched(case: Case, model: Trainable, start: torch.nn.Module) -> set[str]:
    """The source's own parameters that what is trained are, or are merged into."""
    if not case.strategy.is_mergeable:
        return set()
    if case.strategy.unfreezes:
        opened = max(point.open_groups or 0 for point in case.result.history[: case.result.best_epoch])
        return {key for group in layer_groups(start)[-opened:] for key in group}
    found: set[str] = set()
    for key in trainable(model):
        plain = key.removeprefix("encoder.").removeprefix("base_model.model.")
        layer, lora, _ = plain.partition(".lora_")
        scaled, ia3, _ = plain.partition(".ia3_")
        if key.startswith("encoder."):
            found |= {f"{layer}.weight"} if lora else {f"{scaled}.weight", f"{scaled}.bias"} if ia3 else {plain}
    return found


def ends_the_same_after_a_kill(case: Case) -> None:
    """Bit for bit, whatever the process did with the random numbers meanwhile."""
    for epoch in range(1, case.job.epochs):
        job = case.make(case.name, epochs=case.job.epochs)
        with pytest.raises(Killed):
            train(job, progress=kill_after(epoch))
        break_off(job, (epoch + 1, 1))
        assert finished(job) is None
        with torch.random.fork_rng():
            torch.manual_seed(epoch)
            assert_same(result_of(job), case.result)


def composes_with_penalties(case: Case) -> None:
    """They are 0 before anything has moved, but for BSS and L2-SP's head; their gradients are finite; they matter."""
    weights = fitting_penalties(case.name, PENALTIES)
    assert weights
    held = case.make(case.name, epochs=1, settings={**case.job.settings, **weights})
    encoder, model = build(held)
    start = Start(held, encoder, model, trainable(model))
    penalties, data, rows = penalties_of(start), Rows.of(encoder, held.train), list(range(8))
    model.eval()
    inputs = data.prepared.batch(rows)
    features = model.features(inputs)
    batch = PenaltyBatch(rows, inputs, features, model.classify(features))
    if not case.strategy.changes_first_logits:
        # a batch of another shape may round its features differently
        assert [float(penalty(batch).detach()) for penalty in penalties.of_rows] == pytest.approx([0.0, 0.0], abs=1e-5)
    for penalty in penalties.of_weights:
        assert isinstance(penalty, L2SP)
        head = sum(float((value.detach() ** 2).sum()) for value in model.head.parameters())
        assert float(penalty().detach()) == pytest.approx(weights["l2_sp"] / 2 * head, rel=1e-5)
    model.train()
    gradients(Compute(model, start.parameters, "fp32"), data, rows, Workers(), penalties)
    found = {key: value.grad for key, value in start.parameters.items()}
    assert all(value is not None and bool(torch.isfinite(value).all()) for value in found.values())
    result, free = result_of(held), result_of(case.make(case.name, epochs=1))
    assert all(np.isfinite(point.train_loss) for point in result.history)
    assert not np.array_equal(result.validation_outputs, free.validation_outputs)


# --- what comes of it ------------------------------------------------------------------------------------------------


def what_is_stored_computes_what_was_trained(case: Case) -> None:
    """Merged = unmerged, not a no-op, and the same bits after storing."""
    model, inputs = case.adapted(), case.job.validation.inputs
    now = model.logits(inputs)
    np.testing.assert_allclose(now, case.result.validation_outputs, atol=1e-4, rtol=1e-4)
    assert np.abs(now - case.frozen_logits()).max() > 1e-3, "training was a no-op"
    again = AdaptedModel.load(case.stored())
    np.testing.assert_array_equal(again.logits(inputs), now)
    assert again.reads_images == case.source().reads_images
    assert again.save(case.job.folder / "copied") == again.digest


def what_is_merged_is_a_plain_model(case: Case) -> None:
    """Of the source's own class and weights' names, and a source itself."""
    module, source = case.trained.encoder.module, case.source().module
    assert type(module) is type(source)
    assert module.state_dict().keys() == source.state_dict().keys()
    cards = [source_card(one, name="x", revision=None, licence=None) for one in (case.job.source, case.stored())]
    assert cards[0].model_type == cards[1].model_type
    inputs = case.job.validation.inputs
    plain = Encoder.load(case.stored(), precision="fp32", max_length=case.job.max_length)
    assert plain.insert is None
    np.testing.assert_array_equal(plain.embed(inputs), case.adapted().embed(inputs))


def what_is_added_lies_beside_the_sources_own_bytes(case: Case) -> None:
    """Without its insert the stored model is the source again."""
    inputs, folder = case.job.validation.inputs, case.job.folder / "bare"
    shutil.copytree(case.stored(), folder)
    (folder / "insert.safetensors").unlink()
    source, bare, stored = (Encoder.load(one, precision="fp32") for one in (case.job.source, folder, case.stored()))
    assert (bare.insert, stored.insert is None) == (None, False)
    np.testing.assert_array_equal(bare.embed(inputs), source.embed(inputs))
    assert not np.allclose(stored.embed(inputs), source.embed(inputs), atol=1e-4)


def what_has_additions_is_no_source(case: Case) -> None:
    """Refused where a source model is asked for."""
    with pytest.raises(ModelError) as caught:
        source_card(case.stored(), name="x", revision=None, licence=None)
    assert caught.value.code == "E-MODEL-023"


# --- which apply -----------------------------------------------------------------------------------------------------


def _always(strategy: Strategy) -> bool:
    return True


#: Every check, and the strategies it is of.
CHECKS: dict[Callable[[Case], None], Callable[[Strategy], bool]] = {
    starts_at_the_probe: lambda one: one.starts_from_probe,
    knows_neither_source_nor_probe: lambda one: not one.starts_from_probe,
    building_leaves_the_global_generator_alone: _always,
    moves_what_is_trained_and_nothing_else: _always,
    ends_the_same_after_a_kill: _always,
    composes_with_penalties: lambda one: one.starts_from_probe,
    what_is_stored_computes_what_was_trained: _always,
    what_is_merged_is_a_plain_model: lambda one: one.is_mergeable,
    what_is_added_lies_beside_the_sources_own_bytes: lambda one: not one.is_mergeable,
    what_has_additions_is_no_source: lambda one: not one.is_mergeable,
}


def checks_of(name: str) -> Iterator[Callable[[Case], None]]:
    """Those that apply to a registered strategy."""
    return (check for check, applies in CHECKS.items() if applies(STRATEGIES[name]))
