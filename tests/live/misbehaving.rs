//! Servers that do what servers do: bundle, stall, break off, refuse. The client tells them apart.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use metron_sim::live::client::{Ended, TokenCount, Wish};

use crate::support::{Got, bench_within, limits, prepared};

pub(crate) const ONE: &str = "
engine: {profile: {fixed: {iteration: 1ms}}, kv_blocks: 64, max_model_len: 256}
schedulers: [vllm-v1]
workload:
  requests: 1
  arrivals: {poisson: {rate: 10}}
  lengths: {prompt: {fixed: 6}, output: {fixed: 4}}
slo: {ttft: 100ms, tbt: 15ms, fluidity: {index: 0.9, share: 0.99}}
";

/// Answers by hand. It lets a client learn, and `answer` writes what comes to the request that is measured,
/// which is the one that wants four tokens.
pub(crate) fn server(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = std::sync::Arc::clone(&answer);
            std::thread::spawn(move || serve(stream, &*answer));
        }
    });
    address
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&mut TcpStream)) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let body = String::from_utf8(body).expect("text");
        if head.starts_with("GET") {
            let list = r#"{"data": [{"id": "m"}]}"#;
            let length = list.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{list}");
        } else if body.contains("\"max_tokens\":4") {
            answer(&mut stream);
        } else {
            begin(&mut stream);
            event(&mut stream, r#"{"choices":[{"text":" a"}]}"#);
            event(&mut stream, r#"{"choices":[{"text":" b","finish_reason":"length"}]}"#);
            end(&mut stream);
        }
    }
}

pub(crate) fn begin(stream: &mut TcpStream) {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let _ = stream.write_all(head.as_bytes());
}

pub(crate) fn part(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
}

pub(crate) fn event(stream: &mut TcpStream, data: &str) {
    part(stream, &format!("data: {data}\n\n"));
}

pub(crate) fn end(stream: &mut TcpStream) {
    event(stream, "[DONE]");
    let _ = stream.write_all(b"0\r\n\r\n");
}

pub(crate) fn measured(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Got {
    let mut limits = limits();
    limits.request_timeout = Duration::from_secs(2);
    bench_within(&prepared(ONE), server(answer), &Wish::default(), limits)
}

pub(crate) const TEXT: &str = r#"{"choices":[{"text":" word"}]}"#;

#[test]
fn chunks_of_several_tokens_are_counted_by_the_servers_total() {
    let got = measured(|stream| {
        begin(stream);
        event(stream, r#"{"choices":[{"text":" one two three"}]}"#);
        std::thread::sleep(Duration::from_millis(30));
        event(stream, r#"{"choices":[{"text":" four","finish_reason":"length"}]}"#);
        event(stream, r#"{"choices":[],"usage":{"prompt_tokens":6,"completion_tokens":4}}"#);
        end(stream);
    });
    let exchange = got.exchange(0);
    assert_eq!((exchange.ended, exchange.counted), (Ended::Completed, TokenCount::Spread));
    let counts: Vec<u32> = exchange.tokens.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts.iter().sum::<u32>(), 4);
    assert!(counts[0] > counts[1] && exchange.tokens[1].0 - exchange.tokens[0].0 > 20_000_000);
}

#[test]
fn events_in_one_packet_share_its_time_and_are_all_there() {
    let got = measured(|stream| {
        begin(stream);
        part(stream, &format!("data: {TEXT}\n\n").repeat(3));
        event(stream, r#"{"choices":[{"text":" x","finish_reason":"length"}]}"#);
        end(stream);
    });
    let exchange = got.exchange(0);
    assert_eq!((exchange.output_tokens(), exchange.counted), (4, TokenCount::OneEach));
    assert_eq!(exchange.tokens[0].0, exchange.tokens[2].0);
}

#[test]
fn reasoning_tools_and_empty_chunks_are_told_apart() {
    let got = measured(|stream| {
        begin(stream);
        for delta in [
            r#"{"role":"assistant","content":""}"#,
            r#"{"reasoning_content":"hm"}"#,
            r#"{"reasoning":"hm"}"#,
            r#"{"tool_calls":[{"index":0}]}"#,
            r#"{"content":"so"}"#,
            r#"{}"#,
        ] {
            event(stream, &format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#));
        }
        end(stream);
    });
    let exchange = got.exchange(0);
    let chunks = [
        exchange.content_chunks,
        exchange.reasoning_chunks,
        exchange.tool_chunks,
        exchange.empty_chunks,
    ];
    assert_eq!(chunks, [1, 2, 1, 2]);
    assert_eq!(exchange.output_tokens(), 4);
    assert!(exchange.first_content_ns > Some(exchange.tokens[0].0));
}

#[test]
fn a_connection_that_breaks_is_a_failure_that_keeps_its_tokens() {
    let got = measured(|stream| {
        begin(stream);
        event(stream, TEXT);
        event(stream, TEXT);
        std::thread::sleep(Duration::from_millis(50));
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    let exchange = got.exchange(0);
    assert_eq!((exchange.ended, exchange.output_tokens()), (Ended::Failed, 2));
    assert!(exchange.error.as_deref().expect("words").contains("closed"), "{:?}", exchange.error);
}

#[test]
fn an_answer_that_ends_without_an_end_is_a_failure() {
    let got = measured(|stream| {
        begin(stream);
        event(stream, TEXT);
        let _ = stream.write_all(b"0\r\n\r\n");
    });
    assert_eq!(got.exchange(0).ended, Ended::Failed);
    let got = measured(|stream| {
        begin(stream);
        end(stream);
    });
    assert_eq!(got.exchange(0).error.as_deref(), Some("the answer has no token"));
}

#[test]
fn a_silent_stall_times_out() {
    let got = measured(|stream| {
        begin(stream);
        event(stream, TEXT);
        std::thread::sleep(Duration::from_secs(20));
    });
    let exchange = got.exchange(0);
    assert_eq!((exchange.ended, exchange.output_tokens()), (Ended::TimedOut, 1));
}

#[test]
fn refusals_keep_their_status_and_words() {
    for (status, ended) in [
        (429, Ended::Rejected),
        (400, Ended::Rejected),
        (503, Ended::Rejected),
        (500, Ended::Failed),
        (504, Ended::TimedOut),
    ] {
        let got = measured(move |stream| {
            let body = r#"{"error": {"message": "not now"}}"#;
            let length = body.len();
            let _ =
                write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: {length}\r\n\r\n{body}");
        });
        let exchange = got.exchange(0);
        assert_eq!((exchange.ended, exchange.status), (ended, Some(status)));
        assert!(exchange.error.as_deref().expect("words").contains("not now"));
    }
    // An error in the middle of a stream.
    let got = measured(|stream| {
        begin(stream);
        event(stream, TEXT);
        event(stream, r#"{"error": {"message": "out of memory", "code": 500}}"#);
        end(stream);
    });
    let exchange = got.exchange(0);
    assert_eq!(exchange.ended, Ended::Failed);
    assert!(exchange.error.as_deref().expect("words").contains("out of memory"));
}
