"""Training curves: score and loss of every arm, epoch by epoch."""

from __future__ import annotations

from itertools import cycle

from acclimate.records import Arm, FinetuneReport
from acclimate.report import numbers
from acclimate.report.figures.canvas import C1, C2, C3, C4, INK, PAPER, Axes, Drawing, draw
from acclimate.report.task_words import epoch_metric
from acclimate.report.view import ReportView
from acclimate.report.wording import metric_name


def training(view: ReportView) -> Drawing | None:
    """Validation score above, losses below; None where nothing was trained."""
    trained = [arm for arm in view.finetune.arms if arm.curve] if view.finetune else []
    if view.finetune is None or not trained:
        return None
    report = view.finetune
    epochs_by = metric_name(epoch_metric(report.metric, view.data.task))

    def paint(above: Axes, below: Axes) -> None:
        colours = cycle((C1, C3, C4))
        for arm, marker in zip(trained, cycle("osD^"), strict=False):
            _paint_curves(above, below, arm, C2 if arm.chosen else next(colours), marker)
        last = max(len(arm.curve) for arm in trained)
        for axes in (above, below):
            axes.grid(visible=True, axis="y")
            axes.tick_params(length=0)
            axes.set_xlim(0.7, last + 0.3)
            axes.xaxis.get_major_locator().set_params(integer=True)
        above.set_xticklabels([])
        above.set(ylabel=epochs_by)
        below.set(xlabel="epoch", ylabel="loss")
        below.set_ylim(bottom=0)
        above.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, columnspacing=1.4, labelcolor=INK)

    return draw("training", "Training, epoch by epoch", _caption(report, trained, epochs_by), paint, height=390, rows=2)


def _paint_curves(above: Axes, below: Axes, arm: Arm, colour: str, marker: str) -> None:
    epochs = [point.epoch for point in arm.curve]
    scores = [point.validation_score for point in arm.curve]
    above.plot(epochs, scores, marker=marker, ms=4, color=colour, label=arm.strategy)
    kept = [(p.epoch, p.validation_score) for p in arm.curve if p.epoch == arm.best_epoch]
    above.plot(*zip(*kept, strict=True), marker, ms=11, color=colour, mec=PAPER, mew=1.5) if kept else None
    below.plot(epochs, [point.train_loss for point in arm.curve], color=colour, lw=1.4, ls=(0, (4, 2)))
    below.plot(epochs, [point.validation_loss for point in arm.curve], color=colour)


def _caption(report: FinetuneReport, trained: list[Arm], epochs_by: str) -> str:
    kept = ", ".join(f"{arm.strategy} {arm.best_epoch} of {arm.epochs}" for arm in trained)
    return (
        f"Above: {epochs_by} on validation, the large mark being the epoch kept ({kept}). "
        "Below: loss on training rows (dashed) and on validation (solid); where the solid line rises while the dashed "
        f"one falls, the model has begun to memorise. {_best_sentence(report)}"
    )


def _best_sentence(report: FinetuneReport) -> str:
    best = max(report.arms, key=lambda arm: arm.score.point)
    return f"Best on validation: {best.strategy} with {numbers.score(best.score.point)}."
