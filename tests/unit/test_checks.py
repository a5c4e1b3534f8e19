"""``acclimate validate`` reads the pool too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from acclimate.checks import validate
from acclimate.errors import DataError

YAML = """\
name: mail
source: {model: source, licence: MIT}
target: {data: mail.csv}
pool: {data: pool.csv, licence: CC0-1.0}
"""


@pytest.fixture
def project(tmp_path: Path, tiny_source: Path) -> Path:
    shutil.copytree(tiny_source, tmp_path / "source")
    rows = [f"message number {i},{('ham', 'spam')[i % 2]}" for i in range(300)]
    (tmp_path / "mail.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "adaptation.yaml").write_text(YAML)
    return tmp_path


def test_what_is_left_out_of_a_pool_is_said(project: Path) -> None:
    texts = [f"MESSAGE number {i}" for i in range(300)] + ["something else"]
    (project / "pool.csv").write_text("\n".join(["text", *texts]))
    found = validate(project / "adaptation.yaml")
    assert found["valid"]
    assert any("are or nearly are validation or test rows" in warning for warning in found["warnings"])


def test_a_pool_that_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(DataError) as caught:
        validate(project / "adaptation.yaml")
    assert caught.value.code == "E-DATA-001"
