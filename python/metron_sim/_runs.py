"""Results of runs: figures, tables, plots."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _native
from ._records import Record
from ._results import ExplanationFile, ResultFile, RunResult, StallReport
from ._tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._plots import Plots
    from ._scenario import Scenario

__all__ = ["Explanation", "Page", "Result", "Stall"]


class Page:
    """A page with a table and plots: it shows itself in a notebook, and `save` writes it."""

    def __init__(self, text: str) -> None:
        self.html = text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it to a file (.html), which needs nothing else."""
        Path(path).write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        inside = html.escape(self.html, quote=True)
        return (
            f'<iframe srcdoc="{inside}" sandbox="allow-scripts" loading="lazy" '
            'style="width: 100%; height: 640px; border: 1px solid #ccc"></iframe>'
        )

    def __repr__(self) -> str:
        return f"Page({len(self.html)} bytes)"


class Answered(Record):
    """What a command answered, with what it said besides."""

    exit: int
    """The exit code that the program would end with: 0, or 3 where a promise or an assertion is not met,
    or a search did not find all."""
    messages: list[str]
    """What the command said besides: how it went."""
    text: str
    """What a terminal shows."""

    _page: str | None

    def __init__(self, data: Mapping[str, Any], answer: _native.Answer | None = None, **more: Any) -> None:
        super().__init__(data)
        said: dict[str, Any] = {"exit": 0, "messages": [], "text": "", "_page": None}
        if answer is not None:
            said = {
                "exit": answer.exit,
                "messages": answer.notes,
                "text": answer.text,
                "_page": answer.page,
            }
        for name, value in {**said, **more}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def _members(cls) -> list[str]:
        own = {"exit", "messages", "text"}
        return [name for name in super()._members() if name not in own]

    def __reduce__(self) -> tuple[Any, ...]:
        said = {name: value for name, value in vars(self).items() if name != "_played_runs"}
        return (_unpickled, (type(self), self._data, said))

    def __str__(self) -> str:
        return self.text or repr(self)

    def report(self) -> Page:
        """The page with the table and the plots."""
        if self._page is None:
            raise ValueError("this result has no page")
        return Page(self._page)

    def _repr_html_(self) -> str:
        if self._page is not None:
            return Page(self._page)._repr_html_()
        return f"<pre>{html.escape(str(self))}</pre>"


def _unpickled(kind: type[Answered], data: dict[str, Any], said: dict[str, Any]) -> Answered:
    if issubclass(kind, Result):
        said = {"_played_runs": None, **said}
    return kind(data, None, **said)


class Result(Answered, ResultFile):
    """What `run` answers: `r["sarathi"]` is one scheduler's run, `r.runs` are all.

    Tables have a row for each request, token, iteration or stall of all runs; `scheduler` says which. They
    are Arrow in memory: `r.tokens().to_polars()`.
    """

    _played_runs: _native.Runs | None
    _scenario: Scenario | None
    _flags: dict[str, Any]

    def __getitem__(self, which: str | int) -> Any:
        if isinstance(which, int):
            return self.runs[which]
        if which in self._data:
            return super().__getitem__(which)
        return self.run(which)

    def run(self, which: str | int) -> RunResult:
        """The run of this label, of this scheduler where there is one, or at this place."""
        runs = self.runs
        if isinstance(which, int):
            return runs[which]
        for found in (
            [one for one in runs if one.label == which],
            [one for one in runs if one.scheduler == which],
        ):
            if len(found) == 1:
                return found[0]
        labels = ", ".join(repr(one.label) for one in runs)
        raise KeyError(f"no run {which!r}: there are {labels}")

    def _ipython_key_completions_(self) -> list[str]:
        return [run.label for run in self.runs]

    @property
    def scenario_run(self) -> Scenario | None:
        """The scenario that was run; `None` for measured files."""
        return self._scenario

    def _played(self) -> _native.Runs:
        if self._played_runs is None:
            if self._scenario is None:
                raise ValueError("a result of measured files has no tables; read the files")
            from ._commands import run

            flags: dict[str, Any] = {**self._flags, "progress": False}
            again = run(self._scenario, **flags)
            object.__setattr__(self, "_played_runs", again._played_runs)
        assert self._played_runs is not None
        return self._played_runs

    def _jobs(self) -> int:
        return int(self._flags.get("jobs") or os.cpu_count() or 1)

    def requests(self) -> Table:
        """A row for each request: arrival, tokens, TTFT, TPOT, fluidity-index, status, ..."""
        return Table(self._played().requests())

    def tokens(self) -> Table:
        """A row for each output token: `request`, `index`, `time_s`, and `gap_s` since the token before (of a
        first token since the arrival)."""
        return Table(self._played().tokens())

    def iterations(self) -> Table:
        """A row for each iteration: when, what was in the batch, KV blocks in use, who waited and why."""
        return Table(self._played().iterations(self._jobs()))

    def stalls(self, top: int = 100) -> Table:
        """A row for each of the worst stalls of each run: how long, its main cause, and how much of it each
        cause took."""
        return Table(self._played().stalls(top, self._jobs()))

    def explain(self, **flags: Any) -> Explanation:
        """Why tokens were late, and what would have helped: `ms.explain` of the same scenario."""
        if self._scenario is None:
            raise ValueError("a result of measured files is explained by ms.evaluate(..., explain=True)")
        from ._commands import explain

        given: dict[str, Any] = {"seed": self._flags.get("seed"), **flags}
        return explain(self._scenario, **given)

    def report(self) -> Page:
        """The page with the table and the plots, as `metron-sim run --report` writes it."""
        if self._page is None and self._scenario is not None:
            object.__setattr__(self, "_page", self._played().page(self._jobs()))
        return super().report()

    @property
    def plot(self) -> Plots:
        """Plots of the runs, as Altair charts: `r.plot.cdf("tbt")` (needs `pip install metron-sim[plot]`)."""
        from ._plots import Plots

        return Plots(self)

    def _repr_html_(self) -> str:
        try:
            return self.report()._repr_html_()
        except ValueError:
            return super()._repr_html_()


class Stall(StallReport):
    """A stall, with the run that it is of."""

    label: str
    """The run."""


Stall._records = StallReport._records
Stall._maps = StallReport._maps


class Explanation(Answered, ExplanationFile):
    """What `explain` answers: stalls, their causes and culprits, and what would have helped. `print` it to
    read it as a terminal shows it."""

    def worst(self, count: int = 3) -> list[Stall]:
        """The worst stalls of all runs, worst first: by how far they go beyond their deadline's pace."""
        found = [Stall({"label": run.label, **stall._data}) for run in self.runs for stall in run.stalls]
        found.sort(key=lambda stall: -stall.beyond_ns)
        return found[:count]


def parsed(answer: _native.Answer) -> dict[str, Any]:
    """The JSON of an answer."""
    data: dict[str, Any] = json.loads(answer.result)
    return data
