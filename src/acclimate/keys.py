"""What makes an adaptation the same adaptation: digests of its data, and the run key."""

from __future__ import annotations

from pathlib import Path

from acclimate.config import DataSpec
from acclimate.config_file import resolve_data_path
from acclimate.core.row_identity import SPLIT_SALT
from acclimate.digests import data_digest, file_digest
from acclimate.execution import Context
from acclimate.records import DataCard
from acclimate.wiring import source_of


def files_of(context: Context, spec: DataSpec | None) -> dict[str, str]:
    """sha256 of each file of a table by its name; empty without a table."""
    if spec is None:
        return {}
    request = context.request
    path = resolve_data_path(spec.data, request.root, request.root, request.allow_outside)
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    return {file.name: file_digest(file) for file in files}


def data_digests(data: Path) -> dict[str, str | None]:
    """Digests of the ingested tables: the same rows by another route give the same."""
    card = DataCard.read(data)
    return {"target": card.target.digest, "reference": card.reference.digest if card.reference else None}


def run_key(context: Context, data: Path) -> str:
    """Identity of an adaptation: what is adapted to what, and how; not where or under which name."""
    config = context.request.adaptation
    sections = config.model_dump(
        mode="json", include={"task", "goal", "budget", "gap", "baseline", "finetune", "evaluate"}
    )
    source = source_of(context)[1].digest
    return data_digest({**sections, "salt": SPLIT_SALT, "data": data_digests(data), "source": source})
