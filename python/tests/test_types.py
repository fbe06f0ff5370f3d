"""Types: the stubs are true, and strict checkers find nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import metron_sim as ms
from metron_sim import _native

HERE = Path(__file__).parent.parent


def test_results_are_as_the_schemas_say() -> None:
    sys.path.insert(0, str(HERE))
    try:
        import generate_results
    finally:
        sys.path.remove(str(HERE))
    written = generate_results.written()
    assert written == (HERE / "metron_sim" / "_results.py").read_text(), "run generate_results.py"


def test_the_stub_names_what_is_there() -> None:
    import ast

    tree = ast.parse((HERE / "metron_sim" / "_native.pyi").read_text())
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            kind = getattr(_native, node.name)
            named = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
            there = {name for name in vars(kind) if not name.startswith("__")}
            assert there <= named and all(hasattr(kind, name) for name in named), node.name
    named = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    there = {name for name in vars(_native) if not name.startswith("__")}
    assert there - named == {"version"} and named <= there


def test_everything_public_is_documented() -> None:
    import inspect

    for name in ms.__all__:
        one = getattr(ms, name)
        if inspect.isclass(one) or inspect.isfunction(one):
            assert inspect.getdoc(one), name
    assert ms.__version__


def test_members_are_declared() -> None:
    """What a run says has a type each."""
    run = ms.run("chat").runs[0]
    undeclared = set(run) - set(run._members())
    assert not undeclared


@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]])
def test_strict_checkers_find_nothing(checker: list[str]) -> None:
    program = shutil.which(checker[0]) or shutil.which(checker[0], path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip(f"SKIPPED: {checker[0]} is not installed")
    ended = subprocess.run([program, *checker[1:]], cwd=HERE, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


USER = """
from __future__ import annotations

import metron_sim as ms


@ms.scheduler("typed", token_budget=512)
class Typed:
    token_budget: int
    step_budget = "token_budget"

    def schedule(self, step: ms.Step) -> None:
        budget = self.token_budget
        for request in step.running():
            tokens = min(request.prefill_left or 1, budget)
            if tokens and step.run(request, tokens):
                budget -= tokens
        for request in sorted(step.waiting(), key=lambda one: one.prompt_tokens):
            chunk = min(request.prompt_tokens, budget)
            if not chunk:
                return step.hold("no_token_budget")
            if not step.admit(request, chunk, request.prompt_tokens + request.max_tokens):
                return step.hold("no_kv_blocks")
            budget -= chunk

    def reserves(self, request: ms.Request) -> int:
        return -(-request.prompt_tokens // 16)


s: ms.Scenario = ms.Scenario("chat").set("seed", 3)
r = s.run(seed=3)
figures = r["sarathi"].fluidity
share: float | None = figures and figures.fluid_request_share
worst: int = ms.explain(s).worst(1)[0].beyond_ns
rows: int = len(r.tokens())
print(r.text, r.exit, r.messages, r.tokens().columns, share, worst, rows)
print(r.requests().to_pandas(), r.iterations().to_polars(), r.stalls(top=3).to_pyarrow())
r.report().save("run.html")
r.plot.cdf("tbt").save("tbt.png")
swept = ms.sweep(s, {"replicas": [1, 2]})
for point in swept.points:
    print(point.values, point.runs[0])
print(swept.table().to_polars(), swept.plot.lines("ttft_s.p99"))
print(ms.capacity(s, seeds=1, precision="10%").runs[0], ms.compare("chat", "chat"), s.resolved.slo)
try:
    ms.Scenario({"model": 3})
except ms.ScenarioError as error:
    for problem in error.problems:
        print(problem.path, problem.message, problem.line)
"""


@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]])
def test_a_user_with_strict_types(checker: list[str], tmp_path: Path) -> None:
    program = shutil.which(checker[0]) or shutil.which(checker[0], path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip(f"SKIPPED: {checker[0]} is not installed")
    (tmp_path / "user.py").write_text(USER)
    # All that strict has.
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    file = [] if checker[0] == "pyright" else ["user.py"]
    ended = subprocess.run(
        [program, *checker[1:], *file], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
