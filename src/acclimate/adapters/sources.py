"""Where source models come from: installed packages, folders, S3 and the registry. Nothing of a package is imported."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from importlib import metadata, util
from pathlib import Path, PurePosixPath

from acclimate.adapters.fetched import cache_home
from acclimate.adapters.licences import licence_of
from acclimate.errors import ConfigError
from acclimate.nn.preflight import preflight
from acclimate.nn.source_card import source_card
from acclimate.records import SourceCard
from acclimate.registry import Registry

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f;|&$`<>\\\u202a-\u202e\u2066-\u2069]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")


def _refuse(number: int, message: str, uri: str, hint: str) -> ConfigError:
    return ConfigError(f"E-SOURCE-{number:03d}", message, where=f"source.model: {uri[:200]!r}", hint=hint)


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
    stated = licence_of(folder, package, licence)
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
    return folder, source_card(folder, name=folder.name, revision=None, licence=licence_of(folder, None, licence))


def resolve_source(
    uri: str,
    *,
    root: Path,
    licence: str | None,
    allow_outside: bool = False,
    home: Path | None = None,
    registry: Callable[[], Registry] | None = None,
) -> tuple[Path, SourceCard]:
    """Find a source model and pin it by revision and digest. Loads no weights and runs no code of it.

    Args:
        uri: ``package://NAME/path`` inside an installed package; a folder, relative to ``root``; ``s3://BUCKET/PREFIX``,
            the model's folder there or one that :func:`~acclimate.adapters.published.publish_source` made; or
            ``models:/NAME/VERSION``, an adapted model that is adapted further.
        root: the project root, which folders must not leave.
        licence: SPDX name to use where neither the model's README, its package nor what it was adapted from states one.
        allow_outside: accept folders outside ``root``.
        home: models from elsewhere are kept in ``home/sources``; by default ACCLIMATE_HOME or ~/.cache/acclimate.
        registry: opens the registry; without it ``models:/`` is refused.

    Returns:
        The model's folder and its card. A package's revision is its version, a registered model's its number, else the
        digest's beginning.

    Raises:
        ConfigError: E-SOURCE-001 characters or forms that no source has; 002 a path out of the package; 003 a folder
            outside the project; 004 the package is not installed; 005 its version is unknown; 006 no such folder;
            007 a kind of source that is not built yet, or needs a registry; 008 an alias, which may move.
        ModelError: the model doesn't pass the preflight; the registry knows no such model.
        AcclimateError: E-S3-NNN, E-PUBLISH-001 and -002, E-FETCH-001 and -002, E-REGISTRY-NNN.
    """
    if not uri.strip() or _FORBIDDEN.search(uri) or uri != uri.strip():
        raise _refuse(1, "a source must be a plain path or URI", uri, "remove spaces, line ends and ; & | $ < > \\")
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return _resolve_folder(uri, root, licence, allow_outside)
    if uri.startswith("package://"):
        return _resolve_package(uri, licence)
    if uri.startswith(("s3://", "models:/")):
        from acclimate.adapters.remote_sources import resolve_registered, resolve_s3

        cache = (home or cache_home()) / "sources"
        if scheme[1] == "s3":
            return resolve_s3(uri, cache, licence)
        return resolve_registered(uri, cache, licence, registry)
    if scheme[1].lower() == "hf":
        hint = (
            "download the model where there is a network, then give its folder: hf download ORG/NAME --local-dir FOLDER"
        )
        raise _refuse(7, "hf: sources are not built yet", uri, hint)
    raise _refuse(1, f"{scheme[1].lower()}: is no kind of source", uri, "package://NAME/path or a folder")
