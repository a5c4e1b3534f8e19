"""Ingest as a piece of work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acclimate.adapters.data_uris import Located, reading
from acclimate.config_base import DataSpec
from acclimate.digests import code_digest
from acclimate.execution import Context, Work
from acclimate.records import IMAGE_TASK
from acclimate.wiring import located


def ingest_work(context: Context) -> Work:
    """Ingest: keyed by the files' bytes, where they came from, and what their columns mean."""
    request, config = context.request, context.request.adaptation
    target = _Table.of(context, config.target)
    reference = _Table.of(context, config.source.reference) if config.source.reference else None
    pool = _Table.of(context, config.pool.table) if config.pool else None
    has_images = config.task == IMAGE_TASK
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
            "readers": code_digest(f"acclimate.adapters.{'images' if has_images else 'tables'}.reading"),
        },
        call=call,
    )


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
