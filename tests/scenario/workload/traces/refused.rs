//! What is wrong with a file is told, with its place.

use metron_sim::workload::*;

use super::read_text;
use crate::workload::support::*;

/// Text, and where and why it is refused.
#[test]
fn what_is_wrong_is_told_with_its_place() {
    let csv = |row: &str| format!("arrival_s,input_tokens,output_tokens\n0,1,1\n{row}\n");
    let json = |row: &str| {
        format!("{{\"arrival_s\":0,\"prompt_tokens\":40,\"output_tokens\":1}}\n{row}\n")
    };
    let nul = csv("1,\u{0}1,1");
    for (text, expected) in [
        (String::new(), ": expected requests, found an empty file"),
        ("\n \n".into(), ": expected requests, found an empty file"),
        ("arrival_s,prompt_tokens,output_tokens\n".into(), ": expected requests, found none"),
        (csv("1,x,1"), ":3:3: `input_tokens`: expected a whole number of tokens, found `x`"),
        (csv("1,,1"), ":3:3: `input_tokens`: expected a whole number of tokens, found nothing"),
        (
            csv("1,5,1.5"),
            ":3:5: `output_tokens`: expected a whole number of tokens, found 1.5, which is not whole",
        ),
        (
            csv("1,-5,1"),
            ":3:3: `input_tokens`: expected a whole number of tokens, found -5, which is negative",
        ),
        (csv("1,0,1"), ":3:3: `input_tokens`: expected 1 token or more, found 0"),
        (
            csv("1,4294967296,1"),
            ":3:3: `input_tokens`: expected a whole number of tokens, found 4294967296, which is too large",
        ),
        (csv("NaN,5,1"), ":3:1: `arrival_s`: expected seconds of 0 or more, found `NaN`"),
        (
            csv("-1,5,1"),
            ":3:1: `arrival_s`: expected seconds of 0 or more, found -1, which is negative",
        ),
        (
            csv("1e99,5,1"),
            ":3:1: `arrival_s`: expected seconds of 0 or more, found 1e99, which is too large",
        ),
        (csv("1,5"), ":3: expected 3 fields as in the header, found 2"),
        (csv("1,5,1,9"), ":3: expected 3 fields as in the header, found 4"),
        (csv("1,\"5,1"), ":3: a quoted field does not end on its line"),
        (nul, ":3:3: expected text, found a NUL byte"),
        (
            "a,prompt_tokens\n1,2\n".into(),
            ":1: expected a known trace format, found the columns `a`, `prompt_tokens`",
        ),
        (
            "output_tokens,prompt_tokens,prompt_tokens\n1,2,3\n".into(),
            ":1: `prompt_tokens`: two columns have this name",
        ),
        (
            "{\"prompt\": \"hello\"}".into(),
            ":1: expected a known trace format, found the keys `prompt`",
        ),
        ("[{}]".into(), ":1: expected a known trace format, found a JSON list"),
        ("\u{a0}\n".into(), ":1: expected a known trace format, found the columns ``"),
        (
            json("{\"arrival_s\":1,\"prompt_tokens\":-4,\"output_tokens\":1}"),
            ":2:33: `prompt_tokens`: expected a whole number of tokens, found -4, which is negative",
        ),
        (
            json("{\"arrival_s\":1,\"prompt_tokens\":0,\"output_tokens\":1}"),
            ":2:32: `prompt_tokens`: expected 1 token or more, found 0",
        ),
        (
            json("{\"arrival_s\":1,\"prompt_tokens\":\"4\",\"output_tokens\":1}"),
            ":2:34: `prompt_tokens`: expected a whole number of tokens, found `\"4\"`",
        ),
        (
            json("{\"arrival_s\":-0.5,\"prompt_tokens\":4,\"output_tokens\":1}"),
            ":2:17: `arrival_s`: expected a time of 0 or more, found -0.5, which is negative",
        ),
        (
            json("{\"arrival_s\":1,\"prompt_tokens\":4}"),
            ":2: `output_tokens`: expected a value, found none",
        ),
        (
            json("{\"prompt_tokens\":4,\"output_tokens\":1}"),
            ":2: `arrival_s`: expected a value, found none",
        ),
        (
            json("{\"arrival_s\":1,\"prompt_tokens\":4,\"prompt_tokens\":4,\"output_tokens\":1}"),
            ":2:48: `prompt_tokens`: stands twice in one object",
        ),
        (
            json("{\"arrival_s\":1,\"prompt_tok"),
            ":2:26: expected a JSON object: EOF while parsing a string",
        ),
        (json("{\"arrival_s\":NaN}"), ":2:14: expected a JSON object: expected value"),
        (
            json("7"),
            ":2:1: expected a JSON object: invalid type: integer `7`, expected a JSON object",
        ),
        (
            json("{\"arrival_s\":1,\"prompt_tokens\":40,\"output_tokens\":1} x"),
            ":2:54: expected a JSON object: trailing characters",
        ),
        (
            json(
                "{\"arrival_s\":1,\"prompt_tokens\":40,\"output_tokens\":9,\"block_hash_ids\":[1,2,3,4,5]}",
            ),
            ":2: `block_hash_ids`: expected at most 4 block ids for a prompt of 40 tokens and an answer of 9 in blocks of 16, found 5",
        ),
        (
            json(
                "{\"arrival_s\":1,\"prompt_tokens\":40,\"output_tokens\":1,\"block_hash_ids\":[1,\"a\"]}",
            ),
            ":2:77: `block_hash_ids`: expected a list of block ids, found \"a\" in it",
        ),
        (
            json("{\"block_tokens\":32}"),
            ":2: `block_tokens`: expected only in the first line, by itself",
        ),
        (
            json("{\"arrival_s\":1,\"prompt_tokens\":4,\"output_tokens\":1,\"priority\":3e9}"),
            ":2:66: `priority`: expected a whole number of 31 bits and a sign, found 3000000000",
        ),
    ] {
        let error = read_text(&text, None).expect_err(&text);
        assert_eq!(error.kind(), ErrorKind::Content);
        let shown = error.to_string();
        let path = error.path().unwrap().display().to_string();
        assert_eq!(shown.strip_prefix(&path), Some(expected), "{text}");
    }
}

#[test]
fn formats_that_are_not_read_say_which_are() {
    let error = draw(&trace(&data("vllm_custom.jsonl")), 1, LIMITS).unwrap_err();
    let help = error.help().unwrap();
    for key in ["ContextTokens", "num_prefill_tokens", "input_length", "Request tokens", "messages"]
    {
        assert!(help.contains(key), "{help}");
    }
    // Conversations have no times of their own.
    let error = draw(&trace(&data("sharegpt.json")), 1, LIMITS).unwrap_err();
    assert!(error.message().contains("found sessions"), "{error}");
    // What a client measured is no trace.
    let error = draw(&trace(&data("blis_tracev2.csv")), 1, LIMITS).unwrap_err();
    assert!(error.message().contains("expected a trace of requests, found BLIS TraceV2"));
    assert!(error.help().unwrap().contains("evaluate"));
}

#[test]
fn a_forced_format_is_the_one_that_is_read() {
    let text = "arrived_at,num_prefill_tokens,num_decode_tokens\n0,1,1\n";
    let error = read_text(text, Some(TraceFormat::Azure)).unwrap_err();
    assert!(error.message().starts_with("expected a column `ContextTokens`, found `arrived_at`"));
    assert!(error.help().unwrap().contains("TIMESTAMP"));
    assert!(read_text(text, Some(TraceFormat::Jsonl)).is_err());
    assert!(read_text(text, Some(TraceFormat::Vidur)).is_ok());
}

#[test]
fn files_that_are_no_text_files_are_refused() {
    let error = draw(&trace(&data("no such file.csv")), 1, LIMITS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let error = draw(&trace(&data("")), 1, LIMITS).unwrap_err();
    assert_eq!(error.message(), "expected a file, found a directory");
    // Gzip that is cut off, and what is not read at all.
    let error = read_text(b"\x1f\x8b\x08\x00rest", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let error = read_text(b"\x28\xb5\x2f\xfdrest", None).unwrap_err();
    assert_eq!(error.help(), Some("the file is compressed: unpack it first"));
    let error = read_text(b"\xff\xfea\x00", None).unwrap_err();
    assert_eq!(error.help(), Some("the file is UTF-16: save it as UTF-8"));
    let error = read_text(b"arrival_s,prompt_tokens,output_tokens\n\xc3\xa9\xff,1,1\n", None);
    let error = error.unwrap_err();
    assert_eq!((error.line(), error.column()), (Some(2), Some(2)));
}

#[test]
fn endless_lines_and_depths_are_refused() {
    let mut line = vec![b'1'; (16 << 20) + 1];
    let error = read_text(&line, None).unwrap_err();
    assert_eq!(
        (error.line(), error.message()),
        (Some(1), "expected lines of at most 16777216 bytes")
    );
    // One byte less is a line, and a header that no format has.
    line.pop();
    assert!(read_text(&line, None).unwrap_err().message().contains("known trace format"));
    let deep = format!("{{\"prompt_tokens\":{}", "[".repeat(1 << 20));
    assert!(read_text(deep, Some(TraceFormat::Jsonl)).is_err());
}

#[test]
fn a_conversation_goes_on_from_a_row_above() {
    let text = "{\"chat_id\": 1, \"parent_chat_id\": -1, \"timestamp\": 0, \"input_length\": 4, \"output_length\": 2, \"type\": \"text\", \"turn\": 1, \"hash_ids\": []}\n\
                {\"chat_id\": 2, \"parent_chat_id\": 7, \"timestamp\": 1, \"input_length\": 9, \"output_length\": 2, \"type\": \"text\", \"turn\": 2, \"hash_ids\": []}\n";
    let error = read_text(text, None).unwrap_err();
    assert_eq!((error.line(), error.field()), (Some(2), Some("parent_chat_id")), "{error}");
}
