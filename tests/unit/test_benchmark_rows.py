"""What benchmarks draw has no row twice, and what they count is right."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.features import operations
from benchmarks.labelled_rows import of_each_class, parts, read_rows
from benchmarks.measured import in_turn


def test_near_duplicates_count_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\nGood one.,yes\n"good, one",yes\nbad,no\n')
    read = read_rows(path)
    assert read.labels == ("no", "yes")
    assert sorted(read.classes.tolist()) == [0, 1]


def test_parts_share_no_row() -> None:
    drawn = parts(20, [5, 7, 8], 3)
    assert [len(part) for part in drawn] == [5, 7, 8]
    assert sorted(np.concatenate(drawn).tolist()) == list(range(20))


def test_too_few_rows_are_told() -> None:
    with pytest.raises(SystemExit, match="30 rows"):
        parts(20, [10, 20], 0)


def test_each_class_gives_as_many_and_smaller_draws_are_nested() -> None:
    labels = np.arange(60, dtype=np.int64) % 2
    among = np.arange(10, 60, dtype=np.int64)
    train, validation = of_each_class(labels, among, [4, 6], 1)
    assert np.bincount(labels[train]).tolist() == [4, 4]
    assert np.bincount(labels[validation]).tolist() == [6, 6]
    assert not set(train) & set(validation)
    assert set(train) | set(validation) <= set(among)
    assert set(train) <= set(of_each_class(labels, among, [9, 9], 1)[0])


def test_operations_of_the_forward_pass_are_those_torch_counts() -> None:
    import torch
    import transformers
    from torch.utils.flop_counter import FlopCounterMode

    config = transformers.BertConfig(
        vocab_size=10, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=40
    )
    config._attn_implementation = "eager"
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.ones(2, 7, dtype=torch.int64))
    sizes = SimpleNamespace(hidden_size=16, num_hidden_layers=3, intermediate_size=40)
    assert operations(sizes, [7, 7]) == counter.get_total_flops()


def test_each_is_first_in_turn() -> None:
    assert [in_turn("abc", turn)[0] for turn in range(3)] == ["a", "b", "c"]
    assert sorted(in_turn("abc", 1)) == ["a", "b", "c"]
