//! Files of sessions, played by their answers: what they ask and when, where every answer takes a second.

use metron_sim::request::{Request, RequestId};
use metron_sim::time::{Span, Time};
use metron_sim::workload::*;

use super::set;
use crate::workload::support::*;

/// A request: milliseconds of arrival, prompt and output tokens, and what it begins with of the one before.
type Asked = (u64, u32, u32, u32);

/// What is asked, and what a user is told.
fn played(spec: &WorkloadSpec, seed: u64) -> Result<(Vec<Asked>, Vec<String>), WorkloadError> {
    let mut source = RecordedSessions::new(spec, seed, LIMITS)?;
    let told = source.warnings().iter().map(|warning| warning.message.clone()).collect();
    let mut running: Vec<(Time, RequestId)> = Vec::new();
    let mut asked: Vec<Request> = Vec::new();
    loop {
        running.sort_unstable();
        let end = running.first().map(|&(at, _)| at);
        match (source.next_arrival(), end) {
            (None, None) => break,
            (Some(arrival), end) if end.is_none_or(|end| arrival < end) => {
                let request = source.take();
                running.push((arrival + Span::from_millis(1000), RequestId::at(asked.len())));
                asked.push(request);
            }
            _ => {
                let (at, id) = running.remove(0);
                source.finished(id, at);
            }
        }
    }
    let turns = source.session_turns();
    let row = |(request, turn): (&Request, &SessionTurn)| {
        let ms = request.arrival.as_nanos() / 1_000_000;
        (ms, request.prompt_tokens, request.output_tokens, turn.inherits)
    };
    Ok((asked.iter().zip(&turns).map(row).collect(), told))
}

fn by_answers(name: &str, change: impl FnOnce(&mut TraceSpec)) -> WorkloadSpec {
    let mut spec = trace(&data(name));
    set(&mut spec, |trace| {
        trace.by_answers = true;
        change(trace);
    });
    spec
}

fn at_once(trace: &mut TraceSpec) {
    trace.arrivals = Some(Arrivals::AllAtOnce);
}

/// What is wrong with a file of this name and text.
fn refused(name: &str, text: &str) -> WorkloadError {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("writable");
    let mut spec = trace(&path);
    set(&mut spec, |trace| {
        trace.by_answers = true;
        at_once(trace);
    });
    RecordedSessions::new(&spec, 1, LIMITS).expect_err(text)
}

#[test]
fn burstgpt_tells_how_long_people_took() {
    let spec = by_answers("burstgpt-sessions.csv", |_| {});
    let (asked, told) = played(&spec, 1).expect("sessions");
    // 130 - 104.5 s after the answer that came; the one after that was sent before its answer was there. 100
    // tokens have room for the 80 that were said, and 150 for the 130.
    let expected = [
        (0, 60, 20, 0),
        (2_000, 900, 40, 0),
        (26_500, 100, 30, 80),
        (27_500, 150, 10, 130),
        (31_000, 12, 8, 0),
    ];
    assert_eq!(asked, expected);
    let told = told.join("; ");
    assert!(told.contains("1 rows were sent before the answer"), "{told}");
    assert!(told.contains("3 sessions with 5 requests are played by their answers"), "{told}");
    assert!(trace_has_gaps(&data("burstgpt-sessions.csv"), None));
    assert!(!trace_has_gaps(&data("azure.csv"), None));
    // One session's second request failed: nothing follows an answer there.
    assert!(trace_has_gaps(&data("burstgpt.csv"), None));
    let (asked, _) = played(&by_answers("burstgpt.csv", |_| {}), 1).expect("sessions");
    assert_eq!(asked, [(0, 472, 18, 0), (40_000, 1087, 230, 0)]);
}

#[test]
fn a_wrong_elapsed_time_is_told_with_its_place() {
    let header = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens";
    let error = refused("b.csv", &format!("{header}\n1,a,2,m,3,4\n2,a,soon,m,9,4\n"));
    assert_eq!(
        (error.line(), error.column(), error.field()),
        (Some(3), Some(5), Some("Elapsed time"))
    );
    let older = "Timestamp,Model,Request tokens,Response tokens\n5,m,472,18\n";
    let error = refused("b.csv", older);
    assert!(error.message().contains("does not say how long after an answer"), "{error}");
    assert!(error.help().is_some_and(|help| help.contains("gaps: answers")), "{error}");
}

#[test]
fn bailian_waits_for_the_answer_that_it_goes_on_from() {
    let row = |id: i32, parent: i32, at: f64, tokens: u32, ids: &str| {
        format!(
            r#"{{"chat_id": {id}, "parent_chat_id": {parent}, "timestamp": {at}, "input_length": {tokens}, "output_length": 4, "type": "text", "turn": 1, "hash_ids": [{ids}]}}"#
        )
    };
    // Two requests go on from the first answer: one at once, one much later.
    let rows = [
        row(1, -1, 10.0, 40, "1, 2, 3"),
        row(2, 1, 10.25, 60, "1, 2, 3, 4"),
        row(3, -1, 11.0, 20, "8, 9"),
        row(4, 1, 19.0, 70, "1, 2, 3, 5, 6"),
        row(5, 2, 20.25, 80, "1, 2, 3, 4, 7"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("b.jsonl");
    std::fs::write(&path, rows.join("\n")).expect("writable");
    let mut spec = trace(&path);
    set(&mut spec, |trace| (trace.by_answers, trace.keeps_times) = (true, true));
    let (asked, _) = played(&spec, 1).expect("sessions");
    let times: Vec<(u64, u32)> = asked.iter().map(|one| (one.0, one.1)).collect();
    // The second waits for the answer at 1 s, and the last comes ten seconds after it.
    assert_eq!(times, [(0, 40), (1_000, 60), (1_000, 20), (9_000, 70), (11_000, 80)]);
    // All 48 tokens of the first three blocks are in the second prompt.
    assert_eq!([asked[1].3, asked[4].3], [44, 64]);
    // At their own times they wait for nobody.
    assert!(!trace_has_gaps(&path, None));
    // A file without sessions has none to wait.
    let mut alone = trace(&data("mooncake.jsonl"));
    set(&mut alone, |trace| (trace.by_answers, trace.keeps_times) = (true, true));
    let error = RecordedSessions::new(&alone, 1, LIMITS).expect_err("no sessions");
    assert!(error.message().starts_with("expected sessions"), "{error}");
    let late = row(2, 7, 10.25, 60, "1");
    let error = {
        std::fs::write(&path, [rows[0].clone(), late].join("\n")).expect("writable");
        RecordedSessions::new(&spec, 1, LIMITS).expect_err("no parent")
    };
    assert_eq!((error.line(), error.field()), (Some(2), Some("parent_chat_id")));
}

#[test]
fn conversations_of_text_are_counted_by_their_length() {
    let (asked, told) = played(&by_answers("conversations.json", at_once), 1).expect("sessions");
    // 19 and 30 characters are 5 and 8 tokens, 25 are 7; then 12 are 3, and 12 are 3.
    let expected = [(0, 13, 7, 0), (0, 1, 6, 0), (1_000, 23, 3, 20)];
    assert_eq!(asked, expected);
    let told = told.join("; ");
    assert!(told.contains("one for 4 characters"), "{told}");
    assert!(told.contains("1 conversations without an answer"), "{told}");
    assert!(told.contains("1 conversations end with a message"), "{told}");
    // ShareGPT's keys, and an object a line.
    let (asked, _) = played(&by_answers("sharegpt.json", at_once), 1).expect("sessions");
    assert_eq!(asked.len(), 1);
    assert!(asked[0].1 > 0 && asked[0].2 > 0);
    // Rows of lengths with their text beside them are rows of lengths.
    let row = r#"{"timestamp": 0, "input_length": 9, "output_length": 2, "messages": []}"#;
    assert_eq!(super::read_text(row, None).expect("a row").workload.requests[0].prompt_tokens, 9);
    let error = RecordedSessions::new(&by_answers("sharegpt.json", |_| {}), 1, LIMITS);
    let error = error.expect_err("no times");
    assert!(error.help().is_some_and(|help| help.contains("closed_loop")), "{error}");
}

#[test]
fn what_is_wrong_in_conversations_has_its_place() {
    let good = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;
    let at = |text: &str, line: u64, why: &str| {
        let error = refused("c.json", text);
        assert_eq!(error.line(), Some(line), "{error}");
        assert!(error.column().is_some() && error.message().contains(why), "{error}");
    };
    at(
        &format!("[{good},\n {{\"messages\": [{{\"role\": \"nobody\", \"content\": \"x\"}}]}}]"),
        2,
        "`nobody`",
    );
    at(&format!("[{good},\n\n {{\"id\": 3}}]"), 3, "found neither");
    at(
        &format!("[{good},\n {{\"messages\": [{{\"content\": \"x\"}}]}}]"),
        2,
        "expected `role` or `from`",
    );
    at(
        &format!("[{good},\n {{\"messages\": [{{\"role\": \"user\", \"content\": 7}}]}}]"),
        2,
        "a text",
    );
    at(&format!("[{good},"), 1, "EOF");
    at(&format!("{good}\n{{\"messages\": 4}}"), 2, "expected");
}

#[test]
fn vllm_multi_turn_is_drawn_as_it_is_described() {
    let spec = by_answers("generate_multi_turn.json", at_once);
    let (asked, told) = played(&spec, 7).expect("sessions");
    let first: Vec<&Asked> = asked.iter().filter(|one| one.0 == 0).collect();
    assert_eq!(first.len(), 6);
    // A prefix of its own, and 100 to 140 tokens that have the common prefix in them.
    assert!(first.iter().all(|one| (101..=1_040).contains(&one.1)), "{asked:?}");
    assert!(asked.iter().all(|one| one.2 <= 60));
    // 4 to 8 messages are 2 to 4 turns; each begins with all that was said.
    assert!((12..=24).contains(&asked.len()), "{asked:?}");
    let later: Vec<&Asked> = asked.iter().filter(|one| one.0 > 0).collect();
    assert!(later.iter().all(|one| (100..=140).contains(&(one.1 - one.3))), "{asked:?}");
    assert_eq!(played(&spec, 7).expect("sessions").0, asked, "the same seed, the same ones");
    assert_ne!(played(&spec, 8).expect("sessions").0, asked);
    assert!(told.join("; ").contains("drawn with the scenario's seed"));
    // All of them begin with the same 64 tokens.
    let mut source = RecordedSessions::new(&spec, 7, LIMITS).expect("sessions");
    let [a, b] = [source.take(), source.take()];
    assert!(a.prompt_tokens > 64 && b.prompt_tokens > 64);
    let [a, b] = [0, 1].map(|id| source.content(RequestId(id)));
    assert_eq!(a.common(&b), 64);
}

#[test]
fn inference_perf_is_drawn_as_it_is_described() {
    let (asked, _) = played(&by_answers("inference-perf.yaml", at_once), 3).expect("sessions");
    assert_eq!(asked.len(), 20);
    let first: Vec<&Asked> = asked.iter().filter(|one| one.3 == 0).collect();
    assert_eq!(first.len(), 5);
    assert!(first.iter().all(|one| (128 + 50 + 40..=128 + 90 + 120).contains(&one.1)), "{asked:?}");
    // A second for the answer, and three for the tool.
    let times: Vec<u64> = asked.iter().map(|one| one.0).collect();
    assert!(times.iter().all(|ms| ms % 4_000 == 0) && times[19] == 12_000, "{times:?}");
    let name = "inference-perf-shared-prefix.yaml";
    let (asked, _) = played(&by_answers(name, at_once), 3).expect("sessions");
    // 18 requests of six users.
    assert_eq!(asked.len(), 18);
    assert!(asked.iter().all(|one| one.2 == 16));
    assert!(asked[..6].iter().all(|one| (180..=220).contains(&one.1)), "{asked:?}");
}

#[test]
fn what_is_wrong_in_a_description_has_its_place() {
    let text = std::fs::read_to_string(data("generate_multi_turn.json")).expect("there");
    let wrong = |from: &str, to: &str, line: u64, field: &str| {
        assert!(text.contains(from), "{from}");
        let error = refused("g.json", &text.replace(from, to));
        assert_eq!((error.line(), error.field()), (Some(line), Some(field)), "{error}");
        assert!(error.column().is_some(), "{error}");
    };
    wrong("\"num_conversations\": 6", "\"num_conversations\": 0", 3, "num_conversations");
    wrong("\"lognormal\"", "\"cauchy\"", 9, "distribution");
    wrong("\"median_ratio\": 0.8", "\"median_ratio\": 1.5", 9, "median_ratio");
    wrong("\"min\": 100, \"max\": 140", "\"min\": 150, \"max\": 140", 10, "min");
    wrong("\"alpha\": 40", "\"beta\": 40", 13, "alpha");
    let text = std::fs::read_to_string(data("inference-perf.yaml")).expect("there");
    let wrong = |from: &str, to: &str, line: u64, field: &str| {
        let error = refused("i.yaml", &text.replace(from, to));
        assert_eq!((error.line(), error.field()), (Some(line), Some(field)), "{error}");
    };
    wrong("type: conversation_replay", "type: sharegpt", 3, "data.type");
    wrong("min: 50, max: 90", "min: 95, max: 90", 7, "dynamic_system_prompt_len");
    wrong("type: lognormal", "type: skew_normal", 10, "output_tokens_per_turn");
    wrong(
        "shared_system_prompt_len: 128",
        "shared_system_prompt_len: many",
        6,
        "shared_system_prompt_len",
    );
}

/// The requests of clients, by window.
#[test]
fn servegen_clients_send_at_their_own_rates() {
    let mut spec = trace(&data("servegen"));
    let (both, warnings) = super::read(&spec);
    let at = |request: &Request| request.arrival.as_nanos() as f64 / 1e9;
    let count = |from: f64, to: f64| {
        both.requests.iter().filter(|one| (from..to).contains(&at(one))).count()
    };
    // 300 gaps fill the first window, 60 the second, 150 the third: the last gap ends where its window does. Times
    // count from the first request.
    let total = both.requests.len();
    assert!((300 + 60 + 150 - 3..=300 + 60 + 150).contains(&total), "{total}");
    assert!((297..=300).contains(&count(0.0, 599.0)), "{}", count(0.0, 599.0));
    assert!(warnings.iter().any(|told| told.contains("2 clients")), "{warnings:?}");
    // Long prompts have long answers: both are drawn by one share.
    let short = both.requests.iter().filter(|one| one.prompt_tokens == 120);
    assert!(short.clone().all(|one| one.output_tokens == 12) && short.count() > 100);
    assert!(both.requests.iter().filter(|one| one.prompt_tokens == 2000).count() > 140);
    assert!(both.requests.windows(2).all(|two| two[0].arrival <= two[1].arrival));
    // One client alone, and the beginning alone.
    let (one, _) = super::read(&trace(&data("servegen/chunk-1-trace.csv")));
    assert!((59..=60).contains(&one.requests.len()), "{}", one.requests.len());
    assert!(one.requests.iter().all(|one| (one.prompt_tokens, one.output_tokens) == (33, 5)));
    spec.amount.duration = Some(seconds(100.0));
    let (begin, _) = super::read(&spec);
    let same = both.requests.iter().take_while(|one| at(one) < 100.0);
    assert_eq!(begin.requests, same.copied().collect::<Vec<_>>());
    assert_eq!(trace_parts(&data("servegen")).len(), 4);
    assert_eq!(trace_parts(&data("azure.csv")).len(), 0);
}

#[test]
fn what_is_wrong_with_a_client_has_its_place() {
    let trace_of = std::fs::read_to_string(data("servegen/chunk-0-trace.csv")).expect("there");
    let lengths = std::fs::read_to_string(data("servegen/chunk-0-dataset.json")).expect("there");
    let refused = |windows: &str, lengths: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("c-trace.csv"), windows).expect("writable");
        std::fs::write(folder.path().join("c-dataset.json"), lengths).expect("writable");
        draw(&trace(&folder.path().join("c-trace.csv")), 1, LIMITS).expect_err("wrong")
    };
    let window = |from: &str, to: &str, line: u64, field: &str| {
        let error = refused(&trace_of.replace(from, to), &lengths);
        assert_eq!((error.line(), error.field()), (Some(line), Some(field)), "{error}");
        assert!(error.column().is_some(), "{error}");
    };
    window("Weibull", "Pareto", 3, "pattern");
    window("1200,0.25", "500,0.25", 3, "timestamp");
    window("0,0.5", "0,fast", 1, "rate");
    window("0.7", "0", 1, "shape");
    let length = |from: &str, to: &str, line: u64, why: &str| {
        let error = refused(&trace_of, &lengths.replace(from, to));
        assert_eq!(error.line(), Some(line), "{error}");
        assert!(error.message().contains(why), "{error}");
        assert!(error.path().is_some_and(|path| path.ends_with("c-dataset.json")), "{error}");
    };
    length("{120: 0.5, 480: 0.5}", "{120: 0.5, 480: 0.1}", 2, "sum to 1");
    length("{2000: 1.0}", "{many: 1.0}", 3, "whole number of tokens");
    length("\"output_tokens\": \"{7: 1.0}\"", "\"other\": 1", 3, "output_tokens");
    let gone = refused(
        &trace_of,
        "{\"1200\": {\"input_tokens\": \"{9: 1.0}\", \"output_tokens\": \"{9: 1.0}\"}}",
    );
    assert_eq!(gone.line(), Some(1), "{gone}");
    assert!(gone.message().contains("found none"), "{gone}");
    // Clients have rates, and lengths of their own: they are no list of lengths.
    let fields = refused("0,0.5,1.2,Gamma,0.7,2.9\n1,2\n", &lengths);
    assert_eq!(fields.line(), Some(2), "{fields}");
}

/// Files with the keys of the published ones, where they are.
#[test]
fn files_like_the_published_ones_are_played() {
    let at = |name: &str| crate::shared::shared(&format!("data/formats/traces/{name}"));
    if let Some(file) = at("bailian.jsonl") {
        let mut spec = trace(&file);
        set(&mut spec, |trace| (trace.by_answers, trace.keeps_times) = (true, true));
        let (asked, _) = played(&spec, 1).expect("sessions");
        // 1.386 s after the first request, when its answer is there.
        assert_eq!(asked, [(0, 40, 12, 0), (1_386, 60, 9, 48)]);
    }
    if let Some(file) = at("burstgpt.csv") {
        let mut spec = trace(&file);
        set(&mut spec, |trace| trace.by_answers = true);
        let (asked, _) = played(&spec, 1).expect("sessions");
        assert_eq!(asked, [(0, 472, 18, 0), (40_000, 1087, 230, 0)]);
    }
    if let Some(file) = at("sharegpt.json") {
        let mut spec = trace(&file);
        set(&mut spec, |trace| {
            trace.by_answers = true;
            at_once(trace);
        });
        let (asked, told) = played(&spec, 1).expect("sessions");
        assert_eq!(asked.len(), 1);
        assert!(told.join("; ").contains("1 conversations without an answer"), "{told:?}");
    }
    if let Some(folder) = at("servegen") {
        let (drawn, _) = super::read(&trace(&folder));
        // 1.33 and 0.15 requests a second, of 600 s each.
        let count = drawn.requests.len();
        assert!((886..=888).contains(&count), "{count}");
        assert!(drawn.requests.iter().all(|one| matches!(one.prompt_tokens, 224 | 225)));
    }
}
