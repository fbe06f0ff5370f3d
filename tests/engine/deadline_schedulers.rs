//! Policies that choose whose prompt comes next: small cases computed by hand, iteration by iteration.
//!
//! An iteration takes 10 ms and 0.1 ms for each prompt token; decodes are free.

use std::fs;

use metron_sim::runner::{PlayOptions, Requests, Simulate, Simulator};
use metron_sim::scenario::{Document, Files};
use metron_sim::sim::Outcome;
use serde_json::json;

/// A request: when it arrives (ms), prompt, output, class.
type Load = (f64, u32, u32, &'static str);

fn play(scheduler: &str, slo: &str, load: &[Load], sets: &[&str], reference: bool) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rows: Vec<String> = Vec::new();
    for (at, prompt, output, class) in load {
        let (input, output, at) = (*prompt, *output, *at);
        let row = json!({
            "arrival_s": at / 1e3, "prompt_tokens": input, "output_tokens": output, "class": class,
            "session": format!("s{class}"),
        });
        rows.push(row.to_string());
    }
    fs::write(folder.path().join("load.jsonl"), rows.join("\n")).expect("writable");
    let text = format!(
        "engine: {{profile: {{step_law: {{iteration_us: 10000, prefill_token_us: 100}}}}, \
         kv_blocks: 4000, max_model_len: 16384, async_scheduling: false}}\n\
         schedulers: [{scheduler}]\n\
         workload: {{trace: {{file: load.jsonl}}, max_tokens: {{fixed: 100}}}}\n\
         slo: {slo}\n"
    );
    let document = Document::from_text("by hand", &text, Files::any(folder.path())).expect("YAML");
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let document = document.with(&sets).expect("a scenario");
    let resolved = document.resolve(None).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let experiment = resolved.experiment;
    let (requests, _) = Requests::of(&experiment).expect("read");
    let options = PlayOptions { reference, keep_log: true, ..PlayOptions::default() };
    let outcome = Simulator.simulate(&experiment, &experiment.schedulers[0], &requests, options);
    outcome.expect("it runs")
}

/// Iterations as text: when each starts (ms), its chunks as `request+tokens`, and its decodes.
fn lines(outcome: &Outcome) -> Vec<String> {
    let log = &outcome.log.as_ref().expect("it is kept")[0];
    let line = |iteration: metron_sim::trace::Iteration<'_>| {
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
fn iterations(scheduler: &str, slo: &str, load: &[Load], sets: &[&str], expected: &[&str]) {
    let outcome = play(scheduler, slo, load, sets, true);
    let got = lines(&outcome);
    assert_eq!(got[..expected.len().min(got.len())], *expected, "{scheduler}");
    let fast = play(scheduler, slo, load, sets, false);
    assert_eq!(fast, outcome, "{scheduler}: both paths");
}

const TIGHT: &str = "{ttft: 40ms, tbt: 50ms}";

#[test]
fn fluid_makes_iterations_as_long_as_the_tightest_slack() {
    let load = [(0.0, 100, 30, "a"), (30.0, 2000, 2, "a")];
    iterations(
        "fluid: {margin: 1, learn_margin: false, bank: false}",
        TIGHT,
        &load,
        &[],
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
        "fluid: {margin: 2, learn_margin: false, bank: false}",
        TIGHT,
        &load,
        &[],
        // 110 / 2 = 55 ms are 450 tokens. The next is due at 190: 105 / 2 = 52.5 ms are 425.
        &["0 0+100", "20 /1", "30 1+450 /1", "85 1+425 /1"],
    );
}

#[test]
fn fluid_learns_the_margin() {
    let load = [(0.0, 100, 30, "a"), (30.0, 2000, 2, "a")];
    iterations(
        // Predictions are half as long as iterations.
        "fluid: {margin: 1, bank: false}",
        TIGHT,
        &load,
        &["engine.predictor={bias: -0.5}"],
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
        "fluid: {margin: 1, learn_margin: false, bank: false}",
        "{ttft: 200ms, tbt: 50ms}",
        &load,
        &[],
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
        "fluid: {margin: 1, learn_margin: false, bank: false}",
        "{ttft: 20ms, tbt: 20ms}",
        &load,
        &[],
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
        "fluid: {margin: 1, learn_margin: false, bank: false, sliver: 64}",
        "{ttft: 20ms, tbt: 15ms}",
        &load,
        &[],
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
    let scheduler = "fluid: {margin: 1, learn_margin: false, bank: false, max_num_seqs: 1, give_up_after: 30ms}";
    let outcome = play(scheduler, "{ttft: 20ms, tbt: 15ms}", &load, &[], true);
    // Both wait for a seat until the first has ended, at 20 + 29 x 10 ms.
    assert_eq!(outcome.rejections.len(), 2);
    assert_eq!(play(scheduler, "{ttft: 20ms, tbt: 15ms}", &load, &[], false), outcome);
}

#[test]
fn edf_serves_the_earliest_deadline_first() {
    let classes = "workload.classes=[{name: a, share: 1, slo: {ttft: 500ms, tbt: 50ms}}, {name: b, share: 1, slo: {ttft: 100ms, tbt: 50ms}}]";
    let load = [(0.0, 300, 2, "a"), (0.0, 300, 2, "b")];
    let expected = ["0 1+200", "30 1+100 0+100", "60 0+199 /1", "89.9 0+1"];
    iterations("edf: {token_budget: 200}", TIGHT, &load, &[classes], &expected);
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
    iterations("srpt: {token_budget: 200}", TIGHT, &load, &[], &expected);
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
    let classes = "workload.classes=[{name: a, share: 1}, {name: b, share: 1}]";
    iterations(
        "vtc: {token_budget: 200}",
        TIGHT,
        &load,
        &[classes],
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
        "qoserve: {margin: 1}",
        "{ttft: 40ms, tbt: 50ms}",
        &load,
        &[],
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
        "qoserve: {margin: 1}",
        "{ttft: 20ms, tbt: 12ms}",
        &load,
        &[],
        // 12 ms are 20 tokens; 128 take 22.8, and the token after that is late before it begins.
        &["0 0+100", "20 1+128 /1", "42.8 1+128 /1"],
    );
}

#[test]
fn medha_keeps_the_pace_and_lets_a_long_prompt_give_way() {
    let load = [(0.0, 100, 30, "a"), (20.0, 300, 2, "a")];
    // 30 ms are 200 tokens, whatever was saved up.
    let expected = ["0 0+100", "20 1+200 /1", "50 1+100 /1"];
    iterations("medha", "{ttft: 200ms, tbt: 30ms}", &load, &[], &expected);
    // As a long one: it takes 40 ms alone and has 160 more, four times its work: it gives way in full,
    // until its relative slack is below one: at 160 + 20 ms, 220 - 180 - 40 = 0.
    let long = "medha: {long_prompt_tokens: 300}";
    let outcome = play(long, "{ttft: 200ms, tbt: 30ms}", &load, &[], true);
    let begins = lines(&outcome).into_iter().find(|line| line.contains(" 1+")).expect("it begins");
    // At 150 its slack is 220 - 150 - 40 = 30 ms of 40: a quarter of the 20 ms beside the decode.
    assert_eq!(begins, "150 1+50 /1");
}

#[test]
fn slai_lets_decodes_wait_until_their_last_moment() {
    let load = [(0.0, 100, 30, "a"), (20.0, 500, 2, "a")];
    iterations(
        "slai: {token_budget: 100, offset_ms: 20}",
        "{ttft: 200ms, tbt: 50ms}",
        &load,
        &[],
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
