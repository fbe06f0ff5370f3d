//! Trace files: every format, what is wrong with a file, and the published traces where they are.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::support::*;
use metron_sim::request::{BlockIds, Request};
use metron_sim::time::Time;
use metron_sim::workload::*;
use proptest::prelude::*;

fn rows(workload: &Workload) -> Vec<(u64, u32, u32)> {
    let row = |r: &Request| (r.arrival.as_nanos(), r.prompt_tokens, r.output_tokens);
    workload.requests.iter().map(row).collect()
}

fn read(spec: &WorkloadSpec) -> (Workload, Vec<String>) {
    let drawn = draw(spec, 42, LIMITS).unwrap();
    (drawn.workload, drawn.warnings.into_iter().map(|w| w.message).collect())
}

/// A trace read from text.
fn read_text(text: impl AsRef<[u8]>, format: Option<TraceFormat>) -> Result<Drawn, WorkloadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    let mut spec = trace(file.path());
    set(&mut spec, |trace| trace.format = format);
    draw(&spec, 42, LIMITS)
}

fn set(spec: &mut WorkloadSpec, change: impl FnOnce(&mut TraceSpec)) {
    let Source::Trace(trace) = &mut spec.source else { unreachable!() };
    change(trace);
}

#[test]
fn azure() {
    let (workload, warnings) = read(&trace(&data("azure.csv")));
    assert_eq!(rows(&workload), [(0, 100, 20), (580_590_100, 250, 31), (900_000_300, 91, 16)]);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(workload.nominal_rate_per_s, None);
    assert_eq!(workload.classes, ["default"]);
}

#[test]
fn vidur_and_splitwise() {
    let (workload, warnings) = read(&trace(&data("vidur.csv")));
    assert_eq!(rows(&workload), [(0, 374, 44), (4_314_579_000, 396, 109)]);
    assert_eq!(warnings, [""; 0]);
    let splitwise = "request_id,request_type,application_id,arrival_timestamp,batch_size,\
                     prompt_size,token_size\n0,2,0,1.5,1,374,44\n1,2,0,1.75,1,10,3\n";
    let drawn = read_text(splitwise, None).unwrap();
    assert_eq!(rows(&drawn.workload), [(0, 374, 44), (250_000_000, 10, 3)]);
    assert_eq!(drawn.warnings, []);
}

#[test]
fn mooncake() {
    let (workload, warnings) = read(&trace(&data("mooncake.jsonl")));
    assert_eq!(rows(&workload), [(0, 1100, 50), (27_000_000, 1536, 12), (3_000_000_000, 400, 7)]);
    assert_eq!(workload.block_ids, [0, 1, 2, 0, 1, 3, 4]);
    assert_eq!(workload.block_tokens, 512);
    assert_eq!(workload.blocks[1], BlockIds { start: 3, len: 3 });
    assert_eq!(
        warnings,
        ["`timestamp` is read as milliseconds, and `hash_ids` as blocks of 512 tokens"]
    );
}

#[test]
fn bailian() {
    for format in [None, Some(TraceFormat::Mooncake)] {
        let mut spec = trace(&data("bailian.jsonl"));
        set(&mut spec, |trace| trace.format = format);
        let (workload, warnings) = read(&spec);
        assert_eq!(rows(&workload), [(0, 40, 12), (1_386_000_000, 60, 9)]);
        assert_eq!(workload.block_tokens, 16);
        assert_eq!(workload.block_ids.len(), 7);
        assert_eq!(
            warnings,
            ["`timestamp` is read as seconds, and `hash_ids` as blocks of 16 tokens"]
        );
    }
}

#[test]
fn burstgpt() {
    let (workload, warnings) = read(&trace(&data("burstgpt.csv")));
    assert_eq!(rows(&workload), [(0, 472, 18), (40_000_000_000, 1087, 230)]);
    assert_eq!(
        warnings,
        ["requests with 0 `Response tokens` failed when they were recorded: 1 left out"]
    );
    // The older files have neither session nor elapsed time.
    let older = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
                 5,ChatGPT,472,18,490,Conversation log\n";
    assert_eq!(rows(&read_text(older, None).unwrap().workload), [(0, 472, 18)]);
}

#[test]
fn plain_csv() {
    let (workload, warnings) = read(&trace(&data("plain.csv")));
    assert_eq!(rows(&workload), [(0, 234, 474), (59_900_000, 796, 269), (1_500_000_000, 10, 1)]);
    assert_eq!(warnings, ["columns not used: `reason_ratio`"]);
}

#[test]
fn our_own_jsonl() {
    let (workload, warnings) = read(&trace(&data("ours.jsonl")));
    assert_eq!(rows(&workload), [(0, 1034, 769), (900_000_000, 100, 20), (900_000_000, 70, 5)]);
    assert_eq!(workload.block_tokens, 32);
    assert_eq!(workload.block_ids, [7, 8, 9, 7, 8]);
    assert_eq!(workload.classes, ["chat", "batch", "default"]);
    let told: Vec<_> =
        workload.requests.iter().map(|r| (r.class, r.priority, r.max_tokens)).collect();
    assert_eq!(told, [(1, 0, 1000), (0, -1, 20), (2, 0, 5)]);
    assert_eq!(
        warnings,
        ["rows that arrive before a row above them: 1, so all were sorted by arrival"]
    );
}

#[test]
fn the_scenarios_classes_give_priorities_to_a_trace() {
    let class =
        |name: &str, priority| ClassSpec { name: name.into(), share: 1.0, priority, lengths: None };
    let mut spec = trace(&data("ours.jsonl"));
    spec.classes = vec![class("batch", 9), class("default", 4)];
    let (workload, warnings) = read(&spec);
    assert_eq!(workload.classes, ["batch", "default", "chat"]);
    let told: Vec<_> = workload.requests.iter().map(|r| (r.class, r.priority)).collect();
    assert_eq!(told, [(0, 9), (2, -1), (1, 4)]);
    assert!(warnings.contains(&"the class `chat` is not one of the scenario's".to_owned()));

    // A trace without classes gets them by share.
    let mut spec = trace(&data("plain.csv"));
    spec.classes = vec![class("batch", 9), class("chat", 0)];
    let (workload, _) = read(&spec);
    assert!(workload.requests.iter().all(|r| r.priority == if r.class == 0 { 9 } else { 0 }));
}

#[test]
fn a_time_scale_divides_and_an_amount_cuts() {
    let mut spec = trace(&data("plain.csv"));
    set(&mut spec, |trace| trace.time_scale = 2.0);
    assert_eq!(rows(&read(&spec).0)[1..], [(29_950_000, 796, 269), (750_000_000, 10, 1)]);
    spec.amount = requests(2);
    assert_eq!(read(&spec).0.requests.len(), 2);
    spec.amount = Amount { requests: None, duration: Some(seconds(0.02995)) };
    assert_eq!(read(&spec).0.requests.len(), 1);
    set(&mut spec, |trace| trace.time_scale = 0.0);
    assert_eq!(draw(&spec, 1, LIMITS).unwrap_err().field(), Some("trace.time_scale"));
}

#[test]
fn lengths_without_arrivals_need_a_process() {
    let mut spec = trace(&data("lengths.csv"));
    let error = draw(&spec, 1, LIMITS).unwrap_err();
    assert!(error.to_string().ends_with("expected arrival times (`arrival_s`), found none"));
    assert!(error.help().unwrap().contains("arrivals"));
    set(&mut spec, |trace| trace.arrivals = Some(Arrivals::Constant { rate: 2.0 }));
    let (workload, _) = read(&spec);
    assert_eq!(rows(&workload), [(0, 3772, 54), (500_000_000, 2015, 156), (1_000_000_000, 88, 7)]);
    assert_eq!(workload.nominal_rate_per_s, Some(2.0));
    // A trace with its own gives them up, and says so.
    let mut spec = trace(&data("ours.jsonl"));
    set(&mut spec, |trace| trace.arrivals = Some(Arrivals::AllAtOnce));
    let (workload, warnings) = read(&spec);
    assert_eq!(rows(&workload), [(0, 100, 20), (0, 1034, 769), (0, 70, 5)]);
    assert!(warnings.contains(&"its arrival times give way to the scenario's".to_owned()));
}

#[test]
fn prefix_groups_fit_a_trace_without_ids_only() {
    let mut spec = trace(&data("plain.csv"));
    spec.prefix_groups = Some(PrefixGroups { count: 1, tokens: 64, share: 1.0 });
    let (workload, _) = read(&spec);
    let lens: Vec<u32> = workload.blocks.iter().map(|blocks| blocks.len).collect();
    assert_eq!(lens, [4, 4, 0]);
    assert_eq!(workload.block_ids, [0, 1, 2, 3]);
    let mut spec = trace(&data("mooncake.jsonl"));
    spec.prefix_groups = Some(PrefixGroups { count: 1, tokens: 64, share: 1.0 });
    assert_eq!(draw(&spec, 1, LIMITS).unwrap_err().field(), Some("prefix_groups"));
}

#[test]
fn block_ids_must_fit_the_engines_blocks() {
    let limits = Limits { kv_block_tokens: 48, ..LIMITS };
    let error = draw(&trace(&data("mooncake.jsonl")), 1, limits).unwrap_err();
    assert!(error.message().contains("512 tokens, which is not a multiple of"));
}

#[test]
fn a_mark_and_windows_line_ends_do_no_harm() {
    let text = "\u{feff}arrival_s,prompt_tokens,output_tokens\r\n\r\n0.5,10,2\r\n1.5,\"11\",3";
    let expected = [(0, 10, 2), (1_000_000_000, 11, 3)];
    assert_eq!(rows(&read_text(text, None).unwrap().workload), expected);
}

#[test]
fn seconds_since_1970_keep_their_nanoseconds() {
    let text = "arrival_s,prompt_tokens,output_tokens\n\
                1700158546.100000001,1,1\n1700158546.100000004,1,1\n";
    let workload = read_text(text, None).unwrap().workload;
    assert_eq!(workload.requests[1].arrival, Time::from_nanos(3));
    let text = "{\"arrival_s\":1700158546.1,\"prompt_tokens\":1,\"output_tokens\":1}\n\
                {\"arrival_s\":1700158546.2,\"prompt_tokens\":1,\"output_tokens\":1}\n";
    let workload = read_text(text, None).unwrap().workload;
    assert_eq!(workload.requests[1].arrival, Time::from_nanos(100_000_000));
}

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
                "{\"arrival_s\":1,\"prompt_tokens\":40,\"output_tokens\":1,\"block_hash_ids\":[1,2,3,4]}",
            ),
            ":2: `block_hash_ids`: expected at most 3 block ids for a prompt of 40 tokens in blocks of 16, found 4",
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
    for name in ["sharegpt.json", "vllm_custom.jsonl"] {
        let error = draw(&trace(&data(name)), 1, LIMITS).unwrap_err();
        let help = error.help().unwrap();
        for key in ["ContextTokens", "num_prefill_tokens", "input_length", "Request tokens"] {
            assert!(help.contains(key), "{help}");
        }
    }
    // Lengths by name, but no arrivals that this format knows.
    let error = draw(&trace(&data("blis_tracev2.csv")), 1, LIMITS).unwrap_err();
    assert!(error.message().contains("expected arrival times"));
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
    let error = read_text(b"\x1f\x8b\x08\x00rest", None).unwrap_err();
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

/// The whole of a published trace: requests, seconds, and mean, P50, P90, P99 of its lengths.
#[test]
fn published_traces_have_their_known_statistics() {
    for (name, count, rate, prompt, output) in [
        ("azure2023_conv.csv", 19366, Some(5.53), [1155, 1020, 2734, 4142], [211, 129, 424, 601]),
        ("azure2023_code.csv", 8819, Some(2.57), [2048, 1469, 5187, 7436], [28, 13, 55, 251]),
        (
            "mooncake_conversation_trace.jsonl",
            12031,
            Some(3.40),
            [12035, 6909, 27367, 85400],
            [343, 350, 597, 1118],
        ),
        ("sharegpt8k_lengths.csv", 30731, None, [2340, 1730, 5696, 7433], [439, 415, 834, 998]),
        (
            "arxiv_summarization_lengths.csv",
            28257,
            None,
            [2588, 2730, 3702, 3933],
            [291, 167, 372, 3271],
        ),
        (
            "bwb_longform_lengths.csv",
            33768,
            None,
            [1067, 1037, 1453, 1800],
            [1613, 1601, 2149, 2533],
        ),
    ] {
        let Some(path) = published(&format!("traces/{name}")) else { continue };
        let mut spec = trace(&path);
        if rate.is_none() {
            set(&mut spec, |trace| trace.arrivals = Some(Arrivals::AllAtOnce));
        }
        let (workload, _) = read(&spec);
        assert_eq!(workload.requests.len(), count, "{name}");
        if let Some(rate) = rate {
            let span = workload.requests[count - 1].arrival.as_secs_f64();
            assert_near((count - 1) as f64 / span, rate, 0.002);
        }
        for (stats, expected) in [(prompts(&workload), prompt), (outputs(&workload), output)] {
            let got = [stats.mean, stats.quantile(0.5), stats.quantile(0.9), stats.quantile(0.99)];
            for (got, expected) in got.into_iter().zip(expected) {
                assert!((got - f64::from(expected)).abs() <= 1.0, "{name}: {got}, {expected}");
            }
        }
    }
}

#[test]
fn published_traces_with_block_ids() {
    if let Some(path) = published("traces/mooncake_conversation_trace.jsonl") {
        let (workload, _) = read(&trace(&path));
        assert_eq!(workload.block_ids.len(), 288_500);
        let covered =
            |(r, blocks): (&Request, BlockIds)| blocks.len == r.prompt_tokens.div_ceil(512);
        assert_eq!(workload.blocks.len(), workload.requests.len());
        assert!(workload.requests.iter().zip(workload.blocks).all(covered));
    }
    if let Some(path) = published("workloads/sharegpt300_llama31.jsonl") {
        let (workload, _) = read(&trace(&path));
        assert_eq!(workload.requests.len(), 300);
        assert_eq!(workload.block_tokens, 16);
        assert_eq!(workload.requests[0].arrival, Time::ZERO);
        let covered = |(r, blocks): (&Request, BlockIds)| blocks.len == r.prompt_tokens / 16;
        assert_eq!(workload.blocks.len(), workload.requests.len());
        assert!(workload.requests.iter().zip(workload.blocks).all(covered));
    }
}

#[test]
fn published_generated_traces() {
    for (name, count) in [("servegen_m-small.csv", 11_996), ("servegen_deepseek-r1.csv", 5_990)] {
        let Some(path) = published(&format!("traces/{name}")) else { continue };
        let (workload, _) = read(&trace(&path));
        assert_eq!(workload.requests.len(), count, "{name}");
    }
}

fn formats() -> [Option<TraceFormat>; 7] {
    use TraceFormat::*;
    [None, Some(Azure), Some(Vidur), Some(Mooncake), Some(BurstGpt), Some(Jsonl), Some(Csv)]
}

proptest! {
    #[test]
    fn random_bytes_are_read_or_refused(bytes: Vec<u8>) {
        for format in formats() {
            let _ = read_text(&bytes, format);
        }
    }

    #[test]
    fn damaged_files_are_read_or_refused(
        which in 0usize..8, at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let name = ["azure.csv", "vidur.csv", "mooncake.jsonl", "bailian.jsonl", "burstgpt.csv",
            "plain.csv", "ours.jsonl", "lengths.csv"][which];
        let mut bytes = std::fs::read(data(name)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if byte % 4 == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        for format in formats() {
            if let Ok(drawn) = read_text(&bytes, format) {
                let requests = &drawn.workload.requests;
                prop_assert!(requests.windows(2).all(|pair| pair[0].arrival <= pair[1].arrival));
                for r in requests {
                    prop_assert!(r.prompt_tokens >= 1 && r.output_tokens >= 1);
                }
                let blocks = &drawn.workload.blocks;
                prop_assert!(blocks.is_empty() || blocks.len() == requests.len());
                for BlockIds { start, len } in blocks {
                    prop_assert!((start + len) as usize <= drawn.workload.block_ids.len());
                }
            }
        }
    }

    /// What is written is what is read, in CSV and in JSONL.
    #[test]
    fn rows_survive_a_round_trip(
        table in prop::collection::vec((0u64..1 << 50, 1u32.., 1u32..1000), 1..50),
    ) {
        let mut table = table;
        table.sort_by_key(|row| row.0);
        let first = table[0].0;
        let (mut csv, mut json) = ("arrival_s,prompt_tokens,output_tokens\n".to_owned(), String::new());
        for (ns, prompt, output) in &table {
            let seconds = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
            writeln!(csv, "{seconds},{prompt},{output}").unwrap();
            writeln!(
                json,
                "{{\"arrival_s\":{seconds},\"prompt_tokens\":{prompt},\"output_tokens\":{output}}}"
            ).unwrap();
        }
        for text in [csv, json] {
            let workload = read_text(&text, None).unwrap().workload;
            for (request, (ns, prompt, _)) in workload.requests.iter().zip(&table) {
                prop_assert_eq!(request.arrival.as_nanos(), ns - first);
                prop_assert_eq!(request.prompt_tokens, *prompt);
            }
        }
    }
}
