"""What a model costs to serve, in a real process of its own."""

from pathlib import Path

import numpy as np
import pytest
from transformers import BertConfig, BertModel

from acclimate.nn.encoder import Encoder
from acclimate.nn.model import AdaptedModel
from acclimate.nn.serving_cost import latency, serving_memory
from acclimate.nn.source_card import source_card
from acclimate.ports import silent


def adapted(source: Path, into: Path) -> Path:
    encoder = Encoder.load(source, precision="fp32", max_length=None)
    card = source_card(source, name="tiny", revision="1", licence="MIT")
    head = np.zeros((2, encoder.dim), dtype=np.float32), np.zeros(2, dtype=np.float32)
    AdaptedModel.build(encoder, *head, ["a", "b"], strategy="frozen", source=card, temperature=1.0).save(into)
    return into


def test_memory_is_that_of_a_process_of_its_own(tiny_source: Path, tmp_path: Path) -> None:
    folder = adapted(tiny_source, tmp_path / "model")
    held = b"x" * 1_200_000_000  # what this process holds must not count
    memory = serving_memory(folder, ["a text", "and another"], progress=silent)
    del held
    assert memory is not None
    assert 100e6 < memory < 1000e6


def test_a_process_that_fails_is_told_of(tiny_source: Path, tmp_path: Path) -> None:
    folder = adapted(tiny_source, tmp_path / "model")
    (folder / "acclimate.json").write_text("{")
    told = []

    def progress(event: str, /, **fields: object) -> None:
        told.append((event, str(fields["says"])))

    assert serving_memory(folder, ["a text"], progress=progress) is None
    assert [event for event, _ in told] == ["memory_not_measured"]
    assert "ended with 1: " in told[0][1]


@pytest.mark.slow
def test_larger_weights_take_more_memory(tiny_source: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.mkdir()
    for path in tiny_source.iterdir():
        (large / path.name).write_bytes(path.read_bytes())
    config = BertConfig.from_pretrained(large)
    config.hidden_size, config.intermediate_size, config.num_hidden_layers = 512, 4096, 8
    model = BertModel(config, add_pooling_layer=False)
    model.save_pretrained(large)
    small = serving_memory(adapted(tiny_source, tmp_path / "a"), ["a text"], progress=silent)
    more = serving_memory(adapted(large, tmp_path / "b"), ["a text"], progress=silent)
    assert small is not None
    assert more is not None
    size = sum(one.numel() for one in model.encoder.parameters()) * 4
    assert size > 150e6
    assert 0.9 * size < more - small < 3 * size


def test_latency_is_of_single_rows() -> None:
    asked: list[int] = []
    found = latency(lambda rows: asked.append(len(rows)), ["a", "b", "c"])
    assert asked == [1, 1, 1, 1]
    assert 0 <= found["latency_p50_ms"] <= found["latency_p95_ms"]
