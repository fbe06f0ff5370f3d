"""What a step of a policy in Python costs: `python benches/policy.py` in `python/`, with a release build."""

from __future__ import annotations

import time
import warnings

import metron_sim as ms

#: Output tokens of each request: nearly all steps are decodes.
STEPS = 20_000


class Bulk:
    """Names nobody: five reads and a verb."""

    def schedule(self, step: ms.Step) -> None:
        if step.waiting_len and (head := step.waiting_at(0)) is not None:
            step.admit(head, head.prompt_tokens)
        if step.decoding_len:
            step.decode_all()


class Deadlines(Bulk):
    """The same, and looks at the tightest deadline."""

    deadlines = True

    def schedule(self, step: ms.Step) -> None:
        step.least_deadline_s()
        super().schedule(step)


class Named:
    """Names every request."""

    def schedule(self, step: ms.Step) -> None:
        for request in step.running():
            step.run(request, request.prefill_left or 1)
        if step.waiting_len and (head := step.waiting_at(0)) is not None:
            step.admit(head, head.prompt_tokens)


class Promises(Bulk):
    """Promises to decide the same again."""

    def schedule(self, step: ms.Step) -> None:
        super().schedule(step)
        if step.decoding_len and not step.waiting_len and not step.prefilling():
            step.repeats()


def measured(name: str, batch: int) -> float:
    """Seconds of CPU time a step, the simulation's own work included."""
    scenario = ms.Scenario(
        {
            "model": "llama-3.1-8b",
            "gpu": "h100-sxm",
            "engine": {"kv_blocks": 130_000},
            "schedulers": [name],
            "workload": {
                "requests": batch,
                "arrivals": {"poisson": {"rate": 1000}},
                "lengths": {"prompt": {"fixed": 10}, "output": {"fixed": STEPS}},
                "max_tokens": {"fixed": STEPS},
            },
            "slo": {"ttft": "10s", "tbt": "1s"},
        }
    )
    least = float("inf")
    for _ in range(3):
        began = time.process_time()
        run = scenario.run(jobs=1)
        least = min(least, (time.process_time() - began) / run[0].iterations.count)
    return least


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for kind in (Bulk, Deadlines, Named, Promises):
        name = kind.__name__.lower()
        ms.scheduler(name)(kind)
        told = ", ".join(f"{measured(name, batch) * 1e6:.2f} us at {batch}" for batch in (1, 32, 100))
        print(f"{name}: {told}")
