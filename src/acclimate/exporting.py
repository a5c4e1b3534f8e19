"""Adapted models for other programs, written to a folder that is whole or absent."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from acclimate.adapters.sources import resolve_source
from acclimate.config_file.paths import project_root
from acclimate.errors import ConfigError
from acclimate.nn.adapted import load_adapted
from acclimate.nn.causal.writer import Writer
from acclimate.nn.export.adapter import write_adapter
from acclimate.nn.export.onnx import write_onnx
from acclimate.nn.export.plain import write_plain
from acclimate.nn.model import AdaptedModel
from acclimate.report.model_card import CARD_NAME
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
        ConfigError: E-EXPORT-001, the folder is not empty; E-EXPORT-007, the source model is not known.
        AcclimateError: what :mod:`acclimate.nn.export` raises, or the registry.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("E-EXPORT-001", "there is something already", where=str(out), hint="name a new folder")
    folder, uri = Path(model), source
    if model.startswith(("models:/", "runs:/")):
        folder = asked_registry(workspace).fetch(model, (workspace or Path(".acclimate")).resolve() / "fetched")
    if model.startswith("models:/") and not source:
        version = asked_registry(workspace).version(model.removeprefix("models:/"))
        uri = version.tags.get("acclimate.source_uri")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        written = Path(temporary) / "export"
        written.mkdir()
        adapted = load_adapted(folder, "fp32")
        if format_ == "peft":
            place = _source(adapted, uri, Path(temporary), workspace)
            recipe, difference = write_adapter(adapted, place, str(uri), written)
        else:
            recipe, difference = (write_onnx if format_ == "onnx" else write_plain)(adapted, written)
        said = _use(adapted, format_, recipe, difference)
        (written / CARD_NAME).write_text(_with_card(folder / CARD_NAME, said), encoding="utf-8")
        if out.exists():
            out.rmdir()
        shutil.move(written, out)
    files = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    return {
        "model": model,
        "format": format_,
        "folder": str(out),
        "files": files,
        "largest_difference": difference,
    }


def _source(adapted: AdaptedModel | Writer, uri: str | None, home: Path, workspace: Path | None) -> Path:
    """Folder of the source model that an adapter belongs to."""
    if not uri:
        raise ConfigError(
            "E-EXPORT-007",
            "the source model that the adapter belongs to is not known",
            where=adapted.source.name,
            hint=f"name it with --source, at revision {adapted.source.revision}",
        )

    def fetch(uri: str, into: Path) -> Path:
        return asked_registry(workspace).fetch(uri, into)

    root = project_root(Path.cwd()).resolve()
    place, _ = resolve_source(uri, root=root, licence=None, allow_outside=True, home=home, fetch=fetch)
    return place


def _use(model: AdaptedModel | Writer, format_: str, recipe: str, difference: float) -> str:
    what = "logits" if isinstance(model, Writer) else "logits over the temperature"
    return (
        f"# How to use this folder\n\n"
        f"It holds {FORMATS[format_]}, written by acclimate {__version__} from a model that was adapted by "
        f"{model.strategy} from {model.source.name} (revision {model.source.revision}).\n\n"
        f"```python\n{recipe}```\n\n"
        f"It computes in float32. On texts or images made for this check its {what} differ by at most "
        f"{difference:.1e} from those of the adapted model in float32, read the same way.\n"
    )


def _with_card(card: Path, said: str) -> str:
    """The model's own card with how to use this folder behind it."""
    return f"{card.read_text(encoding='utf-8').rstrip()}\n\n{said}" if card.is_file() else said


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
