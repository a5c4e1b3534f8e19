"""A model's licence, as its own files or its package state it."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from acclimate.config_file.yaml_nodes import parse_yaml
from acclimate.core.licences import together

SPDX = {
    name.lower(): name
    for name in (
        "Apache-2.0",
        "MIT",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "CC-BY-4.0",
        "CC-BY-SA-4.0",
        "CC-BY-NC-4.0",
        "GPL-3.0-only",
        "LGPL-3.0-only",
        "AGPL-3.0-only",
        "MPL-2.0",
        "ISC",
        "Unlicense",
        "OpenRAIL",
        "OpenRAIL++",
        "CreativeML-OpenRAIL-M",
        "BigScience-OpenRAIL-M",
        "BigScience-BLOOM-RAIL-1.0",
        "BigCode-OpenRAIL-M",
        "Zlib",
    )
} | {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "mit license": "MIT",
    "the mit license": "MIT",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "gnu affero general public license v3": "AGPL-3.0-only",
    "cc0": "CC0-1.0",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
}
_UNKNOWN = frozenset(("", "unknown", "other", "none", "dual license", "unlicensed"))
_MOST_CHARACTERS = 1_000_000
_HEADER = re.compile(r"---[ \t]*\n((?:.*\n)*?)---[ \t]*(?:\n|\Z)")
# the rest of a header may be thousands of lines of results; a value goes on where lines are indented or listed
_ENTRY = re.compile(r"^licen[sc]e(?:_name)?[ \t]*:.*\n(?:(?:[ \t-].*)?\n)*", re.MULTILINE)


def spdx_name(licence: str | None) -> str | None:
    """A licence as an SPDX name where it is a well-known one, else as written; None when it says nothing."""
    text = (licence or "").strip()
    if text.lower() in _UNKNOWN or "\n" in text:
        return None
    return SPDX.get(text.lower(), text)


def _readme_licence(folder: Path) -> str | None:
    """The licence as the model's README states it in its front matter, not yet an SPDX name."""
    path = folder / "README.md"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", errors="replace") as file:
        header = _HEADER.match(file.read(_MOST_CHARACTERS))
    if header is None:
        return None
    entries = parse_yaml("".join(_ENTRY.findall(header[1])), lambda line: f"{path}: licence, line {line}")
    if entries.problems or not isinstance(entries.value, dict):
        return None
    stated = {name.replace("licence", "license"): _text(value) for name, value in entries.value.items()}
    named = stated.get("license")
    # "other" is what the hub calls one that has no name of its own there
    return stated.get("license_name") or named if named is not None and named.lower() == "other" else named


def _text(value: object) -> str | None:
    """A licence as written; of a list one that asks for what each of them does."""
    if isinstance(value, list):
        return together([_text(one) for one in value]) if value else None
    return value.strip() if isinstance(value, str) else None


def _package_licence(package: metadata.Distribution) -> str | None:
    fields = package.metadata
    for name in ("License-Expression", "License"):
        stated = spdx_name(fields[name]) if name in fields else None
        if stated:
            return stated
    marker = "License :: OSI Approved :: "
    named = [value.removeprefix(marker) for value in fields.get_all("Classifier", []) if value.startswith(marker)]
    return spdx_name(named[0]) if len(named) == 1 else None


def licence_of(folder: Path, package: metadata.Distribution | None, argument: str | None) -> str | None:
    """The licence the model's README states, else its package's, else the given.

    An adapted model's README is its card, which has the licence of all it was made of. What its description says of
    the source's alone is not asked: it would drop what the data ask for.

    Args:
        folder: the model's folder.
        package: the package that ships it.
        argument: what the configuration says.
    """
    stated = _readme_licence(folder)
    if stated is None and package is not None:
        stated = _package_licence(package)
    return spdx_name(stated) or spdx_name(argument)
