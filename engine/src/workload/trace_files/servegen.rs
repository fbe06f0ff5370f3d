//! Clients as ServeGen publishes them (alibaba/ServeGen, Apache-2.0): for each a `chunk-N-trace.csv` without a
//! header, a line a window of time (`start s, requests a second, cv, Gamma or Weibull, shape, scale`), beside a
//! `chunk-N-dataset.json` with the lengths of its requests. Requests are drawn as ServeGen's own generator
//! draws them, at the clients' own rates: as many gaps in a window as its rate makes, stretched to fill it, and
//! prompt and answer by the same share of their distributions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::request::BlockIds;
use crate::workload::streams::{Purpose, Stream};
use crate::workload::variates::{exponential, gamma};
use crate::workload::{MAX_REQUESTS, TraceFormat, WorkloadError};

use super::lines::{self, Line, Lines};
use super::table::{Row, Table};

/// How requests are drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    /// Of every random stream.
    pub(super) seed: u64,
    /// Requests that come later than this after the first are not wanted.
    pub(super) until_s: Option<f64>,
}

const TRACE_END: &str = "-trace.csv";
const DATASET_END: &str = "-dataset.json";
/// A window where a client has one alone, seconds.
const WINDOW_S: f64 = 600.0;

/// Whether a file, by its name and how it begins, is a client's windows.
pub(super) fn is_client(path: &Path, text: &str) -> bool {
    let fields: Vec<&str> = text.lines().next().unwrap_or_default().split(',').collect();
    let named = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(TRACE_END));
    named && fields.len() == 6 && fields[0].trim().parse::<f64>().is_ok()
}

/// Whether a path is a folder of clients.
pub(super) fn is_folder(path: &Path, format: Option<TraceFormat>) -> bool {
    let asked = matches!(format, None | Some(TraceFormat::ServeGen));
    asked && path.is_dir() && !clients(path).is_empty()
}

/// The files that are read where a trace is named: of a client of ServeGen two, of a folder of them all. None for
/// any other file.
pub fn parts(path: &Path) -> Vec<PathBuf> {
    let traces = match path.is_dir() {
        true => clients(path),
        false => Vec::from_iter(dataset_of(path).map(|_| path.to_owned())),
    };
    let both = |trace: PathBuf| {
        let dataset = dataset_of(&trace).unwrap_or_default();
        [trace, dataset]
    };
    traces.into_iter().flat_map(both).filter(|part| part.is_file()).collect()
}

/// The windows of each client in a folder, by name.
fn clients(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| dataset_of(path).is_some_and(|dataset| dataset.is_file()))
        .collect();
    // By number where there is one: `chunk-2` before `chunk-10`.
    found.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        (digits.parse::<u64>().unwrap_or(u64::MAX), name)
    });
    found
}

/// The lengths that belong to a client's windows.
fn dataset_of(trace: &Path) -> Option<PathBuf> {
    let name = trace.file_name()?.to_str()?;
    let stem = name.strip_suffix(TRACE_END)?;
    Some(trace.with_file_name(format!("{stem}{DATASET_END}")))
}

/// Draws the requests of a client, or of all clients in a folder.
pub(super) fn read(
    path: &Path,
    drawn: Option<Drawn>,
    table: &mut Table,
) -> Result<(), WorkloadError> {
    let Some(drawn) = drawn else {
        let message = "expected lengths, found clients whose requests are drawn";
        return Err(WorkloadError::content(path, None, message)
            .with_help("give the file as `workload: {trace: {file: ...}}`"));
    };
    let traces = match path.is_dir() {
        true => clients(path),
        false => vec![path.to_owned()],
    };
    let mut all = Vec::with_capacity(traces.len());
    for trace in &traces {
        let Some(dataset) = dataset_of(trace) else {
            let message = format!("expected a name that ends with `{TRACE_END}`");
            return Err(WorkloadError::content(trace, None, message).with_help(
                "its lengths stand beside it, in a file that ends with `-dataset.json`",
            ));
        };
        all.push((windows(trace)?, lengths(&dataset)?, trace, dataset));
    }
    let begin = all.iter().flat_map(|(windows, ..)| windows).filter(|w| w.rate > 0.0);
    let begin = begin.map(|window| window.start_s).fold(f64::INFINITY, f64::min);
    let end = drawn.until_s.map_or(f64::INFINITY, |until| begin + until + WINDOW_S);
    let mut rows: Vec<Row> = Vec::new();
    for (client, (windows, lengths, trace, dataset)) in all.iter().enumerate() {
        for (place, window) in windows.iter().enumerate() {
            if window.rate <= 0.0 || window.start_s >= end {
                continue;
            }
            let of = lengths.range(..=window.start_s as u64).next_back();
            let Some((_, of)) = of else {
                let message = format!(
                    "expected lengths for the window at {} s in {}, found none",
                    window.start_s,
                    dataset.display()
                );
                return Err(WorkloadError::content(trace, Some(window.line), message));
            };
            let key = ((client as u64) << 32) | place as u64;
            window.draw(of, drawn.seed, key, &mut rows);
            if rows.len() > MAX_REQUESTS as usize {
                return Err(crate::workload::arrivals::too_many_requests()
                    .with_help("give a `workload.duration`: no more of the clients is drawn"));
            }
        }
    }
    rows.sort_by_key(|row| row.arrival_ns);
    table.has_arrivals = true;
    table.notes.push(format!(
        "requests of {} clients are drawn with the scenario's seed, at the clients' own rates",
        traces.len()
    ));
    table.rows = rows;
    Ok(())
}

/// A stretch of time in which a client sends alike.
struct Window {
    start_s: f64,
    length_s: f64,
    /// Requests a second; 0 where it is silent.
    rate: f64,
    weibull: bool,
    shape: f64,
    line: u64,
}

/// A line of windows, its fields by name.
struct Fields<'l> {
    line: &'l Line<'l>,
    fields: Vec<(&'l str, u64)>,
}

impl<'l> Fields<'l> {
    const NAMES: [&'static str; 6] = ["timestamp", "rate", "cv", "pattern", "shape", "scale"];

    fn of(line: &'l Line<'l>) -> Result<Fields<'l>, WorkloadError> {
        let mut column = 1;
        let mut fields = Vec::new();
        for field in line.text.split(',') {
            fields.push((field.trim(), column));
            column += field.chars().count() as u64 + 1;
        }
        if fields.len() != Self::NAMES.len() {
            let names = Self::NAMES.join(",");
            let message = format!("expected the 6 fields {names}, found {}", fields.len());
            return Err(line.error(message));
        }
        Ok(Fields { line, fields })
    }

    fn wrong(&self, place: usize, expected: &str) -> WorkloadError {
        let (text, column) = self.fields[place];
        let shown = crate::trace::numbers::shown(text);
        self.line
            .error(format!("expected {expected}, found `{shown}`"))
            .with_field(Self::NAMES[place])
            .with_column(column)
    }

    fn number(&self, place: usize) -> Result<f64, WorkloadError> {
        let value = self.fields[place].0.parse::<f64>().ok();
        value
            .filter(|value| (0.0..=1e12).contains(value))
            .ok_or_else(|| self.wrong(place, "a number of 0 or more"))
    }
}

fn windows(path: &Path) -> Result<Vec<Window>, WorkloadError> {
    let mut lines = Lines::open(path)?;
    let mut all: Vec<Window> = Vec::new();
    while let Some(line) = lines.next()? {
        let fields = Fields::of(&line)?;
        let (start_s, rate) = (fields.number(0)?, fields.number(1)?);
        if let Some(last) = all.last_mut() {
            if start_s <= last.start_s {
                return Err(fields.wrong(0, &format!("a time after {}", last.start_s)));
            }
            last.length_s = start_s - last.start_s;
        }
        let (weibull, rate) = match fields.fields[3].0 {
            "Weibull" => (true, rate),
            "Gamma" => (false, rate),
            "" => (false, 0.0),
            _ => return Err(fields.wrong(3, "`Gamma`, `Weibull` or nothing")),
        };
        let shape = fields.number(4)?;
        if rate > 0.0 && !(1e-3..=1e6).contains(&shape) {
            return Err(fields.wrong(4, "a shape of 0.001 to 1000000"));
        }
        let length_s = all.last().map_or(WINDOW_S, |last| last.length_s);
        all.push(Window { start_s, length_s, rate, weibull, shape, line: line.number });
    }
    if all.is_empty() {
        return Err(WorkloadError::content(path, None, "expected windows of time, found none"));
    }
    Ok(all)
}

impl Window {
    fn draw(&self, lengths: &Lengths, seed: u64, key: u64, rows: &mut Vec<Row>) {
        let mut gaps = Stream::new(seed, Purpose::Arrival).at(key);
        let mut luck = Stream::new(seed, Purpose::Prompt).at(key);
        let count = (self.rate * self.length_s).ceil().min(f64::from(MAX_REQUESTS) + 1.0) as usize;
        let mut at = Vec::with_capacity(count);
        let mut sum = 0.0;
        for _ in 0..count {
            sum += match self.weibull {
                true => libm::pow(exponential(&mut gaps), 1.0 / self.shape),
                false => gamma(&mut gaps, self.shape),
            };
            at.push(sum);
        }
        let stretched = if sum > 0.0 { self.length_s / sum } else { 0.0 };
        for time in at {
            let share = luck.unit();
            // The last gap ends where the next window begins.
            let since = time * stretched;
            if since >= self.length_s {
                break;
            }
            rows.push(Row {
                arrival_ns: ((self.start_s + since) * 1e9) as u64,
                prompt_tokens: lengths.input.at(share),
                output_tokens: lengths.output.at(share),
                max_tokens: None,
                priority: None,
                class: None,
                session: None,
                blocks: BlockIds::default(),
                gap_ns: None,
                parent: None,
                has_arrival: true,
                line: self.line,
            });
        }
    }
}

/// How long the requests of a window are.
struct Lengths {
    input: Shares,
    output: Shares,
}

/// The lengths of a client, by the second from which on they hold.
fn lengths(path: &Path) -> Result<BTreeMap<u64, Lengths>, WorkloadError> {
    #[derive(serde::Deserialize)]
    struct Fields {
        input_tokens: Shares,
        output_tokens: Shares,
    }
    let reader = lines::open(path)?;
    let read: BTreeMap<u64, Fields> = serde_json::from_reader(reader).map_err(|error| {
        let text = error.to_string();
        let message = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]).to_owned();
        let line = (error.line() > 0).then_some(error.line() as u64);
        let wrong = WorkloadError::content(path, line, message);
        let wrong =
            if line.is_some() { wrong.with_column(error.column().max(1) as u64) } else { wrong };
        if error.is_eof() { wrong.with_help("is the file cut off here?") } else { wrong }
    })?;
    let some = |of: &Fields| !of.input_tokens.0.is_empty() && !of.output_tokens.0.is_empty();
    Ok(read
        .into_iter()
        .filter(|(_, fields)| some(fields))
        .map(|(at, of)| (at, Lengths { input: of.input_tokens, output: of.output_tokens }))
        .collect())
}

/// Tokens, and the share of requests that have no more, ascending: the text of a Python dictionary.
struct Shares(Vec<(u32, f64)>);

impl Shares {
    /// The tokens of the request of this share.
    fn at(&self, share: f64) -> u32 {
        let place = self.0.partition_point(|(_, up_to)| *up_to < share);
        let last = self.0.len() - 1;
        self.0[place.min(last)].0.max(1)
    }

    fn parse(text: &str) -> Result<Shares, String> {
        let inside = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let inside = inside.ok_or("expected shares such as `{224: 0.25, 225: 0.75}`")?;
        let mut shares = BTreeMap::new();
        for pair in inside.split(',').filter(|pair| !pair.trim().is_empty()) {
            let shown = || crate::trace::numbers::shown(pair.trim());
            let (tokens, share) = pair
                .split_once(':')
                .ok_or_else(|| format!("expected tokens and their share, found `{}`", shown()))?;
            let tokens: u32 = tokens
                .trim()
                .parse()
                .map_err(|_| format!("expected a whole number of tokens, found `{}`", shown()))?;
            let share =
                share.trim().parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
            let share =
                share.ok_or_else(|| format!("expected a share of 0 to 1, found `{}`", shown()))?;
            if shares.insert(tokens, share).is_some() {
                return Err(format!("{tokens} tokens stand there twice"));
            }
        }
        let sum: f64 = shares.values().sum();
        if !shares.is_empty() && (sum - 1.0).abs() > 0.01 {
            return Err(format!("expected shares that sum to 1, found {sum}"));
        }
        let mut up_to = 0.0;
        let summed = shares.into_iter().filter(|(_, share)| *share > 0.0).map(|(tokens, share)| {
            up_to += share / sum;
            (tokens, up_to)
        });
        Ok(Shares(summed.collect()))
    }
}

impl<'de> Deserialize<'de> for Shares {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shares, D::Error> {
        struct Of;
        impl Visitor<'_> for Of {
            type Value = Shares;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "the text of shares, such as \"{{224: 0.25, 225: 0.75}}\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Shares, E> {
                Shares::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Of)
    }
}
