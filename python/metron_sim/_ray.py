"""Sweeps, capacity searches and tuning on a Ray cluster. Scheduling and fault tolerance are Ray's."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._errors import UsageError
from ._policies import _KNOWN, register
from ._progress import Progress, shown
from ._scenario import Scenario, ScenarioLike

if TYPE_CHECKING:
    from ._runs import Result

__all__ = ["Ray", "tune"]


class Ray:
    """A Ray cluster, for `ms.sweep(..., on=ms.Ray())` and `ms.capacity(..., on=ms.Ray())`.

    `address` is what `ray.init` takes: `"auto"` joins the cluster of this machine, `"local"` and nothing start one
    here; where Ray runs in this process already, that is taken. A task plays `points` points of a sweep (by
    default so many that there are 8 tasks a core), on one core, and is repeated up to `retries` times where its
    worker is lost: points are deterministic, so nothing is counted twice. `options` go to each task, as to
    `ray.remote`.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        points: int | None = None,
        retries: int = 3,
        **options: Any,
    ) -> None:
        if points is not None and points < 1:
            raise UsageError(f"points: expected at least 1, found {points}")
        self.address = address
        self.points = points
        self.retries = retries
        self.options = options

    def _ray(self) -> Any:
        try:
            import ray as imported
        except ImportError:
            raise UsageError("Ray is not installed: pip install 'metron-sim[ray]'") from None
        # Its types are known in part only.
        ray: Any = imported
        if not ray.is_initialized():
            ray.init(address=self.address, log_to_driver=False, logging_level=logging.WARNING)
        return ray

    def _map(
        self,
        task: Callable[..., Any],
        shared: Any,
        parts: list[tuple[Any, ...]],
        what: str,
        progress: Progress,
    ) -> list[Any]:
        """The result of each part, in order. `shared` goes to the cluster once."""
        ray = self._ray()
        remote = ray.remote(num_cpus=1, max_retries=self.retries, **self.options)(task)
        held = ray.put(shared)
        policies = ray.put(_shipped_policies())
        waiting = {remote.remote(held, policies, *part): place for place, part in enumerate(parts)}
        results: list[Any] = [None] * len(parts)
        tell, ended = shown(progress)
        try:
            while waiting:
                done, _ = ray.wait(list(waiting), timeout=0.5)
                for one in done:
                    results[waiting.pop(one)] = ray.get(one)
                if tell is not None:
                    tell(what, len(parts) - len(waiting), len(parts))
        except BaseException:
            for one in waiting:
                ray.cancel(one, force=False)
            raise
        finally:
            ended()
        return results

    def sweep(self, scenario: Scenario, flags: dict[str, Any], points: int, progress: Progress) -> list[str]:
        """Runs the parts of a sweep: what `ms.sweep` calls."""
        ray = self._ray()
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        each = self.points or max(1, points // (cores * 8))
        count = -(-points // each)
        flags = {**flags, "jobs": 1, "cache": _absolute(flags.get("cache"))}
        parts = [(part + 1, count) for part in range(count)]
        return self._map(_sweep_part, (Shipped(scenario), flags), parts, "parts", progress)

    def capacity(
        self, scenario: Scenario, flags: dict[str, Any], seeds: int, cache: str, progress: Progress
    ) -> None:
        """Fills a folder with the simulations of a capacity search, a task a seed: what `ms.capacity` calls."""
        flags = {**flags, "jobs": 1}
        parts = [(part + 1, seeds) for part in range(seeds)]
        for entries in self._map(_capacity_part, (Shipped(scenario), flags), parts, "seeds", progress):
            for name, entry in entries.items():
                Path(cache, name).write_bytes(entry)


def _absolute(folder: Any) -> str | None:
    return None if folder is None else os.path.abspath(folder)


class Shipped:
    """A scenario with the files that it names, for machines that do not have them."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.files: dict[str, bytes] = {}
        for name, path in scenario.files.items():
            # A path out of the scenario's folder is the same on each machine, or is not there.
            if not os.path.isabs(name) and ".." not in Path(name).parts:
                self.files[name] = Path(path).read_bytes()

    def placed(self, folder: str) -> Scenario:
        """The scenario, with its files in this folder."""
        if not self.files:
            return self.scenario
        for name, content in self.files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self.scenario._in(folder)


def _shipped_policies() -> list[tuple[str, bytes]]:
    if not _KNOWN:
        return []
    import ray.cloudpickle

    cloudpickle: Any = ray.cloudpickle
    return [(name, cloudpickle.dumps(tuple(one))) for name, one in _KNOWN.items()]


def _take_policies(shipped: list[tuple[str, bytes]]) -> None:
    import ray.cloudpickle

    cloudpickle: Any = ray.cloudpickle
    for name, pickled in shipped:
        kind, parameters = cloudpickle.loads(pickled)
        register(name, kind, parameters)


def _sweep_part(
    shared: tuple[Shipped, Mapping[str, Any]], policies: list[tuple[str, bytes]], part: int, of: int
) -> str:
    from ._sweep import run_part

    _take_policies(policies)
    shipped, flags = shared
    with tempfile.TemporaryDirectory() as folder:
        return run_part(shipped.placed(folder), flags, part, of)


def _capacity_part(
    shared: tuple[Shipped, Mapping[str, Any]], policies: list[tuple[str, bytes]], part: int, of: int
) -> dict[str, bytes]:
    from ._commands import capacity_call

    _take_policies(policies)
    shipped, flags = shared
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        call = capacity_call(shipped.placed(folder), {**flags, "cache": cache, "shard": f"{part}/{of}"})
        call.ask(False)
        return {path.name: path.read_bytes() for path in Path(cache).glob("*.json")}


def tune(
    scenario: ScenarioLike,
    space: Mapping[str, Any],
    metric: str | Callable[[Result], float],
    mode: str = "max",
    *,
    samples: int = 20,
    search: Any = None,
    scheduler: str | None = None,
    address: str | None = None,
    concurrent: int | None = None,
    storage: str | os.PathLike[str] | None = None,
) -> Any:
    """Searches for the best values of some fields with Ray Tune; answers its `ResultGrid`.

        space = {"schedulers.sarathi.chunk_size": ray.tune.choice([256, 512, 1024, 2048])}
        found = ms.tune("chat", space, "fluidity.fluid_request_share", samples=8)
        found.get_best_result().config

    `metric` is the path of a figure, of the run of `scheduler` (a label or name; the first unless given), or a
    function of the `Result`. `search` is one of Ray Tune's search algorithms (random and grid search unless
    given), `samples` how many are tried. A trial that has no such figure (`None`) is the worst.
    """
    Ray(address)._ray()
    from ray import tune

    ray_tune: Any = tune
    made = scenario if isinstance(scenario, Scenario) else Scenario(scenario)
    shipped, policies = Shipped(made), _shipped_policies()
    sign = 1.0 if mode == "max" else -1.0

    def trial(config: dict[str, Any]) -> dict[str, float]:
        from ._commands import run

        _take_policies(policies)
        with tempfile.TemporaryDirectory() as folder:
            result = run(shipped.placed(folder).with_(config), jobs=1, metrics="full", progress=False)
            found = metric(result) if callable(metric) else _figure(result, metric, scheduler)
        return {"metric": float("-inf") * sign if found is None else float(found)}

    settings: dict[str, Any] = {
        "metric": "metric",
        "mode": mode,
        "num_samples": samples,
        "search_alg": search,
        "max_concurrent_trials": concurrent,
    }
    tuner = ray_tune.Tuner(
        ray_tune.with_resources(trial, {"cpu": 1}),
        # Names with dots are paths here; Ray Tune takes them as they are.
        param_space=dict(space),
        tune_config=ray_tune.TuneConfig(**settings),
        run_config=ray_tune.RunConfig(
            storage_path=None if storage is None else os.path.abspath(storage), verbose=0
        ),
    )
    return tuner.fit()


def _figure(result: Result, path: str, scheduler: str | None) -> float | None:
    value: Any = result.run(0 if scheduler is None else scheduler)
    for name in path.split("."):
        value = getattr(value, name)
        if value is None:
            return None
    return float(value)
