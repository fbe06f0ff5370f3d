# Written by generate_results.py from `metron-sim schema`. Do not edit.
"""What commands answer: objects whose attributes are the names of the program's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._records import Record


class Alone(Record):
    """What requests get that have the system to themselves."""

    requests: int
    """Requests that were played one at a time."""

    rejected: int | None
    """Of these, how many were rejected."""

    fluid_request_share: float | None
    """Share of them that are fluid."""

    ttft_in_time_share: float | None
    """Share of their first tokens that came by their deadline."""

    ttft_p99_s: float | None
    """P99 of their time to first token."""

    broken: list[str]
    """What of the promise they break."""

    decides: bool
    """Whether that decides: no load keeps the promise, and no search was made."""


class ArrivalRate(Record):
    """Arrivals per second."""

    nominal: float | None
    """The rate that the workload asks for; null for a trace, a closed loop or all at once."""

    realised: float | None
    """`(n - 1) / (last arrival - first arrival)`; null for fewer than two distinct instants."""

    users: int | None
    """Users of a closed loop, who send when they have been answered: then the server sets the
    rate."""


class AtCapacity(Record):
    """Figures of the run at the highest load that held."""

    fluid_request_share: float | None
    """Share of fluid requests."""

    fluid_request_bounds: Bounds | None
    """Bounds of that share where it is not known."""

    ttft_in_time_share: float | None
    """Share of first tokens that came by their deadline, `slo.ttft`."""

    ttft_in_time_bounds: Bounds | None
    """Bounds of that share where it is not known."""

    ttft_p99_s: float | None
    """P99 of the time to first token."""

    tbt_p99_s: float | None
    """P99 of the time between tokens."""

    requests_per_s: float | None
    """Requests answered a second."""

    output_tokens_per_request: float | None
    """Output tokens of a request, on average."""

    requests_per_session: float | None
    """Requests of a session, on average; null where they belong to none."""

    session_s: float | None
    """From a session's first request to its last token, on average; null likewise."""


class Border(Record):
    """The border between what holds and what does not, as one search or several bracket it."""

    mean: float
    """The figure: the mean, over the searches, of the highest value that held. Of users, whole
    ones."""

    half_width: float | None
    """How far `lower` and `upper` are from it at most; null for a single search, and where nothing
    is known above."""

    count: int
    """Searches."""

    is_: str
    """What the figure is."""

    lower: float
    """Lower end of the interval: for one search the highest value that held, for several the lower
    end of the 95 % confidence interval of their mean; not below 0."""

    upper: float | None
    """Its upper end: for one search the lowest value that did not hold, for several the upper end
    of the 95 % confidence interval of the mean of those. Null where a search knows of no value
    above that does not hold: runs end before it is known."""


class Bounds(Record):
    """Least and most that a figure can be."""

    lower: float
    """No less than this."""

    upper: float
    """No more than this."""


class Capacity(Record):
    """What one scheduler can carry."""

    scheduler: str
    """Registered name."""

    label: str
    """Name and parameters."""

    replicas: int
    """Replicas that were simulated."""

    gpus: int
    """Their GPUs."""

    requests_per_s: Border | None
    """Highest rate that holds on all of them, as a scenario states it; as the arrivals came about
    where nothing but growth of the backlog limits it. Null when none does, or none fails, or users
    were searched."""

    requests_per_s_per_gpu: Border | None
    """The same for one GPU."""

    sessions_per_s: Border | None
    """Most sessions that begin a second and hold; null when none does, or none fails, or requests
    or users were searched."""

    sessions_per_s_per_gpu: Border | None
    """The same for one GPU."""

    users: Border | None
    """Most users of a closed loop that hold; null when not even one does, or no number fails, or
    the rate was searched."""

    users_per_gpu: Border | None
    """The same for one GPU."""

    limited_by: list[str]
    """What gives way just above: figures of the promise, or `the queue keeps growing`."""

    seeds: list[SeedCapacity]
    """Seed by seed."""

    at_capacity: AtCapacity | None
    """What users get at the highest load that held, for the first seed."""

    judged_by: list[JudgedBy] | None
    """The deadlines that the run at capacity was judged by."""

    alone: Alone | None
    """What requests get that have the system to themselves."""

    price: SizingPrice | None
    """Money at the highest load; null where no price is known."""

    for_rate: ForLoad | None
    """Replicas for the rate asked for."""

    for_users: ForLoad | None
    """Replicas for the users asked for."""

    launch: str | None
    """How to start an engine like this, where its command line is known and all replicas are
    alike."""

    not_in_launch: list[str] | None
    """What was simulated and that command does not say, each with what to do about it."""

    warnings: list[str]
    """What the runs warn of."""

    notes: list[str]
    """What a reader should know."""


class CapacityFile(Record):
    """The published result of a capacity search."""

    schema_version: int
    """Version of this layout."""

    kind: str
    """`capacity`."""

    tool: Tool
    """What made it."""

    build: str | None
    """A digest of the sources that the program was built from."""

    scenario: Any
    """The scenario as resolved."""

    searched: str
    """What was searched over: the users of a closed loop, the rate of any other workload, in
    sessions a second where it has sessions."""

    promise: str
    """What had to hold, in words."""

    precision: float
    """Relative distance between the loads of each bracket."""

    seeds: list[int]
    """Seeds of the runs."""

    scenario_requests_per_s: float | None
    """The scenario's own rate as it is stated; null where users are searched."""

    scenario_users: int | None
    """The scenario's own users; null where the rate is searched."""

    complete: bool
    """Whether every search came to its end. Where time ran out (`--max-time`), intervals are as
    wide as what was known by then."""

    schedulers: list[Capacity]
    """One for each scheduler."""

    comparison: str | None
    """Which scheduler carries most, or that it is a tie; null where there is nothing to compare."""

    ratios: list[RatioCapacity] | None
    """With prefill and decode apart, where it was asked for: what each division of a number of GPUs
    can carry, and what they can colocated."""

    warnings: list[str]
    """What a reader should know of the scenario, its workload and the runs."""

    notes: list[str]
    """What a reader should know of the search."""

    inert: list[Inert] | None
    """Settings of the scenario that change nothing in any of its runs."""


class Choice(Record):
    """A run of a point."""

    point: int
    """The point's index."""

    run: int
    """The run's place in it."""

    values: list[float]
    """Its two numbers."""


class ClassResult(Record):
    """What the requests of one class got."""

    requests: RequestCounts
    """How many requests, by how they ended."""

    duration_s: float | None
    """Makespan in seconds, from the first arrival to the last token. 0 when there is no token."""

    arrival_rate_per_s: ArrivalRate | None
    """Arrivals per second, wanted and drawn."""

    tokens: TokenCounts
    """Tokens served."""

    throughput: Throughput | None
    """Work done per second of the makespan."""

    ttft_s: Distribution
    """Time to first token of all that got one: queueing and prefill included."""

    ttft_in_time_share: float | None
    """First tokens that came by their deadline `D_p`, over the requests that should have got one;
    null where none was due, or where observation ended too soon to tell."""

    ttft_in_time_bounds: Bounds | None
    """Bounds of that share where it is not known."""

    tbt_s: Distribution | None
    """Time between tokens, pooled over all that were delivered: one sample a token after a
    first."""

    tpot_s: Distribution
    """Time per output token: the mean gap of one completed request of at least two tokens."""

    e2e_s: Distribution
    """Arrival to last token of completed requests."""

    normalized_latency_s_per_token: Distribution
    """End-to-end latency over output tokens, of completed requests."""

    scheduling_delay_s: Distribution | None
    """Arrival to the first batch that held any of the request's tokens, of all that were in one."""

    fluidity: Fluidity | None
    """How steadily tokens came."""

    goodput: Goodput | None
    """Requests that kept every bound; only there when bounds for single requests were given."""

    latency_bounds: LatencyBounds | None
    """What the latencies above can become once all requests are answered; absent where all
    ended."""

    slo: SloResult
    """Whether the promise to the class was kept: its own, or the scenario's."""


class ColocatedResult(Record):
    """The same requests on the same GPUs where each replica prefills and decodes."""

    router: str
    """How its requests were spread over replicas."""

    ttft_s: Distribution
    """Time to first token."""

    tbt_s: Distribution | None
    """Time between tokens."""

    tpot_s: Distribution
    """Time per output token."""

    e2e_s: Distribution
    """From arrival to last token."""

    output_tokens_per_s: float | None
    """Output tokens a second; null without tokens."""

    slo_met: bool | None
    """Whether it kept the promise; null where that is not known."""

    decided_by: str
    """What took a request the most time with prefill and decode apart."""

    taken_s: TakenTime
    """Mean seconds a request that each of them took."""


class Compared(Record):
    """A statistic of a metric, real and simulated."""

    metric: str
    """`ttft_s`, `ttft_from_queued_s`, `tpot_s`, `e2e_s`, `e2e_from_queued_s`, `output_tokens_per_s`
    or `makespan_s`."""

    stat: str
    """`mean`, `p50`, `p90`, `p95` or `p99`; `mean` for the two that are one figure."""

    observed: float | None
    """In the real run."""

    simulated: float | None
    """In the simulation."""

    error: float | None
    """`simulated / observed - 1`; null where the observed figure is 0."""


class ComparisonCompared(Record):
    """One figure on both sides."""

    metric: str
    """Its path in a run."""

    a: float | None
    """In the first run; null when it is not known there."""

    b: float | None
    """In the second run."""

    ratio: float | None
    """b / a; null when either is not known or a is 0."""

    comparable: bool
    """Whether the two mean the same."""

    why: str | None
    """Why not."""


class ComparisonFile(Record):
    """Two runs compared."""

    schema_version: int
    """Version of this layout."""

    tool: Tool
    """What made it."""

    a: Named
    """The first run."""

    b: Named
    """The second run."""

    verdict: str
    """What it comes to, in a sentence or two."""

    flags: list[str]
    """Why some figures cannot be compared as they stand."""

    metrics: list[ComparisonCompared]
    """Every figure that either has."""


class Cost(Record):
    """Price of all GPUs from the first arrival to the last token, whole run."""

    usd_per_gpu_hour: float
    """Price of one GPU for an hour, as the scenario or the catalog gives it; the mean over GPUs."""

    gpu_hours: float
    """GPU time paid for."""

    usd: float
    """Price of the run."""

    usd_per_million_output_tokens: float | None
    """Price of a million output tokens; null without tokens."""

    usd_per_fluid_request: float | None
    """Of the whole run, for each of its fluid requests: all requests times the share of fluid ones
    among those that are measured."""


class CulpritReport(Record):
    """A request's part in a stall."""

    request: int
    """Who."""

    cause: str
    """By what."""

    ns: int
    """How long."""

    prefill_tokens: int
    """Its prefill tokens that ran within the stall; 0 where it held seats or memory."""

    prompt_tokens: int
    """Length of its prompt."""


class CulpritTotal(Record):
    """Delay that a request caused others, summed over them."""

    request: int
    """Who."""

    prompt_tokens: int
    """Length of its prompt."""

    total_ns: int
    """All delay."""

    prefill_ns: int
    """By its prefill, its communication included, in its own lane of a pipeline or in others."""

    seat_ns: int
    """By holding a seat."""

    kv_ns: int
    """By holding KV blocks: waits for them, also of preempted requests, and what these computed
    anew."""

    by_cause_ns: Mapping[str, int]
    """By every cause; they sum to `total_ns`."""

    delayed_at_once: int
    """The most requests of one lane that one of its chunks delayed at once."""

    victims: VictimsReport
    """Whom it delayed."""


class Cures(Record):
    """Changes that were simulated on the same requests."""

    label: str
    """The scheduler."""

    request: int
    """Whose stall it is."""

    token: int
    """The late token."""

    main_cause: str | None
    """Its main cause; null where no token came at all, and only requests that were turned away are
    to be cured."""

    causes: list[str]
    """The causes that the changes are meant for: the main one first. None where the stall is in
    time, and only requests that were turned away break the promise."""

    keeps_promise: bool | None
    """Whether the run kept its promise as it was: then nothing has to change, and the changes are
    options. Null where that is not known."""

    tried: list[WhatIf]
    """The run as it was, then each change, the best first: by the promise, then by cost, then by
    the stall. None `helps` where nothing that was tried does."""

    best: int | None
    """What helps most, as its place in `tried`; null where nothing helps, or nothing has to
    change."""

    notes: list[str]
    """Changes that could not be tried, or changed nothing, with the reason."""


class DisaggregationResult(Record):
    """What went from replicas that prefill to replicas that decode."""

    handed_over: int
    """Requests whose prompt one replica computed and another answered, or was to answer."""

    prefilled_where_answered: int | None
    """Requests whose prompt the replica that answers them computed itself (`decider`)."""

    ttft: TtftStages
    """The time to the first token of those that have one and count, stage by stage."""

    bytes: int
    """KV that went over, bytes."""

    tokens: int
    """Prompt tokens whose KV went over."""

    busiest_link: float
    """Time in which it was busy over elapsed time, of the busiest link: 0 to 1."""

    lost: int
    """Requests whose KV was gone before it was fetched (`kv_lease`)."""

    prefill: SideResult
    """The replicas that prefill."""

    decode: SideResult
    """The replicas that decode."""

    colocated: ColocatedResult | None
    """The same requests on the same GPUs, each replica doing both; null where that was not
    played."""


class Distribution(Record):
    """A distribution of latencies in seconds. All but `count` are null when `count` is 0. Quantiles
    interpolate linearly between order statistics (Hyndman-Fan type 7) and are exact."""

    count: int
    """Samples."""

    mean: float | None
    """Arithmetic mean."""

    min: float | None
    """Smallest."""

    p50: float | None
    """Median."""

    p90: float | None
    """90th percentile."""

    p95: float | None
    """95th percentile."""

    p99: float | None
    """99th percentile."""

    p999: float | None
    """99.9th percentile."""

    max: float | None
    """Largest."""


class Energy(Record):
    """Energy of all GPUs from the first arrival to the last token, whole run."""

    gpu_utilization: float
    """GPU time of iterations over elapsed time: 0 to 1; the mean over GPUs."""

    mean_power_w: float
    """Mean power of all GPUs together."""

    busy_power_w: float | None
    """Power of a GPU while it is busy: between what waiting for memory draws and its limit; the
    mean over GPUs."""

    busy_joules: float | None
    """Energy of all GPUs while they were busy."""

    idle_joules: float | None
    """Energy of all GPUs while they had nothing to do."""

    joules: float
    """Energy of all GPUs together."""

    joules_per_output_token: float | None
    """Per output token; null without tokens."""


class ExplanationFile(Record):
    """Why the tokens of a scenario were late, scheduler by scheduler."""

    schema_version: int
    """Version of this layout."""

    tool: Tool
    """What made it."""

    scenario: Any
    """The scenario with every default filled in."""

    runs: list[RunExplanation]
    """One explanation a scheduler."""

    cures: list[Cures]
    """What would have helped, for each scheduler with a stall."""

    warnings: list[str]
    """What a reader should know."""

    inert: list[Inert] | None
    """Settings of the scenario that change nothing in any of its runs."""

    observed: Joined | None
    """With `--observed`: the stalls of a real run, beside a simulation of its requests."""


class Fairness(Record):
    """How evenly classes were served."""

    jain_index: float | None
    """Jain's index over the classes' fluid request shares, `(sum x)^2 / (n * sum x^2)`: 1 when all
    are served alike, 1/n when one gets everything; null when no class has a fluid request."""


class Figures(Record):
    """What is compared."""

    promise: PromiseKept
    """What became of the promise, over the whole run."""

    stall_s: float | None
    """The gap that was the stall; null where the token never came. Where observation ended before
    it could come about: the longest gap of that kind."""

    stall_at_least_s: float | None
    """Where the token had not come when observation ended: the wait up to then."""

    worst_s: float | None
    """The longest gap of that kind (to the first token, or between tokens) of any request."""

    worst_stall: WorstStall | None
    """The worst stall of any kind: what goes furthest beyond its deadline; null where every token
    came within it."""

    worst_first_token_s: float | None
    """The longest wait for a first token, up to the end of observation where none came."""

    worst_gap_s: float | None
    """The longest time between two tokens."""

    tbt_p99_s: float | None
    """P99 of the time between tokens; null where observation ended too soon to know it."""

    tbt_p99_at_least_s: float | None
    """Then it is no less than this."""

    ttft_p99_s: float | None
    """P99 of the time to first token; null where observation ended too soon to know it."""

    ttft_p99_at_least_s: float | None
    """Then it is no less than this."""

    fluid_request_share: float | None
    """Fluid requests over all that were offered."""

    fluidity_index: float | None
    """The mean fluidity-index."""

    output_tokens_per_s: float | None
    """Output tokens per second."""

    completed: int
    """Requests answered to the end."""

    rejected: int
    """Requests turned away."""

    preemptions: int
    """Preemptions."""

    gpus: int
    """GPUs of all replicas."""

    usd_per_hour: float | None
    """Dollars an hour of all GPUs; null where the price of one is not known."""


class Fluidity(Record):
    """How steadily tokens came: the fluidity-index (Etalon, arXiv 2407.07000) and what follows from
    it."""

    index: FluidityIndex
    """The fluidity-index over requests."""

    fluid_request_share: float | None
    """Requests whose index reaches the threshold, over all that were offered and that the client
    did not cancel."""

    service_miss_rate: float | None
    """Missed deadlines over all deadlines, of all requests together; null without deadlines."""

    fluid_tokens_per_s: float | None
    """Full figure: 1 / P99 over requests of the smallest TBT deadline that a request keeps."""

    tpot_tokens_per_s: float | None
    """1 / mean TPOT."""

    tbt_tokens_per_s: float | None
    """1 / P99 TBT."""

    p99_miss_rate_by_tbt_ms: list[list[int | float]] | None
    """Full figure: P99 over requests of the miss rate for TBT deadlines of 1 to 100 ms."""

    bounds: FluidityBounds | None
    """Bounds of the figures above that are null because they are not known: observation ended
    before some answers did, or a file does not tell when each token came."""


class FluidityBounds(Record):
    """Bounds of fluidity figures; a figure that is known stands there as well, with both bounds
    equal."""

    fluid_request_share: Bounds | None
    """Of `fluid_request_share`."""

    index_mean: Bounds | None
    """Of the mean fluidity-index."""

    service_miss_rate: Bounds | None
    """Of `service_miss_rate`."""

    index_p1: Bounds | None
    """Of the 1st percentile of the fluidity-index."""

    index_p5: Bounds | None
    """Of its 5th percentile."""

    index_p50: Bounds | None
    """Of its median."""

    tpot_tokens_per_s: Bounds | None
    """Of `tpot_tokens_per_s`."""

    tbt_tokens_per_s: Bounds | None
    """Of `tbt_tokens_per_s`."""


class FluidityIndex(Record):
    """The fluidity-index over requests: the low quantiles are the worst-served users."""

    mean: float | None
    """Arithmetic mean."""

    p1: float | None
    """1st percentile."""

    p5: float | None
    """5th percentile."""

    p50: float | None
    """Median."""


class ForLoad(Record):
    """The fewest replicas for a load."""

    requests_per_s: float | None
    """The rate; null where users were asked for."""

    users: int | None
    """The users; null where a rate was asked for."""

    replicas: int | None
    """The fewest replicas that hold it with every seed, a multiple of the data-parallel ranks of a
    deployment; null when none do."""

    pools: Mapping[str, int] | None
    """Of these, those of each pool; null where all replicas are alike."""

    gpus: int | None
    """Their GPUs."""

    share_of_capacity: float | None
    """The load over the highest one that as many replicas carry, to 2 %; null where that is not
    known."""

    price: SizingPrice | None
    """Money for it."""

    estimate: int | None
    """Replicas that the capacity of the scenario's own fleet suggests: where that is more than are
    simulated (`--max-replicas`), all that is known."""

    fewer_not_known: bool | None
    """Whether it is not known of one step fewer, since runs end too soon: then `replicas` are those
    that are shown to hold."""

    complete: bool
    """Whether the search came to its end before time ran out."""

    why: str | None
    """Why there is no number; null where there is one."""

    tried: list[list[int]]
    """Replicas tried, and the number of seeds that held."""


class GapBounds(Record):
    """Lower and upper bounds of fluidity figures, over all ways in which tokens can have come
    between the first and the last one, or been split over chunks. `fluidity.bounds` of a run says
    the same as every result does; these members stay for one version beside it."""

    index_at_least: FluidityIndex
    """The fluidity-index over requests, at least."""

    index_at_most: FluidityIndex
    """The fluidity-index over requests, at most."""

    fluid_request_share_at_least: float | None
    """The share of fluid requests, at least."""

    fluid_request_share_at_most: float | None
    """The share of fluid requests, at most."""

    fluid_request_share_estimate: float | None
    """The share of fluid requests if every chunk after the first carried as many tokens as the
    others: an estimate, no bound. Null where there are no chunks."""

    service_miss_rate_at_least: float | None
    """Missed deadlines over all deadlines, at least."""

    service_miss_rate_at_most: float | None
    """Missed deadlines over all deadlines, at most."""


class Goodput(Record):
    """Requests that kept every bound given for a single request. Figures are null where requests
    that were not answered yet decide; then there are bounds."""

    requests: int | None
    """How many."""

    share: float | None
    """Over all that were offered and that the client did not cancel."""

    requests_per_s: float | None
    """Per second of the makespan."""

    bounds: GoodputBounds | None
    """Bounds of these."""


class GoodputBounds(Record):
    """Bounds of goodput."""

    requests: Bounds | None
    """Of how many."""

    share: Bounds | None
    """Of the share."""

    requests_per_s: Bounds | None
    """Of the rate."""


class HitsBySource(Record):
    """Found prompt tokens by where they had been said."""

    own_session: int
    """In an earlier turn of the same session."""

    shared_prefix: int
    """In the prefix that sessions share."""

    other: int
    """In other requests that are known to have the same tokens."""

    tiers: int | None
    """Wherever they had been said, brought from a tier behind the replica's KV blocks."""


class Inert(Record):
    """A setting that was given and has no effect here."""

    path: str
    """Where it stands in the scenario, as `--set` takes it."""

    value: Any
    """What was given."""

    why: str
    """Why it changes nothing."""


class IterationResult(Record):
    """Batches that ran, over all replicas."""

    count: int
    """All of them."""

    prefill_only: int
    """With prefill chunks and no decodes."""

    mixed: int
    """With both."""

    decode_only: int
    """With decodes alone."""

    mean_batch: float | None
    """Sequences in a batch on average; null without batches."""


class Joined(Record):
    """Stalls of a real run, with what the simulation had there."""

    file: str
    """The file."""

    label: str
    """The scheduler that the same requests were simulated with."""

    threshold_s: float
    """A gap longer than this is a stall."""

    stalls: int
    """How many stalls the file has."""

    worst: list[JoinedStall]
    """The worst stall of each instant, those with most lost time first."""

    note: str
    """How far this can be trusted."""


class JoinedStall(Record):
    """One real stall."""

    real: MeasuredGap
    """The gap, by its place in the file."""

    requests_hit: int
    """Requests that stalled at that instant."""

    looks_like: str
    """What token times alone suggest."""

    verdict: str
    """What may be said of its cause."""

    simulated: StallReport | None
    """The longest gap of the same request in the simulation, at the same token or next to it; null
    where the request got no token there."""


class JudgedBy(Record):
    """The deadlines of all requests, or of those of a class."""

    class_: str | None
    """The class; absent where all requests have the same."""

    prompt_tokens: list[int] | None
    """Shortest and longest prompt of these requests, tokens; null without any."""

    ttft_s: list[float] | None
    """When the first tokens of those two are due, seconds; null where first tokens are not
    judged."""

    tbt_s: float
    """The deadline of each later token, seconds."""

    fluid_index: float
    """The fluidity-index from which on a request is fluid."""


class KvResult(Record):
    """KV memory."""

    blocks: int
    """Usable blocks of one replica."""

    peak_used: int
    """The most blocks in use at once on any replica."""

    preemptions: int
    """Preemptions over all replicas."""

    prefix_hit_tokens: int
    """Prompt tokens served from the prefix cache, over all replicas."""


class KvTiersResult(Record):
    """KV that came from tiers behind the blocks, in place of being computed."""

    loads: int
    """Loads, those that were still going on when observation ended too."""

    tokens: int
    """Tokens that they brought."""

    prompt_tokens: int | None
    """Tokens of all prompts that were sent, counted or not."""

    from_below_tokens: int
    """Those of `tokens`, in whole chunks, that lay below the host's memory."""

    load_s: Distribution
    """From a load's beginning, below the host where it began there, to the last of its KV."""

    computing_s: float
    """Seconds that the same tokens would have taken to compute, each request's alone and in chunks
    of 2048; sums over loads that ended."""

    loading_s: float
    """Seconds that these loads took."""

    steps_longer_s: float | None
    """Seconds that steps lasted longer because they waited for loads, summed over replicas
    (`kv_load.overlap`)."""

    break_even_bytes_per_s: float | None
    """Bytes a second, of a replica, at which the mean load takes as long as to compute the same;
    null without loads."""

    tiers: list[TierResult]
    """The tiers, the host's memory first."""


class Labelled(Record):
    """A row of a comparison."""

    label: str
    """The run's label."""

    metric: str
    """`ttft_s`, `ttft_from_queued_s`, `tpot_s`, `e2e_s`, `e2e_from_queued_s`, `output_tokens_per_s`
    or `makespan_s`."""

    stat: str
    """`mean`, `p50`, `p90`, `p95` or `p99`; `mean` for the two that are one figure."""

    observed: float | None
    """In the real run."""

    simulated: float | None
    """In the simulation."""

    error: float | None
    """`simulated / observed - 1`; null where the observed figure is 0."""


class LatencyBounds(Record):
    """Latencies over all requests that were still to be answered when observation ended as well:
    those have waited for as long as they have, and may wait for any length of time."""

    ttft_s: LatencyRange
    """Of `ttft_s`."""

    tbt_s: LatencyRange | None
    """Of `tbt_s`; null where token times or the lengths of answers are not known."""

    tpot_s: LatencyRange
    """Of `tpot_s`."""

    e2e_s: LatencyRange
    """Of `e2e_s`."""

    normalized_latency_s_per_token: LatencyRange
    """Of `normalized_latency_s_per_token`."""

    scheduling_delay_s: LatencyRange | None
    """Of `scheduling_delay_s`; absent where the source of the trace cannot know it."""


class LatencyRange(Record):
    """Bounds of each figure of a distribution."""

    lower: Distribution
    """No less than this."""

    upper: Distribution
    """No more than this; null where there is no upper bound."""


class Levels(Record):
    """A number that changes over time."""

    mean: float | None
    """Mean over the time from the first arrival to the last token."""

    peak: int
    """The most at once."""


class MeasuredDeadlines(Record):
    """What measured requests were judged by."""

    ttft: str | None
    """Where the first token's deadline came from, in words; null when first tokens were left
    out."""

    ttft_s: float | None
    """The first token's deadline where it is the same for all requests."""

    tbt: str | None
    """Where the deadline of later tokens came from: `given`, `stated in the file` or `default`."""

    tbt_s: float
    """The deadline of each later token."""

    fluidity: str | None
    """Where the two below came from, likewise."""

    fluid_index: float
    """The fluidity-index from which on a request is fluid."""

    fluid_share: float | None
    """The share of requests that must be fluid."""

    stated_ttft: Any
    """The first token's deadline as the scenario put it, where a file of this program states it."""


class MeasuredGap(Record):
    """A gap between two tokens."""

    request: int
    """Place of the request in the file, from 0 on."""

    token: int
    """Number of the late token, or of the late chunk of text, from 0 on."""

    from_s: float
    """The token before."""

    to_s: float
    """The late token."""

    at_once: int | None
    """Tokens that came together with the late one, as if they had waited for it."""


class MeasuredResult(Record):
    """Where measured figures came from, and what they are worth."""

    file: str
    """The file."""

    format: str
    """What it was read as."""

    granularity: str
    """How finely it tells when text came: `token`, `chunk`, `first-last` or `total`."""

    deadlines: MeasuredDeadlines
    """What its requests were judged by."""

    failed: int
    """Requests that failed on the server's side."""

    cached_tokens: int | None
    """Prompt tokens that the server said were cached; null where the file does not tell."""

    client_queue_s: Distribution | None
    """Time that requests waited inside the client before they were sent: in no other latency here.
    Null where the file does not tell."""

    first_answer_s: Distribution | None
    """Time to the first token of the answer, beside `ttft_s`, which is that of the first token of
    all: what a model thinks before it answers. Absent where the file does not tell the two
    apart."""

    exact: list[str]
    """Figures that are exact."""

    bounds: list[str]
    """Figures that are bounds, and on which side."""

    fluidity_bounds: GapBounds | None
    """Bounds of the fluidity figures where token times are not known."""

    reported: Mapping[str, float]
    """Figures that the client itself worked out, by its own names."""

    notes: list[str]
    """What a reader should know of how the file was read."""

    extra_chunks: bool | None
    """Whether some chunks hold no token, so that gaps between chunks tell nothing sure of
    tokens."""

    contradictions: list[str] | None
    """What the file says that cannot all be true: there is no verdict then."""

    stalls: MeasuredStalls | None
    """Stalls as token times show them; only with `--explain`."""

    plots: Plots | None
    """Data of the usual plots; only up to a million token times unless asked for."""


class MeasuredStalls(Record):
    """What stalls a measured run shows."""

    median_gap_s: float | None
    """Median gap between tokens; null without gaps."""

    threshold_s: float
    """A gap longer than this is a stall."""

    stalls: int
    """How many there are."""

    requests_hit: int
    """Requests with at least one."""

    requests: int
    """Requests whose tokens are known."""

    beyond_threshold_s: float
    """Time lost beyond the threshold, summed over stalls."""

    groups: list[StallGroup]
    """Stalls that share an instant, those with most lost time first."""

    more_groups: int
    """How many more groups there are."""

    same_token: int | None
    """The number of the late token, where three stalls in four have the same: then the stall
    belongs to the requests, or to how they are sent, more than to an instant of the server."""

    note: str
    """How far this can be trusted."""


class MissReport(Record):
    """Missed deadlines charged to causes; the charges sum to the misses."""

    missed: int
    """Deadlines missed."""

    by_cause: Mapping[str, int]
    """By cause."""


class MissedTokens(Record):
    """Prompt tokens that could have been found."""

    evicted: int
    """They had given way to others, on the replica that had them."""

    other_replica: int
    """Another replica had the turn before: that one may still have had them."""


class MoreCulprits(Record):
    """Culprits of a stall beyond those who are named."""

    count: int
    """How many parts they had in it."""

    ns: int
    """How long, together."""


class Named(Record):
    """Which run a side is."""

    file: str
    """Its file."""

    label: str
    """Its label."""

    measured: bool
    """Whether it was measured."""


class Objective(Record):
    """A number to make large or small."""

    path: str
    """Its path in a run of the result."""

    maximise: bool
    """Whether more is better."""


class Parallelism(Record):
    """How a model is spread over GPUs. One replica is one data-parallel rank, of `tensor x
    pipeline` GPUs; of a mixture of experts, `data` of them share the experts."""

    tensor: int | None
    """Tensor-parallel ranks: vLLM's `--tensor-parallel-size`."""

    pipeline: int | None
    """Pipeline stages: vLLM's `--pipeline-parallel-size`."""

    data: int | None
    """Data-parallel ranks, each with a batch and KV of its own: vLLM's `--data-parallel-size`."""

    expert: bool | None
    """Whole experts are dealt out to the `tensor x data` ranks, in place of a slice of each expert:
    vLLM's `--enable-expert-parallel`."""


class Pareto(Record):
    """The front of two numbers."""

    objectives: list[Objective]
    """The two numbers."""

    front: list[Choice]
    """The choices that no other beats in both, by point and run."""

    ties: list[Choice] | None
    """Choices that nothing beats and that are tied among themselves: the intervals of their numbers
    overlap, so that none is shown to be better."""


class PlanAnswer(Record):
    """One way to hold the load."""

    gpu: str
    """The GPU."""

    parallelism: Parallelism
    """How the model is spread over GPUs."""

    dtype: str
    """The number format of the weights: `bf16`, `fp8`, or `auto` (what the model's config says)."""

    scheduler: str
    """The scheduler with the parameters that are not its defaults."""

    replicas: int
    """The fewest replicas that hold the load with every seed."""

    gpus: int
    """Their GPUs."""

    usd_per_hour: float | None
    """What they cost an hour; null where the GPU has no price."""

    usd_per_million_output_tokens: float | None
    """At the load that was asked for."""

    usd_per_session: float | None
    """What a session costs at the load that was asked for; null where requests belong to none."""

    usd_per_gpu_hour: float | None
    """What one GPU costs an hour."""

    price_source: str | None
    """Where that price comes from."""

    interval: list[float | float | None]
    """The load that these replicas carry together, in requests a second, sessions a second or
    users: the lower and the upper end of what is known of it. The upper is null where no load was
    found that fails."""

    sessions_per_s: list[float | float | None] | None
    """The same in sessions a second; null where requests belong to none."""

    head_room: float
    """The highest load seen to hold over the load that was asked for, less 1."""

    ttft_p99_s: float | None
    """P99 of the time to the first token at the load, with the first seed."""

    fluid_request_share: float | None
    """The share of requests that are fluid, likewise."""

    caution: str | None
    """What the GPU's figures rest on, where they were derived rather than fitted."""

    launch: str | None
    """How to start an engine like this."""

    not_in_launch: list[str] | None
    """What was simulated and that command does not say, each with what to do about it."""

    set: list[str]
    """What it sets in the scenario that was asked about."""

    apart: PlanApart | None
    """The same kind of replicas with prefill and decode apart, where that was asked for."""


class PlanApart(Record):
    """An answer's GPUs divided into replicas that prefill and replicas that decode."""

    link: str
    """What the KV goes over."""

    divisions: list[RatioCapacity]
    """What each division of as many GPUs carries, and they colocated."""

    fewest: RatioCapacity | None
    """The division of the fewest GPUs that holds the load; null where none of so many does."""

    usd_per_hour: float | None
    """What that costs an hour."""

    set: list[str]
    """What it sets in the scenario that was asked about."""

    why_not: str | None
    """Why they cannot be apart, where they cannot."""


class PlanFile(Record):
    """The published result of a plan."""

    schema_version: int
    """Version of this layout."""

    kind: str
    """`plan`."""

    tool: Tool
    """What made it."""

    question: str
    """What was asked: the model, the load and the promise, in words."""

    promise: str
    """What had to hold, in words."""

    requests_per_s: float | None
    """The load in requests a second; null where sessions or users were asked for."""

    sessions_per_s: float | None
    """The load in sessions that begin a second; null where requests or users were asked for."""

    users: int | None
    """The load in users of a closed loop; null where a rate was asked for."""

    session: PlanSession | None
    """What a session is, where requests are turns of sessions."""

    answers: list[PlanAnswer]
    """Each GPU's cheapest way to hold the load, the cheapest of all first."""

    infeasible: list[PlanInfeasible]
    """What cannot hold the promise at any load, and why."""

    seeds: list[int]
    """Seeds with which each answer holds."""

    cells: int
    """Cells there are, and how many of them were simulated on a fleet: the others cannot be
    cheaper."""

    cells_simulated: int
    """See `cells`."""

    complete: bool
    """Whether every search came to its end before time ran out (`--max-time`)."""

    notes: list[str]
    """What a reader should know."""

    scenario: str | None
    """The best answer as a scenario (YAML), ready to run; null without one."""


class PlanInfeasible(Record):
    """A kind of replica that cannot hold the promise, whatever the load."""

    gpu: str
    """The GPU."""

    parallelism: Parallelism
    """How the model is spread over GPUs."""

    dtype: str
    """The number format of the weights."""

    reason: str
    """Why."""

    nearest_change: str | None
    """The cheapest change that was seen to mend it; null where none of those tried did."""


class PlanSession(Record):
    """A session where every answer comes as promised, on the average."""

    turns: float
    """Its turns: each is a request."""

    output_tokens: float
    """Tokens of all its answers."""

    stay_s: float
    """From its first turn to its last token, the gaps between turns included."""


class Plots(Record):
    """Data of the usual plots. The miss rate against the TBT target and the three token rates are
    among the fluidity figures."""

    ttft_cdf_s: list[list[float]]
    """`[seconds, share of requests that got a first token with at most that TTFT]`."""

    tpot_cdf_s: list[list[float]] | None
    """`[seconds, share of completed requests with at most that TPOT]`."""

    tbt_cdf_s: list[list[float]]
    """`[seconds, share of gaps that are at most that long]`."""

    fluidity_cdf: list[list[float]]
    """`[index, share of requests that ended with at most that fluidity-index]`."""

    progress: list[RequestProgress]
    """Tokens against time of the least fluid request, one in the middle and the most fluid one."""


class Point(Record):
    """One combination."""

    index: int
    """Its place in the grid."""

    values: list[str]
    """Values of the varied fields, in their order."""

    runs: list[Any]
    """A result for each scheduler: a run, or a capacity."""

    warnings: list[str] | None
    """What a reader should know of its scenario and workload."""


class PoolResult(Record):
    """What the replicas of one pool did."""

    gpu: str | None
    """The GPU; null where a fixed iteration time stands for it."""

    first_replica: int
    """Number of its first replica; the others follow."""

    replicas: int
    """Its replicas."""

    gpus: int
    """Their GPUs."""

    requests: int
    """Requests that the router sent to them, whole run."""

    completed: int
    """Of these, answered to the end."""

    rejected: int
    """Of these, turned away."""

    output_tokens: int
    """Output tokens that they made, whole run."""

    gpu_utilization: float
    """GPU time of their iterations over elapsed time: 0 to 1."""

    kv: KvResult
    """KV memory of a replica of it."""

    usd_per_gpu_hour: float | None
    """Price of one GPU for an hour; null where it is not known."""

    served: PoolServed | None
    """What its requests got of those that count, by the promise to their class or to all; absent
    where one pool prefills for another."""

    slo: SloResult | None
    """Whether the promise to its requests was kept; absent where it has none of its own."""


class PoolServed(Record):
    """What the requests of a pool got."""

    requests: int
    """Requests that count."""

    fluid_request_share: float | None
    """The share of them that is fluid; null where that is not known to the last one."""

    tbt_p50_s: float | None
    """Time between tokens, the median."""

    tbt_p99_s: float | None
    """The same at P99."""


class PromiseKept(Record):
    """What became of a promise."""

    kept: bool | None
    """Whether every term of it was kept; null where that is not known."""

    shortfall: float
    """How far it was from being kept: the term that was missed by most, as the part that was
    missing of a share, or the part of a latency that was too much. 0 when kept, at most 1; where it
    is not known, the most that it may be."""

    shortfall_at_least: float | None
    """Then it is no less than this."""

    term: str
    """That term, and what came of it, in words; where it was kept, the term of the fluid share."""

    short: str | None
    """What came of it, as short as a column wants it, such as `97.0 %`, `<= 43.5 %` or `P99
    TTFT`."""


class RatioCapacity(Record):
    """What one division of the GPUs can carry."""

    label: str
    """The scheduler's label."""

    prefill_replicas: int
    """Replicas that prefill; 0 where all do both."""

    decode_replicas: int
    """Replicas that decode, or that do both."""

    colocated: str | None
    """The pool whose replicas all are, where all do both."""

    gpus: int
    """GPUs of all replicas."""

    load: float | None
    """The highest load that holds, in requests a second or users; null when none does."""

    half_width: float | None
    """Half the width of its 95 % interval over seeds."""

    limited_by: list[str]
    """What gives way just above."""


class RequestCounts(Record):
    """How many requests, by how they ended."""

    offered: int
    """All that were sent: the sum of `completed`, `unfinished`, `rejected`, `failed`, `timed_out`
    and `cancelled`."""

    completed: int
    """Answered to the end."""

    unfinished: int
    """Cut off by the end of observation."""

    rejected: int
    """Turned away, or dropped by a policy."""

    failed: int | None
    """Failed for another reason of the server's."""

    timed_out: int | None
    """Given up because the answer took too long."""

    cancelled: int | None
    """Cancelled by the client; left out of every share."""

    censored: int | None
    """Of the unfinished, those that a continuation could have made fluid."""


class RequestProgress(Record):
    """When one request's tokens came."""

    request: int
    """Its place in the file, from 0 on."""

    fluidity_index: float
    """Its fluidity-index."""

    token_times_s: list[float]
    """Seconds after sending at which its tokens came; the first 2,000 of them."""

    late_tokens: list[int]
    """Tokens that came late, by index from 0 on."""


class RequestReport(Record):
    """One request from arrival to its last token."""

    request: int
    """Which."""

    prompt_tokens: int
    """Length of its prompt."""

    output_tokens: int
    """Tokens that it got."""

    arrival_ns: int
    """When it was sent."""

    first_token_ns: Mapping[str, int]
    """Where its time to first token went."""

    between_tokens_ns: Mapping[str, int]
    """Where the time between its tokens went."""

    fluidity_index: float | None
    """Its fluidity-index; null where it was rejected, or still to be answered."""

    misses: MissReport
    """Its missed deadlines."""

    caused: CulpritTotal
    """Delay that it caused others."""

    gaps: list[StallReport]
    """The gap before the token that was asked for, or its longest gaps."""


class ResultFile(Record):
    """The result of a scenario, one run for each of its schedulers."""

    schema_version: int
    """Version of this layout."""

    tool: Tool
    """What made the result."""

    scenario: Any
    """The scenario as resolved: defaults filled in, with the seed."""

    runs: list[RunResult]
    """One for each scheduler, in the scenario's order; all faced the same requests."""

    validation: list[Labelled] | None
    """Of `validate`: the comparisons of all runs, each row with its run's label."""

    per_request_e2e_mape: float | None
    """Of `validate`, for a scenario with one scheduler: see the run's member of that name."""

    warnings: list[str] | None
    """What a reader should know of the scenario and its workload."""

    inert: list[Inert] | None
    """Settings of the scenario that change nothing in any of its runs."""


class RouteCounts(Record):
    """What decided where requests went, in requests."""

    affinity: int
    """What the replica was sent before, or holds."""

    balance: int
    """What is outstanding at replicas."""

    fallback: int
    """The same, since nobody had enough of the prompt, or of the session."""

    blind: int
    """Its turn, or chance."""


class Routed(Record):
    """Where a request was sent."""

    replica: int
    """The replica."""

    reason: str
    """What decided, in words."""

    held_tokens: int | None
    """Tokens of its prompt that the replica held in its prefix cache then; absent where that is of
    no account."""

    most_held_tokens: int | None
    """The most that any replica held."""

    held_by: int | None
    """One that held so much."""


class RoutedToCaches(Record):
    """Prompt tokens that prefix caches held at the moment of routing."""

    prompt_tokens: int
    """Tokens of all prompts."""

    held_tokens: int
    """Of these, those that the chosen replica held."""

    most_held_tokens: int
    """Those that the replica held that held most: what a router that thinks of nothing else
    finds."""

    regret_tokens: int
    """Those that another replica held and the chosen one did not: the regret."""

    regret_share: float | None
    """The regret over all prompt tokens; null without any."""

    regretted: int
    """Requests with any."""

    hit_share: float | None
    """Prompt tokens found when requests were admitted, over all prompt tokens; null without any."""


class RoutingResult(Record):
    """How the router spread requests; the whole run."""

    decisions: RouteCounts
    """What decided, in requests."""

    requests_max_over_mean: float | None
    """Requests that the replica with the most was sent, over the mean of all replicas; null without
    requests."""

    outstanding_max_over_mean: float | None
    """The same of requests outstanding (sent there, and not at their end), averaged over the
    instants at which requests arrive, each with that request; null without requests."""

    cached: RoutedToCaches | None
    """What prefix caches held when requests were routed; null where no replica keeps what it
    computed, or no request begins like another."""


class RunExplanation(Record):
    """Why one scheduler's tokens were late."""

    scheduler: str
    """Its registered name."""

    label: str
    """Name and parameters."""

    first_token_ns: Mapping[str, int]
    """Where all requests' time to first token went."""

    between_tokens_ns: Mapping[str, int]
    """Where all time between tokens went."""

    fluidity_index: float | None
    """The fluidity-index in the mean over the requests that count; null where none does, or some
    were still to be answered when observation ended."""

    misses: MissReport
    """Missed deadlines of the requests that count."""

    rejected: int | None
    """Requests that were turned away."""

    stalls: list[StallReport]
    """The worst stalls, worst first."""

    culprits: list[CulpritTotal]
    """Requests that delayed others most, most first."""

    more_culprits: int
    """How many more delayed others."""

    request: RequestReport | None
    """The request that was asked for."""


class RunResult(Record):
    """A run, and beside it the comparison."""

    scheduler: str
    """Registered name of the scheduler, such as `sarathi`."""

    label: str
    """Name and given parameters, such as `sarathi(chunk_size=512)`; unique within the result."""

    requests: RequestCounts
    """How many requests, by how they ended."""

    duration_s: float | None
    """Makespan in seconds, from the first arrival to the last token. 0 when there is no token."""

    arrival_rate_per_s: ArrivalRate | None
    """Arrivals per second, wanted and drawn."""

    tokens: TokenCounts
    """Tokens served."""

    throughput: Throughput | None
    """Work done per second of the makespan."""

    ttft_s: Distribution
    """Time to first token of all that got one: queueing and prefill included."""

    ttft_in_time_share: float | None
    """First tokens that came by their deadline `D_p`, over the requests that should have got one;
    null where none was due, or where observation ended too soon to tell."""

    ttft_in_time_bounds: Bounds | None
    """Bounds of that share where it is not known."""

    tbt_s: Distribution | None
    """Time between tokens, pooled over all that were delivered: one sample a token after a
    first."""

    tpot_s: Distribution
    """Time per output token: the mean gap of one completed request of at least two tokens."""

    e2e_s: Distribution
    """Arrival to last token of completed requests."""

    normalized_latency_s_per_token: Distribution
    """End-to-end latency over output tokens, of completed requests."""

    scheduling_delay_s: Distribution | None
    """Arrival to the first batch that held any of the request's tokens, of all that were in one."""

    fluidity: Fluidity | None
    """How steadily tokens came."""

    goodput: Goodput | None
    """Requests that kept every bound; only there when bounds for single requests were given."""

    latency_bounds: LatencyBounds | None
    """What the latencies above can become once all requests are answered; absent where all
    ended."""

    slo: SloResult
    """Whether the promise was kept."""

    judged_by: list[JudgedBy] | None
    """The deadlines that its requests were judged by, for each class that has its own."""

    stalls: StallsResult | None
    """Where the time of all requests went. Up to 1 M output tokens, or with `--stalls`; null
    otherwise, and for a measured system."""

    iterations: IterationResult | None
    """Batches that ran; null for a measured system."""

    kv: KvResult | None
    """KV memory; null for a measured system. Where pools have different amounts, `blocks` and
    `peak_used` are those of the pool with the fullest replica."""

    routing: RoutingResult | None
    """How requests were spread over replicas; absent where there is one."""

    pools: Mapping[str, PoolResult] | None
    """What each pool of replicas did, by its name; absent where all replicas are alike."""

    sessions: SessionsResult | None
    """What sessions of several turns got; absent where requests belong to none."""

    disaggregation: DisaggregationResult | None
    """What went from replicas that prefill to those that decode; absent where each does both."""

    kv_tiers: KvTiersResult | None
    """What came from tiers behind the KV blocks; absent where there are none."""

    classes: Mapping[str, ClassResult] | None
    """The same figures for each class of requests; null when there is one class."""

    fairness: Fairness | None
    """How evenly the classes were served; null when there is one class."""

    energy: Energy | None
    """Energy of the GPUs; null where their power is not known."""

    cost: Cost | None
    """Price of the GPUs' time; null where no price is known."""

    features: Mapping[str, str] | None
    """How the scheduler stands to the features that can make a difference to these requests; runs
    are not ranked across one that is on and that some of them lack. Empty for a measured system."""

    warnings: list[str] | None
    """What a reader should know of this run."""

    inert: list[Inert] | None
    """Settings of the scenario that change nothing in this run."""

    unknown: list[str] | None
    """Figures that a measured file cannot give, with the reason."""

    measured: MeasuredResult | None
    """Where measured figures came from and what they are worth; absent for a simulation."""

    front_end_s: float | None
    """What lay between a request's arrival and the engine, seconds: requests are replayed so much
    after their arrival, and not at `queued_s`, which vLLM stamps after the step that runs. Null
    where one of the two stamps is not known."""

    validation: list[Compared] | None
    """All requests that got their tokens in both."""

    per_request_e2e_mape: float | None
    """Mean absolute error of each request's end-to-end time, from when the engine got it, relative
    to the real one."""

    unqueued: Unqueued | None
    """Requests that were scheduled within 100 ms of queueing; null where that is not known."""


class SeedCapacity(Record):
    """What one seed's search found."""

    seed: int
    """The seed."""

    holds_requests_per_s: float | None
    """Highest rate that held, of sessions where these were searched; null when none did, or users
    were searched."""

    fails_requests_per_s: float | None
    """Lowest rate above it that was shown not to; null when none was, or users were searched."""

    open_requests_per_s: float | None
    """Lowest rate between the two of which it is not known, since observation ended too soon; null
    when there is none, or users were searched."""

    holds_realised_requests_per_s: float | None
    """Arrivals a second as they came about in the run at the highest rate that held."""

    fails_realised_requests_per_s: float | None
    """The same at the lowest above that was shown not to."""

    holds_users: int | None
    """Most users that held; null when none did, or the rate was searched."""

    fails_users: int | None
    """Fewest users above that were shown not to; null when none were, or the rate was searched."""

    open_users: int | None
    """Fewest users between the two of which it is not known; null when there are none, or the rate
    was searched."""

    complete: bool
    """Whether the search came to its end before time ran out."""

    broken: list[str]
    """What was not kept at the lowest load above that was shown not to hold."""

    open: list[str]
    """What was not known at the lowest load above that was not shown to hold: observation ended
    before it was decided."""

    growing: bool
    """Whether the backlog was growing at the lowest load above that was shown not to hold."""

    tried: list[list[float | bool | None]]
    """Every rate, or number of users, tried, and whether it held; null where that is not known."""

    tried_fluid_request_share: list[float | None] | None
    """Share of fluid requests at each of those."""


class SessionsResult(Record):
    """What sessions got, whole run: requests that `measure` leaves out are turns of sessions all
    the same."""

    begun: int
    """Sessions that began."""

    completed: int
    """Of these, answered to the end of their last turn."""

    failed: int
    """Of these, ended by a turn that was turned away or dropped."""

    turns: int
    """Turns that were sent, of all sessions."""

    begun_per_s: float | None
    """Sessions that began a second, from the first of them to the last; null for fewer than two."""

    completion_s: Distribution
    """From the first turn of a completed session to its last token, the gaps between turns
    included."""

    user_wait_s: Distribution
    """How long the user of a completed session waited for first tokens, all turns together."""

    prompt_tokens: int
    """Prompt tokens of all turns that were computed or found."""

    hit_tokens: HitsBySource
    """Where those that were found had been said."""

    missed_tokens: MissedTokens
    """Prompt tokens that the session had said before, that the engine's blocks could have kept, and
    that were not found."""

    hit_share: float | None
    """Found tokens over all prompt tokens; null without any."""

    by_turn: list[TurnsResult]
    """Turns by their number in the session: the first, the second, the third and fourth, and so
    on."""

    by_gap: Mapping[str, TurnsResult]
    """Turns after the first by who was waited for before them: `tool`, `user`."""

    reuse_s: Distribution
    """From the last token of a turn to the first batch of the next one."""

    reuse_tokens: TokenDistribution
    """Tokens whose KV the replica of the turn before computed in that time, of all requests."""

    concurrent: Levels
    """Sessions under way at once."""

    working_set_tokens: Levels
    """Tokens of context of all sessions under way, without prefixes that they share: what a cache
    would have to hold so that each next turn finds all of the one before."""

    kv_capacity_tokens: int | None
    """Tokens of KV that all replicas together can hold; null where layers keep different things."""

    kv_bytes_per_token: int | None
    """Bytes of KV that the model keeps of a token; null where that is not known."""


class Shard(Record):
    """A part of a grid, for batch systems."""

    index: int
    """Which, from 1."""

    of: int
    """Of how many."""


class SideResult(Record):
    """Replicas of one role."""

    replicas: int
    """Its replicas."""

    gpus: int
    """Its GPUs."""

    gpu_utilization: float
    """GPU time of iterations over elapsed time: 0 to 1; the mean over replicas."""

    held_block_s: float
    """KV blocks held for hand-overs, times the seconds that they were held: on the side that
    prefills from the end of a prompt on, on the side that decodes until the KV was there."""

    held_share: float
    """The same as a share of all blocks of these replicas over elapsed time: 0 to 1."""


class SizingPrice(Record):
    """Money for a steady load."""

    usd_per_hour: float
    """Of all GPUs."""

    usd_per_million_output_tokens: float | None
    """At the load in question."""

    usd_per_fluid_request: float | None
    """At the load in question, for each request that is fluid."""

    usd_per_session: float | None
    """At the load in question, for each session; null where requests belong to none."""


class SloResult(Record):
    """The promise, term by term."""

    met: bool | None
    """Whether every term is met; null where that is not known."""

    why: str | None
    """Why it is not known; absent where it is."""

    terms: list[SloTerm]
    """Fluidity first, then the bounds in the scenario's order, then those of classes with a promise
    of their own."""


class SloTerm(Record):
    """One term of the promise."""

    class_: str | None
    """The class that the term is about; null for all requests."""

    pool: str | None
    """The pool that the term is about; absent for the requests of all."""

    metric: str
    """The member of the run that is bounded: `fluid_request_share`, `ttft_s`, `tbt_s`, `tpot_s` or
    `e2e_s`."""

    stat: str | None
    """Which statistic of it, such as `p99`; null for a share."""

    sense: str
    """Whether the value must reach the bound or stay below it."""

    bound: float
    """The bound, in the metric's unit."""

    value: float | None
    """The value; null when there is no sample, or only bounds are known."""

    lower: float | None
    """The least that the value can be, where only bounds are known; absent without one."""

    upper: float | None
    """The most that the value can be, likewise."""

    met: bool | None
    """Whether the term is met; null where that is not known. Without a sample it is met when
    requests completed (a bound on gaps, and answers of one token)."""


class StallGroup(Record):
    """Stalls that share an instant."""

    from_s: float
    """The earliest token before."""

    to_s: float
    """The latest late token."""

    requests: int
    """Requests that stalled."""

    answering: int
    """Requests that were between their first and last token at that instant."""

    longest_s: float
    """The longest gap."""

    caught_up: int | None
    """Requests whose missing tokens came all at once when the gap ended."""

    looks_like: str
    """What it looks like."""

    worst: list[MeasuredGap]
    """The longest stalls of the group."""

    suspects: list[Suspect]
    """Long prompts that were waiting for their first token meanwhile, the longest first: suspects,
    no more."""

    more_suspects: int
    """How many more there are."""


class StallReport(Record):
    """A stall, and who caused it."""

    request: int
    """Whose text."""

    pool: str | None
    """The pool of replicas that served it, where replicas differ."""

    token: int
    """The late token's number; 0 is the first."""

    came_with: int | None
    """Tokens that came with it: with drafts a step may bring several."""

    open: bool | None
    """Whether it had still not come when observation ended."""

    from_ns: int
    """The token before, or the arrival."""

    to_ns: int
    """The late token, or the end of observation."""

    length_ns: int
    """From one to the other; the causes sum to it."""

    beyond_ns: int
    """Beyond the deadline's pace."""

    requests_hit: int
    """Requests with a stall of this kind at the same time, this one included."""

    main_cause: str
    """The cause to look at."""

    causes_ns: Mapping[str, int]
    """Where the time went."""

    left_out_ns: Mapping[str, int] | None
    """For which reasons its scheduler left it out of batches meanwhile, where it gives them for
    single requests."""

    culprits: list[CulpritReport]
    """Who caused it, most first."""

    more_culprits: MoreCulprits
    """Others who did, too many to name."""

    timeline: Timeline
    """How it looked."""

    routed: Routed | None
    """Where the request was sent and why, where there are several replicas and it waited for its
    first token."""


class StallsResult(Record):
    """Where the time of all requests went, by cause; the causes are those of `explain`."""

    first_token_ns: Mapping[str, int]
    """Time to first token, nanoseconds by cause, summed over requests."""

    between_tokens_ns: Mapping[str, int]
    """Time between tokens, nanoseconds by cause, summed over gaps."""

    missed: int
    """Missed deadlines of the requests that count."""

    misses: Mapping[str, int]
    """What they are charged to; the charges sum to `missed`."""


class Suspect(Record):
    """A long prompt that arrived, or was waiting, while others stalled."""

    request: int
    """Place of the request in the file, from 0 on."""

    prompt_tokens: int
    """Length of its prompt."""

    arrival_s: float
    """When it was sent."""


class SweepFile(Record):
    """The published result of a sweep."""

    schema_version: int
    """Version of this layout."""

    kind: str
    """`sweep`."""

    tool: Tool
    """What made it."""

    build: str | None
    """A digest of the sources that the program was built from."""

    digest: str | None
    """A digest of everything else in the file, by which `merge` knows that it is as it was
    written."""

    files: Mapping[str, str] | None
    """Digests of the files that the points name, by their names in the scenario."""

    scenario: Any
    """The first point's scenario as resolved."""

    vary: list[Vary]
    """What was varied."""

    capacity: Any
    """How capacities were searched for; null where each point is one run."""

    full_metrics: bool | None
    """Whether the full figures were worked out."""

    complete: bool | None
    """Whether all points of the grid, or of the shard, are there: not where time ran out."""

    points_total: int
    """Points of the whole grid."""

    shard: Shard | None
    """The part that this is; null for all of it."""

    points: list[Point]
    """The points, in the grid's order: the last field changes fastest."""

    pareto: Pareto | None
    """The front, where it was asked for and all points are there."""

    sensitivities: list[str]
    """What each step of each field changes, all else equal; empty for a shard."""

    inert: list[Inert] | None
    """Settings of the scenario that change nothing at any point."""

    warnings: list[str] | None
    """What the scenarios, their workloads and the runs warn of, each once; empty for a shard."""


class TakenTime(Record):
    """Mean seconds a request, by what took them."""

    prefill_pool: float
    """In the queue before prefill, where that was not full of blocks that nobody fetched."""

    decode_pool: float
    """All tokens after the first, beyond what they took colocated; 0 where they took less."""

    decode_memory: float
    """Waiting for memory where it decodes, and in the queue before prefill where that was full of
    blocks that nobody fetched."""

    link: float
    """The transfer."""


class Throughput(Record):
    """Work done per second of the makespan; null when the makespan is 0."""

    output_tokens_per_s: float | None
    """Output tokens per second."""

    requests_per_s: float | None
    """Completed requests per second."""


class TierResult(Record):
    """A tier's traffic, summed over replicas."""

    name: str
    """Its name."""

    read_bytes: int
    """Bytes towards the GPUs."""

    written_bytes: int
    """Bytes away from them."""

    read_busy: float
    """Time in which it was read over elapsed time, the mean over replicas: 0 to 1."""

    write_busy: float
    """The same of writing."""


class Timeline(Record):
    """A drawing: a row for the GPU and one for the text."""

    from_ns: int
    """Instant of the left edge."""

    to_ns: int
    """Instant of the right edge."""

    gpu: str
    """`P` prefill alone, `m` prefill and decodes, `d` decodes alone, `.` nothing."""

    text: str
    """`*` a token, `a` the arrival, `-` the stall, blank otherwise."""


class TokenCounts(Record):
    """Tokens served."""

    prompt: int
    """Prompt tokens of the requests that got a first token."""

    output: int
    """Output tokens emitted, those of unfinished and dropped requests included."""


class TokenDistribution(Record):
    """A number of tokens over some turns."""

    count: int
    """Samples."""

    mean: float | None
    """Arithmetic mean; null, as the others, without samples."""

    p50: int | None
    """Median."""

    p90: int | None
    """90th percentile."""

    p99: int | None
    """99th percentile."""

    max: int | None
    """Largest."""


class Tool(Record):
    """The program that made a result."""

    name: str
    """Its name."""

    version: str
    """Its version."""


class TtftStages(Record):
    """Where the time from arrival to first token went. The stages of a request add up to it."""

    queue_s: Distribution
    """Before its prompt was in a batch."""

    prefill_s: Distribution
    """Until its prompt was computed."""

    memory_s: Distribution
    """Until the replica that decodes had taken KV blocks for it."""

    transfer_s: Distribution
    """Until its KV was there."""

    first_step_s: Distribution
    """Until the first token: a free seat there, and that replica's next step."""


class TurnsResult(Record):
    """What some turns got."""

    from_turn: int
    """Number of the first of these turns in its session, from 1."""

    to_turn: int
    """Number of the last."""

    requests: int
    """Turns."""

    mean_prompt_tokens: float | None
    """Tokens of their prompts, on average."""

    hit_share: float | None
    """Found tokens over all tokens of their prompts."""

    ttft_s: Distribution
    """Time to first token."""


class Unqueued(Record):
    """Requests that did not queue."""

    requests: int
    """How many."""

    validation: list[Compared]
    """Their latencies."""


class Vary(Record):
    """One field of the scenario and the values it takes."""

    path: str
    """The field's path."""

    values: list[str]
    """Its values as typed, YAML."""


class VictimReport(Record):
    """A request that another delayed."""

    request: int
    """Which."""

    ns: int
    """By how much."""


class VictimsReport(Record):
    """Whom a request delayed."""

    count: int
    """How many requests."""

    worst_ns: int
    """The most that one of them was delayed."""

    mean_ns: int
    """What each was delayed in the mean, rounded down."""

    most: list[VictimReport]
    """Those delayed most, most first."""

    more: int
    """How many more there are."""


class WhatIf(Record):
    """A change, and what the simulation made of it."""

    change: str
    """In words; the run as it was comes first."""

    set: list[str]
    """What to give to `--set`, in order, to see it again."""

    why: str | None
    """Why it could help."""

    not_held: list[str] | None
    """What could not be held fixed beside it."""

    gives_up: str | None
    """What it gives up for what it gains: nothing that the figures do not show, where empty."""

    other_scheduler: bool | None
    """Whether it is another scheduler, with everything else held as far as it can be."""

    figures: Figures | None
    """What came of it."""

    effect: str
    """What it did to the promise and to the stall."""

    helps: bool
    """Whether it is worth a thought: it brings the promise nearer, or makes the stall at least a
    tenth shorter at no cost to the promise."""


class WorstStall(Record):
    """The worst stall of a run."""

    length_s: float
    """How long it was."""

    beyond_s: float
    """How far that is beyond its deadline."""

    first_token: bool
    """Whether it was a wait for a first token; otherwise a gap between tokens."""


AtCapacity._records = {"fluid_request_bounds": Bounds, "ttft_in_time_bounds": Bounds}
Capacity._records = {"requests_per_s": Border, "requests_per_s_per_gpu": Border, "sessions_per_s": Border, "sessions_per_s_per_gpu": Border, "users": Border, "users_per_gpu": Border, "seeds": SeedCapacity, "at_capacity": AtCapacity, "judged_by": JudgedBy, "alone": Alone, "price": SizingPrice, "for_rate": ForLoad, "for_users": ForLoad}
CapacityFile._records = {"tool": Tool, "schedulers": Capacity, "ratios": RatioCapacity, "inert": Inert}
ClassResult._records = {"requests": RequestCounts, "arrival_rate_per_s": ArrivalRate, "tokens": TokenCounts, "throughput": Throughput, "ttft_s": Distribution, "ttft_in_time_bounds": Bounds, "tbt_s": Distribution, "tpot_s": Distribution, "e2e_s": Distribution, "normalized_latency_s_per_token": Distribution, "scheduling_delay_s": Distribution, "fluidity": Fluidity, "goodput": Goodput, "latency_bounds": LatencyBounds, "slo": SloResult}
ColocatedResult._records = {"ttft_s": Distribution, "tbt_s": Distribution, "tpot_s": Distribution, "e2e_s": Distribution, "taken_s": TakenTime}
ComparisonFile._records = {"tool": Tool, "a": Named, "b": Named, "metrics": ComparisonCompared}
CulpritTotal._records = {"victims": VictimsReport}
CulpritTotal._maps = frozenset({"by_cause_ns"})
Cures._records = {"tried": WhatIf}
DisaggregationResult._records = {"ttft": TtftStages, "prefill": SideResult, "decode": SideResult, "colocated": ColocatedResult}
ExplanationFile._records = {"tool": Tool, "runs": RunExplanation, "cures": Cures, "inert": Inert, "observed": Joined}
Figures._records = {"promise": PromiseKept, "worst_stall": WorstStall}
Fluidity._records = {"index": FluidityIndex, "bounds": FluidityBounds}
FluidityBounds._records = {"fluid_request_share": Bounds, "index_mean": Bounds, "service_miss_rate": Bounds, "index_p1": Bounds, "index_p5": Bounds, "index_p50": Bounds, "tpot_tokens_per_s": Bounds, "tbt_tokens_per_s": Bounds}
ForLoad._records = {"price": SizingPrice}
ForLoad._maps = frozenset({"pools"})
GapBounds._records = {"index_at_least": FluidityIndex, "index_at_most": FluidityIndex}
Goodput._records = {"bounds": GoodputBounds}
GoodputBounds._records = {"requests": Bounds, "share": Bounds, "requests_per_s": Bounds}
Joined._records = {"worst": JoinedStall}
JoinedStall._records = {"real": MeasuredGap, "simulated": StallReport}
KvTiersResult._records = {"load_s": Distribution, "tiers": TierResult}
LatencyBounds._records = {"ttft_s": LatencyRange, "tbt_s": LatencyRange, "tpot_s": LatencyRange, "e2e_s": LatencyRange, "normalized_latency_s_per_token": LatencyRange, "scheduling_delay_s": LatencyRange}
LatencyRange._records = {"lower": Distribution, "upper": Distribution}
MeasuredResult._records = {"deadlines": MeasuredDeadlines, "client_queue_s": Distribution, "first_answer_s": Distribution, "fluidity_bounds": GapBounds, "stalls": MeasuredStalls, "plots": Plots}
MeasuredResult._maps = frozenset({"reported"})
MeasuredStalls._records = {"groups": StallGroup}
MissReport._maps = frozenset({"by_cause"})
Pareto._records = {"objectives": Objective, "front": Choice, "ties": Choice}
PlanAnswer._records = {"parallelism": Parallelism, "apart": PlanApart}
PlanApart._records = {"divisions": RatioCapacity, "fewest": RatioCapacity}
PlanFile._records = {"tool": Tool, "session": PlanSession, "answers": PlanAnswer, "infeasible": PlanInfeasible}
PlanInfeasible._records = {"parallelism": Parallelism}
Plots._records = {"progress": RequestProgress}
PoolResult._records = {"kv": KvResult, "served": PoolServed, "slo": SloResult}
RequestReport._records = {"misses": MissReport, "caused": CulpritTotal, "gaps": StallReport}
RequestReport._maps = frozenset({"first_token_ns", "between_tokens_ns"})
ResultFile._records = {"tool": Tool, "runs": RunResult, "validation": Labelled, "inert": Inert}
RoutingResult._records = {"decisions": RouteCounts, "cached": RoutedToCaches}
RunExplanation._records = {"misses": MissReport, "stalls": StallReport, "culprits": CulpritTotal, "request": RequestReport}
RunExplanation._maps = frozenset({"first_token_ns", "between_tokens_ns"})
RunResult._records = {"requests": RequestCounts, "arrival_rate_per_s": ArrivalRate, "tokens": TokenCounts, "throughput": Throughput, "ttft_s": Distribution, "ttft_in_time_bounds": Bounds, "tbt_s": Distribution, "tpot_s": Distribution, "e2e_s": Distribution, "normalized_latency_s_per_token": Distribution, "scheduling_delay_s": Distribution, "fluidity": Fluidity, "goodput": Goodput, "latency_bounds": LatencyBounds, "slo": SloResult, "judged_by": JudgedBy, "stalls": StallsResult, "iterations": IterationResult, "kv": KvResult, "routing": RoutingResult, "pools": PoolResult, "sessions": SessionsResult, "disaggregation": DisaggregationResult, "kv_tiers": KvTiersResult, "classes": ClassResult, "fairness": Fairness, "energy": Energy, "cost": Cost, "inert": Inert, "measured": MeasuredResult, "validation": Compared, "unqueued": Unqueued}
RunResult._maps = frozenset({"pools", "classes", "features"})
SessionsResult._records = {"completion_s": Distribution, "user_wait_s": Distribution, "hit_tokens": HitsBySource, "missed_tokens": MissedTokens, "by_turn": TurnsResult, "by_gap": TurnsResult, "reuse_s": Distribution, "reuse_tokens": TokenDistribution, "concurrent": Levels, "working_set_tokens": Levels}
SessionsResult._maps = frozenset({"by_gap"})
SloResult._records = {"terms": SloTerm}
StallGroup._records = {"worst": MeasuredGap, "suspects": Suspect}
StallReport._records = {"culprits": CulpritReport, "more_culprits": MoreCulprits, "timeline": Timeline, "routed": Routed}
StallReport._maps = frozenset({"causes_ns", "left_out_ns"})
StallsResult._maps = frozenset({"first_token_ns", "between_tokens_ns", "misses"})
SweepFile._records = {"tool": Tool, "vary": Vary, "shard": Shard, "points": Point, "pareto": Pareto, "inert": Inert}
SweepFile._maps = frozenset({"files"})
TtftStages._records = {"queue_s": Distribution, "prefill_s": Distribution, "memory_s": Distribution, "transfer_s": Distribution, "first_step_s": Distribution}
TurnsResult._records = {"ttft_s": Distribution}
Unqueued._records = {"validation": Compared}
VictimsReport._records = {"most": VictimReport}
WhatIf._records = {"figures": Figures}
