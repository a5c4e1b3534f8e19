import pytest

from acclimate import errors
from acclimate.errors import AcclimateError, ConfigError, DataError, Problem, bug_of, from_dict

KINDS = {
    errors.ConfigError: 2,
    errors.DataError: 3,
    errors.ModelError: 4,
    errors.RefusalError: 10,
    errors.UnavailableError: 75,
    errors.IntegrityError: 76,
    errors.AccessError: 77,
    errors.InterruptedRun: 143,
}


@pytest.mark.parametrize(("kind", "code"), KINDS.items())
def test_exit_codes_are_those_of_the_command_line(kind, code):
    assert kind("E-X-001", "m").exit_code == code


def test_every_kind_of_error_is_listed_here():
    assert set(KINDS) == set(AcclimateError.__subclasses__())


def test_an_error_survives_the_way_through_a_file():
    error = DataError("E-DATA-007", "no", where="a.csv:3", hint="fix it", more=[Problem("E-DATA-008", "too", "b", "c")])
    back = from_dict(error.to_dict())
    assert type(back) is DataError
    assert back.problems == error.problems


def test_several_problems_become_one_error_in_order():
    error = ConfigError.of([Problem("E-CONFIG-001", "first"), Problem("E-CONFIG-002", "second")])
    assert error.code == "E-CONFIG-001"
    assert [problem.message for problem in error.problems] == ["first", "second"]


def test_an_unforeseen_exception_is_a_bug_of_ours():
    error = bug_of(KeyError("x"))
    assert error.exit_code == 70
    assert "KeyError" in str(error)
