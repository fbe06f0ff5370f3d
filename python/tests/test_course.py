"""The answers of docs/course.md hold."""

from __future__ import annotations

import pytest

import metron_sim as ms


def test_prefill_and_decode() -> None:
    base = ms.Scenario("chat").with_(
        {
            "schedulers": ["vllm-v0"],
            "workload.requests": 20,
            "workload.arrivals": {"constant": {"rate": 0.05}},
        }
    )
    runs = [
        base.set("workload.lengths", {"prompt": {"fixed": prompt}, "output": {"fixed": 50}}).run()[0]
        for prompt in (1000, 2000, 4000)
    ]
    ttft = [run.ttft_s.p50 for run in runs]
    tbt = [run.tbt_s.p50 for run in runs]
    assert 1.6 < ttft[1] / ttft[0] < 2.4 and 1.6 < ttft[2] / ttft[1] < 2.6
    assert tbt[2] / tbt[0] < 1.1 and 0.004 < tbt[0] < 0.012


def test_what_a_user_feels() -> None:
    run = ms.run("chat")
    v0, sarathi = run["vllm-v0"], run["sarathi"]
    assert v0.tbt_s.p50 == pytest.approx(sarathi.tbt_s.p50, rel=0.25)
    assert v0.tbt_s.max > 2 * sarathi.tbt_s.max
    assert v0.fluidity.fluid_request_share < sarathi.fluidity.fluid_request_share


def test_batches_and_memory() -> None:
    scenario = ms.Scenario("chat")
    assert "27,536 blocks of 16 tokens" in scenario.resolved.derived.kv_blocks.arithmetic
    assert 32 * 2 * 8 * 128 * 2 * 16 == 2 << 20
    few = scenario.set("engine.kv_blocks", 600).run()
    assert few["sarathi"].kv.preemptions > 0
    assert few["sarathi"].stalls.first_token_ns["no_kv_blocks"] > 0


def test_chunked_prefill() -> None:
    sizes = [128, 256, 512, 1024, 2048]
    rows = ms.sweep("chat", {"schedulers.sarathi.chunk_size": sizes}).table().rows
    of = [row for row in rows if row["scheduler"] == "sarathi"]
    tbt = [row["tbt_s.p99"] for row in of]
    assert tbt == sorted(tbt) and tbt[-1] > 1.5 * tbt[0]
    assert of[-1]["ttft_s.p99"] < of[0]["ttft_s.p99"]


def test_capacity() -> None:
    found = ms.capacity("chat", for_rate=20, seeds=2, precision="5%")
    v0, sarathi = found.schedulers
    assert v0.label.startswith("vllm-v0")
    assert sarathi.requests_per_s is not None
    if v0.requests_per_s is not None:
        assert sarathi.requests_per_s.mean > v0.requests_per_s.mean
    assert sarathi.for_rate is not None and sarathi.for_rate.replicas is not None
    assert sarathi.for_rate.replicas >= 20 / sarathi.requests_per_s.mean - 1


def test_a_scheduler_of_ones_own() -> None:
    def policy(ages: float) -> type[object]:
        class Shortest:
            def schedule(self, step: ms.Step) -> None:
                budget = 512
                for request in step.running():
                    tokens = min(request.prefill_left or 1, budget)
                    if tokens and step.run(request, tokens):
                        budget -= tokens
                order = sorted(
                    step.waiting(),
                    key=lambda one: one.prompt_tokens - ages * (step.now_s - one.arrival_s),
                )
                for request in order:
                    chunk = min(request.prompt_tokens, budget)
                    if not chunk:
                        return step.hold("no_token_budget")
                    if not step.admit(request, chunk, request.prompt_tokens + request.max_tokens):
                        return step.hold("no_kv_blocks")
                    budget -= chunk
                return None

        return Shortest

    ms.scheduler("py-young")(policy(0))
    ms.scheduler("py-ageing")(policy(500))
    scenario = ms.Scenario("chat").with_({"workload.arrivals.poisson.rate": 14, "workload.requests": 600})
    run = scenario.set("schedulers", ["py-young", "py-ageing"]).run()
    assert run[0].ttft_s.mean < run[1].ttft_s.mean
    assert run[0].ttft_s.max > run[1].ttft_s.max
