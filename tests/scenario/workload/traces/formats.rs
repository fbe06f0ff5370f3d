//! Every format is read as it is meant.

use metron_sim::request::BlockIds;
use metron_sim::time::Time;
use metron_sim::workload::*;

use super::{read, read_text, rows, set};
use crate::workload::support::*;

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
    assert_eq!(*workload.block_ids, [0, 1, 2, 0, 1, 3, 4]);
    assert_eq!(workload.block_tokens, 512);
    assert_eq!(workload.blocks[1], BlockIds { start: 3, len: 3 });
    assert_eq!(
        warnings,
        ["`timestamp` is read as milliseconds, and `hash_ids` as blocks of 512 tokens"]
    );
}

#[test]
fn others_traces_that_cannot_be_are_told() {
    let row = |chat: u32, ids: &str| {
        format!(
            r#"{{"chat_id": {chat}, "parent_chat_id": -1, "timestamp": 1.5, "input_length": 40, "output_length": 2, "type": "text", "turn": 1, "hash_ids": [{ids}]}}"#
        )
    };
    let told = |rows: [String; 2]| {
        let read = read_text(rows.join("\n"), None).unwrap();
        read.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    // Full blocks alone, or the begun one too.
    let sound = told([row(1, "7, 8"), row(2, "7, 8, 9")]);
    assert!(!sound.contains("rows have"), "{sound}");
    let short = told([row(1, "7"), row(2, "7, 8, 9")]);
    assert!(short.contains("1 rows have fewer `hash_ids` than"), "{short}");
    let twice = told([row(1, "7, 8, 9"), row(1, "7, 8, 9")]);
    assert!(twice.contains("1 rows have a `chat_id` that stands in another row too"), "{twice}");
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
        assert_eq!(workload.sessions, [Some(0), Some(0)], "the second goes on from the first");
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
    assert_eq!(*workload.block_ids, [7, 8, 9, 7, 8]);
    assert_eq!(workload.classes, ["chat", "batch", "default"]);
    let told: Vec<_> =
        workload.requests.iter().map(|r| (r.class.0, r.priority, r.max_tokens)).collect();
    assert_eq!(told, [(1, 0, 1000), (0, -1, 20), (2, 0, 5)]);
    assert_eq!(
        warnings,
        ["rows that arrive before a row above them: 1, so all were sorted by arrival"]
    );
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
