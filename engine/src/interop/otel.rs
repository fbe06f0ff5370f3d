//! vLLM's OpenTelemetry spans (`llm_request`, with `--otlp-traces-endpoint`), as a collector's file exporter
//! writes them (OTLP JSON, an object a line) or as Jaeger's query API gives them.
//!
//! A span begins when the request arrived; the engine's own latencies stand in its attributes, in seconds.
//! SGLang's spans have the same ones. Spans without them (HTTP, other services) are read over. There are no
//! times of single tokens.

use std::io::Read;

use super::Progress;
use super::builder::{Builder, Sent, sum};
use super::ended::Ended;
use super::fault::{Fault, Position};
use super::json::{Json, SECONDS};
use super::measured::{Granularity, Measured};
use super::twice::Mark;
use crate::trace::numbers;

/// Microseconds as a power of ten of nanoseconds.
const MICROS: i32 = 3;

/// What a span says.
#[derive(Default)]
struct Span {
    start: Option<u64>,
    id: Option<Mark>,
    prompt: Option<u32>,
    output: Option<u32>,
    queued: Option<u64>,
    ttft: Option<u64>,
    e2e: Option<u64>,
    finish: Option<String>,
}

#[derive(Default)]
struct Run {
    builder: Builder,
    others: u64,
    unscheduled: bool,
}

/// Reads the requests of a file, which are one run.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    let mut run = Run { builder: Builder::new(progress), ..Run::default() };
    while json.another()? {
        json.object(&["resourceSpans", "data"], |json, key| match key {
            "data" => json.list(|json| {
                json.object(&["spans"], |json, _| {
                    json.list(|json| jaeger(json, &mut run, progress))
                })
            }),
            _ => json.list(|json| {
                // Older collectors name the inner list after the library.
                json.object(&["scopeSpans", "instrumentationLibrarySpans"], |json, _| {
                    json.list(|json| {
                        json.object(&["spans"], |json, _| {
                            json.list(|json| otlp(json, &mut run, progress))
                        })
                    })
                })
            }),
        })?;
    }
    if run.builder.requests() == 0 {
        return Err(Fault::whole(format!(
            "none of its {} spans is a request of vLLM's: they have `gen_ai.latency.e2e`",
            run.others
        )));
    }
    let mut measured = run.builder.finish(Granularity::FirstLast)?;
    measured.knows.scheduling = !run.unscheduled;
    measured
        .notes
        .push("times are the engine's own: no network and no client is in them".to_owned());
    Ok(vec![measured])
}

fn otlp<R: Read>(json: &mut Json<R>, run: &mut Run, progress: &mut Progress) -> Result<(), Fault> {
    let begin = json.position();
    let mut span = Span::default();
    json.object(&["startTimeUnixNano", "attributes"], |json, key| {
        if key == "startTimeUnixNano" {
            let at = json.position();
            span.start = time(&text(json)?, 0, at)?;
            return Ok(());
        }
        if json.null()? {
            return Ok(());
        }
        json.list(|json| {
            let at = json.position();
            let (mut key, mut value) = (None, None);
            json.object(&["key", "value"], |json, name| {
                if name == "key" {
                    key = json.string_or_skip()?;
                    return Ok(());
                }
                const KINDS: &[&str] = &["stringValue", "intValue", "doubleValue"];
                if json.null()? {
                    return Ok(());
                }
                json.object(KINDS, |json, _| {
                    value = text(json)?;
                    Ok(())
                })
            })?;
            span.attribute(key.as_deref().unwrap_or_default(), value, at)
        })
    })?;
    request(span, run, progress, begin)
}

fn jaeger<R: Read>(
    json: &mut Json<R>,
    run: &mut Run,
    progress: &mut Progress,
) -> Result<(), Fault> {
    let begin = json.position();
    let mut span = Span::default();
    json.object(&["startTime", "tags"], |json, key| {
        if key == "startTime" {
            let at = json.position();
            span.start = time(&text(json)?, MICROS, at)?;
            return Ok(());
        }
        if json.null()? {
            return Ok(());
        }
        json.list(|json| {
            let at = json.position();
            let (mut key, mut value) = (None, None);
            json.object(&["key", "value"], |json, name| {
                match name {
                    "key" => key = json.string_or_skip()?,
                    _ => value = text(json)?,
                }
                Ok(())
            })?;
            span.attribute(key.as_deref().unwrap_or_default(), value, at)
        })
    })?;
    request(span, run, progress, begin)
}

impl Span {
    /// Takes in an attribute, if it is one of those that are read.
    fn attribute(&mut self, key: &str, value: Option<String>, at: Position) -> Result<(), Fault> {
        let count = || -> Result<Option<u32>, Fault> {
            let Some(text) = &value else { return Ok(None) };
            let count = numbers::tokens(text.trim());
            count.map(Some).map_err(|_| Fault::at(at, format!("`{key}` is no count")))
        };
        match key {
            "gen_ai.request.id" => self.id = value.map(Mark::of),
            "gen_ai.usage.prompt_tokens" | "gen_ai.usage.input_tokens" => self.prompt = count()?,
            "gen_ai.usage.completion_tokens" | "gen_ai.usage.output_tokens" => {
                self.output = count()?;
            }
            "gen_ai.latency.time_in_queue" => self.queued = time(&value, SECONDS, at)?,
            "gen_ai.latency.time_to_first_token" => self.ttft = time(&value, SECONDS, at)?,
            "gen_ai.latency.e2e" => self.e2e = time(&value, SECONDS, at)?,
            "gen_ai.response.finish_reasons" => self.finish = value,
            _ => {}
        }
        Ok(())
    }
}

fn request(
    span: Span,
    run: &mut Run,
    progress: &mut Progress,
    begin: Position,
) -> Result<(), Fault> {
    let (Some(e2e), Some(sent)) = (span.e2e, span.start) else {
        run.others += 1;
        return Ok(());
    };
    let after = |time: u64| sum(sent, time).map_err(|fault| fault.or_at(begin));
    let aborted = span.finish.as_deref().is_some_and(|reason| reason.contains("abort"));
    let ended = match (aborted, span.output) {
        (true, _) => Ended::Cancelled,
        (false, Some(0)) => Ended::Failed,
        _ => Ended::Completed,
    };
    let done = ended == Ended::Completed;
    let first = match span.ttft.filter(|_| done) {
        Some(ttft) => Some(after(ttft)?),
        None => None,
    };
    let end = after(e2e)?;
    if first.is_some() && span.output != Some(1) {
        run.builder.token(end);
    }
    // A request that is scheduled at once may be said to have waited a little longer than its first token.
    let queued = span.queued.filter(|&queued| span.ttft.is_none_or(|ttft| queued <= ttft));
    run.unscheduled |= queued.is_none();
    let scheduled = match queued {
        Some(queued) => Some(after(queued)?),
        None => None,
    };
    run.builder.observed_until(end);
    let row = Sent {
        id: span.id,
        sent,
        scheduled,
        first,
        prompt_tokens: span.prompt.unwrap_or(0),
        output_tokens: span.output,
        ended,
        total: Some(e2e),
        ..Sent::default()
    };
    run.builder.request(row).map_err(|fault| fault.or_at(begin))?;
    progress.requests += 1;
    Ok(())
}

/// A number or a text, as its text; JSON of protobuf writes large numbers in quotes.
fn text<R: Read>(json: &mut Json<R>) -> Result<Option<String>, Fault> {
    if json.next_is(b'"')? {
        return json.string_or_skip();
    }
    if json.next_is(b'[')? || json.next_is(b'{')? || json.next_is(b't')? || json.next_is(b'f')? {
        return json.skip().map(|()| None);
    }
    if json.null()? { Ok(None) } else { json.raw_number().map(Some) }
}

fn time(text: &Option<String>, unit_power: i32, at: Position) -> Result<Option<u64>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let nanos = numbers::nanos(text.trim(), unit_power);
    nanos.map(Some).map_err(|error| Fault::at(at, format!("expected a time, {error}")))
}
