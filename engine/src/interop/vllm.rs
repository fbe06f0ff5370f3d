//! `vllm bench serve --save-result` (0.32.0; older files lack some keys): one object a run,
//! appended one after another by `--append-result`.
//!
//! With `--save-detailed` each request has its prompt and output length, TTFT and gaps (seconds,
//! one for each SSE *chunk*); without, only its latency, and the time that it waited for the
//! client's own concurrency limit, which no latency includes. Start times are of a clock with an
//! arbitrary origin. Failed requests keep a slot with output length 0.

use std::collections::BTreeMap;
use std::io::Read;

use super::Progress;
use super::builder::{Builder, Sent, sum};
use super::contradictions::hold;
use super::fault::Fault;
use super::json::Json;
use super::measured::{Granularity, Measured};
use super::parallel::{Arrays, Rules, counts, errors, gaps, reported, seconds};

const KEYS: &[&str] = &[
    "label",
    "backend",
    "request_rate",
    "duration",
    "failed",
    "completed",
    "max_concurrency",
    "max_concurrent_requests",
    "request_goodput",
    "total_token_throughput",
    "num_prompts",
    "total_input_tokens",
    "total_output_tokens",
    "input_lens",
    "output_lens",
    "ttfts",
    "itls",
    "start_times",
    "queue_times",
    "latencies",
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
    "mean_e2el_ms",
    "median_e2el_ms",
    "p99_e2el_ms",
    "std_ttft_ms",
    "std_tpot_ms",
    "std_itl_ms",
    "std_e2el_ms",
    "p50_ttft_ms",
    "p90_ttft_ms",
    "p95_ttft_ms",
    "p50_tpot_ms",
    "p90_tpot_ms",
    "p95_tpot_ms",
    "p50_itl_ms",
    "p90_itl_ms",
    "p95_itl_ms",
    "p50_e2el_ms",
    "p90_e2el_ms",
    "p95_e2el_ms",
];

/// One object.
#[derive(Default)]
struct Run {
    arrays: Arrays,
    label: Option<String>,
    backend: Option<String>,
    rate: Option<String>,
    reported: BTreeMap<String, f64>,
}

/// Reads every run of a file.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    let mut runs = Vec::new();
    let mut next = |json: &mut Json<R>| {
        let begin = json.position();
        let run = object(json, progress)?;
        runs.push(run.measured(progress).map_err(|fault| fault.or_at(begin))?);
        progress.runs += 1;
        Ok(())
    };
    while json.another()? {
        // `vllm bench sweep` puts the objects of its runs into a list.
        if json.next_is(b'[')? { json.list(&mut next)? } else { next(json)? }
    }
    Ok(runs)
}

fn object<R: Read>(json: &mut Json<R>, progress: &Progress) -> Result<Run, Fault> {
    let mut run = Run::default();
    let read = json.object(KEYS, |json, key| {
        let arrays = &mut run.arrays;
        match key {
            "label" => run.label = json.string_or_skip()?,
            "backend" => run.backend = json.string_or_skip()?,
            // A number, or the text "inf".
            "request_rate" => {
                run.rate = if json.next_is(b'"')? {
                    Some(json.string()?)
                } else {
                    json.figure()?.map(|rate| rate.to_string())
                }
            }
            "input_lens" => arrays.input_lens = Some(counts(json, key)?),
            "output_lens" => arrays.output_lens = Some(counts(json, key)?),
            "ttfts" => arrays.ttfts = Some(seconds(json, key)?),
            "itls" => arrays.gaps = Some(gaps(json, key, &progress.spool)?),
            "start_times" => arrays.starts = Some(seconds(json, key)?),
            "queue_times" => arrays.queue = Some(seconds(json, key)?),
            "latencies" => arrays.totals = Some(seconds(json, key)?),
            "errors" => arrays.failed = Some(errors(json, key)?),
            name => drop(reported(json, name, &mut run.reported)?),
        }
        Ok(())
    });
    read.map_err(|fault| run.arrays.told(fault))?;
    Ok(run)
}

impl Run {
    fn measured(mut self, progress: &Progress) -> Result<Measured, Fault> {
        let requests = self.arrays.requests()?;
        let starts = self.arrays.starts.is_some();
        let mut measured = if self.arrays.ttfts.is_some() {
            let finest =
                if self.arrays.gaps.is_some() { Granularity::Token } else { Granularity::Total };
            if finest == Granularity::Total {
                return Err(Fault::whole("it has `ttfts` but no `itls`"));
            }
            let mut measured = self.arrays.build(Rules::default(), progress)?.finish(finest)?;
            if self.arrays.output_lens.is_none() {
                measured.granularity = Granularity::Chunk;
                measured.notes.push("it has no `output_lens`: chunks count as tokens".to_owned());
            }
            measured
        } else if requests.is_some_and(|requests| requests > 0) {
            self.without_details(progress)?
        } else {
            return Err(Fault::whole(
                "it holds no request: neither `ttfts` and `itls` (written with --save-detailed) \
                 nor `latencies`",
            ));
        };
        measured.knows.arrivals = starts;
        hold(&mut measured, self.reported, self.arrays.empty);
        let name = self.label.or(self.backend).unwrap_or_default();
        measured.name = match self.rate {
            Some(rate) => format!("{name} rate={rate}"),
            None => name,
        };
        Ok(measured)
    }

    /// Total times alone.
    fn without_details(&mut self, progress: &Progress) -> Result<Measured, Fault> {
        let totals = self.arrays.totals.take().unwrap_or_default();
        let mut builder = Builder::new(progress);
        for (index, &total) in totals.iter().enumerate() {
            sum(total, 0)?;
            let waited = self.arrays.queue.as_ref().map(|queue| queue[index]);
            builder.request(Sent { waited, total: Some(total), ..Sent::default() })?;
        }
        let whole = |name: &str| {
            let said = self.reported.get(name).copied();
            said.filter(|said| said.fract() == 0.0 && *said < 1e15).map(|said| said as u64)
        };
        let failed = whole("failed").unwrap_or(0);
        let mut measured = builder.finish(Granularity::Total)?;
        if failed > 0 {
            measured.notes.push(format!(
                "{failed} requests failed, and the file does not tell which: their total times are \
                 among the others"
            ));
        }
        measured.failed = failed;
        measured.token_totals = whole("total_input_tokens").zip(whole("total_output_tokens"));
        measured.totals_ns = Some(totals);
        Ok(measured)
    }
}
