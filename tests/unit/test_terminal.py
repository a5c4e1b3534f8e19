import io
import json

from acclimate.errors import DataError
from acclimate.terminal import JsonProgress, TerminalProgress, error_text


def written(*events):
    stream = io.StringIO()
    progress = JsonProgress(stream)
    for event, fields in events:
        progress(event, **fields)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_counts_are_told_in_fifths_and_the_last_one_always():
    lines = written(*(("embed", {"done": i, "of": 1000}) for i in range(1, 1001)))
    assert [line["done"] for line in lines] == [1, 200, 400, 600, 800, 1000]


def test_a_second_count_of_the_same_kind_starts_again():
    once = [("embed", {"done": i, "of": 10}) for i in (5, 10)]
    assert [line["done"] for line in written(*once, *once)] == [5, 10, 5, 10]


def test_other_events_are_all_told():
    epochs = [("epoch", {"epoch": i}) for i in range(7)]
    assert [line["epoch"] for line in written(*epochs)] == list(range(7))


def test_a_warning_stays_on_the_terminal_and_what_passes_does_not_reach_a_file():
    stream = io.StringIO()
    progress = TerminalProgress(stream)
    progress("stage_started", stage="register")
    progress("storing_model")
    progress("warning", says="report and figures are not in MLflow [no room]")
    progress.close()
    assert " ".join(stream.getvalue().split()) == "! report and figures are not in MLflow [no room]"


def test_an_error_says_code_place_and_what_to_do():
    error = DataError("E-DATA-001", "nothing is there", where="a.csv:3", hint="check the path")
    assert error_text(error) == "E-DATA-001  nothing is there\n  where: a.csv:3\n  to do: check the path"
