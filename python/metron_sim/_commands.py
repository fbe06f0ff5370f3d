"""The commands: each does what the command of the program does, with the same figures."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from . import _native
from ._errors import UsageError
from ._kinds import is_list, is_path
from ._progress import Progress, in_notebook, shown
from ._results import CapacityFile, ComparisonFile, PlanFile
from ._runs import Answered, Explanation, Result, parsed
from ._scenario import Scenario, ScenarioLike, as_yaml

if TYPE_CHECKING:
    from ._ray import Ray

__all__ = [
    "Calibration",
    "Capacities",
    "Comparison",
    "MetronWarning",
    "Plan",
    "bench",
    "calibrate",
    "capacity",
    "compare",
    "evaluate",
    "explain",
    "plan",
    "run",
    "validate",
]

PathLike: TypeAlias = "str | os.PathLike[str]"
Paths: TypeAlias = "PathLike | Sequence[PathLike]"
Asserted: TypeAlias = "str | Sequence[str] | None"


class MetronWarning(UserWarning):
    """What a reader should know of a scenario or a result."""


class RunFlags(TypedDict, total=False):
    """What `run` may be given besides the scenario."""

    seed: int | None
    jobs: int | None
    metrics: Literal["auto", "full"]
    stalls: bool
    host_range: bool
    reference: bool
    check_determinism: bool
    check: bool
    assert_: Asserted
    progress: Progress


class Call:
    """A command with its arguments."""

    def __init__(self, command: str) -> None:
        self.args = [command]
        self.scenarios: list[tuple[str, tuple[str, str, str, tuple[str, ...]]]] = []

    def scenario(self, given: ScenarioLike) -> Scenario:
        """Adds a scenario as an argument."""
        made = given if isinstance(given, Scenario) else Scenario(given)
        taken = {key for key, _ in self.scenarios}
        key = made.name if not made.name.startswith("-") else f"./{made.name}"
        number = 1
        while key in taken:
            number += 1
            key = f"{made.name} #{number}"
        self.args.append(key)
        self.scenarios.append((key, made._given()))
        return made

    def flags(self, flags: Mapping[str, Any]) -> None:
        """Adds flags: `None` and `False` leave one out."""
        for name, value in flags.items():
            flag = "--" + name.strip("_").replace("_", "-")
            if value is None or value is False:
                continue
            if value is True:
                self.args.append(flag)
            elif is_list(value):
                for one in value:
                    self.args.append(f"{flag}={_word(one)}")
            else:
                self.args.append(f"{flag}={_word(value)}")

    def ask(
        self, progress: Progress = False, keeps_runs: bool = False, keeps_page: bool = False
    ) -> _native.Answer:
        """Does it, with JSON for an answer."""
        args = [*self.args, "--format=json"]
        on_progress, ended = shown(progress)
        try:
            answer = _native.ask(args, self.scenarios, keeps_runs, keeps_page, on_progress)
        finally:
            ended()
        for text in answer.warnings:
            warnings.warn(text, MetronWarning, stacklevel=_outside())
        return answer


def _outside() -> int:
    """How far up the caller stands who is not this package."""
    import sys

    level, frame = 1, sys._getframe(1)
    here = os.path.dirname(__file__)
    while frame is not None and frame.f_code.co_filename.startswith(here):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    return level


def given(arguments: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    """The arguments of a function that are flags: call it with its `locals()`, first of all."""
    return {name: value for name, value in arguments.items() if name not in left_out}


def _word(value: Any) -> str:
    return os.fspath(value) if is_path(value) else str(value)


def run(
    scenario: ScenarioLike,
    *,
    seed: int | None = None,
    jobs: int | None = None,
    metrics: Literal["auto", "full"] = "auto",
    stalls: bool = False,
    host_range: bool = False,
    reference: bool = False,
    check_determinism: bool = False,
    check: bool = False,
    assert_: Asserted = None,
    progress: Progress = None,
) -> Result:
    """Simulates a scenario; each of its schedulers faces the same requests.

    `seed` stands in place of the scenario's. `jobs` threads are used; the result does not depend on them.
    `metrics="full"` works out the full figures beyond a million output tokens too; `stalls` says where the
    time went, however many tokens there are. `assert_=["ttft_s.p99 < 0.5"]` and `check` (the SLO) make
    `exit` 3 where something does not hold.

    Raises `ScenarioError`, `InputError` for a file of requests, `StuckError` where a scheduler stands still.
    """
    flags = given(locals(), "scenario", "progress")
    call = Call("run")
    made = call.scenario(scenario)
    call.flags({**flags, "metrics": None if metrics == "auto" else metrics})
    answer = call.ask(progress, keeps_runs=True)
    return Result(parsed(answer), answer, _played_runs=answer.runs, _scenario=made, _flags=flags)


def explain(
    scenario: ScenarioLike,
    *,
    seed: int | None = None,
    jobs: int | None = None,
    request: int | None = None,
    token: int | None = None,
    top: int | None = None,
    observed: PathLike | None = None,
    run: str | None = None,
    reference: bool = False,
    progress: Progress = None,
) -> Explanation:
    """Says why tokens were late: causes, culprits, and what would have helped.

    `request` and `token` (both from 0) ask for one; `top` says how many stalls and culprits. `observed` is a
    measured file whose stalls are explained by a simulation of the same requests; `run` picks one of several
    in it.
    """
    flags = given(locals(), "scenario", "progress")
    call = Call("explain")
    call.scenario(scenario)
    call.flags(flags)
    answer = call.ask(progress, keeps_page=observed is None and in_notebook())
    return Explanation(parsed(answer), answer)


def paths_of(files: Paths) -> list[str]:
    if isinstance(files, (str, os.PathLike)):
        return [os.fspath(files)]
    return [os.fspath(path) for path in files]


def evaluate(
    files: Paths,
    *,
    from_: str | None = None,
    ttft: str | None = None,
    ttft_curve: PathLike | None = None,
    ttft_fit: bool = False,
    ttft_slack: str | None = None,
    tbt: str | None = None,
    fluidity: str | None = None,
    skip_bad: bool = False,
    metrics: Literal["auto", "full"] = "auto",
    explain: bool = False,
    assert_: Asserted = None,
) -> Result:
    """The same figures of measured result files: of vLLM, SGLang, AIPerf, GuideLLM, inference-perf, Etalon,
    BLIS or metron-sim.

    The promise: `ttft="500ms"` or a curve, `tbt="25ms"`, `fluidity="0.9:0.99"`. `explain` finds stalls in
    the token times. Raises `InputError` where a file cannot be read or judged.
    """
    flags = given(locals(), "files")
    call = Call("evaluate")
    call.args += paths_of(files)
    call.flags({**flags, "metrics": None if metrics == "auto" else metrics})
    answer = call.ask(keeps_page=True)
    return Result(parsed(answer), answer, _played_runs=None, _scenario=None, _flags={})


class Comparison(Answered, ComparisonFile):
    """What `compare` answers."""


def compare(
    a: Result | ScenarioLike,
    b: Result | ScenarioLike,
    *,
    run_a: str | None = None,
    run_b: str | None = None,
    seed: int | None = None,
    jobs: int | None = None,
    from_: str | None = None,
    ttft: str | None = None,
    ttft_curve: PathLike | None = None,
    ttft_fit: bool = False,
    ttft_slack: str | None = None,
    tbt: str | None = None,
    fluidity: str | None = None,
    skip_bad: bool = False,
) -> Comparison:
    """Compares two runs metric by metric: results, files (measured, or results as JSON), or scenarios,
    which are run. `run_a` and `run_b` pick a run by its label where there are several."""
    flags = given(locals(), "a", "b")
    call = Call("compare")
    with tempfile.TemporaryDirectory() as folder:
        for name, side in (("a", a), ("b", b)):
            if isinstance(side, Result):
                path = os.path.join(folder, f"{name}.json")
                Path(path).write_text(side.to_json(), encoding="utf-8")
                call.args.append(path)
            elif isinstance(side, (str, os.PathLike)) and _is_file(os.fspath(side)):
                call.args.append(os.fspath(side))
            else:
                call.scenario(side)
        call.flags(flags)
        answer = call.ask()
    return Comparison(parsed(answer), answer)


def _is_file(path: str) -> bool:
    return "\n" not in path and os.path.isfile(path) and not path.endswith((".yaml", ".yml"))


class Capacities(Answered, CapacityFile):
    """What `capacity` answers: one of `schedulers` for each."""


def capacity(
    scenario: ScenarioLike,
    *,
    seed: int | None = None,
    seeds: int | None = None,
    jobs: int | None = None,
    precision: str | None = None,
    slo: Literal["all", "fluidity", "bounds"] | None = None,
    assert_: Asserted = None,
    for_rate: float | None = None,
    for_users: int | None = None,
    pool: str | None = None,
    max_replicas: int | None = None,
    max_time: str | None = None,
    host_range: bool = False,
    cache: PathLike | None = None,
    on: Ray | None = None,
    progress: Progress = None,
) -> Capacities:
    """Finds the highest load that meets the SLO, over several seeds, and the replicas for a load.

    `precision="1%"` says how closely; `for_rate` and `for_users` ask for the fewest replicas; `max_time="10min"`
    ends it with what is known by then. `cache` is a folder where finished simulations are kept and found.
    `on=ms.Ray()` plays each seed's search on a cluster.
    """
    flags = given(locals(), "scenario", "progress", "on")
    made = scenario if isinstance(scenario, Scenario) else Scenario(scenario)
    if cache is not None:
        from ._sweep import check_cache

        check_cache(made, cache)
    if on is None:
        answer = capacity_call(made, flags).ask(progress, keeps_page=True)
        return Capacities(parsed(answer), answer)
    if max_time is not None or host_range:
        raise UsageError("max_time, host_range and `on` cannot be given together")
    with tempfile.TemporaryDirectory() as folder:
        kept = folder if cache is None else os.fspath(cache)
        os.makedirs(kept, exist_ok=True)
        # The searches of all seeds, then the whole command, which finds their simulations there.
        on.capacity(made, {**flags, "cache": None}, 3 if seeds is None else seeds, kept, progress)
        answer = capacity_call(made, {**flags, "cache": kept}).ask(progress, keeps_page=True)
    return Capacities(parsed(answer), answer)


def capacity_call(scenario: Scenario, flags: Mapping[str, Any]) -> Call:
    """The command with its flags."""
    call = Call("capacity")
    call.scenario(scenario)
    call.flags(flags)
    return call


class Plan(Answered, PlanFile):
    """What `plan` answers: `answers` are the fleets that keep the promise, the cheapest first, and
    `scenario` is the text of one with the best."""


def plan(
    scenario: ScenarioLike | None = None,
    *,
    gpus: str | Sequence[str],
    model: str | None = None,
    prompt: int | None = None,
    output_tokens: int | None = None,
    shared_prefix: int | None = None,
    ttft: str | None = None,
    tokens_per_s: float | None = None,
    share: str | None = None,
    rate: float | None = None,
    users: int | None = None,
    think_time: str | None = None,
    sessions: str | None = None,
    trace: PathLike | None = None,
    price: Mapping[str, float] | None = None,
    tp: int | Sequence[int] | None = None,
    dtype: str | Sequence[str] | None = None,
    seeds: int | None = None,
    max_replicas: int | None = None,
    apart: str | None = None,
    exhaustive: bool = False,
    max_time: str | None = None,
    seed: int | None = None,
    jobs: int | None = None,
    progress: Progress = None,
) -> Plan:
    """Finds the cheapest GPUs for a model, its traffic and a promise.

        ms.plan(model="llama-3.1-8b", gpus=["h100-sxm", "l40s"], prompt=2000, output_tokens=300, rate=20,
                ttft="p99=1s", tokens_per_s=30)

    The traffic is in `prompt`, `output_tokens` and `rate` or `users`, in a `trace`, or in a scenario with its
    promise. `sessions="chat"` (or `"agent"`) in place of lengths makes `rate` and `users` those of sessions. `price={"h100-sxm": 2.5}` gives dollars an hour.
    With `apart="ib-400g"`, a link's name, prefill and decode apart are tried on the answers' replicas, too.
    """
    flags = given(locals(), "scenario", "progress", "price", "gpus", "tp", "dtype")
    call = Call("plan")
    if scenario is not None:
        call.args.append("--scenario")
        call.scenario(scenario)
    commas = {"gpus": gpus, "tp": tp, "dtype": dtype}
    for name, value in commas.items():
        many = isinstance(value, Sequence) and not isinstance(value, str)
        call.flags({name: ",".join(str(one) for one in value) if many else value})  # type: ignore[union-attr]
    call.flags({"price": [f"{gpu}={usd}" for gpu, usd in (price or {}).items()]})
    call.flags(flags)
    answer = call.ask(progress, keeps_page=True)
    return Plan(parsed(answer), answer)


def validate(
    scenario: ScenarioLike,
    observed: PathLike,
    *,
    run: str | None = None,
    seed: int | None = None,
    jobs: int | None = None,
    progress: Progress = None,
) -> Result:
    """Sets a simulation against a real run of the same requests: `validation` has a row for each figure.

    `observed` has a row a request (CSV), or is any file that `evaluate` reads; `run` picks one of several.
    """
    call = Call("validate")
    made = call.scenario(scenario)
    call.flags({"observed": observed, "run": run, "seed": seed, "jobs": jobs})
    answer = call.ask(progress)
    flags = {"seed": seed, "jobs": jobs}
    return Validated(parsed(answer), answer, _played_runs=None, _scenario=made, _flags=flags)


class Validated(Result):
    """What `validate` answers. Its tables would be of other requests, those of the scenario."""

    def _played(self) -> _native.Runs:
        raise ValueError("a validation has no tables; `ms.run` of the scenario has")

    def _repr_html_(self) -> str:
        return Answered._repr_html_(self)


class Calibration(Answered):
    """What `calibrate` answers."""

    profile: str
    """The engine profile (YAML): save it and name its file as `profile` in a scenario's `engine`."""

    def save(self, path: PathLike) -> None:
        """Writes the profile to a file (.yaml)."""
        Path(path).write_text(self.profile, encoding="utf-8")


def calibrate(
    scenario: ScenarioLike | None = None,
    observed: PathLike | None = None,
    *,
    iterations: Paths | None = None,
    run: str | None = None,
    fit: str | Sequence[str] | None = None,
    seed: int | None = None,
    jobs: int | None = None,
    progress: Progress = None,
) -> Calibration:
    """Fits the cost model's constants to a real run (`observed`), or a law of step times to an engine's own
    `iterations` logs. `fit` names groups of constants: `host`, `kernels`, `gpu`, `link`."""
    call = Call("calibrate")
    if scenario is not None:
        call.scenario(scenario)
    groups = fit if fit is None or isinstance(fit, str) else ",".join(fit)
    logs = None if iterations is None else paths_of(iterations)
    call.flags({"observed": observed, "iterations": logs, "run": run, "fit": groups})
    call.flags({"seed": seed, "jobs": jobs})
    with tempfile.TemporaryDirectory() as folder:
        profile = os.path.join(folder, "profile.yaml")
        call.args += ["-o", profile]
        answer = call.ask(progress)
        return Calibration(parsed(answer), answer, profile=Path(profile).read_text(encoding="utf-8"))


def bench(
    scenario: ScenarioLike,
    url: str,
    *,
    model: str | None = None,
    endpoint: Literal["completions", "chat"] | None = None,
    prompts: Literal["ids", "text"] | None = None,
    api_key_env: str | None = None,
    warmup: int | None = None,
    request_timeout: str | None = None,
    metrics_url: str | None = None,
    tokens: PathLike | None = None,
    requests: PathLike | None = None,
    keep_text: bool = False,
    max_requests: int | None = None,
    max_tokens: int | None = None,
    seed: int | None = None,
    progress: Progress = None,
) -> Result:
    """Sends a scenario's requests to a live server (OpenAI-compatible), and judges the tokens that come.

    `tokens` and `requests` are files for a row a token and a row a request (.csv or .jsonl).
    """
    flags = given(locals(), "scenario", "progress", "tokens")
    call = Call("bench")
    call.scenario(scenario)
    call.flags(flags)
    with tempfile.TemporaryDirectory() as folder:
        kept = os.path.join(folder, "bench.csv") if tokens is None else tokens
        call.flags({"tokens": kept})
        answer = call.ask(progress, keeps_page=True)
    return Result(parsed(answer), answer, _played_runs=None, _scenario=None, _flags={})


def vary(grid: Mapping[str, Iterable[Any]]) -> list[str]:
    """A grid as `--vary` has it."""
    given: list[str] = []
    for path, values in grid.items():
        many = isinstance(values, Iterable)  # pyright: ignore[reportUnnecessaryIsInstance]
        if isinstance(values, (str, Mapping)) or not many:
            raise UsageError(f"{path}: expected a list of values, found {values!r}")
        given.append(f"{path}=" + ",".join(as_yaml(value, path) for value in values))
    return given
