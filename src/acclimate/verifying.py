"""Everything a registered model came from, hashed again where it lies now."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from acclimate.adapters.data_uris import located
from acclimate.adapters.images import images_below
from acclimate.adapters.mlflow_tags import (
    DATA_DIGEST,
    KIND,
    MODEL_DIGEST,
    POLICY,
    POOL_DIGEST,
    REFERENCE_DIGEST,
    RUN_KEY,
    SOURCE_DIGEST,
    SOURCE_KIND,
    SOURCE_MODEL,
    TEST_DIGEST,
    VERDICT,
    gap_tags,
    judged_tags,
    output_tags,
)
from acclimate.adapters.sources import resolve_source
from acclimate.config_file.addresses import scheme_of
from acclimate.config_file.paths import project_root
from acclimate.config_file.remote_uris import DvcAddress
from acclimate.digests import file_digest
from acclimate.errors import AcclimateError, DataError, IntegrityError
from acclimate.nn.source_card import folder_digest
from acclimate.records import Evidence, InputFile, TableCard, Verdict
from acclimate.registry import RegisteredVersion, Registry
from acclimate.replaying import not_compared, replayed
from acclimate.wiring import asked_registry

Outcome = Literal["unchanged", "changed", "not found"]
_Judged = tuple[Verdict, Evidence]  # sealed, and what it was computed from
#: Exit codes by the worst outcome.
EXITS: dict[Outcome, int] = {"unchanged": 0, "not found": 75, "changed": 76}
CHAIN_LIMIT = 50


@dataclass(frozen=True)
class Verified:
    """One thing that was hashed again.

    Args:
        kind: verdict, predictions, tags, weights, log, data or source.
        name: what it is called.
        outcome: unchanged, changed or not found.
        sha256: what it has to be; empty where it is a chain of entries.
        says: what is wrong, or not compared; empty where nothing is.
    """

    kind: str
    name: str
    outcome: Outcome
    sha256: str = ""
    says: str = ""


def verify(reference: str, workspace: Path | None, promotions: str | None, project: Path | None) -> dict[str, Any]:
    """Hash again what a model came from: verdict, predictions, weights, promotion log, data files and source models.

    Args:
        reference: ``NAME`` for the highest version, ``NAME@alias`` or ``NAME/7``.
        workspace: where the registry is looked for.
        promotions: where promotions are recorded.
        project: folder that local data and source models were named relative to; None: the project root here.

    Returns:
        ``model_uri``, ``outcome`` (the worst) and ``checked``, one entry a thing; models it was adapted from included.

    Raises:
        ModelError: E-REGISTRY-003, there is no such version.
        UnavailableError: the registry can't be reached.
    """
    registry, root = asked_registry(workspace, promotions), (project or project_root(Path.cwd())).resolve()
    with tempfile.TemporaryDirectory() as folder:
        uri, checked = _verified(registry, reference, root, Path(folder), CHAIN_LIMIT)
    worst = max((one.outcome for one in checked), key=lambda outcome: EXITS[outcome])
    return {"model_uri": uri, "outcome": worst, "checked": [asdict(one) for one in checked]}


def _verified(
    registry: Registry, reference: str, project: Path, scratch: Path, depth: int
) -> tuple[str, list[Verified]]:
    version = registry.version(reference)
    place = scratch / f"{version.name}-{version.version}"
    place.mkdir()
    found, judged = _judgement(registry, version, place)
    if judged is not None:
        found += _tags(registry, version, *judged)
    found += _weights(registry, version, judged, place)
    found += _log(registry, version)
    if judged is not None:
        _, evidence = judged
        for table in (evidence.data.target, evidence.data.reference, evidence.data.pool):
            found += [] if table is None else _data(table, project, place)
        found += _source(registry, version, evidence, project, place)
    parent = version.tags.get("acclimate.source_model", "")
    is_adapted = version.tags.get("acclimate.source_uri", "") == parent
    if is_adapted and depth > 0:
        above = parent.removeprefix("models:/")
        found += _tried("source", parent, "", lambda: _verified(registry, above, project, scratch, depth - 1)[1])
    return version.model_uri, found


def _tried(kind: str, name: str, sha256: str, look: Callable[[], list[Verified]]) -> list[Verified]:
    """What ``look`` finds; where it raises, what that says of the thing."""
    try:
        return look()
    except IntegrityError as error:
        outcome: Outcome = "changed"
        problem = error.problems[0]
    except AcclimateError as error:
        outcome, problem = "not found", error.problems[0]
    return [Verified(kind, name, outcome, sha256, f"{problem.message} ({problem.code})")]


def _judgement(registry: Registry, version: RegisteredVersion, place: Path) -> tuple[list[Verified], _Judged | None]:
    """The verdict against the version's tag, what it was computed from against the verdict, and whether it follows."""
    judged: list[_Judged] = []
    sealed = version.tags.get("acclimate.verdict_sha256", "")

    def verdict() -> list[Verified]:
        registry.verdict(version.model_uri)
        return [Verified("verdict", version.model_uri, "unchanged", sealed)]

    def predictions() -> list[Verified]:
        _, said, kept, path = registry.evidence(version.model_uri, place)
        judged.append((said, kept))
        _, computed = replayed(version.model_uri, said, kept, path)
        name, says = f"{kept.evaluation.rows} test rows", not_compared(said, computed)
        return [Verified("predictions", name, "unchanged", kept.predictions_sha256, says)]

    found = _tried("verdict", version.model_uri, sealed, verdict)
    if found[0].outcome == "unchanged":
        found += _tried("predictions", version.model_uri, "", predictions)
    return found, judged[0] if judged else None


def _tags(registry: Registry, version: RegisteredVersion, verdict: Verdict, evidence: Evidence) -> list[Verified]:
    """The tags that lineage, recall and models go by, as sealed: one line for all, or one each that differs."""
    tables, evaluation = evidence.data, evidence.evaluation
    wanted = {
        RUN_KEY: verdict.run_key,
        VERDICT: verdict.verdict,
        POLICY: verdict.policy,
        SOURCE_DIGEST: evidence.source.digest,
        DATA_DIGEST: tables.target.digest,
        REFERENCE_DIGEST: tables.reference.digest if tables.reference else None,
        POOL_DIGEST: tables.pool.digest if tables.pool else None,
        TEST_DIGEST: evaluation.test_digest,
    }
    # what is rejected for a licence may be other weights of the version's run key
    if version.tags.get(MODEL_DIGEST) == evaluation.model_digest:
        wanted |= judged_tags(evidence.decision, evaluation)
        # of a verdict from before they were kept neither is known
        if evidence.gap is not None:
            wanted |= gap_tags(evidence.gap) | output_tags(evidence.outputs)
    differ = [name for name, value in wanted.items() if version.tags.get(name) != value]
    says = "it is not what the sealed evidence says (E-VERIFY-002): somebody changed it in MLflow"
    found = [Verified("tags", name, "changed", wanted[name] or "", says) for name in differ]
    found += _tried("tags", SOURCE_MODEL, evidence.source.digest, lambda: _source_tag(registry, version, evidence))
    return found or [Verified("tags", f"{len(wanted) + 1} of {version.model_uri}", "unchanged", "")]


def _source_tag(registry: Registry, version: RegisteredVersion, evidence: Evidence) -> list[Verified]:
    """The registered model that a version names as its source must have the digest that was sealed.

    Raises:
        IntegrityError: E-VERIFY-002, it has another.
    """
    uri = version.tags.get(SOURCE_MODEL, "")
    named = registry.version(uri).tags
    own = SOURCE_DIGEST if named.get(KIND) == SOURCE_KIND else MODEL_DIGEST
    if named.get(own) != evidence.source.digest:
        raise IntegrityError(
            "E-VERIFY-002",
            f"it names {uri}, which is another model than the sealed evidence says",
            where=version.model_uri,
            hint="somebody changed it in MLflow: put it back, or judge the model again",
        )
    return []


def _weights(registry: Registry, version: RegisteredVersion, judged: _Judged | None, place: Path) -> list[Verified]:
    """The stored model against its own digest, and against the one that was evaluated."""
    wanted = version.tags.get("acclimate.model_digest", "")
    # what is rejected for a licence may be other weights of the version's run key
    if judged is not None and not judged[0].refuses_a_licence:
        wanted = judged[1].evaluation.model_digest

    def look() -> list[Verified]:
        stored = folder_digest(registry.fetch(version.model_uri, place / "model"))
        says = "" if stored == wanted else f"these weights were not evaluated: {stored[:12]}"
        return [Verified("weights", version.model_uri, "changed" if says else "unchanged", wanted, says)]

    return _tried("weights", version.model_uri, wanted, look)


def _log(registry: Registry, version: RegisteredVersion) -> list[Verified]:
    """The promotion log's chain, and the weights that its entries of this version name."""

    def look() -> list[Verified]:
        log = registry.promotions(version.name).log
        own = version.tags.get("acclimate.model_digest")
        other = [one.number for one in log.entries if one.version == version.version and one.model_digest != own]
        says = f"entry {other[0]} is about other weights than the version has" if other else ""
        name = f"{version.name}, {len(log.entries)} entries"
        return [Verified("log", name, "changed" if says else "unchanged", log.head, says)]

    return _tried("log", version.name, "", look)


def _data(table: TableCard, project: Path, place: Path) -> Iterator[Verified]:
    for file in table.files:
        yield from _tried("data", file.uri, file.sha256, lambda file=file: [_file(file, project, place)])  # type: ignore[misc]  # mypy can't infer a lambda with a default


def _file(file: InputFile, project: Path, place: Path) -> Verified:
    """A data file, or a folder of images, where it came from."""
    if scheme_of(file.uri) is None:
        sha256 = _digest_of(project / file.uri, project)
    else:
        (sha256,) = located(_pinned(file), root=project, home=place).digests.values()
    says = "" if sha256 == file.sha256 else f"its sha256 is {sha256[:12]} now"
    return Verified("data", file.uri, "changed" if says else "unchanged", file.sha256, says)


def _pinned(file: InputFile) -> str:
    """The address of the very version that was read: of an object on S3, or the commit that a revision stood for."""
    if file.version_id:
        return f"{file.uri}?versionId={file.version_id}"
    if file.dvc_rev:
        return str(replace(DvcAddress.parse(file.uri), revision=file.dvc_rev, repo=file.dvc_repo))
    return file.uri


def _digest_of(path: Path, project: Path) -> str:
    try:
        if not path.is_dir():
            return file_digest(path)
    except OSError as error:
        says = f"nothing can be read there: {error.strerror or error}"
        raise DataError("E-VERIFY-001", says, where=str(path), hint="name the project with --project") from error
    digest = hashlib.sha256()
    for image in images_below(path, str(path), project, allow_outside=True):
        digest.update(f"{image.relative_to(path).as_posix()} {file_digest(image)}\n".encode())
    return digest.hexdigest()


def _source(
    registry: Registry, version: RegisteredVersion, evidence: Evidence, project: Path, place: Path
) -> list[Verified]:
    """The source model where it came from."""
    uri, card = version.tags.get("acclimate.source_uri", ""), evidence.source

    def look() -> list[Verified]:
        where: dict[str, Any] = {"root": project, "home": place, "allow_outside": True}
        _, now = resolve_source(uri, licence=None, registry=lambda: registry, **where)
        says = "" if now.digest == card.digest else f"its digest is {now.digest[:12]} now"
        return [Verified("source", uri, "changed" if says else "unchanged", card.digest, says)]

    return _tried("source", uri or card.name, card.digest, look)


def verify_text(found: dict[str, Any]) -> str:
    """The result for people."""
    lines = [f"{found['model_uri']}: {found['outcome']}", ""]
    for one in found["checked"]:
        sha256 = f"sha256:{one['sha256'][:12]}" if one["sha256"] else ""
        lines.append(f"{one['kind']:<12}{one['outcome']:<11}{sha256:<21}{one['name']}")
        lines += [f"{'':<44}{one['says']}"] if one["says"] else []
    if found["outcome"] == "changed":
        lines += ["", "Do not rely on this model before what changed is explained, or it was judged again."]
    if found["outcome"] == "not found":
        lines += ["", "What was found is as it was. Name the project's folder with --project if data lie elsewhere."]
    return "\n".join(lines)
