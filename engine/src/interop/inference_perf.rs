//! inference-perf's `per_request_lifecycle_metrics.json` (0.7.0): a list of objects, seconds of a
//! clock with an arbitrary origin.
//!
//! `chunk_times` are used. Its `output_token_times` are not: it has more entries than tokens, with
//! chunk times repeated. Counts are the server's where it gave any. Files of older versions have no
//! `chunk_times`: there `output_token_times`, right under `info`, has a time a chunk.

use std::io::Read;

use super::Progress;
use super::aiperf::error;
use super::builder::{Builder, Sent};
use super::ended::{Ended, Failure};
use super::fault::Fault;
use super::json::{Json, SECONDS};
use super::measured::{Granularity, Measured};

#[derive(Default)]
struct Request {
    start: Option<u64>,
    end: Option<u64>,
    failed: Option<Failure>,
    prompt: [Option<u32>; 2],
    output: [Option<u32>; 2],
    chunks: Option<usize>,
    first: Option<u64>,
    /// `output_token_times` of an older version.
    older: Vec<u64>,
    /// The last chunk's time.
    last: Option<u64>,
    /// First and last of the token times that this version works out from its chunks.
    worked_out: Option<(u64, u64)>,
}

/// Reads the requests of a file, which are one run.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    let mut builder = Builder::new(progress);
    let mut own_counts = 0u64;
    json.list(|json| {
        let begin = json.position();
        let request = one(json, &mut builder)?;
        let missing = |what: &str| Fault::at(begin, format!("`{what}` is missing"));
        let sent = request.start.ok_or_else(|| missing("start_time"))?;
        if request.failed.is_none() && request.chunks.is_none() && request.end.is_none() {
            return Err(missing("chunk_times"));
        }
        builder.two_counts(request.output[0], request.output[1]);
        builder.two_prompts(request.prompt[0], request.prompt[1]);
        if let Some((first, last)) = request.worked_out {
            let within = last.abs_diff(first);
            builder.same_time(Some(first), request.first, within);
            builder.same_time(Some(last), request.last, within);
            if request.failed.is_none() && request.first.is_none() {
                builder.odd("have times of tokens, and none of chunks", || {
                    "`chunk_times` is missing".to_owned()
                });
            }
        }
        own_counts += u64::from(request.output[0].is_none() && request.output[1].is_some());
        let row = Sent {
            sent,
            first: request.first,
            prompt_tokens: request.prompt[0].or(request.prompt[1]).unwrap_or(0),
            output_tokens: request.output[0].or(request.output[1]),
            ended: request.failed.map_or(Ended::Completed, |failure| failure.ended),
            total: request.end.map(|end| end.saturating_sub(sent)),
            ..Sent::default()
        };
        builder.observed_until(request.end.unwrap_or(sent));
        builder.request(row).map_err(|fault| fault.or_at(begin))?;
        progress.requests += 1;
        Ok(())
    })?;
    if json.another()? {
        return Err(json.fault("something follows the list"));
    }
    let mut measured = builder.finish(Granularity::Token)?;
    if own_counts > 0 {
        measured.notes.push(format!(
            "the output tokens of {own_counts} requests were counted by the client from the text: \
             the server gave no usage"
        ));
    }
    Ok(vec![measured])
}

fn one<R: Read>(json: &mut Json<R>, builder: &mut Builder) -> Result<Request, Fault> {
    let mut request = Request::default();
    json.object(&["start_time", "end_time", "info", "error"], |json, key| {
        match key {
            "start_time" => request.start = Some(json.nanos(SECONDS)?),
            "end_time" => request.end = json.nanos_or_null(SECONDS)?,
            "info" if json.null()? => {}
            "info" => info(json, builder, &mut request)?,
            _ => request.failed = error(json)?,
        }
        Ok(())
    })?;
    Ok(request)
}

fn info<R: Read>(
    json: &mut Json<R>,
    builder: &mut Builder,
    request: &mut Request,
) -> Result<(), Fault> {
    const KEYS: &[&str] = &[
        "response_metrics",
        "request_metrics",
        "input_tokens",
        "output_tokens",
        "output_token_times",
    ];
    json.object(KEYS, |json, key| {
        match key {
            _ if json.null()? => {}
            // It stands here and in `request_metrics`; the larger one is checked.
            "input_tokens" => request.prompt[1] = request.prompt[1].max(Some(json.count()?)),
            "output_tokens" => request.output[1] = Some(json.count()?),
            "output_token_times" => json.list(|json| {
                request.older.push(json.nanos(SECONDS)?);
                Ok(())
            })?,
            "request_metrics" => request_metrics(json, request)?,
            _ => response(json, builder, request)?,
        }
        Ok(())
    })?;
    if request.chunks.is_none() && !request.older.is_empty() {
        request.chunks = Some(request.older.len());
        request.first = request.older.first().copied();
        request.older[1..].iter().for_each(|&at| builder.token(at));
    }
    Ok(())
}

/// The prompt's length as the client counts its text.
fn request_metrics<R: Read>(json: &mut Json<R>, request: &mut Request) -> Result<(), Fault> {
    json.object(&["text"], |json, _| {
        if json.null()? {
            return Ok(());
        }
        json.object(&["input_tokens"], |json, _| {
            request.prompt[1] = request.prompt[1].max(json.count_or_null()?);
            Ok(())
        })
    })
}

fn response<R: Read>(
    json: &mut Json<R>,
    builder: &mut Builder,
    request: &mut Request,
) -> Result<(), Fault> {
    const KEYS: &[&str] = &["chunk_times", "output_tokens", "output_token_times", "server_usage"];
    json.object(KEYS, |json, key| match key {
        "output_token_times" => {
            if json.null()? {
                return Ok(());
            }
            json.list(|json| {
                let at = json.nanos(SECONDS)?;
                let first = request.worked_out.map_or(at, |(first, _)| first);
                request.worked_out = Some((first, at));
                Ok(())
            })
        }
        "chunk_times" => {
            if json.null()? {
                return Ok(());
            }
            let mut chunks = request.chunks.unwrap_or(0);
            json.list(|json| {
                let at = json.nanos(SECONDS)?;
                if chunks == 0 {
                    request.first = Some(at);
                } else {
                    builder.token(at);
                }
                request.last = Some(at);
                chunks += 1;
                Ok(())
            })?;
            request.chunks = Some(chunks);
            Ok(())
        }
        "output_tokens" => {
            request.output[1] = json.count_or_null()?;
            Ok(())
        }
        _ => {
            if json.null()? {
                return Ok(());
            }
            json.object(&["prompt_tokens", "completion_tokens"], |json, key| {
                let count = json.count_or_null()?;
                match key {
                    "prompt_tokens" => request.prompt[0] = count,
                    _ => request.output[0] = count,
                }
                Ok(())
            })
        }
    })
}
