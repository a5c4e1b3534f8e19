from __future__ import annotations

from typing import Any

from acclimate.config import Adaptation
from acclimate.keys import keyed_sections


def keyed(task: str, **sections: Any) -> dict[str, Any]:
    given = {"name": "m", "task": task, "source": {"model": "m"}, "target": {"data": "d.csv"}, **sections}
    return keyed_sections(Adaptation.model_validate(given))


def test_how_texts_are_written_is_part_of_what_a_generating_adaptation_is() -> None:
    assert keyed("text-generation") != keyed("text-generation", generation={"shots": 2})
    assert keyed("text-generation")["generation"]["max_length"] == 512


def test_keys_of_classification_are_those_from_before_generation() -> None:
    assert set(keyed("text-classification")) == {"task", "goal", "budget", "gap", "baseline", "finetune", "evaluate"}


def test_where_and_under_which_name_is_no_part() -> None:
    assert keyed("text-generation") == keyed("text-generation", name="other", workspace="elsewhere")


def test_what_the_card_says_is_no_part() -> None:
    assert keyed("text-classification") == keyed("text-classification", card={"not_for": ["chats"]})
