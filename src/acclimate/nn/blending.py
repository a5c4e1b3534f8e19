"""After training: the best epochs averaged where that helps, then the best point between the source and that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from acclimate.core.soup import greedy_soup
from acclimate.nn.averaging import between, mean
from acclimate.nn.job import TrainJob, TrainResult
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.training_model import Trained, finish

ALPHAS = tuple(round(0.1 * step, 1) for step in range(1, 11))


@dataclass(frozen=True)
class Blended:
    """What is handed on of a training.

    Args:
        model: the model.
        epochs: whose weights were averaged, best first.
        alpha: share of the trained weights, the rest the source's and the probe's; 1 is the trained model itself.
        scores: validation score by alpha; without a sweep that of 1 alone.
        tuned: the model at alpha 1.
    """

    model: Trained
    epochs: tuple[int, ...]
    alpha: float
    scores: dict[float, float]
    tuned: Trained


def blended(
    job: TrainJob, result: TrainResult, score: Callable[[Trained], float], *, source: Trained | None
) -> Blended:
    """Average and interpolate a finished training.

    Args:
        job: what was trained; ``keep`` epochs are candidates for the average.
        result: its result.
        score: validation score of a model; larger is better.
        source: the source model with the probe as head, the other end of the line; None for no interpolation.

    Returns:
        The best; of equal scores the one nearer to the source, which forgets less.
    """
    by_rank = sorted(range(1, len(result.history) + 1), key=lambda e: (-result.history[e - 1].validation_score, e))
    strategy = STRATEGIES[job.strategy]
    kept = result.weights if strategy.is_mergeable else result.weights[:1]
    models = [finish(job, weights) for weights in kept]
    taken, best = greedy_soup(
        range(len(models)), lambda some: score(mean([models[i] for i in some]) if len(some) > 1 else models[some[0]])
    )
    tuned = mean([models[i] for i in taken]) if len(taken) > 1 else models[taken[0]]
    scores = {1.0: best}
    if source is not None and strategy.is_mergeable and strategy.starts_from_probe:
        scores |= {alpha: score(between(source, tuned, alpha)) for alpha in ALPHAS[:-1]}
    alpha = min(scores, key=lambda share: (-scores[share], share))
    model = tuned if alpha == 1.0 or source is None else between(source, tuned, alpha)
    return Blended(model, tuple(by_rank[i] for i in taken), alpha, dict(sorted(scores.items())), tuned)
