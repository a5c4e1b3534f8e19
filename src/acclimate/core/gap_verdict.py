"""The verdict on a domain gap: a small versioned policy of our own."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["NONE", "SMALL", "LARGE", "UNDERPOWERED", "INCOMPARABLE", "NO_REFERENCE"]

POLICY = "gap-1"
ALPHA = 0.05
MIN_ROWS = 100
MAX_DETECTABLE_SHIFT = 0.25
NOISE_UNITS = 1.0
SMALL_UNITS = 3.0


def gap_verdict(
    *,
    has_reference: bool,
    same_feature_space: bool = True,
    rows_compared: int = 0,
    detectable_shift: float | None = None,
    units: float | None = None,
    p_value: float | None = None,
) -> Verdict:
    """Judge a gap.

    Args:
        has_reference: there are data of the source domain.
        same_feature_space: one model embeds both domains.
        rows_compared: m, rows a side.
        detectable_shift: smallest mean shift the tests find with 80 % power, in sd; None where they find none.
        units: the larger of the measures' gap units; None where nothing could be measured.
        p_value: the smallest after Holm; None likewise.

    Returns:
        NO_REFERENCE, INCOMPARABLE and UNDERPOWERED come first: without power no absence may be claimed.
    """
    if not has_reference:
        return "NO_REFERENCE"
    if not same_feature_space:
        return "INCOMPARABLE"
    powerful = detectable_shift is not None and detectable_shift <= MAX_DETECTABLE_SHIFT
    if rows_compared < MIN_ROWS or not powerful or units is None or p_value is None:
        return "UNDERPOWERED"
    if p_value > ALPHA and units <= NOISE_UNITS:
        return "NONE"
    return "SMALL" if units <= SMALL_UNITS else "LARGE"


def gap_notes(
    *, rows_compared: int, detectable_shift: float | None, p_value: float | None, largest_group: int | None
) -> list[str]:
    """What a reader must know to read the verdict.

    Args:
        rows_compared: m, rows a side.
        detectable_shift: as for :func:`gap_verdict`.
        p_value: the smallest after Holm; None where no distance could be measured.
        largest_group: rows of the largest group; None without groups.
    """
    notes = [f"Verdict by policy {POLICY}. Compare gap units only at equal rows ({rows_compared} a side here)."]
    if largest_group is not None:
        notes.append("Whole groups were sampled, permuted and held out.")
    if rows_compared < MIN_ROWS:
        needed = f"{MIN_ROWS} target training rows and {2 * MIN_ROWS} reference rows"
        notes.append(f"Underpowered: {rows_compared} rows a side. At least {needed} are needed.")
    measured = p_value is not None
    if not measured and largest_group is not None and largest_group >= rows_compared:
        notes.append(f"No distance was measured: one group alone has {largest_group} rows.")
    elif not measured:
        notes.append("No distance was measured: too few rows, or the reference rows all look alike to the model.")
    elif detectable_shift is None or detectable_shift > MAX_DETECTABLE_SHIFT:
        notes.append(f"Underpowered: mean shifts up to {MAX_DETECTABLE_SHIFT} sd would be missed too often.")
    underpowered = len(notes) > (2 if largest_group is not None else 1)
    if underpowered and p_value is not None and p_value <= ALPHA:
        notes.append(f"There is a gap all the same (p = {p_value:.3g}): power matters where none is found.")
    return notes
