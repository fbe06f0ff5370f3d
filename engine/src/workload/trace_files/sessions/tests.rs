use std::io::Write as _;

use super::*;
use crate::content::Content;
use crate::request::{Request, RequestId};
use crate::workload::{
    Amount, Arrivals, Arriving, MaxTokens, RecordedSessions, Source, TraceFormat,
};

const LIMITS: Limits = Limits { max_model_len: 1_000_000, kv_block_tokens: 4 };

fn spec(file: &std::path::Path, arrivals: Option<Arrivals>) -> WorkloadSpec {
    WorkloadSpec {
        source: Source::Trace(TraceSpec {
            file: file.to_owned(),
            format: None,
            time_scale: 1.0,
            arrivals,
            by_answers: true,
            keeps_times: false,
            gap_cap: None,
        }),
        amount: Amount { requests: None, duration: None },
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    }
}

fn source(text: &str, arrivals: Option<Arrivals>) -> Result<RecordedSessions, WorkloadError> {
    let mut file = tempfile();
    file.1.write_all(text.as_bytes()).expect("written");
    let made = RecordedSessions::new(&spec(&file.0, arrivals), 1, LIMITS);
    std::fs::remove_file(&file.0).expect("it was there");
    made
}

fn tempfile() -> (std::path::PathBuf, std::fs::File) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("metron-sessions-{}-{number}.jsonl", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = std::fs::File::create(&path).expect("writable");
    (path, file)
}

/// Serves everybody in a second each; what was asked in order, with milliseconds of arrival.
fn serve(source: &mut RecordedSessions) -> Vec<(u64, Request)> {
    let mut running: Vec<(Time, RequestId)> = Vec::new();
    let mut asked = Vec::new();
    loop {
        running.sort_unstable();
        let end = running.first().map(|&(at, _)| at);
        match (source.next_arrival(), end) {
            (None, None) => return asked,
            (Some(arrival), end) if end.is_none_or(|end| arrival < end) => {
                let request = source.take();
                running.push((arrival + Span::from_millis(1000), RequestId::at(asked.len())));
                asked.push((arrival.as_nanos() / 1_000_000, request));
            }
            _ => {
                let (at, id) = running.remove(0);
                source.finished(id, at);
            }
        }
    }
}

const AT_ONCE: Option<Arrivals> = Some(Arrivals::AllAtOnce);

/// Two sessions with the same ids, blocks of 4 tokens; in the first the third prompt has the second answer.
const WEKA: &str = r#"{"id": "a", "block_size": 4, "hash_id_scope": "local", "requests": [
{"t": 0, "type": "n", "in": 10, "out": 3, "hash_ids": [1, 2], "api_time": 2.0, "input_types": ["text"]},
{"t": 5, "type": "n", "in": 18, "out": 4, "hash_ids": [1, 2, 3, 4], "api_time": 1.0, "think_time": 3.0, "input_types": ["tool_result"]},
{"t": 6.5, "type": "subagent", "agent_id": "x", "duration_ms": 4000, "requests": [
  {"t": 0, "type": "n", "in": 9, "out": 2, "hash_ids": [70, 71], "api_time": 1.0, "think_time": null},
  {"t": 2, "type": "n", "in": 16, "out": 2, "hash_ids": [70, 71, 72, 73], "api_time": 2.0, "think_time": 1.0}]},
{"t": 7.0, "type": "n", "in": 24, "out": 1, "hash_ids": [1, 2, 3, 4, 5, 6], "api_time": 1.0, "think_time": 1.0},
{"t": 12.5, "type": "n", "in": 30, "out": 1, "hash_ids": [1, 2, 3, 4, 5, 6, 7], "api_time": 1.0, "think_time": 4.5}]}
{"id": "b", "block_size": 4, "hash_id_scope": "local", "requests": [{"t": 0, "type": "n", "in": 10, "out": 3, "hash_ids": [1, 2], "api_time": 2.0}]}
"#;

fn one_line(text: &str) -> String {
    text.replace(",\n", ",").replace("[\n", "[").replace("[ \n", "[")
}

#[test]
fn requests_wait_for_the_answers_that_they_waited_for() {
    let mut source = source(&one_line(WEKA), AT_ONCE).expect("sessions");
    let asked = serve(&mut source);
    let turns = source.session_turns();
    let of_first: Vec<(u64, u32)> = asked
        .iter()
        .zip(&turns)
        .filter(|(_, turn)| turn.session == 0)
        .map(|((at, request), _)| (*at, request.prompt_tokens))
        .collect();
    // The subagent comes half a second after the second answer (6.5 - 6.0) and thinks for one second; the
    // third request does not wait for it, the fourth does: 12.5 is 2 s after its end at 10.5.
    let expected = [(0, 10), (4000, 18), (5500, 9), (6000, 24), (7500, 16), (10_500, 30)];
    assert_eq!(of_first, expected);
    let kinds: Vec<GapKind> = turns.iter().map(|turn| turn.kind).collect();
    assert!(kinds.contains(&GapKind::Tool) && kinds.contains(&GapKind::User));
}

#[test]
fn ids_of_one_session_are_not_those_of_another() {
    let mut source = source(&one_line(WEKA), AT_ONCE).expect("sessions");
    let asked = serve(&mut source);
    let turns = source.session_turns();
    let find = |session: u32, prompt: u32| {
        let is = |(turn, (_, r)): (&crate::workload::SessionTurn, &(u64, Request))| {
            turn.session == session && r.prompt_tokens == prompt
        };
        RequestId::at(turns.iter().zip(&asked).position(is).expect("it was asked"))
    };
    let content = |session, prompt| -> Content { source.content(find(session, prompt)) };
    assert_eq!(content(0, 10).common(&content(1, 10)), 0);
    // 13 tokens were said, of which ids name 12: all of them are in the prompt after it.
    assert_eq!(content(0, 10).common(&content(0, 18)), 12);
    assert_eq!(content(0, 18).common(&content(0, 24)), 20);
    assert_eq!(content(0, 9).common(&content(0, 24)), 0);
    let inherits = |session, prompt| turns[find(session, prompt).index()].inherits;
    assert_eq!([inherits(0, 18), inherits(0, 24), inherits(0, 16), inherits(0, 9)], [12, 20, 8, 0]);
}

/// A global, a local and another global session of the same ids: the first and the last are alike, whatever comes between.
#[test]
fn ids_that_are_everybodys_are_alike_and_nobody_elses() {
    let line = |scope: &str, second: u32| {
        let request = r#"{"t": 0, "in": 8, "out": 1, "hash_ids": [1, 2]}"#;
        format!(
            r#"{{"block_size": 4, "hash_id_scope": "{scope}", "start": {second}, "requests": [{request}]}}"#
        )
    };
    let common = |scopes: [&str; 3]| {
        let text: Vec<String> = (0..).zip(scopes).map(|(at, scope)| line(scope, at)).collect();
        let mut source = source(&text.join("\n"), AT_ONCE).expect("sessions");
        assert_eq!(serve(&mut source).len(), 3);
        let of = |place: u32| source.content(RequestId(place));
        [(0, 1), (0, 2), (1, 2)].map(|(a, b)| of(a).common(&of(b)))
    };
    assert_eq!(common(["global", "local", "global"]), [0, 8, 0]);
    assert_eq!(common(["local", "global", "global"]), [0, 0, 8]);
    assert_eq!(common(["local", "local", "global"]), [0, 0, 0]);
}

#[test]
fn users_take_the_sessions_one_by_one() {
    let users = Arrivals::ClosedLoop { users: 1, think_time: Span::from_millis(500) };
    let mut source = source(&one_line(WEKA), Some(users)).expect("sessions");
    let asked = serve(&mut source);
    assert_eq!(asked.last().map(|(at, r)| (*at, r.prompt_tokens)), Some((12_000, 10)));
}

#[test]
fn turns_that_add_have_what_was_said_before_them() {
    let text = r#"{"session_id": "s", "input_length": 10, "output_length": 5, "hash_ids": [1], "timestamp": 0}
{"session_id": "s", "input_length": 7, "output_length": 5, "delay": 2000}
{"session_id": "t", "input_length": 600, "output_length": 2, "hash_ids": [1, 9], "timestamp": 9000}
"#;
    let mut source = source(text, None).expect("sessions");
    let asked = serve(&mut source);
    let told: Vec<(u64, u32)> = asked.iter().map(|(at, r)| (*at, r.prompt_tokens)).collect();
    assert_eq!(told, [(0, 10), (3000, 22), (9000, 600)]);
    assert_eq!(source.content(RequestId(0)).common(&source.content(RequestId(1))), 15);
}

#[test]
fn our_own_rows_have_gaps_too() {
    let text = r#"{"arrival_s": 1, "prompt_tokens": 10, "output_tokens": 5, "session": "a"}
{"arrival_s": 2, "prompt_tokens": 8, "output_tokens": 5}
{"prompt_tokens": 20, "output_tokens": 5, "session": "a", "gap_s": 0.25}
{"prompt_tokens": 12, "output_tokens": 5, "session": "a", "gap_s": 1}
"#;
    let mut source = source(text, None).expect("sessions");
    let asked = serve(&mut source);
    let told: Vec<(u64, u32)> = asked.iter().map(|(at, r)| (*at, r.prompt_tokens)).collect();
    assert_eq!(told, [(0, 10), (1000, 8), (1250, 20), (3250, 12)]);
    // The last is too short for what was said.
    let inherits: Vec<u32> = source.session_turns().iter().map(|turn| turn.inherits).collect();
    assert_eq!(inherits, [0, 0, 15, 0]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let refused = |text: &str, field: &str, line: u64| {
        let error = source(text, AT_ONCE).expect_err(text);
        assert_eq!((error.field(), error.line()), (Some(field), Some(line)), "{error}");
    };
    let weka = |request: &str| {
        format!(r#"{{"block_size": 4, "hash_id_scope": "local", "requests": [{request}]}}"#)
    };
    let good = r#"{"t": 0, "in": 10, "out": 3, "hash_ids": [1, 2]}"#;
    refused(&weka(r#"{"t": 0, "in": 10, "out": 3, "hash_ids": [1, 2, 3, 4]}"#), "hash_ids", 1);
    refused(&weka(r#"{"t": 0, "in": 0, "out": 3}"#), "in", 1);
    refused(&weka(r#"{"t": 0, "out": 3}"#), "in", 1);
    let think = format!("{good}, {}", r#"{"t": 5, "in": 12, "out": 3, "think_time": -1.5}"#);
    refused(&weka(&think), "think_time", 1);
    refused(&weka(r#"{"type": "subagent", "t": 0, "requests": []}"#), "requests", 1);
    refused(&format!("{}\n{}", weka(good), weka("")), "requests", 2);
    let rows = r#"{"prompt_tokens": 10, "output_tokens": 5, "session": "a"}
{"prompt_tokens": 20, "output_tokens": 5, "session": "a", "gap_s": 1}
{"prompt_tokens": 30, "output_tokens": 5, "session": "a"}
"#;
    refused(rows, "gap_s", 3);
    refused(r#"{"prompt_tokens": 10, "output_tokens": 5, "gap_s": 1}"#, "gap_s", 1);
    // Sessions that all count from their own beginning have no times for it.
    let error = source(&format!("{}\n{}", weka(good), weka(good)), None).expect_err("no times");
    assert!(error.help().is_some_and(|help| help.contains("arrivals")), "{error}");
    let mut gone = spec(std::path::Path::new("/nowhere/sessions.jsonl"), AT_ONCE);
    let Source::Trace(trace) = &mut gone.source else { unreachable!() };
    trace.format = Some(TraceFormat::Weka);
    assert!(RecordedSessions::new(&gone, 1, LIMITS).is_err());
}
