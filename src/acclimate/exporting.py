"""Adapted models for other programs, written to a folder that is whole or absent."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from acclimate.adapters.sources import resolve_source
from acclimate.errors import AccessError, ConfigError
from acclimate.nn.adapted import load_adapted
from acclimate.nn.causal.writer import Writer
from acclimate.nn.export.adapter import write_adapter
from acclimate.nn.export.checked import checked
from acclimate.nn.export.onnx import write_onnx
from acclimate.nn.export.plain import write_plain
from acclimate.nn.model import AdaptedModel
from acclimate.registry import Registry
from acclimate.report.model_card import CARD_NAME, code
from acclimate.version import __version__
from acclimate.wiring import asked_registry

#: What is written in each format.
FORMATS = {
    "transformers": "the whole model in a class of transformers",
    "peft": "only what was added to the source model, for peft",
    "onnx": "the whole model as one file for ONNX Runtime",
}


def export(model: str, format_: str, out: Path, workspace: Path | None, source: str | None) -> dict[str, Any]:
    """Write an adapted model as other programs load it, and check that it computes the same.

    Args:
        model: what :func:`acclimate.load` takes.
        format_: a name in :data:`FORMATS`.
        out: folder to write; it must be new or empty.
        workspace: where the registry is looked for.
        source: of ``peft``, the source model; None takes the one that the registry names.

    Returns:
        ``model``, ``format``, ``folder``, ``files`` with their bytes, and ``largest_difference`` of logits.

    Raises:
        ConfigError: E-EXPORT-001, the folder can't be made; E-EXPORT-007, the source model is not known.
        AccessError: E-EXPORT-008, nothing can be written there.
        AcclimateError: what :mod:`acclimate.nn.export` raises, or the registry.
    """
    out = out.resolve()
    _require_free(out)
    folder = Path(model)
    if model.startswith(("models:/", "runs:/")):
        folder = asked_registry(workspace).fetch(model, (workspace or Path(".acclimate")).resolve() / "fetched")
    near = next(place for place in out.parents if place.is_dir())
    try:
        with tempfile.TemporaryDirectory(dir=near, prefix=f".{out.name}-") as temporary:
            written = Path(temporary) / "export"
            written.mkdir()
            difference = _write(model, folder, format_, written, workspace, source)
            # safetensors writes files that only their owner may read; whoever serves the model is often somebody else
            for path in written.iterdir():
                path.chmod((written / CARD_NAME).stat().st_mode)
            out.parent.mkdir(parents=True, exist_ok=True)
            if out.exists():
                out.rmdir()
            shutil.move(written, out)
    except OSError as error:
        raise AccessError(
            "E-EXPORT-008", f"the export can't be written: {error.strerror or error}", where=str(error.filename or out)
        ) from error
    files = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    return {
        "model": model,
        "format": format_,
        "folder": str(out),
        "files": files,
        "largest_difference": difference,
    }


def _require_free(out: Path) -> None:
    """Refuse a folder that can't be made, or put in the place of an empty one."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("E-EXPORT-001", "there is something already", where=str(out), hint="name a new folder")
    if out.exists() and (out.is_mount() or out == Path.cwd()):
        hint = "name a new folder in it"
        raise ConfigError("E-EXPORT-001", "this folder can't be replaced", where=str(out), hint=hint)


def _write(model: str, folder: Path, format_: str, written: Path, workspace: Path | None, source: str | None) -> float:
    """Write a format and its README, and give the largest difference of logits."""
    adapted, place = load_adapted(folder, "fp32"), None
    if format_ == "peft":
        uri = source or _known_source(adapted, model, workspace)

        def registry() -> Registry:
            return asked_registry(workspace)

        home = written.with_name("source")
        place, _ = resolve_source(uri, root=Path.cwd(), licence=None, allow_outside=True, home=home, registry=registry)
        recipe = write_adapter(adapted, place, uri, written)
    else:
        recipe = (write_onnx if format_ == "onnx" else write_plain)(adapted, written)
    difference = checked(recipe, adapted, written, place)
    card = folder / CARD_NAME
    before = f"{card.read_text(encoding='utf-8').rstrip()}\n\n" if card.is_file() else ""
    (written / CARD_NAME).write_text(before + _use(adapted, format_, recipe, difference), encoding="utf-8")
    return difference


def _known_source(adapted: AdaptedModel | Writer, model: str, workspace: Path | None) -> str:
    """The source that the registry names of a version."""
    found = None
    if model.startswith("models:/") and not model.startswith("models:/m-"):
        version = asked_registry(workspace).version(model.removeprefix("models:/"))
        found = version.tags.get("acclimate.source_uri")
    if not found:
        raise ConfigError(
            "E-EXPORT-007",
            "the source model that the adapter belongs to is not known",
            where=adapted.source.name,
            hint=f"name it with --source, at revision {adapted.source.revision}",
        )
    return found


def _use(model: AdaptedModel | Writer, format_: str, recipe: str, difference: float) -> str:
    what = "logits" if isinstance(model, Writer) else "logits over the temperature"
    source = f"{code(model.source.name)} (revision {code(model.source.revision)})"
    return (
        f"# How to use this folder\n\n"
        f"It holds {FORMATS[format_]}, written by acclimate {__version__} from a model that was adapted by "
        f"{code(model.strategy)} from {source}.\n\n"
        f"```python\n{recipe}```\n\n"
        f"It computes in float32. These lines were run on inputs made for it: the {what} differ by at most "
        f"{difference:.1e} from those of the adapted model in float32.\n"
    )


def export_text(done: dict[str, Any]) -> str:
    """The result for people."""
    lines = [f"{done['folder']}: {FORMATS[done['format']]}"]
    lines += [f"  {size / 1e3:>11,.1f} kB  {name}" for name, size in done["files"].items()]
    lines += [
        "",
        f"Loaded again, it computes the model's logits to {done['largest_difference']:.1e}.",
        f"How to use it: {Path(done['folder']) / CARD_NAME}",
    ]
    return "\n".join(lines)
