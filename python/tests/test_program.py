"""The command-line program in the wheel."""

from __future__ import annotations

import subprocess
import sys

import metron_sim as ms


def program(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "metron_sim", *args], capture_output=True, text=True, check=False
    )


def test_it_is_the_program() -> None:
    assert program("--version").stdout == f"metron-sim {ms.__version__}\n"
    shown = program("run", "chat", "--set", "workload.requests=50")
    assert shown.returncode == 0 and "sarathi" in shown.stdout
    assert shown.stdout == str(ms.Scenario("chat").set("workload.requests", 50).run())


def test_its_exit_codes_are_the_programs() -> None:
    assert program("run", "nothing-there").returncode == 2
    assert "metron-sim run chat" in program().stdout and program().returncode == 2
    broken = program("run", "chat", "--set", "workload.requests=50", "--assert", "ttft_s.p99 < 0.000001")
    assert broken.returncode == 3
