"""On a Ray cluster of two workers, one of which is lost."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import metron_sim as ms

from .conftest import SMALL

# A busy machine takes its time to start a node.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
ray: Any = pytest.importorskip("ray", reason="SKIPPED: Ray is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    if not ray.is_initialized():
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


def at_work() -> list[int]:
    """The worker processes that play a part of a sweep at this moment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"ray::_sweep_part"):
                found.append(int(path.parent.name))
    return found


GRID = {
    "workload.arrivals.poisson.rate": [1, 2, 3, 4, 5, 6],
    "schedulers.sarathi.chunk_size": [256, 512, 1024, 2048],
}


def test_a_sweep_is_the_same_with_a_worker_killed(cluster: Any) -> None:
    scenario = ms.Scenario(SMALL).set("workload.requests", 4000)
    here = ms.sweep(scenario, GRID)
    done: list[int] = []
    killed: list[int] = []

    def kill_in_the_middle(what: str, finished: int, total: int) -> None:
        done.append(finished)
        if not killed and 2 <= finished < total and (workers := at_work()):
            os.kill(workers[0], signal.SIGKILL)
            killed.append(workers[0])

    there = ms.sweep(scenario, GRID, on=ms.Ray(points=1), progress=kill_in_the_middle)
    assert killed and done[-1] == 24, "a worker was lost in the middle"
    assert there == here
    assert [point.index for point in there.points] == list(range(24))


def test_traces_and_policies_go_along(cluster: Any, tmp_path: Any) -> None:
    (tmp_path / "requests.csv").write_text("arrival_s,prompt_tokens,output_tokens\n0,100,5\n1,200,5\n")

    @ms.scheduler("py-shipped", token_budget=512)
    class Shipped:
        token_budget: int

        def schedule(self, step: ms.Step) -> None:
            for request in step.running():
                step.run(request, min(request.prefill_left, self.token_budget) or 1)
            if (head := step.waiting_at(0)) is not None:
                step.admit(head, min(head.prompt_tokens, self.token_budget))

    given = {**SMALL, "workload": {"trace": {"file": "requests.csv"}}, "schedulers": ["py-shipped"]}
    scenario = ms.Scenario(given, folder=tmp_path)
    grid = {"schedulers.py-shipped.token_budget": [64, 512]}
    assert ms.sweep(scenario, grid, on=ms.Ray(points=1)) == ms.sweep(scenario, grid)


def test_a_capacity_over_seeds_is_the_same(cluster: Any) -> None:
    flags: dict[str, Any] = {"seeds": 2, "precision": "5%"}
    assert ms.capacity(SMALL, on=ms.Ray(), **flags) == ms.capacity(SMALL, **flags)


def test_tuning_finds_the_best(cluster: Any, tmp_path: Any) -> None:
    pytest.importorskip("ray.tune")
    space = {"schedulers.sarathi.chunk_size": ray.tune.grid_search([64, 512])}
    found = ms.tune(SMALL, space, "ttft_s.p99", "min", scheduler="sarathi", samples=1, storage=tmp_path)
    figures = {
        size: ms.Scenario(SMALL).set("schedulers.sarathi.chunk_size", size).run()["sarathi"].ttft_s.p99
        for size in (64, 512)
    }
    best = found.get_best_result()
    assert best.metrics["metric"] == min(figures.values())
    assert figures[best.config["schedulers.sarathi.chunk_size"]] == best.metrics["metric"]


def test_errors_come_back(cluster: Any) -> None:
    with pytest.raises(Exception, match="chunk_size"):
        ms.sweep(SMALL, {"schedulers.sarathi.chunk_sise": [1, 2]}, on=ms.Ray(points=1))
    with pytest.raises(ms.UsageError, match="cannot be given together"):
        ms.sweep(SMALL, GRID, on=ms.Ray(), shard="1/2")
