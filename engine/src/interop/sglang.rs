//! SGLang's `bench_serving --output-file x.jsonl --output-details` (0.5.23): an object a run.
//!
//! No start times. With SGLang's own backend a chunk's gap is divided by its tokens and repeated
//! for each, so a stall inside is spread out; that is undone here.

use std::collections::BTreeMap;
use std::io::Read;

use super::Progress;
use super::contradictions::hold;
use super::fault::Fault;
use super::json::Json;
use super::measured::{Granularity, Measured};
use super::parallel::{self, Arrays, Rules, counts, errors, gaps, reported, seconds};

const KEYS: &[&str] = &[
    "tag",
    "backend",
    "request_rate",
    "duration",
    "completed",
    "total_input_tokens",
    "total_output_tokens",
    "input_lens",
    "output_lens",
    "ttfts",
    "itls",
    "errors",
    "request_throughput",
    "output_throughput",
    "mean_ttft_ms",
    "median_ttft_ms",
    "p99_ttft_ms",
    "mean_tpot_ms",
    "median_tpot_ms",
    "p99_tpot_ms",
    "mean_itl_ms",
    "median_itl_ms",
    "p99_itl_ms",
    "mean_e2e_latency_ms",
    "median_e2e_latency_ms",
    "p90_e2e_latency_ms",
    "p95_itl_ms",
    "p99_e2e_latency_ms",
    "input_throughput",
    "total_throughput",
    "std_ttft_ms",
    "std_tpot_ms",
    "std_itl_ms",
    "std_e2e_latency_ms",
    "p50_ttft_ms",
    "p90_ttft_ms",
    "p95_ttft_ms",
    "p50_tpot_ms",
    "p90_tpot_ms",
    "p95_tpot_ms",
    "p50_itl_ms",
    "p90_itl_ms",
    "p50_e2e_latency_ms",
    "p95_e2e_latency_ms",
    "max_concurrency",
    "max_concurrent_requests",
    "concurrency",
];

/// Reads every run of a file.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    parallel::objects(json, progress, object)
}

fn object<R: Read>(json: &mut Json<R>, progress: &Progress) -> Result<Measured, Fault> {
    let mut arrays = Arrays::default();
    let mut names: [Option<String>; 3] = [None, None, None];
    let mut figures = BTreeMap::new();
    let read = json.object(KEYS, |json, key| {
        match key {
            "tag" => names[0] = json.string_or_skip()?,
            "backend" => names[1] = json.string_or_skip()?,
            "request_rate" => {
                names[2] = if json.next_is(b'"')? {
                    Some(json.string()?)
                } else {
                    Some(json.figure()?.map_or("inf".to_owned(), |rate| rate.to_string()))
                }
            }
            "input_lens" => arrays.input_lens = Some(counts(json, key)?),
            "output_lens" => arrays.output_lens = Some(counts(json, key)?),
            "ttfts" => arrays.ttfts = Some(seconds(json, key)?),
            "itls" => arrays.gaps = Some(gaps(json, key, &progress.spool)?),
            "errors" => arrays.failed = Some(errors(json, key)?),
            name => drop(reported(json, name, &mut figures)?),
        }
        Ok(())
    });
    read.map_err(|fault| arrays.told(fault))?;
    if arrays.ttfts.is_none() || arrays.gaps.is_none() {
        return Err(Fault::whole(
            "it holds no request: `ttfts` and `itls` are written with --output-details",
        ));
    }
    let [tag, backend, rate] = names;
    let smoothed = matches!(backend.as_deref(), Some("sglang" | "sglang-native"));
    let mut measured = arrays.build(Rules { smoothed }, progress)?.finish(Granularity::Token)?;
    if smoothed {
        measured.notes.push(
            "this backend spreads a chunk's gap evenly over its tokens; equal gaps in a row were \
             put together again, so that a chunk's tokens share its time"
                .to_owned(),
        );
    }
    measured.knows.arrivals = false;
    measured.smoothed = smoothed;
    hold(&mut measured, figures, arrays.empty);
    let name = tag.or(backend).unwrap_or_default();
    measured.name = rate.map_or(name.clone(), |rate| format!("{name} rate={rate}"));
    Ok(measured)
}
