//! AIPerf's `profile_export.jsonl` (0.13.0): an object a request.
//!
//! Every metric carries its unit, which is read. Gaps are between chunks, from a clock that does
//! not step; instants are of the wall clock. Token counts are the server's (`usage_*`) where it
//! gave any, and the client's own count of the text otherwise. Warm-up requests are left out.

use std::io::Read;

use super::Progress;
use super::builder::{Builder, Sent, sum};
use super::ended::{Ended, Failure};
use super::fault::Fault;
use super::json::Json;
use super::measured::{Granularity, Measured};
use super::twice::Mark;

/// What the metadata of a request says.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) id: Option<Mark>,
    pub(super) issued: Option<u64>,
    pub(super) start: Option<u64>,
    pub(super) end: Option<u64>,
    pub(super) warmup: bool,
    pub(super) cancelled: bool,
}

impl Metadata {
    /// How the request ended: a status code of the server's comes before what the client did then, and
    /// that before any other words.
    pub(super) fn ended(&self, failed: Option<Failure>) -> Ended {
        match failed {
            Some(failure) if failure.by_code || !self.cancelled => failure.ended,
            _ if self.cancelled => Ended::Cancelled,
            _ => Ended::Completed,
        }
    }

    /// Whether it ended before it was sent.
    pub(super) fn ends_first(&self) -> bool {
        self.end.zip(self.start).is_some_and(|(end, start)| end < start)
    }

    /// What the wall clock says of a request against what another clock measured.
    pub(super) fn check(&self, measured: Option<u64>, builder: &mut Builder) {
        let wall = self.end.zip(self.start).and_then(|(end, start)| end.checked_sub(start));
        if let (Some(issued), Some(start)) = (self.issued, self.start)
            && issued > start.saturating_add(100_000_000)
        {
            builder.odd("were sent before the client wanted to", || {
                format!("{} ms before", (issued - start) / 1_000_000)
            });
        }
        let (Some(wall), Some(measured)) = (wall, measured) else { return };
        let most = wall.max(measured);
        // The wall clock may be set forward or back a little.
        if wall.abs_diff(measured) > most / 10 + 100_000_000 {
            builder.odd("took another time by the wall clock", || {
                let ms = |ns: u64| ns / 1_000_000;
                format!("{} ms from its start to its end, and {} ms in all", ms(wall), ms(measured))
            });
        }
    }

    /// Time in the client before it was sent; the wall clock may step between the two.
    pub(super) fn waited(&self) -> Option<u64> {
        Some(self.start?.saturating_sub(self.issued?))
    }

    pub(super) fn read<R: Read>(json: &mut Json<R>) -> Result<Metadata, Fault> {
        const KEYS: &[&str] = &[
            "x_request_id",
            "credit_issued_ns",
            "request_start_ns",
            "request_end_ns",
            "benchmark_phase",
            "was_cancelled",
        ];
        let mut metadata = Metadata::default();
        json.object(KEYS, |json, key| {
            match key {
                "x_request_id" => metadata.id = json.string_or_skip()?.map(Mark::of),
                "credit_issued_ns" => metadata.issued = json.nanos_or_null(0)?,
                "request_start_ns" => metadata.start = json.nanos_or_null(0)?,
                "request_end_ns" => metadata.end = json.nanos_or_null(0)?,
                "benchmark_phase" => {
                    metadata.warmup = json.string_or_skip()?.as_deref() == Some("warmup");
                }
                _ => metadata.cancelled = !json.null()? && json.truth()?,
            }
            Ok(())
        })?;
        Ok(metadata)
    }
}

/// Things counted over all requests, for notes.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) warmup: u64,
    pub(super) own_counts: u64,
    pub(super) without_start: bool,
}

impl Counts {
    /// Notes what is known of when a request was wanted and sent.
    pub(super) fn sent(&mut self, metadata: &Metadata) -> u64 {
        self.without_start |= metadata.start.is_none();
        metadata.start.unwrap_or(0)
    }

    /// Puts what was counted into the run.
    pub(super) fn into(self, measured: &mut Measured) {
        measured.knows.arrivals = !self.without_start;
        if self.warmup > 0 {
            measured.notes.push(format!("{} warm-up requests are left out", self.warmup));
        }
        if self.own_counts > 0 {
            measured.notes.push(format!(
                "the output tokens of {} requests were counted by the client from the text: the \
                 server gave no usage",
                self.own_counts
            ));
        }
    }
}

#[derive(Default)]
struct Metrics {
    ttft: Option<u64>,
    /// Time to the first token of the answer, what was thought before it left out.
    answer: Option<u64>,
    latency: Option<u64>,
    gaps: Vec<u64>,
    /// The mean gap, as the client worked it out.
    gap: Option<u64>,
    /// Tokens a second after the first one, as the client worked them out.
    rate: Option<f64>,
    /// How long the HTTP request took.
    http: Option<u64>,
    prompt: [Option<u32>; 2],
    output: [Option<u32>; 2],
}

/// Reads the requests of a file, which are one run.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    let mut builder = Builder::new(progress);
    let mut counts = Counts::default();
    while json.another()? {
        let begin = json.position();
        let (mut metadata, mut metrics, mut failed) = (None, Metrics::default(), None);
        json.object(&["metadata", "metrics", "error"], |json, key| {
            match key {
                "metadata" => metadata = Some(Metadata::read(json)?),
                "metrics" if json.null()? => {}
                "metrics" => metrics = read_metrics(json)?,
                _ => failed = error(json)?,
            }
            Ok(())
        })?;
        let Some(metadata) = metadata else {
            return Err(Fault::at(begin, "`metadata` is missing"));
        };
        if metadata.warmup {
            counts.warmup += 1;
            continue;
        }
        let sent = counts.sent(&metadata);
        let mut row = Sent {
            id: metadata.id,
            sent,
            prompt_tokens: metrics.prompt[0].or(metrics.prompt[1]).unwrap_or(0),
            output_tokens: metrics.output[0].or(metrics.output[1]),
            ended: metadata.ended(failed),
            waited: metadata.waited(),
            total: metrics.latency,
            ..Sent::default()
        };
        if metadata.ends_first() {
            let wrong = builder.refuse("it ended before it was sent");
            wrong.map_err(|fault| fault.or_at(begin))?;
            continue;
        }
        let timed = metrics.ttft.is_some() && failed.is_none();
        metadata.check(metrics.latency, &mut builder);
        builder.part_of(metrics.http, metrics.latency);
        if failed.is_none() && metrics.ttft.is_none() && !metrics.gaps.is_empty() {
            builder.odd("have gaps between tokens, and no first token", || {
                format!("{} gaps", metrics.gaps.len())
            });
        }
        if let Some(ttft) = metrics.ttft.filter(|_| timed) {
            let mut at = sum(sent, ttft).map_err(|fault| fault.or_at(begin))?;
            row.first = Some(at);
            row.answer = metrics.answer.and_then(|answer| sum(sent, answer).ok());
            let decode = metrics.latency.map(|latency| latency.saturating_sub(ttft));
            builder.mean_gap(metrics.gap, decode, row.output_tokens);
            builder.rate(metrics.rate, row.output_tokens, decode);
            builder.two_prompts(metrics.prompt[0], metrics.prompt[1]);
            builder.two_counts(metrics.output[0], metrics.output[1]);
            for gap in metrics.gaps {
                at = sum(at, gap).map_err(|fault| fault.or_at(begin))?;
                builder.token(at);
            }
            counts.own_counts +=
                u64::from(metrics.output[0].is_none() && metrics.output[1].is_some());
        }
        if let Some(latency) = metrics.latency {
            builder.observed_until(sum(sent, latency).map_err(|fault| fault.or_at(begin))?);
        }
        builder.request(row).map_err(|fault| fault.or_at(begin))?;
        progress.requests += 1;
    }
    let mut measured = builder.finish(Granularity::Token)?;
    counts.into(&mut measured);
    Ok(vec![measured])
}

/// Reads an error: `{"code": HTTP status or null, "type": name, "message": text}`, or a text. Its
/// words are not kept. What is empty is none: null, false, 0, an empty text, list or object.
pub(super) fn error<R: Read>(json: &mut Json<R>) -> Result<Option<Failure>, Fault> {
    if json.null()? {
        return Ok(None);
    }
    if json.next_is(b'"')? {
        let text = json.string()?;
        return Ok((!text.trim().is_empty()).then(|| Failure::by_text(&text)));
    }
    if json.next_is(b't')? || json.next_is(b'f')? {
        return Ok(json.truth()?.then(|| Failure::by_text("")));
    }
    if json.next_is(b'[')? {
        let mut any = false;
        json.list(|json| {
            any = true;
            json.skip()
        })?;
        return Ok(any.then(|| Failure::by_text("")));
    }
    if !json.next_is(b'{')? {
        let code = json.figure()?.filter(|code| *code != 0.0);
        return Ok(code.map(|code| by_code(code).unwrap_or_else(|| Failure::by_text(""))));
    }
    let (mut code, mut kind, mut message) = (None, None, None);
    json.object(&["code", "type", "error_type", "message", "error_msg"], |json, key| {
        match key {
            "code" if json.next_is(b'"')? => kind = json.string_or_skip()?.or(kind.take()),
            "code" => code = json.figure_or_skip()?,
            "type" | "error_type" => kind = json.string_or_skip()?,
            _ => message = json.string_or_skip()?,
        }
        Ok(())
    })?;
    let words = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    if code.is_none_or(|code| code == 0.0) && !words(&kind) && !words(&message) {
        return Ok(None);
    }
    let by_text = || {
        let of = |text: Option<String>| text.map(|text| Failure::by_text(&text));
        let known = |failure: &Failure| failure.ended != Ended::Failed;
        of(kind).filter(known).or(of(message)).unwrap_or(Failure::by_text(""))
    };
    Ok(Some(code.and_then(by_code).unwrap_or_else(by_text)))
}

/// What a status code says, where it ends a request.
fn by_code(code: f64) -> Option<Failure> {
    Ended::by_http_status(code as u32).map(|ended| Failure { ended, by_code: true })
}

fn read_metrics<R: Read>(json: &mut Json<R>) -> Result<Metrics, Fault> {
    const KEYS: &[&str] = &[
        "time_to_first_token",
        "time_to_first_output_token",
        "request_latency",
        "inter_chunk_latency",
        "inter_token_latency",
        "usage_prompt_tokens",
        "input_sequence_length",
        "usage_completion_tokens",
        "output_sequence_length",
        "output_token_throughput_per_user",
        "http_req_duration",
    ];
    let mut metrics = Metrics::default();
    json.object(KEYS, |json, key| {
        match key {
            "time_to_first_token" => metrics.ttft = times(json)?.first().copied(),
            "time_to_first_output_token" => metrics.answer = times(json)?.first().copied(),
            "request_latency" => metrics.latency = times(json)?.first().copied(),
            "inter_chunk_latency" => metrics.gaps = times(json)?,
            "inter_token_latency" => metrics.gap = times(json)?.first().copied(),
            "http_req_duration" => metrics.http = times(json)?.first().copied(),
            "output_token_throughput_per_user" => metrics.rate = figure(json)?,
            "usage_prompt_tokens" => metrics.prompt[0] = count(json)?,
            "input_sequence_length" => metrics.prompt[1] = count(json)?,
            "usage_completion_tokens" => metrics.output[0] = count(json)?,
            _ => metrics.output[1] = count(json)?,
        }
        Ok(())
    })?;
    Ok(metrics)
}

/// `{"value": time or list of times, "unit": ...}` in nanoseconds. The unit may come last.
fn times<R: Read>(json: &mut Json<R>) -> Result<Vec<u64>, Fault> {
    let mut texts: Vec<String> = Vec::new();
    let mut power = None;
    let begin = json.position();
    if json.null()? {
        return Ok(Vec::new());
    }
    json.object(&["value", "unit"], |json, key| {
        if key == "unit" {
            let at = json.position();
            power = Some(unit(&json.string()?).ok_or_else(|| {
                Fault::at(at, "`unit` is no unit of time that is known (ns, us, ms, s)")
            })?);
        } else if json.null()? {
        } else if json.next_is(b'[')? {
            json.list(|json| {
                texts.push(json.raw_number()?);
                Ok(())
            })?;
        } else {
            texts.push(json.raw_number()?);
        }
        Ok(())
    })?;
    let Some(power) = power else { return Err(Fault::at(begin, "`unit` is missing")) };
    texts
        .iter()
        .map(|text| {
            crate::trace::numbers::nanos(text, power)
                .map_err(|error| Fault::at(begin, format!("expected a time, {error}")))
        })
        .collect()
}

fn figure<R: Read>(json: &mut Json<R>) -> Result<Option<f64>, Fault> {
    value(json, Json::figure)
}

fn count<R: Read>(json: &mut Json<R>) -> Result<Option<u32>, Fault> {
    value(json, Json::count_or_null)
}

/// What `{"value": ...}` holds; nothing of null.
fn value<R: Read, T>(
    json: &mut Json<R>,
    read: fn(&mut Json<R>) -> Result<Option<T>, Fault>,
) -> Result<Option<T>, Fault> {
    let mut value = None;
    if json.null()? {
        return Ok(None);
    }
    json.object(&["value"], |json, _| {
        value = read(json)?;
        Ok(())
    })?;
    Ok(value)
}

/// A unit of time as a power of ten of nanoseconds.
fn unit(name: &str) -> Option<i32> {
    match name {
        "ns" | "nanoseconds" => Some(0),
        "us" | "µs" | "microseconds" => Some(3),
        "ms" | "milliseconds" => Some(6),
        "s" | "sec" | "seconds" => Some(9),
        _ => None,
    }
}
