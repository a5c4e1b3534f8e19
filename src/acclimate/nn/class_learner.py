"""Training a classifier, as the loop of :mod:`acclimate.nn.train` asks for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from acclimate.core.metrics import score
from acclimate.nn.batching import token_batches
from acclimate.nn.devices import CPU
from acclimate.nn.job import TrainJob
from acclimate.nn.learner import Validated
from acclimate.nn.model import Classifier
from acclimate.nn.penalties import Start, penalties_of
from acclimate.nn.sharding import AnyCompute, compute_of
from acclimate.nn.step import Rows, Workers, gradients
from acclimate.nn.training_model import build, trainable

EVALUATION_TOKENS = 4096


class ClassLearner:
    """The port ``Learner`` for a classifier.

    Args:
        job: what is trained.
        device: what is computed on.
        sharded: this worker holds its part of the model only.
    """

    def __init__(self, job: TrainJob, device: torch.device = CPU, *, sharded: bool = False) -> None:
        encoder, self.model = build(job)
        self.compute: AnyCompute[Classifier] = compute_of(self.model, job.precision, device, sharded=sharded)
        parameters = trainable(self.model)
        self.loss_of_knowing_nothing = math.log(job.n_classes)
        self._job = job
        self._penalties = penalties_of(Start(job, encoder, self.compute.model, parameters))
        self._train = Rows.of(encoder, job.train)
        self._validation = Rows.of(encoder, job.validation)

    @property
    def sizes(self) -> list[int]:
        """Tokens of each training row."""
        return self._train.sizes

    @property
    def units(self) -> int:
        """Training rows."""
        return len(self._train)

    def begin_epoch(self, epoch: int) -> None:
        """Nothing is drawn but dropout, which the loop seeds."""

    def gradients(self, rows: Sequence[int], workers: Workers) -> float:
        """See :func:`acclimate.nn.step.gradients`."""
        return gradients(self.compute, self._train, rows, workers, self._penalties)

    def validate(self, workers: Workers) -> Validated:
        """Logits of the validation rows, their cross-entropy, and the job's metric."""
        job, rows = self._job, self._validation
        self.compute.model.eval()
        logits = torch.zeros(len(rows), job.n_classes)
        batches = token_batches(rows.sizes, token_budget=EVALUATION_TOKENS)
        shares = [batches[rank :: workers.world] for rank in range(workers.world)]
        with torch.no_grad():
            for batch, counts in workers.turns(shares, batches[0]):
                found = self.compute.model(rows.batch(batch, self.compute.device)[0]).cpu()
                if counts:
                    logits[batch] = found
        workers.add_up(logits)
        outputs = np.asarray(logits.numpy(), dtype=np.float32)
        return Validated(
            outputs,
            loss=float(torch.nn.functional.cross_entropy(logits, rows.labels)),
            score=score(job.metric, job.validation.labels, outputs.argmax(axis=1), job.n_classes),
        )
