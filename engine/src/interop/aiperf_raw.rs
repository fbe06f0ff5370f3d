//! AIPerf's `profile_export_raw.jsonl` (`--export-level raw`, 0.13.0): an object a request, with
//! each server-sent packet and when it came.
//!
//! Packets hold the answer's text. Of each it is only told whether it holds any, and how many
//! tokens the server counted; a packet without text (a role, the usage, `[DONE]`) is no token.

use std::io::Read;

use super::Progress;
use super::aiperf::{Counts, Metadata, error};
use super::builder::{Builder, Sent, sum};
use super::ended::{Ended, Failure};
use super::fault::Fault;
use super::json::Json;
use super::measured::{Granularity, Measured};

/// What one packet says.
#[derive(Default)]
struct Packet {
    text: bool,
    prompt_tokens: Option<u32>,
    output_tokens: Option<u32>,
}

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
                "responses" => json.list(|json| response(json, &mut times, &mut usage))?,
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
    usage: &mut Packet,
) -> Result<(), Fault> {
    let mut at = None;
    let mut text = false;
    let begin = json.position();
    json.object(&["perf_ns", "packets", "text"], |json, key| match key {
        "perf_ns" => {
            at = Some(json.nanos(0)?);
            Ok(())
        }
        "text" => {
            text |= json.string_or_skip()?.is_some_and(|text| !text.is_empty());
            Ok(())
        }
        _ => json.list(|json| {
            json.object(&["value"], |json, _| {
                let Some(value) = json.string_or_skip()? else { return Ok(()) };
                let packet = packet(&value);
                text |= packet.text;
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
    Ok(())
}

/// Looks into a packet. One that is no JSON (`[DONE]`, or longer than is kept) holds text if it is
/// long.
fn packet(value: &str) -> Packet {
    let mut packet = Packet::default();
    let mut json = Json::new(value.as_bytes());
    let mut text = false;
    let read = json.object(&["choices", "usage", "content", "text"], |json, key| match key {
        "choices" => json.list(|json| {
            json.object(&["delta", "message", "text"], |json, key| match key {
                "text" => says(json, &mut text),
                _ if json.null()? => Ok(()),
                _ => json.object(&["content", "reasoning_content", "reasoning"], |json, _| {
                    says(json, &mut text)
                }),
            })
        }),
        "usage" => {
            if json.null()? {
                return Ok(());
            }
            json.object(&["prompt_tokens", "completion_tokens"], |json, key| {
                let count = json.count_or_null()?;
                match key {
                    "prompt_tokens" => packet.prompt_tokens = count,
                    _ => packet.output_tokens = count,
                }
                Ok(())
            })
        }
        _ => says(json, &mut text),
    });
    packet.text = text || (read.is_err() && value.len() > 64);
    packet
}

fn says<R: Read>(json: &mut Json<R>, text: &mut bool) -> Result<(), Fault> {
    *text |= json.string_or_skip()?.is_some_and(|said| !said.is_empty());
    Ok(())
}
