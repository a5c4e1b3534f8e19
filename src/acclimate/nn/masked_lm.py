"""An encoder with a head that tells hidden tokens, as masked language models have it.

The head is that of BERT and its kin: a layer of the embeddings' size, an activation, a normalisation, and the input
embeddings as the output's weights. Sentence encoders are stored without one and get a new one; a stored one is used.

Source: Devlin et al. 2019; the tied output: Press & Wolf 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers.activations import ACT2FN

from acclimate.errors import ModelError
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import MaskedJob
from acclimate.nn.preflight import weight_files
from acclimate.nn.readers import Batch, TextReader
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.trainable import Trainable
from acclimate.nn.training_model import put, trainable


@dataclass(frozen=True)
class HeadNames:
    """What a stored head's tensors are called in a model folder."""

    dense: str
    norm: str
    bias: str


_BERT = HeadNames("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias")
_ROBERTA = HeadNames("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")
#: Encoders that were pretrained by telling hidden tokens from the last hidden states. ELECTRA tells replaced tokens,
#: and DeBERTa's decoder reads positions that its encoder has not seen: a head on their encoders is another task.
HEADS = {
    "albert": HeadNames("predictions.dense", "predictions.LayerNorm", "predictions.bias"),
    "bert": _BERT,
    "camembert": _ROBERTA,
    "distilbert": HeadNames("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    "mpnet": _ROBERTA,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


class MaskedHead(torch.nn.Module):
    """From hidden states to logits over the vocabulary.

    Args:
        activation: between the layer and the normalisation.
        dim: d, of the hidden states.
        embedding_dim: e, of the input embeddings.
        vocabulary: V, rows of the input embeddings.
        epsilon: of the normalisation.
    """

    def __init__(self, activation: Any, dim: int, embedding_dim: int, vocabulary: int, epsilon: float) -> None:
        super().__init__()
        self.activation = activation
        self.dense = torch.nn.Linear(dim, embedding_dim)
        self.norm = torch.nn.LayerNorm(embedding_dim, eps=epsilon)
        self.bias = torch.nn.Parameter(torch.zeros(vocabulary))

    def forward(self, hidden: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """Logits float32 [N, V] of hidden states [N, d]; multiplied in the precision of the embeddings [V, e]."""
        told = self.norm(self.activation(self.dense(hidden.float())))  # [N, e]
        return torch.nn.functional.linear(told.to(embeddings.dtype), embeddings).float() + self.bias


class MaskedModel(Trainable):
    """What is pretrained: an encoder and its masked-language-model head.

    Args:
        encoder: a transformers model of texts.
        head: the head.
    """

    head: MaskedHead

    def __init__(self, encoder: Any, head: MaskedHead) -> None:
        super().__init__(encoder, head, head_is_new=True)

    def forward(self, batch: Batch, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits float32 [N, V] at some places of a batch: N rows and the positions in them, int64 [N] each."""
        hidden = self.encoder(**batch).last_hidden_state  # [B, T, d]
        return self.head(hidden[rows, positions], self.encoder.get_input_embeddings().weight)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class BuiltMasked:
    """The model of a pretraining at step 0.

    Args:
        encoder: the source model, which reads texts for it.
        model: what is trained.
        new_head: whether the source had no head of its own.
    """

    encoder: Encoder
    model: MaskedModel
    new_head: bool


def build_masked(job: MaskedJob) -> BuiltMasked:
    """The model of a job at step 0; what is trained has ``requires_grad``. The same job gives the same bits.

    Raises:
        ModelError: E-MODEL-028, no masked-language-model head fits the encoder; or what loading it raises.
    """
    encoder = Encoder.load(job.source, precision=job.precision, max_length=job.max_length)
    config = encoder.module.config
    names = _head_names(encoder, job.source)
    embeddings = encoder.module.get_input_embeddings().weight  # [V, e]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        head = MaskedHead(
            ACT2FN[getattr(config, "hidden_act", None) or getattr(config, "activation", "gelu")],
            encoder.dim,
            embeddings.shape[1],
            embeddings.shape[0],
            float(getattr(config, "layer_norm_eps", 1e-12)),
        )
        with torch.no_grad():
            head.dense.weight.normal_(0.0, float(getattr(config, "initializer_range", 0.02)))
            head.dense.bias.zero_()
    stored = _stored_head(job.source, names, head)
    if stored is not None:
        head.load_state_dict(stored)
    model = MaskedModel(encoder.module, head)
    STRATEGIES[job.strategy].prepare(model, job.settings)
    return BuiltMasked(encoder, model, stored is None)


def pretrained(job: MaskedJob, weights: Path) -> Encoder:
    """The encoder of a finished pretraining, without the head.

    Args:
        job: what was trained.
        weights: one of its result's files.
    """
    built, stored = build_masked(job), load_file(weights)
    parameters = trainable(built.model)
    put({name: stored[f"parameter/{name}"] for name in parameters}, parameters)
    return built.encoder.with_module(built.model.encoder.eval())


def _head_names(encoder: Encoder, folder: Path) -> HeadNames:
    kind = "a vision encoder" if encoder.reads_images else f"a {encoder.module.config.model_type} model"
    has_mask = isinstance(encoder.reader, TextReader) and encoder.reader.tokenizer.mask_token_id is not None
    names = HEADS.get(encoder.module.config.model_type)
    if names is None or not has_mask:
        why = f"{kind} was not pretrained by telling hidden tokens" if names is None else "its tokenizer has no mask"
        raise ModelError(
            "E-MODEL-028",
            f"the source model can't be pretrained on in-domain texts: {why}",
            where=str(folder),
            hint=f"leave out pool and tapt, or take one of {', '.join(sorted(HEADS))}",
        )
    return names


def _stored_head(folder: Path, names: HeadNames, like: MaskedHead) -> dict[str, torch.Tensor] | None:
    """The head that the folder's weights hold; None where a part is absent or of another shape."""
    wanted = {
        "dense.weight": f"{names.dense}.weight",
        "dense.bias": f"{names.dense}.bias",
        "norm.weight": f"{names.norm}.weight",
        "norm.bias": f"{names.norm}.bias",
        "bias": names.bias,
    }
    found: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            there = set(file.keys())
            found |= {own: file.get_tensor(name).float() for own, name in wanted.items() if name in there}
    shapes = {name: value.shape for name, value in like.state_dict().items()}
    return found if {name: value.shape for name, value in found.items()} == shapes else None
