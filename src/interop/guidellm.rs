//! GuideLLM's JSON (0.8.1, `metadata.version` 2): one object, each benchmark in it a run.
//!
//! First and last token of each request alone, in seconds of the wall clock. Older files have other
//! names for them: `first_iteration` and `last_iteration` (version 1), or `start_time`,
//! `first_token_time`, `last_token_time` and `end_time` of the request itself (0.2 and 0.3, without
//! a version). Later versions than 2 are refused. `token_iterations` counts chunks with text;
//! `request_iterations` also those without.

use std::io::Read;

use super::Progress;
use super::builder::{Builder, Ended, Sent};
use super::fault::Fault;
use super::json::{Json, SECONDS};
use super::measured::{Granularity, Measured};

/// The latest version that is read.
const VERSION: u32 = 2;

#[derive(Default)]
struct Benchmark {
    builder: Builder,
    strategy: Option<String>,
    rate: Option<f64>,
    cached: Option<u64>,
}

/// Reads every benchmark of a file.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    let mut version = None;
    let mut runs: Vec<Measured> = Vec::new();
    json.object(&["metadata", "benchmarks"], |json, key| {
        if key == "metadata" {
            let at = json.position();
            json.object(&["version"], |json, _| {
                version = json.count_or_null()?;
                Ok(())
            })?;
            return check(version).map_err(|fault| fault.or_at(at));
        }
        json.list(|json| {
            runs.push(benchmark(json, progress)?);
            progress.runs += 1;
            progress.requests = 0;
            Ok(())
        })
    })?;
    if version != Some(VERSION) {
        for run in &mut runs {
            run.notes
                .push("written by an older GuideLLM: read by the names that it used".to_owned());
        }
    }
    if json.another()? {
        return Err(json.fault("something follows the object"));
    }
    Ok(runs)
}

fn check(version: Option<u32>) -> Result<(), Fault> {
    match version {
        Some(later) if later > VERSION => Err(Fault::whole(format!(
            "its metadata.version is {later}; up to version {VERSION} (GuideLLM 0.8) is read"
        ))),
        _ => Ok(()),
    }
}

fn benchmark<R: Read>(json: &mut Json<R>, progress: &mut Progress) -> Result<Measured, Fault> {
    let begin = json.position();
    let builder = Builder::new(progress);
    let mut benchmark = Benchmark { builder, ..Benchmark::default() };
    json.object(&["config", "requests"], |json, key| {
        if key == "config" {
            return json.object(&["strategy"], |json, _| {
                if json.null()? {
                    return Ok(());
                }
                json.object(&["type_", "rate"], |json, key| {
                    match key {
                        "type_" => benchmark.strategy = json.string_or_skip()?,
                        _ => benchmark.rate = json.figure()?,
                    }
                    Ok(())
                })
            });
        }
        json.object(&["successful", "errored", "incomplete"], |json, kind| {
            let ended = match kind {
                "successful" => Ended::Completed,
                "errored" => Ended::Failed,
                _ => Ended::Unfinished,
            };
            if json.null()? {
                return Ok(());
            }
            json.list(|json| {
                request(json, &mut benchmark, ended)?;
                progress.requests += 1;
                Ok(())
            })
        })
    })?;
    let mut measured =
        benchmark.builder.finish(Granularity::FirstLast).map_err(|fault| fault.or_at(begin))?;
    measured.cached_tokens = benchmark.cached;
    let strategy = benchmark.strategy.unwrap_or_default();
    measured.name = match benchmark.rate {
        Some(rate) => format!("{strategy} rate={rate}"),
        None => strategy,
    };
    Ok(measured)
}

#[derive(Default)]
struct Timings {
    start: Option<u64>,
    first: Option<u64>,
    last: Option<u64>,
    end: Option<u64>,
}

fn request<R: Read>(
    json: &mut Json<R>,
    benchmark: &mut Benchmark,
    ended: Ended,
) -> Result<(), Fault> {
    const KEYS: &[&str] = &[
        "info",
        "prompt_tokens",
        "output_tokens",
        "cached_tokens",
        "request_dispatch_delay",
        "request_start_time",
        "scheduler_info",
        "start_time",
        "first_token_time",
        "last_token_time",
        "end_time",
    ];
    let begin = json.position();
    let (mut timings, mut older) = (Timings::default(), Timings::default());
    let (mut prompt, mut output, mut started, mut waited) = (None, None, None, None);
    json.object(KEYS, |json, key| {
        match key {
            "info" | "scheduler_info" if json.null()? => {}
            "info" | "scheduler_info" => {
                json.object(&["timings", "request_timings"], |json, _| {
                    timings = read_timings(json)?;
                    Ok(())
                })?;
            }
            "start_time" => older.start = json.nanos_or_null(SECONDS)?,
            "first_token_time" => older.first = json.nanos_or_null(SECONDS)?,
            "last_token_time" => older.last = json.nanos_or_null(SECONDS)?,
            "end_time" => older.end = json.nanos_or_null(SECONDS)?,
            "prompt_tokens" => prompt = json.count_or_null()?,
            "output_tokens" => output = json.count_or_null()?,
            "cached_tokens" => {
                if let Some(cached) = json.count_or_null()? {
                    let sum = benchmark.cached.unwrap_or(0) + u64::from(cached);
                    benchmark.cached = Some(sum);
                }
            }
            "request_start_time" => started = json.nanos_or_null(SECONDS)?,
            _ => waited = json.delay_or_null(SECONDS)?,
        }
        Ok(())
    })?;
    let timings = Timings {
        start: timings.start.or(older.start),
        first: timings.first.or(older.first),
        last: timings.last.or(older.last),
        end: timings.end.or(older.end),
    };
    let Some(sent) = timings.start.or(started) else {
        if ended == Ended::Completed {
            return Err(Fault::at(begin, "`request_start` is missing"));
        }
        // Never sent: it belongs to no request rate and has no place on the clock.
        return Ok(());
    };
    let first = timings.first.filter(|_| ended != Ended::Failed);
    if let (Some(_), Some(last), true) = (first, timings.last, output != Some(1)) {
        benchmark.builder.token(last);
    }
    benchmark.builder.observed_until(timings.end.unwrap_or(sent));
    let row = Sent {
        sent,
        first,
        prompt_tokens: prompt.unwrap_or(0),
        output_tokens: output,
        ended,
        waited,
        total: timings.end.and_then(|end| end.checked_sub(sent)),
        ..Sent::default()
    };
    benchmark.builder.request(row).map_err(|fault| fault.or_at(begin))
}

fn read_timings<R: Read>(json: &mut Json<R>) -> Result<Timings, Fault> {
    let mut timings = Timings::default();
    if json.null()? {
        return Ok(timings);
    }
    const KEYS: &[&str] = &[
        "request_start",
        "first_token_iteration",
        "last_token_iteration",
        "request_end",
        "first_iteration",
        "last_iteration",
    ];
    let mut older = Timings::default();
    json.object(KEYS, |json, key| {
        let time = json.nanos_or_null(SECONDS)?;
        match key {
            "request_start" => timings.start = time,
            "first_token_iteration" => timings.first = time,
            "last_token_iteration" => timings.last = time,
            "first_iteration" => older.first = time,
            "last_iteration" => older.last = time,
            _ => timings.end = time,
        }
        Ok(())
    })?;
    timings.first = timings.first.or(older.first);
    timings.last = timings.last.or(older.last);
    Ok(timings)
}
