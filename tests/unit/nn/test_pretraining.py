"""Masked-language-model pretraining: it learns, survives kills, and is the same for any number of workers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from acclimate.errors import DataError, ModelError
from acclimate.nn import step
from acclimate.nn.devices import CPU
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import MaskedJob, TrainJob
from acclimate.nn.masked_lm import HEADS, build_masked, pretrained
from acclimate.nn.pretraining import MaskedLearner, MaskedRows, held_out_loss
from acclimate.nn.step import Workers
from acclimate.nn.train import finished, train
from acclimate.nn.training_model import trainable
from tests.small_jobs import break_off, toy_rows
from tests.unit.nn.test_train import Killed, assert_same, in_threads, kill_after, result_of

MakeMasked = Callable[..., MaskedJob]


@pytest.fixture
def make_masked(make_job: Callable[..., TrainJob], tmp_path: Path) -> MakeMasked:
    """Factory of pretrainings on toy sentences; its folder is new unless given."""
    made = 0

    def make(**changes: Any) -> MaskedJob:
        nonlocal made
        made += 1
        plain = make_job("tapt")
        names = ("source", "source_digest", "schedule", "batch_size", "warmup", "weight_decay", "clip_norm")
        job = MaskedJob(
            strategy="tapt",
            settings={"learning_rate": 3e-3, "masked_share": 0.15},
            metric="masked_loss",
            train=toy_rows(80, 1).inputs,
            held_out=toy_rows(20, 2).inputs,
            epochs=3,
            patience=3,
            keep=1,
            seed=0,
            max_length=32,
            precision="fp32",
            folder=tmp_path / f"masked-{made}",
            **{name: getattr(plain, name) for name in names},
        )
        return replace(job, **changes)

    return make


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pretraining_lowers_the_held_out_loss(precision: str, make_masked: MakeMasked) -> None:
    job = make_masked(epochs=8, precision=precision)
    before, new_head = held_out_loss(job)
    result = result_of(job)
    after = result.history[result.best_epoch - 1].validation_loss
    assert new_head
    assert after < 0.7 * before
    assert after == min(point.validation_loss for point in result.history), "the best epoch is that of the lowest loss"
    assert result.validation_outputs[:, 0].sum() / result.validation_outputs[:, 1].sum() == pytest.approx(after, 1e-4)


def test_the_encoder_that_is_handed_on_is_the_trained_one(make_masked: MakeMasked) -> None:
    job = make_masked()
    result = result_of(job)
    encoder, source = pretrained(job, result.weights[0]), Encoder.load(job.source, precision="fp32", max_length=32)
    assert encoder.module.state_dict().keys() == source.module.state_dict().keys()
    assert not np.allclose(encoder.embed(["good bad"]), source.embed(["good bad"]), atol=1e-3)
    again = pretrained(job, result.weights[0])
    np.testing.assert_array_equal(encoder.embed(["good bad"]), again.embed(["good bad"]))


def test_a_killed_pretraining_ends_like_an_undisturbed_one(make_masked: MakeMasked) -> None:
    undisturbed = result_of(make_masked())
    for epoch in (1, 2):
        job = make_masked()
        with pytest.raises(Killed):
            train(job, progress=kill_after(epoch))
        assert finished(job) is None
        torch.manual_seed(epoch)
        np.random.default_rng(epoch)
        assert_same(result_of(job), undisturbed)


def test_so_does_one_killed_amid_an_epoch(make_masked: MakeMasked) -> None:
    job = make_masked()
    break_off(job, (1, 4), (2, 1), (3, 10))
    assert_same(result_of(job), result_of(make_masked()))


@pytest.mark.parametrize("change", ["seed", "settings", "train", "held_out"])
def test_a_foreign_checkpoint_is_never_taken_up(change: str, make_masked: MakeMasked) -> None:
    job = make_masked()
    with pytest.raises(Killed):
        train(job, progress=kill_after(2))
    changes = {
        "seed": 9,
        "settings": {**job.settings, "masked_share": 0.2},
        "train": job.train[1:],
        "held_out": job.held_out[1:],
    }
    events: list[dict[str, Any]] = []
    train(replace(job, **{change: changes[change]}), progress=lambda event, /, **fields: events.append(fields))
    assert events[0]["code"] == "E-TRAIN-011"
    assert events[1]["epoch"] == 1


def test_a_checkpoint_of_a_fine_tuning_is_foreign(make_masked: MakeMasked, make_job: Callable[..., TrainJob]) -> None:
    job = make_job("tapt")
    with pytest.raises(Killed):
        train(job, progress=kill_after(1))
    found: list[str] = []
    train(make_masked(folder=job.folder), progress=lambda event, /, **fields: found.append(fields.get("code", event)))
    assert found[0] == "E-TRAIN-011"


@pytest.fixture
def still_source(tiny_source: Path, tmp_path: Path) -> Path:
    """Without dropout, whose seed is a worker's own."""
    folder = Path(shutil.copytree(tiny_source, tmp_path / "still"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("world", [2, 3])
def test_several_workers_take_the_same_steps_as_one(world: int, make_masked: MakeMasked, still_source: Path) -> None:
    # 50 texts in batches of 7: unequal shares, and a last batch of one text that leaves workers without any
    plain = {"source": still_source, "batch_size": 7, "train": toy_rows(50, 1).inputs}
    one, several = result_of(make_masked(**plain)), in_threads(make_masked(**plain), world)
    np.testing.assert_allclose(several.validation_outputs, one.validation_outputs, atol=2e-2, rtol=2e-3)
    for left, right in zip(one.history, several.history, strict=True):
        assert left.train_loss == pytest.approx(right.train_loss, abs=1e-3)
        assert left.validation_loss == pytest.approx(right.validation_loss, abs=1e-3)


def gradient_of(job: MaskedJob, rows: list[int]) -> dict[str, torch.Tensor]:
    learner = MaskedLearner(job)
    learner.begin_epoch(1)
    learner.compute.begin()
    learner.gradients(rows, Workers())
    return {name: value.grad for name, value in trainable(learner.model).items() if value.grad is not None}


def test_a_batch_in_parts_has_the_same_gradient(
    make_masked: MakeMasked, still_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, rows = make_masked(source=still_source), list(range(24))
    whole = gradient_of(job, rows)
    monkeypatch.setattr("acclimate.nn.pretraining.PART_TOKENS", 30)
    parts = gradient_of(job, rows)
    assert step.PART_TOKENS > 30
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=1e-4)


def test_masks_change_from_epoch_to_epoch_and_special_tokens_are_never_hidden(make_masked: MakeMasked) -> None:
    job = make_masked()
    encoder = build_masked(job).encoder
    rows = MaskedRows.of(encoder, ["good bad poor", "the of and in", "", "zzz §§§"], job)
    assert len(rows) == 3, "an empty text has nothing to hide"
    first, again, other = (rows.batch([0, 1], epoch, CPU) for epoch in (1, 1, 2))
    assert torch.equal(first.inputs["input_ids"], again.inputs["input_ids"])
    assert not torch.equal(first.positions, other.positions) or not torch.equal(first.targets, other.targets)
    special = set(encoder.reader.tokenizer.all_special_ids)
    for epoch in range(50):
        assert not special & set(rows.batch([0, 1, 2], epoch, CPU).targets.tolist())


def test_texts_without_a_word_are_an_error(make_masked: MakeMasked) -> None:
    for changes in ({"train": ("", " ")}, {"held_out": ("",)}):
        with pytest.raises(DataError) as caught:
            train(make_masked(**changes))
        assert caught.value.code == "E-TRAIN-021"


# --- heads -----------------------------------------------------------------------------------------------------------

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
    "pad_token_id": 0,
}
OWN = {"albert": {"embedding_size": 16}, "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}}


def write_masked_lm(folder: Path, kind: str, tiny_source: Path) -> Path:
    """A random masked language model of a kind, with its head, and the tiny source's tokenizer."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        folder.mkdir(exist_ok=True)
        shutil.copy(tiny_source / name, folder / name)
    vocabulary = json.loads((tiny_source / "config.json").read_text())["vocab_size"]
    settings = OWN[kind] if kind == "distilbert" else {**SMALL, **OWN.get(kind, {})}
    settings = {**settings, "max_position_embeddings": 130, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(kind, vocab_size=vocabulary, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lm = transformers.AutoModelForMaskedLM.from_config(config)
        for parameter in lm.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.1)
        lm.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_a_stored_head_gives_the_logits_that_transformers_gives(
    kind: str, make_masked: MakeMasked, tiny_source: Path, tmp_path: Path
) -> None:
    folder = write_masked_lm(tmp_path / kind, kind, tiny_source)
    built = build_masked(make_masked(source=folder))
    assert not built.new_head
    batch = built.encoder.reader.prepare(["good bad the of", "poor slow"]).batch([0, 1])
    rows, positions = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 1])
    lm = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    with torch.no_grad():
        ours = built.model.eval()(batch, rows, positions)
        theirs = lm(**batch).logits[rows, positions]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["electra", "deberta-v2"])
def test_encoders_that_never_told_hidden_tokens_are_refused(
    kind: str, make_masked: MakeMasked, tiny_source: Path, tmp_path: Path
) -> None:
    folder = write_masked_lm(tmp_path / kind, kind, tiny_source)
    with pytest.raises(ModelError) as caught:
        build_masked(make_masked(source=folder))
    assert caught.value.code == "E-MODEL-028"
    assert kind in str(caught.value)
    assert "bert" in caught.value.hint


def test_a_tokenizer_without_a_mask_is_refused(make_masked: MakeMasked, tiny_source: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_source, tmp_path / "maskless"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("mask_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="no mask") as caught:
        build_masked(make_masked(source=folder))
    assert caught.value.code == "E-MODEL-028"
