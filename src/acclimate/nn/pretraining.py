"""Pretraining an encoder on texts without labels, as the loop of :mod:`acclimate.nn.train` asks for it.

Masks are drawn anew each epoch (Liu et al. 2019), for each row from (seed, epoch, row): any number of workers, and a
training taken up after a kill, hide the same tokens. Held-out texts keep theirs, so that epochs can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from acclimate.core.masking import masked, masked_count
from acclimate.errors import DataError
from acclimate.nn.batching import token_batches
from acclimate.nn.compute import Compute
from acclimate.nn.devices import CPU
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import MaskedJob
from acclimate.nn.learner import Validated
from acclimate.nn.masked_lm import MaskedModel, build_masked
from acclimate.nn.readers import Batch, TextReader, TokenRows, on
from acclimate.nn.step import PART_TOKENS, Workers
from acclimate.nn.token_table import TokenTable
from acclimate.nn.training_model import trainable

EVALUATION_TOKENS = 4096
HELD_OUT_EPOCH = 0


@dataclass(frozen=True)
class Hidden:
    """A batch with hidden tokens.

    Args:
        inputs: what the encoder is called with.
        rows: row of each hidden token in the batch, int64 [N].
        positions: its place in that row, int64 [N].
        targets: the token that stood there, int64 [N].
    """

    inputs: Batch
    rows: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor


class MaskedRows:
    """Texts of which tokens are hidden; a text of special tokens only has none to hide and is left out.

    Args:
        tokens: token ids of each text.
        share: of a text's tokens that is hidden.
        mask_id: the mask's token id.
        special: ids that are never hidden and hide nothing.
        vocabulary: number of token ids.
        seed: of the masks.
    """

    def __init__(
        self, tokens: TokenRows, *, share: float, mask_id: int, special: Sequence[int], vocabulary: int, seed: int
    ) -> None:
        self.tokens = tokens
        self.vocabulary = vocabulary
        self._share, self._mask_id, self._seed, self._special = share, mask_id, seed, special
        self._replacements = np.setdiff1d(np.arange(vocabulary), special)
        self.counts = [masked_count(int((~np.isin(ids, special)).sum()), share) for ids in tokens.ids]
        """Hidden tokens of each text."""

    @classmethod
    def of(cls, encoder: Encoder, texts: Sequence[str], job: MaskedJob) -> MaskedRows:
        """Texts as an encoder reads them, those without a token to hide left out."""
        reader = encoder.reader
        assert isinstance(reader, TextReader), "build_masked refuses encoders of images"
        tokenizer, share = reader.tokenizer, float(job.settings["masked_share"])
        special = [int(one) for one in tokenizer.all_special_ids]
        read = reader.prepare(texts)
        kept = TokenTable.of(ids for row in read.ids if not set(special).issuperset(ids := row.tolist()))
        size = int(encoder.module.get_input_embeddings().weight.shape[0])
        return cls(
            TokenRows(kept, read.padding),
            share=share,
            mask_id=int(tokenizer.mask_token_id),
            special=special,
            vocabulary=min(size, len(tokenizer)),
            seed=job.seed,
        )

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.counts)

    def batch(self, rows: Sequence[int], epoch: int, device: torch.device) -> Hidden:
        """Some rows with the tokens hidden that the epoch hides."""
        inputs = self.tokens.batch(rows)
        at: list[tuple[int, int, int]] = []
        for i, row in enumerate(rows):
            ids = self.tokens.ids[row].astype(np.int64)
            hidden = masked(
                ids,
                ~np.isin(ids, self._special),
                share=self._share,
                mask_id=self._mask_id,
                replacements=self._replacements,
                rng=np.random.default_rng([self._seed, epoch, row]),
            )
            inputs["input_ids"][i, : len(ids)] = torch.from_numpy(hidden.ids)
            at += [(i, int(place), int(ids[place])) for place in hidden.positions]
        places = torch.tensor(at, dtype=torch.int64).to(device)  # [N, 3]
        return Hidden(on(device, inputs), places[:, 0], places[:, 1], places[:, 2])


class MaskedLearner:
    """The port ``Learner`` for an encoder that tells hidden tokens: cross-entropy of these, of no others.

    Args:
        job: what is trained.
        device: what is computed on.

    Raises:
        DataError: E-TRAIN-021, no text to train on, or none held out, has a token to hide.
    """

    def __init__(self, job: MaskedJob, device: torch.device = CPU) -> None:
        built = build_masked(job)
        self.model = built.model
        self.new_head = built.new_head
        self.model.to(device)
        self.compute: Compute[MaskedModel] = Compute(self.model, trainable(self.model), job.precision)
        self._train = MaskedRows.of(built.encoder, job.train, job)
        self._held_out = MaskedRows.of(built.encoder, job.held_out, job)
        if not len(self._train) or (job.held_out and not len(self._held_out)):
            raise DataError(
                "E-TRAIN-021",
                "there are no texts to pretrain on: none has a token that the model knows and could be hidden",
                where="pool",
                hint="check pool.text, or leave tapt out",
            )
        self.loss_of_knowing_nothing = math.log(self._train.vocabulary)
        self._epoch = HELD_OUT_EPOCH

    @property
    def sizes(self) -> list[int]:
        """Tokens of each training text."""
        return self._train.tokens.sizes

    @property
    def units(self) -> int:
        """Hidden tokens of all training texts."""
        return sum(self._train.counts)

    def begin_epoch(self, epoch: int) -> None:
        """Draw other masks than in the epochs before."""
        self._epoch = epoch

    def gradients(self, rows: Sequence[int], workers: Workers) -> float:
        """Add the gradient of the mean loss of a batch's hidden tokens, in parts of bounded size."""
        own, data = rows[workers.rank :: workers.world], self._train
        of_batch = sum(data.counts[row] for row in rows)
        size = max(1, PART_TOKENS // max(data.tokens.sizes[row] for row in rows))
        total = 0.0
        # a worker without rows still needs a gradient of the same shapes
        for part in [own[start : start + size] for start in range(0, len(own), size)] or [rows[:1]]:
            summed = self._losses(data.batch(part, self._epoch, self.compute.device)).sum()
            torch.autograd.backward(summed / of_batch if own else summed * 0.0)
            self.compute.collect()
            total += float(summed.detach()) if own else 0.0
        if workers.world > 1:
            self.compute.add_up_gradients(workers.add_up)
        return total

    def validate(self, workers: Workers) -> Validated:
        """The loss of the held-out texts' hidden tokens; the score is exp(-loss), their geometric mean probability.

        Outputs are each text's summed loss, nats, and its hidden tokens, float32 [n, 2].
        """
        data = self._held_out
        self.compute.model.eval()
        table = torch.zeros(len(data), 2)
        batches = token_batches(data.tokens.sizes, token_budget=EVALUATION_TOKENS)
        with torch.no_grad():
            for batch in batches[workers.rank :: workers.world]:
                hidden = data.batch(batch, HELD_OUT_EPOCH, self.compute.device)
                losses = torch.zeros(len(batch)).index_add_(0, hidden.rows.cpu(), self._losses(hidden).cpu())
                table[batch, 0] = losses
                table[batch, 1] = torch.tensor([float(data.counts[row]) for row in batch])
        workers.add_up(table)
        loss = float(table[:, 0].double().sum() / table[:, 1].double().sum())
        return Validated(np.asarray(table.numpy(), dtype=np.float32), loss, math.exp(-loss))

    def _losses(self, hidden: Hidden) -> torch.Tensor:
        logits = self.compute.model(hidden.inputs, hidden.rows, hidden.positions)
        return torch.nn.functional.cross_entropy(logits, hidden.targets, reduction="none")


def held_out_loss(job: MaskedJob, device: torch.device = CPU) -> tuple[float, bool]:
    """Masked loss of a job's held-out texts before anything is trained, nats, and whether the head is a new one."""
    # what would be trained on need not be read for it
    learner = MaskedLearner(replace(job, train=job.held_out), device)
    return learner.validate(Workers(device=device)).loss, learner.new_head
