"""The same figures as the command-line program, to the digit."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import metron_sim as ms

from .conftest import SMALL

Program = Callable[..., str]


def same(ours: ms.Record, theirs: str) -> None:
    """Compares member by member, with every digit. A process that has policies of its own, as one that other
    tests have given some, is another build than the program."""
    ours_dict, theirs_dict = ours.to_dict(), json.loads(theirs)
    if ms.schedulers():
        for of_the_build in ("build", "digest"):
            assert ours_dict.pop(of_the_build, None) != theirs_dict.pop(of_the_build, "")
    assert ours_dict == theirs_dict
    assert json.dumps(ours_dict) == json.dumps(theirs_dict)


def test_the_same_build(small_file: Path, program: Program) -> None:
    ask = f"import metron_sim as ms; print(ms.sweep({str(small_file)!r}, {{'seed': [1, 2]}}).to_json())"
    ours = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    theirs = program("sweep", small_file, "--vary", "seed=1,2", "--format", "json")
    assert json.loads(ours) == json.loads(theirs)


@pytest.mark.parametrize("name", ms.scenarios())
def test_every_scenario_that_comes_with_it(name: str, program: Program) -> None:
    same(ms.run(name), program("run", name, "--format", "json"))


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps(SMALL))
    return path


def test_flags_and_fields(program: Program) -> None:
    ours = ms.Scenario("chat").set("schedulers.sarathi.chunk_size", 256).run(seed=7, jobs=1, metrics="full")
    flags = ["--seed", 7, "--metrics", "full", "--set", "schedulers.sarathi.chunk_size=256"]
    same(ours, program("run", "chat", "--format", "json", *flags))


def test_every_command(small_file: Path, tmp_path: Path, program: Program) -> None:
    s = ms.Scenario(small_file)
    same(ms.explain(s, top=2), program("explain", small_file, "--top", 2, "--format", "json"))
    search = {"seeds": 2, "precision": "5%"}
    flags = ["--seeds", 2, "--precision", "5%", "--format", "json"]
    same(ms.capacity(s, **search), program("capacity", small_file, *flags))  # type: ignore[arg-type]
    grid = {"workload.arrivals.poisson.rate": [2, 4.5], "schedulers.sarathi.chunk_size": [256, 512]}
    vary = [
        "--vary",
        "workload.arrivals.poisson.rate=2,4.5",
        "--vary",
        "schedulers.sarathi.chunk_size=256,512",
    ]
    same(ms.sweep(s, grid), program("sweep", small_file, *vary, "--format", "json"))
    asked = {"gpus": ["h100-sxm", "l40s"], "model": "llama-3.1-8b", "prompt": 500, "output_tokens": 100}
    promise = {"rate": 4, "ttft": "p99=1s", "tokens_per_s": 20, "seeds": 1, "price": {"l40s": 1.5}}
    plan = ms.plan(None, **asked, **promise)  # type: ignore[arg-type]
    told = program(
        "plan", "--gpus", "h100-sxm,l40s", "--model", "llama-3.1-8b", "--prompt", 500, "--output-tokens", 100,
        "--rate", 4, "--ttft", "p99=1s", "--tokens-per-s", 20, "--seeds", 1, "--price", "l40s=1.5",
        "--format", "json",
    )  # fmt: skip
    same(plan, told)
    talks = {"sessions": "chat", "users": 20, "tp": 1, "dtype": "bf16", "seeds": 1}
    plan = ms.plan(gpus="h100-sxm", model="llama-3.1-8b", ttft="p99=1s", tokens_per_s=30, **talks)  # type: ignore[arg-type]
    told = program(
        "plan", "--gpus", "h100-sxm", "--model", "llama-3.1-8b", "--sessions", "chat", "--users", 20, "--tp", 1,
        "--dtype", "bf16", "--ttft", "p99=1s", "--tokens-per-s", 30, "--seeds", 1, "--format", "json",
    )  # fmt: skip
    same(plan, told)
    tokens = tmp_path / "tokens.csv"
    program("run", small_file, "--tokens", tokens, "-o", tmp_path / "result.json")
    same(ms.evaluate(tokens, explain=True), program("evaluate", tokens, "--explain", "--format", "json"))
    pick = {"run_a": "vllm-v0", "run_b": "sarathi"}
    given = ["--run-a", "vllm-v0", "--run-b", "sarathi", "--format", "json"]
    same(ms.compare(tokens, s, **pick), program("compare", tokens, small_file, *given))  # type: ignore[arg-type]
    requests = tmp_path / "requests.csv"
    program(
        "run", small_file, "--requests", requests, "-q", "--format", "quiet", "--set", "schedulers=[orca]"
    )
    one = s.set("schedulers", ["orca"])
    alone = ["--set", "schedulers=[orca]", "--format", "json"]
    same(ms.validate(one, requests), program("validate", small_file, "--observed", requests, *alone))
    fitted = ms.calibrate(one, requests, fit="host")
    profile = tmp_path / "profile.yaml"
    told = program("calibrate", small_file, "--observed", requests, "--fit", "host", "-o", profile, *alone)
    same(fitted, told)
    assert fitted.profile == profile.read_text()


def test_tables_are_the_files(small_file: Path, tmp_path: Path, program: Program) -> None:
    pytest.importorskip("pyarrow")
    run = ms.run(small_file)
    requests, tokens = tmp_path / "requests.csv", tmp_path / "tokens.csv"
    program("run", small_file, "--requests", requests, "--tokens", tokens, "--format", "quiet")

    def value(text: str) -> object:
        if text == "":
            return None
        try:
            return float(text)
        except ValueError:
            return text

    with requests.open() as file:
        rows = [
            {name: value(text) for name, text in row.items() if name != "run"} for row in csv.DictReader(file)
        ]
    ours = run.requests().to_pyarrow().to_pylist()
    assert len(ours) == 120 and ours == rows
    with tokens.open() as file:
        times = [(row["scheduler"], int(row["request"]), int(row["index"]), float(row["time_s"]))
                 for row in csv.DictReader(file)]  # fmt: skip
    frame = run.tokens().to_pyarrow()
    columns = [frame[name].to_pylist() for name in ("scheduler", "request", "index", "time_s")]
    assert list(zip(*columns, strict=True)) == times


def test_a_result_reads_as_a_terminal_shows_it(small_file: Path, program: Program) -> None:
    assert str(ms.run(small_file)) == program("run", small_file)
    assert str(ms.explain(small_file)) == program("explain", small_file)
