"""Runs: figures, tables, progress, interrupts, threads."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import metron_sim as ms

from .conftest import SMALL


def test_members_are_attributes(small_run: ms.Result) -> None:
    run = small_run["sarathi"]
    assert run is not small_run["sarathi(chunk_size=512)"] and run == small_run["sarathi(chunk_size=512)"]
    assert run == small_run[1] == small_run.runs[1]
    assert 0 < run.fluidity.fluid_request_share <= 1
    assert run.ttft_s.p99 == run["ttft_s"]["p99"] == run.to_dict()["ttft_s"]["p99"]
    assert run.measured is None and "p99" in dir(run.ttft_s)
    with pytest.raises(AttributeError, match="did you mean `ttft_s`"):
        run.ttft  # noqa: B018
    with pytest.raises(KeyError, match="vllm-v0"):
        small_run["orca"]
    with pytest.raises(AttributeError, match="does not change"):
        run.label = "x"


def test_a_result_can_be_pickled_and_makes_its_tables_again(small_run: ms.Result) -> None:
    pytest.importorskip("pyarrow")
    again = pickle.loads(pickle.dumps(small_run))
    assert again == small_run and again.text == small_run.text
    assert again.tokens().to_pyarrow() == small_run.tokens().to_pyarrow()


def test_tables(small_run: ms.Result) -> None:
    polars = pytest.importorskip("polars")
    tokens = small_run.tokens().to_polars()
    total = sum(run.tokens.output for run in small_run.runs)
    assert len(small_run.tokens()) == tokens.height == total
    first = tokens.filter(polars.col("index") == 0, polars.col("scheduler") == "vllm-v0")
    requests = small_run.requests().to_polars().filter(polars.col("scheduler") == "vllm-v0")
    assert first["gap_s"].to_list() == requests["ttft_s"].to_list()
    gaps = tokens.filter(polars.col("index") > 0, polars.col("scheduler") == "vllm-v0")["gap_s"]
    assert gaps.max() == small_run["vllm-v0"].tbt_s.max
    iterations = small_run.iterations().to_polars()
    counts = [run.iterations.count for run in small_run.runs]
    assert iterations.height == sum(counts)
    assert iterations["prefill_tokens"].sum() == 2 * small_run["sarathi"].tokens.prompt
    stalls = small_run.stalls(5).to_polars()
    assert 0 < stalls.height <= 10
    causes = [name for name in stalls.columns if name.endswith("_s")][4:]
    for row in stalls.to_dicts():
        assert sum(row[cause] for cause in causes) == pytest.approx(row["gap_s"])
        assert row["gap_s"] == pytest.approx(row["to_s"] - row["from_s"])


def test_other_data_frames_take_tables(small_run: ms.Result) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = small_run.requests().to_pandas()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 120
    duckdb = pytest.importorskip("duckdb")
    tokens = small_run.tokens().to_pyarrow()  # noqa: F841
    found = duckdb.sql("select count(*), max(gap_s) from tokens where index > 0").fetchall()
    assert found[0][1] == max(run.tbt_s.max for run in small_run.runs)


def test_no_copy_is_made(small_run: ms.Result) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    table = small_run.tokens()
    first, second = pyarrow.table(table), pyarrow.table(table)
    addresses = [one["time_s"].chunk(0).buffers()[1].address for one in (first, second)]
    assert addresses[0] == addresses[1]
    del table, first
    assert second["time_s"][0].as_py() > 0


def test_what_is_not_known_is_null() -> None:
    pytest.importorskip("pyarrow")
    few = ms.Scenario(SMALL).with_({"engine.kv_blocks": 1, "schedulers": ["orca"]})
    run = few.run()
    rejected = run[0].requests.rejected
    assert rejected > 50
    requests = run.requests().to_pyarrow()
    assert requests.num_rows == 60 and requests["ttft_s"].null_count == rejected
    assert requests["left_tokens"].null_count == 60
    assert len(run.tokens()) == run[0].tokens.output


def test_explanations(small_run: ms.Result) -> None:
    told = small_run.explain(top=2)
    worst = told.worst(3)
    assert worst and worst[0].label in {run.label for run in small_run.runs}
    assert worst == sorted(worst, key=lambda stall: -stall.beyond_ns)
    assert sum(worst[0].causes_ns.values()) == worst[0].length_ns
    assert told.cures and told.cures[0].tried[0].figures.stall_s is not None
    assert "chunk" in str(told)


def test_pages(small_run: ms.Result, tmp_path: Path) -> None:
    page = small_run.report()
    page.save(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.startswith("<!doctype html>") and "vllm-v0" in text
    assert "srcdoc" in small_run._repr_html_()
    assert "srcdoc" in ms.capacity(SMALL, seeds=1, precision="20%")._repr_html_()
    assert "<pre>" in ms.compare(SMALL, SMALL, run_a="vllm-v0", run_b="sarathi")._repr_html_()


def test_plots(small_run: ms.Result) -> None:
    pytest.importorskip("altair")
    pytest.importorskip("pyarrow")
    for metric in ("ttft", "tbt", "tpot", "e2e", "fluidity_index"):
        drawn = small_run.plot.cdf(metric).to_dict()
        assert drawn["data"]["values"][-1]["share"] == 1
    assert small_run.plot.tokens(3).to_dict()["data"]["values"]
    assert small_run.plot.queue().to_dict()["data"]["values"]
    assert small_run.plot.stalls().to_dict()["data"]["values"]
    swept = ms.sweep(SMALL, {"workload.arrivals.poisson.rate": [2, 4]})
    assert len(swept.plot.lines("ttft_s.p99").to_dict()["data"]["values"]) == 4
    with pytest.raises(ms.UsageError, match="tbt"):
        small_run.plot.cdf("gaps")


def test_sweeps_as_tables() -> None:
    grid: dict[str, Any] = {"workload.arrivals.poisson.rate": [2, 4], "gpu": ["h100-sxm", "l40s"]}
    swept = ms.sweep(SMALL, grid, pareto="ttft_s.p99,throughput.output_tokens_per_s:max")
    table = swept.table()
    assert len(table) == 8 and {"point", "gpu", "slo_met", "ttft_s.p99"} <= set(table.columns)
    assert [row["gpu"] for row in table.rows[::2]] == ["h100-sxm", "l40s"] * 2
    assert table.rows[0]["workload.arrivals.poisson.rate"] == 2
    one = ms.run(ms.Scenario(SMALL).with_({"workload.arrivals.poisson.rate": 4, "gpu": "l40s"}))
    assert table.rows[-1]["ttft_s.p99"] == one["sarathi"].ttft_s.p99
    assert swept.pareto is not None and swept.pareto.front
    polars = pytest.importorskip("polars")
    assert isinstance(table.to_polars(), polars.DataFrame)
    with pytest.raises(ms.UsageError, match="expected a list"):
        ms.sweep(SMALL, {"gpu": "l40s"})


def test_shards_make_the_whole(tmp_path: Path) -> None:
    grid = {"workload.arrivals.poisson.rate": [1, 2, 3, 4, 5]}
    whole = ms.sweep(SMALL, grid)
    files = []
    for part in range(1, 4):
        path = tmp_path / f"part-{part}.json"
        path.write_text(ms.sweep(SMALL, grid, shard=f"{part}/3").to_json())
        files.append(path)
    assert ms.merge(files) == whole


def test_capacity_by_shards_is_the_same(tmp_path: Path) -> None:
    from metron_sim._commands import capacity_call

    flags = {"seeds": 2, "precision": "5%"}
    whole = ms.capacity(SMALL, seeds=2, precision="5%")
    scenario = ms.Scenario(SMALL)
    for part in (1, 2):
        answer = capacity_call(scenario, {**flags, "cache": tmp_path, "shard": f"{part}/2"}).ask()
        assert answer.exit == 0 and any(f"shard {part}/2" in note for note in [answer.result])
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert ms.capacity(SMALL, seeds=2, precision="5%", cache=tmp_path) == whole
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept, "nothing was played again"


def test_progress_is_told() -> None:
    seen: list[tuple[str, int, int]] = []
    ms.run(SMALL, progress=lambda *told: seen.append(told))
    assert seen[-1] == ("requests", 120, 120)


def test_a_progress_that_raises_ends_the_command() -> None:
    def stop(what: str, done: int, total: int) -> None:
        raise TimeoutError("enough")

    long = ms.Scenario(SMALL).set("workload.requests", 3_000_000)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="enough"):
        long.run(progress=stop)
    assert time.monotonic() - began < 10


INTERRUPTED = """
import signal, sys
import metron_sim as ms

# Who starts this in the background may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
s = ms.Scenario("chat").set("workload.requests", 5_000_000)
print("begins", flush=True)
try:
    s.run()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(7)
"""


def test_ctrl_c_ends_a_run() -> None:
    child = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "begins\n"
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 7
    assert child.stdout.read() == "interrupted\n"


def test_other_threads_go_on() -> None:
    turns = 0
    over = threading.Event()

    def count() -> None:
        nonlocal turns
        while not over.wait(0.001):
            turns += 1

    other = threading.Thread(target=count)
    other.start()
    began = time.monotonic()
    ms.run(ms.Scenario(SMALL).set("workload.requests", 30_000), jobs=1)
    took = time.monotonic() - began
    over.set()
    other.join()
    # Each turn takes 1 ms and the time to be woken.
    assert turns > took * 20


def test_errors_have_classes(tmp_path: Path) -> None:
    with pytest.raises(ms.UsageError, match="--precision"):
        ms.capacity(SMALL, precision="much")
    with pytest.raises(ms.UsageError, match="--assert|assert"):
        ms.run(SMALL, assert_="ttft_s.p98 < 1")
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    with pytest.raises(ms.InputError):
        ms.evaluate(bad)
    with pytest.raises(ms.MetronError):
        ms.capacity(SMALL, cache=bad)
    assert ms.run(SMALL, assert_="ttft_s.p99 < 0.000001").exit == 3


def test_warnings_are_warned() -> None:
    with pytest.warns(ms.MetronWarning, match="no effect|changes nothing|without effect"):
        ms.run(ms.Scenario(SMALL).set("router", "least-tokens"))
