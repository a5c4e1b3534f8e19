"""The inputs themselves, before any model: statistics of both sides of a gap, of texts or of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from acclimate.core.image_input import colour_divergence, image_statistics
from acclimate.core.sample_plan import Pair, SamplePlan
from acclimate.core.text_input import token_statistics, vocabulary_divergence
from acclimate.examples import Examples
from acclimate.nn.encoder import Encoder
from acclimate.nn.image_features import measured
from acclimate.nn.loading import quiet
from acclimate.nn.readers import TextReader

WITHIN_PAIRS = 20


@dataclass(frozen=True)
class InputSide:
    """What is told of the inputs.

    Args:
        statistics: by ``<name>_<side>``.
        divergence_name: of the divergence between samples of both sides.
        divergence: mean Jensen-Shannon divergence of pairs of samples, numbered over all sides in their order.
    """

    statistics: dict[str, float]
    divergence_name: str
    divergence: Callable[[Sequence[Pair]], float]

    def with_divergence(self, plan: SamplePlan) -> dict[str, float]:
        """The statistics, and the divergence between target and source beside that within the source."""
        within = f"{self.divergence_name}_within_reference"
        return {
            **self.statistics,
            self.divergence_name: self.divergence(plan.draws),
            within: self.divergence(plan.null_pairs[:WITHIN_PAIRS]),
        }


def input_side(sides: Mapping[str, Examples], encoder: Encoder) -> InputSide:
    """Statistics of the inputs of each side.

    Args:
        sides: rows by the side's name.
        encoder: the source model, for its tokenizer or the size of what it sees.
    """
    reader = encoder.reader
    return _of_texts(sides, reader) if isinstance(reader, TextReader) else _of_images(sides, reader.limit)


def _of_texts(sides: Mapping[str, Examples], reader: TextReader) -> InputSide:
    tokenizer = reader.tokenizer
    longest = reader.limit - tokenizer.num_special_tokens_to_add()
    tokens: list[list[int]] = []
    statistics: dict[str, float] = {}
    for side, rows in sides.items():
        with quiet():
            encoded = tokenizer(rows.texts, add_special_tokens=False, truncation=False, padding=False)
        ids = [list(row) for row in encoded["input_ids"]]
        words = [len(text.split()) for text in rows.texts]
        found = token_statistics(ids, words, unknown_id=tokenizer.unk_token_id, longest=longest)
        statistics |= {f"{name}_{side}": float(value) for name, value in asdict(found).items()}
        tokens += ids
    return InputSide(statistics, "vocabulary_js", lambda pairs: vocabulary_divergence(tokens, pairs))


def _of_images(sides: Mapping[str, Examples], seen: int) -> InputSide:
    measures = measured([image for rows in sides.values() for image in rows.inputs if isinstance(image, bytes)])
    statistics: dict[str, float] = {}
    start = 0
    for side, rows in sides.items():
        found = image_statistics(measures.of(slice(start, start + len(rows))), seen=seen)
        statistics |= {f"{name}_{side}": value for name, value in asdict(found).items()}
        start += len(rows)
    return InputSide(statistics, "colour_js", lambda pairs: colour_divergence(measures.colours, pairs))
