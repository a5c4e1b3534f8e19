"""The sketch of a target: what is in it, what is not, how it is read back, how new rows are counted."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from acclimate.errors import IntegrityError, ModelError
from acclimate.examples import read_examples, split_path, write_examples
from acclimate.nn import target_sketch
from acclimate.nn.description import SKETCH_FILE
from acclimate.nn.encoder import Encoder
from acclimate.nn.source_card import folder_digest, source_card
from acclimate.nn.target_sketch import (
    TargetSketch,
    embed_rounded,
    input_digests,
    make_sketch,
    read_sketch,
    row_digests,
)
from acclimate.records import SPLITS


def sketched(data: Path, source: Path, *, read_pool: bool = False) -> TargetSketch:
    card = source_card(source, name="tiny", revision=None, licence=None)
    cache = data.parent / "cache"
    return make_sketch(data, source, card, precision="fp32", max_length=None, cache=cache, read_pool=read_pool)


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


def test_it_says_what_the_model_was_fitted_on_test_rows_never(toy_data: Path, tiny_source: Path) -> None:
    sketch = sketched(toy_data, tiny_source)
    fitted_on = read_examples(toy_data, "target", ("train", "validation"), None).inputs
    assert sketch.fitted.tolist() == sorted(set(input_digests(fitted_on).tolist()))
    assert sketch.fitted_complete


def test_the_pool_counts_where_the_model_was_pretrained_on_it(
    make_toy_data: Callable[..., Path], tiny_source: Path
) -> None:
    data, texts = make_toy_data(), ["a text of the pool", "and another"]
    columns = {"row_id": ["0", "1"], "text": texts, "label": [None] * 2, "group": [None] * 2}
    write_examples(split_path(data, "pool", "train"), columns)
    without, read = (sketched(data, tiny_source, read_pool=read) for read in (False, True))
    assert set(read.fitted) - set(without.fitted) == set(input_digests(texts))


@pytest.mark.parametrize("remembers", [True, False])
def test_what_the_source_was_fitted_on_is_passed_on(
    remembers: bool, make_toy_data: Callable[..., Path], tiny_source: Path, tmp_path: Path
) -> None:
    adapted = shutil.copytree(tiny_source, tmp_path / "adapted")
    (adapted / "acclimate.json").write_text('{"pooling": "mean"}')
    before, now = make_toy_data("before", seed=5), make_toy_data("now")
    first = sketched(before, tiny_source)
    if remembers:
        first.write(adapted)
    second = sketched(now, adapted)
    assert (set(first.fitted) < set(second.fitted), second.fitted_complete) == (remembers, remembers)


def test_one_of_the_first_version_is_read_and_does_not_say_what_it_was_fitted_on(
    toy_data: Path, tiny_source: Path, tmp_path: Path
) -> None:
    sketch = sketched(toy_data, tiny_source)
    path = sketch.write(tmp_path)
    with safe_open(path, framework="np") as file:
        facts = json.loads(file.metadata()["sketch"])
    del facts["fitted_complete"]
    old = {name: tensor for name, tensor in load_file(path).items() if name != "fitted"}
    save_file(old, path, metadata={"sketch": json.dumps({**facts, "schema_version": 1})})
    found = read_sketch(tmp_path)
    assert found is not None
    assert (found.fitted.tolist(), found.fitted_complete) == ([], False)
    np.testing.assert_array_equal(found.rows, sketch.rows)


def test_a_models_digest_does_not_depend_on_it(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
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
        monkeypatch.setattr(target_sketch, "SCHEMA_VERSION", 3)
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
