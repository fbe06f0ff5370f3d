//! Degenerate scenarios against queueing theory: M/D/1, M/M/c, Little's law, and more replicas.

use metron_sim::runner::{Requests, RunInput, RunOptions, Simulator, run_scheduler};
use metron_sim::scenario::{Document, Files};
use metron_sim::search::{
    Border, CapacityOptions, Goal, Interval, Study, Watch, find_capacity, interval, steadiness,
};
use metron_sim::trace::Status;

/// What one run says of waiting, of numbers present, and of the arrival rate.
struct Seen {
    wait_s: f64,
    present: f64,
    stay_s: f64,
    rate_per_s: f64,
    ttft_p99_s: f64,
    growing: bool,
}

fn play(scenario: &str, seed: u64) -> Seen {
    let document = Document::from_text("queue.yaml", scenario, Files::any(""));
    let resolved = document.and_then(|d| d.resolve(Some(seed))).expect("a scenario");
    let experiment = resolved.experiment;
    let (requests, _) = Requests::of(&experiment).expect("requests");
    let input = RunInput { experiment: &experiment, requests: &requests };
    let options = RunOptions::default();
    let output = run_scheduler(input, &experiment.schedulers[0], options, &Simulator);
    let output = output.expect("a run");
    let rows = &output.outcome.trace.requests;
    assert!(rows.iter().all(|row| row.status == Status::Completed));
    let n = rows.len() as f64;
    let waits = rows.iter().map(|row| row.scheduled.since(row.arrival).as_secs_f64());
    let span = rows[rows.len() - 1].arrival.since(rows[0].arrival).as_secs_f64();
    let seen = steadiness(&output.outcome, true);
    Seen {
        wait_s: waits.sum::<f64>() / n,
        present: 0.5 * (seen.present_third_quarter + seen.present_last_quarter),
        stay_s: seen.mean_stay_s,
        rate_per_s: (n - 1.0) / span,
        ttft_p99_s: output.result.summary.ttft_s.p99.expect("a figure"),
        growing: seen.growing,
    }
}

fn over_seeds(seeds: u64, of: impl Fn(u64) -> f64) -> Interval {
    interval(&(0..seeds).map(of).collect::<Vec<_>>()).expect("samples")
}

/// Within 2 % and the interval.
fn agrees(found: Interval, theory: f64) {
    let allowed = 0.02 * theory + found.half_width.expect("several seeds");
    assert!((found.mean - theory).abs() <= allowed, "{found:?} against {theory}");
    assert!(allowed < 0.06 * theory, "too wide to mean anything: {found:?} against {theory}");
}

fn m_d_1(utilization: f64, requests: u32) -> String {
    format!(
        "
schedulers: [{{orca: {{max_num_seqs: 1}}}}]
engine: {{profile: {{fixed: {{iteration: 100ms}}}}, kv_blocks: 64, kv_block_tokens: 16, max_model_len: 512}}
workload:
  requests: {requests}
  arrivals: {{poisson: {{rate: {}}}}}
  lengths: {{prompt: {{fixed: 16}}, output: {{fixed: 1}}}}
",
        utilization / 0.1
    )
}

/// Pollaczek and Khinchine: W = rho * s / (2 * (1 - rho)).
#[test]
fn m_d_1_waits() {
    for utilization in [0.5, 0.8] {
        let theory = utilization * 0.1 / (2.0 * (1.0 - utilization));
        let scenario = m_d_1(utilization, 60_000);
        agrees(over_seeds(8, |seed| play(&scenario, seed).wait_s), theory);
    }
}

/// A service is the geometric number of 5 ms iterations, 200 on average (the prefill gives the first
/// token), so an iteration is 0.5 % of it. Sarathi decodes beside the prefill: no stall.
fn m_m_c(servers: u32, utilization: f64, requests: u32) -> String {
    format!(
        "
schedulers: [{{sarathi: {{chunk_size: 1024, max_num_seqs: {servers}}}}}]
engine: {{profile: {{fixed: {{iteration: 5ms}}}}, kv_blocks: 100000, kv_block_tokens: 16, max_model_len: 16000}}
workload:
  requests: {requests}
  arrivals: {{poisson: {{rate: {}}}}}
  lengths: {{prompt: {{fixed: 16}}, output: {{geometric: {{mean: 200}}}}}}
",
        utilization * f64::from(servers)
    )
}

/// Erlang's C: the probability that a request waits.
fn erlang_c(servers: u32, load: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 0.0;
    for k in 0..servers {
        sum += term;
        term *= load / f64::from(k + 1);
    }
    let last = term * f64::from(servers) / (f64::from(servers) - load);
    last / (sum + last)
}

#[test]
fn m_m_c_waits() {
    for (servers, utilization) in [(1, 0.6), (4, 0.8)] {
        let load = utilization * f64::from(servers);
        // Services of 1 s: W = C / (c - a).
        let theory = erlang_c(servers, load) / (f64::from(servers) - load);
        let scenario = m_m_c(servers, utilization, 60_000);
        let found = over_seeds(8, |seed| play(&scenario, seed).wait_s);
        agrees(found, theory);
    }
}

#[test]
fn littles_law() {
    // Exactly L = lambda * W only over the whole run; over the last half nearly.
    let scenario = m_m_c(4, 0.7, 40_000);
    for seed in 0..3 {
        let seen = play(&scenario, seed);
        let theory = seen.rate_per_s * seen.stay_s;
        assert!((seen.present / theory - 1.0).abs() < 0.05, "{} {theory}", seen.present);
    }
}

#[test]
fn more_replicas_are_never_worse() {
    for router in ["round-robin", "random", "least-requests", "least-tokens", "power-of-two"] {
        let mut before: Option<Interval> = None;
        for replicas in [1, 2, 4] {
            let scenario =
                format!("{}replicas: {replicas}\nrouter: {router}\n", m_m_c(4, 0.9, 4000));
            let found = over_seeds(4, |seed| play(&scenario, seed).ttft_p99_s);
            if let Some(before) = before {
                let chance = found.half_width.unwrap().max(before.half_width.unwrap());
                assert!(found.mean <= before.mean + chance, "{router} {replicas}: {found:?}");
            }
            before = Some(found);
        }
    }
}

#[test]
fn a_router_that_sees_the_load_waits_less_than_one_that_does_not() {
    let wait = |router: &str| {
        let scenario = format!("{}replicas: 4\nrouter: {router}\n", m_m_c(1, 3.2, 8000));
        over_seeds(4, |seed| play(&scenario, seed).wait_s).mean
    };
    let (random, two, least) = (wait("random"), wait("power-of-two"), wait("least-requests"));
    assert!(least < two && two < 0.6 * random, "{least} {two} {random}");
}

/// The rate at which the backlog begins to grow, where nothing else is promised.
fn stability_limit(scenario: &str, seed: u64) -> Border {
    let scenario = format!("{scenario}slo: {{ttft: 1000h, tbt: 1000h}}\n");
    let document = Document::from_text("queue.yaml", &scenario, Files::any(""));
    let resolved = document.and_then(|d| d.resolve(Some(seed))).expect("a scenario");
    let (goal, watch) = (Goal::default(), Watch::default());
    let study = Study {
        experiment: &resolved.experiment,
        simulate: &Simulator,
        goal: &goal,
        kept: None,
        watch: &watch,
        at_once: 1,
    };
    let options = CapacityOptions { seeds: 5, jobs: 2, ..CapacityOptions::default() };
    let found = find_capacity(study, serde_json::Value::Null, &options).expect("a capacity");
    let one = &found.schedulers[0];
    assert_eq!(one.limited_by, ["the queue keeps growing"]);
    one.requests_per_s.expect("a rate")
}

/// One server of 0.1 s is stable up to 10 requests/s, however they come, and four up to 40: the mean
/// of five runs of 20,000 requests finds it, by the rate that came about.
#[test]
fn the_stability_limit_is_the_service_rate() {
    let poisson = m_d_1(0.5, 20_000);
    let equal = poisson.replace("poisson", "constant");
    let fleet = format!("{}replicas: 4\nrouter: round-robin\n", m_d_1(1.0, 20_000));
    for (name, scenario, limit, within) in [
        ("M/D/1", &poisson, 10.0, 0.01),
        ("D/D/1", &equal, 10.0, 0.01),
        ("four servers", &fleet, 40.0, 0.01),
        // The services are random as well, and they do not scale with the rate.
        ("M/M/1", &m_m_c(1, 0.5, 3_000), 1.0, 0.05),
    ] {
        let found = stability_limit(scenario, 1);
        assert!((found.mean / limit - 1.0).abs() < within, "{name}: {found:?}");
    }
}

/// A system that keeps up is not called overloaded because chance left more requests at the end.
#[test]
fn a_load_below_the_limit_is_steady() {
    for (scenario, seeds) in [(m_d_1(0.9, 4_000), 20), (m_m_c(4, 0.8, 4_000), 20)] {
        let growing = (0..seeds).filter(|&seed| play(&scenario, seed).growing).count();
        assert!(growing <= 1, "{growing} of {seeds}: {scenario}");
    }
    for seed in 0..5 {
        assert!(play(&m_d_1(1.1, 4_000), seed).growing, "seed {seed}");
    }
}
