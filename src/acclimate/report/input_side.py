"""Statistics of the texts themselves, target and reference side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from acclimate.report.wording import INPUT_SIDE, spaced


@dataclass(frozen=True)
class Statistic:
    """One statistic of both sides.

    Args:
        name: in words.
        target: of the target; or of both together, where it has no sides.
        reference: of the reference; None without reference data, or where it has no sides.
    """

    name: str
    target: float | None
    reference: float | None


def both_sides(values: Mapping[str, float]) -> list[Statistic]:
    """Pair ``X_target`` with ``X_reference``, in the order given; what has no sides stays alone."""
    stems = {_stem(key, values): None for key in values}
    return [
        Statistic(
            INPUT_SIDE.get(stem, spaced(stem)),
            values.get(f"{stem}_target", values.get(stem)),
            values.get(f"{stem}_reference"),
        )
        for stem in stems
    ]


def _stem(key: str, values: Mapping[str, float]) -> str:
    stem = key.removesuffix("_target").removesuffix("_reference")
    return stem if f"{stem}_target" in values else key
