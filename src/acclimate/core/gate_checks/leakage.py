"""Check 1: the test split is unknown to every compared model, and to the model that the candidate was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from acclimate.core.gate_inputs import EarlierModel, Finding, GateInputs, are_finite
from acclimate.core.gate_policy import GatePolicy

_NAMES: dict[EarlierModel, str] = {"champion": "the champion", "source": "the source model"}


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail on a test row that was trained on or is in the pool, and on too many near-duplicates across splits.

    Groups that may lie on both sides fail where the policy asks for grouped splits. Test rows that an adapted source
    was fitted on are held to the share of near-duplicates, for they are told by how they look. Ones that the champion
    was fitted on warn: they favour it, never the candidate. So does a model that does not remember what it has seen.
    """
    overlap, near, rows, pool = inputs.overlap_rows, inputs.near_duplicates, inputs.test_rows, inputs.pool_overlap_rows
    needed = {"overlap_rows": overlap, "near_duplicates": near, "test_rows": rows, "pool_overlap_rows": pool}
    earlier = inputs.earlier_overlap_rows
    numbers = {**needed, **{f"{name}_overlap_rows": count for name, count in earlier.items()}}
    known = [number for number in needed.values() if number is not None]
    told = [*known, *(count for count in earlier.values() if count is not None)]
    if len(known) < len(needed) or not are_finite(*told) or min(told) < 0:
        return Finding("missing", "whether the test split leaked is not known", numbers)
    overlap, near, rows, pool = known
    share, inherited = policy.near_duplicate_share, earlier.get("source") or 0
    most = f"more than {share:.0%} of {rows} test rows"
    leaks = (
        (overlap > 0, f"{overlap} test rows were seen in training by a compared model"),
        (inherited > share * rows, f"{_known(inherited, 'source')}, {most}: adapt what that was made from instead"),
        (pool > 0, f"{pool} test rows are in the pool of texts to pretrain on"),
        (near > share * rows, f"{near} near-duplicates across splits, {most}"),
        (policy.grouped and not inputs.grouped, "the policy asks for grouped splits, and target.group names no column"),
    )
    if found := [says for leaked, says in leaks if leaked]:
        return Finding("failed", "; ".join(found), numbers)
    if warnings := list(_warnings(earlier)):
        near_too = [f"{near} test rows have a near-duplicate in training"] if near else []
        return Finding("warned", "; ".join([*warnings, *near_too]), numbers)
    if near > 0:
        return Finding("warned", f"no test row was seen in training, {near} have a near-duplicate there", numbers)
    return Finding("passed", "no test row was seen in training", numbers)


def _known(rows: int, name: EarlierModel) -> str:
    return f"{rows} test rows look like ones that {_NAMES[name]} was trained on"


def _warnings(earlier: Mapping[EarlierModel, int | None]) -> Iterator[str]:
    for name, rows in earlier.items():
        if rows is None:
            yield f"{_NAMES[name]} does not remember what it was trained on, so whether it knows test rows is not known"
        elif rows > 0:
            favours = ", so the comparison favours it" if name == "champion" else ""
            yield f"{_known(rows, name)}{favours}"
