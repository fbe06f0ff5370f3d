"""What can go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = [
    "InputError",
    "MetronError",
    "PolicyError",
    "Problem",
    "RunError",
    "ScenarioError",
    "StuckError",
    "UsageError",
    "WriteError",
]


class Problem(NamedTuple):
    """One thing that is wrong with a scenario."""

    path: str
    """The field, such as `workload.arrivals.poisson.rate`."""
    message: str
    """What was expected and what was found."""
    help: str | None
    """What to do about it."""
    file: str | None
    """The file, or `set` for a field that was set."""
    line: int | None
    """From 1."""
    column: int | None
    """From 1, in characters."""


class MetronError(Exception):
    """What all errors of this package are."""

    help: str | None
    """What to do about it, where there is something to say."""

    def __init__(self, message: str, help: str | None = None, problems: Sequence[Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        if help is not None:
            self.add_help(help)

    def add_help(self, help: str) -> None:
        """Shows the help below the message (from Python 3.11)."""
        add_note = getattr(self, "add_note", None)
        if add_note is not None:
            add_note(f"help: {help}")

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.message, self.help))


class ScenarioError(MetronError, ValueError):
    """A scenario that cannot be run. Its text shows each problem with its line."""

    problems: list[Problem]
    """All that is wrong, in order of position."""

    def __init__(self, message: str, help: str | None = None, problems: Sequence[Any] | None = None) -> None:
        super().__init__(message, help)
        self.problems = [Problem(*problem) for problem in problems or ()]

    def __str__(self) -> str:
        return "\n" + self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.message, self.help, [tuple(one) for one in self.problems]))


class UsageError(MetronError, ValueError):
    """Arguments that make no sense together, or for this scenario."""


class InputError(MetronError, ValueError):
    """A file of requests or of a measurement that cannot be read, or does not go with the scenario."""


class RunError(MetronError, RuntimeError):
    """A run that could not be finished."""


class StuckError(RunError):
    """A simulation that could not go on: its scheduler runs nothing, or preempts without end."""


class PolicyError(RunError):
    """A policy in Python that broke a rule. The message names the verb and the request."""


class WriteError(MetronError, OSError):
    """A file that cannot be written."""

    def __str__(self) -> str:
        return self.message
