"""Grids of what-ifs, here or on a cluster."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ._commands import Asserted, Call, PathLike, Paths, given, paths_of, vary
from ._errors import UsageError
from ._kinds import is_map
from ._policies import schedulers
from ._progress import Progress
from ._results import SweepFile
from ._runs import Answered, parsed
from ._scenario import Scenario, ScenarioLike

if TYPE_CHECKING:
    import pandas
    import polars

    from ._plots import SweepPlots

__all__ = ["Place", "Points", "SweepResult", "merge", "sweep"]

_SHARD = re.compile(r"\s*(\d+)\s*/\s*(\d+)\s*")


class Place(Protocol):
    """Where the points of a sweep are run: `ms.Ray()`."""

    def sweep(self, scenario: Scenario, flags: dict[str, Any], points: int, progress: Progress) -> list[str]:
        """Runs the parts of a sweep, and gives their results back: JSON texts, in any order."""
        ...


class Points:
    """The points of a sweep, for data frames: a row for each run of each point.

    Columns: `point`, the varied fields by their paths, `scheduler`, `label`, `slo_met`, and the figures by their
    paths (`ttft_s.p99`).
    """

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        names: dict[str, None] = {}
        for row in rows:
            names.update(dict.fromkeys(row))
        self.columns = list(names)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[str, list[Any]]:
        """Each column as a list."""
        return {name: [row.get(name) for row in self.rows] for name in self.columns}

    def to_pandas(self) -> pandas.DataFrame:
        """As a data frame of pandas."""
        import pandas

        return pandas.DataFrame(self.to_dict())

    def to_polars(self) -> polars.DataFrame:
        """As a data frame of Polars."""
        import polars

        return polars.DataFrame(self.to_dict(), strict=False, infer_schema_length=None)

    def to_pyarrow(self) -> Any:
        """As a table of PyArrow."""
        import pyarrow

        arrow: Any = pyarrow
        return arrow.table(self.to_dict())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        return self.to_pyarrow().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"Points({len(self)} rows: {', '.join(self.columns[:8])}, ...)"


class SweepResult(Answered, SweepFile):
    """What `sweep` answers."""

    def table(self) -> Points:
        """A row for each run of each point, for data frames."""
        paths = [one["path"] for one in self._data["vary"]]
        rows: list[dict[str, Any]] = []
        for point in self._data["points"]:
            for run in point["runs"]:
                values = [_value(text) for text in point["values"]]
                row = {"point": point["index"], **dict(zip(paths, values, strict=True))}
                row |= _flat(run)
                rows.append(row)
        return Points(rows)

    @property
    def plot(self) -> SweepPlots:
        """Plots of the points, as Altair charts: `s.plot.lines("ttft_s.p99")`."""
        from ._plots import SweepPlots

        return SweepPlots(self)


def _value(text: str) -> Any:
    """A value as it was given."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _flat(run: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a run, by their paths."""
    out: dict[str, Any] = {}

    def walk(path: str, value: Any) -> None:
        if is_map(value):
            for name, one in value.items():
                walk(f"{path}.{name}" if path else name, one)
        elif value is None or isinstance(value, (bool, int, float, str)):
            out[path] = value

    walk("", {name: one for name, one in run.items() if name not in ("slo", "features", "judged_by")})
    slo = run.get("slo")
    if is_map(slo):
        out["slo_met"] = slo.get("met")
    return out


def sweep(
    scenario: ScenarioLike,
    grid: Mapping[str, Iterable[Any]],
    *,
    on: Place | None = None,
    seed: int | None = None,
    jobs: int | None = None,
    metrics: Literal["auto", "full"] = "auto",
    capacity: bool = False,
    seeds: int | None = None,
    precision: str | None = None,
    slo: Literal["all", "fluidity", "bounds"] | None = None,
    for_rate: float | None = None,
    for_users: int | None = None,
    pool: str | None = None,
    max_replicas: int | None = None,
    max_time: str | None = None,
    assert_: Asserted = None,
    pareto: str | None = None,
    shard: str | None = None,
    cache: PathLike | None = None,
    progress: Progress = None,
) -> SweepResult:
    """Runs every combination of some fields' values, on the threads of this machine, or on a cluster:
    `on=ms.Ray()`.

        ms.sweep("chat", {"workload.arrivals.poisson.rate": [2, 4, 8], "gpu": ["h100-sxm", "l40s"]})

    `capacity` searches for the capacity of each instead. `pareto="ttft_s.p99,throughput.output_tokens_per_s:max"`
    marks what nothing beats. `shard="2/8"` runs a part, for batch systems (`ms.merge`). `cache` is a folder where
    finished points are kept and found: an interrupted sweep goes on from it.
    """
    flags = given(locals(), "scenario", "grid", "on", "progress", "pareto")
    flags["metrics"] = None if metrics == "auto" else metrics
    flags["vary"] = vary(grid)
    made = scenario if isinstance(scenario, Scenario) else Scenario(scenario)
    check_cache(made, cache)
    if on is None:
        call = Call("sweep")
        call.scenario(made)
        call.flags({**flags, "pareto": pareto})
        answer = call.ask(progress, keeps_page=shard is None)
        return SweepResult(parsed(answer), answer)
    for name in ("shard", "max_time", "assert_"):
        if flags[name] is not None:
            raise UsageError(f"{name} and `on` cannot be given together")
    points = 1
    for one in flags["vary"]:
        points *= len(_values_of(grid, one.split("=", 1)[0]))
    parts = on.sweep(made, flags, points, progress)
    return _merged(parts, pareto)


def _values_of(grid: Mapping[str, Iterable[Any]], path: str) -> list[Any]:
    return list(grid[path])


def run_part(scenario: Scenario, flags: Mapping[str, Any], part: int, of: int) -> str:
    """The result of a part of a sweep, as JSON."""
    call = Call("sweep")
    call.scenario(scenario)
    call.flags({**flags, "shard": f"{part}/{of}"})
    return call.ask(False).result


def _merged(parts: Iterable[str], pareto: str | None) -> SweepResult:
    with tempfile.TemporaryDirectory() as folder:
        files: list[str] = []
        for number, text in enumerate(parts):
            path = os.path.join(folder, f"part-{number + 1}.json")
            Path(path).write_text(text, encoding="utf-8")
            files.append(path)
        return merge(files, pareto=pareto)


def merge(shards: Paths, *, pareto: str | None = None) -> SweepResult:
    """Puts the parts of a sweep together: JSON files of `sweep` with a `shard`."""
    call = Call("merge")
    call.args += paths_of(shards)
    call.flags({"pareto": pareto})
    answer = call.ask(keeps_page=True)
    return SweepResult(parsed(answer), answer)


def check_cache(scenario: Scenario, cache: PathLike | None) -> None:
    """Refuses to keep results of policies in Python, whose code is no part of what results are found by."""
    if cache is None:
        return
    runs = scenario.resolved._data.get("schedulers", [])
    names = [name for run in runs for name in run if name in schedulers()]
    if names:
        raise UsageError(
            f"cache: results of {names[0]}, a policy in Python, cannot be kept, because a change of its code "
            "would not be noticed: leave `cache` out"
        )
