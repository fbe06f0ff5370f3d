"""Scenarios as values, and what is said of wrong ones."""

import copy
import math
import pickle
from pathlib import Path

import pytest

import metron_sim as ms

from .conftest import SMALL


def test_a_name_a_path_a_dictionary_and_a_text_say_the_same(tmp_path: Path) -> None:
    by_name = ms.Scenario("chat")
    path = tmp_path / "chat.yaml"
    path.write_text(by_name.text)
    by_path, by_text = ms.Scenario(path), ms.Scenario(by_name.text)
    assert by_name.resolved == by_path.resolved
    assert by_name.resolved == by_text.with_(name="chat").resolved
    assert (by_name.name, by_path.name, by_text.name) == ("chat", str(path), "<text>")
    assert ms.Scenario(SMALL).resolved.model == "llama-3.1-8b"
    assert "chat" in ms.scenarios()


def test_scenarios_do_not_change() -> None:
    first = ms.Scenario("chat")
    second = first.set("workload.requests", 50).with_({"seed": 7}, description="mine")
    assert first == ms.Scenario("chat") and first != second
    assert first.resolved.workload.requests != 50
    resolved = second.resolved
    assert (resolved.workload.requests, resolved.seed, resolved.description) == (50, 7, "mine")
    with pytest.raises(AttributeError):
        first.extra = 1  # type: ignore[attr-defined]
    assert len({first, ms.Scenario("chat"), second}) == 2


def test_scenarios_can_be_pickled_and_copied(small: ms.Scenario) -> None:
    for one in (ms.Scenario("chat").set("seed", 3), small):
        again = pickle.loads(pickle.dumps(one))
        assert again == one and copy.deepcopy(one) == one
        assert again.resolved == one.resolved


def test_files_are_found_beside_the_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "mine" / "requests.csv"
    trace.parent.mkdir()
    trace.write_text("arrival_s,prompt_tokens,output_tokens\n0,100,5\n1,200,5\n")
    given = {**SMALL, "workload": {"trace": {"file": "requests.csv"}}}
    monkeypatch.chdir(tmp_path)
    scenario = ms.Scenario(given, folder=tmp_path / "mine")
    assert scenario.files == {"requests.csv": str(trace)}
    monkeypatch.chdir("/")
    assert scenario.run()["sarathi"].requests.completed == 2


def test_numbers_of_numpy_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    scenario = ms.Scenario(SMALL).set("workload.requests", numpy.int64(30))
    scenario = scenario.set("workload.arrivals.poisson.rate", numpy.float32(2.5))
    assert scenario.resolved.workload.requests == 30
    assert scenario.resolved.workload.arrivals.poisson.rate == 2.5


@pytest.mark.parametrize(
    ("change", "path", "message", "help"),
    [
        ({"modle": "x"}, "modle", "unknown", "model"),
        ({"gpu": "h100-sxn"}, "gpu", "h100-sxn", "h100-sxm"),
        ({"slo": {"tbt": 0.025}}, "slo.tbt", "", "ms"),
    ],
)
def test_a_problem_says_where_it_is(change: dict[str, object], path: str, message: str, help: str) -> None:
    with pytest.raises(ms.ScenarioError) as caught:
        ms.Scenario({**SMALL, **change})
    problem = next(one for one in caught.value.problems if one.path == path)
    assert message in problem.message and help in f"{problem.message} {problem.help}"
    assert (problem.file, problem.line is not None, problem.column is not None) == ("<dict>", True, True)
    assert isinstance(caught.value, ValueError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problems == caught.value.problems


def test_problems_have_the_lines_of_their_text(tmp_path: Path) -> None:
    text = "model: llama-3.1-8b\ngpu: h100-sxm\nschedulers: [orca]\nworkload:\n  requests: many\n"
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ms.ScenarioError) as caught:
        ms.Scenario(path)
    problem = next(one for one in caught.value.problems if one.path == "workload.requests")
    assert (problem.file, problem.line, problem.column) == (str(path), 5, 13)
    assert "requests: many" in str(caught.value)


def test_what_is_set_is_checked_at_once(small: ms.Scenario) -> None:
    with pytest.raises(ms.ScenarioError) as caught:
        small.set("schedulers.sarathi.chunk_sise", 1024)
    assert "chunk_size" in str(caught.value)
    assert caught.value.problems[0].file == "set"
    with pytest.raises(ms.ScenarioError, match="no element"):
        small.set("schedulers.sarathy.chunk_size", 1024)
    with pytest.raises(ms.ScenarioError, match="nan"):
        small.set("workload.arrivals.poisson.rate", math.nan)
    with pytest.raises(ms.ScenarioError, match="slo.tbt"):
        small.set("slo.tbt", object())


def test_a_name_that_is_not_there_has_a_near_one() -> None:
    with pytest.raises(ms.ScenarioError, match="did you mean `chat`"):
        ms.Scenario("chatt")
    with pytest.raises(TypeError, match="not int"):
        ms.Scenario(3)  # type: ignore[arg-type]
