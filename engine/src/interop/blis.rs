//! BLIS TraceV2: a YAML header and a CSV file of the same name beside it; either may be given.
//!
//! Times are whole microseconds, 0 for not recorded; columns are found by name, since several are
//! optional. First and last chunk of each request alone.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Progress;
use super::builder::{Builder, Sent};
use super::ended::Ended;
use super::fault::Fault;
use super::measured::{Granularity, Measured};
use super::rows::Rows;
use super::sense::seconds;
use super::twice::Mark;
use crate::ids::ClassId;
use crate::yaml::{self, Value};

/// Microseconds as a power of ten of nanoseconds.
const MICROS: i32 = 3;
/// Longest header that is read.
const HEADER_MAX: u64 = 1 << 20;

const COLUMNS: &[&str] = &[
    "request_id",
    "send_time_us",
    "first_chunk_time_us",
    "last_chunk_time_us",
    "status",
    "input_tokens",
    "output_tokens",
    "arrival_time_us",
    "slo_class",
    "server_input_tokens",
    "error_message",
    "finish_reason",
    "num_chunks",
];

struct Header {
    trace_version: u32,
    time_unit: Option<String>,
    mode: Option<String>,
    warm_up_requests: u64,
}

impl Header {
    /// Read by hand, for a header has many more keys than these.
    fn of(text: &str) -> Option<Header> {
        let root = yaml::tree(text).ok()?;
        let given = |key| root.get(key).map(|node| &node.value);
        let count = |key| match given(key) {
            Some(Value::Int(count)) => u64::try_from(*count).ok(),
            _ => None,
        };
        let word = |key| match given(key) {
            None | Some(Value::Null) => Some(None),
            Some(_) => root.get(key)?.scalar_text().map(Some),
        };
        let warm_up = "warm_up_requests";
        Some(Header {
            trace_version: count("trace_version")?.try_into().ok()?,
            time_unit: word("time_unit")?,
            mode: word("mode")?,
            warm_up_requests: if given(warm_up).is_some() { count(warm_up)? } else { 0 },
        })
    }
}

/// Reads the one run of a trace.
pub(super) fn read(
    mut input: Box<dyn Read>,
    path: &Path,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let beside = |extensions: &[&str]| {
        extensions.iter().map(|e| path.with_extension(e)).find(|path| path.is_file())
    };
    let (header, rows) = if matches!(extension.as_str(), "yaml" | "yml") {
        let header = read_header(&mut input)?;
        let Some(csv) = beside(&["csv"]) else {
            return Err(Fault::whole("its CSV file, of the same name, is not beside it"));
        };
        let csv = File::open(&csv)
            .map_err(|error| Fault::whole(format!("its CSV file cannot be opened: {error}")))?;
        (Some(header), Rows::new(Box::new(csv))?)
    } else {
        let header = match beside(&["yaml", "yml"]) {
            Some(header) => {
                let mut file = File::open(&header).map_err(|error| {
                    Fault::whole(format!("its header cannot be opened: {error}"))
                })?;
                Some(read_header(&mut file)?)
            }
            None => None,
        };
        (header, Rows::new(input)?)
    };
    let real = header.as_ref().is_some_and(|header| header.mode.as_deref() == Some("real"));
    let mut measured = read_rows(rows, real, progress)?;
    match header {
        None => measured.notes.push("no header beside it: times are taken as microseconds".into()),
        Some(header) => {
            if header.warm_up_requests > 0 {
                measured.notes.push(format!(
                    "the header counts {} warm-up requests; none is left out here",
                    header.warm_up_requests
                ));
            }
            measured.name = header.mode.unwrap_or_default();
        }
    }
    Ok(vec![measured])
}

fn read_header(input: &mut dyn Read) -> Result<Header, Fault> {
    let mut text = String::new();
    input
        .take(HEADER_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Fault::whole(format!("its header cannot be read: {error}")))?;
    let header = Header::of(&text)
        .ok_or_else(|| Fault::whole("its header is not a BLIS TraceV2 header (YAML)"))?;
    if !(2..=3).contains(&header.trace_version) {
        return Err(Fault::whole(format!(
            "its trace_version is {}; 2 and 3 are read",
            header.trace_version
        )));
    }
    if header.time_unit.as_deref().is_some_and(|unit| unit != "us") {
        return Err(Fault::whole("its time_unit is not us"));
    }
    Ok(header)
}

fn read_rows(mut rows: Rows, real: bool, progress: &mut Progress) -> Result<Measured, Fault> {
    rows.want(COLUMNS, 7)?;
    let mut builder = Builder::new(progress);
    let mut classes: Vec<String> = Vec::new();
    let mut unsent = 0u64;
    while rows.next(false)? {
        let recorded = |time: Option<u64>| time.filter(|&time| time > 0);
        let arrival = rows.nanos(7, MICROS)?;
        let sent = rows.nanos(1, MICROS)?;
        let first = recorded(rows.nanos(2, MICROS)?);
        let last = recorded(rows.nanos(3, MICROS)?);
        let output = rows.count(6)?;
        let ended = match rows.text(4) {
            Some("ok") => Ended::Completed,
            Some("timeout") => Ended::TimedOut,
            Some("error") => {
                let why = rows.text(10).or(rows.text(11)).unwrap_or("");
                Ended::by_text(why)
            }
            _ => return Err(rows.fault("`status` is none of ok, error, timeout")),
        };
        let Some(sent) = sent.or(arrival) else {
            unsent += 1;
            continue;
        };
        if ended == Ended::Completed && (first.is_none() || last.is_none()) {
            return Err(rows.fault("an answered request without the times of its chunks"));
        }
        if arrival.is_some_and(|arrival| arrival > sent) {
            builder.odd("were sent before they arrived", || "its times contradict".to_owned());
        }
        if ended == Ended::Completed {
            check(&rows, &mut builder, real, sent, first.zip(last), output)?;
        }
        if let (Some(first), Some(last), true) = (first, last, output != Some(1)) {
            builder.token(last.max(first));
            if last < first {
                let wrong = builder.refuse("its last chunk came before its first one");
                wrong.map_err(|fault| fault.or_at(rows.position()))?;
                continue;
            }
        }
        let name = rows.text(8).unwrap_or("default");
        let class = classes.iter().position(|known| known == name).unwrap_or_else(|| {
            classes.push(name.to_owned());
            classes.len() - 1
        });
        let class = u16::try_from(class).map_err(|_| rows.fault("more than 65,536 classes"))?;
        let class = ClassId(class);
        let prompt = rows.count(9)?.filter(|&tokens| tokens > 0).or(rows.count(5)?);
        let row = Sent {
            id: rows.text(0).map(Mark::of),
            answer: None,
            left: None,
            sent,
            scheduled: None,
            first,
            prompt_tokens: prompt.unwrap_or(0),
            output_tokens: output,
            class,
            ended,
            // Arrival at 0 is the trace's beginning, not a missing time.
            waited: arrival.map(|arrival| sent.saturating_sub(arrival)),
            total: None,
        };
        builder.request(row).map_err(|fault| fault.or_at(rows.position()))?;
        progress.requests += 1;
    }
    let mut measured = builder.finish(Granularity::FirstLast)?;
    if unsent > 0 {
        measured.notes.push(format!("{unsent} requests that were never sent are left out"));
    }
    measured.classes = classes;
    Ok(measured)
}

/// Holds what an answered request's row tells besides its times against them. A simulated one, not
/// `real`, has no number of chunks.
fn check(
    rows: &Rows,
    builder: &mut Builder,
    real: bool,
    sent: u64,
    chunks: Option<(u64, u64)>,
    tokens: Option<u32>,
) -> Result<(), Fault> {
    let reason = rows.text(11).unwrap_or("").to_ascii_lowercase();
    let failed = ["error", "abort", "cancel", "timeout"].iter().any(|word| reason.contains(word));
    if failed || rows.text(10).is_some() {
        builder.never("are called ok, and tell of an error", || {
            let what = if failed { "finish_reason" } else { "error_message" };
            format!("its `{what}`")
        });
    }
    let Some((first, last)) = chunks else { return Ok(()) };
    let apart = last.saturating_sub(first);
    // What ends an answer may come in a chunk of its own.
    let after = first.saturating_sub(sent) / 4 + 20_000_000;
    if tokens.is_some_and(|tokens| tokens < 2) && apart > after {
        builder.odd("have one token or none, and chunks far apart", || {
            format!("the last came {} s after the first", seconds(apart))
        });
    }
    let Some(chunks) = rows.count(12)? else { return Ok(()) };
    let many = tokens.is_some_and(|tokens| chunks > tokens.saturating_mul(2).saturating_add(2));
    if real && chunks == 0 || chunks == 1 && apart > 0 || many {
        let tokens = tokens.unwrap_or(0);
        builder.odd("tell a number of chunks that their times and tokens do not have", || {
            format!(
                "{chunks} chunks of {tokens} tokens, the last {} s after the first",
                seconds(apart)
            )
        });
    }
    Ok(())
}
