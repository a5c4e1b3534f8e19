"""A plain transformers folder: the whole classifier, or the language model, in one of transformers' own classes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers

from acclimate.errors import ModelError
from acclimate.nn.causal.writer import Writer
from acclimate.nn.export.probes import largest_difference, probes
from acclimate.nn.loading import load_module, loading, quiet
from acclimate.nn.model import AdaptedModel
from acclimate.nn.readers import Batch

Reading = Literal["mean", "first", "whole"]


@dataclass(frozen=True)
class PlainClassifier:
    """A classifier as transformers has it.

    A linear head commutes with the mean over tokens, so that the classes which label each token can label a text.

    Args:
        module: one of transformers' models for classification.
        auto_class: the auto class that loads it.
        head: name of its attribute that holds the head.
        reading: the logits of a row are those of its tokens on average, those of the first token, or the module's own.
    """

    module: Any
    auto_class: str
    head: str
    reading: Reading

    def logits(self, batch: Batch) -> np.ndarray:
        """Logits of a batch, float32 [B, C]."""
        with torch.inference_mode():
            found = self.module(**batch).logits
        if self.reading == "mean":
            mask = batch["attention_mask"].unsqueeze(-1)  # [B, T, 1]
            found = (found * mask).sum(dim=1) / mask.sum(dim=1)
        read: np.ndarray = (found[:, 0] if self.reading == "first" else found).numpy()
        return read


def plain_classifier(model: AdaptedModel) -> PlainClassifier:
    """An adapted classifier in one of transformers' classes, its temperature within the head.

    Raises:
        ModelError: E-EXPORT-002, it has layers that transformers lacks; 003, no class of transformers computes it.
    """
    if model.encoder.insert is not None:
        raise ModelError(
            "E-EXPORT-002",
            f"the model keeps layers that transformers lacks: it was adapted by {model.strategy}",
            hint="export it with --format onnx, or load it with acclimate.load",
        )
    name = "AutoModelForImageClassification" if model.reads_images else "AutoModelForTokenClassification"
    config = copy.deepcopy(model.encoder.module.config)
    try:
        module, head = _assembled(model, getattr(transformers, name), config)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        kind = getattr(config, "model_type", type(config).__name__)
        raise ModelError(
            "E-EXPORT-003",
            f"no {name} of transformers computes this model ({kind}): {str(error).splitlines()[0][:200]}",
            hint="export it with --format onnx, or load it with acclimate.load",
        ) from error
    reading: Reading = "whole" if model.reads_images else "first" if model.encoder.pooling == "cls" else "mean"
    return PlainClassifier(module, name, head.split(".")[0], reading)


def _assembled(model: AdaptedModel, auto_class: Any, config: Any) -> tuple[Any, str]:
    """A model's parts in another class, and the name of its linear head.

    Raises:
        ValueError: they don't fit; transformers raises other errors, too.
    """
    config.num_labels = len(model.labels)
    config.id2label = dict(enumerate(model.labels))
    config.label2id = {label: number for number, label in enumerate(model.labels)}
    with torch.random.fork_rng(devices=[]), quiet():
        module = auto_class.from_config(config).float().eval()
    encoder = getattr(module, module.base_model_prefix)
    missing, unknown = encoder.load_state_dict(model.encoder.module.state_dict(), strict=False)
    heads = [one for one, layer in module.named_modules() if isinstance(layer, torch.nn.Linear)]
    (head,) = [one for one in heads if one.split(".")[0] != module.base_model_prefix]
    if unknown or [one for one in missing if "pooler." not in one]:
        raise ValueError("its encoder has other parts")
    put_head(module.get_submodule(head), model)
    return module, head


def put_head(head: Any, model: AdaptedModel) -> None:
    """Put a model's head into a linear layer, divided by its temperature.

    Raises:
        ValueError: the layer is of another shape.
    """
    if tuple(head.weight.shape) != model.weight.shape:
        raise ValueError(f"its head reads {head.weight.shape[1]} features, not {model.weight.shape[1]}")
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(model.weight / np.float32(model.temperature)))
        head.bias.copy_(torch.from_numpy(model.bias / np.float32(model.temperature)))


def write_plain(model: AdaptedModel | Writer, folder: Path) -> tuple[str, float]:
    """Write a folder that transformers loads, and load it.

    Returns:
        How it is loaded, as lines of Python, and the largest difference of logits.

    Raises:
        ModelError: see :func:`plain_classifier`.
        IntegrityError: E-EXPORT-005, what was written computes something else.
    """
    if isinstance(model, Writer):
        with quiet():
            model.lm.save_pretrained(folder)
        model.reader.save(folder)
        loaded = load_module(transformers.AutoModelForCausalLM, folder).eval()
        return writer_recipe(), writer_difference(loaded, model)
    plain = plain_classifier(model)
    with quiet():
        plain.module.save_pretrained(folder)
    model.encoder.reader.save(folder)
    with loading(folder):
        module = getattr(transformers, plain.auto_class).from_pretrained(folder, local_files_only=True).eval()
    again = PlainClassifier(module, plain.auto_class, plain.head, plain.reading)
    return recipe(plain, model, f"{plain.auto_class}.from_pretrained(FOLDER)"), difference(again, model)


def difference(plain: PlainClassifier, model: AdaptedModel) -> float:
    """The largest difference of a plain classifier's logits from the model's; see :func:`largest_difference`."""
    prepared = model.encoder.reader.prepare(probes(model.encoder.reader, reads_images=model.reads_images))
    rows = range(len(prepared.sizes))
    return largest_difference(plain.logits(prepared.batch(rows)), own_logits(model, prepared.batch(rows)), "the folder")


def own_logits(model: AdaptedModel, batch: Batch) -> np.ndarray:
    """The model's own logits of a batch over its temperature, float32 [B, C]."""
    from acclimate.nn.encoder import pooled
    from acclimate.nn.model import linear

    with torch.inference_mode():
        features = pooled(model.encoder.module.eval(), batch, model.encoder.pooling).numpy()
    return linear(features, model.weight, model.bias) / np.float32(model.temperature)


def writer_difference(lm: Any, model: Writer) -> float:
    """The largest difference of a language model's logits from the adapted one's; see :func:`largest_difference`."""
    found = []
    for text in probes(model.reader, reads_images=False):
        ids = torch.tensor([model.reader.prompt(str(text))[-model.prompting.max_length :]])
        with torch.inference_mode():
            found.append((lm(input_ids=ids).logits.numpy(), model.lm.eval()(input_ids=ids).logits.numpy()))
    return max(largest_difference(exported, own, "the folder") for exported, own in found)


def recipe(plain: PlainClassifier, model: AdaptedModel, load: str, before: str = "") -> str:
    """How a plain classifier is used, as lines of Python.

    Args:
        plain: the classifier.
        model: what it was made of.
        load: an expression that loads it.
        before: lines that go before it.
    """
    auto, reads = ("AutoImageProcessor", "images") if model.reads_images else ("AutoTokenizer", "texts")
    read = (
        'reader(images, return_tensors="pt")'
        if model.reads_images
        else f'reader(texts, padding=True, truncation=True, max_length={model.max_length}, return_tensors="pt")'
    )
    pooling = {
        "mean": 'mask = batch["attention_mask"].unsqueeze(-1)\nlogits = (logits * mask).sum(1) / mask.sum(1)\n',
        "first": "logits = logits[:, 0]\n",
        "whole": "",
    }
    return (
        f"import torch\nfrom transformers import {plain.auto_class}, {auto}\n{before}\n"
        f"reader = {auto}.from_pretrained(FOLDER)\nmodel = {load}.eval()\n"
        f"batch = {read}  # {reads}: a list\n"
        f"with torch.inference_mode():\n    logits = model(**batch).logits\n"
        f"{pooling[plain.reading]}"
        "probabilities = logits.softmax(-1)\nlabels = [model.config.id2label[i] for i in logits.argmax(-1).tolist()]\n"
    )


def writer_recipe(load: str = "AutoModelForCausalLM.from_pretrained(FOLDER)", before: str = "") -> str:
    """How an exported language model is used, as lines of Python."""
    return (
        f"from transformers import AutoModelForCausalLM, AutoTokenizer\n{before}\n"
        f"tokenizer = AutoTokenizer.from_pretrained(FOLDER)\nmodel = {load}.eval()\n"
    )
