//! Sessions that are drawn: what their turns find again, who comes when, and that nobody's choice changes
//! what is asked.

use std::collections::BTreeMap;

use metron_sim::explain::{Blame, Cause, Index};
use metron_sim::progress::Progress;
use metron_sim::runner::{
    Requests, RunInput, RunOptions, SchedulerOutput, Simulator, recording, run_experiment,
};
use metron_sim::scenario::{Document, Experiment, Files};
use metron_sim::time::Time;
use metron_sim::trace::Status;

const BLOCK: u32 = 16;

const BASE: &str = "
seed: 3
engine:
  profile: {fixed: {iteration: 10ms}}
  kv_blocks: 100000
  max_model_len: 8000
  prefix_caching: true
schedulers: [vllm-v1]
workload:
  sessions:
    count: 1
    arrivals: all_at_once
    first_prompt: {fixed: 1003}
    turns: {fixed: 8}
    new_tokens: {uniform: {min: 1, max: 300}}
    output: {uniform: {min: 1, max: 200}}
    gap: {exponential: {mean: 5s}}
";

fn play(experiment: &Experiment, reference: bool) -> Vec<SchedulerOutput> {
    let (requests, _) = Requests::of(experiment).expect("sessions");
    let input = RunInput { experiment, requests: &requests };
    let options = RunOptions { reference, keep_log: true, ..RunOptions::default() };
    let progress = Progress::new(experiment.schedulers.len());
    run_experiment(input, options, &Simulator, &progress).expect("it runs")
}

fn run(sets: &[&str]) -> Vec<SchedulerOutput> {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let document = Document::from_text("sessions.yaml", BASE, Files::any(""))
        .and_then(|document| document.with(&sets))
        .unwrap_or_else(|error| panic!("{}", error.render(false)));
    let resolved = document.resolve(None).unwrap_or_else(|error| panic!("{}", error.render(false)));
    let (fast, slow) = (play(&resolved.experiment, false), play(&resolved.experiment, true));
    for (fast, slow) in fast.iter().zip(&slow) {
        assert!(fast.outcome == slow.outcome, "both paths give the same: {sets:?}");
        assert_eq!(fast.result, slow.result);
    }
    fast
}

/// By the fast path alone, with what is said of the requests.
fn load_and_play(sets: &[&str]) -> (Vec<SchedulerOutput>, Vec<String>) {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let document = Document::from_text("sessions.yaml", BASE, Files::any(""))
        .and_then(|document| document.with(&sets))
        .unwrap_or_else(|error| panic!("{}", error.render(false)));
    let resolved = document.resolve(None).unwrap_or_else(|error| panic!("{}", error.render(false)));
    let (requests, warnings) = Requests::of(&resolved.experiment).expect("sessions");
    let input = RunInput { experiment: &resolved.experiment, requests: &requests };
    let progress = Progress::new(resolved.experiment.schedulers.len());
    let outputs =
        run_experiment(input, RunOptions::default(), &Simulator, &progress).expect("it runs");
    (outputs, warnings.into_iter().map(|warning| warning.message).collect())
}

/// Prompt tokens that each request computed, by its chunks, where it was never preempted.
fn computed(output: &SchedulerOutput) -> Vec<Option<u32>> {
    let rows = &output.outcome.trace.requests;
    let mut computed = vec![0; rows.len()];
    for chunk in output.outcome.log.iter().flatten().flatten().flat_map(|step| step.chunks.to_vec())
    {
        computed[chunk.request.index()] += chunk.tokens;
    }
    let whole = |(row, tokens): (&metron_sim::trace::RequestRow, u32)| {
        (row.preemptions == 0 && row.status == Status::Completed).then_some(tokens)
    };
    rows.iter().zip(computed).map(whole).collect()
}

/// What is computed and what is found are together what was asked, and no turn finds more than the whole blocks
/// of what came before it.
fn adds_up(output: &SchedulerOutput) {
    let rows = &output.outcome.trace.requests;
    assert_eq!(rows.len(), output.outcome.turns.len());
    for ((row, turn), computed) in rows.iter().zip(&output.outcome.turns).zip(computed(output)) {
        if let Some(computed) = computed {
            assert_eq!(computed + row.hit_tokens, row.prompt_tokens, "{turn:?}");
        }
        let before = turn.inherits.max(turn.prefix_tokens);
        assert!(row.hit_tokens <= before / BLOCK * BLOCK, "{} of {turn:?}", row.hit_tokens);
    }
}

#[test]
fn a_session_alone_finds_every_full_block_of_all_that_was_said() {
    let all = run(&[]);
    let (rows, turns) = (&all[0].outcome.trace.requests, &all[0].outcome.turns);
    adds_up(&all[0]);
    assert_eq!(rows.len(), 8);
    for place in 1..8 {
        let before = &rows[place - 1];
        // The answer's last token is sampled, and never computed.
        let kept = (before.prompt_tokens + before.tokens - 1) / BLOCK * BLOCK;
        assert_eq!(
            rows[place].hit_tokens,
            kept.min((rows[place].prompt_tokens - 1) / BLOCK * BLOCK)
        );
        let end = all[0].outcome.trace.last_token(before).expect("answered");
        assert_eq!(rows[place].arrival, end + turns[place].gap);
    }
    let sessions = all[0].result.sessions.as_deref().expect("sessions");
    assert_eq!((sessions.begun, sessions.completed, sessions.turns), (1, 1, 8));
    assert_eq!((sessions.missed_tokens.evicted, sessions.missed_tokens.other_replica), (0, 0));
    let span = rows.last().map(|row| all[0].outcome.trace.last_token(row).expect("answered"));
    let seconds = span.expect("turns").since(rows[0].arrival).as_secs_f64();
    assert_eq!(sessions.completion_s.max, Some(seconds));
}

/// A simulator once computed each round of a conversation anew (inference-sim issue 1274): first tokens of later
/// turns came as late as if nothing had been said before.
#[test]
fn later_turns_prefill_only_what_is_new() {
    let chunks = "schedulers=[{vllm-v1: {max_num_batched_tokens: 512}}]";
    let long = "workload.sessions.first_prompt={fixed: 20000}";
    let all = run(&[chunks, "engine.max_model_len=60000", long]);
    let sessions = all[0].result.sessions.as_deref().expect("sessions");
    let ttft = |place: usize| sessions.by_turn[place].ttft_s.max.expect("turns");
    // 40 steps of 10 ms for the first, one for each later one.
    assert!(ttft(0) >= 0.39 && ttft(1) <= 0.021 && ttft(3) <= 0.021, "{:?}", sessions.by_turn);
    // And all of the history is read again, not the turn before alone.
    let last = all[0].outcome.trace.requests.last().expect("turns");
    assert!(last.hit_tokens >= 20_000);
}

/// Another hung where contexts that grow with long answers passed the model's (inference-sim issue 529).
#[test]
fn contexts_that_fill_up_come_to_an_end() {
    for rule in ["end", "truncate-oldest", "{compact: {to: 400}}"] {
        let all = run(&[
            "engine.max_model_len=2000",
            "workload.sessions.count=6",
            "workload.sessions.turns={fixed: 30}",
            "workload.sessions.output={fixed: 190}",
            &format!("workload.sessions.max_context={rule}"),
        ]);
        adds_up(&all[0]);
        let rows = &all[0].outcome.trace.requests;
        assert!(rows.iter().all(|row| row.status == Status::Completed), "{rule}");
        assert!(rows.iter().all(|row| row.prompt_tokens + row.tokens <= 2000), "{rule}");
        let sessions = all[0].result.sessions.as_deref().expect("sessions");
        assert_eq!((sessions.completed, sessions.failed), (6, 0), "{rule}");
        match rule {
            "end" => assert!(rows.len() < 6 * 8),
            _ => assert_eq!(rows.len(), 6 * 30, "{rule}"),
        }
        if rule == "truncate-oldest" {
            let cut =
                |turn: &&metron_sim::workload::SessionTurn| turn.turn > 0 && turn.inherits == 0;
            let cut: Vec<_> = all[0].outcome.turns.iter().filter(cut).collect();
            assert!(cut.len() > 100, "{}", cut.len());
        }
    }
}

#[test]
fn schedulers_routers_and_speeds_change_nothing_of_what_is_asked() {
    let many = [
        "workload.sessions.count=30",
        "workload.sessions.arrivals={poisson: {rate: 1}}",
        "workload.sessions.turns={uniform: {min: 1, max: 9}}",
        "workload.sessions.shared_prefix={count: 2, tokens: 500}",
        "replicas=3",
    ];
    let asked = |more: &[&str]| {
        let all = run(&[&many[..], more].concat());
        let mut by_turn = BTreeMap::new();
        for (row, turn) in all[0].outcome.trace.requests.iter().zip(&all[0].outcome.turns) {
            let said = (row.prompt_tokens, row.tokens, turn.inherits, turn.gap);
            assert!(by_turn.insert((turn.session, turn.turn), said).is_none());
        }
        adds_up(&all[0]);
        by_turn
    };
    let plain = asked(&[]);
    assert!(plain.len() > 100);
    for more in [
        "schedulers=[vllm-v0]",
        "router=session-affinity",
        "router=random",
        "engine.profile={fixed: {iteration: 35ms}}",
        "engine.kv_blocks=600",
    ] {
        assert_eq!(asked(&[more]), plain, "{more}");
    }
}

#[test]
fn where_tokens_are_found_and_why_they_are_not_is_told() {
    let many = [
        "workload.sessions.count=40",
        "workload.sessions.arrivals={constant: {rate: 4}}",
        "workload.sessions.shared_prefix={tokens: 480}",
        "replicas=2",
        "router=session-affinity",
    ];
    let of = |more: &[&str]| {
        let all = run(&[&many[..], more].concat());
        adds_up(&all[0]);
        *all[0].result.sessions.clone().expect("sessions")
    };
    let ample = of(&[]);
    assert_eq!((ample.missed_tokens.evicted, ample.missed_tokens.other_replica), (0, 0));
    assert!(ample.hit_tokens.own_session > 0 && ample.hit_tokens.other == 0);
    // All but the first session of each replica find the prefix, 480 tokens in 30 blocks.
    assert!(ample.hit_tokens.shared_prefix >= 480 * (ample.turns - 2), "{:?}", ample.hit_tokens);
    let apart = of(&["router=round-robin"]);
    assert!(apart.missed_tokens.other_replica > 0 && apart.missed_tokens.evicted == 0);
    assert!(apart.hit_share < ample.hit_share);
    let short = of(&["engine.kv_blocks=1500"]);
    assert!(short.missed_tokens.evicted > 0 && short.missed_tokens.other_replica == 0);
    assert!(short.hit_share < ample.hit_share);
    assert!(short.working_set_tokens.peak > short.kv_capacity_tokens.expect("one kind of layers"));
}

#[test]
fn what_others_pushed_out_has_a_name_and_culprits() {
    let sets = [
        "workload.sessions.count=40",
        "workload.sessions.arrivals={constant: {rate: 4}}",
        "engine.profile={step_law: {iteration_us: 10000, prefill_token_us: 20}}",
        "engine.kv_blocks=1500",
    ];
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let document = Document::from_text("sessions.yaml", BASE, Files::any(""));
    let resolved = document.and_then(|document| document.with(&sets)?.resolve(None));
    let experiment = resolved.unwrap_or_else(|error| panic!("{}", error.render(false))).experiment;
    let output = &play(&experiment, false)[0];
    let index = Index::new(recording(&experiment, &experiment.schedulers[0], &output.outcome));
    let gaps = index.requests().flat_map(|request| index.gaps(request));
    let lost: u64 = gaps.map(|gap| gap.split[Cause::CacheEvicted]).sum();
    let blame = Blame::new(&index);
    let given: u64 = blame.given.iter().map(|given| given[Cause::CacheEvicted]).sum();
    assert!(lost > 0);
    assert_eq!(given, lost, "blame is delay");
}

#[test]
fn users_have_as_many_sessions_at_once_as_there_are_of_them() {
    let all = run(&[
        "workload.sessions.count=20",
        "workload.sessions.arrivals=null",
        "workload.sessions.concurrency={users: 4}",
    ]);
    let sessions = all[0].result.sessions.as_deref().expect("sessions");
    assert_eq!((sessions.begun, sessions.completed), (20, 20));
    assert_eq!(sessions.concurrent.peak, 4);
    let mean = sessions.concurrent.mean.expect("time passed");
    assert!(mean > 2.5 && mean <= 4.0, "{mean}");
}

#[test]
fn a_horizon_cuts_sessions_short() {
    let all = run(&["workload.sessions.count=20", "horizon=12s"]);
    let sessions = all[0].result.sessions.as_deref().expect("sessions");
    assert_eq!(sessions.begun, 20);
    assert!(sessions.completed < 20);
    assert!(
        all[0]
            .outcome
            .trace
            .requests
            .iter()
            .all(|row| row.arrival <= Time::from_nanos(12_000_000_000))
    );
}

/// 49 sessions of coding agents (callanjfox/kv-cache-tester, Apache-2.0) with 2,298 requests, two of them a
/// subagent's: alone on a replica with memory without end, each finds nearly all of its prompts, and nobody anything
/// of another's.
#[test]
fn recorded_agents_find_their_own_and_nothing_of_others() {
    let Some(file) = crate::shared::shared("data/traces/weka/sessions.jsonl.gz") else { return };
    let trace = format!(
        "workload={{trace: {{file: {}, arrivals: all_at_once, gap_cap: 10s}}}}",
        serde_json::json!(file.to_str().expect("a path"))
    );
    let play = |more: &[&str]| {
        let sets = ["engine.max_model_len=1000000", "engine.kv_blocks=2000000", &trace];
        let (mut outputs, names) = load_and_play(&[&sets[..], more].concat());
        (outputs.remove(0), names)
    };
    let (all, warnings) = play(&[]);
    let sessions = all.result.sessions.as_deref().expect("sessions");
    assert_eq!((sessions.begun, sessions.completed, sessions.turns), (49, 49, 2298));
    let turns = &all.outcome.turns;
    for (row, turn) in all.outcome.trace.requests.iter().zip(turns) {
        assert!(
            turn.turn > 0 || row.hit_tokens == 0,
            "a session begins with nobody's tokens: {turn:?}"
        );
    }
    assert_eq!(sessions.missed_tokens.evicted, 0);
    let found = sessions.hit_share.expect("prompts");
    assert!((0.94..0.99).contains(&found), "{found}");
    assert!(warnings.iter().any(|warning| warning.contains("1 subagents")), "{warnings:?}");
    // The first sessions by both paths.
    let few = run(&[
        "engine.max_model_len=1000000",
        "engine.kv_blocks=200000",
        &trace,
        "workload.requests=3",
    ]);
    assert_eq!(few[0].result.sessions.as_deref().map(|sessions| sessions.begun), Some(3));
    crate::shared::say(&format!(
        "weka: 49 sessions, 2298 requests, {:.1} % of {} prompt tokens found",
        100.0 * found,
        sessions.prompt_tokens
    ));
}
