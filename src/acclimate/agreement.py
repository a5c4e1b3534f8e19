"""Where records that were computed again differ from the stored ones.

Another release of acclimate may put the same in other words, look at a number more, or have a check more. What it
decides, and every number that both know, has to be the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from acclimate.records import Evaluation, Verdict

# another machine's processor may add numbers in another order
TOLERANCE = 1e-9
# which evidence and which release: they are compared otherwise
_BESIDE = {"evidence_sha256": True, "release": True}
_WORDING: dict[str, Any] = {
    # of a verdict
    "checks": {"__all__": {"says": True}},
    "reasons": True,
    "next_step": True,
    # of an evaluation
    "handed_on": {"threshold": True, "source": True, "says": True, "rejected": True},
}


def differences(
    stored: Evaluation | Verdict, computed: Evaluation | Verdict, *, same_release: bool = True
) -> list[str]:
    """Where two records differ, by more than rounding.

    Args:
        stored: what was sealed.
        computed: the same, now.
        same_release: one release made both. Else wording is not compared, nor what only one of the two knows.
    """
    if same_release:
        was, now = (one.model_dump(mode="json", exclude=_BESIDE) for one in (stored, computed))
    else:
        left_out: dict[str, Any] = {**_BESIDE, **_WORDING}
        # of an evaluation, a field that is not set is one that its release did not know
        known: dict[str, Any] = {"exclude": left_out, "exclude_unset": isinstance(stored, Evaluation)}
        was, now = (one.model_dump(mode="json", **known) for one in (stored, computed))
        alone = one_sided(stored, computed)
        for one in (was, now) if alone else ():
            one["checks"] = [check for check in one["checks"] if check["name"] not in alone]
    return [
        f"{place} is {b!r} now, {a!r} was stored" for place, a, b in _differing(was, now, "", loosely=not same_release)
    ]


def one_sided(stored: Evaluation | Verdict, computed: Evaluation | Verdict) -> list[str]:
    """Names of the checks that only one of two verdicts has, in order."""
    was, now = ({check.name for check in getattr(one, "checks", ())} for one in (stored, computed))
    return sorted(was ^ now)


def _differing(a: Any, b: Any, place: str, *, loosely: bool) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(a, dict) and isinstance(b, dict) and (loosely or a.keys() == b.keys()):
        for name in (name for name in a if name in b):
            yield from _differing(a[name], b[name], f"{place}.{name}".lstrip("."), loosely=loosely)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _differing(x, y, f"{place}[{i}]", loosely=loosely)
    elif isinstance(a, float) and isinstance(b, float):
        if not math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield place, a, b
    elif a != b:
        yield place, a, b
