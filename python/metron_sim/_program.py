"""The command-line program, as the wheel installs it."""

from __future__ import annotations

import sys

from . import _native

__all__ = ["main"]


def main() -> None:
    """Does what the command line asks for, and ends the process with its exit code."""
    sys.stdout.flush()
    sys.exit(_native.program(["metron-sim", *sys.argv[1:]]))
