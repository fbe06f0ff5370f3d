"""JSON objects as Python objects: members are attributes."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ._kinds import is_list, is_map

__all__ = ["Record"]


class Record:
    """A JSON object whose members are attributes, and items too: `run.ttft_s.p99`, `run["ttft_s"]`.

    It does not change. A member that the JSON leaves out, because there is nothing to say, is `None`.
    """

    __slots__ = ("_data",)

    #: Members that hold further records, and their class.
    _records: ClassVar[dict[str, type[Record]]] = {}
    #: Members that hold values by names that are data: they are dictionaries.
    _maps: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, data: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_data", dict(data))

    _data: dict[str, Any]

    @classmethod
    def _members(cls) -> list[str]:
        named: dict[str, None] = {}
        for one in cls.__mro__:
            for name in vars(one).get("__annotations__", {}):
                if not name.startswith("_"):
                    named[name] = None
        return list(named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        data = self._data
        if name in data:
            return self._wrapped(name, data[name])
        members = self._members()
        if name in members:
            return None
        near = difflib.get_close_matches(name, [*members, *data], 1)
        meant = f": did you mean `{near[0]}`?" if near else ""
        raise AttributeError(f"{type(self).__name__} has no `{name}`{meant}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} does not change")

    def _wrapped(self, name: str, value: Any) -> Any:
        record = self._records.get(name, Record)
        if name in self._maps and is_map(value):
            return {key: _wrap(one, record) for key, one in value.items()}
        return _wrap(value, record)

    def __getitem__(self, name: str) -> Any:
        return self._wrapped(name, self._data[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, name: object) -> bool:
        return name in self._data

    def keys(self) -> list[str]:
        """The names of its members."""
        return list(self._data)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._members(), *self._data})

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self._data,))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record):
            return self._data == other._data
        return self._data == other

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, as plain dictionaries and lists."""
        copied: dict[str, Any] = json.loads(json.dumps(self._data))
        return copied

    def to_json(self, indent: int | None = 2) -> str:
        """The JSON object as text."""
        return json.dumps(self._data, indent=indent)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_short(value)}" for name, value in self._data.items())
        if len(shown) > 300:
            shown = shown[:297] + "..."
        return f"{type(self).__name__}({shown})"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._data)


def _wrap(value: Any, record: type[Record]) -> Any:
    if is_map(value):
        return record(value)
    if is_list(value):
        return [_wrap(one, record) for one in value]
    return value


def _short(value: Any) -> str:
    if is_map(value):
        return "{...}" if value else "{}"
    if is_list(value):
        return f"[{len(value)}]" if value else "[]"
    return repr(value)
