"""The promotion log: who moved which version where, each entry sealed by the sha256 of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from acclimate.errors import IntegrityError
from acclimate.records import Record

Act = Literal["approve", "promote", "readmit", "recall", "rollback", "shadow"]


class PromotionEntry(Record):
    """Somebody's act on a registered model. Field ``previous`` chains it to the entry before."""

    schema_version: Literal[1] = 1
    number: int
    previous: str
    act: Act
    version: int | None
    model_digest: str | None
    verdict_sha256: str | None
    champion_before: int | None
    champion_after: int | None
    by: str
    reason: str
    at: str
    token: str

    @property
    def line(self) -> bytes:
        """The entry as canonical JSON, which its sha256 is of."""
        data = self.model_dump(mode="json")
        return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def sha256(self) -> str:
        """What the next entry names as the one before."""
        return hashlib.sha256(self.line).hexdigest()

    @property
    def named(self) -> str:
        """Which act it is, in a message."""
        return f"entry {self.number} ({self.act} {'none' if self.version is None else self.version})"

    @property
    def moves_champion(self) -> bool:
        """It says where the alias ``champion`` points from then on."""
        return self.act in ("promote", "rollback") or (self.act == "recall" and self.version == self.champion_before)


@dataclass(frozen=True)
class PromotionLog:
    """All entries of one model, oldest first."""

    entries: tuple[PromotionEntry, ...] = ()

    @classmethod
    def parse(cls, data: bytes, where: str) -> PromotionLog:
        """Read a log, an entry a line, and check its chain.

        Args:
            data: the stored bytes.
            where: named in errors.

        Raises:
            IntegrityError: E-PROMOTE-003, a line was changed, taken out or added; or is of another version.
        """
        entries: list[PromotionEntry] = []
        for number, line in enumerate(data.splitlines(), 1):
            try:
                entry = PromotionEntry.model_validate_json(line)
            except ValidationError as error:
                raise _damaged(f"entry {number} can't be read", where) from error
            previous = entries[-1].sha256 if entries else ""
            if entry.number != number or entry.previous != previous or entry.line != line:
                raise _damaged(f"entry {number} is not what was written", where)
            entries.append(entry)
        return cls(tuple(entries))

    @property
    def data(self) -> bytes:
        """The bytes that :meth:`parse` reads."""
        return b"".join(entry.line + b"\n" for entry in self.entries)

    @property
    def head(self) -> str:
        """``NUMBER:SHA256`` of the last entry; empty where there is none."""
        return f"{len(self.entries)}:{self.entries[-1].sha256}" if self.entries else ""

    def pending(self, head: str) -> tuple[PromotionEntry, ...]:
        """Acts after an earlier :attr:`head`, oldest first: they were not seen done. An approval asks for nothing."""
        seen = int(head.partition(":")[0]) if head else 0
        return tuple(entry for entry in self.entries[seen:] if entry.act != "approve")

    def holds(self, head: str) -> bool:
        """Whether an earlier :attr:`head` is still in it."""
        number, _, sha256 = head.partition(":")
        if not head:
            return True
        return number.isdigit() and 0 < int(number) <= len(self.entries) and self._sha256(int(number)) == sha256

    def _sha256(self, number: int) -> str:
        return self.entries[number - 1].sha256

    @property
    def moves(self) -> Iterator[PromotionEntry]:
        """The entries that say where ``champion`` points, newest first."""
        return (entry for entry in reversed(self.entries) if entry.moves_champion)

    @property
    def succession(self) -> list[int]:
        """Champions that can be gone back to, the present one last.

        A promotion adds one; a rollback takes off those after the one it goes back to, and adds it where it is none of
        them. To have no champion ends the line.
        """
        line: list[int] = []
        for entry in (one for one in self.entries if one.moves_champion):
            before, after = entry.champion_before, entry.champion_after
            if after is None:
                line = []
                continue
            if entry.act == "rollback":
                while after in line and line[-1] != after:
                    line.pop()
            elif not line and before is not None:
                line = [before]
            if line[-1:] != [after]:
                line.append(after)
        return line

    @property
    def champions(self) -> set[int]:
        """Every version that ever was champion."""
        moves = [entry for entry in self.entries if entry.moves_champion]
        ever = {one for entry in moves for one in (entry.champion_before, entry.champion_after)}
        return {one for one in ever if one is not None}

    def champion(self, pointed: int | None) -> int | None:
        """Who is champion by this log; where it says nothing yet, whom the alias points at."""
        line = self.succession
        return line[-1] if line else None if any(self.moves) else pointed

    def recalled(self, version: int) -> PromotionEntry | None:
        """The act by which a version was recalled, unless it was readmitted since."""
        acts = [one for one in self.entries if one.version == version and one.act in ("recall", "readmit")]
        return acts[-1] if acts and acts[-1].act == "recall" else None

    def approvers(self, version: int, verdict_sha256: str) -> list[str]:
        """Who approved a version as that verdict saw it."""
        return [
            entry.by
            for entry in self.entries
            if entry.act == "approve" and (entry.version, entry.verdict_sha256) == (version, verdict_sha256)
        ]


def _damaged(says: str, where: str) -> IntegrityError:
    return IntegrityError(
        "E-PROMOTE-003",
        f"the promotion log was changed: {says}",
        where=where,
        hint="restore it from a backup or an earlier version of the object; nothing is promoted before",
    )
