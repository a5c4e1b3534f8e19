"""Adapted models: saved, loaded, the same bits; and the module that is trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from scipy.special import softmax
from transformers import AutoModel, AutoTokenizer

from acclimate.errors import ModelError
from acclimate.nn.encoder import Encoder, folder_digest, source_card
from acclimate.nn.model import AdaptedModel, Classifier

TEXTS = ["good phone", "a bad , slow service", "", "great " * 200, "why not ?"] * 5
LABELS = ["bad", "fine", "good"]


def build(folder: Path, precision: str = "fp32", max_length: int | None = None) -> AdaptedModel:
    encoder = Encoder.load(folder, precision=precision, max_length=max_length)
    rng = np.random.default_rng(0)
    return AdaptedModel.build(
        encoder,
        rng.normal(size=(3, encoder.dim)),
        rng.normal(size=3),
        LABELS,
        strategy="frozen",
        source=source_card(folder, name="tiny", revision="1", licence="MIT"),
        temperature=1.7,
    )


@pytest.fixture
def saved(tiny_source: Path, tmp_path: Path) -> Path:
    build(tiny_source).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_loaded_gives_the_same_bits(tiny_source: Path, tmp_path: Path, precision: str) -> None:
    model = build(tiny_source, precision, max_length=40)
    digest = model.save(tmp_path / "model")
    loaded = AdaptedModel.load(tmp_path / "model")
    assert np.array_equal(loaded.logits(TEXTS), model.logits(TEXTS))
    assert np.array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert loaded.digest == digest == model.digest == folder_digest(tmp_path / "model")
    assert (loaded.precision, loaded.max_length, loaded.temperature) == (precision, 40, 1.7)
    assert (loaded.labels, loaded.strategy, loaded.source) == (LABELS, "frozen", model.source)


def test_saving_twice_gives_the_same_files(tiny_source: Path, tmp_path: Path) -> None:
    model = build(tiny_source)
    model.save(tmp_path / "one")
    loaded = AdaptedModel.load(tmp_path / "one")
    loaded.predict(TEXTS)
    loaded.save(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_folder_is_a_plain_transformers_model(saved: Path) -> None:
    module, tokenizer = AutoModel.from_pretrained(saved).eval(), AutoTokenizer.from_pretrained(saved)
    ids = tokenizer("good phone", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        hidden = module(input_ids=ids).last_hidden_state[0]
    np.testing.assert_allclose(AdaptedModel.load(saved).embed(["good phone"])[0], hidden.mean(dim=0), atol=1e-5)


def test_probabilities_are_the_softmax_of_logits_over_the_temperature(saved: Path) -> None:
    model = AdaptedModel.load(saved)
    np.testing.assert_allclose(model.predict_proba(TEXTS), softmax(model.logits(TEXTS) / 1.7, axis=1), atol=1e-6)
    assert model.predict(TEXTS) == [LABELS[i] for i in model.logits(TEXTS).argmax(axis=1)]


def test_saving_and_loading_are_silent(tiny_source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build(tiny_source).save(tmp_path / "model")
    AdaptedModel.load(tmp_path / "model").logits(TEXTS)
    assert capfd.readouterr() == ("", "")


def test_another_precision_can_be_asked_for(saved: Path) -> None:
    stored, half = AdaptedModel.load(saved), AdaptedModel.load(saved, "bf16")
    assert half.precision == "bf16"
    difference = np.abs(stored.logits(TEXTS) - half.logits(TEXTS)).max()
    assert 0 < difference < 0.1


def _not_a_number(folder: Path) -> None:
    weight = np.full((3, 32), np.nan, np.float32)
    save_file({"weight": weight, "bias": np.zeros(3, np.float32)}, folder / "head.safetensors")


def _other_shape(folder: Path) -> None:
    save_file({"weight": np.zeros((2, 32), np.float32), "bias": np.zeros(2, np.float32)}, folder / "head.safetensors")


def _no_bias(folder: Path) -> None:
    save_file({"weight": np.zeros((3, 32), np.float32)}, folder / "head.safetensors")


def _edited(folder: Path, **fields: object) -> None:
    path = folder / "acclimate.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_not_a_number, "E-MODEL-020"),
        (_other_shape, "E-MODEL-020"),
        (_no_bias, "E-MODEL-020"),
        (lambda folder: (folder / "head.safetensors").unlink(), "E-MODEL-020"),
        (lambda folder: (folder / "head.safetensors").write_bytes(b"\x80\x04junk"), "E-MODEL-010"),
        (lambda folder: (folder / "acclimate.json").unlink(), "E-MODEL-021"),
        (lambda folder: _edited(folder, schema_version=2), "E-MODEL-021"),
        (lambda folder: _edited(folder, temperature=0), "E-MODEL-021"),
        (lambda folder: _edited(folder, labels=["bad", "good"]), "E-MODEL-020"),
        (lambda folder: _edited(folder, surprise=1), "E-MODEL-021"),
        (shutil.rmtree, "E-MODEL-001"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(saved: Path, damage: object, code: str) -> None:
    damage(saved)  # type: ignore[operator]
    with pytest.raises(ModelError) as caught:
        AdaptedModel.load(saved)
    assert caught.value.code == code
    assert caught.value.hint


def test_a_head_that_does_not_fit_is_refused(tiny_source: Path) -> None:
    encoder = Encoder.load(tiny_source, precision="fp32", max_length=None)
    card = source_card(tiny_source, name="tiny", revision="1", licence=None)
    with pytest.raises(ModelError) as caught:
        AdaptedModel.build(encoder, np.zeros((2, 31)), np.zeros(2), ["a", "b"], strategy="frozen", source=card)
    assert caught.value.code == "E-MODEL-020"


def test_the_trained_module_starts_at_the_adapted_models_logits(tiny_source: Path) -> None:
    model = build(tiny_source)
    module = Classifier(model.encoder.module, 32, 3).eval()
    module.set_head(model.weight, model.bias)
    batch = model.encoder.reader.prepare(TEXTS).batch(range(len(TEXTS)))
    with torch.no_grad():
        logits = module(batch)
    np.testing.assert_allclose(logits.numpy(), model.logits(TEXTS), atol=1e-4)


def test_a_module_that_computes_in_bfloat16_gives_float32_logits_and_gradients_everywhere(tiny_source: Path) -> None:
    encoder = Encoder.load(tiny_source, precision="fp32", max_length=None)
    module = Classifier(encoder.module, encoder.dim, 3).train()
    module.encoder.to(torch.bfloat16)
    logits = module(encoder.reader.prepare(TEXTS).batch(range(len(TEXTS))))
    assert logits.dtype == torch.float32
    logits.square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in module.parameters())
