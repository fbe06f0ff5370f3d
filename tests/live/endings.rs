//! How answers end: what the client takes for an end, and what it keeps of an answer that had none.

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use metron_sim::live::client::{Ended, TokenCount, Wish};

use crate::misbehaving::{TEXT, begin, end, event, measured, server};
use crate::support::{bench, prepared};

const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":6,"completion_tokens":4}}"#;

fn texts(stream: &mut TcpStream, count: usize) {
    begin(stream);
    for _ in 0..count {
        event(stream, TEXT);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_request_that_the_server_took_and_dropped_is_not_sent_again() {
    let taken = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&taken);
    let got = measured(move |stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        let _ = stream.shutdown(Shutdown::Both);
    });
    let exchange = got.exchange(0);
    assert_eq!((exchange.ended, exchange.output_tokens()), (Ended::Failed, 0));
    assert_eq!(taken.load(Ordering::Relaxed), 1);
    let error = exchange.error.as_deref().expect("words");
    assert!(error.contains("without an answer"), "{error}");
}

#[test]
fn the_last_of_more_chunks_than_tokens_is_the_last_token() {
    let got = measured(|stream| {
        texts(stream, 8);
        event(stream, r#"{"choices":[{"text":"","finish_reason":"length"}]}"#);
        event(stream, USAGE);
        end(stream);
    });
    let exchange = got.exchange(0);
    assert_eq!((exchange.ended, exchange.counted), (Ended::Completed, TokenCount::Spread));
    assert_eq!((exchange.tokens.len(), exchange.output_tokens()), (8, 4));
    assert!(exchange.tokens.last().expect("a chunk").1 == 1 && exchange.tokens[0].1 == 1);
    assert!(exchange.tokens.is_sorted());
}

#[test]
fn an_answer_that_the_server_gave_up_has_failed() {
    for word in ["abort", "error"] {
        let got = measured(move |stream| {
            texts(stream, 2);
            event(stream, &format!(r#"{{"choices":[{{"text":"","finish_reason":"{word}"}}]}}"#));
            end(stream);
        });
        let exchange = got.exchange(0);
        assert_eq!((exchange.ended, exchange.output_tokens()), (Ended::Failed, 2), "{word}");
        assert!(exchange.error.as_deref().expect("words").contains(word));
    }
}

#[test]
fn errors_in_a_stream_keep_the_tokens_before_them() {
    for error in [
        r#"{"object":"error","message":"out of memory","code":500}"#,
        r#"{"error":{"message":"out of memory","code":429}}"#,
        r#"{"error":{"message":"out of memory","code":65936}}"#,
    ] {
        let got = measured(move |stream| {
            texts(stream, 2);
            event(stream, error);
            end(stream);
        });
        let exchange = got.exchange(0);
        assert_eq!((exchange.ended, exchange.output_tokens()), (Ended::Failed, 2), "{error}");
        assert!(exchange.error.as_deref().expect("words").contains("out of memory"));
    }
    // What was turned away before its first token is no failure.
    let got = measured(|stream| {
        begin(stream);
        event(stream, r#"{"error":{"message":"full","code":429}}"#);
        end(stream);
    });
    assert_eq!(got.exchange(0).ended, Ended::Rejected);
}

#[test]
fn an_answer_is_whole_when_the_server_says_so() {
    // The connection stays open, and the body without its end.
    let got = measured(|stream| {
        texts(stream, 3);
        event(stream, r#"{"choices":[{"text":" x","finish_reason":"length"}]}"#);
        event(stream, USAGE);
        event(stream, "[DONE]");
        std::thread::sleep(Duration::from_secs(20));
    });
    let exchange = got.exchange(0);
    assert_eq!((exchange.ended, exchange.output_tokens()), (Ended::Completed, 4));
}

#[test]
fn a_total_in_the_last_chunk_is_no_chunk_of_tokens() {
    let got = measured(|stream| {
        texts(stream, 4);
        let usage = r#""usage":{"prompt_tokens":6,"completion_tokens":4}"#;
        let fin = r#"{"choices":[{"text":"","finish_reason":"length"}]"#;
        event(stream, &format!("{fin},{usage}}}"));
        end(stream);
    });
    let exchange = got.exchange(0);
    assert_eq!((exchange.counted, exchange.tokens.len()), (TokenCount::Total, 4));
}

const LOOP: &str = "
engine: {profile: {fixed: {iteration: 1ms}}, kv_blocks: 64, max_model_len: 256}
schedulers: [vllm-v1]
workload:
  requests: 2
  arrivals: {closed_loop: {users: 1, think_time: THINK}}
  lengths: {prompt: {fixed: 6}, output: {fixed: 4}}
slo: {ttft: 100ms, tbt: 15ms, fluidity: {index: 0.9, share: 0.99}}
";

#[test]
fn a_user_thinks_from_the_last_token_on_and_knows_it_by_the_end() {
    let slow = |stream: &mut TcpStream| {
        texts(stream, 4);
        std::thread::sleep(Duration::from_millis(300));
        event(stream, r#"{"choices":[{"text":"","finish_reason":"length"}]}"#);
        end(stream);
    };
    for (think, ns) in [("100ms", 100_000_000), ("2s", 2_000_000_000)] {
        let prepared = prepared(&LOOP.replace("THINK", think));
        let got = bench(&prepared, server(slow), &Wish::default());
        let (first, second) = (got.exchange(0), got.exchange(1));
        let last = first.tokens.last().expect("a token").0;
        assert!(first.end_ns >= last + 300_000_000, "the end comes later");
        assert_eq!(second.due_ns, (last + ns).max(first.end_ns), "{think}");
    }
}
