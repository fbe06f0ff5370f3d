//! `explain SCENARIO --observed FILE`: the stalls of a real run, each beside what the simulation of the same
//! requests had there.
//!
//! A file of token times says when text stood still, and not why. The simulation of the same requests at
//! the same times says why it would have stood still in this scenario. Where both stand still at the same
//! token, for about as long, its cause is probably the real one; where only the real one does, the
//! cause is nothing that is simulated, or the server is not as the scenario says.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use super::paragraph::paragraph;
use crate::cli::args::{ExplainFlags, Format, GlobalFlags};
use crate::cli::backend::Backend;
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::explanation::ExplanationFile;
use crate::cli::joined::{Joined, JoinedStall, Likely};
use crate::cli::{progress, validate};
use crate::explain::{LooksLike, Question, StallGroup, StallReport, explain, measured_stalls};
use crate::interop::{self, Granularity, Measured};
use crate::request::RequestId;
use crate::result::{SCHEMA_VERSION, Tool};
use crate::runner::{Indexed, RunInput, RunOptions, indexed, run_experiment};
use crate::shown;
use crate::validation::Replay;

/// Tokens to either side of a real gap at which a simulated one is the same: clients count a role or an end
/// for a chunk.
const TOKENS_APART: u32 = 2;

/// Runs the command with `--observed`.
///
/// # Errors
/// When the scenario and the file cannot be read, do not go together, or the file has no token times.
pub(super) fn run(
    scenario: &str,
    observed: &Path,
    flags: &ExplainFlags,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let sink = console.open_result(global.output.as_ref())?;
    let name = flags.run.as_deref();
    let measured = measured(observed, name)?;
    let (loaded, replay) = validate::load(scenario, (observed, name), global, console, backend)?;
    let jobs = global.threads();
    let options =
        RunOptions { jobs, keep_log: true, reference: flags.reference, ..RunOptions::default() };
    let input = RunInput { experiment: &loaded.experiment, requests: &replay.requests };
    let progress = console.progress(loaded.experiment.schedulers.len());
    let outputs = progress::shown(&progress, console.shows_run(), || {
        run_experiment(input, options, backend, &progress)
    })?;
    if let [first, _, ..] = outputs.as_slice() {
        console.warn(&format!(
            "the scenario has several schedulers: the first, {}, stands for the real one",
            first.result.label
        ));
    }
    let runs = indexed(&loaded.experiment, &outputs);
    let tbt = loaded.experiment.promises.common.tbt;
    let found = measured_stalls(&measured, tbt, true);
    let first = runs.first().expect("a scenario has a scheduler");
    let places = places(&measured, &replay);
    let top = usize::from(flags.top);
    let joined = Joined {
        file: observed.display().to_string(),
        label: first.output.result.label.clone(),
        threshold_s: found.threshold_s,
        stalls: found.stalls,
        worst: found.groups.iter().take(top).map(|group| join(group, &places, first)).collect(),
        note: "probable causes: those of a simulation of the same requests, not what the server recorded"
            .to_owned(),
    };
    let file = ExplanationFile {
        schema_version: SCHEMA_VERSION,
        tool: Tool::this(),
        scenario: loaded.resolved.to_json(),
        runs: Vec::new(),
        cures: Vec::new(),
        warnings: [&loaded.warnings[..], &replay.warnings].concat(),
        inert: loaded.inert(None).everywhere,
        observed: Some(joined),
    };
    let bytes = match global.format {
        Format::Json => file.to_json(),
        _ => file.observed.as_ref().map_or(String::new(), to_text),
    };
    console.for_people(|| file.observed.as_ref().map_or(String::new(), to_text));
    sink.finish(bytes.as_bytes())?;
    Ok(Exit::Fine)
}

/// The run of the file that is meant, if it has token times.
fn measured(file: &Path, name: Option<&str>) -> Result<Measured, Error> {
    let imported = interop::import(file, None)?;
    let sense = |what: &str| Error::NoSense(format!("{}: {what}", file.display()));
    let mut runs = imported.runs;
    let at = match name {
        Some(name) => runs.iter().position(|run| run.name == name),
        None => (runs.len() == 1).then_some(0),
    };
    let Some(at) = at else {
        let names: Vec<String> = runs.iter().map(|run| format!("`{}`", run.name)).collect();
        return Err(sense(&format!(
            "it holds {} runs: pick one with --run of {}",
            runs.len(),
            names.join(", ")
        )));
    };
    let run = runs.swap_remove(at);
    if !run.knows.token_times || run.granularity > Granularity::Chunk {
        return Err(sense(
            "it has no times of tokens, so no stall can be found in it; `metron-sim validate` compares what \
             it has",
        ));
    }
    Ok(run)
}

/// Where in the simulation each request of the file stands: both have its arrival and its first token.
fn places(measured: &Measured, replay: &Replay) -> HashMap<RequestId, RequestId> {
    let key = |arrival_s: f64, first_s: f64| (arrival_s.to_bits(), first_s.to_bits());
    let simulated: HashMap<(u64, u64), RequestId> = replay
        .observed
        .iter()
        .zip((0..).map(RequestId))
        .filter_map(|(one, place)| Some((key(one.arrival_s, one.tokens_s?.0), place)))
        .collect();
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let rows = measured.trace.requests.iter().zip((0..).map(RequestId));
    rows.filter_map(|(row, id)| {
        let at = key(seconds(row.arrival.as_nanos()), seconds(row.first_token.as_nanos()));
        Some((id, *simulated.get(&at)?))
    })
    .collect()
}

fn join(
    group: &StallGroup,
    places: &HashMap<RequestId, RequestId>,
    run: &Indexed<'_>,
) -> JoinedStall {
    let real = group.worst[0];
    let simulated = places.get(&real.request).and_then(|&place| beside(run, place, real.token));
    let length = real.to_s - real.from_s;
    let verdict = match &simulated {
        _ if group.looks_like == LooksLike::HeldBack => Likely::HeldBack,
        Some(stall) if stall.length_ns as f64 / 1e9 >= length / 2.0 => Likely::Simulated,
        Some(stall) if stall.length_ns as f64 / 1e9 >= length / 5.0 => Likely::Partly,
        _ => Likely::NotSimulated,
    };
    let (looks_like, requests_hit) = (group.looks_like, group.requests);
    JoinedStall { real, requests_hit, looks_like, verdict, simulated }
}

/// The longest simulated gap of a request at this token or next to it.
fn beside(run: &Indexed<'_>, request: RequestId, token: u32) -> Option<StallReport> {
    let output = run.output;
    let trace = &output.outcome.trace;
    let row = trace.requests.get(request.index())?;
    let times: Vec<_> = trace.token_times(row).collect();
    let near = token.saturating_sub(TOKENS_APART).max(1)..=token.saturating_add(TOKENS_APART);
    let gaps = near.filter_map(|token| {
        let at = *times.get(token as usize)?;
        Some((at.since(times[token as usize - 1]), token))
    });
    let (_, token) = gaps.max_by_key(|&(gap, _)| gap)?;
    let question = Question { top: 1, request: Some(request), token: Some(token) };
    let result = &output.result;
    let told = explain(&result.scheduler, &result.label, run.index(), &output.judged_by, question);
    told.request?.gaps.into_iter().next()
}

fn to_text(joined: &Joined) -> String {
    let mut text = String::new();
    let Joined { file, label, threshold_s, stalls, worst, note } = joined;
    let threshold = shown::duration(*threshold_s);
    if *stalls == 0 {
        paragraph(&mut text, &format!("{file}: no gap between tokens longer than {threshold}."));
        return text;
    }
    paragraph(
        &mut text,
        &format!(
            "{file}: {} stalls longer than {threshold}. Beside the worst: the same requests, simulated with \
             {label}.",
            shown::count(*stalls)
        ),
    );
    for (place, stall) in worst.iter().enumerate() {
        text.push('\n');
        paragraph(&mut text, &format!("{}. {}", place + 1, told(stall)));
    }
    text.push('\n');
    paragraph(&mut text, &format!("These are {note}."));
    text
}

fn told(stall: &JoinedStall) -> String {
    let real = &stall.real;
    let length = real.to_s - real.from_s;
    let mut text = format!(
        "At {:.3} s request {} stood still for {} before token {}",
        real.from_s,
        real.request,
        shown::duration(length),
        real.token
    );
    match stall.requests_hit {
        0 | 1 => text.push_str(". "),
        hit => {
            let _ = write!(text, ", {} others with it. ", hit - 1);
        }
    }
    let gap = |s: &StallReport| shown::duration(s.length_ns as f64 / 1e9);
    match (stall.verdict, &stall.simulated) {
        (Likely::HeldBack, _) => {
            let _ = write!(
                text,
                "Probably not the server: {} tokens came at once with the late one, as if the network, a \
                 proxy or the client had held them back.",
                real.at_once
            );
        }
        (Likely::Simulated, Some(s)) => {
            let _ = write!(
                text,
                "Probably {}: the simulation stands still there for {}, {}.",
                cause(s),
                gap(s),
                parts(s)
            );
        }
        (Likely::Partly, Some(s)) => {
            let _ = write!(
                text,
                "In part probably {}: the simulation stands still there for {} only, {}. For the rest there \
                 is no evidence here.",
                cause(s),
                gap(s),
                parts(s)
            );
        }
        (_, simulated) => {
            let near = match simulated {
                Some(s) => format!("its longest gap there is {}", gap(s)),
                None => "the request has no token there".to_owned(),
            };
            let _ = write!(
                text,
                "The simulation does not stand still there ({near}): the cause is nothing that is simulated, \
                 or the server is not as the scenario says. From token times alone: {}.",
                stall.looks_like.words()
            );
        }
    }
    text
}

fn cause(stall: &StallReport) -> String {
    format!("{} ({})", stall.main_cause.name(), stall.main_cause.meaning())
}

/// Where the time of a simulated gap went, and who caused it.
fn parts(stall: &StallReport) -> String {
    let mut causes: Vec<_> = stall.causes_ns.iter().filter(|(_, ns)| **ns > 0).collect();
    causes.sort_by_key(|(cause, ns)| (std::cmp::Reverse(**ns), **cause));
    let each = causes.iter().take(3).map(|(cause, ns)| {
        format!("{} of it {}", shown::duration(**ns as f64 / 1e9), cause.name())
    });
    let mut text = each.collect::<Vec<_>>().join(", ");
    if let Some(culprit) = stall.culprits.first() {
        let _ = write!(text, "; most by request {} of the simulation", culprit.request);
    }
    text
}
