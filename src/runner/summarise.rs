//! From a simulation's outcome to its part of the published result.

use std::collections::BTreeMap;

use crate::catalog::StepsSeen;
use crate::ids::{ClassId, PoolId, ReplicaId};
use crate::metrics::{Count, FirstToken, Latency, Options, Summary, evaluate};
use crate::promise::{JudgedBy, Slo, TtftDeadline, Verdict, judge, no_verdict};
use crate::result::energy::{Usage, UsedGpus};
use crate::result::{
    ClassResult, Fairness, IterationResult, KvFacts, KvResult, PoolResult, PoolServed,
    RoutingResult, RunResult, SessionsResult,
};
use crate::runner::RunInput;
use crate::runner::handed::handed;
use crate::runner::tiers::kv_tiers;
use crate::scenario::{Experiment, PoolView};
use crate::scheduler::SchedulerConfig;
use crate::shown::{duration, percent};
use crate::sim::{KvUse, Outcome, Rejection};
use crate::trace::{Status, TokenTrace};

/// The metric engine, or the slow reference of it.
pub(super) type Evaluate = fn(&TokenTrace, &Options) -> Summary;

/// The fast way.
pub(super) const FAST: Evaluate = |trace, options| evaluate(trace, options);

/// Output tokens of all requests.
pub(super) fn output_tokens(outcome: &Outcome) -> u64 {
    outcome.trace.requests.iter().map(|row| u64::from(row.tokens)).sum()
}

/// Measures one scheduler's outcome.
pub(super) fn summarise(
    input: RunInput<'_>,
    scheduler: &str,
    label: String,
    outcome: &Outcome,
    judged_by: &Options,
    evaluate: Evaluate,
) -> RunResult {
    let experiment = input.experiment;
    let summary = evaluate(&outcome.trace, judged_by);
    let classes = classes(input, outcome, judged_by, evaluate);
    let usage = Usage::of(outcome, used(experiment, outcome));
    let mut pools = pools(experiment, outcome, &usage);
    if let Some(pools) = &mut pools {
        judge_pools(experiment, outcome, judged_by, evaluate, pools);
        tell_pools(experiment, outcome, judged_by, evaluate, pools);
    }
    let fluid_share = summary.fluidity.as_ref().and_then(|one| one.fluid_request_share);
    let warnings = rejection_warning(outcome)
        .into_iter()
        .chain(out_of_memory(scheduler, outcome))
        .chain(nothing_handed_over(experiment, outcome))
        .chain(nothing_measured(outcome, &summary))
        .chain(throughput_of_some(outcome, &summary))
        .chain(beyond_the_log(experiment, outcome));
    RunResult {
        scheduler: scheduler.to_owned(),
        label,
        slo: promise_kept(experiment, &summary, classes.as_ref(), pools.as_ref()),
        judged_by: JudgedBy::of(judged_by, input.requests.classes(), &outcome.trace.requests),
        features: BTreeMap::new(),
        warnings: warnings.chain(late_first_tokens(input, &summary)).collect(),
        inert: Vec::new(),
        unknown: Vec::new(),
        measured: None,
        summary,
        stalls: None,
        iterations: Some(iterations(outcome)),
        kv: Some(KvResult { prefix_hit_tokens: hit_tokens(outcome), ..kv_result(outcome.kv) }),
        routing: RoutingResult::of(outcome, &experiment.takes_requests()),
        disaggregation: handed(experiment, outcome, judged_by, &usage),
        kv_tiers: kv_tiers(experiment, outcome),
        pools,
        sessions: SessionsResult::of(outcome, kv_facts(experiment, scheduler)).map(Box::new),
        fairness: classes.as_ref().map(Fairness::of),
        classes,
        energy: usage.energy(),
        cost: usage.cost(fluid_share),
    }
}

/// The share of the GPUs' busy time that matrix products would fill at the rate that large ones reach: two
/// operations for each parameter that a token goes through. The same for all pools.
fn compute_share(experiment: &Experiment, outcome: &Outcome) -> Option<f64> {
    let computed = |row: &crate::trace::RequestRow| match row.tokens {
        0 => 0,
        tokens => u64::from(row.prompt_tokens) + u64::from(tokens) - 1,
    };
    let tokens: u64 = outcome.trace.requests.iter().map(computed).sum();
    let loaded: u64 = outcome.trace.kv_loads.iter().map(|load| u64::from(load.tokens)).sum();
    let tokens = tokens.saturating_sub(hit_tokens(outcome) + loaded) as f64;
    let mut capacity = 0.0;
    let mut parameters = None;
    for (pool, index) in experiment.fleet().into_iter().zip(0..) {
        let pricing = pool.hardware.pricing.as_ref()?;
        let formats = pricing.precision.formats(&pricing.model);
        let format = if pricing.model.experts().is_some() { formats.experts } else { formats.mlp };
        let gemm = pricing.gpu.gemm_for(format.arithmetic());
        let tflops = gemm.map_or(pricing.gpu.gemm_bf16.tflops, |(gemm, _)| gemm.tflops);
        let busy = outcome.pools.get(index).map_or(outcome.gpu_busy, |pool| pool.gpu_busy);
        capacity += busy.as_secs_f64() * f64::from(pool.hardware.gpus_per_replica) * tflops * 1e12;
        parameters = Some(pricing.model.active_parameters() as f64);
    }
    (capacity > 0.0).then(|| (2.0 * parameters.unwrap_or(0.0) * tokens / capacity).min(1.0))
}

/// What the GPUs of each pool did.
fn used(experiment: &Experiment, outcome: &Outcome) -> Vec<UsedGpus> {
    let compute_share = compute_share(experiment, outcome);
    let pool = |(pool, index): (PoolView<'_>, usize)| UsedGpus {
        replicas: pool.replicas,
        gpus_per_replica: pool.hardware.gpus_per_replica,
        // An outcome that was not simulated here may not tell pools apart.
        busy: outcome.pools.get(index).map_or(outcome.gpu_busy, |pool| pool.gpu_busy),
        compute_share,
        power: pool.hardware.power,
        usd_per_gpu_hour: pool.hardware.price_usd_per_gpu_hour,
    };
    experiment.fleet().into_iter().zip(0..).map(pool).collect()
}

/// Prompt tokens that were found where they were to be computed. What a replica that decodes has of a prompt
/// which another computes saves a transfer, and no work.
fn hit_tokens(outcome: &Outcome) -> u64 {
    match outcome.trace.hand_overs.is_empty() {
        true => outcome.kv.prefix_hit_tokens,
        false => outcome.trace.requests.iter().map(|row| u64::from(row.hit_tokens)).sum(),
    }
}

fn kv_result(kv: KvUse) -> KvResult {
    KvResult {
        blocks: u64::from(kv.blocks),
        peak_used: u64::from(kv.peak_used),
        preemptions: kv.preemptions,
        prefix_hit_tokens: kv.prefix_hit_tokens,
    }
}

/// What the figures of sessions must know of the replicas' KV.
pub fn kv_facts(experiment: &Experiment, scheduler: &str) -> KvFacts {
    let fleet = experiment.fleet();
    let run = experiment.schedulers.iter().find(|run| run.name == scheduler);
    let kept = |pool: &PoolView<'_>| {
        let info = pool.engine_info(&run?.config);
        run?.config.build(&info).needs().kept_on(&info)
    };
    let one_kind = fleet.iter().all(|pool| pool.engine.kv_groups.is_one());
    let tokens = |pool: &PoolView<'_>| {
        let engine = pool.engine;
        let of_replica = u64::from(engine.kv_blocks) * u64::from(engine.kv_block_tokens);
        u64::from(pool.replicas) * of_replica
    };
    let bytes = |pool: &PoolView<'_>| {
        let pricing = pool.hardware.pricing.as_ref()?;
        let bits = pricing.precision.kv_bits_1024ths(&pricing.model);
        Some(pricing.model.kv_bytes_per_token(bits))
    };
    KvFacts {
        cached: fleet.iter().find_map(kept),
        capacity_tokens: one_kind.then(|| fleet.iter().map(tokens).sum()),
        bytes_per_token: fleet.first().filter(|_| one_kind).and_then(bytes),
    }
}

/// The pools, where the scenario has some.
fn pools(
    experiment: &Experiment,
    outcome: &Outcome,
    usage: &Usage,
) -> Option<BTreeMap<String, PoolResult>> {
    if experiment.pools.is_empty() {
        return None;
    }
    let mut results = BTreeMap::new();
    let mut first = ReplicaId(0);
    let trace = &outcome.trace;
    for (place, pool) in experiment.pools.iter().enumerate() {
        let used = outcome.pools.get(place).copied().unwrap_or_default();
        let (from, to) = trace.lanes_of_pool(PoolId::at(place));
        let rows = || trace.requests.iter().filter(|row| (from..to).contains(&row.lane));
        let ended = |status: Status| rows().filter(|row| row.status == status).count() as u64;
        let result = PoolResult {
            gpu: pool.hardware.gpu.clone(),
            first_replica: first,
            replicas: pool.replicas,
            gpus: pool.replicas * pool.hardware.gpus_per_replica,
            requests: rows().count() as u64,
            completed: ended(Status::Completed),
            rejected: ended(Status::Rejected),
            output_tokens: rows().map(|row| u64::from(row.tokens)).sum(),
            gpu_utilization: usage.utilization_of(place),
            kv: kv_result(used.kv),
            usd_per_gpu_hour: pool.hardware.price_usd_per_gpu_hour,
            served: None,
            slo: None,
        };
        results.insert(pool.name.clone(), result);
        first.0 += pool.replicas;
    }
    Some(results)
}

/// Judges the requests of each pool that has a promise of its own by it, whatever their class.
fn judge_pools(
    experiment: &Experiment,
    outcome: &Outcome,
    judged_by: &Options,
    evaluate: Evaluate,
    results: &mut BTreeMap<String, PoolResult>,
) {
    for (place, pool) in experiment.pools.iter().enumerate() {
        let (Some(slo), Some(result)) = (&pool.promise, results.get_mut(&pool.name)) else {
            continue;
        };
        // A pool's promise has a time for the first token; see `scenario::raw::Promise`.
        let TtftDeadline::Fixed(ttft) = slo.ttft else { continue };
        let deadlines = slo.deadlines(FirstToken::Fixed(ttft));
        let mut options = Options::new(deadlines.expect("its figures were checked when read"));
        let lanes = outcome.trace.lanes_of_pool(PoolId::at(place));
        options.count = Count { lanes: Some(lanes), ..judged_by.count };
        options.bounds = Some(slo.request_bounds());
        options.knows = judged_by.knows;
        result.slo = Some(judge(slo, &evaluate(&outcome.trace, &options)));
    }
}

/// What the requests of each pool got, where there are several that serve them from end to end.
fn tell_pools(
    experiment: &Experiment,
    outcome: &Outcome,
    judged_by: &Options,
    evaluate: Evaluate,
    results: &mut BTreeMap<String, PoolResult>,
) {
    if experiment.disaggregation.is_some() || experiment.pools.len() < 2 {
        return;
    }
    for (place, pool) in experiment.pools.iter().enumerate() {
        let Some(result) = results.get_mut(&pool.name) else { continue };
        let mut options = judged_by.clone();
        options.count.lanes = Some(outcome.trace.lanes_of_pool(PoolId::at(place)));
        let summary = evaluate(&outcome.trace, &options);
        result.served = Some(PoolServed {
            requests: summary.requests.offered,
            fluid_request_share: summary.fluidity.as_ref().and_then(|of| of.fluid_request_share),
            tbt_p50_s: summary.known(Latency::Tbt, |of| of.p50),
            tbt_p99_s: summary.known(Latency::Tbt, |of| of.p99),
        });
    }
}

/// The scenario's promise over all requests, and those of classes and pools that have one of their
/// own.
fn promise_kept(
    experiment: &Experiment,
    summary: &Summary,
    classes: Option<&BTreeMap<String, ClassResult>>,
    pools: Option<&BTreeMap<String, PoolResult>>,
) -> Verdict {
    let of_class = |name: &str| classes?.get(name)?.verdict();
    let mut terms = experiment.promises.terms(summary, of_class);
    for (name, pool) in pools.into_iter().flatten() {
        terms.extend(pool.slo.iter().flat_map(|slo| slo.terms_of_pool(name)));
    }
    Verdict::of(terms, || no_verdict(summary))
}

fn iterations(outcome: &Outcome) -> IterationResult {
    let counts = outcome.iterations;
    let count = counts.total();
    IterationResult {
        count,
        prefill_only: counts.prefill_only,
        mixed: counts.mixed,
        decode_only: counts.decode_only,
        mean_batch: (count > 0).then(|| counts.sequences as f64 / count as f64),
    }
}

fn classes(
    input: RunInput<'_>,
    outcome: &Outcome,
    judged_by: &Options,
    evaluate: Evaluate,
) -> Option<BTreeMap<String, ClassResult>> {
    let experiment = input.experiment;
    let names = input.requests.classes();
    if names.len() < 2 && experiment.promises.of_classes.is_empty() {
        return None;
    }
    let mut results = BTreeMap::new();
    for (class, name) in (0..).map(ClassId).zip(names) {
        let mut options = judged_by.clone();
        options.count.class = Some(class);
        // The workload's rate is that of all classes together, and so are its users.
        (options.nominal_rate_per_s, options.users) = (None, None);
        let slo = experiment.promises.to(name);
        options.bounds = Some(slo.request_bounds());
        let summary = evaluate(&outcome.trace, &options);
        let slo = judge(slo, &summary);
        results.insert(name.clone(), ClassResult { summary, slo });
    }
    Some(results)
}

/// Requests that ran, and none of them counts.
fn nothing_measured(outcome: &Outcome, summary: &Summary) -> Option<String> {
    let ran = outcome.trace.requests.len();
    (summary.requests.offered == 0 && ran > 0).then(|| {
        format!(
            "`measure` leaves out all {ran} requests: `skip_first` and `skip_last` cover the whole \
             time in which they arrive"
        )
    })
}

/// How much of the measured time one request may last before others' tokens in it matter.
const LASTS_OF_MEASURED: f64 = 0.1;

/// Throughput is that of the measured requests alone, though others are served while they are.
fn throughput_of_some(outcome: &Outcome, summary: &Summary) -> Option<String> {
    let (offered, ran) = (summary.requests.offered, outcome.trace.requests.len() as u64);
    let (over, lasts) = (summary.duration_s?, summary.e2e_s.p50?);
    (offered > 0 && offered < ran && lasts > LASTS_OF_MEASURED * over).then(|| {
        format!(
            "tokens/s counts the {offered} of {ran} requests that `measure` leaves, over {}, in which others \
             are served too (a request lasts {}): it is less than the servers deliver, and by how much differs \
             from run to run",
            duration(over),
            duration(lasts)
        )
    })
}

/// First tokens later than the deadline that the promise seems to give them.
fn late_first_tokens(input: RunInput<'_>, summary: &Summary) -> Option<String> {
    let promises = &input.experiment.promises;
    let own = input.requests.classes().iter().map(|class| promises.own(class));
    let own: Vec<Option<&Slo>> = own.collect();
    let speaks = |slo: &Slo| {
        slo.first_tokens_promised || slo.bounds.iter().any(|one| one.latency == Latency::Ttft)
    };
    // The scenario's promise is nobody's where every class has its own.
    let common = own.is_empty() || own.contains(&None);
    if !common && own.iter().flatten().all(|slo| speaks(slo)) || common && speaks(&promises.common)
    {
        return None;
    }
    let due = match promises.common.ttft {
        TtftDeadline::Fixed(due) if common => Some(due.as_secs_f64()),
        _ => None,
    };
    let most = summary.ttft_in_time_bounds.map(|bounds| bounds.upper);
    let share = summary.ttft_in_time_share.or(most).filter(|&share| share < 0.99)?;
    let p99 = summary.known(Latency::Ttft, |of| of.p99);
    let p99 = p99.map_or(String::new(), |p99| match due.filter(|&due| p99 > due) {
        Some(due) => {
            format!("P99 TTFT is {}, beyond slo.ttft of {}: ", duration(p99), duration(due))
        }
        None => format!("P99 TTFT is {}: ", duration(p99)),
    });
    let at_most = if summary.ttft_in_time_share.is_some() { "" } else { "at most " };
    Some(format!(
        "{p99}{at_most}{} of first tokens came in time. slo.ttft is only the first deadline of the \
         fluidity-index; slo.bounds.ttft.p99 bounds TTFT itself",
        percent(share)
    ))
}

/// Where the real system would have ended.
fn out_of_memory(scheduler: &str, outcome: &Outcome) -> Option<String> {
    let config = SchedulerConfig::by_name(scheduler).filter(|_| outcome.kv.overdrawn > 0)?;
    let system = config.system().split(' ').next().unwrap_or_default();
    Some(format!(
        "{system} would run out of memory here and end ({} steps took KV memory that is not there); \
         what follows is as if there were some",
        outcome.kv.overdrawn
    ))
}

/// Replicas that prefill and were never asked to.
fn nothing_handed_over(experiment: &Experiment, outcome: &Outcome) -> Option<String> {
    let apart = experiment.disaggregation.as_ref()?;
    let looks = apart.decider.looks() && !apart.decider.is_never_elsewhere();
    let answered = outcome.trace.requests.iter().any(|row| row.tokens > 0);
    (looks && answered && outcome.trace.hand_overs.is_empty()).then(|| {
        "no prompt went to a replica that prefills: `disaggregation.decider` keeps all of them where they are \
         answered, and those replicas stood idle"
            .to_owned()
    })
}

/// Steps far larger than any that a law was fitted on. Where pools have laws of their own, larger than those of
/// all.
fn beyond_the_log(experiment: &Experiment, outcome: &Outcome) -> Option<String> {
    let rows = outcome.trace.requests.iter().filter(|row| row.tokens > 0);
    let run = StepsSeen {
        prefill_tokens: Some(outcome.iterations.most_prefill_tokens),
        decodes: Some(u64::from(outcome.iterations.most_decodes)),
        context: rows.map(|row| u64::from(row.prompt_tokens) + u64::from(row.tokens)).max(),
    };
    let fleet = experiment.fleet();
    let beyond = |pool: &PoolView<'_>| {
        let (name, most) = pool.hardware.law_log.as_ref()?;
        let beyond = most.beyond(&run);
        (!beyond.is_empty()).then(|| (name.clone(), beyond))
    };
    let (name, beyond) =
        fleet.iter().map(beyond).collect::<Option<Vec<_>>>()?.into_iter().next()?;
    Some(format!(
        "the law of {name} is a guess here: {}; fit it to a log of such a load (`calibrate --iterations`)",
        beyond.join(", ")
    ))
}

/// More than 1 % of the requests rejected is worth a warning, with the reasons.
fn rejection_warning(outcome: &Outcome) -> Option<String> {
    let rejected = outcome.rejections.len();
    let offered = outcome.trace.requests.len();
    if rejected * 100 <= offered {
        return None;
    }
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for (_, why) in &outcome.rejections {
        *counted.entry(reason(*why)).or_default() += 1;
    }
    let counted: Vec<String> = counted.iter().map(|(why, n)| format!("{why} ({n})")).collect();
    Some(format!("{rejected} of {offered} requests were rejected: {}", counted.join(", ")))
}

fn reason(why: Rejection) -> String {
    match why {
        Rejection::PromptTooLong => "prompt too long for max_model_len".to_owned(),
        Rejection::PromptOverBudget => "prompt over the token budget, chunking off".to_owned(),
        Rejection::NeverFits => "more KV blocks needed than a replica has".to_owned(),
        Rejection::OverLimit(limit) => format!("more KV blocks needed than {limit} allows"),
        Rejection::KvLost => "KV gone before it was fetched (kv_lease)".to_owned(),
        Rejection::DroppedByPolicy => "dropped by the policy".to_owned(),
    }
}
