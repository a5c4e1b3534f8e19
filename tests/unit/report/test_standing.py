"""Where a version stands: who let it, whether it is in use, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from acclimate.records import Check, Verdict
from acclimate.records_promotion import PromotionEntry, PromotionLog
from acclimate.registry import Promotions, RegisteredVersion
from acclimate.report.render import html, with_standing
from acclimate.report.standing import Standing, standing
from acclimate.report.view import ReportView

POLICY = {"checks": {"approval": {"required": True, "by": ["bea"]}}}
SHA256 = "a" * 64


def version(number: int, *aliases: str) -> RegisteredVersion:
    return RegisteredVersion("mail", number, f"key-{number}", "", aliases, {"acclimate.verdict_sha256": SHA256})


def verdict(word: str = "PROMOTE", comparator: str = "baseline", **changes: Any) -> Verdict:
    return Verdict(
        **{
            "verdict": word,
            "policy": "standard",
            "run_key": "key",
            "name": "mail",
            "comparator": comparator,
            "checks": [],
            "reasons": [],
            "next_step": "Label more rows.",
            **changes,
        }
    )


def promotions(
    *acts: tuple[str, int, int | None, int | None],
    by: str = "ann",
    pointed: int | None = -1,
    live: Sequence[int] = range(1, 9),
) -> Promotions:
    """Acts as (act, version, champion before, champion after); the alias follows unless ``pointed`` says otherwise."""
    entries: list[PromotionEntry] = []
    for number, (act, about, before, after) in enumerate(acts, 1):
        entry = {
            "number": number,
            "previous": entries[-1].sha256 if entries else "",
            "act": act,
            "version": about,
            "model_digest": None,
            "verdict_sha256": SHA256,
            "champion_before": before,
            "champion_after": after,
            "by": by,
            "reason": f"reason {number}.",
            "at": f"2026-11-0{number}T10:00:00+00:00",
            "token": str(number),
        }
        entries.append(PromotionEntry.model_validate(entry))
    log = PromotionLog(tuple(entries))
    champion = log.champion(None if pointed == -1 else pointed)
    return Promotions(log, champion, champion if pointed == -1 else pointed, (), frozenset(live))


def test_a_champion_says_who_let_it_and_how_to_go_back() -> None:
    log = promotions(("promote", 1, None, 1), ("promote", 2, 1, 2))
    found = standing(version(2, "champion", "challenger"), verdict(comparator="champion mail/1"), log)
    assert found.says == (
        "It is the champion, promoted by ann at 2026-11-02T10:00:00Z: reason 2. It succeeded version 1.",
    )
    assert found.next_step == "To go back to version 1: acclimate rollback mail --reason WHY"


def test_the_first_champion_has_none_to_go_back_to() -> None:
    found = standing(version(1, "champion"), verdict(), promotions(("promote", 1, None, 1)))
    assert found.next_step == (
        "There is no champion before it; to have none: acclimate rollback mail --to none --reason WHY"
    )


def test_one_that_was_rolled_back_says_so_and_how_it_comes_back() -> None:
    log = promotions(("promote", 1, None, 1), ("promote", 2, 1, 2), ("rollback", 1, 2, 1))
    found = standing(version(2), verdict(), log)
    assert found.says == (
        "It became the champion by ann at 2026-11-02T10:00:00Z: reason 2.",
        "Version 1 was put back in its place by ann at 2026-11-03T10:00:00Z: reason 3.",
        "It is the champion no more; version 1 is.",
    )
    assert found.next_step == "To make it the champion again: acclimate rollback mail --to 2 --reason WHY"


def test_one_that_waits_for_an_approval_says_whose_and_then_how_to_promote_it() -> None:
    held = verdict("HOLD", if_approved="PROMOTE", rules=POLICY)
    assert standing(version(1), held, promotions()).next_step == (
        "Somebody has to answer for it: acclimate approve mail/1 --by NAME --reason WHY; then promote it."
    )
    approved = standing(version(1), held, promotions(("approve", 1, None, None), by="bea"))
    assert "Approved by bea at 2026-11-01T10:00:00Z: reason 1." in approved.says
    assert approved.next_step == "Make it the champion: acclimate promote mail/1 --reason WHY"
    by_another = standing(version(1), held, promotions(("approve", 1, None, None), by="ann"))
    assert by_another.next_step.startswith("Somebody has to answer for it")


def test_one_whose_rival_is_gone_has_to_be_judged_again() -> None:
    log = promotions(("promote", 1, None, 1))
    assert "version 1 is the champion now" in standing(version(2), verdict(), log).next_step
    beaten = standing(version(2, "challenger"), verdict(comparator="champion mail/1"), log)
    assert beaten.next_step == "Make it the champion: acclimate promote mail/2 --reason WHY"
    assert beaten.says == (
        "It was never the champion; version 1 is.",
        "It is the challenger: it may run beside the champion.",
    )


def test_a_recalled_one_and_an_alias_moved_by_hand_come_first() -> None:
    recalled = promotions(("promote", 1, None, 1), ("recall", 1, 1, None))
    found = standing(version(1), verdict(), recalled)
    assert found.says[0] == "It was recalled by ann at 2026-11-02T10:00:00Z: reason 2."
    assert found.next_step == "It can't be promoted while it is recalled: acclimate recall mail/1 --lift --reason WHY"
    moved = promotions(("promote", 1, None, 1), pointed=7)
    found = standing(version(1), verdict(), moved)
    assert found.says[0].startswith("MOVED BY HAND: MLflow's alias champion points at version 7")
    assert found.next_step == "Put the alias back: acclimate rollback mail --to 1 --reason WHY"


def test_a_champion_that_was_deleted_is_told_with_a_way_on_that_works() -> None:
    gone = promotions(("promote", 1, None, 1), ("promote", 2, 1, 2), pointed=None, live=[1, 3])
    found = standing(version(3), verdict(comparator="champion mail/2"), gone)
    assert found.says[0] == "Version 2, the champion by the promotion log, is not in the registry any more."
    assert found.next_step == "Say what is in use now: acclimate rollback mail --to 1 --reason WHY"


def test_what_the_gate_refused_keeps_the_gates_next_step_and_waivers_are_named() -> None:
    waived = Check(
        number=6, name="slices", required=True, outcome="failed", numbers={}, says="x", waived="bea: known site"
    )
    found = standing(version(1), verdict("REJECT", checks=[waived]), promotions())
    assert found.next_step == "Label more rows."
    assert "The check slices was waived by bea: known site." in found.says


def test_every_command_takes_the_options_of_the_caller() -> None:
    found = standing(version(3), verdict(), promotions(), " --workspace /srv/w")
    assert all(command.endswith(" --workspace /srv/w") for _, command in found.commands)
    assert any(command.startswith("acclimate rollback mail --reason WHY") for _, command in found.commands)


@pytest.mark.parametrize("says", ["It is the champion", "<script>alert(1)</script></section> \\1 \u202e"])
def test_a_report_shows_how_its_version_stands_now(view: ReportView, says: str) -> None:
    page = html(view)
    assert "Nobody has made it the champion yet." in page or "It is the champion" in page
    later = with_standing(page, Standing((says,), "next", (("How?", "acclimate history mail"),)))
    assert later.count('<section id="use">') == 1
    assert "acclimate history mail" in later
    assert "<script>" not in later
    assert page.split('<section id="use">')[0] == later.split('<section id="use">')[0]
    assert page.split("</section>")[-1] == later.split("</section>")[-1]
