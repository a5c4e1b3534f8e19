"""Distillation from the model before it was trained: T^2 KL(teacher || student) at temperature T.

The teacher is the source model with the baseline's probe, its answers to the training rows recorded once. What they say
beside the label (which classes are near) is kept.

Source: Li & Hoiem 2016 (learning without forgetting), the old task's term; T = 2 there. Hinton et al. 2015 for T^2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from acclimate.nn.model import linear

if TYPE_CHECKING:
    from acclimate.nn.penalties import PenaltyBatch, Start

TEMPERATURE = 2.0


class Distillation:
    """The penalty of answers that leave the teacher's.

    Args:
        weight: its weight.
        teacher: logits of every training row, float32 [n, C].
    """

    def __init__(self, weight: float, teacher: torch.Tensor) -> None:
        self._weight = weight
        self._log_teacher = torch.log_softmax(teacher / TEMPERATURE, dim=1)

    def __call__(self, batch: PenaltyBatch) -> torch.Tensor:
        """The divergence summed over the rows; 0 where the student answers as the teacher."""
        log_student = torch.log_softmax(batch.logits / TEMPERATURE, dim=1)
        divergence = torch.nn.functional.kl_div(
            log_student, self._log_teacher[batch.rows].to(log_student.device), reduction="sum", log_target=True
        )
        return self._weight * TEMPERATURE**2 * divergence


def make(start: Start, weight: float) -> Distillation:
    """The penalty with the probe's answers to the job's training rows."""
    job = start.job
    logits = linear(start.encoder.embed(job.train.inputs), job.probe_weight, job.probe_bias)
    return Distillation(weight, torch.from_numpy(logits))
