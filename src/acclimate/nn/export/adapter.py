"""An adapter-only folder for peft: what was added to the source model, without the source's weights.

Adapted models are stored merged. The adapter is found again as the low-rank change of each linear layer, whatever made
it: one LoRA, its mix with the source's weights, or an average of several.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from acclimate.core.low_rank import ROUNDINGS, LowRank, low_rank_change
from acclimate.errors import ModelError, UnavailableError
from acclimate.nn.causal.writer import Writer
from acclimate.nn.encoder import Encoder, folder_digest
from acclimate.nn.export.plain import (
    PlainClassifier,
    plain_classifier,
    put_head,
    recipe,
    write_reader,
    write_writer,
    writer_recipe,
)
from acclimate.nn.loading import load_module, loading, quiet
from acclimate.nn.model import AdaptedModel

# an adapter that is not much smaller than what it changes is none
LARGEST_SHARE = 0.5


def write_adapter(model: AdaptedModel | Writer, source: Path, source_name: str, folder: Path) -> str:
    """Write a folder that peft loads onto the source model.

    Args:
        model: the adapted model.
        source: folder of the source model.
        source_name: what the source model is called; it is kept in the adapter's config.
        folder: where it is written.

    Returns:
        How it is used, as lines of Python.

    Raises:
        ModelError: E-EXPORT-004, the source is another one, or the change is not of low rank; see also
            :func:`~acclimate.nn.export.plain.plain_classifier`.
        UnavailableError: E-EXPORT-006, peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise UnavailableError("E-EXPORT-006", "adapters need peft", hint="pip install 'acclimate[train]'")
    if folder_digest(source) != model.source.digest:
        raise _refused("this is not the model it was adapted from", str(source), "name that one with --source")
    if isinstance(model, Writer):
        lm = load_module(transformers.AutoModelForCausalLM, source)
        adapted = _with_adapter(lm, _changes(lm, model.lm), source_name, task_type="CAUSAL_LM")
        write_writer(model, adapted, folder)
        _tidy(folder)
        base = 'AutoModelForCausalLM.from_pretrained(SOURCE, dtype="float32")'
        load = f"PeftModel.from_pretrained({base}, FOLDER)"
        return writer_recipe(model, load, "from peft import PeftModel\n")
    plain = plain_classifier(model)
    changes = _changes(Encoder.load(source, precision="fp32").module, model.encoder.module)
    named = {f"{plain.module.base_model_prefix}.{name}": change for name, change in changes.items()}
    base = _base(plain, source)
    put_head(_linear(getattr(base, plain.head)), model)
    adapted = _with_adapter(base, named, source_name, modules_to_save=[plain.head])
    with quiet():
        adapted.save_pretrained(folder, save_embedding_layers=False)
    _tidy(folder)
    write_reader(model, folder)
    # the labels, which peft has no place for
    plain.module.config.save_pretrained(folder)
    lines = (
        "from peft import PeftModel\nfrom transformers import AutoConfig\n\n"
        f"base = {plain.class_name}.from_pretrained(\n"
        '    SOURCE, config=AutoConfig.from_pretrained(FOLDER), dtype="float32", ignore_mismatched_sizes=True\n)'
    )
    return recipe(plain, model, "PeftModel.from_pretrained(base, FOLDER)", lines)


def _tidy(folder: Path) -> None:
    """Without peft's card, which says nothing."""
    (folder / "README.md").unlink(missing_ok=True)


def _refused(why: str, where: str, hint: str) -> ModelError:
    return ModelError("E-EXPORT-004", f"there is no adapter to export: {why}", where=where, hint=hint)


def _changes(before: Any, after: Any) -> dict[str, LowRank]:
    """The low-rank change of each linear layer that has one.

    Raises:
        ModelError: E-EXPORT-004, the change is of high rank, or of something else than linear layers; or nothing is.
    """
    hint = "export the whole model with --format transformers"
    old, new = before.state_dict(), after.state_dict()
    linear = {f"{name}.weight" for name, layer in before.named_modules() if isinstance(layer, torch.nn.Linear)}
    found = {}
    for name in (name for name in new if "pooler." not in name and not _same(old[name], new[name])):
        layer = name.removesuffix(".weight")
        if name not in linear:
            raise _refused("what was changed is no linear layer", layer, hint)
        change = low_rank_change(old[name].numpy(), new[name].numpy())
        if change.up.size + change.down.size > LARGEST_SHARE * new[name].numel():
            raise _refused(f"a layer was changed in {change.rank} directions", layer, hint)
        if change.rank:
            found[layer] = change
    if not found:
        raise _refused("the source's weights were not changed, only the head was trained", "", hint)
    return found


def _same(old: torch.Tensor, new: torch.Tensor) -> bool:
    """Whether nothing but rounding lies between: a mix of equal weights is not always the same bits."""
    if not old.is_floating_point():
        return torch.equal(old, new)
    largest = torch.maximum(old.abs(), new.abs())
    return bool(((new - old).abs() <= ROUNDINGS * 2.0**-24 * largest).all())


def _base(plain: PlainClassifier, source: Path) -> Any:
    """The source model in the class of the exported one, its head random."""
    with torch.random.fork_rng(devices=[]), loading(source):
        return type(plain.module).from_pretrained(
            source,
            config=plain.module.config,
            dtype=torch.float32,
            local_files_only=True,
            ignore_mismatched_sizes=True,
        )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what peft's use of transformers warns of."""
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _linear(head: Any) -> Any:
    """The linear layer of a head that may be several layers."""
    return next(layer for layer in head.modules() if isinstance(layer, torch.nn.Linear))


def _with_adapter(base: Any, changes: dict[str, LowRank], source_name: str, **options: Any) -> Any:
    """A peft model of the source, its adapter that which was found."""
    from peft import LoraConfig, get_peft_model

    ranks = {layer: change.rank for layer, change in changes.items()}
    largest = max(ranks.values())
    others = {layer: rank for layer, rank in ranks.items() if rank != largest}
    config = LoraConfig(
        r=largest,
        lora_alpha=largest,  # a scale of 1: it is within the matrices
        rank_pattern=others,
        alpha_pattern=others,
        target_modules=sorted(ranks),
        **options,
    )
    with _quietly():
        adapted = get_peft_model(base, config)
        for layer, change in changes.items():
            place = adapted.base_model.model.get_submodule(layer)
            with torch.no_grad():
                place.lora_A["default"].weight.copy_(torch.from_numpy(change.down))
                place.lora_B["default"].weight.copy_(torch.from_numpy(change.up))
    adapted.peft_config["default"].base_model_name_or_path = source_name
    return adapted
