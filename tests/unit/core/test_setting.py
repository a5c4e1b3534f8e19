import itertools

import pytest

from acclimate.core.setting import classify_setting, same_label_set


@pytest.mark.parametrize(
    ("same_task", "target_labels", "source_labelled", "setting"),
    [
        (False, 7, True, "inductive"),
        (False, 7, False, "inductive"),
        (True, 0, True, "transductive"),
        (False, 0, True, "zero-shot"),
        (True, 7, True, "supervised adaptation"),
        (True, 7, False, "supervised adaptation"),
        (True, 0, False, "unsupervised"),
        (False, 0, False, "unsupervised"),
    ],
)
def test_the_table(same_task: bool, target_labels: int, source_labelled: bool, setting: str) -> None:
    found = classify_setting(same_task=same_task, target_labels=target_labels, source_labelled=source_labelled)
    assert found == setting


def test_more_target_labels_never_remove_an_option() -> None:
    # What each setting lets one do with the data; a setting reached by adding labels must allow as much.
    trains_on_target = {"inductive", "supervised adaptation"}
    for same_task, source_labelled in itertools.product([False, True], repeat=2):
        by_count = [
            classify_setting(same_task=same_task, target_labels=n, source_labelled=source_labelled)
            for n in (0, 1, 2, 50, 10**6)
        ]
        assert by_count[0] not in trains_on_target
        assert set(by_count[1:]) <= trains_on_target
        assert len(set(by_count[1:])) == 1


@pytest.mark.parametrize(
    ("target", "source", "same"),
    [
        (["a", "b"], ["b", "a"], True),
        (["a", "b"], ["a", "b", "c"], False),
        (["a", "b"], None, False),
        (None, None, False),
    ],
)
def test_tasks_are_the_same_when_their_label_sets_are(
    target: list[str] | None, source: list[str] | None, same: bool
) -> None:
    assert same_label_set(target, source) is same
