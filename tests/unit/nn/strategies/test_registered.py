"""What is written by hand of the strategies, in layers that can't import them, agrees with the registry."""

from __future__ import annotations

from typing import get_args

import pytest

from acclimate.config_file.rules import NOT_SHARDED
from acclimate.config_file.task_rules import GENERATION_TASK, IMAGE_TASK, NOT_TRAINED, TEXT_TASK
from acclimate.config_finetune import FinetuneSpec
from acclimate.config_finetune import Strategy as Name
from acclimate.core.strategy_traits import TRAITS
from acclimate.nn.inserts import INSERTS
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.strategies.strategy import Form
from acclimate.report.task_words import models_explained
from acclimate.report.wording import MODELS

FORMS: dict[str, tuple[Form, ...]] = {
    TEXT_TASK: ("text",),
    IMAGE_TASK: ("patches", "map"),
    GENERATION_TASK: ("causal",),
}


def trained_by(task: str) -> set[str]:
    """Names of the strategies that train a form of model that the task has."""
    return {name for name, one in STRATEGIES.items() if any(one.works_on(form) for form in FORMS[task])}


def test_every_strategy_is_registered_under_its_own_name() -> None:
    assert {name: one.name for name, one in STRATEGIES.items()} == {name: name for name in STRATEGIES}
    assert {one.insert for one in STRATEGIES.values()} <= {None, *INSERTS}


def test_what_is_said_beforehand_is_said_of_each() -> None:
    assert TRAITS.keys() == {"frozen", *STRATEGIES}, "edit core/strategy_traits.py"


def test_users_may_ask_for_every_strategy_and_no_other() -> None:
    assert {*get_args(Name)} == {"frozen", *STRATEGIES}, "edit Strategy in config_finetune.py"
    assert {*STRATEGIES} <= FinetuneSpec.model_fields.keys(), "add its section of settings to FinetuneSpec"
    assert {*STRATEGIES} == FinetuneSpec().max_epochs.keys()
    for name in STRATEGIES:
        assert FinetuneSpec().settings_of(name)["learning_rate"] > 0


@pytest.mark.parametrize("task", FORMS)
def test_arms_a_task_cannot_train_are_refused_in_the_file(task: str) -> None:
    refused = {*STRATEGIES} - trained_by(task)
    assert {*NOT_TRAINED.get(task, ())} == refused, "edit NOT_TRAINED in config_file/task_rules.py"


def test_arms_that_cannot_be_sharded_are_refused_in_the_file() -> None:
    refused = {name for name, one in STRATEGIES.items() if not one.is_shardable}
    assert {*NOT_SHARDED} == refused, "edit NOT_SHARDED in config_file/rules.py"


@pytest.mark.parametrize("task", FORMS)
def test_the_report_explains_every_strategy_of_a_task(task: str) -> None:
    assert {*STRATEGIES} <= MODELS.keys(), "name it in MODELS in report/wording.py"
    assert trained_by(task) <= models_explained(task).keys(), "explain it in report/wording.py or report/task_words.py"
