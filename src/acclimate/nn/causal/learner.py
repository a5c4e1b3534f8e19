"""Training a causal language model to write given answers, as the loop of :mod:`acclimate.nn.train` asks for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from acclimate.nn.causal.model import CausalModel, build
from acclimate.nn.causal.packing import Pack, packed
from acclimate.nn.causal.scoring import AnswerScores, answer_scores
from acclimate.nn.devices import CPU
from acclimate.nn.job import WritingJob
from acclimate.nn.learner import Validated
from acclimate.nn.penalties.l2_sp import L2SP
from acclimate.nn.sharding import AnyCompute, compute_of
from acclimate.nn.step import Workers
from acclimate.nn.training_model import trainable


class WritingLearner:
    """The port ``Learner`` for a causal language model: cross-entropy of the answers' tokens, of no others.

    Args:
        job: what is trained.
        device: what is computed on.
        sharded: this worker holds its part of the model only.
    """

    def __init__(self, job: WritingJob, device: torch.device = CPU, *, sharded: bool = False) -> None:
        built = build(job)
        self.model = built.model
        self.compute: AnyCompute[CausalModel] = compute_of(self.model, job.precision, device, sharded=sharded)
        parameters = trainable(self.model)
        self.loss_of_knowing_nothing = math.log(built.lm.config.vocab_size)
        self._train = built.reader.rows(job.train)
        self._validation = built.reader.rows(job.validation)
        weight = float(job.settings.get("l2_sp", 0.0))
        self._l2_sp = L2SP(parameters, weight) if weight > 0 else None

    @property
    def sizes(self) -> list[int]:
        """Tokens of each training row."""
        return self._train.sizes

    @property
    def units(self) -> int:
        """Tokens of all training answers."""
        return sum(self._train.written)

    def begin_epoch(self, epoch: int) -> None:
        """Nothing is drawn but dropout, which the loop seeds."""

    def gradients(self, rows: Sequence[int], workers: Workers) -> float:
        """Add the gradient of the mean loss of a batch's tokens, pack by pack."""
        written = self._train.written
        of_batch = sum(written[row] for row in rows)
        total = 0.0
        shares = [packed(self._train.sizes, rows[rank :: workers.world]) for rank in range(workers.world)]
        # a worker without rows still needs a gradient of the same shapes
        for chosen, counts in workers.turns(shares, list(rows[:1]), least=1):
            pack = Pack.of(self._train, chosen)
            logits = self.compute.model(pack).float()
            summed = torch.nn.functional.cross_entropy(logits, pack.targets.to(logits.device), reduction="sum")
            torch.autograd.backward(summed / of_batch if counts else summed * 0.0)
            self.compute.collect()
            total += float(summed.detach()) if counts else 0.0
        if workers.world > 1:
            self.compute.add_up_gradients(workers.add_up)
        if self._l2_sp is not None:
            self._l2_sp.add_gradient()
        return total

    def validate(self, workers: Workers) -> Validated:
        """The loss of the validation answers, and the mean over rows of the tokens that are the model's first choice.

        That share rises from the first epoch on, where whole answers may be wrong for long; nothing is written for it.
        """
        self.compute.model.eval()

        def own(packs: list[list[int]]) -> Iterator[tuple[list[int], bool]]:
            return workers.turns([packs[rank :: workers.world] for rank in range(workers.world)], packs[0])

        table = torch.from_numpy(answer_scores(self.compute.model, self._validation, own=own))
        workers.add_up(table)
        scores = AnswerScores(table.numpy())
        return Validated(scores.table, scores.loss, float(scores.token_accuracy.mean()))
