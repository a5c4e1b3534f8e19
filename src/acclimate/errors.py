"""The exception tree: every failure a user can meet has a code, a place and a hint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Args:
        code: stable identifier, ``E-AREA-NNN``.
        message: what is wrong, in one sentence.
        where: file, row, column or YAML line; empty when there is no place.
        hint: what to do about it; empty when nothing is known.
    """

    code: str
    message: str
    where: str = ""
    hint: str = ""


class AcclimateError(Exception):
    """Root of all errors acclimate raises on purpose.

    Args:
        code: stable identifier, ``E-AREA-NNN``.
        message: what is wrong, in one sentence.
        where: file, row, column or YAML line.
        hint: what to do about it.
        more: further problems found in the same pass; all of them are shown at once.
    """

    exit_code: ClassVar[int] = 70

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: str = "",
        hint: str = "",
        more: Iterable[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.problems: tuple[Problem, ...] = (Problem(code, message, where, hint), *more)

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> AcclimateError:
        """Build one error from several problems, the first being the main one."""
        first, *rest = problems
        return cls(first.code, first.message, where=first.where, hint=first.hint, more=rest)

    @property
    def code(self) -> str:
        """Code of the main problem."""
        return self.problems[0].code

    @property
    def where(self) -> str:
        """Place of the main problem."""
        return self.problems[0].where

    @property
    def hint(self) -> str:
        """Hint of the main problem."""
        return self.problems[0].hint

    def to_dict(self) -> dict[str, Any]:
        """The error as plain data: what ``--json`` prints and ``error.json`` holds."""
        main, *rest = (asdict(problem) for problem in self.problems)
        return {**main, "exit_code": self.exit_code, "more": rest}


class ConfigError(AcclimateError):
    """The configuration can't be used as written."""

    exit_code = 2


class DataError(AcclimateError):
    """The data can't be used as they are."""

    exit_code = 3


class ModelError(AcclimateError):
    """The model can't be loaded, trained or trusted."""

    exit_code = 4


class RefusalError(AcclimateError):
    """The gate or its policy does not let it."""

    exit_code = 10


class UnavailableError(AcclimateError):
    """A service or resource isn't there now; trying again later may work."""

    exit_code = 75


class IntegrityError(AcclimateError):
    """Bytes aren't the ones that were written."""

    exit_code = 76


class AccessError(AcclimateError):
    """A service refused us."""

    exit_code = 77


class InterruptedRun(AcclimateError):
    """The run was asked to stop by a signal (SIGTERM)."""

    exit_code = 143


def from_dict(data: dict[str, Any]) -> AcclimateError:
    """Rebuild an error from :meth:`AcclimateError.to_dict`, in the class its exit code names.

    Args:
        data: what ``to_dict`` gave; an unknown exit code gives the root class.
    """
    kinds = {kind.exit_code: kind for kind in AcclimateError.__subclasses__()}
    fields = ("code", "message", "where", "hint")
    problems = [Problem(*(str(row.get(name, "")) for name in fields)) for row in [data, *data.get("more", [])]]
    return kinds.get(int(data.get("exit_code", 70)), AcclimateError).of(problems)


def bug_of(error: Exception) -> AcclimateError:
    """An exception nobody foresaw, as a coded error: a fault of acclimate's own."""
    return AcclimateError(
        "E-BUG-001",
        f"{type(error).__name__}: {error}",
        hint="this is a fault of acclimate's; please report it with what --debug prints and the run's kfp.log",
    )
