"""The sketch of a target: what is in it, what is not, how it is read back, how new rows are counted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acclimate.errors import IntegrityError, ModelError
from acclimate.examples import read_examples
from acclimate.nn import target_sketch
from acclimate.nn.encoder import Encoder
from acclimate.nn.source_card import folder_digest, source_card
from acclimate.nn.target_sketch import (
    SKETCH_FILE,
    TargetSketch,
    embed_rounded,
    input_digests,
    make_sketch,
    read_sketch,
    row_digests,
)
from acclimate.records import SPLITS


def sketched(data: Path, source: Path) -> TargetSketch:
    card = source_card(source, name="tiny", revision=None, licence=None)
    return make_sketch(data, source, card, precision="fp32", max_length=None, cache=data.parent / "cache")


def test_it_holds_the_held_out_rows_and_digests_of_all(toy_data: Path, tiny_source: Path) -> None:
    sketch = sketched(toy_data, tiny_source)
    held = read_examples(toy_data, "target", ("validation", "test"), None)
    every = read_examples(toy_data, "target", SPLITS, None)
    assert sketch.held.shape == (80, 32)
    assert sketch.held_texts.tolist() == input_digests(held.texts).tolist()
    assert sorted(sketch.rows.tolist()) == sorted(row_digests(every.row_ids).tolist())
    assert (sketch.source_digest, sketch.precision, sketch.complete) == (folder_digest(tiny_source), "fp32", True)
    assert sketch.groups is None
    np.testing.assert_array_equal(sketch.held, sketch.held.astype(np.float16).astype(np.float32))


def test_it_is_read_back_as_it_was_and_its_bytes_are_always_the_same(
    toy_data: Path, tiny_source: Path, tmp_path: Path
) -> None:
    sketch = replace(sketched(toy_data, tiny_source), groups=np.arange(80, dtype=np.int64))
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    paths = [sketch.write(tmp_path / name) for name in ("one", "two")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    found = read_sketch(tmp_path / "one")
    assert found is not None
    for name, value in vars(sketch).items():
        np.testing.assert_array_equal(getattr(found, name), value)


def test_no_text_is_in_it_and_it_is_small(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    sketch = sketched(toy_data, tiny_source)
    stored = sketch.write(tmp_path).read_bytes()
    for text in read_examples(toy_data, "target", SPLITS, None).texts:
        assert not any(word.encode() in stored for word in text.split() if len(word) > 5 and word != "target")
    full = replace(sketch, held=np.zeros((1000, 384)), held_texts=np.zeros(1000, dtype=np.int64))
    assert full.write(tmp_path).stat().st_size < 1_000_000


def test_a_models_digest_does_not_depend_on_it(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(tiny_source, tmp_path / "model")
    before = folder_digest(folder)
    sketched(toy_data, tiny_source).write(folder)
    assert folder_digest(folder) == before
    Encoder.load(folder, precision="fp32")


def test_a_model_without_one_has_none(tmp_path: Path) -> None:
    assert read_sketch(tmp_path) is None


@pytest.mark.parametrize("damage", ["cut", "empty", "other_version"])
def test_a_damaged_one_is_named(
    damage: str, toy_data: Path, tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if damage == "other_version":
        monkeypatch.setattr(target_sketch, "SCHEMA_VERSION", 2)
    path = sketched(toy_data, tiny_source).write(tmp_path)
    monkeypatch.undo()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "empty":
        path.write_bytes(b"")
    with pytest.raises(IntegrityError) as caught:
        read_sketch(tmp_path)
    assert caught.value.code == "E-DRIFT-001"
    assert SKETCH_FILE in caught.value.where


def test_new_rows_are_those_the_table_does_not_hold(
    make_toy_data: Callable[..., Path], toy_data: Path, tiny_source: Path
) -> None:
    sketch = sketched(toy_data, tiny_source)
    own = read_examples(toy_data, "target", SPLITS, None).row_ids
    other = read_examples(make_toy_data("other", seed=5), "target", SPLITS, None).row_ids
    assert sketch.new_rows(own) == 0
    assert sketch.new_rows([*own, *other]) == len(set(other) - set(own))


def test_new_rows_of_a_huge_table_are_estimated(toy_data: Path, tiny_source: Path) -> None:
    rng = np.random.default_rng(0)
    ids = [rng.bytes(32).hex() for _ in range(6000)]
    digests = row_digests(ids)
    kept = np.sort(digests[:4000])[:1000]
    sketch = replace(sketched(toy_data, tiny_source), rows=kept, complete=False)
    assert sketch.new_rows(ids) == pytest.approx(2000, rel=0.15)
    assert sketch.new_rows(ids[:4000]) == 0


def test_near_duplicates_share_a_digest() -> None:
    one, two, other = input_digests(["It works!", "it  works", "it worked"])
    assert one == two != other


def test_embeddings_beyond_float16_are_refused(tiny_source: Path, tmp_path: Path) -> None:
    encoder = Encoder.load(tiny_source, precision="fp32")
    encoder.embed = lambda texts, progress=None: np.full((len(texts), encoder.dim), 1e6, np.float32)  # type: ignore[method-assign]
    with pytest.raises(ModelError) as caught:
        embed_rounded(encoder, ["a"], tmp_path)
    assert caught.value.code == "E-DRIFT-002"
