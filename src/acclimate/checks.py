"""Checks an adaptation's inputs before anything is run."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.execution import Request
from acclimate.local_run import load_request
from acclimate.records import GENERATION_TASK, SourceCard
from acclimate.stage_work.ingesting import token_limits
from acclimate.wiring import located, source_at, store_of


def validate(path: str | Path, overrides: Sequence[str] = (), *, allow_outside: bool = False) -> dict[str, Any]:
    """Check an adaptation.yaml, its source model and its data; no weights are loaded.

    Args:
        path: the adaptation.yaml.
        overrides: ``section.key=value`` settings.
        allow_outside: data may lie outside the project root.

    Returns:
        ``valid``, ``name``, ``rows``, ``labels``, ``source`` (name, revision, digest, licence) and ``warnings``.

    Raises:
        AcclimateError: the first stage that finds something wrong; config problems all at once.
    """
    from acclimate.adapters.data_uris import reading
    from acclimate.stages.ingest import ingest

    request = load_request(path, overrides, allow_outside=allow_outside)
    config = request.adaptation
    home = store_of(request.workspace).home
    source, card = source_at(request, home)
    pool = config.pool.table if config.pool else None
    wanted = {"target": config.target, "reference": config.source.reference, "pool": pool}
    specs = {name: spec for name, spec in wanted.items() if spec is not None}
    places = {name: located(request, home, spec) for name, spec in specs.items()}
    here = {name: spec.model_copy(update={"data": str(places[name].path)}) for name, spec in specs.items()}
    with tempfile.TemporaryDirectory() as folder:
        data = ingest(
            here["target"],
            here.get("reference"),
            pool=here.get("pool"),
            task=config.task,
            root=request.root,
            allow_outside=True,
            out=Path(folder),
            read=reading(*places.values()),
            limits=token_limits(config, source) if config.task == GENERATION_TASK else None,
        )
    return {
        "valid": True,
        "name": config.name,
        "rows": data.target.rows_kept,
        "labels": data.target.labels or [],
        "source": card.model_dump(include={"name", "revision", "digest", "licence"}),
        "warnings": [
            warning for table in (data.target, data.reference, data.pool) if table for warning in table.warnings
        ],
    }


def source_card_of(request: Request) -> SourceCard:
    """The card of a request's source model; no weights are loaded.

    Raises:
        AcclimateError: it can't be found, or must not be loaded.
    """
    return source_at(request, store_of(request.workspace).home)[1]
