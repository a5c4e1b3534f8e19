"""Where source models come from: installed packages and folders. Nothing of a package is imported."""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib import metadata, util
from pathlib import Path, PurePosixPath

from acclimate.errors import ConfigError
from acclimate.nn.preflight import preflight
from acclimate.nn.source_card import source_card
from acclimate.records import SourceCard

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f;|&$`<>\\\u202a-\u202e\u2066-\u2069]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_BUILT_LATER = {
    "hf": "download the model where there is a network, then give its folder: hf download ORG/NAME --local-dir FOLDER",
    "s3": "copy the model to a folder first: aws s3 cp --recursive s3://BUCKET/PREFIX FOLDER",
    "models": "give the folder of the adapted model instead",
}
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
        "Zlib",
    )
} | {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "mit license": "MIT",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
}
_UNKNOWN = frozenset(("", "unknown", "other", "none", "dual license", "unlicensed"))


def _refuse(number: int, message: str, uri: str, hint: str) -> ConfigError:
    return ConfigError(f"E-SOURCE-{number:03d}", message, where=f"source.model: {uri[:200]!r}", hint=hint)


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
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---":
        return None
    for line in lines[1:]:
        if line.strip() == "---":
            return None
        found = re.fullmatch(r"licen[sc]e:\s*[\"']?([^\"'#]+?)[\"']?\s*(#.*)?", line)
        if found:
            return found[1]
    return None


def _package_licence(package: metadata.Distribution) -> str | None:
    fields = package.metadata
    for name in ("License-Expression", "License"):
        stated = spdx_name(fields[name]) if name in fields else None
        if stated:
            return stated
    marker = "License :: OSI Approved :: "
    named = [value.removeprefix(marker) for value in fields.get_all("Classifier", []) if value.startswith(marker)]
    return spdx_name(named[0]) if len(named) == 1 else None


def _licence(folder: Path, package: metadata.Distribution | None, argument: str | None) -> str | None:
    stated = _readme_licence(folder)
    if stated is None and package is not None:
        stated = _package_licence(package)
    return spdx_name(stated) or spdx_name(argument)


def _package_folder(name: str, uri: str) -> Path:
    # find_spec of a name without dots looks it up on sys.path and runs nothing
    spec = util.find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        near = get_close_matches(name, metadata.packages_distributions(), n=1)
        hint = f"did you mean package://{near[0]}?" if near else f"pip install {name.replace('_', '-')}"
        raise _refuse(4, f"{name!r} is not an installed package", uri, hint)
    return Path(places[0]).resolve()


def _distribution(name: str, uri: str) -> metadata.Distribution:
    owners = sorted(set(metadata.packages_distributions().get(name, [])))
    if len(owners) != 1:
        found = f"belongs to {', '.join(owners)}" if owners else "belongs to no installed distribution"
        raise _refuse(5, f"{name!r} {found}, so its version is unknown", uri, "install the model's package with pip")
    return metadata.distribution(owners[0])


def _resolve_package(uri: str, licence: str | None) -> tuple[Path, SourceCard]:
    name, _, inner = uri.removeprefix("package://").partition("/")
    parts = PurePosixPath(inner).parts
    if not _NAME.fullmatch(name) or inner.startswith("/") or ".." in parts:
        raise _refuse(2, "this is not package://NAME/path inside the package", uri, "e.g. package://my_model/model")
    place = _package_folder(name, uri)
    folder = place.joinpath(*parts).resolve()
    if not folder.is_relative_to(place):
        raise _refuse(2, "the path leads out of the package", uri, "give a path inside the package")
    if not folder.is_dir():
        inside = ", ".join(
            sorted(path.name for path in place.iterdir() if path.is_dir() and path.name != "__pycache__")
        )
        raise _refuse(6, f"the package has no folder {inner!r}", uri, f"folders it has: {inside or 'none'}")
    package = _distribution(name, uri)
    preflight(folder)
    stated = _licence(folder, package, licence)
    return folder, source_card(folder, name=name, revision=package.version, licence=stated)


def _resolve_folder(uri: str, root: Path, licence: str | None, allow_outside: bool) -> tuple[Path, SourceCard]:
    folder = (root / uri).resolve()
    if not allow_outside and not folder.is_relative_to(root.resolve()):
        raise _refuse(
            3, "the model's folder lies outside the project", uri, "move it into the project, or pass --allow-outside"
        )
    if not folder.is_dir():
        first = uri.partition("/")[0]
        package = _NAME.fullmatch(first) and util.find_spec(first)
        hint = f"did you mean package://{uri}?" if package else "relative paths are relative to the YAML's folder"
        raise _refuse(6, "there is no such folder", uri, hint)
    preflight(folder)
    return folder, source_card(folder, name=folder.name, revision=None, licence=_licence(folder, None, licence))


def resolve_source(
    uri: str, *, root: Path, licence: str | None, allow_outside: bool = False
) -> tuple[Path, SourceCard]:
    """Find a source model and pin it by revision and digest. Loads no weights and runs no code of it.

    Args:
        uri: ``package://NAME/path`` inside an installed package, or a folder, relative to ``root``.
        root: the project root, which folders must not leave.
        licence: SPDX name to use where neither the model's README nor its package states one.
        allow_outside: accept folders outside ``root``.

    Returns:
        The model's folder and its card. A package's revision is its version, a folder's its digest.

    Raises:
        ConfigError: E-SOURCE-001 characters or forms that no source has; 002 a path out of the package; 003 a folder
            outside the project; 004 the package is not installed; 005 its version is unknown; 006 no such folder;
            007 a kind of source that is not built yet.
        ModelError: the model doesn't pass the preflight.
    """
    if not uri.strip() or _FORBIDDEN.search(uri) or uri != uri.strip():
        raise _refuse(1, "a source must be a plain path or URI", uri, "remove spaces, line ends and ; & | $ < > \\")
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return _resolve_folder(uri, root, licence, allow_outside)
    kind = scheme[1].lower()
    if uri.startswith("package://"):
        return _resolve_package(uri, licence)
    if kind in _BUILT_LATER:
        raise _refuse(7, f"{kind}: sources are not built yet", uri, _BUILT_LATER[kind])
    raise _refuse(1, f"{kind}: is no kind of source", uri, "package://NAME/path or a folder")
