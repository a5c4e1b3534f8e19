"""What makes an adaptation the same adaptation: digests of its data, and the run key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acclimate.config import Adaptation
from acclimate.core.row_identity import SPLIT_SALT
from acclimate.digests import data_digest, file_digest
from acclimate.execution import Context
from acclimate.nn.description import SKETCH_FILE
from acclimate.records import GENERATION_TASK, DataCard
from acclimate.wiring import source_of


def data_digests(data: Path) -> dict[str, str | None]:
    """Digests of the ingested tables: the same rows by another route give the same."""
    card = DataCard.read(data)
    found = {"target": card.target.digest, "reference": card.reference.digest if card.reference else None}
    return found | ({"pool": card.pool.digest} if card.pool else {})


def data_facts(data: Path) -> dict[str, Any]:
    """What the data card says of the rows, licences and near-duplicates too.

    Left out is where the rows lie, and the warnings, which name it: the same rows by another route give the same.
    """
    places = {"files", "warnings"}
    tables = dict.fromkeys(("target", "reference", "pool"), places)
    return DataCard.read(data).model_dump(mode="json", exclude=tables)


def keyed_sections(config: Adaptation) -> dict[str, Any]:
    """The sections of a configuration that are part of the run key; ``generation`` where texts are generated."""
    names = {"task", "goal", "budget", "gap", "baseline", "finetune", "evaluate"}
    if config.task == GENERATION_TASK:
        names.add("generation")
    return config.model_dump(mode="json", include=names)


def of_generation(config: Adaptation) -> dict[str, Any]:
    """What a stage's key holds beside the rest where texts are generated; nothing elsewhere."""
    if config.task != GENERATION_TASK:
        return {}
    return {"task": config.task, "generation": config.generation.model_dump(mode="json")}


def remembered(source: Path) -> dict[str, str]:
    """What an adapted source remembers of its data, for a stage's key: its digest doesn't cover that."""
    path = source / SKETCH_FILE
    return {"source_sketch": file_digest(path)} if path.is_file() else {}


def run_key(context: Context, data: Path) -> str:
    """Identity of an adaptation: what is adapted to what, and how; not where or under which name."""
    sections = keyed_sections(context.request.adaptation)
    source = source_of(context)[1].digest
    return data_digest({**sections, "salt": SPLIT_SALT, "data": data_digests(data), "source": source})
