"""metron-sim: simulates how GPUs serve large language models, and explains why a user's text stalled.

import metron_sim as ms

r = ms.Scenario("chat").run()
print(r)
r["sarathi"].fluidity.fluid_request_share
r.tokens().to_polars()
print(r.explain())
"""

from ._commands import (
    Calibration,
    Capacities,
    Comparison,
    MetronWarning,
    Plan,
    bench,
    calibrate,
    capacity,
    compare,
    evaluate,
    explain,
    plan,
    run,
    validate,
)
from ._errors import (
    InputError,
    MetronError,
    PolicyError,
    Problem,
    RunError,
    ScenarioError,
    StuckError,
    UsageError,
    WriteError,
)
from ._native import version as __version__
from ._policies import Past, Policy, Request, Standing, Step, scheduler, schedulers
from ._program import program
from ._ray import Ray, tune
from ._records import Record
from ._results import RunResult, StallReport
from ._runs import Explanation, Page, Result, Stall
from ._scenario import Scenario, ScenarioLike, scenarios
from ._sweep import Points, SweepResult, merge, sweep
from ._tables import Table

__all__ = [
    "Calibration",
    "Capacities",
    "Comparison",
    "Explanation",
    "InputError",
    "MetronError",
    "MetronWarning",
    "Page",
    "Past",
    "Plan",
    "Points",
    "Policy",
    "PolicyError",
    "Problem",
    "Ray",
    "Record",
    "Request",
    "Result",
    "RunError",
    "RunResult",
    "Scenario",
    "ScenarioError",
    "ScenarioLike",
    "Stall",
    "StallReport",
    "Standing",
    "Step",
    "StuckError",
    "SweepResult",
    "Table",
    "UsageError",
    "WriteError",
    "__version__",
    "bench",
    "calibrate",
    "capacity",
    "compare",
    "evaluate",
    "explain",
    "merge",
    "plan",
    "program",
    "run",
    "scenarios",
    "scheduler",
    "schedulers",
    "sweep",
    "tune",
    "validate",
]
