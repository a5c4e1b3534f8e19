"""Which transfer-learning setting a pair of source and target is in."""

from __future__ import annotations

from typing import Literal

Setting = Literal["inductive", "transductive", "zero-shot", "supervised adaptation", "unsupervised"]


def classify_setting(*, same_task: bool, target_labels: int, source_labelled: bool) -> Setting:
    """Name the setting from what is known of both tasks.

    Args:
        same_task: source and target have the same label set.
        target_labels: number of labelled target rows, 0 or more.
        source_labelled: the source has labels, or a head that was trained on some.

    Returns:
        The setting. "zero-shot" is the transductive setting with an open label space: the tasks
        differ and the target has no labels. How many target labels there are makes no difference
        beyond the first, and a labelled target is always in a setting that trains on it.

    Source: Pan & Yang 2010, table 2, with supervised adaptation (same task, labelled target) added.
    """
    if target_labels > 0:
        return "supervised adaptation" if same_task else "inductive"
    if not source_labelled:
        return "unsupervised"
    return "transductive" if same_task else "zero-shot"


def same_label_set(target: list[str] | None, source: list[str] | None) -> bool:
    """Whether two tasks are the same: both have labels, and the same ones in whatever order."""
    return target is not None and source is not None and set(target) == set(source)
