"""The Registry port on MLflow: runs, models, versions, aliases and where they came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from acclimate.adapters import (
    mlflow_artifacts,
    mlflow_descendants,
    mlflow_lineage,
    mlflow_recalls,
    mlflow_runs,
    mlflow_versions,
)
from acclimate.adapters.mlflow_ancestors import ancestors_tag
from acclimate.adapters.mlflow_client import Connection, connect, every
from acclimate.adapters.mlflow_errors import repeated, translated
from acclimate.adapters.mlflow_lock import LOCKS, alias_lock
from acclimate.adapters.mlflow_note import summary
from acclimate.adapters.mlflow_pages import keep_pages, kept_report
from acclimate.adapters.mlflow_promotions import Promoter
from acclimate.adapters.mlflow_sources import SOURCE_PREFIX, ensure_source
from acclimate.adapters.mlflow_stages import record_verdict
from acclimate.adapters.mlflow_tags import (
    ANCESTORS,
    CHAMPION,
    CONTENT_SHA256,
    LOGGED_MODEL,
    MODEL_DIGEST,
    POLICY,
    RECALLED,
    RUN_KEY,
    SOURCE_DIGEST,
    SOURCE_MODEL,
    VERDICT,
    VERDICT_SHA256,
    consideration_tags,
    finding_tags,
    licence_tags,
    lineage_tags,
)
from acclimate.adapters.mlflow_verdicts import evidence_of, store_evidence, store_verdict, verdict_of
from acclimate.adapters.promotion_places import place_at
from acclimate.adapters.promotion_rules import REASON_LIMIT, Acting, user
from acclimate.errors import ConfigError, IntegrityError
from acclimate.records import Evidence, LineageNode, Registration, Verdict
from acclimate.registry import Descendant, Move, Promotions, RegisteredVersion, RunRecords

AUTO_PROMOTED = "gate.auto_promote: the verdict is PROMOTE"
# what MLflow's databases hold of a version's description is 5,000 characters
_DESCRIPTION_LIMIT = 5000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


def open_registry(
    uri: str | None, workspace: Path, promotions: str | None = None, *, may_claim: bool = True
) -> MlflowRegistry:
    """Open the registry.

    Args:
        uri: MLflow server or database; None takes MLFLOW_TRACKING_URI, else ``<workspace>/mlflow.db``
            with artifacts in ``<workspace>/mlartifacts``, created when absent.
        workspace: folder of the embedded store.
        promotions: where promotion logs lie, a folder or ``s3://BUCKET/PREFIX``; None takes ``promotions`` in the
            workspace, or one on S3 that the registry knows.
        may_claim: a model on a server whose log lies nowhere yet may get it at a place that nobody named.

    Raises:
        UnavailableError: E-REGISTRY-001, it can't be reached or created.
        AccessError: E-REGISTRY-004, its folder can't be written.
    """
    connection = connect(uri, workspace)
    place = place_at(promotions or str(workspace / "promotions"))
    embedded = connection.database is not None and connection.database.resolve() == (workspace / "mlflow.db").resolve()
    is_named = promotions is not None or embedded
    promoter = Promoter(
        connection,
        place,
        is_default=promotions is None and embedded,
        is_named=is_named,
        may_claim=may_claim or is_named,
    )
    return MlflowRegistry(connection, promoter)


class MlflowRegistry:
    """Runs, models and lineage in MLflow.

    Args:
        connection: an open tracking store.
        promoter: acts on its aliases.
    """

    def __init__(self, connection: Connection, promoter: Promoter) -> None:
        self._connection = connection
        self._promoter = promoter

    @property
    def uri(self) -> str:
        """Tracking URI without credentials."""
        return self._connection.shown_uri

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Live versions of a model, lowest first; empty when the name is unknown."""
        if not _NAME.fullmatch(name):
            return []
        with translated(self.uri):
            return mlflow_versions.live_versions(self._connection, name)

    def require(self, name: str) -> list[RegisteredVersion]:
        """Live versions of a model, lowest first.

        Raises:
            ModelError: E-REGISTRY-003, unknown, with the nearest names.
        """
        with translated(self.uri):
            mlflow_artifacts.registered_model(self._connection, name)
        return self.versions(name)

    def adapted(self) -> dict[str, int | None]:
        """Names of all adapted models, sorted, each with the version the alias ``champion`` points at."""
        with translated(self.uri):
            found = every(self._connection.client.search_registered_models)
            own = [one for one in found if not one.name.startswith((LOCKS, mlflow_recalls.RECALLS, SOURCE_PREFIX))]
        pointed = {one.name: one.aliases.get(CHAMPION) for one in own}
        return {name: None if version is None else int(version) for name, version in sorted(pointed.items())}

    def champion(self, name: str) -> RegisteredVersion | None:
        """The version the alias ``champion`` points at."""
        return next((one for one in self.versions(name) if CHAMPION in one.aliases), None)

    def fetch(self, uri: str, into: Path) -> Path:
        """Folder of the model behind a URI, below ``into``; its bytes are checked against the registry's digest.

        Args:
            uri: ``models:/NAME/VERSION``, ``models:/NAME@ALIAS``, ``models:/m-ID`` or ``runs:/RUN_ID/model``.
            into: folder for fetched models; the same bytes are fetched once.

        Raises:
            ModelError: E-REGISTRY-003 unknown, E-REGISTRY-007 no model URI, E-REGISTRY-012 not acclimate's.
            IntegrityError: E-REGISTRY-011, the bytes have changed.
        """
        with translated(self.uri):
            return mlflow_artifacts.fetch(self._connection, uri, into)

    def version(self, reference: str) -> RegisteredVersion:
        """The version somebody means; see :func:`acclimate.adapters.mlflow_versions.find_version`."""
        with translated(self.uri):
            return mlflow_versions.find_version(self._connection, reference)

    def lineage(self, reference: str) -> LineageNode:
        """What made a model; see :func:`acclimate.adapters.mlflow_lineage.trace`."""
        with translated(self.uri):
            return mlflow_lineage.trace(self._connection, reference)

    def verdict(self, reference: str) -> tuple[RegisteredVersion, Verdict]:
        """A version and what the gate said of it, checked against the version's tag.

        Args:
            reference: as :meth:`lineage` takes it.

        Raises:
            ModelError: E-REGISTRY-003, there is no such version; E-REGISTRY-018, there is no verdict of it.
            IntegrityError: E-REGISTRY-019, the stored verdict was changed.
        """
        with translated(self.uri):
            version = mlflow_versions.find_version(self._connection, reference)
            return version, verdict_of(self._connection, version)

    def promotions(self, name: str) -> Promotions:
        """Who acted on a model's aliases, and whether they still agree; changes nothing.

        Raises:
            ModelError: E-REGISTRY-003, there is no such model.
            ConfigError: E-PROMOTE-002, this model's promotions are recorded elsewhere.
            IntegrityError: E-PROMOTE-003, the log was changed.
        """
        with translated(self.uri):
            mlflow_artifacts.registered_model(self._connection, name)
            return self._promoter.look(name)

    def promote(self, reference: str, by: str, reason: str, expect: str | None) -> Move:
        """Make a version the champion; see :meth:`~acclimate.adapters.mlflow_promotions.Promoter.promote`."""

        def act() -> Move:
            version = mlflow_versions.find_version(self._connection, reference)
            before = self._promoter.promote(version, Acting(by, reason, expect))
            return Move(version.name, before, version.version)

        return repeated(act, self.uri)

    def rollback(self, name: str, by: str, reason: str, expect: str | None, to: str | None) -> Move:
        """Go back to an earlier champion; see :meth:`~acclimate.adapters.mlflow_promotions.Promoter.rollback`."""
        if not _NAME.fullmatch(name):
            hint = "name the model alone, and the version with --to"
            raise ConfigError("E-PROMOTE-005", "this is no name of a model", where=name[:100], hint=hint)
        with translated(self.uri):
            return Move(name, *self._promoter.rollback(name, Acting(by, reason, expect), to))

    def shadow(self, reference: str, by: str, reason: str) -> RegisteredVersion:
        """Make a version the challenger; see :meth:`~acclimate.adapters.mlflow_promotions.Promoter.shadow`."""
        with translated(self.uri):
            version = mlflow_versions.find_version(self._connection, reference)
            self._promoter.shadow(version, Acting(by, reason))
        return version

    def approve(self, reference: str, by: str, reason: str) -> tuple[RegisteredVersion, Verdict]:
        """Record an approval; see :meth:`~acclimate.adapters.mlflow_promotions.Promoter.approve`."""
        with translated(self.uri):
            version = mlflow_versions.find_version(self._connection, reference)
            return version, self._promoter.approve(version, Acting(by, reason))

    def descendants(self, source: str | None, data: str | None) -> list[Descendant]:
        """Live versions that were made from a source model or from data.

        Args:
            source: see :func:`acclimate.adapters.mlflow_descendants.meant_by`; None looks for data.
            data: see :func:`acclimate.adapters.mlflow_descendants.of_data`.

        Raises:
            ModelError: E-REGISTRY-003, the registry knows no such source.
            ConfigError: E-RECALL-001, that is no digest.
        """
        with translated(self.uri):
            if source is not None:
                return mlflow_descendants.of_source(self._connection, source)
            return mlflow_descendants.of_data(self._connection, data or "")

    def withdraw(self, source: str | None, data: str | None, by: str, reason: str) -> None:
        """Let nothing that is made from a source model or from data get an alias; both as for :meth:`descendants`."""
        recall = mlflow_recalls.Recalled(source=source, data=data, by=by, reason=reason)
        with translated(self.uri):
            digests, sources = self._meant(source, data)
            mlflow_recalls.withdraw(self._connection, digests, recall)
            for one in sources:
                mlflow_versions.set_tags(self._connection, one, {RECALLED: f"{by}: {reason}"})

    def restore(self, source: str | None, data: str | None) -> None:
        """Undo :meth:`withdraw`; versions that were recalled stay so until they are readmitted."""
        with translated(self.uri):
            digests, sources = self._meant(source, data)
            mlflow_recalls.restore(self._connection, digests)
            for one in sources:
                if RECALLED in one.tags:
                    self._connection.client.delete_model_version_tag(one.name, str(one.version), RECALLED)

    def withdrawn(self, source: str | None, data: str | None) -> str | None:
        """What is recalled of a source model or data, by whom and why; None: nothing."""
        with translated(self.uri):
            found = mlflow_recalls.one_of(self._connection, self._meant(source, data)[0])
        return found.told if found else None

    def _meant(self, source: str | None, data: str | None) -> tuple[list[str], list[RegisteredVersion]]:
        """Digests of what is recalled, and the source models among it."""
        if source is None:
            mlflow_descendants.require_digest(data or "")
            return [data or ""], []
        meant = mlflow_descendants.meant_by(self._connection, source)
        versions = [one.version for one in meant if one.version is not None and SOURCE_MODEL not in one.version.tags]
        return list(dict.fromkeys(one.digest for one in meant if one.digest)), versions

    def recall(self, reference: str, by: str, reason: str) -> RegisteredVersion:
        """Recall a version; see :meth:`~acclimate.adapters.mlflow_promotions.Promoter.recall`."""
        with translated(self.uri):
            version = mlflow_versions.find_version(self._connection, reference, leftovers=True)
            self._promoter.recall(version, Acting(by, reason))
        return version

    def readmit(self, reference: str, by: str, reason: str) -> RegisteredVersion:
        """Lift a recall; see :meth:`~acclimate.adapters.mlflow_promotions.Promoter.readmit`."""
        with translated(self.uri):
            version = mlflow_versions.find_version(self._connection, reference, leftovers=True)
            self._promoter.readmit(version, Acting(by, reason))
        return version

    def look(self, test_digest: str, run_key: str) -> int:
        """Which look at the test rows of that digest a run key is, the first is 1; the next where it isn't recorded."""
        with translated(self.uri):
            keys = mlflow_runs.run_keys_at(self._connection, test_digest)
        return keys.index(run_key) + 1 if run_key in keys else len(keys) + 1

    def record_run(self, records: RunRecords) -> str:
        """Keep the run (once per run key; written again it updates the same run) and return its id."""
        return repeated(lambda: self._record_run(records), self.uri)

    def _record_run(self, records: RunRecords) -> str:
        source_uri, source_id = ensure_source(self._connection, records.source, records.source_uri)
        run_id = mlflow_runs.record(self._connection, records, source_uri)
        if source_id is not None:
            self._link_source(run_id, source_id)
        return run_id

    def _link_source(self, run_id: str, model_id: str) -> None:
        from mlflow.entities import LoggedModelInput

        known = self._connection.client.get_run(run_id).inputs.model_inputs
        if all(one.model_id != model_id for one in known):
            self._connection.client.log_inputs(run_id, models=[LoggedModelInput(model_id)])

    def keep_files(self, mlflow_run_id: str, folder: Path) -> None:
        """Keep all that lies in a folder with the run, in the place of what it had by the same names."""
        repeated(lambda: keep_pages(self._connection, mlflow_run_id, folder), self.uri)

    def report(self, version: RegisteredVersion) -> str | None:
        """The kept report of a version; see :func:`acclimate.adapters.mlflow_pages.kept_report`."""
        with translated(self.uri):
            return kept_report(self._connection, version)

    def log_model(self, mlflow_run_id: str, records: RunRecords, model_folder: Path) -> str:
        """Store the model with the run, not yet registered; the same bytes are stored once.

        Returns:
            ``models:/m-ID``, which :meth:`fetch` takes.
        """
        return repeated(
            lambda: mlflow_artifacts.store(self._connection, mlflow_run_id, records, model_folder), self.uri
        )

    def keep_evidence(self, mlflow_run_id: str, evidence: Evidence, predictions: Path) -> None:
        """Keep what a verdict was computed from; see :func:`acclimate.adapters.mlflow_verdicts.store_evidence`."""
        repeated(lambda: store_evidence(self._connection, mlflow_run_id, evidence, predictions), self.uri)

    def evidence(self, reference: str, into: Path) -> tuple[RegisteredVersion, Verdict, Evidence, Path]:
        """A version, its verdict, and what that was computed from, each checked against the digest that names it.

        Args:
            reference: as :meth:`lineage` takes it.
            into: folder for the file of predictions, there already.

        Raises:
            ModelError: those of :meth:`verdict`; E-REGISTRY-022, nothing was kept, or it is gone.
            IntegrityError: E-REGISTRY-019, the verdict was changed; E-REGISTRY-023, what it was computed from was.
        """
        version, verdict = self.verdict(reference)
        with translated(self.uri):
            return version, verdict, *evidence_of(self._connection, version, verdict, into)

    def register(
        self, records: RunRecords, mlflow_run_id: str, model_uri: str | None, verdict: Verdict, *, auto_promote: bool
    ) -> Registration:
        """Register idempotently by run key and set the aliases the verdict asks for.

        Args:
            records: what the run produced.
            mlflow_run_id: from :meth:`record_run`.
            model_uri: from :meth:`log_model`; None where nothing is to be registered.
            verdict: REJECT registers nothing.
            auto_promote: PROMOTE also sets ``champion``.

        Raises:
            UnavailableError: E-REGISTRY-020, the champion moved since the evaluation.
            IntegrityError: E-REGISTRY-014, the stored model is not this run's.
        """
        return repeated(
            lambda: self._judged(records, mlflow_run_id, model_uri, verdict, auto_promote=auto_promote), self.uri
        )

    def _judged(
        self, records: RunRecords, run_id: str, model_uri: str | None, verdict: Verdict, *, auto_promote: bool
    ) -> Registration:
        source_uri, _ = ensure_source(self._connection, records.source, records.source_uri)
        sha256 = store_verdict(self._connection, run_id, verdict)
        version, created = None, False
        self._tell_run_key(records, sha256, verdict)
        if model_uri is not None and verdict.verdict != "REJECT":
            tags = {
                **lineage_tags(records, source_uri),
                **consideration_tags(records.considerations),
                VERDICT: verdict.verdict,
                VERDICT_SHA256: sha256,
                POLICY: verdict.policy,
            }
            version, created = self._register(records, run_id, model_uri, tags, verdict, auto_promote)
        record_verdict(self._connection, run_id, verdict, sha256)
        return Registration(
            tracking_uri=self.uri,
            mlflow_run_id=run_id,
            model_uri=version.model_uri if version else None,
            version=version.version if version else None,
            aliases=self._aliases_of(version) if version else [],
            source_model_uri=source_uri,
            created=created,
            verdict_sha256=sha256,
            recalled=version.tags.get(RECALLED) if version else None,
        )

    def _register(
        self,
        records: RunRecords,
        run_id: str,
        model_uri: str,
        tags: dict[str, str],
        verdict: Verdict,
        auto_promote: bool,
    ) -> tuple[RegisteredVersion, bool]:
        connection, name = self._connection, records.name
        promote = auto_promote and tags[VERDICT] == "PROMOTE"
        expected = mlflow_versions.expected_champion(name, records.evaluation.comparator)
        mlflow_versions.ensure_registered_model(connection, name, {"acclimate.kind": "adapted model"})
        self._promoter.claim(name)
        if promote:
            mlflow_versions.check_champion(connection, name, expected, (RUN_KEY, records.run_key))
        source, stored = self._stored(records, run_id, model_uri)
        described = {**source, "description": summary(records)[:_DESCRIPTION_LIMIT]}
        behind = {ANCESTORS: ancestors_tag(connection, tags[SOURCE_MODEL], tags[SOURCE_DIGEST])}
        version, created = mlflow_versions.ensure_version(
            connection, name, (RUN_KEY, records.run_key), described, {**tags, **stored, **behind}
        )
        # A version of this run key with other bytes was judged by its own evaluation: leave it as it is. So is the
        # champion, which keeps the verdict that made it so: who finds it wanting now has to take the alias away.
        stays = CHAMPION in version.aliases and tags[VERDICT] != "PROMOTE"
        if version.tags.get(MODEL_DIGEST) == tags[MODEL_DIGEST] and not stays:
            self._bar(version)
            # where a version has its ancestors already, more may have been known then
            known = {ANCESTORS: version.tags[ANCESTORS]} if ANCESTORS in version.tags else behind
            # findings once more: what is not known any more is taken away
            version = self._tell(version, {**known, **tags, **finding_tags(records)})
            if promote and RECALLED not in version.tags:
                self._promoter.promote(version, Acting(user(), AUTO_PROMOTED), verdict)
        return version, created

    def _bar(self, version: RegisteredVersion) -> None:
        """Recall a version that something recalled is behind: it is registered, and gets no alias."""
        recall = mlflow_recalls.behind(self._connection, version)
        if recall is not None and RECALLED not in version.tags:
            self._promoter.recall(version, Acting(user(), f"made from {recall.told}"[:REASON_LIMIT]))

    def _tell(self, version: RegisteredVersion, tags: Mapping[str, str | None]) -> RegisteredVersion:
        """Give a version its newest verdict, and with it the alias ``challenger`` or none.

        The champion keeps the verdict that made it so: who finds it wanting now has to take the alias away. Whoever
        promotes or recalls holds the same lock: what they did is seen here, and this verdict is seen by them.
        """
        connection = self._connection
        with alias_lock(connection, version.name):
            now = mlflow_versions.find_version(connection, f"{version.name}/{version.version}")
            if CHAMPION in now.aliases and tags[VERDICT] != "PROMOTE":
                return now
            mlflow_versions.set_tags(connection, now, tags)
            if tags[VERDICT] in ("PROMOTE", "SHADOW") and RECALLED not in now.tags:
                mlflow_versions.make_challenger(connection, now)
            else:
                mlflow_versions.no_challenger(connection, now.name, now.version)
        changed = {**now.tags, **tags}
        return replace(now, tags={name: value for name, value in changed.items() if value is not None})

    def _tell_run_key(self, records: RunRecords, sha256: str, verdict: Verdict) -> None:
        """Tell the version of this run key, which was there before, what holds for it too.

        That is what is known of licences by now, and a rejection: of these weights, or of any for a licence.
        """
        for one in self.versions(records.name):
            if one.run_key != records.run_key:
                continue
            mlflow_versions.set_tags(self._connection, one, licence_tags(records))
            same = one.tags.get(MODEL_DIGEST) == records.evaluation.model_digest
            if verdict.verdict == "REJECT" and (same or verdict.refuses_a_licence):
                told = finding_tags(records) if same else {}
                self._tell(one, {VERDICT: verdict.verdict, VERDICT_SHA256: sha256, POLICY: verdict.policy, **told})

    def _stored(self, records: RunRecords, run_id: str, model_uri: str) -> tuple[dict[str, Any], dict[str, str]]:
        model_id = model_uri.removeprefix("models:/")
        logged = self._connection.client.get_logged_model(model_id)
        if logged.tags.get(RUN_KEY) != records.run_key or str(logged.status) != "READY":
            raise IntegrityError(
                "E-REGISTRY-014",
                "the stored model is not the one of this run, or is not whole",
                where=model_uri,
                hint="run the register stage again",
            )
        source = {"source": logged.artifact_location, "run_id": run_id, "model_id": model_id}
        return source, {LOGGED_MODEL: model_id, CONTENT_SHA256: logged.tags[CONTENT_SHA256]}

    def _aliases_of(self, version: RegisteredVersion) -> list[str]:
        pointed = mlflow_versions.aliases(self._connection, version.name)
        return sorted(alias for alias, of in pointed.items() if of == version.version)
