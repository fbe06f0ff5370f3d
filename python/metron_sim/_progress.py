"""How far a command is, shown in terminals and notebooks."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["Progress", "shown"]

#: Whether progress is shown, by default where somebody watches; or a function that is called with what is
#: counted, how many are done, and how many there will be.
Progress: TypeAlias = "bool | Callable[[str, int, int], object] | None"

#: Shorter commands show nothing, seconds.
PATIENCE = 1.0


def in_notebook() -> bool:
    """Whether this runs in a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


class _Bar:
    """A line that is written anew."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.display: Any = None
        self.drawn = False

    def __call__(self, what: str, done: int, total: int) -> None:
        passed = time.monotonic() - self.began
        if passed < PATIENCE or total == 0:
            return
        left = passed * (total - done) / done if done else None
        seconds = f", about {left:.0f} s left" if left is not None else ""
        self.draw(f"{done:,} of about {total:,} {what}{seconds}")

    def draw(self, line: str) -> None:
        if in_notebook():
            notebook: Any = importlib.import_module("IPython.display")
            if self.display is None:
                self.display = notebook.display({"text/plain": line}, raw=True, display_id=True)
            else:
                self.display.update({"text/plain": line}, raw=True)
        else:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        self.drawn = True

    def end(self) -> None:
        if not self.drawn:
            return
        if self.display is not None:
            self.display.update({"text/plain": ""}, raw=True)
        else:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def shown(progress: Progress) -> tuple[Callable[[str, int, int], object] | None, Callable[[], None]]:
    """What is to be called while a command goes on, and when it has ended."""
    if callable(progress):
        return progress, lambda: None
    if progress is False or (progress is None and not (in_notebook() or sys.stderr.isatty())):
        return None, lambda: None
    bar = _Bar()
    return bar, bar.end
