"""What makes an adaptation the same adaptation: digests of its data, and the run key."""

from __future__ import annotations

from pathlib import Path

from acclimate.core.row_identity import SPLIT_SALT
from acclimate.digests import data_digest
from acclimate.execution import Context
from acclimate.records import GENERATION_TASK, DataCard
from acclimate.wiring import source_of


def data_digests(data: Path) -> dict[str, str | None]:
    """Digests of the ingested tables: the same rows by another route give the same."""
    card = DataCard.read(data)
    return {"target": card.target.digest, "reference": card.reference.digest if card.reference else None}


def run_key(context: Context, data: Path) -> str:
    """Identity of an adaptation: what is adapted to what, and how; not where or under which name."""
    config = context.request.adaptation
    generation = {"generation"} if config.task == GENERATION_TASK else set()
    sections = config.model_dump(
        mode="json", include={"task", "goal", "budget", "gap", "baseline", "finetune", "evaluate"} | generation
    )
    source = source_of(context)[1].digest
    return data_digest({**sections, "salt": SPLIT_SALT, "data": data_digests(data), "source": source})
