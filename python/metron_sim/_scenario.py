"""Scenarios as values."""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from . import _native
from ._errors import ScenarioError
from ._kinds import is_many, is_map, is_path
from ._records import Record

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._commands import RunFlags
    from ._runs import Result

__all__ = ["Scenario", "ScenarioLike", "scenarios"]

#: What stands for a scenario: one, a name or path, a YAML text, or a dictionary.
ScenarioLike: TypeAlias = Union["Scenario", str, "os.PathLike[str]", Mapping[str, Any]]

#: Texts that YAML reads as themselves.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+-]*|[0-9][0-9.]*[A-Za-z%][A-Za-z0-9%/]*")
_NOT_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@functools.cache
def _bundled() -> dict[str, str]:
    listed = json.loads(_native.ask(["list", "scenarios", "--format", "json"], []).result)
    return {one["name"]: one["description"] for one in listed}


def scenarios() -> dict[str, str]:
    """The scenarios that come with the package: what each shows, by name."""
    return dict(_bundled())


class Scenario:
    """A scenario: model, GPUs, schedulers, workload and promises. It does not change, compares by what it
    says, and can be pickled.

        s = ms.Scenario("chat")                       # a name of `ms.scenarios()`, or a path
        s = ms.Scenario({"model": "llama-3.1-8b", ...})
        s = ms.Scenario('''model: llama-3.1-8b ...''')  # YAML
        s.set("schedulers.sarathi.chunk_size", 1024).run()

    Every key: `metron-sim schema keys`. Relative paths in a file start at its folder, in a text or a
    dictionary at `folder`, which is the current one unless given.

    Raises `ScenarioError` with path, line, column, message and help of everything that is wrong.
    """

    __slots__ = ("_checked", "_folder", "_name", "_overrides", "_text")

    _checked: str
    _folder: str
    _name: str
    _overrides: tuple[str, ...]
    _text: str

    def __init__(
        self,
        scenario: ScenarioLike,
        *,
        name: str | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        overrides: tuple[str, ...] = ()
        if isinstance(scenario, Scenario):
            own, text, at = scenario._name, scenario._text, scenario._folder
            overrides = scenario._overrides
        elif isinstance(scenario, Mapping):
            own, text, at = "<dict>", json.dumps(_plain(scenario, ""), indent=1, ensure_ascii=False), ""
        elif isinstance(scenario, str) and _is_text(scenario):
            own, text, at = "<text>", scenario, ""
        elif isinstance(scenario, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]
            own, text, at = _read(os.fspath(scenario))
        else:
            raise TypeError(
                f"a scenario is a name, a path, a YAML text or a dictionary, not {type(scenario).__name__}"
            )
        self._name = own if name is None else name
        self._text = text
        self._folder = os.path.abspath(at if folder is None else os.fspath(folder))
        self._overrides = overrides
        self._checked = _native.check_scenario(self._given())

    def _given(self) -> tuple[str, str, str, tuple[str, ...]]:
        return (self._name, self._text, self._folder, self._overrides)

    def _with(self, overrides: tuple[str, ...]) -> Self:
        made = object.__new__(type(self))
        made._name, made._text, made._folder = self._name, self._text, self._folder
        made._overrides = (*self._overrides, *overrides)
        made._checked = _native.check_scenario(made._given())
        return made

    @property
    def name(self) -> str:
        """What errors call it: its file, the name that it comes with, `<dict>` or `<text>`."""
        return self._name

    @property
    def text(self) -> str:
        """Its text, without what was set."""
        return self._text

    @property
    def overrides(self) -> tuple[str, ...]:
        """What was set, as `path=value`, in order."""
        return self._overrides

    @property
    def resolved(self) -> Record:
        """The scenario with every default filled in, as results have it."""
        return Record(json.loads(self._checked)["scenario"])

    @property
    def files(self) -> dict[str, str]:
        """The files that it names: where each is, by its name there."""
        return dict(json.loads(self._checked)["files"])

    def _in(self, folder: str) -> Self:
        """The same, with its relative paths starting at another folder."""
        made = object.__new__(type(self))
        made._name, made._text, made._overrides = self._name, self._text, self._overrides
        made._folder = os.path.abspath(folder)
        made._checked = _native.check_scenario(made._given())
        return made

    def set(self, path: str, value: Any) -> Self:
        """The same with one field set: `s.set("workload.arrivals.poisson.rate", 4)`.

        Elements of lists go by name or number: `schedulers.sarathi.chunk_size`.
        """
        return self._with((f"{path}={as_yaml(value, path)}",))

    def with_(self, fields: Mapping[str, Any] | None = None, /, **keys: Any) -> Self:
        """The same with several fields set, by path or by top-level key:
        `s.with_({"workload.requests": 500}, seed=7)`."""
        given = {**(fields or {}), **keys}
        return self._with(tuple(f"{path}={as_yaml(value, path)}" for path, value in given.items()))

    def run(self, **flags: Unpack[RunFlags]) -> Result:
        """Simulates it: `ms.run`."""
        from ._commands import run

        return run(self, **flags)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scenario):
            return NotImplemented
        return self._given() == other._given()

    def __hash__(self) -> int:
        return hash(self._given())

    def __reduce__(self) -> tuple[Any, ...]:
        return (_unpickled, (type(self), self._given(), self._checked))

    def __repr__(self) -> str:
        made = f"Scenario({self._name!r})"
        for one in self._overrides:
            path, value = one.split("=", 1)
            made += f".set({path!r}, {value})"
        return made

    def _repr_html_(self) -> str:
        from html import escape

        set_ = "".join(f"<br><code>{escape(one)}</code>" for one in self._overrides)
        return (
            f"<b>{escape(self._name)}</b>{set_}"
            f"<details><summary>text</summary><pre>{escape(self._text)}</pre></details>"
        )


def _unpickled(kind: type[Scenario], given: tuple[str, str, str, tuple[str, ...]], checked: str) -> Scenario:
    made = object.__new__(kind)
    made._name, made._text, made._folder, made._overrides = given
    made._checked = checked
    return made


def _is_text(given: str) -> bool:
    return "\n" in given or given.lstrip().startswith("{")


def _read(given: str) -> tuple[str, str, str]:
    """What errors call it, the text, and the folder of a path or a name."""
    if not os.path.exists(given) and given in _bundled():
        return given, _native.ask(["show", given], []).result, ""
    try:
        with open(given, "rb") as file:
            text = file.read().decode("utf-8")
    except UnicodeDecodeError as error:
        problem = ("", f"expected UTF-8 text, found byte {error.start} that is not", None, given, None, None)
        message = f"{given}: {problem[1]}"
        raise ScenarioError(message, "save the file as UTF-8", [problem]) from None
    except OSError:
        _native.scenario_not_there(given)
        raise
    return given, text, os.path.dirname(given)


def _plain(value: Any, path: str) -> Any:
    """A value as JSON has it: numbers of NumPy become Python's, paths texts."""
    if is_map(value):
        return {str(key): _plain(one, f"{path}.{key}" if path else str(key)) for key, one in value.items()}
    if isinstance(value, Scenario):
        raise _bad(path, "a scenario cannot stand inside another")
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if is_path(value):
        return os.fspath(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return int(value) if value.is_integer() and abs(value) < 2**53 else value
        raise _bad(path, f"expected a number, found {value}")
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return _plain(item(), path)
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), path)
    if is_many(value):
        return [_plain(one, f"{path}.{place}") for place, one in enumerate(value)]
    raise _bad(path, f"expected a text, number, list or dictionary, found {type(value).__name__}")


def _bad(path: str, message: str) -> ScenarioError:
    problem = (path, message, None, None, None, None)
    return ScenarioError(f"{path}: {message}", None, [problem])


def as_yaml(value: Any, path: str = "") -> str:
    """A value as a scenario has it, in one line."""
    value = _plain(value, path)
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)
