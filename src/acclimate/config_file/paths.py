"""Paths in a configuration: relative to the YAML, and never out of the project unless allowed."""

from __future__ import annotations

from pathlib import Path

from acclimate.config_file.addresses import data_address, scheme_of
from acclimate.config_file.wording import nearest
from acclimate.errors import ConfigError, DataError

MARKS = (".git", "dvc.yaml")


def project_root(folder: Path) -> Path:
    """The nearest folder upwards that holds ``.git`` or ``dvc.yaml``, else ``folder`` itself."""
    folder = folder.resolve()
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in MARKS):
            return candidate
    return folder


def resolve_data_path(
    data: str, yaml_dir: Path, root: Path, allow_outside: bool = False, *, where: str = "", name: str = "data"
) -> Path:
    """Resolve the path of a data file or folder, following symlinks.

    Args:
        data: as written, relative to ``yaml_dir`` or absolute.
        yaml_dir: folder of the YAML.
        root: the project root, which the path must not leave.
        allow_outside: let it leave.
        where: place shown in errors; by default the path itself.
        name: the key, shown in errors.

    Returns:
        The absolute path, all symlinks resolved.

    Raises:
        ConfigError: E-CONFIG-031 to -033 for addresses, which aren't local paths, E-CONFIG-036 outside the project.
        DataError: E-DATA-001, nothing is there.
    """
    where = where or data[:200] or name
    problem = data_address(name, data, where)
    if problem:
        raise ConfigError.of([problem])
    if scheme_of(data):
        raise ConfigError("E-CONFIG-031", f"{name} is no local path", where=where, hint="fetch it, and give its path")
    try:
        path = (yaml_dir / data).resolve()
        found = path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            "E-CONFIG-036", f"{name} is not a usable path: {error}", where=where, hint="check it"
        ) from error
    if not allow_outside and not path.is_relative_to(root.resolve()):
        raise ConfigError(
            "E-CONFIG-036",
            f"{name} lies outside the project: {path}",
            where=where,
            hint=f"copy it under {root}, or pass --allow-outside",
        )
    if not found:
        raise DataError("E-DATA-001", f"{name} is not there: {path}", where=where, hint=_missing_hint(path))
    return path


def _missing_hint(path: Path) -> str:
    try:
        names = [entry.name for _, entry in zip(range(1000), path.parent.iterdir(), strict=False)]
    except OSError:
        return "check the path; it is relative to the YAML's folder"
    meant = nearest(path.name, names)
    return f"did you mean {meant}?" if meant else "check the path; it is relative to the YAML's folder"
