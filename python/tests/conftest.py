"""What several tests use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import metron_sim as ms

ROOT = Path(__file__).parent.parent.parent

#: A scenario that runs in a blink.
SMALL = {
    "model": "llama-3.1-8b",
    "gpu": "h100-sxm",
    "schedulers": ["vllm-v0", {"sarathi": {"chunk_size": 512}}],
    "workload": {
        "requests": 60,
        "arrivals": {"poisson": {"rate": 4}},
        "lengths": {"table": "chat"},
    },
    "slo": {"ttft": "500ms", "tbt": "25ms", "fluidity": {"index": 0.9, "share": 0.99}},
}


@pytest.fixture
def small() -> ms.Scenario:
    return ms.Scenario(SMALL)


@pytest.fixture(scope="session")
def small_run() -> ms.Result:
    return ms.run(SMALL)


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """The command-line program as cargo builds it: its stdout."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = Path(os.environ.get("METRON_SIM", target / "debug" / "metron-sim"))
    if not binary.exists():
        pytest.skip(f"SKIPPED: there is no {binary}: cargo build, or name one in METRON_SIM")

    def run(*args: object, expected: int = 0) -> str:
        ended = subprocess.run([binary, *map(str, args)], capture_output=True, text=True, check=False)
        assert ended.returncode == expected, ended.stderr
        return ended.stdout

    return run
