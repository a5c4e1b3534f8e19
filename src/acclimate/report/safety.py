"""What keeps foreign text inert: invisible characters made visible, credentials taken out."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

# Marks, embeddings, overrides and isolates: they can make a label read as another one.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# dvc://PATH@REVISION has no user in it
_USERINFO = re.compile(r"(?<!dvc)(://)[^/\s?#@]*@")
_SECRET = re.compile(
    r"((?:token|secret|passw(?:or)?d|signature|credential|api_?key|access_?key)[\w-]*[\"']?\s*[=:]\s*)[^&\s\"',;]+",
    re.I,
)
_NONCHARACTER_BLOCK = range(0xFDD0, 0xFDF0)


def visible(text: str) -> str:
    r"""The text with control, bidirectional and unassignable characters written out, e.g. ``\u202e``.

    Tabs and line ends stay; all else that HTML forbids or that can't be seen but changes the order of
    what is read is shown as an escape.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if _is_hidden(char) else char for char in text)


def _is_hidden(char: str) -> bool:
    if char in "\n\t":
        return False
    code = ord(char)
    is_noncharacter = code in _NONCHARACTER_BLOCK or code & 0xFFFE == 0xFFFE
    return char in _BIDI or is_noncharacter or unicodedata.category(char) in {"Cc", "Cs"}


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def without_credentials(value: Any) -> Any:
    """Plain data with user names and passwords in addresses, and values named like secrets, replaced.

    Args:
        value: a string, or dictionaries and lists of anything.
    """
    if isinstance(value, str):
        return _SECRET.sub(r"\1***", _USERINFO.sub(r"\1***@", value))
    if isinstance(value, dict):
        return {key: without_credentials(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_credentials(item) for item in value]
    return value
