"""A random causal language model of two layers that reads bytes, and toy rows it can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from acclimate.nn.job import Pairs

SPECIAL = ["<pad>", "<end>", "<user>", "<assistant>"]
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% if m['role'] == 'assistant' %}<end>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
WORDS = {"spam": "win cash now free click", "work": "meet at nine about plan"}


def write_tiny_lm(folder: Path, *, model_type: str = "llama", template: bool = True, tied: bool = True) -> Path:
    """Write a random two-layer decoder (hidden size 32) with a tokenizer of bytes into ``folder``."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<end>",
        additional_special_tokens=["<user>", "<assistant>"],
        chat_template=TEMPLATE if template else None,
    )
    fast.save_pretrained(folder)
    config: Any = transformers.AutoConfig.for_model(
        model_type,
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def toy_pairs(rows: int, seed: int, *, prompts: bool = True) -> Pairs:
    """Some words of one of two kinds, and the kind's name as the answer; without prompts the words themselves."""
    rng = np.random.default_rng(seed)
    kinds = [("spam", "work")[i % 2] for i in range(rows)]
    texts = [" ".join(str(rng.choice(WORDS[kind].split())) for _ in range(int(rng.integers(2, 6)))) for kind in kinds]
    return Pairs(tuple(texts), tuple(kinds)) if prompts else Pairs(None, tuple(texts))


def saved_writer(folder: Path) -> Path:
    """Write an adapted model into ``folder``: the random decoder, prompted with one example, 12 tokens an answer."""
    from acclimate.nn.causal.model import load_lm
    from acclimate.nn.causal.reader import AnswerReader
    from acclimate.nn.causal.writer import Prompting, Writer
    from tests.run_records import SOURCE

    # of the four kinds this one writes something else to each prompt
    source = write_tiny_lm(folder.with_name(f"{folder.name}-source"), template=False, tied=False)
    lm = load_lm(source)
    asked = Prompting(has_prompts=True, shots=(("free cash", "spam"),), max_length=128, max_new_tokens=12)
    tokenizer = AnswerReader.load(source, lm.config, asked.max_length).tokenizer
    Writer(lm, tokenizer, asked, precision="fp32", strategy="frozen", source=SOURCE).save(folder)
    return folder
