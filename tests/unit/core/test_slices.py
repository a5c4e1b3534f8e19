import numpy as np

from acclimate.core.slices import length_terciles, slices_of, too_small


def test_terciles_are_thirds_named_by_their_range() -> None:
    texts = ["x" * n for n in range(1, 31)]
    found = length_terciles(texts)
    assert found[:10] == ["1 (1-10 characters)"] * 10
    assert found[10:20] == ["2 (11-20 characters)"] * 10
    assert found[20:] == ["3 (21-30 characters)"] * 10


def test_equally_long_texts_are_one_slice() -> None:
    assert set(length_terciles(["abc", "def", "ghi", "jkl"])) == {"1 (3-3 characters)"}


def test_slices_cover_values_with_enough_rows_and_length_comes_last() -> None:
    channel = ["mail"] * 4 + ["chat"] * 3 + ["fax"]
    found = slices_of(
        {"length": length_terciles(["x" * n for n in range(8)]), "zone": ["a"] * 8, "channel": channel}, min_rows=2
    )
    assert [(s.column, s.value) for s in found[:3]] == [("channel", "chat"), ("channel", "mail"), ("zone", "a")]
    assert {s.column for s in found[3:]} == {"length"}
    np.testing.assert_array_equal(found[0].rows, [4, 5, 6])
    assert sorted(row for s in found[3:] for row in s.rows) == list(range(8))


def test_values_that_are_left_out_are_counted() -> None:
    columns = {"channel": ["mail"] * 4 + ["chat"] * 3 + ["fax"], "zone": ["a"] * 7 + ["b"]}
    assert [too_small(columns, rows) for rows in (1, 2, 4, 8)] == [0, 2, 3, 5]
    assert too_small({}, 5) == 0
