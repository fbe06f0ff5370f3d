//! Logs of the LiteLLM gateway: objects with its `StandardLoggingPayload`, or rows of its spend log, one
//! after another or in a list.
//!
//! Instants are seconds since 1970 or calendar times. `completionStartTime` is the first token of an answer
//! that was streamed, and the end of one that was not. Answers from the gateway's own cache say nothing of a
//! server and are left out, as are calls that give no text.

use std::io::Read;

use super::Progress;
use super::aiperf::error;
use super::builder::{Builder, Sent};
use super::ended::{Ended, Failure};
use super::fault::Fault;
use super::json::{Json, SECONDS};
use super::measured::{Granularity, Measured};
use super::twice::Mark;
use crate::workload::timestamp_nanos;

/// Calls that have no text for an answer.
const OTHER_CALLS: &[&str] =
    &["embedding", "image", "moderation", "transcription", "speech", "rerank", "file", "batch"];

#[derive(Default)]
struct Left {
    cached: u64,
    other: u64,
}

/// Reads the requests of a file, which are one run.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    let mut builder = Builder::new(progress);
    let mut left = Left::default();
    while json.another()? {
        if json.next_is(b'[')? {
            json.list(|json| one(json, &mut builder, &mut left, progress))?;
        } else {
            one(json, &mut builder, &mut left, progress)?;
        }
    }
    let mut measured = builder.finish(Granularity::FirstLast)?;
    if left.cached > 0 {
        let notes = &mut measured.notes;
        notes.push(format!("{} answers of the gateway's own cache are left out", left.cached));
    }
    if left.other > 0 {
        let notes = &mut measured.notes;
        notes.push(format!("{} calls that give no text (embeddings ...) are left out", left.other));
    }
    measured.notes.push("times are the gateway's: its own work is in them".to_owned());
    Ok(vec![measured])
}

fn one<R: Read>(
    json: &mut Json<R>,
    builder: &mut Builder,
    left: &mut Left,
    progress: &mut Progress,
) -> Result<(), Fault> {
    const KEYS: &[&str] = &[
        "id",
        "request_id",
        "call_type",
        "status",
        "cache_hit",
        "startTime",
        "endTime",
        "completionStartTime",
        "prompt_tokens",
        "completion_tokens",
        "error_str",
        "error_information",
    ];
    let begin = json.position();
    let (mut id, mut call, mut status, mut cached) = (None, None, None, false);
    let (mut start, mut end, mut first) = (None, None, None);
    let (mut prompt, mut output, mut why) = (None, None, None::<Failure>);
    json.object(KEYS, |json, key| {
        match key {
            "id" | "request_id" => id = json.string_or_skip()?.map(Mark::of).or(id),
            "call_type" => call = json.string_or_skip()?,
            "status" => status = json.string_or_skip()?,
            // In the spend log a text: "True", "False" or "None".
            "cache_hit" if json.next_is(b'"')? => {
                cached = json.string()?.eq_ignore_ascii_case("true");
            }
            "cache_hit" => cached = !json.null()? && json.truth()?,
            "startTime" => start = instant(json)?,
            "endTime" => end = instant(json)?,
            "completionStartTime" => first = instant(json)?,
            "prompt_tokens" => prompt = json.count_or_null()?,
            "completion_tokens" => output = json.count_or_null()?,
            "error_information" => {
                let of = information(json)?;
                why = of.filter(|of| of.by_code || why.is_none()).or(why);
            }
            _ => why = why.or(error(json)?),
        }
        Ok(())
    })?;
    if cached {
        left.cached += 1;
        return Ok(());
    }
    if call.is_some_and(|call| OTHER_CALLS.iter().any(|other| call.contains(other))) {
        left.other += 1;
        return Ok(());
    }
    let Some(sent) = start else { return Err(Fault::at(begin, "`startTime` is missing")) };
    let failed = status.is_some_and(|status| status == "failure" || status == "error");
    let ended = match (failed, why) {
        (false, None) => Ended::Completed,
        (false, Some(_)) if output.is_some_and(|tokens| tokens > 0) => Ended::Completed,
        (_, why) => why.map_or(Ended::Failed, |why| why.ended),
    };
    let done = ended == Ended::Completed;
    if done && end.is_none() {
        return Err(Fault::at(begin, "`endTime` is missing"));
    }
    // An answer that was not streamed "starts" when it ends.
    let streamed = first.filter(|first| end.is_none_or(|end| *first < end));
    let alone = first.filter(|_| output == Some(1) && first == end);
    let first = streamed.or(alone).filter(|_| done);
    if let (Some(_), Some(end), true) = (first, end, output != Some(1)) {
        builder.token(end);
    }
    builder.observed_until(end.unwrap_or(sent));
    let row = Sent {
        id,
        sent,
        first,
        prompt_tokens: prompt.unwrap_or(0),
        output_tokens: output,
        ended,
        total: end.map(|end| end.saturating_sub(sent)),
        ..Sent::default()
    };
    builder.request(row).map_err(|fault| fault.or_at(begin))?;
    progress.requests += 1;
    Ok(())
}

/// `{"error_code": text or number, "error_class": ..., "error_message": ...}`.
fn information<R: Read>(json: &mut Json<R>) -> Result<Option<Failure>, Fault> {
    if !json.next_is(b'{')? {
        return error(json);
    }
    let (mut code, mut words) = (None, None);
    json.object(&["error_code", "error_class", "error_message"], |json, key| {
        let text = if json.next_is(b'"')? {
            json.string_or_skip()?
        } else {
            json.figure_or_skip()?.map(|code| format!("{code}"))
        };
        let text = text.filter(|text| !text.trim().is_empty());
        match key {
            "error_code" => code = text,
            _ => words = words.take().or(text),
        }
        Ok(())
    })?;
    let by_code = code.and_then(|code| code.parse().ok()).and_then(Ended::by_http_status);
    let by_code = by_code.map(|ended| Failure { ended, by_code: true });
    Ok(by_code.or(words.map(|words| Failure::by_text(&words))))
}

/// Seconds since 1970, or a calendar time.
fn instant<R: Read>(json: &mut Json<R>) -> Result<Option<u64>, Fault> {
    if !json.next_is(b'"')? {
        return json.nanos_or_null(SECONDS);
    }
    let at = json.position();
    let text = json.string()?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    timestamp_nanos(&text).map(Some).map_err(|_| {
        Fault::at(at, "expected seconds since 1970 or a time such as 2025-06-01T12:00:00.5Z")
    })
}
