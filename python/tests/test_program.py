"""The command-line program in the wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


MINE = """
import metron_sim as ms

@ms.scheduler("mine", wrong=False)
class Mine:
    def schedule(self, step):
        for request in step.running():
            step.run(request, request.prefill_left or 1)
        while (head := step.waiting_at(0)) is not None and step.admit(head, head.prompt_tokens):
            if self.wrong:
                step.admit(head, 1)

if __name__ == "__main__":
    ms.program()
"""


def test_a_program_with_a_scheduler_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MINE)

    def mine(*args: str) -> subprocess.CompletedProcess[str]:
        few = ("chat", "--set", "workload.requests=50")
        return subprocess.run(
            [sys.executable, path, *args[:1], *few, *args[1:]], capture_output=True, text=True, check=False
        )

    ran = mine("run", "--set", 'schedulers=["sarathi", "mine"]')
    assert ran.returncode == 0 and "mine" in ran.stdout
    assert mine("run", "--set", 'schedulers=["mine"]', "--assert", "ttft_s.p99 < 0.000001").returncode == 3
    wrong = mine("explain", "--set", 'schedulers=[{"mine": {"wrong": true}}]')
    assert wrong.returncode == 1 and "PolicyError: step.admit of request 0" in wrong.stderr
    # The exception alone: that the simulation stood still from then on is no news.
    for command in ("run", "explain", "capacity"):
        wrong = mine(command, "--set", 'schedulers=[{"mine": {"wrong": true}}]')
        assert wrong.stderr.startswith("Traceback") and "stuck" not in wrong.stderr, wrong.stderr
        assert wrong.returncode == 1 and wrong.stdout == ""
    assert "Usage: mine.py explain" in mine("explain", "--help").stdout
