"""Plots as Altair charts: `chart.save("x.png")` and `.svg` work too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import UsageError

if TYPE_CHECKING:
    import altair

    from ._runs import Result
    from ._sweep import SweepResult

__all__ = ["Plots", "SweepPlots"]

#: Points that a curve is drawn with.
DRAWN = 400


def _altair() -> Any:
    try:
        import altair as found
    except ImportError:
        raise UsageError("plots need Altair: pip install 'metron-sim[plot]'") from None
    return found


def _values(rows: list[dict[str, Any]]) -> Any:
    return _altair().Data(values=rows)


class Plots:
    """Plots of the runs of a result."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def _columns(self, table: str, *names: str) -> dict[str, list[Any]]:
        frame = getattr(self._result, table)().to_pyarrow().select(["scheduler", *names])
        return {name: frame[name].to_pylist() for name in ("scheduler", *names)}

    def cdf(self, metric: str = "tbt") -> altair.Chart:
        """How `ttft`, `tbt`, `tpot`, `e2e` or `fluidity_index` is distributed: the share of requests, or of gaps
        between tokens, up to each value."""
        table, column = {
            "ttft": ("requests", "ttft_s"),
            "tbt": ("tokens", "gap_s"),
            "tpot": ("requests", "tpot_s"),
            "e2e": ("requests", "e2e_s"),
            "fluidity_index": ("requests", "fluidity_index"),
        }.get(metric, ("", ""))
        if not table:
            raise UsageError(f"cdf: expected ttft, tbt, tpot, e2e or fluidity_index, found {metric!r}")
        if table == "tokens":
            found = self._columns("tokens", "index", column)
            pairs = zip(found["scheduler"], found["index"], found[column], strict=True)
            rows = [(label, value) for label, index, value in pairs if index > 0]
        else:
            found = self._columns("requests", column)
            pairs2 = zip(found["scheduler"], found[column], strict=True)
            rows = [(label, value) for label, value in pairs2 if value is not None]
        drawn: list[dict[str, Any]] = []
        for label in dict.fromkeys(label for label, _ in rows):
            values = sorted(value for own, value in rows if own == label)
            count = len(values)
            places = sorted({min(count - 1, place * count // DRAWN) for place in range(DRAWN + 1)})
            drawn += [
                {"scheduler": label, column: values[place], "share": (place + 1) / count} for place in places
            ]
        alt = _altair()
        unit = "" if metric == "fluidity_index" else " (s)"
        chart: altair.Chart = (
            alt.Chart(_values(drawn))
            .mark_line(interpolate="step-after")
            .encode(
                x=alt.X(f"{column}:Q", title=f"{metric}{unit}"),
                y=alt.Y("share:Q", title="share", axis=alt.Axis(format="%")),
                color=alt.Color("scheduler:N", title=None),
            )
        )
        return chart

    def tokens(self, request: int) -> altair.Chart:
        """The tokens of a request over time, under each scheduler."""
        found = self._columns("tokens", "request", "index", "time_s")
        rows = [
            {"scheduler": label, "token": index + 1, "time_s": time}
            for label, own, index, time in zip(*found.values(), strict=True)
            if own == request
        ]
        if not rows:
            raise UsageError(f"tokens: request {request} has none")
        alt = _altair()
        chart: altair.Chart = (
            alt.Chart(_values(rows))
            .mark_line(interpolate="step-after")
            .encode(
                x=alt.X("time_s:Q", title="time (s)", scale=alt.Scale(zero=False)),
                y=alt.Y("token:Q", title="tokens"),
                color=alt.Color("scheduler:N", title=None),
            )
        )
        return chart

    def queue(self) -> altair.Chart:
        """How many requests waited and ran over time."""
        found = self._columns("iterations", "start_s", "waiting", "running")
        rows: list[dict[str, Any]] = []
        total = len(found["scheduler"])
        step = max(1, total // (DRAWN * 4))
        for place in range(0, total, step):
            for what in ("waiting", "running"):
                rows.append(
                    {
                        "scheduler": found["scheduler"][place],
                        "time_s": found["start_s"][place],
                        "requests": found[what][place],
                        "what": what,
                    }
                )
        alt = _altair()
        chart: altair.Chart = (
            alt.Chart(_values(rows))
            .mark_line()
            .encode(
                x=alt.X("time_s:Q", title="time (s)"),
                y=alt.Y("requests:Q"),
                color=alt.Color("scheduler:N", title=None),
                strokeDash=alt.StrokeDash("what:N", title=None),
            )
        )
        return chart

    def stalls(self, top: int = 20) -> altair.Chart:
        """The worst stalls, by what they are made of."""
        frame = self._result.stalls(top).to_pyarrow()
        names = [name for name in frame.column_names if name.endswith("_s")]
        causes = [name for name in names if name not in ("from_s", "to_s", "gap_s", "beyond_s")]
        rows = [
            {
                "scheduler": row["scheduler"],
                "stall": f"request {row['request']}, token {row['token']}",
                "cause": cause.removesuffix("_s"),
                "time_s": row[cause],
            }
            for row in frame.to_pylist()
            for cause in causes
            if row[cause] > 0
        ]
        alt = _altair()
        chart: altair.Chart = (
            alt.Chart(_values(rows))
            .mark_bar()
            .encode(
                x=alt.X("sum(time_s):Q", title="time (s)"),
                y=alt.Y("stall:N", sort="-x", title=None),
                color=alt.Color("cause:N"),
                row=alt.Row("scheduler:N", title=None),
            )
        )
        return chart


class SweepPlots:
    """Plots of the points of a sweep."""

    def __init__(self, result: SweepResult) -> None:
        self._result = result

    def lines(self, figure: str, x: str | None = None) -> altair.Chart:
        """A figure over a varied field (the first unless given), a line for each scheduler and each value of a
        second field."""
        rows = self._result.table().rows
        paths = [one["path"] for one in self._result._data["vary"]]
        over: str = x or paths[0]
        if over not in paths:
            raise UsageError(f"{over} was not varied: expected one of {', '.join(paths)}")
        if not any(figure in row for row in rows):
            raise UsageError(f"no point has the figure {figure}: see table().columns")
        others = [path for path in paths if path != over]
        # Vega reads dots in names as paths.
        drawn = [
            {
                "x": row[over],
                "y": row.get(figure),
                "run": ", ".join([row["label"], *(f"{path}={row[path]}" for path in others)]),
            }
            for row in rows
        ]
        alt = _altair()
        numbers = all(isinstance(row["x"], (int, float)) for row in drawn)
        chart: altair.Chart = (
            alt.Chart(_values(drawn))
            .mark_line(point=True)
            .encode(
                x=alt.X("x:Q" if numbers else "x:N", title=over),
                y=alt.Y("y:Q", title=figure),
                color=alt.Color("run:N", title=None),
            )
        )
        return chart
