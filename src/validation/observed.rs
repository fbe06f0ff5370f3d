//! A real run: when each request arrived, queued, and got its first and last token.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::interop::{self, Format, Granularity, InteropError, Measured, contradictions};
use crate::time::Time;
use crate::trace::{RequestRow, Status, last_tokens};

/// One request of a real run, in seconds on one clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObservedRequest {
    /// Index in the scenario's trace.
    pub index: u32,
    /// When the client sent it, or the front end took it.
    pub arrival_s: f64,
    /// When the engine's queue took it; the front end's delay lies before.
    pub queued_s: Option<f64>,
    /// When it was first in a running batch.
    pub scheduled_s: Option<f64>,
    /// First and last token; `None` for a request that failed.
    pub tokens_s: Option<(f64, f64)>,
    /// Prompt length, where the file has it.
    pub prompt_tokens: Option<u32>,
    /// Output length, where the file has it.
    pub output_tokens: Option<u32>,
}

impl ObservedRequest {
    /// When the engine got it: queued, or arrived where that is all that is known.
    pub fn entered_s(&self) -> f64 {
        self.queued_s.unwrap_or(self.arrival_s)
    }
}

/// A real run's requests, in order of entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedRun {
    /// Its requests; those of one instant in the file's order.
    pub requests: Vec<ObservedRequest>,
    /// What a reader should know of how the file was read, and what it lacks.
    pub notes: Vec<String>,
}

/// Why a file is not a real run.
#[derive(Debug, thiserror::Error)]
pub enum ObservedError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is a result file of a benchmark client that cannot be read.
    #[error(transparent)]
    Import(#[from] Box<InteropError>),
    /// It says something else.
    #[error("{}: {problem}", .file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the line.
        problem: String,
    },
}

/// Longest time in a file, seconds: no run lasts three years, and every nanosecond fits.
const SECONDS_MAX: f64 = 1e8;

/// Longest table of requests, which is held whole: some million rows.
const TABLE_BYTES_MAX: u64 = 256 << 20;

impl ObservedRun {
    /// Reads a run. Any format that `evaluate` reads, with `label` picking one of several runs; or a
    /// table of requests: CSV with `first_token_s`, `last_token_s`, and `arrival_s` or `queued_s` or
    /// both; `idx`, `scheduled_s`, `prompt_tokens`, `output_tokens` and `status` as they are there. A row
    /// without token times, or that was not completed, is a request that failed.
    ///
    /// # Errors
    /// When it cannot be read, a column is missing, a value is not what it should be, or the format
    /// does not tell what a replay needs.
    pub fn read(file: &Path, label: Option<&str>) -> Result<ObservedRun, ObservedError> {
        let read = |source| ObservedError::Read { file: file.to_owned(), source };
        let content = |problem| ObservedError::Content { file: file.to_owned(), problem };
        if is_table(file).map_err(read)? {
            let mut bytes = Vec::new();
            std::fs::File::open(file)
                .and_then(|file| file.take(TABLE_BYTES_MAX + 1).read_to_end(&mut bytes))
                .map_err(read)?;
            if bytes.len() as u64 > TABLE_BYTES_MAX {
                return Err(content(format!("it is longer than {TABLE_BYTES_MAX} bytes")));
            }
            return ObservedRun::from_csv(&bytes).map_err(content);
        }
        let imported = interop::import(file, None)?;
        let mut runs = imported.runs;
        let names: Vec<String> = runs.iter().map(|run| format!("`{}`", run.name)).collect();
        let at = match label {
            Some(label) => runs.iter().position(|run| run.name == label),
            None => (runs.len() == 1).then_some(0),
        };
        let Some(at) = at else {
            let count = runs.len();
            return Err(content(format!(
                "it holds {count} runs: pick one with --run of {}",
                names.join(", ")
            )));
        };
        ObservedRun::from_measured(&runs.swap_remove(at), imported.format).map_err(content)
    }

    /// The same from the text of a file.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn from_csv(bytes: &[u8]) -> Result<ObservedRun, String> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let headers = reader.headers().map_err(|e| e.to_string())?.clone();
        let columns = Columns::of(&headers)?;
        let mut requests = Vec::new();
        for (row, record) in (0u32..).zip(reader.records()) {
            let record = record.map_err(|e| e.to_string())?;
            let line = record.position().map_or(u64::from(row) + 2, csv::Position::line);
            let request = columns.request(row, &record);
            requests.push(request.map_err(|problem| format!("line {line}: {problem}"))?);
        }
        ObservedRun::of(requests)
    }

    /// A run that an importer brought into the form of a trace. Requests without tokens are ones that
    /// failed.
    ///
    /// # Errors
    /// When it does not tell when requests were sent or got their tokens, or none got any.
    pub fn from_measured(run: &Measured, format: Format) -> Result<ObservedRun, String> {
        let cannot = |what: &str| format!("read as {}: {what}", format.name());
        if !run.knows.arrivals {
            return Err(cannot(
                "it does not tell when requests were sent, so they cannot be sent again",
            ));
        }
        if run.granularity == Granularity::Total {
            return Err(cannot("it does not tell when first and last tokens came"));
        }
        let lasts = last_tokens(run);
        if let Some(why) = run.lost() {
            return Err(cannot(&format!("the temporary file cannot be read: {why}")));
        }
        let mut rows: Vec<(&RequestRow, Time)> = run.trace.requests.iter().zip(lasts).collect();
        let mut notes = run.notes.clone();
        let contradicts = |what: &String| format!("the file contradicts itself: {what}");
        notes.extend(contradictions(run).iter().map(contradicts));
        // These clients write requests as they end; others write them as they were listed.
        let as_they_ended = matches!(
            format,
            Format::Aiperf | Format::AiperfRaw | Format::Guidellm | Format::InferencePerf
        );
        if as_they_ended {
            rows.sort_by_key(|(row, _)| row.arrival);
            notes.push(
                "the file lists requests as they ended: request i is the i-th that was sent"
                    .to_owned(),
            );
        }
        notes.extend(lacks(run, &rows));
        let seconds = |time: Time| (time != Time::NEVER).then_some(time.as_nanos() as f64 / 1e9);
        let requests = rows.into_iter().zip(0u32..).map(|((row, last), index)| {
            let done = row.status == Status::Completed;
            ObservedRequest {
                index,
                arrival_s: row.arrival.as_nanos() as f64 / 1e9,
                queued_s: None,
                scheduled_s: seconds(row.scheduled),
                tokens_s: seconds(row.first_token).zip(seconds(last)).filter(|_| done),
                prompt_tokens: (row.prompt_tokens > 0).then_some(row.prompt_tokens),
                output_tokens: Some(row.tokens).filter(|_| done),
            }
        });
        let mut observed =
            ObservedRun::of(requests.collect()).map_err(|problem| cannot(&problem))?;
        observed.notes = notes;
        Ok(observed)
    }

    fn of(mut requests: Vec<ObservedRequest>) -> Result<ObservedRun, String> {
        if requests.iter().all(|r| r.tokens_s.is_none()) {
            return Err("no request that got its tokens".to_owned());
        }
        if requests.len() > crate::workload::MAX_REQUESTS as usize {
            return Err(format!("{} requests are too many", requests.len()));
        }
        if let Some(twice) = first_twice(&requests) {
            return Err(format!("`idx` {twice} is there twice"));
        }
        requests.sort_by(|a, b| a.entered_s().total_cmp(&b.entered_s()));
        Ok(ObservedRun { requests, notes: Vec::new() })
    }

    /// Whether the times of entry into the engine's queue are known.
    pub fn has_queued(&self) -> bool {
        self.requests.iter().all(|r| r.queued_s.is_some())
    }
}

/// Whether a file is a table of requests of the simplest kind, and not one that `evaluate` reads.
fn is_table(file: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    std::fs::File::open(file)?.take(1 << 16).read_to_end(&mut head)?;
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    let line = String::from_utf8_lossy(line);
    let has = |name: &str| line.split(',').any(|column| column.trim().trim_matches('"') == name);
    let table = ["arrival_s", "queued_s", "first_token_s", "last_token_s"].into_iter().any(has);
    let of_tokens = has("request") && has("time_s");
    Ok(table && !has("scheduler") && !of_tokens || head.is_empty())
}

/// What the format does not tell of a run, in words.
fn lacks(run: &Measured, rows: &[(&RequestRow, Time)]) -> Vec<String> {
    let mut lacks = Vec::new();
    if !run.knows.scheduling {
        lacks.push(
            "the file does not tell when requests were queued and scheduled: TTFT counts from \
             sending, and those that did not queue are not told apart"
                .to_owned(),
        );
    }
    let answered = rows.iter().map(|(row, _)| row).filter(|row| row.status == Status::Completed);
    let (mut prompts, mut outputs) = (0u64, 0u64);
    for row in answered {
        prompts += u64::from(row.prompt_tokens == 0);
        outputs += u64::from(row.tokens == 0);
    }
    for (count, what) in [(prompts, "prompt"), (outputs, "output")] {
        if count > 0 {
            lacks.push(format!("the file does not tell the {what} length of {count} requests"));
        }
    }
    lacks
}

fn first_twice(requests: &[ObservedRequest]) -> Option<u32> {
    let mut indices: Vec<u32> = requests.iter().map(|r| r.index).collect();
    indices.sort_unstable();
    indices.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Where the columns are.
struct Columns {
    index: Option<usize>,
    arrival: Option<usize>,
    queued: Option<usize>,
    scheduled: Option<usize>,
    first_token: usize,
    last_token: usize,
    prompt: Option<usize>,
    output: Option<usize>,
    status: Option<usize>,
}

impl Columns {
    fn of(headers: &csv::StringRecord) -> Result<Columns, String> {
        let column = |names: &[&str]| headers.iter().position(|header| names.contains(&header));
        let needed = |name: &str| {
            column(&[name]).ok_or_else(|| {
                format!(
                    "expected columns `first_token_s`, `last_token_s` and `arrival_s` or \
                     `queued_s`; of {} columns none is `{name}`",
                    headers.len()
                )
            })
        };
        let (arrival, queued) = (column(&["arrival_s"]), column(&["queued_s"]));
        if queued.is_none() {
            needed("arrival_s")?;
        }
        Ok(Columns {
            index: column(&["idx", "index"]),
            arrival,
            queued,
            scheduled: column(&["scheduled_s"]),
            first_token: needed("first_token_s")?,
            last_token: needed("last_token_s")?,
            prompt: column(&["prompt_tokens", "input_tokens"]),
            output: column(&["output_tokens"]),
            status: column(&["status"]),
        })
    }

    fn request(&self, row: u32, record: &csv::StringRecord) -> Result<ObservedRequest, String> {
        let queued_s = seconds(record, self.queued, "queued_s")?;
        let arrival_s = seconds(record, self.arrival, "arrival_s")?.or(queued_s);
        let first = seconds(record, Some(self.first_token), "first_token_s")?;
        let last = seconds(record, Some(self.last_token), "last_token_s")?;
        let arrival_s = arrival_s.ok_or("expected a time of arrival, found none")?;
        let completed = match text(record, self.status).unwrap_or("completed") {
            "completed" => true,
            "unfinished" | "rejected" | "failed" | "timed_out" | "cancelled" => false,
            other => {
                return Err(format!(
                    "status: expected completed, unfinished, rejected, failed, timed_out or cancelled, \
                     found {}",
                    crate::excerpt::bounded(other.to_owned(), 40)
                ));
            }
        };
        let tokens_s = first.zip(last).filter(|_| completed);
        if let Some((first, last)) = tokens_s
            && !(queued_s.unwrap_or(arrival_s) <= first && first <= last)
        {
            return Err(format!(
                "expected arrival, first and last token in this order, found {}, {first} and {last}",
                queued_s.unwrap_or(arrival_s)
            ));
        }
        Ok(ObservedRequest {
            index: whole(record, self.index, "idx")?.unwrap_or(row),
            arrival_s,
            queued_s,
            scheduled_s: seconds(record, self.scheduled, "scheduled_s")?,
            tokens_s,
            prompt_tokens: whole(record, self.prompt, "prompt_tokens")?,
            output_tokens: whole(record, self.output, "output_tokens")?,
        })
    }
}

fn text(record: &csv::StringRecord, column: Option<usize>) -> Option<&str> {
    column.and_then(|column| record.get(column)).filter(|text| !text.is_empty())
}

fn seconds(
    record: &csv::StringRecord,
    column: Option<usize>,
    name: &str,
) -> Result<Option<f64>, String> {
    let Some(text) = text(record, column) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(value) if value.abs() <= SECONDS_MAX => Ok(Some(value)),
        _ => Err(format!("{name}: expected seconds, found something else")),
    }
}

fn whole(
    record: &csv::StringRecord,
    column: Option<usize>,
    name: &str,
) -> Result<Option<u32>, String> {
    let Some(text) = text(record, column) else { return Ok(None) };
    let value = text.parse::<u32>();
    value.map(Some).map_err(|_| format!("{name}: expected a whole number, found something else"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_by_name_and_requests_by_entry() {
        let text = "idx,last_token_s,queued_s,first_token_s,arrival_s\n\
                    1,9.0,2.0,3.0,1.5\n0,8.0,1.0,,0.5\n7,9.5,0.5,4.0,0.5\n";
        let run = ObservedRun::from_csv(text.as_bytes()).expect("a run");
        let indices: Vec<u32> = run.requests.iter().map(|r| r.index).collect();
        assert_eq!(indices, [7, 0, 1]);
        assert_eq!(run.requests[1].tokens_s, None, "it failed");
        assert!(run.has_queued());
        assert_eq!(run.requests[2].entered_s(), 2.0);
    }

    /// The smallest files of docs/formats.md with prompts' lengths: a row a token, and a row a request.
    #[test]
    fn the_smallest_files_are_read_and_only_what_was_completed_has_tokens() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let read = |text: &str| {
            let file = folder.path().join("x.csv");
            std::fs::write(&file, text).expect("writable");
            let run = ObservedRun::read(&file, None).expect("a run");
            run.requests.iter().map(|r| (r.tokens_s, r.prompt_tokens)).collect::<Vec<_>>()
        };
        let tokens = "request,arrival_s,time_s,prompt_tokens\n0,0.0,0.3,40\n0,0.0,0.5,40\n";
        assert_eq!(read(tokens), [(Some((0.3, 0.5)), Some(40))]);
        let requests = "arrival_s,first_token_s,last_token_s,output_tokens,status\n\
                        0.0,0.2,0.5,5,completed\n0.1,0.4,9.0,5,unfinished\n";
        assert_eq!(read(requests), [(Some((0.2, 0.5)), None), (None, None)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, want) in [
            ("arrival_s,first_token_s\n0,1\n", "none is `last_token_s`"),
            ("first_token_s,last_token_s\n0,1\n", "none is `arrival_s`"),
            ("arrival_s,first_token_s,last_token_s\n0,1,2\n0,3,2\n", "line 3: expected arrival"),
            ("arrival_s,first_token_s,last_token_s\n0,x,2\n", "line 2: first_token_s"),
            ("arrival_s,first_token_s,last_token_s\nNaN,1,2\n", "line 2: arrival_s"),
            ("arrival_s,first_token_s,last_token_s\n0,,\n", "no request that got its tokens"),
            ("arrival_s,first_token_s,last_token_s,status\n0,1,2,done\n", "line 2: status"),
            (
                "arrival_s,first_token_s,last_token_s,status\n0,1,2,unfinished\n",
                "no request that got its tokens",
            ),
            ("idx,arrival_s,first_token_s,last_token_s\n3,0,1,2\n3,0,1,2\n", "3 is there twice"),
            ("", "expected columns"),
        ] {
            let error = ObservedRun::from_csv(text.as_bytes()).expect_err(text);
            assert!(error.contains(want), "{text:?}: {error}");
        }
    }
}
