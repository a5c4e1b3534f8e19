"""A causal language model as strategies and the training loop see it: its decoder, and the head that writes tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from acclimate.errors import ModelError
from acclimate.nn.causal.packing import Pack
from acclimate.nn.causal.reader import AnswerReader
from acclimate.nn.devices import device_of
from acclimate.nn.job import WritingJob
from acclimate.nn.loading import load_module, loading
from acclimate.nn.preflight import CAUSAL_MODEL_TYPES, preflight, read_json
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.trainable import Trainable
from acclimate.nn.training_model import put, trainable


class CausalModel(Trainable):
    """What is trained of a causal language model.

    Args:
        lm: transformers' model with its language modelling head; its parts are shared, not copied.
    """

    def __init__(self, lm: Any) -> None:
        super().__init__(lm.base_model, lm.get_output_embeddings(), head_is_new=False)

    def forward(self, pack: Pack) -> torch.Tensor:
        """Logits of the tokens that are to be written, ``[a, V]``; no others are computed."""
        device = device_of(self)
        hidden = self.encoder(
            input_ids=pack.ids.to(device), position_ids=pack.positions.to(device), use_cache=False, return_dict=True
        ).last_hidden_state[0]  # [T, d]
        logits: torch.Tensor = self.head(hidden[pack.reads.to(device)])
        return logits


@dataclass(frozen=True)
class Built:
    """A language model, what reads for it, and the part of it that is trained."""

    lm: Any
    reader: AnswerReader
    model: CausalModel


def load_lm(folder: Path, *, random_seed: int | None = None) -> Any:
    """A causal language model with float32 weights, from a folder that passes the preflight.

    Args:
        folder: the model folder.
        random_seed: seed of random weights to use instead of the stored ones.

    Raises:
        ModelError: the preflight's; E-MODEL-014 and 015, weights that don't fit; 026, it is no causal language model.
    """
    preflight(folder)
    kind = str(read_json(folder / "config.json").get("model_type"))
    if kind not in CAUSAL_MODEL_TYPES:
        raise ModelError(
            "E-MODEL-026",
            f"a {kind} model can't write text",
            where=str(folder),
            hint=f"text-generation takes causal language models: {', '.join(sorted(CAUSAL_MODEL_TYPES))}",
        )
    if random_seed is None:
        return load_module(transformers.AutoModelForCausalLM, folder).eval()
    with torch.random.fork_rng(devices=[]), loading(folder):
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        torch.manual_seed(random_seed)
        return transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False).float().eval()


def build(job: WritingJob) -> Built:
    """The language model of a job at step 0; what is to be trained has ``requires_grad``. The same job, the same bits.

    Raises:
        ModelError: E-MODEL-024, the strategy does not work on language models; or what :func:`load_lm` raises.
        ConfigError: E-TRAIN-038 or 039, a layer it is to adapt or make anew is not there.
    """
    strategy = STRATEGIES[job.strategy]
    if not strategy.works_on("causal"):
        raise ModelError(
            "E-MODEL-024",
            f"{job.strategy} does not work on causal language models",
            where=str(job.source),
            hint=f"take {job.strategy} out of finetune.arms; lora, partial and full work",
        )
    lm = load_lm(job.source, random_seed=None if strategy.starts_from_probe else job.seed)
    reader = AnswerReader.load(job.source, lm.config, job.max_length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        model = CausalModel(lm)
        model.requires_grad_(True)
        strategy.prepare(model, job.settings)
    return Built(lm, reader, model)


def finish(job: WritingJob, weights: Path) -> Any:
    """The language model of a finished job, merged into plain weights.

    Args:
        job: what was trained.
        weights: one of its result's files.
    """
    built, stored = build(job), load_file(weights)
    parameters = trainable(built.model)
    put({name: stored[f"parameter/{name}"] for name in parameters}, parameters)
    STRATEGIES[job.strategy].merge(built.model)
    setattr(built.lm, built.lm.base_model_prefix, built.model.encoder)
    return built.lm.eval()
