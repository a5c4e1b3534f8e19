"""How fast texts become features: our encoder against sentence-transformers' ``encode`` at its defaults.

Its defaults are batches of 32 sorted by length, in fp32. Both have the same weights, texts, tokens read and threads;
sentence-transformers also scales each vector to length 1, which the cosine doesn't see. All embed the same texts in
turns, another one first each round; a ratio is the median over rounds. Three settings of as many tokens in all: real
short reviews as they are, and the same words in texts of about 32 and of about 128 tokens.

``bf16_throughout`` is the same encoder as a copy in bfloat16, also what lies between the matrix products: what our
``bf16``, which keeps that in float32, costs and gains.

``share_of_peak`` is the arithmetic of the forward pass per second, padding not counted, as a share of the machine's
speed at a product of two 4096 x 4096 matrices in the same precision. A text of T tokens takes
2 T x (weights in matrix products) + layers x 4 T^2 d operations, where a layer of the encoder has 4 d^2 + 2 d f such
weights (attention and feed-forward) and attention itself takes 4 T d a token.

Expected: ``auto`` takes bf16 here, at least 3 times as fast on short texts (the reviews and 32 tokens), and at least
twice at 128 tokens; fp32 at least as fast; cosine at least .9998 for every text in bf16, .99999 in fp32. Written before
measuring the lengths; an earlier form of this script had measured the reviews already: ratio 3.15, cosine .9997.

sentence-transformers is no dependency of the project: pip install sentence-transformers

    python -m benchmarks.features
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acclimate.adapters.sources import resolve_source
from acclimate.nn.calibrate import lowest_cosine
from acclimate.nn.encoder import PRECISIONS, Encoder, quiet
from benchmarks.labelled_rows import parts, read_rows
from benchmarks.measured import (
    DATA,
    SOURCE,
    auto_precision,
    big_product_tflops,
    machine,
    paired_speeds,
    say,
    store,
)
from benchmarks.trained_models import token_ids

THEIRS = "sentence-transformers"
THROUGHOUT = "bf16_throughout"
LENGTHS = (32, 128)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Embed = Callable[[list[str]], np.ndarray]


def their_embed(folder: Path, max_length: int) -> Embed:
    """``encode`` at its defaults, reading as many tokens as ours."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise SystemExit("sentence-transformers is not installed: pip install sentence-transformers") from None
    with quiet():
        model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = max_length
    return lambda texts: np.asarray(model.encode(texts))


def throughout_bf16(folder: Path) -> Embed:
    """Ours, every weight and number in between in bfloat16."""
    encoder = Encoder.load(folder, precision="fp32")
    encoder.module.to(torch.bfloat16)
    return encoder.embed


def of_length(texts: Sequence[str], tokens: int, rows: int, encoder: Encoder) -> list[str]:
    """Texts of about so many tokens, cut from the words of all texts in a row."""
    words = [word for text in texts for word in text.split()]
    special = len(token_ids(encoder, [""])[0])
    known = sorted(set(words))
    sizes = {word: len(ids) - special for word, ids in zip(known, token_ids(encoder, known), strict=True)}
    made: list[str] = []
    current: list[str] = []
    size = special
    for word in cycle(words):
        if current and size + sizes[word] > tokens:
            made.append(" ".join(current))
            current, size = [], special
        if len(made) == rows:
            break
        current.append(word)
        size += sizes[word]
    return made


def operations(config: Any, lengths: Sequence[int]) -> float:
    """Floating-point operations of the forward pass of texts of these lengths, see the top of this file."""
    d, layers = config.hidden_size, config.num_hidden_layers
    weights = layers * (4 * d * d + 2 * d * config.intermediate_size)
    return float(sum(2 * weights * length + layers * 4 * length**2 * d for length in lengths))


def compare(embeds: dict[str, Embed], texts: list[str], rounds: int, tera_operations: float) -> dict[str, Any]:
    """Paired speeds and the closeness of the features."""
    features = {name: embed(texts) for name, embed in embeds.items()}
    found = paired_speeds({name: partial(embed, texts) for name, embed in embeds.items()}, THEIRS, len(texts), rounds)
    for name, speeds in found.items():
        speeds["tflops"] = round(tera_operations * speeds["rows_per_second"] / len(texts), 3)
        if name != THEIRS:
            speeds["cosine_lowest"] = round(lowest_cosine(features[name], features[THEIRS]), 6)
    return found


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, nargs="?", default=DATA / "reviews.csv", help="columns text and label")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    encoders = {precision: Encoder.load(folder, precision=precision) for precision in PRECISIONS}
    encoder = encoders["fp32"]
    embeds: dict[str, Embed] = {THEIRS: their_embed(folder, encoder.max_length)}
    embeds |= {precision: own.embed for precision, own in encoders.items()}
    embeds[THROUGHOUT] = throughout_bf16(folder)
    read = read_rows(options.csv)
    texts = read.some_texts(parts(len(read), [options.rows], 0)[0])
    total = sum(map(len, token_ids(encoder, texts)))
    settings = {f"{options.csv.stem}_as_they_are": texts}
    settings |= {f"{n}_tokens": of_length(texts, n, max(1, round(total / n)), encoder) for n in LENGTHS}
    peaks = {name: big_product_tflops(dtype) for name, dtype in DTYPES.items()}
    found: dict[str, Any] = {}
    for name, chosen in settings.items():
        lengths = [len(row) for row in token_ids(encoder, chosen)]
        speeds = compare(embeds, chosen, options.rounds, operations(encoder.module.config, lengths) / 1e12)
        found[name] = {"rows": len(chosen), "tokens_mean": round(statistics.mean(lengths), 1), **speeds}
        say(setting=name, **speeds)
    # others can only slow a product down: the better of before and after
    peaks = {name: max(peaks[name], big_product_tflops(dtype)) for name, dtype in DTYPES.items()}
    for setting in found.values():
        for name in embeds:
            peak = peaks["bf16" if name.startswith("bf16") else "fp32"]
            setting[name]["share_of_peak"] = round(setting[name]["tflops"] / peak, 3)
    result = {
        "claim": "features of texts, against sentence-transformers' encode at its defaults",
        "expected": "bf16 >= 3 times as fast on short texts, >= 2 at 128 tokens, cosine >= .9998; fp32 >= 1 times",
        "source": f"{card.name} {card.revision}",
        "data": options.csv.name,
        "rounds": options.rounds,
        "max_length": encoder.max_length,
        "auto": auto_precision(folder),
        "peak_tflops": {name: round(value, 3) for name, value in peaks.items()},
        **machine(THEIRS, "torch", "transformers"),
        **found,
    }
    store("features", result)


if __name__ == "__main__":
    main()
