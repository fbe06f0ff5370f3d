"""What a value is, for checkers of types: `isinstance` alone leaves them without what is inside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

__all__ = ["is_list", "is_many", "is_map", "is_path"]


def is_map(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    """Whether it is a dictionary, or like one."""
    return isinstance(value, Mapping)


def is_list(value: Any) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether it is a list or a tuple."""
    return isinstance(value, (list, tuple))


def is_many(value: Any) -> TypeGuard[Iterable[Any]]:
    """Whether there is something in it to go through."""
    return isinstance(value, Iterable)


def is_path(value: Any) -> TypeGuard[os.PathLike[str]]:
    """Whether it is a path that is not a text."""
    return isinstance(value, os.PathLike)
