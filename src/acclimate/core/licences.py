"""What licences ask for: SPDX expressions graded from what anybody may do to what few may."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum

OWN = "own data"


class Grade(IntEnum):
    """How much a licence asks of whoever uses what was made with it, least first."""

    PUBLIC = 0
    PERMISSIVE = 1
    WEAK_COPYLEFT = 2
    COPYLEFT = 3
    USE_RESTRICTED = 4
    """Forbids some uses and has all who hand it on forbid them (RAIL), or forbids to hand on what is made of it."""
    NON_COMMERCIAL = 5
    UNKNOWN = 6
    """Stated, but none that is known here: it may ask for anything."""


_VERSION = r"-\d+(\.\d+)*(-only|-or-later|\+)?"
_FAMILIES = (
    (Grade.PUBLIC, rf"cc0{_VERSION}|unlicense|0bsd|pddl{_VERSION}"),
    (
        Grade.PERMISSIVE,
        (
            rf"mit(-0)?|apache{_VERSION}|bsd-[1-4]-clause(-clear|-patent)?|isc|zlib|bsl-1\.0|afl{_VERSION}"
            rf"|cc-by{_VERSION}|odc-by{_VERSION}|cdla-permissive{_VERSION}"
        ),
    ),
    (
        Grade.WEAK_COPYLEFT,
        (
            rf"mpl{_VERSION}|lgpl{_VERSION}|epl{_VERSION}|artistic-2\.0"
            rf"|cc-by-sa{_VERSION}|odbl{_VERSION}|cdla-sharing{_VERSION}"
        ),
    ),
    (Grade.COPYLEFT, rf"a?gpl{_VERSION}|eupl{_VERSION}"),
    (
        Grade.USE_RESTRICTED,
        rf"openrail(\+\+)?(-m)?|(creativeml|bigscience|bigcode)-openrail-m|bigscience-bloom-rail-1\.0|cc-by-nd{_VERSION}",
    ),
    (Grade.NON_COMMERCIAL, rf"cc-by-nc(-sa|-nd)?{_VERSION}"),
)
_MOST_TOKENS = 200
_TOKEN = re.compile(r"[()]|[^\s()]+")


def grade(licence: str) -> Grade:
    """What an SPDX expression asks for.

    ``AND`` asks for what each of its parts does, ``OR`` leaves the choice, ``WITH`` an exception counts as the licence
    without it. Anything that is no such expression, or names what is unknown here, is :attr:`Grade.UNKNOWN`.

    Args:
        licence: e.g. ``Apache-2.0`` or ``MIT AND (GPL-3.0-only OR MPL-2.0)``, in any case; or :data:`OWN`.

    Source:
        SPDX specification 2.3, annex D.
    """
    if licence.strip().lower() == OWN:
        return Grade.PUBLIC
    tokens = _TOKEN.findall(licence.lower())
    if len(tokens) > _MOST_TOKENS:
        return Grade.UNKNOWN
    try:
        found, rest = _choice(tokens)
    except ValueError:
        return Grade.UNKNOWN
    return Grade.UNKNOWN if rest else found


def is_known(licence: str | None) -> bool:
    """Whether it is stated, and one whose terms are known here.

    Args:
        licence: as :func:`grade` takes it; None where none is stated.
    """
    return licence is not None and grade(licence) != Grade.UNKNOWN


def together(licences: Sequence[str | None]) -> str | None:
    """The licence of what was made from several things: an SPDX expression that asks for what each of them does.

    Args:
        licences: of each, as SPDX expressions; :data:`OWN` asks for nothing; None is unknown.

    Returns:
        None where one is unknown: nothing can be said of the whole then.
    """
    if any(one is None for one in licences):
        return None
    stated = [one.strip() for one in licences if one is not None and one.strip().lower() != OWN]
    different = list({one.lower(): one for one in reversed(stated)}.values())[::-1]
    if len(different) < 2:
        return different[0] if different else OWN
    return " AND ".join(f"({one})" if " " in one else one for one in different)


def _choice(tokens: Sequence[str]) -> tuple[Grade, Sequence[str]]:
    """``together (OR together)*``: the freest."""
    found, rest = _together(tokens)
    while rest and rest[0] == "or":
        other, rest = _together(rest[1:])
        found = min(found, other)
    return found, rest


def _together(tokens: Sequence[str]) -> tuple[Grade, Sequence[str]]:
    """``one (AND one)*``: the most restrictive."""
    found, rest = _one(tokens)
    while rest and rest[0] == "and":
        other, rest = _one(rest[1:])
        found = max(found, other)
    return found, rest


def _one(tokens: Sequence[str]) -> tuple[Grade, Sequence[str]]:
    """A licence, perhaps with an exception, or an expression in parentheses."""
    if not tokens or tokens[0] in (")", "and", "or", "with"):
        raise ValueError("a licence is expected here")
    if tokens[0] == "(":
        found, rest = _choice(tokens[1:])
        if not rest or rest[0] != ")":
            raise ValueError("an opened parenthesis is not closed")
        return found, rest[1:]
    rest = tokens[1:]
    if rest and rest[0] == "with":
        if len(rest) < 2 or rest[1] in ("(", ")"):
            raise ValueError("an exception is expected here")
        rest = rest[2:]
    for family, names in _FAMILIES:
        if re.fullmatch(names, tokens[0]):
            return family, rest
    return Grade.UNKNOWN, rest
