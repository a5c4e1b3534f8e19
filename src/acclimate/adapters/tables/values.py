"""Values of labels, groups, splits and slices in one spelling, whatever format they come from."""

from __future__ import annotations

import math
import re

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,15}))\.0")
_BOOLEANS = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}


def canonical(value: object) -> str | None:
    """One spelling of a scalar: 1, 1.0 and "1.0" are ``1``; True and "True" are ``true``; blank and null are None.

    All else is kept as it is, "1.10" and "01" too.

    Raises:
        ValueError: the value is infinite.
        TypeError: the value is not a scalar.
    """
    if isinstance(value, str):
        return _canonical_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _canonical_float(value)
    if value is None or isinstance(value, int):
        return None if value is None else str(value)
    raise TypeError(type(value).__name__)


def _canonical_text(value: str) -> str | None:
    if not value or value.isspace():
        return None
    if match := _WHOLE.fullmatch(value):
        return "0" if match[1] == "-0" else match[1]
    return _BOOLEANS.get(value, value)


def _canonical_float(value: float) -> str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        raise ValueError("infinite")
    return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)


def is_encodable(text: str) -> bool:
    """Whether a text has no lone surrogates, so that it can be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
