"""Schedules on the cluster: recurring runs that never overlap and never catch up, made once by their name.

A schedule's name and the digest of all it consists of are kept with it. Made again with the same content it is left
alone; with other content a new one is made disabled, the old one is disabled, the new one enabled, the old one deleted:
two are never enabled, and whoever is interrupted on the way need only do it again. Two people who give one name two
contents at the same moment are told so.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.adapters.kfp_access import KfpAccess
from acclimate.adapters.kfp_client import Kfp
from acclimate.adapters.kfp_errors import NotThere
from acclimate.adapters.kfp_records import KfpSchedule
from acclimate.cluster.preparing import (
    Adapting,
    cluster_request,
    compiled,
    image_of,
    parameters_of,
    service_account_of,
)
from acclimate.cluster.timing import Timing
from acclimate.digests import data_digest
from acclimate.errors import ConfigError, UnavailableError
from acclimate.ports import Progress, silent

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_COPY = "its data are a copy; to see them change, give an s3:// address, or dvc:// with a repository's URL"
_PINNED = "its source model is pinned; to see a new one, give a folder on s3:// or models:/NAME@ALIAS"
_MADE = re.compile(
    r"made by acclimate; pipeline=(?P<pipeline>[a-z]+); cron=(?P<cron>[^;]+); timezone=(?P<timezone>[^;]+);"
    r" clock=(?P<clock>[^;]+); content=(?P<content>[0-9a-f]{64})"
)


def create_schedule(
    name: str,
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    cron: str,
    timezone: str | None = None,
    pipeline: Adapting = "retrain",
    endpoint: str | None = None,
    namespace: str | None = None,
    image: str | None = None,
    experiment: str | None = None,
    service_account: str | None = None,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Make a schedule, or bring the one of that name up to date.

    Args:
        name: the schedule's.
        path: the adaptation.yaml; its workspace must be on S3.
        overrides: ``section.key=value`` settings.
        cron: when; see :func:`acclimate.core.cron.parse_cron`.
        timezone: the zone it is meant in; UTC by default.
        pipeline: ``retrain``, which decides first whether there is a reason to, or ``adapt``.
        endpoint: of KFP.
        namespace: the user's.
        image: of the steps, by digest; by default ``ACCLIMATE_IMAGE``.
        experiment: where its runs go; by default the adaptation's name.
        service_account: what the pods of its runs run as; by default ``KFP_SERVICE_ACCOUNT``, else KFP's own default.
        allow_outside: data may lie outside the project root.
        progress: told of uploads.

    Returns:
        The schedule as :func:`show_schedule` gives it, and ``change``: ``created``, ``replaced`` or ``unchanged``.

    Raises:
        ConfigError: E-SCHEDULE-001 to -009, what is wrong with name, cron or zone; E-KFP-025, no service account's
            name; the file's own problems.
    """
    if not _NAME.fullmatch(name):
        hint = "letters, digits, '.', '_' and '-', at most 100"
        raise ConfigError("E-SCHEDULE-008", f"{name[:120]!r} can't be a schedule's name", hint=hint)
    timing = Timing.of(cron, timezone)
    access, steps_image = KfpAccess.find(endpoint, namespace), image_of(image)
    account = service_account_of(service_account)
    request = cluster_request(Path(path), overrides, pipeline=pipeline, allow_outside=allow_outside, progress=progress)
    with Kfp(access) as kfp:
        there = _ours(kfp, name)
        version = kfp.pipeline_version(f"acclimate-{pipeline}", compiled(pipeline, request, steps_image))
        experiment_id = kfp.experiment(experiment or request.adaptation.name)
        parameters = parameters_of(request)
        when = f"cron={timing.cron}; timezone={timing.zone.key}; clock={timing.clock.key}"
        content = data_digest([version.name, experiment_id, parameters, account, when])
        same = [each for each in there if _facts(each)["content"] == content]
        if same and len(there) == 1:
            return {**_shown(same[0]), "change": "unchanged"}
        if not same:
            kfp.create_schedule(
                name,
                experiment_id,
                version,
                parameters,
                account,
                cron=str(timing.told.cron),
                description=f"made by acclimate; pipeline={pipeline}; {when}; content={content}",
            )
        kept = _put_in_place(kfp, name, content)
    return {**_shown(kept), "change": "replaced" if there else "created"}


def _put_in_place(kfp: Kfp, name: str, content: str) -> KfpSchedule:
    """Leave the oldest schedule with this content, enabled, and no other of its name."""
    found = _ours(kfp, name)
    kept, *_ = [*(each for each in found if _facts(each)["content"] == content), None]
    if kept is None:
        raise _overtaken(name)
    others = [each for each in found if each.id != kept.id]
    for other in others:
        _switch(kfp, other, on=False)
    if not _switch(kfp, kept, on=True):
        raise _overtaken(name)
    for other in others:
        kfp.delete_schedule(other.id)
    left = _ours(kfp, name)
    if [each.id for each in left] != [kept.id]:
        raise _overtaken(name)
    return left[0]


def _switch(kfp: Kfp, schedule: KfpSchedule, *, on: bool) -> bool:
    try:
        kfp.switch_schedule(schedule.id, on=on)
    except NotThere:
        return False
    return True


def _overtaken(name: str) -> UnavailableError:
    return UnavailableError(
        "E-SCHEDULE-009",
        f"somebody else changed the schedule {name!r} at the same moment",
        hint="run the command again",
    )


def list_schedules(*, endpoint: str | None = None, namespace: str | None = None) -> list[dict[str, Any]]:
    """All schedules that acclimate made, oldest first.

    Args:
        endpoint: of KFP.
        namespace: the user's.
    """
    with Kfp(KfpAccess.find(endpoint, namespace)) as kfp:
        return [_shown(each) for each in kfp.schedules() if _MADE.fullmatch(each.description)]


def show_schedule(name: str, *, endpoint: str | None = None, namespace: str | None = None) -> dict[str, Any]:
    """One schedule with its next five times.

    Args:
        name: the schedule's.
        endpoint: of KFP.
        namespace: the user's.

    Raises:
        ConfigError: E-SCHEDULE-004, there is none of that name; E-SCHEDULE-010, it isn't acclimate's.
    """
    with Kfp(KfpAccess.find(endpoint, namespace)) as kfp:
        return _shown(_known(kfp, name)[0])


def switch_schedule(
    name: str, *, on: bool, endpoint: str | None = None, namespace: str | None = None
) -> dict[str, Any]:
    """Enable or disable a schedule; runs that are under way go on.

    Args:
        name: the schedule's.
        on: enable.
        endpoint: of KFP.
        namespace: the user's.

    Raises:
        ConfigError: E-SCHEDULE-004, there is none of that name; E-SCHEDULE-010, it isn't acclimate's.
        UnavailableError: E-SCHEDULE-009, it was changed at the same moment, or a change of it was cut short.
    """
    with Kfp(KfpAccess.find(endpoint, namespace)) as kfp:
        found = _known(kfp, name)
        if on and len(found) > 1:
            raise _overtaken(name)
        for each in found:
            if not _switch(kfp, each, on=on):
                raise _overtaken(name)
        return _shown(_known(kfp, name)[0])


def delete_schedule(name: str, *, endpoint: str | None = None, namespace: str | None = None) -> dict[str, Any]:
    """Delete a schedule; runs that are under way go on.

    Args:
        name: the schedule's.
        endpoint: of KFP.
        namespace: the user's.

    Raises:
        ConfigError: E-SCHEDULE-004, there is none of that name; E-SCHEDULE-010, it isn't acclimate's.
    """
    with Kfp(KfpAccess.find(endpoint, namespace)) as kfp:
        for each in _known(kfp, name):
            kfp.delete_schedule(each.id)
    return {"name": name, "deleted": True}


def _known(kfp: Kfp, name: str) -> list[KfpSchedule]:
    found = _ours(kfp, name)
    if not found:
        names = [each.name for each in kfp.schedules() if _MADE.fullmatch(each.description)]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "acclimate schedule list shows all"
        raise ConfigError("E-SCHEDULE-004", f"there is no schedule {name!r}", hint=hint)
    return found


def _ours(kfp: Kfp, name: str) -> list[KfpSchedule]:
    """Schedules of that name, oldest first; somebody else's are never touched."""
    found = [each for each in kfp.schedules(name) if each.name == name]
    if any(not _MADE.fullmatch(each.description) for each in found):
        raise ConfigError(
            "E-SCHEDULE-010",
            f"there is a recurring run {name!r} that acclimate did not make",
            hint="choose another name, or delete it in KFP's UI",
        )
    return found


def _facts(schedule: KfpSchedule) -> dict[str, str]:
    match = _MADE.fullmatch(schedule.description)
    return match.groupdict() if match else {"content": ""}


def _shown(schedule: KfpSchedule) -> dict[str, Any]:
    facts = _facts(schedule)
    request = json.loads(str(schedule.parameters.get("request", "{}")))
    timing = Timing.read(facts["cron"], facts["timezone"], facts["clock"])
    workspace = str(request.get("workspace"))
    data = str(request.get("adaptation", {}).get("target", {}).get("data"))
    copied = _COPY if data.startswith(f"{workspace.rstrip('/')}/data/") else None
    source = str(request.get("adaptation", {}).get("source", {}).get("model"))
    is_version = source.startswith("models:/") and "@" not in source
    is_pinned = is_version or source.startswith(f"{workspace.rstrip('/')}/sources/")
    return {
        "name": schedule.name,
        "id": schedule.id,
        "enabled": schedule.enabled,
        "pipeline": facts["pipeline"],
        "model": request.get("adaptation", {}).get("name"),
        "workspace": workspace,
        "data": data,
        "notes": [note for note in (timing.note, copied, _PINNED if is_pinned else None) if note],
        "cron": facts["cron"],
        "timezone": facts["timezone"],
        "kfp_cron": schedule.cron,
        "next": timing.coming() if schedule.enabled else [],
        "created_at": schedule.created_at,
    }


def schedule_text(found: dict[str, Any]) -> str:
    """A schedule, for people."""
    state = "enabled" if found["enabled"] else "disabled"
    head = f"{found['name']}  {found['change']}, {state}" if "change" in found else f"{found['name']}  {state}"
    lines = [head, f"  runs {found['pipeline']} for {found['model']}: {found['cron']} ({found['timezone']})"]
    if found["kfp_cron"] != found["cron"]:
        lines.append(f"  the cluster's scheduler reads {found['kfp_cron']}")
    lines += [f"  next {time}" for time in found["next"]]
    return "\n".join([*lines, *(f"  note: {note}" for note in found["notes"])])
