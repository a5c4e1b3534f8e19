"""What a newcomer reads with --help: every command and option is explained, and every variable is named somewhere."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from acclimate.cli import app

SOURCES = Path(__file__).parents[2] / "src" / "acclimate"
PANELS = {"On this machine", "On a cluster", "The registry", "Upkeep"}
# set by Kubeflow for each step, not by a user
SET_FOR_US = {"KFP_POD_NAME", "KFP_RUN_ID"}


def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands(get_command(app)))


def told(*path):
    """The help of a command as words: without frames, at any width."""
    done = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert done.exit_code == 0, done.output
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.output).split())


def options(path):
    return {option: parameter.help for parameter in ALL[path].params for option in parameter.opts}


def test_the_commands_are_in_panels():
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert set(re.findall(r"╭─ (.+?) ─+╮", shown)) == {"Options", *PANELS}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_a_command_says_what_it_does_in_sentences_and_each_option_what_it_is(path):
    command = ALL[path]
    assert re.fullmatch(r"[A-Z].+\.", command.help, re.DOTALL), command.help
    assert [one.name for one in command.params if not getattr(one, "help", None)] == []
    # typer reads [word] as markup and would leave it out
    assert [text for text in (command.help, *options(path).values()) if re.search(r"\[[a-z#/@]", text)] == []


@pytest.mark.parametrize("path", [("submit",), ("doctor",), ("schedule", "create"), ("compile",)], ids=" ".join)
def test_paragraphs_fill_a_narrow_terminal(path):
    """Lines are broken where the terminal ends, not where the source's line does."""
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "70"}).output
    lines = [line.strip() for line in shown.partition("╭")[0].splitlines()]
    broken = [line for line, following in pairwise(lines) if following and len(line) < 40]
    assert [line for line in broken if line] == []


def test_every_variable_for_a_cluster_is_named_where_somebody_looks_for_it():
    names = set()
    for source in SOURCES.rglob("*.py"):
        names |= set(re.findall(r"[\"`](KFP_[A-Z_]+|ACCLIMATE_(?:TRAINING_)?IMAGE)[\"`]", source.read_text()))
    assert len(names) > 8
    shown = " ".join(told(*path) for path in ALL)
    assert {name for name in names - SET_FOR_US if not re.search(rf"\b{name}\b", shown)} == set()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            ("submit",),
            [
                "s3://BUCKET/PREFIX",
                "uploaded",
                "KFP_ENDPOINT",
                "KFP_TOKEN",
                "KFP_TOKEN_FILE",
                "KFP_COOKIES",
                "ACCLIMATE_IMAGE",
                "ACCLIMATE_TRAINING_IMAGE",
                "KFP_SERVICE_ACCOUNT",
            ],
        ),
        (("doctor",), ["KFP_ENDPOINT", "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "AWS_ENDPOINT_URL"]),
        (("compile",), ["ACCLIMATE_IMAGE", "ACCLIMATE_TRAINING_IMAGE"]),
        (("schedule", "create"), ["KFP_CRON_TIMEZONE", "KFP_SERVICE_ACCOUNT"]),
    ],
)
def test_a_command_names_the_variables_it_reads(path, words):
    shown = told(*path)
    assert [word for word in words if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", shown)] == []


def test_a_run_has_one_id():
    (argument,) = (one for one in ALL[("cancel",)].params if one.param_type_name == "argument")
    assert "ours" not in argument.help
    assert "name" in argument.help
