"""Where records computed again differ from stored ones; of another release what it decided counts, not its wording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from acclimate.agreement import differences, one_sided
from acclimate.records import Check, Disparity, Evaluation, RuleRecord, Verdict
from tests.run_records import RULE, digest, evaluation, run_records, verdict_of


def check(name: str, **fields: Any) -> Check:
    made = {"number": 1, "name": name, "required": True, "outcome": "passed", "numbers": {"rows": 9}, "says": "fine"}
    return Check.model_validate(made | fields)


VERDICT = verdict_of(run_records()).model_copy(update={"checks": [check("primary"), check("slices")], "release": "1"})
EVALUATION = evaluation(digest("model")).model_copy(
    update={
        "handed_on": RULE,
        "disparities": [Disparity(column="site", best="a", worst="b", best_minus_worst=0.2, by_chance=0.1)],
    }
)


def with_check(**fields: Any) -> Verdict:
    return VERDICT.model_copy(update={"checks": [check("primary", **fields), check("slices")]})


def with_rule(**fields: Any) -> Evaluation:
    return EVALUATION.model_copy(update={"handed_on": RuleRecord.model_validate({**RULE.model_dump(), **fields})})


WORDING = {
    "what a check says": (VERDICT, with_check(says="it is well")),
    "reasons": (VERDICT, VERDICT.model_copy(update={"reasons": ["as was said"]})),
    "next step": (VERDICT, VERDICT.model_copy(update={"next_step": "rest"})),
    "what a rule says": (EVALUATION, with_rule(says="the cheapest", threshold="<= 0", source="v2", rejected=["x"])),
    "a number more": (VERDICT, with_check(numbers={"rows": 9, "more": 1.0})),
    "a number less": (VERDICT, with_check(numbers={})),
    "a check more": (VERDICT, VERDICT.model_copy(update={"checks": [*VERDICT.checks, check("new")]})),
    "a check less": (VERDICT, VERDICT.model_copy(update={"checks": VERDICT.checks[:1]})),
}
DECIDED = {
    "outcome": (VERDICT, with_check(outcome="warned")),
    "required": (VERDICT, with_check(required=False)),
    "waived": (VERDICT, with_check(waived="ann: it is known")),
    "rows": (VERDICT, with_check(numbers={"rows": 8})),
    "verdict": (VERDICT, VERDICT.model_copy(update={"verdict": "HOLD"})),
    "if_approved": (VERDICT, VERDICT.model_copy(update={"if_approved": "PROMOTE"})),
    "checks": (VERDICT, VERDICT.model_copy(update={"checks": [*VERDICT.checks, check("slices")]})),
    "fired": (EVALUATION, with_rule(fired=False)),
    "by_chance": (
        EVALUATION,
        EVALUATION.model_copy(
            update={"disparities": [EVALUATION.disparities[0].model_copy(update={"by_chance": 0.3})]}
        ),
    ),
    "score.point": (
        EVALUATION,
        EVALUATION.model_copy(update={"score": EVALUATION.score.model_copy(update={"point": 0.8})}),
    ),
}


@pytest.mark.parametrize("what", WORDING)
def test_of_another_release_wording_and_what_one_of_both_knows_are_not_compared(what: str) -> None:
    stored, computed = WORDING[what]
    assert differences(stored, computed, same_release=False) == []
    assert differences(stored, computed, same_release=True) != []


@pytest.mark.parametrize("same_release", [True, False])
@pytest.mark.parametrize("what", DECIDED)
def test_what_was_decided_is_compared_whatever_the_release(what: str, same_release: bool) -> None:
    stored, computed = DECIDED[what]
    (found,) = differences(stored, computed, same_release=same_release)
    assert what in found.partition(" is ")[0]


def test_which_release_and_which_evidence_are_no_difference() -> None:
    other = VERDICT.model_copy(update={"release": "2", "evidence_sha256": digest("evidence")})
    assert differences(VERDICT, other) == []


def without(record: Any, *names: str) -> Any:
    """A record's JSON as a release wrote it that did not have these fields yet."""
    if isinstance(record, dict):
        return {name: without(value, *names) for name, value in record.items() if name not in names}
    return [without(one, *names) for one in record] if isinstance(record, list) else record


@pytest.mark.parametrize(
    ("changed", "agrees"),
    [(lambda one: one, True), (lambda one: one | {"worst": "c"}, False)],
    ids=["as it was", "another worst slice"],
)
def test_fields_that_an_earlier_release_did_not_have_are_not_compared(
    changed: Callable[[dict[str, Any]], dict[str, Any]], agrees: bool
) -> None:
    old = without(EVALUATION.model_dump(mode="json"), "best_minus_worst", "by_chance")
    apart = {"point": 0.2, "low": 0.1, "high": 0.3, "level": 0.95}
    old["disparities"] = [changed({**old["disparities"][0], "difference": apart})]
    stored = Evaluation.model_validate(old)
    assert (differences(stored, EVALUATION, same_release=False) == []) == agrees


def test_checks_that_one_of_both_has_are_named() -> None:
    stored = VERDICT.model_copy(update={"checks": [check("primary"), check("old")]})
    assert one_sided(stored, VERDICT) == ["old", "slices"]
    assert one_sided(EVALUATION, EVALUATION) == []
