//! Pipeline parallelism: small systems whose every instant is worked out by hand, and the
//! recursion of the stages checked on the log of a busy one.

use crate::small::{ENGINE, request};
use metron_sim::cost::{
    BatchShape, Chunk, CostModel, Decodes, FixedPipeline, IterationTime, Parts,
};
use metron_sim::explain::{
    Blame, Cause, Culprit, Index, RecordedPool, Recording, Split, culprits, victims,
};
use metron_sim::ids::{IterationNo, LaneId};
use metron_sim::request::{Request, RequestId};
use metron_sim::runner::{PlayOptions, Simulate, Simulator, prepare};
use metron_sim::scenario::{Document, Files};
use metron_sim::scheduler::EngineInfo;
use metron_sim::sim::{Iteration, Log, Outcome};
use metron_sim::time::{Span, Time};

const TEN_MS: FixedPipeline = FixedPipeline { iteration: Span::from_millis(10), stages: 2 };

/// Each stage takes a millisecond a token, the host and each hand-over as given.
#[derive(Clone, Copy, Default)]
struct PerToken {
    stages: u32,
    host: Span,
    hand_over: Span,
}

impl PerToken {
    fn stage(shape: &BatchShape<'_>) -> Span {
        let tokens: u32 = shape.chunks().iter().map(|chunk| chunk.tokens).sum();
        Span::from_millis(u64::from(tokens + shape.decodes().requests()))
    }
}

impl CostModel for PerToken {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        let (stages, one) = (u64::from(self.stages), PerToken::stage(shape));
        let gpu = one.as_nanos() * stages + self.hand_over.as_nanos() * (stages - 1);
        IterationTime { gpu: Span::from_nanos(gpu), host: self.host }
    }

    fn parts(&self, shape: &BatchShape<'_>) -> Parts {
        let over = self.hand_over.as_nanos() * u64::from(self.stages - 1);
        Parts {
            layers_us: PerToken::stage(shape).as_nanos() as f64 / 1e3 * f64::from(self.stages),
            communication_us: over as f64 / 1e3,
            host_us: self.host.as_nanos() as f64 / 1e3,
            ..Parts::default()
        }
    }

    fn stages(&self) -> u32 {
        self.stages
    }

    fn stage_time(&self, shape: &BatchShape<'_>, stage: u32) -> IterationTime {
        let host = if stage == 0 { self.host } else { Span::ZERO };
        IterationTime { gpu: PerToken::stage(shape), host }
    }

    fn hand_over(&self, _: &BatchShape<'_>) -> Span {
        self.hand_over
    }
}

fn simulate(cost: &dyn CostModel, scheduler: &str, requests: Vec<Request>) -> Outcome {
    crate::small::simulate(cost, ENGINE, scheduler, false, requests)
}

const SARATHI: &str = r#"{"sarathi": {}}"#;

fn token_times_ms(outcome: &Outcome, request: usize) -> Vec<f64> {
    let row = &outcome.trace.requests[request];
    outcome.trace.token_times(row).map(|at| at.as_nanos() as f64 / 1e6).collect()
}

fn recording<'o>(outcome: &'o Outcome, cost: &'o dyn CostModel) -> Recording<'o> {
    let log = outcome.log.as_deref().expect("kept");
    let memory = metron_sim::explain::Memory {
        block_tokens: 16,
        blocks: outcome.kv.blocks,
        watermark_blocks: 0,
    };
    let pools = vec![RecordedPool {
        name: None,
        replicas: 1,
        cost,
        planned_ahead: false,
        by_turns: false,
        in_step: 1,
        caches: None,
        tiers: false,
        loads_in_step: false,
        memory,
    }];
    Recording { trace: &outcome.trace, entered: &[], turns: &[], log, pools }
}

fn gap(outcome: &Outcome, cost: &dyn CostModel, request: u32, token: u32) -> Split {
    let index = Index::new(recording(outcome, cost));
    index.gap(RequestId(request), token).expect("there is such a token").split
}

fn ms(split: &Split) -> Vec<(Cause, f64)> {
    split.ranked().into_iter().map(|(cause, span)| (cause, span.as_secs_f64() * 1e3)).collect()
}

#[test]
fn alone_a_request_takes_the_sum_of_the_stages() {
    let outcome = simulate(&TEN_MS, SARATHI, vec![request(Span::ZERO, 16, 3)]);
    assert_eq!(token_times_ms(&outcome, 0), [10.0, 20.0, 30.0]);
    // Two stages, each busy half of the time.
    assert_eq!(outcome.gpu_busy, Span::from_millis(15));
    let cost = PerToken { stages: 3, hand_over: Span::from_millis(2), ..PerToken::default() };
    let outcome = simulate(&cost, SARATHI, vec![request(Span::ZERO, 4, 2)]);
    // 3 x 4 + 2 x 2, then 3 x 1 + 2 x 2.
    assert_eq!(token_times_ms(&outcome, 0), [16.0, 23.0]);
    assert_eq!(ms(&gap(&outcome, &cost, 0, 1)), [(Cause::Communication, 4.0), (Cause::Own, 3.0)]);
}

#[test]
fn two_requests_share_the_pipeline_without_waiting_for_each_other() {
    let requests = vec![request(Span::ZERO, 16, 3), request(Span::ZERO, 16, 3)];
    let outcome = simulate(&TEN_MS, SARATHI, requests);
    assert_eq!(outcome.pools[0].lanes_per_replica, 2);
    assert_eq!(token_times_ms(&outcome, 0), [10.0, 20.0, 30.0]);
    // Stage 0 is free for it after 5 ms.
    assert_eq!(token_times_ms(&outcome, 1), [15.0, 25.0, 35.0]);
    let waited = [(Cause::Own, 10.0), (Cause::StepInFlight, 5.0)];
    assert_eq!(ms(&gap(&outcome, &TEN_MS, 1, 0)), waited);
    assert_eq!(ms(&gap(&outcome, &TEN_MS, 1, 1)), [(Cause::Own, 10.0)]);
    let log = outcome.log.as_deref().expect("kept");
    assert!(
        log.iter()
            .all(|lane| lane.len() == 3 && lane.iter().all(|i| i.running == 2 || i.running == 1))
    );
}

#[test]
fn a_burst_is_dealt_out_to_the_lanes_evenly() {
    let requests = vec![request(Span::ZERO, 16, 2); 7];
    let outcome = simulate(&FixedPipeline { stages: 3, ..TEN_MS }, SARATHI, requests);
    let log = outcome.log.as_deref().expect("kept");
    let first: Vec<usize> =
        log.iter().map(|lane| lane.at(IterationNo::FIRST).chunks.len()).collect();
    assert_eq!(first, [3, 3, 1], "at most a third each, rounded up");
    assert!(log.iter().all(|lane| lane.len() == 2));
}

#[test]
fn at_saturation_a_micro_batch_leaves_every_stage_time() {
    let cost = FixedPipeline { iteration: Span::from_millis(10), stages: 4 };
    let outcome = simulate(&cost, SARATHI, vec![request(Span::ZERO, 16, 50); 8]);
    let log = outcome.log.as_deref().expect("kept");
    let mut ends: Vec<u64> = log.iter().flatten().map(|i| i.end.as_nanos()).collect();
    ends.sort_unstable();
    assert_eq!(ends.len(), 200);
    assert!(ends.windows(2).all(|pair| pair[1] - pair[0] == 2_500_000));
    // 8 x 50 tokens in 10 ms and 199 x 2.5 ms.
    assert_eq!(outcome.trace.end, Time::ZERO + Span::from_micros(507_500));
    let share = outcome.gpu_busy.as_secs_f64() / 0.507_5;
    assert!(share > 0.98, "all stages are busy: {share}");
}

#[test]
fn a_long_prompt_in_the_other_lane_makes_a_bubble() {
    let cost = PerToken { stages: 2, ..PerToken::default() };
    let requests = vec![request(Span::ZERO, 1, 4), request(Span::from_micros(500), 8, 1)];
    let outcome = simulate(&cost, SARATHI, requests);
    // Lane 0: stage 0 from 0 to 1, stage 1 from 1 to 2. Lane 1's 8 tokens: 1 to 9 and 9 to 17.
    // Lane 0's decode, ready at 2: stage 0 from 9 to 10, stage 1 from 17 to 18.
    assert_eq!(token_times_ms(&outcome, 0), [2.0, 18.0, 20.0, 22.0]);
    assert_eq!(token_times_ms(&outcome, 1), [17.0]);
    let stall = ms(&gap(&outcome, &cost, 0, 1));
    assert_eq!(stall, [(Cause::PipelineBubble, 14.0), (Cause::Own, 2.0)]);
    let first = ms(&gap(&outcome, &cost, 1, 0));
    assert_eq!(first, [(Cause::Own, 16.0), (Cause::StepInFlight, 0.5)]);
    // Its 16 ms of prefill bear all of the 14 ms: 7 before stage 0, and 7 before stage 1.
    let index = Index::new(recording(&outcome, &cost));
    let bubble = |request, ms: u64, tokens| Culprit {
        request: RequestId(request),
        cause: Cause::PipelineBubble,
        ns: ms * 1_000_000,
        tokens,
    };
    assert_eq!(culprits(&index, RequestId(0), 1), [bubble(1, 14, 8)]);
    assert_eq!(culprits(&index, RequestId(0), 2), []);
    let blame = Blame::new(&index);
    assert_eq!(ms(&blame.given[1]), [(Cause::PipelineBubble, 14.0)]);
    assert_eq!(blame.delayed_at_once, [0, 1]);
    let victims = victims(&index, &blame, &[RequestId(0), RequestId(1)]);
    assert_eq!(victims[0].delayed, []);
    assert_eq!(victims[1].delayed, [(RequestId(0), 14_000_000)]);
    // What each iteration was made of, as a timeline shows it.
    let parts: Vec<(Cause, u64)> =
        index.parts(LaneId(0), IterationNo(1)).into_iter().filter(|&(_, ns)| ns > 0).collect();
    assert_eq!(parts, [(Cause::Own, 2_000_000), (Cause::PipelineBubble, 7_000_000)]);
}

#[test]
fn a_chunk_bears_at_most_what_it_took_and_only_bubbles_behind_it() {
    let cost = PerToken { stages: 3, ..PerToken::default() };
    // Lane 0 has a prompt of 2 tokens with an answer; lane 1 one of 6 and lane 2 one of 3.
    let requests = vec![
        request(Span::ZERO, 2, 3),
        request(Span::from_micros(500), 6, 1),
        request(Span::from_micros(600), 3, 2),
    ];
    let outcome = simulate(&cost, SARATHI, requests);
    // Lane 0: stages from 0, 2 and 4, done at 6. Lane 1: from 2, 8 and 14, done at 20. Lane 2: from
    // 8, then behind lane 1 from 14 (3 ms late) and 20 (3 more), done at 23. Lane 0's decode, ready at
    // 6, has stage 0 at 11, stage 1 at 17 behind lane 2, stage 2 at 23, and is done at 24.
    assert_eq!(token_times_ms(&outcome, 0)[..2], [6.0, 24.0]);
    assert_eq!(token_times_ms(&outcome, 1), [20.0]);
    assert_eq!(token_times_ms(&outcome, 2)[0], 23.0);
    let index = Index::new(recording(&outcome, &cost));
    let named = |request, token| -> Vec<(u32, f64)> {
        let of_bubble = |culprit: &Culprit| culprit.cause == Cause::PipelineBubble;
        let all = culprits(&index, RequestId(request), token);
        all.into_iter().filter(of_bubble).map(|one| (one.request.0, one.ns as f64 / 1e6)).collect()
    };
    // 18 ms less 3 of its own: 5 before stage 0, 10 between stages. Prefill ahead of it took 18 ms
    // in lane 1 and 9 in lane 2: both shares in proportion, so two thirds and a third of 15 ms.
    assert_eq!(ms(&gap(&outcome, &cost, 0, 1))[0], (Cause::PipelineBubble, 15.0));
    assert_eq!(named(0, 1), [(1, 10.0), (2, 5.0)]);
    // Request 2's prompt waited 6 ms between stages, for lane 1 alone: what was ahead of it in
    // lane 0 was over at 6, before it began.
    assert_eq!(named(2, 0), [(1, 6.0)]);
    assert_eq!(named(1, 0), [], "nothing waits for what comes behind it");
}

#[test]
fn host_work_holds_stage_0_and_hides_behind_it_when_asynchronous() {
    let cost = PerToken { stages: 2, host: Span::from_millis(3), ..PerToken::default() };
    let v1 = r#"{"vllm-v1": {}}"#;
    let run = |asynchronous| {
        let requests = vec![request(Span::ZERO, 5, 2)];
        token_times_ms(&crate::small::simulate(&cost, ENGINE, v1, asynchronous, requests), 0)
    };
    // 3 + 5 and 5; then, after a millisecond asleep, 3 + 1 and 1.
    assert_eq!(run(false), [13.0, 19.0]);
    // The second batch is sent while the first is computed, and waits for its token.
    assert_eq!(run(true), [13.0, 15.0]);
}

#[test]
fn seats_are_a_lanes_and_memory_is_the_replicas() {
    let requests = vec![request(Span::ZERO, 16, 2), request(Span::ZERO, 16, 1)];
    let one_seat = r#"{"sarathi": {"max_num_seqs": 1}}"#;
    let outcome = simulate(&TEN_MS, one_seat, requests.clone());
    assert_eq!(token_times_ms(&outcome, 1), [15.0]);
    // Memory for one: Orca reserves 4 blocks for each.
    let engine = EngineInfo { kv_blocks: 7, max_model_len: 64, ..ENGINE };
    let outcome = crate::small::simulate(&TEN_MS, engine, r#"{"orca": {}}"#, false, requests);
    assert_eq!(token_times_ms(&outcome, 0), [10.0, 20.0]);
    assert_eq!(token_times_ms(&outcome, 1), [30.0]);
    assert_eq!(outcome.kv.peak_used, 4);
}

/// When each micro-batch of a replica leaves the last stage, by the recursion of the stages over
/// the batches of the log in order of their start.
fn ends_by_recursion(log: &[Log], cost: &PerToken) -> Vec<(Time, Time)> {
    let mut all: Vec<Iteration<'_>> = log.iter().flatten().collect();
    all.sort_by_key(|iteration| iteration.start);
    let mut before = vec![Time::ZERO; cost.stages as usize];
    let mut ends = Vec::new();
    for iteration in all {
        let chunks: Vec<Chunk> = iteration
            .chunks
            .iter()
            .map(|c| Chunk { context: c.context, tokens: c.tokens })
            .collect();
        let shape = BatchShape::new(
            &chunks,
            Decodes::one_token_each(iteration.decodes, iteration.decode_kv_tokens),
            iteration.sampled(),
        );
        assert!(iteration.start >= before[0], "stage 0 holds one micro-batch");
        let mut at = iteration.start;
        for (stage, free) in before.iter_mut().enumerate() {
            if stage > 0 {
                at += cost.hand_over;
            }
            let host = if stage == 0 { cost.host } else { Span::ZERO };
            at = at.max(*free) + PerToken::stage(&shape) + host;
            *free = at;
        }
        ends.push((at, iteration.end));
    }
    ends
}

#[test]
fn a_stage_holds_one_micro_batch_at_a_time() {
    for stages in 2..=4 {
        let (host, hand_over) = (Span::from_micros(300), Span::from_micros(700));
        let cost = PerToken { stages, host, hand_over };
        let requests = (0..40_u32).map(|k| {
            let arrival = Span::from_millis(u64::from(k * k % 97) + 20 * u64::from(k));
            request(arrival, 1 + k * 7 % 60, 1 + k * 5 % 23)
        });
        let mut requests: Vec<Request> = requests.collect();
        requests.sort_by_key(|request| request.arrival);
        let outcome = simulate(&cost, r#"{"sarathi": {"chunk_size": 32}}"#, requests);
        let log = outcome.log.as_deref().expect("kept");
        assert_eq!(log.len(), stages as usize);
        assert!(log.iter().all(|lane| lane.len() > 20), "every lane works");
        for (expected, found) in ends_by_recursion(log, &cost) {
            assert_eq!(expected, found);
        }
    }
}

/// Runs a scenario by the program and parses what it prints.
fn run_scenario(pipeline: u32, more: &[&str]) -> (Vec<u8>, serde_json::Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pipeline.yaml");
    let text = format!(
        "model: llama-3.1-70b\ngpu: h100-sxm\nparallelism: {{tensor: 4, pipeline: {pipeline}}}\n\
         schedulers: [vllm-v0, vllm-v1, sarathi, tensorrt-llm]\nseed: 3\nworkload:\n  \
         requests: 150\n  arrivals: {{poisson: {{rate: 6.0}}}}\n  lengths: {{prompt: {{uniform: \
         {{min: 20, max: 900}}}}, output: {{uniform: {{min: 1, max: 120}}}}}}\n"
    );
    std::fs::write(&file, text).expect("written");
    let output = assert_cmd::Command::cargo_bin("metron-sim")
        .expect("built")
        .arg("run")
        .arg(&file)
        .args(["--format", "json", "-q"])
        .args(more)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.stdout, result)
}

#[test]
fn a_scenario_runs_in_stages_and_gives_the_same_bytes_slowly() {
    let (fast, staged) = run_scenario(2, &[]);
    assert!(run_scenario(2, &["--reference"]).0 == fast, "paths differ");
    let (_, whole) = run_scenario(1, &[]);
    let number = |result: &serde_json::Value, run: usize, path: &str| {
        result["runs"][run].pointer(path).and_then(serde_json::Value::as_f64).expect("a number")
    };
    for run in 0..4 {
        assert_eq!(number(&staged, run, "/requests/completed"), 150.0);
        let hours = |result| number(result, run, "/cost/gpu_hours");
        assert!(hours(&staged) > 1.9 * hours(&whole), "twice the GPUs for about as long");
    }
}

/// Seats are counted here for each batch; vLLM V1 counts them over all.
#[test]
fn a_pipeline_says_that_its_batches_are_simplified() {
    let run = |set: &[&str]| {
        let mut command = assert_cmd::Command::cargo_bin("metron-sim").expect("built");
        let scenario = "tests/data/cases/pipeline-seats.yaml";
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["run", scenario]);
        let output = command.args(set).output().expect("it runs");
        assert!(output.status.success());
        (
            String::from_utf8(output.stdout).expect("text"),
            String::from_utf8(output.stderr).expect("text"),
        )
    };
    // vLLM V1's batches are its own, turn by turn.
    let (json, told) = run(&["--format", "json"]);
    assert!(!json.contains("are simplified") && !told.contains("are simplified"));
    let says = "sarathi(max_num_seqs=16): batches in a pipeline are simplified";
    let set = ["--set", "schedulers=[sarathi: {max_num_seqs: 16}]"];
    let (json, told) = run(&[&["--format", "json"][..], &set].concat());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let warnings = json["warnings"].as_array().expect("a list");
    let warning = warnings.iter().filter_map(|w| w.as_str()).find(|w| w.starts_with(says));
    let warning = warning.expect("a warning");
    for part in ["16 requests at once", "up to 64 run", "Throughput is likely too high"] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    assert!(told.contains(says), "{told}");
    let (text, _) = run(&set);
    assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(says), "{text}");
    let (json, told) = run(&["--format", "json", "--set", "parallelism.pipeline=1"]);
    assert!(!json.contains("are simplified") && !told.contains("are simplified"));
    // Every other policy says so too, those whose seats hold for each batch without a number.
    for (policy, number) in [("vllm-v0", false), ("vllm-v0-chunked", false), ("sarathi", true)] {
        let set = format!("schedulers=[{policy}]");
        let (json, _) = run(&["--format", "json", "--set", &set]);
        assert!(
            json.contains(&format!("{policy}: batches in a pipeline are simplified")),
            "{json}"
        );
        assert_eq!(json.contains("so that up to 512 run"), number, "{policy}");
    }
}

#[test]
fn a_stall_names_prompts_of_the_other_lane() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pipeline.yaml");
    let text = "model: llama-3.1-70b\ngpu: h100-sxm\nparallelism: {tensor: 4, pipeline: 2}\n\
                schedulers: [{sarathi: {chunk_size: 4096}}]\nseed: 3\nworkload:\n  requests: 60\n  \
                arrivals: {poisson: {rate: 3.0}}\n  lengths: {prompt: {uniform: {min: 20, max: \
                6000}}, output: {uniform: {min: 50, max: 120}}}\n";
    std::fs::write(&file, text).expect("written");
    let explain = |format: &str| {
        let mut command = assert_cmd::Command::cargo_bin("metron-sim").expect("built");
        command.arg("explain").arg(&file).args(["--format", format, "-q"]);
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let told = explain("text");
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("-token prompt, in another lane)"), "{told}");
    let result: serde_json::Value = serde_json::from_str(&explain("json")).expect("JSON");
    let stalls = result["runs"][0]["stalls"].as_array().expect("stalls");
    let mut named = 0;
    for stall in stalls {
        let bubble = stall["causes_ns"]["pipeline_bubble"].as_u64().unwrap_or(0);
        let all = stall["culprits"].as_array().expect("culprits");
        let of_bubble = all.iter().filter(|culprit| culprit["cause"] == "pipeline_bubble");
        let shares = of_bubble.map(|culprit| {
            let tokens = culprit["prefill_tokens"].as_u64().expect("a number");
            assert!(tokens > 0 && tokens <= culprit["prompt_tokens"].as_u64().expect("a number"));
            named += 1;
            culprit["ns"].as_u64().expect("a number")
        });
        assert!(shares.sum::<u64>() <= bubble, "{stall}");
    }
    assert!(named > 0, "no stall was a long prompt's of the other lane");
}

#[test]
fn a_page_frames_the_iterations_of_the_lane_that_was_in_the_way() {
    let text = "model: llama-3.1-70b\ngpu: h100-sxm\nreplicas: 2\nparallelism: {tensor: 4, pipeline: 2}\n\
                schedulers: [{sarathi: {chunk_size: 4096}}]\nseed: 3\nworkload:\n  requests: 40\n  \
                arrivals: {poisson: {rate: 6.0}}\n  lengths: {prompt: {uniform: {min: 20, max: \
                6000}}, output: {uniform: {min: 20, max: 50}}}\n";
    let question = serde_json::json!({"op": "simulate", "scenario": {"text": text}, "steps": null});
    let files = metron_sim::scenario::Files::none();
    let answer = metron_sim::playground::answer(&question.to_string(), &files);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    let run = &answer["runs"][0];
    let lanes = run["lanes"].as_array().expect("lanes");
    let parts: Vec<_> = lanes.iter().map(|lane| lane["part"].clone()).collect();
    assert_eq!(serde_json::json!(parts), serde_json::json!([[0, 0], [0, 1], [1, 0], [1, 1]]));
    // Start and end of the iterations of a lane that prefilled a request, by what is drawn of it.
    let prefills = |lane: u64, request: u64| {
        let all = &lanes[lane as usize]["all"];
        assert_eq!(all["each"], 1);
        let list = |value: &serde_json::Value| -> Vec<u64> {
            value.as_array().expect("a list").iter().map(number).collect()
        };
        let (deltas, spans) = (list(&all["start_us"]), list(&all["span_us"]));
        let (columns, whose) = (list(&all["who"]["column"]), list(&all["who"]["request"]));
        let sums = |deltas: Vec<u64>| -> Vec<u64> {
            deltas
                .iter()
                .scan(0, |at, delta| {
                    *at += delta;
                    Some(*at)
                })
                .collect()
        };
        let (starts, columns) = (sums(deltas), sums(columns));
        let of_it = columns.iter().zip(&whose).filter(move |(_, who)| **who == request);
        of_it.map(|(&at, _)| (starts[at as usize], spans[at as usize])).collect::<Vec<_>>()
    };
    let (mut elsewhere, mut framed) = (0, 0);
    for stall in run["stalls"].as_array().expect("stalls") {
        let (from, to) = (number(&stall["from_us"]), number(&stall["to_us"]));
        for culprit in stall["culprits"].as_array().expect("culprits") {
            let lane = number(&culprit["lane"]);
            let own = lane == number(&stall["replica"]);
            assert_eq!(lane / 2, number(&stall["replica"]) / 2, "of the same replica");
            let bubble = culprit["cause"] == "pipeline_bubble";
            assert!(!(bubble && own), "{culprit}");
            let mut frames = culprit["iterations_us"].as_array().expect("a list").iter();
            let expected = prefills(lane, number(&culprit["request"]));
            let within = expected.iter().filter(|(start, span)| *start < to && start + span > from);
            for (start, _) in within {
                let frame = frames.next().expect("every iteration in the way has a frame");
                assert_eq!(number(&frame[0]), *start);
                framed += 1;
                elsewhere += u32::from(!own);
            }
            assert!(frames.next().is_none(), "a frame around nothing: {culprit}");
            let any = !culprit["iterations_us"].as_array().expect("a list").is_empty();
            assert!(any || culprit["prefill_tokens"] == 0, "no frame: {culprit}");
        }
    }
    assert!(elsewhere > 0 && framed > elsewhere, "{elsewhere} of {framed} in another lane");
}

/// Seats are counted over all batches of a pipeline: 128 requests at once, of which 16 run.
#[test]
fn vllm_v1_counts_seats_over_all_batches() {
    let text = "model: llama-2-7b\ngpu: a100-sxm-80gb\nparallelism: {pipeline: 4}\n\
                engine: {profile: ideal}\nschedulers: [{vllm-v1: {max_num_seqs: 16}}]\n\
                workload: {requests: 128, arrivals: {all_at_once: {}}, \
                lengths: {prompt: {fixed: 26}, output: {fixed: 500}}}\n";
    let document = Document::from_text("seats", text, Files::none()).expect("YAML");
    let prepared = prepare(&document, Some(1), 1).unwrap_or_else(|error| panic!("{error}"));
    let simplified = |warning: &&String| warning.contains("simplified");
    assert_eq!(prepared.warnings.iter().find(simplified), None);
    let options = PlayOptions { keep_log: true, ..PlayOptions::default() };
    let run = &prepared.experiment.schedulers[0];
    let outcome = Simulator
        .simulate(&prepared.experiment, run, &prepared.requests, options)
        .unwrap_or_else(|error| panic!("{error}"));
    let lanes = outcome.log.as_deref().expect("it was kept");
    let most = lanes.iter().flat_map(|lane| lane.iter()).map(|iteration| iteration.running).max();
    assert_eq!(most, Some(16));
    // A burst that fits one budget makes one batch: all of them decode together.
    let together = lanes.iter().flat_map(|lane| lane.iter()).map(|iteration| iteration.decodes);
    assert_eq!(together.max(), Some(16));
}
