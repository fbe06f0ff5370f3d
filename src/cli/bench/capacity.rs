//! `--capacity`: the highest rate at which a live server keeps the promise.

use super::{Server, measure, own_promise, said};
use crate::cli::args::{BenchArgs, GlobalFlags};
use crate::cli::backend::Loaded;
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::judging::Judging;
use crate::cli::{interrupt, measured_tokens};
use crate::live::client::{Speaker, outcome};
use crate::report::OutputFile;
use crate::runner::Requests;
use crate::shown::{count, duration, three_digits};
use crate::time::Time;
use crate::trace::row_file::RowFormat;
use crate::workload::Workload;

/// Runs at most.
const RUNS_MAX: u64 = 12;
/// The bracket is narrow enough when its ends are this close.
const CLOSE: f64 = 1.05;

/// What a rate came to.
enum Verdict {
    Kept,
    Broken,
}

/// Searches, and says what it found.
///
/// # Errors
/// When the scenario has no rate, nobody agreed to the cost, or a run cannot be judged.
pub(super) fn run(
    args: &BenchArgs,
    loaded: &Loaded,
    server: &Server,
    global: &GlobalFlags,
    console: &Console,
) -> Result<Exit, Error> {
    let Requests::Open(workload) = &loaded.requests else {
        return Err(Error::NoSense(
            "--capacity turns the rate of arrivals, and users of a closed loop have none: give the \
             scenario arrivals such as poisson"
                .to_owned(),
        ));
    };
    let rate = rate(workload).ok_or_else(|| {
        Error::NoSense(
            "--capacity: all requests of the scenario come at once, at no rate".to_owned(),
        )
    })?;
    let each = workload.requests.len() as u64;
    let tokens: u64 = workload
        .requests
        .iter()
        .map(|r| u64::from(r.prompt_tokens) + u64::from(r.output_tokens))
        .sum();
    let left = server.left(args);
    let runs = [(left.0, each), (left.1, tokens)]
        .into_iter()
        .filter_map(|(most, one)| Some(most? / one.max(1)))
        .min()
        .map_or(RUNS_MAX, |runs| runs.min(RUNS_MAX));
    console.note(&format!(
        "up to {runs} runs of {} requests and {} tokens each: with learning and warming up {} requests \
         and {} tokens at most",
        count(each),
        count(tokens),
        count(each * runs + server.spent.0),
        count(tokens * runs + server.spent.1)
    ));
    if runs < 2 {
        return Err(Error::NoSense(
            "that is too little for a search: raise --max-requests or --max-tokens, or lower \
             workload.requests"
                .to_owned(),
        ));
    }
    if !args.yes && args.max_requests.is_none() && args.max_tokens.is_none() {
        return Err(Error::NoSense(
            "say --yes if that may be spent, or give a limit (--max-requests, --max-tokens)"
                .to_owned(),
        ));
    }
    interrupt::listen();
    let (mut kept, mut broken): (Option<f64>, Option<f64>) = (None, None);
    let mut next = rate;
    let mut lines = Vec::new();
    for run in 0..runs {
        if interrupt::came() {
            return Ok(Exit::Interrupted);
        }
        // What the runs before brought into the server's cache shall not help.
        let voice = (server, &server.speaker.anew(run + 1));
        let came = at_rate(args, loaded, workload, voice, console, next / rate)?;
        let Some((verdict, line)) = came else { return Ok(Exit::Interrupted) };
        let line = format!("{} requests/s: {line}", three_digits(next));
        console.note(&line);
        lines.push(line);
        match verdict {
            Verdict::Kept => kept = Some(kept.map_or(next, |before| before.max(next))),
            Verdict::Broken => broken = Some(broken.map_or(next, |before| before.min(next))),
        }
        next = match (kept, broken) {
            (Some(kept), Some(broken)) if broken / kept <= CLOSE => break,
            (Some(kept), Some(broken)) => (kept * broken).sqrt(),
            (Some(kept), None) => kept * 2.0,
            (None, Some(broken)) => broken / 2.0,
            (None, None) => break,
        };
    }
    lines.push(match (kept, broken) {
        (Some(kept), Some(broken)) => {
            format!(
                "capacity: {} requests/s keep the SLO, {} do not",
                three_digits(kept),
                three_digits(broken)
            )
        }
        (Some(kept), None) => {
            format!(
                "capacity: at least {} requests/s; no rate that was tried is too high",
                three_digits(kept)
            )
        }
        (None, _) => "capacity: no rate that was tried keeps the SLO".to_owned(),
    });
    let sink = console.open_result(global.output.as_ref())?;
    sink.finish(format!("{}\n", lines.join("\n")).as_bytes())?;
    Ok(if args.check && kept.is_none() { Exit::NotMet } else { Exit::Fine })
}

/// Arrivals a second.
fn rate(workload: &Workload) -> Option<f64> {
    let last = workload.requests.last()?.arrival.as_nanos() as f64 / 1e9;
    let counted = (last > 0.0).then(|| workload.requests.len() as f64 / last);
    workload.nominal_rate_per_s.or(counted)
}

/// The scenario's requests, so many times as fast.
fn faster(workload: &Workload, factor: f64) -> Requests {
    let mut workload = workload.clone();
    for request in &mut workload.requests {
        let ns = request.arrival.as_nanos() as f64 / factor;
        request.arrival = Time::from_nanos(ns as u64);
    }
    workload.nominal_rate_per_s = workload.nominal_rate_per_s.map(|rate| rate * factor);
    Requests::Open(workload)
}

/// One run; nothing where it was interrupted.
fn at_rate(
    args: &BenchArgs,
    loaded: &Loaded,
    workload: &Workload,
    voice: (&Server, &Speaker),
    console: &Console,
    factor: f64,
) -> Result<Option<(Verdict, String)>, Error> {
    let requests = faster(workload, factor);
    let one = BenchArgs { max_requests: None, max_tokens: None, ..args.clone() };
    let ran = measure(&one, loaded, &requests, voice, console);
    if ran.interrupted {
        return Ok(None);
    }
    if let Some(why) = ran.no_measurement() {
        return Err(Error::NoSense(format!("this is no measurement of the server: {why}")));
    }
    let outcome = outcome(&ran.exchanges, |exchange| {
        let request = &ran.asked[exchange.index as usize];
        (request.prompt_tokens, request.class)
    });
    let name = format!("metron-sim-bench-{}.csv", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = (OutputFile::create(&path)?, RowFormat::Csv);
    let input = (&loaded.experiment, &loaded.resolved);
    let (label, live) = (&voice.0.dialect.model, said::stated(&ran, None));
    measured_tokens::write(file, input, &requests, label, &outcome, Some(live))?;
    let judging = Judging::new(&own_promise(), &[])?;
    let judged = judging.runs(&path);
    let _ = std::fs::remove_file(&path);
    let (_, runs) = judged?;
    let run = &runs[0];
    let ttft = run.summary.ttft_s.p99;
    let ttft = ttft.map_or(String::new(), |ttft| format!(", TTFT P99 {}", duration(ttft)));
    match run.slo.met {
        Some(true) => Ok(Some((Verdict::Kept, format!("keeps the SLO{ttft}")))),
        Some(false) => Ok(Some((Verdict::Broken, format!("breaks the SLO{ttft}")))),
        None => {
            let why = run.slo.why.clone().unwrap_or_default();
            Err(Error::NoSense(format!("the SLO cannot be judged: {why}")))
        }
    }
}
