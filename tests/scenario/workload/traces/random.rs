//! Random and damaged files, and rows that are written and read again.

use std::fmt::Write as _;

use metron_sim::request::BlockIds;
use metron_sim::workload::*;
use proptest::prelude::*;

use super::read_text;
use crate::workload::support::*;

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
