"""The command-line program, as the wheel installs it and as a program of one's own is it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import _native

__all__ = ["main", "program"]


def main() -> NoReturn:
    """Does what the command line asks for, and ends the process with its exit code."""
    sys.stdout.flush()
    sys.exit(_native.program(["metron-sim", *sys.argv[1:]]))


def program(arguments: Sequence[str] | None = None) -> NoReturn:
    """The command-line program, which knows the schedulers of this process; it ends the process with its exit
    code. `arguments` are those of the process unless given.

        if __name__ == "__main__":
            ms.program()    # python mine.py run chat --set 'schedulers=["mine"]'
    """
    name = os.path.basename(sys.argv[0]) or "metron-sim"
    sys.stdout.flush()
    sys.exit(_native.program([name, *(sys.argv[1:] if arguments is None else arguments)]))
