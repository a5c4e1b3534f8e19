"""What rule R4 costs and saves: freezing where validation can't show a gain, at several thresholds.

A case is a data set, a number of labelled rows, and a seed. Of the labelled rows a quarter is validation, as ingest
leaves it beside test. In each case the frozen baseline is fitted, then full fine-tuning is trained as stage
``finetune`` does at its defaults, whatever the rules say. Rule R8 chooses between the two on validation as a run would,
and all are scored on 600 other rows: macro-F1. The frozen one is then fitted on train and validation, as it is handed
on.

A threshold is what R4 asks validation to show at least, ``smallest_wanted_gain``; a case is frozen by R4 where the
smallest detectable effect is above it. ``always`` freezes all, ``never`` leaves all to R8. Rule R10 then hands on the
frozen model where, on as many test rows as validation has (as ingest leaves them), the trained one's one-sided 95 %
bound against it is not above 0: ``gave_way`` is the share of cases in which it does, and without R10 these would end
in HOLD or SHADOW. ``macro_f1`` is what is handed on, ``regret`` the mean over cases of (the better of both - that),
both on the other rows; ``if_handed_on_anyway`` is the macro-F1 without R10, had the gate not held it back; ``seconds``
is the training that was not saved.

Topics and movies are what a threshold may be chosen by; reviews are reported beside them.

Expected, written before R10 was there: .05 has a smaller regret than ``always`` and saves at least half of the seconds
of ``never``. Expected of R10, before it was run: on topics and movies ``never`` hands on at least .003 macro-F1 more
than .075, on reviews at least .01; above .2 there is nothing left to gain.

    python -m benchmarks.freeze_rule
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.config import BaselineSpec, Goal
from acclimate.core.arm_choice import ArmResult, choose_arm
from acclimate.core.decision_policy import POLICY_V1
from acclimate.core.folds import assign_folds
from acclimate.core.judge import Judge
from acclimate.core.metrics import score
from acclimate.core.paired import detectable_effect
from acclimate.core.probe import cross_validate_neighbours, cross_validate_probe, fit_probe
from acclimate.core.refitting import refit, with_validation
from acclimate.nn.encoder import Encoder
from acclimate.nn.model import linear
from benchmarks.labelled_rows import LabelledData, parts, read_rows
from benchmarks.measured import DATA, SOURCE, auto_precision, machine, say, store
from benchmarks.trained_models import DEFAULTS, METRIC, fine_tuned

CHOSEN_ON, REPORTED_ON = ("topics", "movies"), ("reviews",)
LABELLED = (60, 120, 250, 500, 1000)
VALIDATION_SHARE = 0.25
THRESHOLDS = (0.05, 0.075, 0.1, 0.15, 0.2)
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Case:
    """What came of a case.

    Args:
        detectable: smallest effect that validation can show.
        frozen: macro-F1 of the frozen model on test rows, as it is handed on.
        trained: of full fine-tuning.
        by_r8: which of the two R8 hands on.
        shown: the trained model is shown to be better on a test split as large as validation.
        seconds: that training took.
    """

    detectable: float
    frozen: float
    trained: float
    by_r8: str
    shown: bool
    seconds: float

    def is_trained(self, threshold: float) -> bool:
        """Whether the trained model comes to be tested."""
        return self.detectable <= threshold and self.by_r8 != "frozen"

    def gave_way(self, threshold: float) -> bool:
        """Whether R10 hands on the frozen model in the place of the trained one."""
        return self.is_trained(threshold) and not self.shown

    def handed_on(self, threshold: float, *, anyway: bool = False) -> float:
        """Macro-F1 of what is handed on, by R10 or without it."""
        stays = self.is_trained(threshold) and (anyway or not self.gave_way(threshold))
        return self.trained if stays else self.frozen

    def spent(self, threshold: float) -> float:
        """Seconds of training."""
        return 0.0 if self.detectable > threshold else self.seconds


def measured(read: LabelledData, labelled: int, seed: int, test_rows: int, source: Path, encoder: Encoder) -> Case:
    """One case."""
    held_out = round(VALIDATION_SHARE * labelled)
    drawn = parts(len(read), [labelled - held_out, held_out, test_rows], seed)
    train, validation, test = (read.some(rows) for rows in drawn)
    x_train, x_validation, x_test = (encoder.embed(part.inputs) for part in (train, validation, test))
    count, config = len(read.labels), BaselineSpec()
    folds = assign_folds(train.labels, None, folds=config.folds, seed=seed)
    choice = cross_validate_probe(x_train, train.labels, count, c_grid=config.c_grid, folds=folds, metric=METRIC)
    near = cross_validate_neighbours(
        x_train, train.labels, count, neighbours=config.neighbours, folds=folds, metric=METRIC
    )
    disagreement = float(np.mean(choice.predicted != near.predicted))
    probe = fit_probe(x_train, train.labels, count, c=choice.c)
    both = np.concatenate([x_train, x_validation]), np.concatenate([train.labels, validation.labels])
    handed_on = refit(*both, count, c=choice.c, folds=with_validation(folds, len(validation))).probe
    few = min(np.bincount(train.labels, minlength=count)) < POLICY_V1.few_labels_per_class
    result, model = fine_tuned(
        "full",
        source,
        encoder,
        probe,
        train,
        validation,
        epochs=DEFAULTS.max_epochs["full"],
        seed=seed,
        settings={"l2_sp": POLICY_V1.few_labels_l2_sp} if few else None,
    )
    judge = Judge(METRIC, validation.labels, count, BOOTSTRAPS, seed, None)
    answers = {
        "frozen": probe.predict(x_validation),
        "full": np.asarray(result.validation_outputs.argmax(axis=1), dtype=np.int64),
    }
    best = max(answers, key=lambda name: judge.point(answers[name]))
    arms = [
        ArmResult(name, float(name == "full"), judge.point(own), judge.difference(own, answers[best]).low)
        for name, own in answers.items()
    ]
    frozen = handed_on.predict(x_test)
    trained = linear(model.encoder.embed(test.inputs), model.weight, model.bias).argmax(axis=1).astype(np.int64)
    on_test = Judge(METRIC, test.labels[:held_out], count, BOOTSTRAPS, seed, None)
    return Case(
        detectable_effect(held_out, disagreement, alpha=POLICY_V1.alpha, power=POLICY_V1.power),
        score(METRIC, test.labels, frozen, count),
        score(METRIC, test.labels, trained, count),
        choose_arm(arms, Goal().min_gain).strategy,
        on_test.difference(trained[:held_out], frozen[:held_out]).low_one_sided > 0,
        result.seconds,
    )


def summary(cases: Sequence[Case]) -> dict[str, Any]:
    """Each threshold over some cases."""
    found: dict[str, Any] = {}
    for name, threshold in {"always": -1.0, **{f"{t:g}": t for t in THRESHOLDS}, "never": 2.0}.items():
        regrets = [max(case.frozen, case.trained) - case.handed_on(threshold) for case in cases]
        found[f"threshold_{name}"] = {
            "macro_f1": round(float(np.mean([case.handed_on(threshold) for case in cases])), 4),
            "regret": round(float(np.mean(regrets)), 4),
            "regret_standard_error": round(float(np.std(regrets, ddof=1) / np.sqrt(len(cases))), 4),
            "if_handed_on_anyway": round(float(np.mean([case.handed_on(threshold, anyway=True) for case in cases])), 4),
            "gave_way": round(float(np.mean([case.gave_way(threshold) for case in cases])), 3),
            "seconds": round(sum(case.spent(threshold) for case in cases), 1),
        }
    return found


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the CSV files")
    parser.add_argument("--labelled", type=int, nargs="+", default=list(LABELLED), help="labelled rows beside test")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test-rows", type=int, default=600)
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    encoder = Encoder.load(folder, precision=auto_precision(folder))
    cases: dict[str, dict[int, list[Case]]] = {}
    for name in (*CHOSEN_ON, *REPORTED_ON):
        read = read_rows(options.data / f"{name}.csv")
        cases[name] = {}
        for labelled in options.labelled:
            cases[name][labelled] = []
            for seed in range(options.seeds):
                case = measured(read, labelled, seed, options.test_rows, folder, encoder)
                cases[name][labelled].append(case)
                say(data=name, labelled=labelled, seed=seed, **vars(case))
    result: dict[str, Any] = {
        "claim": "macro-F1 handed on and training saved by rules R4 and R10, by the threshold of R4",
        "expected": "never freezing by R4 against .075: macro-F1 at least +.003 on topics and movies, +.01 on reviews",
        "source": f"{card.name} {card.revision}",
        "precision": encoder.precision,
        "seeds": options.seeds,
        "test_rows": options.test_rows,
        **machine("torch", "transformers"),
        "chosen_on": summary([case for name in CHOSEN_ON for own in cases[name].values() for case in own]),
        "reported_on": summary([case for name in REPORTED_ON for own in cases[name].values() for case in own]),
    }
    for name, sizes in cases.items():
        result[name] = {
            f"{labelled}_labelled_rows": {
                "detectable": round(float(np.mean([case.detectable for case in own])), 3),
                "frozen": round(float(np.mean([case.frozen for case in own])), 4),
                "trained": round(float(np.mean([case.trained for case in own])), 4),
                "shown": sum(case.shown for case in own),
                "trained_by_r8": sum(case.by_r8 != "frozen" for case in own),
            }
            for labelled, own in sizes.items()
        }
    store("freeze_rule", result)


if __name__ == "__main__":
    main()
