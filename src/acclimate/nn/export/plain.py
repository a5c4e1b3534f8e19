"""A plain transformers folder: the whole classifier, or the language model, in one of transformers' own classes."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from acclimate.errors import ModelError
from acclimate.nn.causal.writer import Writer
from acclimate.nn.export.checked import unusable
from acclimate.nn.image_reader import FILE
from acclimate.nn.loading import quiet
from acclimate.nn.model import AdaptedModel

Reading = Literal["mean", "first", "whole"]


@dataclass(frozen=True)
class PlainClassifier:
    """A classifier as transformers has it.

    A linear head commutes with the mean over tokens, so that the classes which label each token can label a text.

    Args:
        module: one of transformers' models for classification.
        head: name of its attribute that holds the head.
        reading: the logits of a row are those of its tokens on average, those of the first token, or the module's own.
    """

    module: Any
    head: str
    reading: Reading

    @property
    def class_name(self) -> str:
        """Of its module, in transformers."""
        return type(self.module).__name__


def plain_classifier(model: AdaptedModel) -> PlainClassifier:
    """An adapted classifier in one of transformers' classes, its temperature within the head.

    Raises:
        ModelError: E-EXPORT-002, it has layers that transformers lacks; 003, no class of transformers computes it.
    """
    if model.encoder.insert is not None:
        raise ModelError(
            "E-EXPORT-002",
            f"the model keeps layers that transformers lacks: it was adapted by {model.encoder.insert.kind}",
            hint="export it with --format onnx, or load it with acclimate.load",
        )
    name = "AutoModelForImageClassification" if model.reads_images else "AutoModelForTokenClassification"
    config = copy.deepcopy(model.encoder.module.config)
    if not isinstance(config, transformers.PretrainedConfig):
        kind = getattr(config, "model_type", type(config).__name__)
        raise ModelError(
            "E-EXPORT-003",
            f"transformers has no class for {kind}, which acclimate computes itself",
            hint="export it with --format onnx, or load it with acclimate.load",
        )
    try:
        module, head = _assembled(model, getattr(transformers, name), config)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise unusable(f"no {name} of transformers computes this model", error) from error
    reading: Reading = "whole" if model.reads_images else "first" if model.encoder.pooling == "cls" else "mean"
    return PlainClassifier(module, head.split(".")[0], reading)


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
        head.weight.copy_(torch.from_numpy(model.weight) / model.temperature)
        head.bias.copy_(torch.from_numpy(model.bias) / model.temperature)


def write_plain(model: AdaptedModel | Writer, folder: Path) -> str:
    """Write a folder that transformers loads.

    Returns:
        How it is used, as lines of Python.

    Raises:
        ModelError: see :func:`plain_classifier`.
    """
    if isinstance(model, Writer):
        write_writer(model, model.lm, folder)
        return writer_recipe(model, "AutoModelForCausalLM.from_pretrained(FOLDER)")
    plain = plain_classifier(model)
    with quiet():
        plain.module.save_pretrained(folder)
    write_reader(model, folder)
    return recipe(plain, model, f"{plain.class_name}.from_pretrained(FOLDER)")


def write_reader(model: AdaptedModel, folder: Path) -> None:
    """Write what reads texts or images, as transformers finds it."""
    model.encoder.reader.save(folder)
    if model.reads_images:
        path = folder / FILE
        # without a name transformers takes the architecture's own, some of which crop once more
        named = {**json.loads(path.read_text(encoding="utf-8")), "image_processor_type": "BitImageProcessor"}
        path.write_text(json.dumps(named, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write_writer(model: Writer, lm: Any, folder: Path) -> None:
    """Write a language model, or an adapter of one, with its tokenizer and how it decodes: greedily, as ours does."""
    with quiet():
        lm.save_pretrained(folder)
        transformers.GenerationConfig(
            do_sample=False,
            max_new_tokens=model.prompting.max_new_tokens,
            eos_token_id=model.reader.end,
            pad_token_id=model.reader.end,
        ).save_pretrained(folder)
    model.reader.save(folder)


def recipe(plain: PlainClassifier, model: AdaptedModel, load: str, before: str = "") -> str:
    """How a plain classifier is used, as lines of Python.

    Args:
        plain: the classifier.
        model: what it was made of.
        load: an expression that loads it.
        before: lines that go before it.
    """
    if model.reads_images:
        auto, options = "AutoImageProcessor", ""
        read = 'reader(images, return_tensors="pt")  # images: a list of PIL images in RGB'
    else:
        auto, options = "AutoTokenizer", ', padding_side="right"'
        cut = f"padding=True, truncation=True, max_length={model.max_length}"
        read = f'reader(texts, {cut}, return_tensors="pt")  # texts: a list'
    pooling = {
        "mean": 'mask = batch["attention_mask"].unsqueeze(-1)\nlogits = (logits * mask).sum(1) / mask.sum(1)\n',
        "first": "logits = logits[:, 0]\n",
        "whole": "",
    }
    return (
        f"import torch\nfrom transformers import {auto}, {plain.class_name}\n{before}\n"
        f"reader = {auto}.from_pretrained(FOLDER{options})\nmodel = {load}.eval()\n"
        f"batch = {read}\n"
        f"with torch.inference_mode():\n    logits = model(**batch).logits\n"
        f"{pooling[plain.reading]}"
        "probabilities = logits.softmax(-1)\nlabels = [model.config.id2label[i] for i in logits.argmax(-1).tolist()]\n"
    )


def writer_recipe(model: Writer, load: str, before: str = "") -> str:
    """How an exported language model is used, as lines of Python; see :func:`recipe`."""
    opens, asks = model.reader.tokenizer.bos_token_id, model.prompting.has_prompts
    opening = f"OPENS = {model.reader.end if opens is None else opens}\n"
    # a backtick would end the README's block
    known = repr([list(shot) for shot in model.prompting.shots]).replace("`", "\\x60")
    shots = f"SHOTS = {known}\n" if asks else ""
    if not asks:
        read = '    return tokenizer(text)["input_ids"] or [OPENS]\n'
    elif model.reader.tokenizer.chat_template:
        opening = ""
        read = (
            '    said = [{"role": role, "content": content} for shot in SHOTS\n'
            '            for role, content in zip(("user", "assistant"), shot)]\n'
            '    said.append({"role": "user", "content": text})\n'
            "    asked = tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=True)\n"
            '    return list(asked["input_ids"])\n'
        )
    else:
        read = (
            '    lines = "".join(f"{asked}\\n{answer}\\n\\n" for asked, answer in SHOTS)\n'
            '    return tokenizer(f"{lines}{text}\\n")["input_ids"] or [OPENS]\n'
        )
    return (
        f"import torch\nfrom transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig\n{before}\n"
        f"tokenizer = AutoTokenizer.from_pretrained(FOLDER)\nmodel = {load}.eval()\n"
        f"greedy = GenerationConfig.from_pretrained(FOLDER)\n{shots}{opening}\n"
        f"def read(text):\n{read}\n"
        "answers = []\nfor text in texts:  # a list\n"
        "    ids = torch.tensor([read(text)])\n"
        "    mask = torch.ones_like(ids)\n"
        "    written = model.generate(input_ids=ids, attention_mask=mask, generation_config=greedy)\n"
        "    answers.append(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))\n"
    )
