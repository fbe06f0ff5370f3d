"""Schedulers in Python."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol, TypeVar

from . import _native
from ._errors import UsageError

__all__ = ["Past", "Policy", "Request", "Standing", "Step", "scheduler", "schedulers"]

Step = _native.Step
Request = _native.Request
Standing = _native.Standing
Past = _native.Past


class Policy(Protocol):
    """What a class must have to be a policy."""

    def schedule(self, step: Step) -> None:
        """Forms the next batch: called whenever the replica is free to run one."""


class _Registered(NamedTuple):
    kind: type[Any]
    parameters: dict[str, Any]


_KNOWN: dict[str, _Registered] = {}

_Class = TypeVar("_Class", bound=type[Any])

_NAME = re.compile(r"[a-z][a-z0-9-]*")


def scheduler(name: str, /, **parameters: bool | int | float | str) -> Callable[[_Class], _Class]:
    """Makes a class a scheduler that scenarios can name, in every command of this process.

        @ms.scheduler("slack", budget=512, seats=128)
        class Slack:
            def schedule(self, step: ms.Step) -> None:
                ...

    The keywords are its parameters with their defaults; a scenario gives others: `slack: {budget: 256}`. An
    object of the class is made for each replica; it has the parameters as attributes, and `engine` with
    `kv_block_tokens`, `kv_blocks` and `max_model_len`, before `__init__` (which takes no arguments).

    Optional: a method `reserves(request)` that says how many KV blocks the policy will ask for on behalf of a
    request, so that one which can never get them is rejected; class attributes `step_budget = "budget"` and
    `seat_limit = "seats"` that name the parameters which bound a step's tokens and the requests at once, so
    that `explain` tries other values of them; `deadlines = True`, so that `step.standing` and what is beside it
    tell what is promised; `predicts = True`, so that `step.predict_s` tells how long an iteration takes.

    A name can be given again, as a cell of a notebook does: the new class takes its place.
    """

    def known(kind: _Class) -> _Class:
        register(name, kind, parameters)
        return kind

    if callable(name):
        raise UsageError('a policy needs a name: @ms.scheduler("slack", budget=512)')
    return known


def register(name: str, kind: type[Any], parameters: Mapping[str, Any]) -> None:
    """Makes a class a scheduler of this name."""
    if not _NAME.fullmatch(name) or name == "label":
        raise UsageError(
            f"`{name}` cannot name a scheduler: expected lower-case letters, digits and dashes, a letter first"
        )
    if not callable(getattr(kind, "schedule", None)):
        raise UsageError(f"{kind.__name__} has no method `schedule(self, step)`")
    for parameter, value in parameters.items():
        if not isinstance(value, (bool, int, float, str)):
            raise UsageError(
                f"{name}: the default of `{parameter}` is a {type(value).__name__}; parameters are numbers, "
                "texts or truth values"
            )
    budget, seats = (getattr(kind, bound, None) for bound in ("step_budget", "seat_limit"))
    for bound in (budget, seats):
        if bound is not None and bound not in parameters:
            raise UsageError(f"{name} has no parameter `{bound}`")
    traits = (
        callable(getattr(kind, "reserves", None)),
        _asked(name, kind, "deadlines"),
        _asked(name, kind, "predicts"),
    )
    if traits[2] and not traits[1]:
        raise UsageError(f"{name}: `predicts = True` needs `deadlines = True` beside it")
    try:
        _native.register_scheduler(
            name,
            kind,
            json.dumps(dict(parameters)),
            budget,
            seats,
            traits,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    _KNOWN[name] = _Registered(kind, dict(parameters))


def _asked(name: str, kind: type[Any], trait: str) -> bool:
    """Whether a class asks for what is kept for those alone that want it."""
    asked = getattr(kind, trait, False)
    if not isinstance(asked, bool):
        raise UsageError(f"{name}: `{trait}` is True or False, and says what the class asks of the simulator")
    return asked


def schedulers() -> dict[str, type[Any]]:
    """The schedulers in Python, by name."""
    return {name: one.kind for name, one in _KNOWN.items()}


def made(kind: type[Any], parameters: dict[str, Any], engine: dict[str, int]) -> Any:
    """The policy of a replica."""
    new: Any = kind.__new__
    policy: Any = new(kind)
    for name, value in parameters.items():
        setattr(policy, name, value)
    policy.engine = SimpleNamespace(**engine)
    policy.__init__()
    return policy
