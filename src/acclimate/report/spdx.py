"""Licences as a bill of materials names them: an SPDX id, an expression of such, or the name as it was written."""

from __future__ import annotations

import re
from typing import Any

from acclimate.core.licences import Grade, grade

_GNU = [
    f"{name}-{when}"
    for name in ("GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0")
    for when in ("only", "or-later")
]
IDS = {
    name.lower(): name
    for name in (
        *("Apache-2.0", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "ISC", "Zlib", "BSL-1.0"),
        *("CC0-1.0", "Unlicense", "0BSD", "PDDL-1.0", "ODC-By-1.0", "ODbL-1.0", "CC-BY-3.0", "CC-BY-4.0"),
        *("CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0", "CC-BY-ND-4.0"),
        *("CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "AFL-3.0", "Artistic-2.0"),
        *("MPL-2.0", "EPL-2.0", "EUPL-1.2", *_GNU),
    )
}
_UNKNOWN = frozenset(("", "unknown"))
_OPERATORS = frozenset(("(", ")", "AND", "OR"))
_TOKEN = re.compile(r"[()]|[^\s()]+")


def licences(text: str | None) -> list[dict[str, Any]]:
    """A licence as CycloneDX's ``licenses``; empty where none is known.

    Args:
        text: as somebody stated it.
    """
    said = " ".join((text or "").split())
    if said.lower() in _UNKNOWN:
        return []
    if said.lower() in IDS:
        return [{"license": {"id": IDS[said.lower()]}}]
    tokens = [IDS.get(token.lower(), token.upper()) for token in _TOKEN.findall(said)]
    if all(token in _OPERATORS or token.lower() in IDS for token in tokens) and grade(said) != Grade.UNKNOWN:
        return [{"expression": " ".join(tokens).replace("( ", "(").replace(" )", ")")}]
    return [{"license": {"name": said}}]
