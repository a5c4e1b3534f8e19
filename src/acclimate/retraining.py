"""Drift and the check before training again, as pieces of work on a run's context."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acclimate.adapters.mlflow_times import registered_at
from acclimate.config_base import DataSpec
from acclimate.digests import data_digest
from acclimate.errors import ModelError
from acclimate.examples import Table
from acclimate.execution import Context, Request, Work, execute
from acclimate.keys import data_digests
from acclimate.records import SourceCard
from acclimate.records_retrain import Attempt, DriftReport, RetrainDecision
from acclimate.registry import RegisteredVersion
from acclimate.stage_work import STEPS
from acclimate.stage_work.ingesting import ingest_work
from acclimate.wiring import live_versions, pinned, registry_of, source_of

CHAMPION = "champion"
SOURCE_URI = "acclimate.source_uri"


def champion_of(context: Context) -> RegisteredVersion | None:
    """The version that serves, or None."""
    return next((version for version in live_versions(context) if CHAMPION in version.aliases), None)


def drift_step(context: Context, fresh: DataSpec | None = None) -> Path:
    """Compare fresh rows with the champion's; the folder of a :class:`DriftReport`.

    Args:
        context: the run.
        fresh: where the fresh rows are; None takes ``retrain.fresh``, else the target's rows the champion has not seen.

    Raises:
        ModelError: E-DRIFT-003, there is no champion.
    """
    context = _pinned(context)
    champion = champion_of(context)
    if champion is None:
        name = context.request.adaptation.name
        raise ModelError(
            "E-DRIFT-003",
            "there is no champion to compare fresh rows with",
            where=f"models:/{name}@{CHAMPION}",
            hint="make one first: acclimate run, then acclimate promote",
        )
    spec = fresh or context.request.adaptation.retrain.fresh
    if spec is None:
        return _drift(context, STEPS["ingest"](context), "target", champion)
    data = execute(context, ingest_work(_reading(context, spec), any_length=True))
    return _drift(context, data, "reference", champion)


def check_step(context: Context, *, forced: bool = False) -> Path:
    """Decide whether to train again; the folder of a :class:`RetrainDecision`.

    A run decides once: repeated, its step gives the same answer, and its own attempt does not cool it down.

    Args:
        context: the run.
        forced: train again whatever the triggers and the cool-down say.
    """
    context = _pinned(context)
    data = STEPS["ingest"](context)
    folder = execute(context, _check_work(context, data, forced=forced))
    if RetrainDecision.read(folder).action == "retrain":
        _note_attempt(context)
    return folder


def retrain_request(context: Context, decision: RetrainDecision) -> Request:
    """The request the later steps of a retraining work on: what training starts from is settled by then."""
    return context.request.starting_from(decision.source)


def _pinned(context: Context) -> Context:
    """A schedule hands on an alias as it is, so that each of its runs sees where it points by then."""
    return replace(context, request=pinned(context.request, context.home))


def _reading(context: Context, fresh: DataSpec) -> Context:
    """The same run with the fresh rows in the place of reference data: read alike, labels not needed."""
    config = context.request.adaptation
    source = config.source.model_copy(update={"reference": fresh})
    request = replace(context.request, adaptation=config.model_copy(update={"source": source, "pool": None}))
    return replace(context, request=request)


@dataclass(frozen=True)
class _Origin:
    """The source model that the champion was made from, as far as it can be found."""

    folder: Path
    card: SourceCard


def _origin_of(context: Context, champion: RegisteredVersion) -> _Origin:
    """The configured source; for a champion that was trained from a champion, that one."""
    folder, card = source_of(context)
    uri = champion.tags.get(SOURCE_URI, "")
    if champion.tags.get("acclimate.source_digest") == card.digest or not uri.startswith("models:/"):
        return _Origin(folder, card)
    from acclimate.nn.source_card import source_card

    fetched = registry_of(context).fetch(uri, context.scratch / CHAMPION)
    return _Origin(fetched, source_card(fetched, name=uri, revision=None, licence=card.licence))


def _drift(context: Context, data: Path, table: Table, champion: RegisteredVersion) -> Path:
    alpha = context.request.adaptation.retrain.triggers.gap_alpha
    level = 0.01 if alpha is None else alpha
    origin = _origin_of(context, champion)
    features = f"features/{data_digest([origin.card.digest, data_digests(data)[table]])[:24]}"

    def call(out: Path) -> dict[str, Any]:
        from acclimate.nn.target_sketch import read_sketch
        from acclimate.stages.drift import drift

        stored = registry_of(context).fetch(champion.model_uri, context.scratch / CHAMPION)
        with _cache(context, features) as cache:
            report = drift(
                data,
                read_sketch(stored),
                origin.folder,
                origin.card,
                champion.model_uri,
                table=table,
                alpha=level,
                cache=cache,
                out=out,
                progress=context.progress,
            )
        return {"verdict": report.verdict}

    return execute(
        context,
        Work(
            stage="drift",
            module="acclimate.stages.drift",
            made_of={
                "fresh": data_digests(data)[table],
                "table": table,
                "champion": [champion.name, champion.version, champion.run_key],
                "source": origin.card.digest,
                "alpha": level,
            },
            call=call,
        ),
    )


@contextmanager
def _cache(context: Context, name: str) -> Iterator[Path]:
    yield context.store.pull(name)
    context.store.push(name)


def _check_work(context: Context, data: Path, *, forced: bool) -> Work:
    config = context.request.adaptation

    def call(out: Path) -> dict[str, Any]:
        from acclimate.nn.target_sketch import read_sketch
        from acclimate.stages.check import Champion, check, wants_drift

        now, last = time.time(), _last_attempt(context)
        version, champion = champion_of(context), None
        if version is not None:
            stored = registry_of(context).fetch(version.model_uri, context.scratch / CHAMPION)
            made = registered_at(config.tracking.uri, context.home, version)
            champion = Champion(version, made, read_sketch(stored))
        drift = None
        if wants_drift(config.retrain, champion, last, now):
            drift = DriftReport.read(drift_step(context))
        decision = check(
            config.name,
            config.source.model,
            source_of(context)[1],
            data,
            champion,
            drift,
            config=config.retrain,
            last_attempt=last,
            now=now,
            forced=forced,
            out=out,
        )
        return {"action": decision.action}

    return Work(
        stage="check",
        module="acclimate.stages.check",
        made_of={"run_id": context.run_id, "name": config.name, "forced": str(forced)},
        call=call,
    )


def _attempts(context: Context) -> str:
    return f"retrain/{context.request.adaptation.name}"


def _last_attempt(context: Context) -> float | None:
    folder = context.store.pull(_attempts(context))
    if not (folder / Attempt.file_name).is_file():
        return None
    attempt = Attempt.read(folder)
    return None if attempt.run_id == context.run_id else attempt.at


def _note_attempt(context: Context) -> None:
    name = _attempts(context)
    with context.store.lock(name.replace("/", "-")):
        folder = context.store.pull(name)
        folder.mkdir(parents=True, exist_ok=True)
        Attempt(run_id=context.run_id, at=time.time()).write(folder)
        context.store.push(name)
