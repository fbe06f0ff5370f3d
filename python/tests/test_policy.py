"""Policies in Python."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import metron_sim as ms

from .conftest import ROOT, SMALL


@ms.scheduler("py-shortest-first", token_budget=512, seats=128)
class ShortestFirst:
    """That of docs/writing-a-scheduler.md: the shortest prompt first, in chunks beside decodes."""

    token_budget: int
    seats: int
    engine: Any
    step_budget = "token_budget"
    seat_limit = "seats"

    def schedule(self, step: ms.Step) -> None:
        budget = self.token_budget
        for request in step.running():
            tokens = min(request.prefill_left if request.is_prefilling else 1, budget)
            if tokens > 0 and step.run(request, tokens):
                budget -= tokens
        waiting = sorted(step.waiting(), key=lambda request: request.prompt_tokens)
        for request in waiting:
            if budget == 0:
                return step.hold("no_token_budget")
            if step.seats_used >= self.seats:
                return step.hold("no_seat")
            chunk = min(request.prompt_tokens, budget)
            if not step.admit(request, chunk, request.prompt_tokens + request.max_tokens):
                return step.hold("no_kv_blocks")
            budget -= chunk
        return None

    def reserves(self, request: ms.Request) -> int:
        return -(-(request.prompt_tokens + request.max_tokens) // self.engine.kv_block_tokens)


@ms.scheduler("py-decodes-first", token_budget=512)
class DecodesFirst:
    """Decodes, then chunks in order of arrival; a steady step is promised to repeat."""

    token_budget: int

    def schedule(self, step: ms.Step) -> None:
        budget = self.token_budget
        if step.decoding_len and not step.decode_all():
            for request in step.running():
                if not request.is_prefilling and not step.run(request):
                    step.preempt(request)
            return
        budget -= step.decoding_len
        for request in step.prefilling():
            chunk = min(request.prefill_left, budget)
            if chunk > 0 and step.run(request, chunk):
                budget -= chunk
        while budget > 0 and (request := step.waiting_at(0)) is not None:
            chunk = min(request.prompt_tokens, budget)
            if not step.admit(request, chunk):
                step.hold("no_kv_blocks")
                return
            budget -= chunk
        if step.decoding_len and not step.prefilling() and not step.waiting_len:
            step.repeats()


class OnlySchedule:
    def schedule(self, step: ms.Step) -> None: ...


def with_policy(name: str, **parameters: Any) -> ms.Scenario:
    return ms.Scenario(SMALL).set("schedulers", [{name: parameters} if parameters else name])


def test_a_policy_is_a_scheduler_of_every_command() -> None:
    s = ms.Scenario(SMALL).set("schedulers", ["sarathi", {"py-shortest-first": {"token_budget": 256}}])
    run = s.run()
    assert run["py-shortest-first"].requests.completed == 60
    assert run.scenario.schedulers[1]["py-shortest-first"].token_budget == 256
    assert run == s.run(), "the same again"
    assert s.run(reference=True)["py-shortest-first"] == run["py-shortest-first"]
    assert ms.explain(s).runs[1].scheduler == "py-shortest-first"
    grid = {"schedulers.py-shortest-first.token_budget": [128, 512]}
    assert len({row["ttft_s.p99"] for row in ms.sweep(s, grid).table().rows[1::2]}) == 2
    assert ms.capacity(s, seeds=1, precision="20%").schedulers[1].requests_per_s is not None
    assert "py-shortest-first" in ms.schedulers()


def test_the_fast_path_and_the_slow_one_are_the_same() -> None:
    for change in ({}, {"engine.kv_blocks": 300}):
        s = with_policy("py-decodes-first", token_budget=300).with_(change)
        fast, slow = s.run(), s.run(reference=True)
        assert fast[0].requests.completed > 0
        assert fast.runs == slow.runs


def test_it_does_what_the_same_rules_do_in_rust() -> None:
    """Whole prompts by arrival, one at a time with nothing beside: what a queue of one server does."""

    @ms.scheduler("py-one-by-one")
    class OneByOne:
        def schedule(self, step: ms.Step) -> None:
            running = step.running()
            if running:
                step.run(running[0], max(1, running[0].prefill_left))
            elif (head := step.waiting_at(0)) is not None:
                step.admit(head, head.prompt_tokens)

    seats_of_one = {"orca": {"max_num_seqs": 1}}
    s = ms.Scenario(SMALL).set("schedulers", [seats_of_one, "py-one-by-one"]).set("workload.requests", 30)
    run = s.run()
    assert run[0].e2e_s == run[1].e2e_s and run[0].ttft_s == run[1].ttft_s


def broken(step_of: Any) -> ms.Scenario:
    kind = type("Broken", (), {"schedule": lambda self, step: step_of(step)})
    ms.scheduler("py-broken")(kind)
    return with_policy("py-broken")


def admit_twice(step: ms.Step) -> None:
    if (head := step.waiting_at(0)) is not None:
        step.admit(head, head.prompt_tokens)
        step.admit(head, head.prompt_tokens)


def run_waiting(step: ms.Step) -> None:
    if (head := step.waiting_at(0)) is not None:
        step.run(head)


def too_many(step: ms.Step) -> None:
    if (head := step.waiting_at(0)) is not None:
        step.admit(head, head.prompt_tokens + 1)


def wrong_reason(step: ms.Step) -> None:
    step.hold("lunch")


KEPT: list[Any] = []


def of_before(step: ms.Step) -> None:
    if KEPT:
        step.admit(KEPT[0], 1)
    KEPT.append(step.waiting_at(0))


def two_tokens(step: ms.Step) -> None:
    for request in step.running():
        step.run(request, 2 if not request.is_prefilling else request.prefill_left)
    if (head := step.waiting_at(0)) is not None:
        step.admit(head, head.prompt_tokens)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (admit_twice, r"step.admit of request 0: it was admitted"),
        (run_waiting, r"step.run of request 0: it waits"),
        (too_many, r"step.admit of request 0: expected 1 to \d+ tokens"),
        (wrong_reason, r"step.hold: expected one of no_seat, .*`lunch`"),
        (of_before, r"step.admit of request 0: it is of an earlier step"),
        (two_tokens, r"step.run of request 0: it decodes: expected 1 token, found 2"),
    ],
)
def test_a_wrong_verb_is_named(rule: Any, said: str) -> None:
    with pytest.raises(ms.PolicyError, match=said):
        broken(rule).run()


def test_what_a_policy_raises_comes_out() -> None:
    def fails(step: ms.Step) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        broken(fails).run()
    assert any(entry.name == "fails" for entry in caught.traceback)
    with pytest.raises(ZeroDivisionError):
        ms.capacity(broken(fails), seeds=1)
    # And the next command is none the worse.
    assert with_policy("py-decodes-first").run()[0].requests.completed == 60


def test_a_step_is_over_when_schedule_returns() -> None:
    kept: list[ms.Step] = []

    def keeps(step: ms.Step) -> None:
        kept.append(step)
        if len(kept) > 1:
            _ = kept[0].free_blocks

    with pytest.raises(ms.PolicyError, match="the step is over"):
        broken(keeps).run()


def test_a_policy_that_stands_still_is_stuck() -> None:
    with pytest.raises(ms.StuckError, match="stuck at .* runs nothing"):
        broken(lambda step: None).run()


def test_what_memory_was_lacking_is_told() -> None:
    def stuck(rule: Any) -> str:
        few = broken(rule).set("engine.kv_blocks", 400).set("engine.max_model_len", 1024)
        few = few.set("workload.arrivals", "all_at_once")
        few = few.set("workload.lengths", {"prompt": {"fixed": 256}, "output": {"fixed": 64}})
        with pytest.raises(ms.StuckError) as caught:
            few.run()
        return str(caught.value)

    def begins_all(step: ms.Step) -> None:
        for request in step.running():
            step.run(request, min(request.prefill_left or 1, 16))
        while (head := step.waiting_at(0)) is not None and step.admit(head, 16):
            pass

    def never_preempts(step: ms.Step) -> None:
        if step.decoding_len:
            step.decode_all()
            return
        while (head := step.waiting_at(0)) is not None and step.admit(head, 256):
            pass

    needs = "last held back for want of KV blocks: 0 of 400 free, and the request whose turn it is needs"
    held = "requests that do not run hold the rest; give it more memory"
    assert f"{needs} 1; {held}" in stuck(begins_all)
    assert f"{needs} 25; {held}" in stuck(never_preempts)
    assert re.search(r"stuck at [\d.]+ m?s on replica 0:", stuck(never_preempts))


def test_a_policy_cannot_run_commands() -> None:
    with pytest.raises(ms.PolicyError, match="cannot run a command"):
        broken(lambda step: ms.run(SMALL)).run()


def test_parameters_are_checked_with_their_place() -> None:
    with pytest.raises(ms.ScenarioError) as caught:
        with_policy("py-shortest-first", token_budgt=1)
    assert "token_budget" in str(caught.value) and caught.value.problems[0].line is not None
    with pytest.raises(ms.ScenarioError, match="token_budget"):
        with_policy("py-shortest-first", token_budget="many")
    for name, parameters, said in (
        ("sarathi", {}, "already"),
        ("No Name", {}, "lower-case"),
        ("py-x", {"a": [1]}, "list"),
    ):
        with pytest.raises(ms.UsageError, match=said):
            ms.scheduler(name, **parameters)(OnlySchedule)  # type: ignore[arg-type]
    with pytest.raises(ms.UsageError, match="schedule"):
        ms.scheduler("py-y")(int)


def test_a_name_can_be_given_again() -> None:
    broken(lambda step: None)

    def works(step: ms.Step) -> None:
        DecodesFirst.schedule(type("Params", (), {"token_budget": 512})(), step)

    assert broken(works).run()[0].requests.completed == 60


def test_results_of_policies_are_not_kept(tmp_path: Any) -> None:
    with pytest.raises(ms.UsageError, match="cannot be kept"):
        ms.capacity(with_policy("py-decodes-first"), cache=tmp_path)


def test_a_steady_step_is_cheap() -> None:
    """At most 10 us a step (`benches/policy.py`). The machine may be busy, so the bound here is on calls: a
    steady stretch is decided once."""
    calls = 0
    schedule = DecodesFirst.schedule

    def counted(step: ms.Step) -> None:
        nonlocal calls
        calls += 1
        schedule(type("Params", (), {"token_budget": 512})(), step)

    run = broken(counted).run()
    assert calls < run[0].iterations.count / 2


def test_a_policy_sees_deadlines() -> None:
    """Promises are the scenario's, those of decodes are summed up, and predictions are what comes true."""
    seen: list[str] = []

    @ms.scheduler("py-looks")
    class Looks:
        deadlines = True
        predicts = True
        expected: float | None = None

        def schedule(self, step: ms.Step) -> None:
            if (last := step.last) is not None and self.expected is not None:
                assert last.predicted_s == pytest.approx(self.expected, abs=2e-9)
                assert last.actual_s == pytest.approx(self.expected, rel=0.01)
                self.expected = None
                seen.append("predicted")
            for request in step.waiting():
                standing = step.standing(request)
                assert (standing.ttft_s, standing.tbt_s, standing.fluid_index) == (0.5, 0.025, 0.9)
                assert standing.next_deadline_s == pytest.approx(request.arrival_s + 0.5, abs=1e-8)
                assert standing.first_token_s is None and standing.missed == 0
            decoding = [one for one in step.running() if not one.is_prefilling]
            due = [step.standing(one).next_deadline_s for one in decoding]
            assert step.least_deadline_s() == (min(due) if due else None)
            if due:
                later = step.least_deadline_s(step.now_s + 1)
                assert later is not None and later > step.now_s + 0.999
                standing = step.standing(decoding[0])
                assert standing.on_time + standing.late == decoding[0].generated
                assert standing.last_token_s is not None and "missed=" in repr(standing)
                step.decode_all()
            assert step.starts_at_s == step.now_s
            if (median := step.median_answer()) is not None:
                assert step.median_answer(decoding[0] if decoding else None) == median
                seen.append("median")
            head = step.waiting_at(0)
            if head is None or step.running_len > 20:
                if head is not None:
                    step.hold_request(head, "relegated")
                return
            self.expected = step.predict_s([(head, head.prompt_tokens)])
            assert self.expected > step.predict_s()
            assert step.admit(head, head.prompt_tokens)

    fast, slow = with_policy("py-looks").run(), with_policy("py-looks").run(reference=True)
    assert fast.runs == slow.runs and {"predicted", "median"} <= set(seen)
    told = ms.explain(with_policy("py-looks").set("workload.arrivals.poisson.rate", 40), top=3)
    assert "behind those whose deadlines could still be kept" in str(told)


def test_deadlines_are_asked_for() -> None:
    def first(step: ms.Step) -> None:
        step.standing(step.waiting()[0])

    with pytest.raises(ms.PolicyError, match=r"step.standing: .* write `deadlines = True`"):
        broken(first).run()
    kind = type("Predicts", (), {"schedule": lambda self, step: step.predict_s(), "deadlines": True})
    ms.scheduler("py-predicts")(kind)
    with pytest.raises(ms.PolicyError, match=r"step.predict_s: .* write `predicts = True`"):
        with_policy("py-predicts").run()
    for traits in ({"predicts": True}, {"deadlines": ["soon"]}):
        with pytest.raises(ms.UsageError, match="True"):
            ms.scheduler("py-y")(type("Odd", (OnlySchedule,), traits))


def test_many_threads_play_policies() -> None:
    """A thread's state in Python lasts as long as a run, on each of the threads that share the work."""
    s = ms.Scenario(SMALL).set(
        "schedulers", ["py-decodes-first", {"py-decodes-first": {"token_budget": 300}}]
    )
    once = s.run(jobs=1)
    for _ in range(20):
        assert s.run(jobs=4) == once


#: Policies of the guide, as they stand there.
SHOWN = [
    block.split("```")[0]
    for block in (ROOT / "docs" / "python.md").read_text().split("```python\n")[1:]
    if "@ms.scheduler" in block.split("```")[0]
]


@pytest.mark.parametrize("text", SHOWN)
def test_policies_of_the_guide(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text if "import metron_sim" in text else f"import metron_sim as ms\n{text}")
    name = text.split('@ms.scheduler("')[1].split('"')[0]
    few = ["--set", "workload.requests=100", "--set", f'schedulers=["sarathi", "{name}"]']
    for command in ("run", "explain"):
        ended = subprocess.run(
            [sys.executable, path, command, "chat", *few], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert "ms.program()" not in text or name in ended.stdout
