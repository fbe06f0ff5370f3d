//! The published traces, where they are.

use metron_sim::request::{BlockIds, Request};
use metron_sim::time::Time;
use metron_sim::workload::*;

use super::{read, set};
use crate::workload::support::*;

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
