"""Source models from S3, and adapted models from the registry that are adapted further."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path, PurePosixPath

from acclimate.adapters.fetched import FetchLimits, fetched
from acclimate.adapters.licences import licence_of, spdx_name
from acclimate.adapters.mlflow_tags import LICENCE
from acclimate.adapters.published import Published, download_published, published_at
from acclimate.adapters.s3 import S3, ObjectInfo, S3Uri
from acclimate.adapters.s3_files import check_name, download, pins
from acclimate.config_file.addresses import model_address
from acclimate.errors import ConfigError, DataError
from acclimate.nn.preflight import UNSAFE_ENDINGS, preflight
from acclimate.nn.source_card import source_card
from acclimate.records import SourceCard
from acclimate.registry import Registry

_VERSION = re.compile(r"models:/([^/@]+)/(\d+)")
_ALIAS = re.compile(r"models:/([^/@]+)@([^/@]+)")
_LIMITS = FetchLimits(files=1_000, size_bytes=50_000_000_000)


def resolve_s3(uri: str, cache: Path, licence: str | None, *, limits: FetchLimits = _LIMITS) -> tuple[Path, SourceCard]:
    """Fetch a model's folder from S3; files that are never loaded are not fetched.

    Args:
        uri: ``s3://BUCKET/PREFIX``.
        cache: fetched models are kept there.
        licence: SPDX name, where the model states none.
        limits: of what is fetched.

    Raises:
        ConfigError: E-CONFIG-032 or -033, no usable address.
        DataError: E-SOURCE-006 nothing is there; E-FETCH-001 too much; E-S3-NNN.
        ModelError: it doesn't pass the preflight.
        IntegrityError: E-PUBLISH-001 or -002, a published model's bytes have changed.
    """
    problem = model_address("source.model", uri, f"source.model: {uri[:200]!r}")
    if problem:
        raise ConfigError.of([problem])
    place = S3Uri.parse(uri)
    with closing(S3()) as s3:
        published = published_at(s3, place)
        if published is None:
            objects = _loadable(s3, place)
            folder, _ = fetched(cache, pins(objects), lambda into: download(s3, objects, place, into, limits))
        else:
            files = published.files
            limits.check(len(files), sum(file.size_bytes for file in files.values()), uri)
            folder, _ = fetched(cache, str(place), lambda into: download_published(s3, place, files, into))
    preflight(folder)
    return folder, _card(folder, place, published, licence)


def _loadable(s3: S3, place: S3Uri) -> list[ObjectInfo]:
    found = [each for each in s3.list(place) if not each.uri.key.endswith("/")]
    objects = [each for each in found if PurePosixPath(each.uri.key).suffix not in UNSAFE_ENDINGS]
    if not objects:
        others = ", ".join(each.uri.name for each in found[:5])
        message = f"nothing that is loaded is there{f', only {others}' if others else ''}"
        hint = "name the folder with config.json and model.safetensors"
        raise DataError("E-SOURCE-006", message, where=str(place), hint=hint)
    for each in objects:
        check_name(each.uri.below(place), str(place))
    return objects


def _card(folder: Path, place: S3Uri, published: Published | None, licence: str | None) -> SourceCard:
    if published is None:
        stated = licence_of(folder, None, licence)
        return source_card(folder, name=place.name or place.bucket, revision=None, licence=stated)
    stated = published.licence or spdx_name(licence)
    return source_card(folder, name=published.name or place.name, revision=published.revision, licence=stated)


def resolve_registered(
    uri: str, cache: Path, licence: str | None, registry: Callable[[], Registry] | None
) -> tuple[Path, SourceCard]:
    """Fetch an adapted model, whose encoder is a whole model, to adapt it further; its head gives its labels.

    Args:
        uri: ``models:/NAME/VERSION``; see :func:`pinned_source` for aliases.
        cache: fetched models are kept there.
        licence: SPDX name, where that of the model, its data included, is not known.
        registry: opens the registry.

    Raises:
        ConfigError: E-SOURCE-007 without a registry; E-SOURCE-008 an alias; E-SOURCE-001 neither.
        ModelError: E-REGISTRY-003 unknown, E-REGISTRY-012 not acclimate's; the preflight's.
        IntegrityError: E-REGISTRY-011, its bytes have changed.
    """
    where = f"source.model: {uri[:200]!r}"
    if _ALIAS.fullmatch(uri):
        hint = "name the version it stands for: models:/NAME/7"
        raise ConfigError("E-SOURCE-008", "an alias may move while a run goes on", where=where, hint=hint)
    match = _VERSION.fullmatch(uri)
    if match is None:
        hint = "models:/NAME/7 or models:/NAME@champion"
        raise ConfigError("E-SOURCE-001", "this is no registered model", where=where, hint=hint)
    if registry is None:
        hint = "set tracking.uri or MLFLOW_TRACKING_URI, or give the folder of the adapted model"
        raise ConfigError("E-SOURCE-007", "there is no registry to fetch the model from", where=where, hint=hint)
    opened = registry()
    folder = opened.fetch(uri, cache)
    preflight(folder)
    name, version = match.groups()
    # the tag follows what is stated of source and data later; the card is as it was stored
    known = opened.version(uri).tags.get(LICENCE)
    stated = licence_of(folder, None, licence) if known is None else spdx_name(known) or spdx_name(licence)
    return folder, source_card(folder, name=name, revision=version, licence=stated)


def pinned_source(uri: str, registry: Callable[[], Registry]) -> str:
    """A source as a run may rely on it: ``models:/NAME@ALIAS`` becomes ``models:/NAME/VERSION``, all else stays.

    Args:
        uri: the source as configured.
        registry: opens the registry; called for an alias only.

    Raises:
        ConfigError: E-SOURCE-008, the model has no such alias.
    """
    match = _ALIAS.fullmatch(uri)
    if match is None:
        return uri
    name, alias = match.groups()
    versions = registry().versions(name)
    for version in versions:
        if alias in version.aliases:
            return version.model_uri
    known = sorted({one for version in versions for one in version.aliases})
    hint = f"it has: {', '.join(known)}" if known else f"see: acclimate models {name}"
    raise ConfigError(
        "E-SOURCE-008", f"{name} has no version with the alias {alias!r}", where=f"source.model: {uri!r}", hint=hint
    )
