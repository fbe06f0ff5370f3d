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


def test_a_user_with_strict_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    path = tmp_path / "user.py"
    path.write_text(
        "import metron_sim as ms\n"
        "s: ms.Scenario = ms.Scenario('chat').set('seed', 3)\n"
        "share: float | None = s.run(seed=3).run('sarathi').fluidity.fluid_request_share  # type: ignore[union-attr]\n"
        "worst: int = ms.explain(s).worst(1)[0].beyond_ns\n"
        "rows: int = len(s.run().tokens())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
