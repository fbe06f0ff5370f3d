//! AIPerf's `profile_export_raw.jsonl` (`--export-level raw`, 0.13.0): an object a request, with
//! each server-sent packet and when it came.
//!
//! What packets tell is in `packets.rs`.

use std::io::Read;

use super::Progress;
use super::aiperf::{Counts, Metadata, error};
use super::builder::{Builder, Sent, sum};
use super::ended::{Ended, Failure};
use super::fault::Fault;
use super::json::Json;
use super::measured::{Granularity, Measured};
use super::packets::Packet;

/// Reads the requests of a file, which are one run.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    const KEYS: &[&str] =
        &["metadata", "start_perf_ns", "end_perf_ns", "status", "responses", "error"];
    let mut builder = Builder::new(progress);
    let mut counts = Counts::default();
    while json.another()? {
        let begin = json.position();
        let (mut metadata, mut start, mut end, mut failed) = (None, None, None, None);
        let mut times: Vec<u64> = Vec::new();
        let mut answer = None;
        let mut usage = Packet::default();
        json.object(KEYS, |json, key| {
            match key {
                "metadata" => metadata = Some(Metadata::read(json)?),
                "start_perf_ns" => start = json.nanos_or_null(0)?,
                "end_perf_ns" => end = json.nanos_or_null(0)?,
                "status" => {
                    let status = json.figure()?;
                    let by_status = status.and_then(|status| Ended::by_http_status(status as u32));
                    failed = by_status.map(|ended| Failure { ended, by_code: true }).or(failed);
                }
                "responses" if json.null()? => {}
                "responses" => {
                    json.list(|json| response(json, &mut times, &mut answer, &mut usage))?;
                }
                _ => failed = failed.or(error(json)?),
            }
            Ok(())
        })?;
        let missing = |what: &str| Fault::at(begin, format!("`{what}` is missing"));
        let metadata = metadata.ok_or_else(|| missing("metadata"))?;
        if metadata.warmup {
            counts.warmup += 1;
            continue;
        }
        let start = start.ok_or_else(|| missing("start_perf_ns"))?;
        let sent = counts.sent(&metadata);
        let mut first = None;
        if metadata.ends_first() {
            let wrong = builder.refuse("it ended before it was sent");
            wrong.map_err(|fault| fault.or_at(begin))?;
            continue;
        }
        if failed.is_none() && times.iter().any(|&at| at < start) {
            let wrong = builder.refuse("a response came before its request was sent");
            wrong.map_err(|fault| fault.or_at(begin))?;
            continue;
        }
        if failed.is_none() {
            for &at in &times {
                let since = at - start;
                let at = sum(sent, since).map_err(|fault| fault.or_at(begin))?;
                if first.is_none() {
                    first = Some(at);
                } else {
                    builder.token(at);
                }
            }
        }
        let silent = times.is_empty().then(|| Failure::by_text(""));
        let ended = metadata.ended(failed.or(silent));
        let last = times.last().map(|last| last.saturating_sub(start));
        metadata.check(last, &mut builder);
        let row = Sent {
            id: metadata.id,
            sent,
            first,
            answer: answer
                .filter(|_| first.is_some())
                .and_then(|at: u64| sum(sent, at.saturating_sub(start)).ok()),
            prompt_tokens: usage.prompt_tokens.unwrap_or(0),
            output_tokens: usage.output_tokens,
            ended,
            waited: metadata.waited(),
            total: end.map(|end: u64| end.saturating_sub(start)),
            ..Sent::default()
        };
        builder.request(row).map_err(|fault| fault.or_at(begin))?;
        progress.requests += 1;
    }
    let mut measured = builder.finish(Granularity::Token)?;
    counts.into(&mut measured);
    Ok(vec![measured])
}

/// One response: its time, once if any of its packets holds text.
fn response<R: Read>(
    json: &mut Json<R>,
    times: &mut Vec<u64>,
    answer: &mut Option<u64>,
    usage: &mut Packet,
) -> Result<(), Fault> {
    let mut at = None;
    let (mut text, mut answered) = (false, false);
    let begin = json.position();
    json.object(&["perf_ns", "packets", "text"], |json, key| match key {
        "perf_ns" => {
            at = Some(json.nanos(0)?);
            Ok(())
        }
        "text" => {
            let some = json.string_or_skip()?.is_some_and(|text| !text.is_empty());
            (text, answered) = (text | some, answered | some);
            Ok(())
        }
        _ => json.list(|json| {
            json.object(&["value"], |json, _| {
                let Some(value) = json.string_or_skip()? else { return Ok(()) };
                let packet = Packet::of(&value);
                text |= packet.text;
                answered |= packet.answer;
                usage.prompt_tokens = packet.prompt_tokens.or(usage.prompt_tokens);
                usage.output_tokens = packet.output_tokens.or(usage.output_tokens);
                Ok(())
            })
        }),
    })?;
    let at = at.ok_or_else(|| Fault::at(begin, "`perf_ns` is missing"))?;
    if text {
        times.push(at);
    }
    if answered {
        *answer = answer.or(Some(at));
    }
    Ok(())
}
