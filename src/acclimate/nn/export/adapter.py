"""An adapter-only folder for peft: what was added to the source model, without the source's weights.

Adapted models are stored merged. The adapter is found again as the low-rank change of each linear layer, whatever made
it: one LoRA, its mix with the source's weights, or an average of several.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from acclimate.core.low_rank import LowRank, low_rank_change
from acclimate.errors import ModelError
from acclimate.nn.causal.writer import Writer
from acclimate.nn.encoder import Encoder, folder_digest
from acclimate.nn.export.plain import (
    PlainClassifier,
    difference,
    plain_classifier,
    put_head,
    recipe,
    writer_difference,
    writer_recipe,
)
from acclimate.nn.loading import load_module, loading, quiet
from acclimate.nn.model import AdaptedModel

# an adapter that is not much smaller than what it changes is none
LARGEST_SHARE = 0.5


def write_adapter(model: AdaptedModel | Writer, source: Path, source_name: str, folder: Path) -> tuple[str, float]:
    """Write a folder that peft loads onto the source model, and load it.

    Args:
        model: the adapted model.
        source: folder of the source model.
        source_name: what the source model is called; it is kept in the adapter's config.
        folder: where it is written.

    Returns:
        How it is loaded, as lines of Python, and the largest difference of logits.

    Raises:
        ModelError: E-EXPORT-004, the source is another one, or the change is not of low rank; see also
            :func:`~acclimate.nn.export.plain.plain_classifier`.
        IntegrityError: E-EXPORT-005, what was written computes something else.
    """
    if folder_digest(source) != model.source.digest:
        raise _refused("this is not the model it was adapted from", str(source), "name that one with --source")
    if isinstance(model, Writer):
        lm = load_module(transformers.AutoModelForCausalLM, source)
        changes = _changes(lm, model.lm)
        _write(lm, changes, folder, source_name, task_type="CAUSAL_LM")
        model.reader.save(folder)
        loaded = _loaded(load_module(transformers.AutoModelForCausalLM, source), folder)
        load = "PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(SOURCE), FOLDER)"
        return writer_recipe(load, "from peft import PeftModel\n"), writer_difference(loaded, model)
    plain = plain_classifier(model)
    changes = _changes(Encoder.load(source, precision="fp32").module, model.encoder.module)
    prefix = plain.module.base_model_prefix
    named = {f"{prefix}.{name}": change for name, change in changes.items()}
    base = _base(plain, source)
    put_head(_linear(getattr(base, plain.head)), model)
    _write(base, named, folder, source_name, modules_to_save=[plain.head])
    model.encoder.reader.save(folder)
    # the labels, which peft has no place for
    plain.module.config.save_pretrained(folder)
    again = PlainClassifier(_loaded(_base(plain, source), folder), plain.auto_class, plain.head, plain.reading)
    sizes = f"num_labels={len(model.labels)}, ignore_mismatched_sizes=True"
    lines = (
        "from peft import PeftModel\nfrom transformers import AutoConfig\n\nnames = AutoConfig.from_pretrained(FOLDER)"
        f".id2label\nbase = {plain.auto_class}.from_pretrained(SOURCE, {sizes}, id2label=names)"
    )
    return recipe(plain, model, "PeftModel.from_pretrained(base, FOLDER)", lines), difference(again, model)


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
    changed = [name for name in new if "pooler." not in name and not torch.equal(old[name], new[name])]
    if not changed:
        raise _refused("the source's weights were not changed, only the head was trained", "", hint)
    found = {}
    for name in changed:
        layer = name.removesuffix(".weight")
        if name not in linear:
            raise _refused("what was changed is no linear layer", layer, hint)
        change = low_rank_change(old[name].numpy(), new[name].numpy())
        if change.up.size + change.down.size > LARGEST_SHARE * new[name].numel():
            raise _refused(f"a layer was changed in {change.rank} directions", layer, hint)
        if change.rank:
            found[layer] = change
    return found


def _base(plain: PlainClassifier, source: Path) -> Any:
    """The source model in the class of the exported one, its head random."""
    with torch.random.fork_rng(devices=[]), loading(source):
        return getattr(transformers, plain.auto_class).from_pretrained(
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


def _write(base: Any, changes: dict[str, LowRank], folder: Path, source_name: str, **options: Any) -> None:
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
        base_model_name_or_path=source_name,
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
        adapted.save_pretrained(folder, save_embedding_layers=False)
    # peft's card, which says nothing
    (folder / "README.md").unlink(missing_ok=True)


def _loaded(base: Any, folder: Path) -> Any:
    from peft import PeftModel

    with loading(folder), _quietly():
        return PeftModel.from_pretrained(base, folder, local_files_only=True).eval()
