"""How numbers are written, everywhere the same: report, figures and terminal."""

from __future__ import annotations

from decimal import Decimal

from acclimate.records import Interval

NOTHING = "–"
MINUS = "\N{MINUS SIGN}"


def score(value: float | None) -> str:
    """A score in 0..1 with three decimals."""
    return NOTHING if value is None else f"{value:.3f}".replace("-", MINUS)


def signed(value: float | None) -> str:
    """A difference of scores with its sign; 0 has none."""
    if value is None:
        return NOTHING
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", MINUS)


def bounds(value: Interval | None) -> str:
    """The ends of an interval of scores."""
    return NOTHING if value is None else f"{score(value.low)} to {score(value.high)}"


def signed_bounds(value: Interval | None) -> str:
    """The ends of an interval of differences."""
    return NOTHING if value is None else f"{signed(value.low)} to {signed(value.high)}"


def units(value: float | None) -> str:
    """Gap units with one decimal."""
    return NOTHING if value is None else f"{value:.1f}".replace("-", MINUS)


def p_value(value: float | None) -> str:
    """A p value; below a thousandth only that is said."""
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def share(value: float | None) -> str:
    """A share of 1 as a percentage without decimals where it is 10 % or more."""
    if value is None:
        return NOTHING
    return f"{100 * value:.0f} %" if value >= 0.0995 or value == 0 else f"{100 * value:.1f} %"


def count(value: float | None) -> str:
    """A whole number, thousands apart."""
    return NOTHING if value is None else f"{value:,.0f}".replace("-", MINUS)


def seconds(value: float | None) -> str:
    """A duration in the unit that people would use."""
    if value is None:
        return NOTHING
    if value < 99.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    minutes = value / 60
    return f"{minutes:.1f} min" if minutes < 99.5 else f"{minutes / 60:.1f} h"


def size(value: float | None) -> str:
    """Bytes in decimal units."""
    if value is None:
        return NOTHING
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 99.5 or unit == "B" else f"{value:.1f} {unit}"


def plain(value: object) -> str:
    """Any small value in a table: numbers with four digits, truth in words, a list by its entries."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return format(Decimal(f"{value:.4g}"), ",f").replace("-", MINUS)
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return str(value)


def timed(name: str, value: float) -> tuple[str, str]:
    """An entry of ``timing.json`` as words and value, its unit taken from the end of its name."""
    stem, _, unit = name.rpartition("_")
    written = {"ms": f"{value:.1f} ms", "bytes": size(value), "mb": f"{value:.0f} MB", "seconds": seconds(value)}
    if unit in written:
        return stem.replace("_", " "), written[unit]
    return name.replace("_", " "), f"{value:,.4g}"
