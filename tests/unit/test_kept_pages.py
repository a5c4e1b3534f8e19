"""Report and figures that can't be kept in MLflow are told of, and undo nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acclimate.errors import UnavailableError
from acclimate.stage_work import verdicts
from tests.run_records import run_records


@pytest.mark.parametrize(
    "error", [UnavailableError("E-REGISTRY-001", "https://ann:secret@mlflow.example is full"), OSError("no space left")]
)
def test_what_server_or_disk_refuse_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(verdicts, "view_of", fail)
    context: Any = SimpleNamespace(scratch=tmp_path, progress=lambda event, **fields: told.append((event, fields)))
    verdicts._keep_pages(context, {}, run_records(), "run")
    ((event, fields),) = told
    assert event == "warning"
    assert "not in MLflow" in fields["says"]
    assert "secret" not in fields["says"]


def test_a_bug_is_no_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(verdicts, "view_of", fail)
    with pytest.raises(ZeroDivisionError):
        verdicts._keep_pages(SimpleNamespace(scratch=tmp_path), {}, run_records(), "run")  # type: ignore[arg-type]
