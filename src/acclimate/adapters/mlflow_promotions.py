"""Promoting, rolling back, shadowing and approving: the promotion log decides, MLflow's aliases follow.

MLflow has no compare-and-swap, so the log has it: an act counts once its entry is appended to the log as it was read.
Only then the alias moves, and it is looked at again until it agrees with the log's last entry. Two tags of the
registered model tie the log to the registry: its place, and its last entry once the alias has followed. See
docs/decisions/0020-the-promotion-log-decides.md.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from acclimate.adapters.mlflow_artifacts import registered_model
from acclimate.adapters.mlflow_client import Connection
from acclimate.adapters.mlflow_errors import is_error
from acclimate.adapters.mlflow_lock import alias_lock
from acclimate.adapters.mlflow_recalls import require_free
from acclimate.adapters.mlflow_tags import (
    CHALLENGER,
    CHAMPION,
    COMPARATOR,
    MODEL_DIGEST,
    PREVIOUS_CHAMPION,
    RECALLED,
    VERDICT_SHA256,
)
from acclimate.adapters.mlflow_verdicts import verdict_of
from acclimate.adapters.mlflow_versions import (
    all_versions,
    champion_moved,
    expected_champion,
    no_challenger,
)
from acclimate.adapters.promotion_places import Place, place_at
from acclimate.adapters.promotion_rules import (
    Acting,
    Seen,
    judged_again,
    moved_by_hand,
    not_approved,
    refused,
    require_champion,
    require_not_recalled,
    require_permission,
    rollback_target,
)
from acclimate.errors import ConfigError, IntegrityError, UnavailableError
from acclimate.records import Verdict
from acclimate.records_promotion import Act, PromotionEntry, PromotionLog
from acclimate.registry import Promotions, RegisteredVersion

HEAD = "acclimate.promotion_head"
PLACE = "acclimate.promotions"
_TRIES = 20
_CONVERGES = 20


class Promoter:
    """Acts on the champion and challenger of registered models.

    Args:
        connection: the registry.
        place: where the logs lie; the same for all who act on this registry's models.
        is_default: the place is the embedded registry's own workspace, which may be moved as a whole.
        is_named: somebody named the place; else one on S3 that the registry knows comes before it.
        may_claim: a model whose log lies nowhere yet may get it there.
    """

    def __init__(
        self, connection: Connection, place: Place, *, is_default: bool, is_named: bool = True, may_claim: bool = True
    ) -> None:
        self._connection = connection
        self._place = place
        self._shown = "the workspace" if is_default else place.uri
        self._is_named = is_named
        self._may_claim = may_claim

    def look(self, name: str) -> Promotions:
        """The log of a model, and whether the alias ``champion`` agrees with it; changes nothing.

        Raises:
            ConfigError: E-PROMOTE-002, this model's promotions are recorded elsewhere.
            IntegrityError: E-PROMOTE-003, the log was changed.
        """
        model = self._model(name)
        log, _ = self._log(model)
        pointed = _pointed(model)
        live = frozenset(one.version for one in all_versions(self._connection, name))
        return Promotions(log, log.champion(pointed), pointed, log.pending(model.tags.get(HEAD, "")), live)

    def promote(self, version: RegisteredVersion, acting: Acting, verdict: Verdict | None = None) -> int | None:
        """Make a version the champion, provided the gate lets it and the champion is the one it was compared with.

        Args:
            version: the version.
            acting: who and why.
            verdict: what the gate said of it; by default it is read from the registry.

        Returns:
            The champion before; the version itself where it is the champion already.

        Raises:
            RefusalError: E-PROMOTE-001, the gate does not let it.
            UnavailableError: E-REGISTRY-020, the champion moved since; E-PROMOTE-007, others promote all the time;
                E-PROMOTE-013, it was judged again meanwhile.
            IntegrityError: E-PROMOTE-004, somebody moved the alias by hand, or deleted the champion.
        """
        verdict = verdict or verdict_of(self._connection, version)
        compared_with = expected_champion(version.name, verdict.comparator or version.tags.get(COMPARATOR, ""))

        def entry(seen: Seen) -> dict[str, Any] | None:
            champion, pointed = seen.champion, seen.pointed
            if pointed not in (champion, version.version):
                raise moved_by_hand(version.name, self.look(version.name))
            if champion == version.version:
                return None
            sealed = self._as_judged(version)
            self._require_not_recalled(version, seen.log)
            require_champion(champion, acting.expect, version.name)
            if champion != compared_with:
                raise champion_moved(version.name, compared_with, champion)
            require_permission(version, verdict, seen.log)
            return {**sealed, "champion_after": version.version}

        return self._act("promote", version.name, acting, entry)

    def rollback(self, name: str, acting: Acting, to: str | None = None) -> tuple[int | None, int | None]:
        """Go back to the champion before, or to the one that is named.

        Args:
            name: the registered model.
            acting: who and why.
            to: an earlier champion's version, the recorded champion's where the alias was moved by hand, or ``none``
                to have no champion; None: the one before.

        Returns:
            The champion before and after.

        Raises:
            ConfigError: E-PROMOTE-005, there is no such champion to go back to.
            UnavailableError: E-REGISTRY-020, the champion is not the expected one.
            IntegrityError: E-PROMOTE-004, somebody moved the alias by hand or deleted the champion, and ``to`` is not
                given.
        """
        registered_model(self._connection, name)
        before: int | None = None
        after: int | None = None

        def entry(seen: Seen) -> dict[str, Any] | None:
            nonlocal before, after
            done, champion = seen.finished, seen.champion
            before, after = champion, champion
            if done is not None and done.act == "rollback" and to is None:
                # asked again after it was interrupted: going on would go back twice
                before, after = done.champion_before, done.champion_after
                return None
            if to is None and seen.pointed != champion:
                raise moved_by_hand(name, self.look(name))
            require_champion(champion, acting.expect, name)
            versions = {one.version: one for one in all_versions(self._connection, name)}
            after = rollback_target(name, seen.log, champion, to, versions)
            if after == champion == seen.pointed:
                return None
            if after is not None:
                require_free(self._connection, versions[after])
            tags = versions[after].tags if after is not None else {}
            return {**_sealed(after, tags), "champion_after": after}

        self._act("rollback", name, acting, entry)
        return before, after

    def shadow(self, version: RegisteredVersion, acting: Acting) -> None:
        """Make a version the challenger, to run beside the champion.

        Raises:
            RefusalError: E-PROMOTE-001, the gate does not let it.
            UnavailableError: E-PROMOTE-013, it was judged again meanwhile.
        """
        verdict = verdict_of(self._connection, version)
        if not {verdict.verdict, verdict.if_approved} & {"PROMOTE", "SHADOW"}:
            raise refused(version, verdict, "shadow")
        self._act("shadow", version.name, acting, self._if_not_recalled(version))

    def approve(self, version: RegisteredVersion, acting: Acting) -> Verdict:
        """Record that somebody answers for a version as its verdict saw it.

        Returns:
            The verdict.

        Raises:
            RefusalError: E-PROMOTE-006, the policy asks for no approval, or for somebody else's.
            UnavailableError: E-PROMOTE-013, it was judged again meanwhile.
        """
        verdict = verdict_of(self._connection, version)
        rule = verdict.rules.get("checks", {}).get("approval", {})
        if not rule.get("required"):
            says, hint = "asks for no approval", f"promote it: acclimate promote {version.name}/{version.version}"
            raise not_approved(version, verdict, says, hint)
        if rule["by"] and acting.by not in rule["by"]:
            says, hint = f"does not let {acting.by} approve", f"ask one of {', '.join(rule['by'])}"
            raise not_approved(version, verdict, says, hint)
        if verdict.if_approved is None and verdict.verdict != "PROMOTE":
            says, hint = f"says {verdict.verdict}, which no approval changes", "see: acclimate gate explain"
            raise not_approved(version, verdict, says, hint)
        self._act("approve", version.name, acting, self._if_not_recalled(version))
        return verdict

    def recall(self, version: RegisteredVersion, acting: Acting) -> None:
        """Take both aliases from a version and let it have none until it is readmitted.

        Where the champion is recalled there is no champion afterwards. An alias that somebody's hand put at another
        version stays there.

        Raises:
            IntegrityError: E-PROMOTE-004, somebody put the alias champion at this version by hand.
        """

        def entry(seen: Seen) -> dict[str, Any] | None:
            if seen.pointed == version.version != seen.champion:
                raise moved_by_hand(version.name, self.look(version.name))
            if recalled := seen.log.recalled(version.version):
                # it may have become the challenger by hand since
                self._remember(recalled, version.name)
                return None
            after = None if seen.champion == version.version else seen.champion
            return {**_sealed(version.version, version.tags), "champion_after": after}

        self._act("recall", version.name, acting, entry)

    def readmit(self, version: RegisteredVersion, acting: Acting) -> None:
        """Lift a recall: the version may be promoted again where the gate lets it; no alias comes back by itself.

        Raises:
            RefusalError: E-PROMOTE-012, something else that it was made from is recalled still.
        """
        require_free(self._connection, version)

        def entry(seen: Seen) -> dict[str, Any] | None:
            if seen.log.recalled(version.version):
                return _sealed(version.version, version.tags)
            self._untag_recalled(version.name, version.version)
            return None

        self._act("readmit", version.name, acting, entry)

    def _if_not_recalled(self, version: RegisteredVersion) -> Callable[[Seen], dict[str, Any]]:
        """An entry of a version that moves no champion, refused where it was recalled, or judged again."""

        def entry(seen: Seen) -> dict[str, Any]:
            self._require_not_recalled(version, seen.log)
            return self._as_judged(version)

        return entry

    def _as_judged(self, version: RegisteredVersion) -> dict[str, Any]:
        """What an entry says of a version, provided it still has the verdict that was read before the lock was held.

        Raises:
            UnavailableError: E-PROMOTE-013, it has another by now.
        """
        tags = self._tags(version.name, version.version)
        if tags.get(VERDICT_SHA256) != version.tags.get(VERDICT_SHA256):
            raise judged_again(version)
        return _sealed(version.version, tags)

    def _tags(self, name: str, version: int) -> Mapping[str, str]:
        tags: Mapping[str, str] = self._connection.client.get_model_version(name, str(version)).tags
        return tags

    def _require_not_recalled(self, version: RegisteredVersion, log: PromotionLog) -> None:
        require_not_recalled(version, log)
        require_free(self._connection, version)

    # --- the protocol -------------------------------------------------------------------------

    def _act(self, act: Act, name: str, acting: Acting, make: Callable[[Seen], dict[str, Any] | None]) -> int | None:
        """Append an entry, then let the alias follow.

        Args:
            act: what is done.
            name: the registered model it is done to.
            acting: who and why.
            make: gives the version and what the entry says beside the usual; None: nothing is to be done. It may
                refuse.

        Returns:
            The champion before.
        """
        token = uuid.uuid4().hex
        with alias_lock(self._connection, name):
            for _ in range(_TRIES):
                model = self._model(name)
                log, state = self._log(model)
                finished = self._finish(model, log)
                if done := next((entry for entry in log.entries if entry.token == token), None):
                    # our own, whose reply was lost
                    return self._followed(name, done)
                pointed = _pointed(self._model(name))
                champion = log.champion(pointed)
                changes = make(Seen(log, champion, pointed, finished))
                if changes is None:
                    return champion
                entry = PromotionEntry.model_validate(
                    {
                        "number": len(log.entries) + 1,
                        "previous": log.entries[-1].sha256 if log.entries else "",
                        "act": act,
                        "champion_before": champion,
                        "champion_after": champion,
                        "by": acting.by,
                        "reason": acting.reason,
                        "at": datetime.now(UTC).isoformat(timespec="seconds"),
                        "token": token,
                        **changes,
                    }
                )
                longer = PromotionLog((*log.entries, entry))
                self._claim(model)
                if self._place.write(_file(model), longer.data, state):
                    return self._followed(name, entry)
        raise UnavailableError(
            "E-PROMOTE-007",
            "others act on this model all the time",
            where=name,
            hint="try again when nobody else promotes it",
        )

    def _followed(self, name: str, own: PromotionEntry) -> int | None:
        """Let the alias follow the log until the log stays as it is meanwhile: another may have gone on.

        Returns:
            The champion before our own entry.
        """
        self._remember(own, name)
        log, _ = self._log(self._model(name))
        for _ in range(_CONVERGES):
            self._point(name, log, own.number)
            self._connection.client.set_registered_model_tag(name, HEAD, log.head)
            now, _ = self._log(self._model(name))
            if now.head == log.head:
                return own.champion_before
            log = now
        raise UnavailableError("E-PROMOTE-007", "others act on this model all the time", where=name, hint="try again")

    def _point(self, name: str, log: PromotionLog, since: int) -> None:
        """Point the alias where the log wants it, if an entry from that number on says so.

        A recall takes the alias from what these entries knew of, not from a version where somebody's hand put it.
        """
        moves = [entry for entry in log.entries[since - 1 :] if entry.moves_champion]
        if not moves:
            return
        client, pointed = self._connection.client, _pointed(self._model(name))
        wanted = log.champion(pointed)
        if wanted is not None and pointed != wanted:
            client.set_registered_model_alias(name, CHAMPION, str(wanted))
        elif wanted is None and pointed is not None:
            known = {one for entry in moves for one in (entry.champion_before, entry.champion_after)}
            if moves[-1].act != "recall" or pointed in known:
                client.delete_registered_model_alias(name, CHAMPION)

    def _finish(self, model: Any, log: PromotionLog) -> PromotionEntry | None:
        """Finish what interrupted acts have left: their entries are there, what they ask for may not be yet.

        Where the version was deleted meanwhile, or somebody's hand moved the alias, the alias stays and differs from
        the log from then on.

        Returns:
            The last move of the champion that was finished.
        """
        pending, finished = log.pending(model.tags.get(HEAD, "")), None
        if not pending:
            return None
        for entry in pending:
            with _unless_deleted():
                self._remember(entry, model.name)
        moves = [entry for entry in pending if entry.moves_champion]
        if moves and _pointed(model) in (*(entry.champion_before for entry in moves), moves[-1].champion_after):
            with _unless_deleted():
                self._point(model.name, log, pending[0].number)
                finished = moves[-1]
        self._connection.client.set_registered_model_tag(model.name, HEAD, log.head)
        return finished

    def _remember(self, entry: PromotionEntry, name: str) -> None:
        """Do what an entry asks for beside the champion.

        A promoted version is told whom it succeeded, for lineage and for the next evaluation of its own run key; one to
        run beside the champion gets the alias for that, unless it was judged again since; a recalled one loses it.
        """
        if entry.version is None:
            return
        client, version = self._connection.client, str(entry.version)
        if entry.act == "promote":
            previous = "" if entry.champion_before is None else str(entry.champion_before)
            client.set_model_version_tag(name, version, PREVIOUS_CHAMPION, previous)
        elif entry.act == "shadow" and self._tags(name, entry.version).get(VERDICT_SHA256) == entry.verdict_sha256:
            client.set_registered_model_alias(name, CHALLENGER, version)
        elif entry.act == "recall":
            client.set_model_version_tag(name, version, RECALLED, f"{entry.by}: {entry.reason}")
            no_challenger(self._connection, name, entry.version)
        elif entry.act == "readmit":
            self._untag_recalled(name, entry.version)

    def _untag_recalled(self, name: str, version: int) -> None:
        if RECALLED in self._tags(name, version):
            self._connection.client.delete_model_version_tag(name, str(version), RECALLED)

    def _model(self, name: str) -> Any:
        model = self._connection.client.get_registered_model(name)
        place = model.tags.get(PLACE)
        if not self._is_named and place is not None and place.startswith("s3://"):
            self._place, self._shown = place_at(place), place
        if place is not None and place != self._shown:
            raise ConfigError(
                "E-PROMOTE-002",
                f"the promotions of this model are recorded in {place}, not in {self._shown}",
                where=name,
                hint="name that place in gate.promotions or ACCLIMATE_PROMOTIONS: all who promote must share it",
            )
        return model

    def _log(self, model: Any) -> tuple[PromotionLog, str | None]:
        """The log and its state, by which it is replaced."""
        data, state = self._place.read(_file(model))
        where = f"{self._place.uri}/{_file(model)}"
        log = PromotionLog.parse(data, where)
        if not log.holds(model.tags.get(HEAD, "")):
            raise IntegrityError(
                "E-PROMOTE-003",
                "the promotion log was changed: it lacks the entry that the registry knows as its last",
                where=where,
                hint="restore it from a backup or an earlier version of the object; nothing is promoted before",
            )
        return log, state

    def claim(self, name: str) -> None:
        """Tell the registry where this model's log lies, unless it knows or nobody said so.

        Raises:
            AccessError: E-PROMOTE-008, the place can't be used.
        """
        if self._is_named:
            self._claim(self._connection.client.get_registered_model(name))

    def _claim(self, model: Any) -> None:
        if PLACE not in model.tags:
            if not self._may_claim:
                raise ConfigError(
                    "E-PROMOTE-010",
                    "where the promotions of this model are recorded is not known yet",
                    where=model.name,
                    hint="name one place for all who promote it: --promotions or ACCLIMATE_PROMOTIONS, a folder or s3://...",
                )
            self._place.prepare()
            self._connection.client.set_registered_model_tag(model.name, PLACE, self._shown)


@contextmanager
def _unless_deleted() -> Iterator[None]:
    """What an entry asks for can't be done to a version that was deleted meanwhile."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if not is_error(error, "RESOURCE_DOES_NOT_EXIST"):
            raise


def _sealed(version: int | None, tags: Mapping[str, str]) -> dict[str, Any]:
    """What an entry says of a version with these tags."""
    return {
        "version": version,
        "model_digest": tags.get(MODEL_DIGEST),
        "verdict_sha256": tags.get(VERDICT_SHA256),
    }


def _file(model: Any) -> str:
    """A model's log: a name that is registered anew after it was deleted starts another one."""
    return f"{model.name}-{model.creation_timestamp}.jsonl"


def _pointed(model: Any) -> int | None:
    version = model.aliases.get(CHAMPION)
    return None if version is None else int(version)
