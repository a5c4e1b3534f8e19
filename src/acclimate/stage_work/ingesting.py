"""Ingest as a piece of work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acclimate.adapters.data_uris import Located, reading
from acclimate.config import Adaptation
from acclimate.config_base import DataSpec
from acclimate.digests import code_digest
from acclimate.execution import Context, Work
from acclimate.records import GENERATION_TASK, IMAGE_TASK
from acclimate.token_lengths import TokenLimits
from acclimate.wiring import located, source_of


def token_limits(config: Adaptation, source: Path) -> TokenLimits:
    """What a language model reads and writes.

    Args:
        config: the adaptation.
        source: the source model's folder; its tokenizer is loaded.
    """
    from acclimate.nn.causal.lengths import RowLengths

    spec = config.generation
    count = RowLengths(source, spec.max_length)
    return TokenLimits(count, spec.max_length, spec.max_new_tokens, count.positions)


def ingest_work(context: Context, *, any_length: bool = False) -> Work:
    """Ingest: keyed by the files' bytes, where they came from, what their columns mean, and what counts their tokens.

    Args:
        context: the run.
        any_length: texts of any length will do, for nothing is to be written.
    """
    request, config = context.request, context.request.adaptation
    target = _Table.of(context, config.target)
    reference = _Table.of(context, config.source.reference) if config.source.reference else None
    pool = _Table.of(context, config.pool.table) if config.pool else None
    has_images = config.task == IMAGE_TASK
    counts_tokens = config.task == GENERATION_TASK and not any_length
    tables = [table.place for table in (target, reference, pool) if table]

    def call(out: Path) -> dict[str, Any]:
        from acclimate.stages.ingest import ingest

        card = ingest(
            target.here,
            reference.here if reference else None,
            pool=pool.here if pool else None,
            task=config.task,
            root=request.root,
            allow_outside=True,  # what may be read was settled when it was located
            out=out,
            read=reading(*tables),
            limits=token_limits(config, source_of(context)[0]) if counts_tokens else None,
            progress=context.progress,
        )
        return {"rows": card.target.rows_kept, "digest": card.target.digest}

    return Work(
        stage="ingest",
        module="acclimate.stages.ingest",
        made_of={
            "task": config.task,
            "target": target.made_of,
            "reference": reference.made_of if reference else None,
            **({"pool": pool.made_of} if pool else {}),
            **(_counting(context) if counts_tokens else {}),
            "readers": code_digest(f"acclimate.adapters.{'images' if has_images else 'tables'}.reading"),
        },
        call=call,
    )


def _counting(context: Context) -> dict[str, Any]:
    """What the counts of tokens depend on."""
    spec = context.request.adaptation.generation
    return {
        "source": source_of(context)[1].digest,
        "generation": spec.model_dump(mode="json", include={"max_length", "max_new_tokens"}),
        "counter": code_digest("acclimate.nn.causal.lengths"),
    }


class _Table:
    """A table of the configuration and where it lies on this machine."""

    def __init__(self, spec: DataSpec, place: Located) -> None:
        self.spec, self.place = spec, place

    @classmethod
    def of(cls, context: Context, spec: DataSpec) -> _Table:
        return cls(spec, located(context.request, context.home, spec))

    @property
    def here(self) -> DataSpec:
        """The table as ingest reads it: by its path."""
        return self.spec.model_copy(update={"data": str(self.place.path)})

    @property
    def made_of(self) -> dict[str, Any]:
        return {
            "columns": self.spec.model_dump(mode="json", exclude={"data"}),
            "files": self.place.digests,
            "origins": self.place.origins,
        }
