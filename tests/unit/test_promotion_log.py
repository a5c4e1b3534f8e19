"""The promotion log: what it says of the champion, and that no change of it goes unseen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.errors import IntegrityError
from acclimate.records_promotion import PromotionEntry, PromotionLog


def longer(log: PromotionLog, act: str, before: int | None, after: int | None, **changes: Any) -> PromotionLog:
    entry = PromotionEntry.model_validate(
        {
            "number": len(log.entries) + 1,
            "previous": log.entries[-1].sha256 if log.entries else "",
            "act": act,
            "version": after,
            "model_digest": "d",
            "verdict_sha256": "v",
            "champion_before": before,
            "champion_after": after,
            "by": "ann",
            "reason": "because\nöf \u2028 it",
            "at": "2026-01-01T00:00:00+00:00",
            "token": "t",
            **changes,
        }
    )
    return PromotionLog((*log.entries, entry))


def log_of(*acts: tuple[str, int | None, int | None]) -> PromotionLog:
    log = PromotionLog()
    for act, before, after in acts:
        log = longer(log, act, before, after)
    return log


THREE = log_of(("promote", None, 1), ("approve", 1, 1), ("promote", 1, 2), ("promote", 2, 3))


def test_what_is_written_is_read() -> None:
    assert PromotionLog.parse(THREE.data, "here") == THREE
    assert PromotionLog.parse(b"", "here") == PromotionLog()
    assert THREE.data.count(b"\n") == 4


@pytest.mark.parametrize(
    ("acts", "succession"),
    [
        ([], []),
        ([("promote", None, 1)], [1]),
        ([("promote", 4, 5)], [4, 5]),
        ([("promote", 4, 5), ("rollback", 5, 4)], [4]),
        ([("rollback", 5, 4)], [4]),
        ([("promote", None, 1), ("promote", 1, 2), ("promote", 2, 3), ("rollback", 3, 2)], [1, 2]),
        ([("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1), ("promote", 1, 3)], [1, 3]),
        ([("promote", None, 1), ("promote", 1, 2), ("promote", 2, 3), ("rollback", 3, 1)], [1]),
        ([("promote", 1, 2), ("rollback", 2, 2)], [1, 2]),
        ([("promote", 1, 2), ("rollback", 2, None)], []),
        ([("promote", 1, 2), ("rollback", 2, None), ("promote", None, 3)], [3]),
        ([("approve", 1, 1), ("shadow", 1, 1)], []),
        ([("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1), ("rollback", 1, 2)], [1, 2]),
        ([("promote", None, 1), ("promote", 1, 2), ("rollback", 2, None), ("rollback", None, 1)], [1]),
    ],
)
def test_champions_that_can_be_gone_back_to(acts: list[tuple[str, int, int]], succession: list[int]) -> None:
    assert log_of(*acts).succession == succession


def test_the_champion_is_the_logs_and_only_without_one_the_aliass() -> None:
    assert THREE.champion(pointed=9) == 3
    assert PromotionLog().champion(pointed=9) == 9
    assert log_of(("promote", 1, 2), ("rollback", 2, None)).champion(pointed=9) is None
    assert log_of(("approve", 9, 9)).champion(pointed=9) == 9


def test_acts_that_were_not_seen_done_are_those_after_the_known_head() -> None:
    heads = [PromotionLog(THREE.entries[:n]).head for n in range(5)]
    found = [[entry.number for entry in THREE.pending(head)] for head in heads]
    assert found == [[1, 3, 4], [3, 4], [3, 4], [4], []]
    approved = longer(THREE, "approve", 3, 3)
    assert approved.pending(THREE.head) == (), "an approval asks for nothing"
    assert [entry.act for entry in longer(THREE, "shadow", 3, 3).pending(THREE.head)] == ["shadow"]


@pytest.mark.parametrize(
    ("before", "after", "version", "moves"),
    [(3, None, 3, True), (3, 3, 2, False), (None, None, 2, False)],
)
def test_a_recall_moves_the_champion_only_if_it_is_the_recalled_one(
    before: int | None, after: int | None, version: int, moves: bool
) -> None:
    log = log_of(("promote", None, 2), ("promote", 2, 3))
    log = log if before else longer(log, "rollback", 3, None)
    recalled = longer(log, "recall", before, after, version=version)
    assert recalled.entries[-1].moves_champion is moves
    assert recalled.champion(pointed=9) == after
    assert longer(PromotionLog(), "recall", None, None, version=2).champion(pointed=9) == 9, "it says nothing of it"


def test_every_earlier_head_is_still_held_and_no_other() -> None:
    assert all(THREE.holds(PromotionLog(THREE.entries[:n]).head) for n in range(5))
    other = log_of(("promote", None, 1), ("approve", 1, 1), ("promote", 1, 2), ("promote", 2, 4))
    assert not THREE.holds(other.head)
    assert not PromotionLog(THREE.entries[:3]).holds(THREE.head), "shortened"
    assert not PromotionLog().holds(THREE.head), "gone"
    assert not THREE.holds("nonsense")


def tampered(log: PromotionLog, line: int, **changes: Any) -> bytes:
    lines = log.data.splitlines()
    data = {**json.loads(lines[line - 1]), **changes}
    lines[line - 1] = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return b"\n".join(lines) + b"\n"


@pytest.mark.parametrize(
    "data",
    [
        tampered(THREE, 1, by="mallory"),
        tampered(THREE, 3, version=7),
        tampered(THREE, 2, act="promote"),
        tampered(THREE, 2, number=3),
        b"\n".join(THREE.data.splitlines()[1:]),
        b"\n".join([THREE.data.splitlines()[0], *THREE.data.splitlines()[2:]]),
        b"\n".join([*THREE.data.splitlines(), THREE.data.splitlines()[-1]]),
        THREE.data.replace(b'"by":"ann"', b'"by": "ann"', 1),
        THREE.data + b"{}\n",
        THREE.data[:-20],
        b"\xff\xfe",
        b"\n",
    ],
)
def test_a_log_that_was_changed_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        PromotionLog.parse(data, "here")
    assert (caught.value.code, caught.value.where) == ("E-PROMOTE-003", "here")


def test_a_last_entry_that_was_changed_is_found_by_the_head_the_registry_knows() -> None:
    forged = PromotionLog.parse(tampered(THREE, 4, by="mallory"), "here")
    assert not forged.holds(THREE.head)


@given(position=st.integers(0, len(THREE.data) - 1), flip=st.integers(1, 255))
def test_no_flipped_byte_goes_unseen(position: int, flip: int) -> None:
    data = bytearray(THREE.data)
    data[position] ^= flip
    try:
        seen = PromotionLog.parse(bytes(data), "here")
    except IntegrityError:
        return
    assert not seen.holds(THREE.head)


def test_an_approval_belongs_to_a_version_and_its_verdict() -> None:
    log = longer(PromotionLog(), "approve", 1, 1, version=2, by="ann", verdict_sha256="a" * 64)
    log = longer(log, "promote", 1, 2, version=2, by="bob", verdict_sha256="a" * 64)
    assert log.approvers(2, "a" * 64) == ["ann"]
    assert log.approvers(2, "b" * 64) == []
    assert log.approvers(3, "a" * 64) == []
