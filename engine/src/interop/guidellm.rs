//! GuideLLM's JSON (0.8.1, `metadata.version` 2): one object, each benchmark in it a run.
//!
//! First and last token of each request alone, in seconds of the wall clock. Older files have other
//! names for them: `first_iteration` and `last_iteration` (version 1), or `start_time`,
//! `first_token_time`, `last_token_time` and `end_time` of the request itself (0.2 and 0.3, without
//! a version). Later versions than 2 are refused. `token_iterations` counts chunks with text;
//! `request_iterations` also those without.

use std::collections::BTreeMap;
use std::io::Read;

use super::Progress;
use super::aiperf::error;
use super::builder::{Builder, Sent};
use super::contradictions::hold;
use super::ended::Ended;
use super::fault::Fault;
use super::guidellm_figures::{self, Listed};
use super::json::{Json, SECONDS};
use super::measured::{Granularity, Measured};
use super::parallel::reported;
use super::twice::Mark;

/// Milliseconds as a power of ten of nanoseconds.
const MILLIS: i32 = 6;

/// Words of `info.status` for requests that did not succeed.
const LOST: &[&str] = &["errored", "error", "failed", "cancelled", "incomplete"];

/// The latest version that is read.
const VERSION: u32 = 2;

#[derive(Default)]
struct Benchmark {
    builder: Builder,
    strategy: Option<String>,
    rate: Option<f64>,
    /// Requests at once, of a strategy that keeps so many.
    concurrency: Option<f64>,
    cached: Option<u64>,
    /// Figures of the whole benchmark, by the names that other clients give them.
    reported: BTreeMap<String, f64>,
    /// Requests of each of its lists.
    listed: Listed,
    /// Whether some answer's length is not told.
    uncounted: bool,
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
    const KEYS: &[&str] = &[
        "config",
        "requests",
        "metrics",
        "start_time",
        "end_time",
        "duration",
        "warmup_duration",
        "cooldown_duration",
    ];
    let (mut began, mut ended) = (None, None);
    // Figures of a part of the run are not those of its requests.
    let mut whole = true;
    json.object(KEYS, |json, key| {
        match key {
            "requests" => {}
            "duration" => return reported(json, key, &mut benchmark.reported).map(drop),
            "start_time" => return json.figure().map(|at| began = at),
            "end_time" => return json.figure().map(|at| ended = at),
            "metrics" => return guidellm_figures::read(json, &mut benchmark.reported),
            "warmup_duration" | "cooldown_duration" => {
                whole &= json.figure_or_skip()?.is_none_or(|left_out| left_out == 0.0);
                return Ok(());
            }
            _ => {}
        }
        if key == "config" {
            return json.object(&["strategy"], |json, _| {
                if json.null()? {
                    return Ok(());
                }
                json.object(&["type_", "rate", "streams", "max_concurrency"], |json, key| {
                    match key {
                        "type_" => benchmark.strategy = json.string_or_skip()?,
                        // `max_concurrency` of another strategy is a limit alone.
                        "streams" | "max_concurrency" => {
                            let at_once = json.figure_or_skip()?;
                            benchmark.concurrency = benchmark.concurrency.or(at_once);
                        }
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
                benchmark.listed.one(kind);
                progress.requests += 1;
                Ok(())
            })
        })
    })?;
    let mut measured =
        benchmark.builder.finish(Granularity::FirstLast).map_err(|fault| fault.or_at(begin))?;
    measured.cached_tokens = benchmark.cached;
    if whole {
        hold(&mut measured, benchmark.reported, 0);
        let lasted = began.zip(ended);
        let counted = !benchmark.uncounted;
        let found = guidellm_figures::contradictions(&measured, benchmark.listed, lasted, counted);
        measured.contradictions.extend(found);
    } else {
        measured.reported = benchmark.reported;
        measured.reported.retain(|_, value| value.is_finite());
    }
    let strategy = benchmark.strategy.unwrap_or_default();
    let at_once = benchmark.concurrency.filter(|_| strategy == "concurrent");
    measured.name = match (benchmark.rate, at_once) {
        (Some(rate), _) => format!("{strategy} rate={rate}"),
        (None, Some(at_once)) => format!("{strategy} concurrency={at_once}"),
        (None, None) => strategy,
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
        "request_id",
        "info",
        "prompt_tokens",
        "output_tokens",
        "total_tokens",
        "cached_tokens",
        "request_dispatch_delay",
        "request_start_time",
        "request_end_time",
        "request_latency",
        "time_to_first_token_ms",
        "inter_token_latency_ms",
        "time_per_output_token_ms",
        "tokens_per_second",
        "output_tokens_per_second",
        "scheduler_info",
        "start_time",
        "first_token_time",
        "last_token_time",
        "end_time",
    ];
    let begin = json.position();
    let (mut timings, mut older) = (Timings::default(), Timings::default());
    let (mut prompt, mut output, mut started, mut waited) = (None, None, None, None);
    let (mut finished, mut latency, mut ttft, mut both) = (None, None, None, None);
    let (mut gap, mut per_token, mut all_rate, mut output_rate) = (None, None, None, None);
    let (mut why, mut status, mut id) = (None, None, None);
    json.object(KEYS, |json, key| {
        match key {
            "info" | "scheduler_info" if json.null()? => {}
            "info" | "scheduler_info" => {
                json.object(&["timings", "request_timings", "error", "status"], |json, key| {
                    match key {
                        "status" => status = json.string_or_skip()?,
                        "error" => why = error(json)?,
                        _ => timings = read_timings(json)?,
                    }
                    Ok(())
                })?;
            }
            "request_id" => id = json.string_or_skip()?.map(Mark::of),
            "inter_token_latency_ms" => gap = json.nanos_or_null(MILLIS)?,
            "time_per_output_token_ms" => per_token = json.nanos_or_null(MILLIS)?,
            "tokens_per_second" => all_rate = json.figure()?,
            "output_tokens_per_second" => output_rate = json.figure()?,
            "start_time" => older.start = json.nanos_or_null(SECONDS)?,
            "first_token_time" => older.first = json.nanos_or_null(SECONDS)?,
            "last_token_time" => older.last = json.nanos_or_null(SECONDS)?,
            "end_time" => older.end = json.nanos_or_null(SECONDS)?,
            "prompt_tokens" => prompt = json.count_or_null()?,
            "output_tokens" => output = json.count_or_null()?,
            "total_tokens" => both = json.count_or_null()?,
            "cached_tokens" => {
                if let Some(cached) = json.count_or_null()? {
                    let sum = benchmark.cached.unwrap_or(0) + u64::from(cached);
                    benchmark.cached = Some(sum);
                }
            }
            "request_start_time" => started = json.nanos_or_null(SECONDS)?,
            "request_end_time" => finished = json.nanos_or_null(SECONDS)?,
            "request_latency" => latency = json.nanos_or_null(SECONDS)?,
            "time_to_first_token_ms" => ttft = json.nanos_or_null(MILLIS)?,
            _ => waited = json.delay_or_null(SECONDS)?,
        }
        Ok(())
    })?;
    let timings = Timings {
        start: timings.start.or(older.start),
        first: timings.first.or(older.first),
        last: timings.last.or(older.last),
        end: timings.end.or(older.end).or(finished),
    };
    // What ended a request tells more than the list that it stands in.
    let ended = match (ended, why) {
        (Ended::Failed, Some(why)) => why.ended,
        (ended, _) => ended,
    };
    let Some(sent) = timings.start.or(started) else {
        if ended == Ended::Completed {
            return Err(Fault::at(begin, "`request_start` is missing"));
        }
        // Never sent: it belongs to no request rate and has no place on the clock.
        return Ok(());
    };
    let kept = matches!(ended, Ended::Completed | Ended::Unfinished | Ended::Cancelled);
    let first = timings.first.filter(|_| kept);
    if ended == Ended::Completed {
        let since = |at: Option<u64>| at.map(|at| at.saturating_sub(sent));
        for (name, told, from_instants) in [
            ("request_latency", latency, since(timings.end)),
            ("time_to_first_token_ms", ttft, since(timings.first)),
        ] {
            if let (Some(told), Some(own)) = (told, from_instants)
                && told.abs_diff(own) > told.max(own) / 50 + 2_000_000
            {
                let what = format!("`{name}` contradicts its instants");
                return benchmark.builder.refuse(&what).map_err(|fault| fault.or_at(begin));
            }
        }
    }
    if ended == Ended::Completed {
        let sum =
            prompt.zip(output).map(|(prompt, output): (u32, u32)| prompt.saturating_add(output));
        let builder = &mut benchmark.builder;
        builder.two_counts(both, sum);
        let total = timings.end.map(|end| end.saturating_sub(sent));
        let decode =
            timings.first.zip(timings.last).map(|(first, last)| last.saturating_sub(first));
        builder.in_unit(gap, decode, total, output);
        builder.in_unit(per_token, decode, total, output);
        builder.rate(output_rate, output, total);
        builder.rate(all_rate, sum, total);
        let lost = status.as_deref().filter(|status| LOST.contains(status));
        if lost.is_some() || why.is_some() {
            builder.never("are listed as successful, and tell of an error", || {
                lost.map_or("its `error`".to_owned(), |status| format!("its status is {status}"))
            });
        }
        benchmark.uncounted |= output.is_none();
    }
    if let (Some(_), Some(last), true) = (first, timings.last, output != Some(1)) {
        benchmark.builder.token(last);
    }
    benchmark.builder.observed_until(timings.end.unwrap_or(sent));
    let row = Sent {
        id,
        sent,
        first,
        prompt_tokens: prompt.unwrap_or(0),
        output_tokens: output,
        ended,
        waited,
        total: timings.end.map(|end| end.saturating_sub(sent)),
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
