//! Policies that choose whose prompt comes next: small cases computed by hand, iteration by iteration,
//! and random ones by both paths.
//!
//! By hand an iteration takes 10 ms and 0.1 ms for each prompt token; decodes are free.

use std::sync::{Arc, Mutex};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::{
    Draws, EngineInfo, KvGroups, Needs, News, Outlook, Predictor, Promise, Scale, Scheduler,
    SchedulerConfig, Step,
};
use crate::cost::{BatchShape, CostModel, IterationTime, Parts};
use crate::fleet::{FleetSetup, MakeScheduler, PoolSetup, Routing};
use crate::request::{ClassId, Request};
use crate::sim::{Outcome, SimError, SimOptions, play_fleet};
use crate::time::{Span, Time};
use crate::workload::Workload;

/// A request: when it arrives (ms), prompt, output, class.
type Load = (f64, u32, u32, &'static str);

/// An iteration's time: so much, and more for each prompt token.
#[derive(Clone, Copy)]
struct Line {
    iteration: Span,
    token: Span,
}

impl CostModel for Line {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        let tokens: u64 = shape.chunks().iter().map(|chunk| u64::from(chunk.tokens)).sum();
        let gpu = self.iteration.as_nanos() + tokens * self.token.as_nanos();
        IterationTime { gpu: Span::from_nanos(gpu), host: Span::from_nanos(1000) }
    }

    fn parts(&self, _shape: &BatchShape<'_>) -> Parts {
        Parts::default()
    }
}

/// How a case is played.
#[derive(Clone)]
struct Case {
    engine: EngineInfo,
    /// `D_p` and `D_d` in milliseconds, of class a and of class b.
    promises: [(u64, u64); 2],
    predictor: Predictor,
    ahead: bool,
    cost: Arc<dyn CostModel>,
}

fn engine(kv_blocks: u32) -> EngineInfo {
    EngineInfo {
        kv_block_tokens: 16,
        kv_blocks,
        max_model_len: 16_384,
        prefix_caching: false,
        kv_groups: KvGroups::ONE,
        large_gpu: false,
        gpu_memory_gib: None,
        speculative: None,
    }
}

fn outcome(config: &SchedulerConfig, case: &Case, load: &[Load], reference: bool) -> Outcome {
    let make = || config.build(&case.engine);
    played(&make, case, load, reference).unwrap_or_else(|error| panic!("{config:?}: {error}"))
}

fn played(
    make: &MakeScheduler<'_>,
    case: &Case,
    load: &[Load],
    reference: bool,
) -> Result<Outcome, SimError> {
    let request = |&(at, prompt_tokens, output_tokens, class): &Load| Request {
        arrival: Time::from_nanos((at * 1e6) as u64),
        prompt_tokens,
        output_tokens,
        max_tokens: output_tokens.max(100),
        priority: 0,
        class: ClassId(u16::from(class == "b")),
    };
    let workload = Workload {
        requests: load.iter().map(request).collect(),
        block_tokens: 16,
        classes: vec!["a".to_owned(), "b".to_owned()],
        ..Workload::default()
    };
    let promise = |(ttft, tbt): (u64, u64)| Promise {
        first: Arc::new(move |_| Span::from_millis(ttft)),
        tbt: Span::from_millis(tbt),
        fluid_index: 0.9,
    };
    let outlook = Arc::new(Outlook {
        common: promise(case.promises[0]),
        of_classes: case.promises.map(promise).to_vec(),
        cost: case.cost.clone(),
        predictor: case.predictor,
    });
    let pool = PoolSetup {
        cost: &*case.cost,
        engine: case.engine,
        replicas: 1,
        role: crate::fleet::Role::Both,
        lockstep: 1,
        async_scheduling: case.ahead,
        luck: None,
        answers_end_at: None,
        outlook: Some(&outlook),
        tiers: None,
        make,
    };
    let setup = FleetSetup {
        pools: vec![pool],
        routing: Routing::default(),
        controllers: &Vec::new,
        disaggregation: None,
        horizon: None,
    };
    let options = SimOptions { reference, keep_log: true, ..SimOptions::default() };
    play_fleet(&setup, &mut workload.arriving(), options)
}

fn config(text: &str) -> SchedulerConfig {
    let (name, parameters) = text.split_once(": ").unwrap_or((text, "{}"));
    let parameters: Value = serde_json::from_str(parameters).expect("parameters");
    let given = Value::Object([(name.to_owned(), parameters)].into_iter().collect());
    serde_json::from_value(given).expect("a scheduler")
}

fn by_hand(promises: [(u64, u64); 2]) -> Case {
    let cost = Line { iteration: Span::from_nanos(9_999_000), token: Span::from_micros(100) };
    Case {
        engine: engine(4000),
        promises,
        predictor: Predictor::default(),
        ahead: false,
        cost: Arc::new(cost),
    }
}

/// Iterations as text: when each starts (ms), its chunks as `request+tokens`, and its decodes.
fn lines(outcome: &Outcome) -> Vec<String> {
    let log = &outcome.log.as_ref().expect("it is kept")[0];
    let line = |iteration: crate::trace::Iteration<'_>| {
        let start = iteration.start.as_nanos() as f64 / 1e6;
        let mut line = vec![format!("{start}")];
        let chunks = iteration.chunks.iter();
        line.extend(chunks.map(|chunk| format!("{}+{}", chunk.request, chunk.tokens)));
        if iteration.decodes > 0 {
            line.push(format!("/{}", iteration.decodes));
        }
        line.join(" ")
    };
    log.iter().map(line).collect()
}

#[track_caller]
fn iterations(scheduler: &str, case: &Case, load: &[Load], expected: &[&str]) {
    let slow = outcome(&config(scheduler), case, load, true);
    let got = lines(&slow);
    assert_eq!(got[..expected.len().min(got.len())], *expected, "{scheduler}");
    assert_eq!(outcome(&config(scheduler), case, load, false), slow, "{scheduler}: both paths");
}

/// The first token after 40 ms, each later one after 50.
const TIGHT: [(u64, u64); 2] = [(40, 50); 2];

#[test]
fn fluid_makes_iterations_as_long_as_the_tightest_slack() {
    let load = [(0.0, 100, 30, "a"), (30.0, 2000, 2, "a")];
    iterations(
        r#"fluid: {"margin": 1, "learn_margin": false, "bank": false}"#,
        &by_hand(TIGHT),
        &load,
        &[
            // Nobody decodes: the whole prompt. Its token at 20 is on time, the next is due at 90.
            "0 0+100",
            "20 /1",
            // The token at 30 was due at 90, the next is at 140: 110 ms are 1000 prompt tokens.
            "30 1+1000 /1",
            // The token at 140 was just on time, the next is due at 190: 50 ms are 400.
            "140 1+400 /1",
            "190 1+400 /1",
            "240 1+200 /1",
            // Its first token is 200 ms late, and the next is due at 320.
            "270 /2",
            "280 /1",
        ],
    );
}

#[test]
fn fluid_takes_a_margin_off_the_slack() {
    let load = [(0.0, 100, 30, "a"), (30.0, 2000, 2, "a")];
    iterations(
        r#"fluid: {"margin": 2, "learn_margin": false, "bank": false}"#,
        &by_hand(TIGHT),
        &load,
        // 110 / 2 = 55 ms are 450 tokens. The next is due at 190: 105 / 2 = 52.5 ms are 425.
        &["0 0+100", "20 /1", "30 1+450 /1", "85 1+425 /1"],
    );
}

#[test]
fn fluid_learns_the_margin() {
    let load = [(0.0, 100, 30, "a"), (30.0, 2000, 2, "a")];
    iterations(
        // Predictions are half as long as iterations.
        r#"fluid: {"margin": 1, "bank": false}"#,
        &Case { predictor: Predictor { bias: -0.5, ..Predictor::default() }, ..by_hand(TIGHT) },
        &load,
        &[
            "0 0+100",
            "20 /1",
            // 20 ms were predicted to be 10: the margin is 1.0196. 110 / 1.0196 = 107.885 ms are
            // predicted for 10 + .1 c = 215.77: 2057 tokens, and 2000 are left.
            "30 1+2000 /1",
        ],
    );
}

#[test]
fn fluid_relegates_the_largest_of_those_that_cannot_all_be_in_time() {
    // A decode with a little slack; then three prompts, of which two can be in time.
    let load =
        [(0.0, 100, 40, "a"), (20.0, 1500, 1, "a"), (20.0, 200, 1, "a"), (20.0, 300, 1, "a")];
    iterations(
        r#"fluid: {"margin": 1, "learn_margin": false, "bank": false}"#,
        &by_hand([(200, 50); 2]),
        &load,
        &[
            "0 0+100",
            // At its pace, 400 tokens in 50 ms, a prompt token takes .125 ms: 187.5, 25 and 37.5 ms.
            // They are due at 220, and end at 207.5, 232.5: the largest goes behind, and the others are
            // done at 45 and 82.5. The decode's token is due at 250: 230 ms are 2200 tokens.
            "20 2+200 3+300 1+1500 /1",
        ],
    );
}

#[test]
fn fluid_shortest_of_those_behind_first_once_they_are_past() {
    let load =
        [(0.0, 100, 60, "a"), (20.0, 1000, 30, "a"), (20.0, 900, 30, "a"), (20.0, 300, 30, "a")];
    iterations(
        r#"fluid: {"margin": 1, "learn_margin": false, "bank": false}"#,
        &by_hand([(20, 20); 2]),
        &load,
        &[
            "0 0+100",
            // Due at 40: 100 tokens. All three cannot be in time; the shortest is begun first.
            "20 3+100 /1",
            "40 3+100 /1",
            "60 3+100 /1",
            "80 2+100 /2",
        ],
    );
}

#[test]
fn fluid_begins_no_sliver() {
    let load = [(0.0, 100, 30, "a"), (20.0, 400, 1, "a")];
    iterations(
        r#"fluid: {"margin": 1, "learn_margin": false, "bank": false, "sliver": 64}"#,
        &by_hand([(20, 15); 2]),
        &load,
        &[
            "0 0+100",
            // Due at 35: 50 tokens are fewer than 64. Each decode alone saves 5 ms.
            "20 /1",
            // Due at 50: 20 ms are 100.
            "30 1+100 /1",
            "50 /1",
            "60 1+100 /1",
        ],
    );
}

#[test]
fn fluid_gives_up_who_is_too_late() {
    let load = [(0.0, 100, 30, "a"), (20.0, 4000, 1, "a"), (25.0, 4000, 1, "a")];
    let scheduler = r#"fluid: {"margin": 1, "learn_margin": false, "bank": false, "max_num_seqs": 1, "give_up_after": "30ms"}"#;
    let case = by_hand([(20, 15); 2]);
    let slow = outcome(&config(scheduler), &case, &load, true);
    // Both wait for a seat until the first has ended, at 20 + 29 x 10 ms.
    assert_eq!(slow.rejections.len(), 2);
    assert_eq!(outcome(&config(scheduler), &case, &load, false), slow);
}

#[test]
fn edf_serves_the_earliest_deadline_first() {
    let load = [(0.0, 300, 2, "a"), (0.0, 300, 2, "b")];
    let expected = ["0 1+200", "30 1+100 0+100", "60 0+199 /1", "89.9 0+1"];
    let case = by_hand([(500, 50), (100, 50)]);
    iterations(r#"edf: {"token_budget": 200}"#, &case, &load, &expected);
}

#[test]
fn srpt_serves_the_shortest_prompt_first() {
    let load = [(0.0, 300, 2, "a"), (0.0, 100, 2, "a"), (5.0, 50, 2, "a")];
    let expected = [
        "0 1+100 0+100",
        // 200 are left of request 0, 50 of request 2; a decode takes one of the budget.
        "30 2+50 0+149 /1",
        "59.9 0+51 /1",
    ];
    iterations(r#"srpt: {"token_budget": 200}"#, &by_hand(TIGHT), &load, &expected);
}

#[test]
fn vtc_serves_the_client_with_the_least_service_first() {
    let load = [
        (0.0, 200, 1, "a"),
        (0.0, 200, 1, "a"),
        (0.0, 200, 1, "a"),
        (0.0, 100, 1, "b"),
        (0.0, 200, 1, "b"),
    ];
    iterations(
        r#"vtc: {"token_budget": 200}"#,
        &by_hand(TIGHT),
        &load,
        &[
            // Counters 0 and 0: the first of a; then 200 and 0: both of b.
            "0 0+200",
            "30 3+100 4+100",
            // Who is begun goes on. Counters are 202 and 302: a again.
            "60 4+100 1+100",
            "90 1+100 2+100",
        ],
    );
}

#[test]
fn qoserve_takes_the_largest_step_within_the_slack() {
    let load = [(0.0, 100, 30, "a"), (30.0, 2000, 2, "a")];
    iterations(
        r#"qoserve: {"margin": 1}"#,
        &by_hand([(40, 50); 2]),
        &load,
        &[
            "0 0+100",
            "20 /1",
            // Token 2 is due at 40 + 2 x 50: 110 ms are 1000 tokens, of which 7 x 128 = 896 is a step.
            "30 1+896 /1",
            // The next is due at 190: 190 - 129.6 = 60.4 ms are 504, and 384 is a step.
            "129.6 1+384 /1",
        ],
    );
}

#[test]
fn qoserve_falls_to_the_least_step_where_there_is_no_slack() {
    let load = [(0.0, 100, 30, "a"), (20.0, 2000, 2, "a")];
    iterations(
        r#"qoserve: {"margin": 1}"#,
        &by_hand([(20, 12); 2]),
        &load,
        // 12 ms are 20 tokens; 128 take 22.8, and the token after that is late before it begins.
        &["0 0+100", "20 1+128 /1", "42.8 1+128 /1"],
    );
}

#[test]
fn medha_keeps_the_pace_and_lets_a_long_prompt_give_way() {
    let load = [(0.0, 100, 30, "a"), (20.0, 300, 2, "a")];
    // 30 ms are 200 tokens, whatever was saved up.
    let expected = ["0 0+100", "20 1+200 /1", "50 1+100 /1"];
    iterations("medha", &by_hand([(200, 30); 2]), &load, &expected);
    // As a long one: it takes 40 ms alone and has 160 more, four times its work: it gives way in full,
    // until its relative slack is below one: at 160 + 20 ms, 220 - 180 - 40 = 0.
    let long = r#"medha: {"long_prompt_tokens": 300}"#;
    let slow = outcome(&config(long), &by_hand([(200, 30); 2]), &load, true);
    let begins = lines(&slow).into_iter().find(|line| line.contains(" 1+")).expect("it begins");
    // At 150 its slack is 220 - 150 - 40 = 30 ms of 40: a quarter of the 20 ms beside the decode.
    assert_eq!(begins, "150 1+50 /1");
}

#[test]
fn slai_lets_decodes_wait_until_their_last_moment() {
    let load = [(0.0, 100, 30, "a"), (20.0, 500, 2, "a")];
    iterations(
        r#"slai: {"token_budget": 100, "offset_ms": 20}"#,
        &by_hand([(200, 50); 2]),
        &load,
        &[
            "0 0+100",
            // The last moment is 20 + 50 - 20 = 50: the prompt has the iteration for itself.
            "20 1+100",
            // At 40 it has not come; at 60 it has, and the decode takes one of the 100.
            "40 1+100",
            "60 1+99 /1",
        ],
    );
}

/// What a policy was told: the length of each answer that ended, and the median of all at last.
type Told = (Vec<u32>, Option<u32>);

/// A policy that notes what it is told.
struct Noting {
    policy: Box<dyn Scheduler>,
    told: Arc<Mutex<Told>>,
}

impl Scheduler for Noting {
    fn needs(&self) -> Needs {
        Needs { deadlines: true, ..self.policy.needs() }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        self.told.lock().expect("alone").1 = step.median_answer();
        self.policy.schedule(step);
    }

    fn ended(&mut self, news: &News) {
        self.told.lock().expect("alone").0.push(news.view.generated());
    }
}

#[test]
fn a_policy_is_told_how_long_answers_were() {
    let lengths = [5, 1, 9, 7, 30];
    let load: Vec<Load> =
        (0..5).map(|i| (f64::from(i) * 3.0, 40, lengths[i as usize], "a")).collect();
    for (ahead, reference) in [(false, false), (false, true), (true, false), (true, true)] {
        let case = Case { ahead, ..by_hand([(1000, 1000); 2]) };
        let told = Arc::new(Mutex::new((Vec::new(), None)));
        let config = config("edf");
        let make = || -> Box<dyn Scheduler> {
            Box::new(Noting { policy: config.build(&case.engine), told: told.clone() })
        };
        played(&make, &case, &load, reference).expect("it comes to its end");
        let (mut ended, median) = told.lock().expect("alone").clone();
        ended.sort_unstable();
        assert_eq!(ended, [1, 5, 7, 9, 30], "ahead {ahead}, reference {reference}");
        assert_eq!(median, Some(7), "ahead {ahead}, reference {reference}");
    }
}

#[test]
fn both_paths_agree_on_random_loads() {
    for seed in 0..120 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let names = ["fluid", "qoserve", "edf", "srpt", "medha", "slai", "vtc"];
        let name = names[seed as usize % names.len()];
        let scale = Scale {
            seats: 1..=12,
            chunk: 16..=200,
            whole: 2000..=4000,
            block_tokens_max: 16,
            long_prefill_tokens: 29,
            hangs: false,
        };
        let engine = engine(rng.random_range(60..400));
        let config = loop {
            let drawn = SchedulerConfig::draw(name, &mut Draws::new(&mut rng, scale.clone()));
            let drawn = drawn.expect("it is registered");
            if drawn.problems(&engine).is_empty() {
                break drawn;
            }
        };
        let mut now = 0.0;
        let load: Vec<Load> = (0..rng.random_range(5..60))
            .map(|_| {
                now += rng.random_range(0.0..40.0_f64).floor();
                let class = if rng.random_bool(0.5) { "a" } else { "b" };
                (now, rng.random_range(1..600), rng.random_range(1..60), class)
            })
            .collect();
        let ms = |rng: &mut Xoshiro256PlusPlus| {
            (rng.random_range(1..400_u64), rng.random_range(1..40_u64))
        };
        let wrong = rng.random_bool(0.5);
        let case = Case {
            engine,
            promises: [ms(&mut rng), ms(&mut rng)],
            predictor: Predictor {
                bias: if wrong { -0.2 } else { 0.0 },
                spread: if wrong { 0.3 } else { 0.0 },
                seed,
                answer_spread: wrong.then_some(0.3),
            },
            ahead: rng.random_bool(0.5),
            cost: Arc::new(Line {
                iteration: Span::from_micros(rng.random_range(500..8000)),
                token: Span::from_micros(rng.random_range(5..100)),
            }),
        };
        let slow = outcome(&config, &case, &load, true);
        let fast = outcome(&config, &case, &load, false);
        assert_eq!(fast, slow, "seed {seed}: {config:?}");
        let ended = slow.trace.requests.iter().filter(|row| row.status.is_lost());
        assert_eq!(ended.count(), slow.rejections.len(), "seed {seed}: everybody else ends");
    }
}
