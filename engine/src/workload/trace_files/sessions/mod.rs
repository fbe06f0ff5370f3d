//! Traces of sessions that are played by their answers: each request some time after those that it waited
//! for.

mod conversations;
mod described;
mod inference_perf;
mod rows;
mod values;
mod vllm_multi_turn;
mod weka;

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::sniff::{self, Format};
use super::{FILES, csv_file, lines, no_file, warn};
use crate::request::BlockIds;
use crate::time::{Span, Time};
use crate::workload::arrivals::LATEST_ARRIVAL;
use crate::workload::classes::{Classes, UNNAMED_CLASS};
use crate::workload::recipe::Declaration;
use crate::workload::sessions::script::{NO_STEP, Script, ScriptSession, Step};
use crate::workload::{
    GapKind, Limits, MAX_BLOCK_IDS, MAX_REQUESTS, TraceSpec, Warning, WorkloadError, WorkloadSpec,
};

/// A session as a file has it.
#[derive(Debug, Default)]
pub(super) struct ReadSession {
    /// When it begins; `None` where the file does not say.
    pub(super) start_ns: Option<u64>,
    pub(super) steps: Vec<ReadStep>,
}

/// A request as a file has it.
#[derive(Debug, Default)]
pub(super) struct ReadStep {
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
    pub(super) max_tokens: Option<u32>,
    pub(super) priority: Option<i32>,
    pub(super) class: Option<String>,
    pub(super) gap_ns: u64,
    /// It comes so long after the one before it was sent, at the least.
    pub(super) apart_ns: u64,
    pub(super) kind: GapKind,
    /// Steps of the session, before this one, whose answers it waits for; none for the first alone.
    pub(super) waits: Vec<u32>,
    /// The step before it in its conversation, or the one that spawned it.
    pub(super) before: Option<u32>,
    pub(super) turn: u32,
    /// Content ids of its prompt, chained.
    pub(super) ids: Vec<u64>,
    /// Whether the prompt begins with the prompt and the answer before it, where there are no ids.
    pub(super) goes_on: bool,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct ReadSessions {
    pub(super) sessions: Vec<ReadSession>,
    /// Tokens that an id stands for.
    pub(super) id_tokens: u32,
    pub(super) notes: Vec<String>,
}

/// Whether a file says how long after an answer each next request came, so that it is played by its answers
/// unless somebody asks for its times.
pub fn has_gaps(path: &std::path::Path, format: Option<crate::workload::TraceFormat>) -> bool {
    if !FILES {
        return false;
    }
    let Ok(mut lines) = lines::Lines::open(path) else { return false };
    match sniff::format_of(&mut lines, format) {
        Ok(
            Format::Weka | Format::Conversations | Format::VllmMultiTurn | Format::InferencePerf,
        ) => true,
        Ok(Format::Csv(dialect)) if !dialect.elapsed.is_empty() => {
            let Ok(Some(header)) = lines.next() else { return false };
            let header = header.text.to_owned();
            let Some(names) = csv_file::header_names(&header) else { return false };
            (0..1000).any(|_| {
                matches!(lines.next(), Ok(Some(line)) if csv_file::tells_gaps(dialect, &names, line.text))
            })
        }
        Ok(Format::Json(keys, _)) if keys.gap.is_some() => {
            // The first request of a session has none.
            let key = format!("\"{}\"", keys.gap.map_or("", |(name, _)| name));
            (0..1000).any(|_| matches!(lines.next(), Ok(Some(line)) if line.text.contains(&key)))
        }
        _ => false,
    }
}

/// Reads the sessions of a trace.
pub(crate) fn read_sessions(
    trace: &TraceSpec,
    spec: &WorkloadSpec,
    seed: u64,
    limits: Limits,
    warnings: &mut Vec<Warning>,
) -> Result<Script, WorkloadError> {
    if !FILES {
        return Err(no_file(&trace.file));
    }
    let mut lines = lines::Lines::open(&trace.file)?;
    let mut read = match sniff::format_of(&mut lines, trace.format)? {
        Format::Weka | Format::Conversations | Format::VllmMultiTurn | Format::InferencePerf
            if trace.keeps_times =>
        {
            let message = "expected requests with times of their own, found sessions";
            return Err(WorkloadError::content(&trace.file, None, message)
                .with_help("leave out `gaps`: they are played by their answers"));
        }
        Format::Weka => weka::read(&mut lines)?,
        Format::Conversations => conversations::read(&trace.file)?,
        Format::VllmMultiTurn => vllm_multi_turn::read(&trace.file, seed)?,
        Format::InferencePerf => inference_perf::read(&trace.file, seed)?,
        Format::Json(keys, own) if trace.keeps_times || keys.gap.is_some() => {
            let block_tokens = own.unwrap_or(limits.kv_block_tokens);
            rows::read(&mut lines, rows::Rows::Json(keys, block_tokens), trace.keeps_times)?
        }
        Format::Csv(dialect) if trace.keeps_times || !dialect.elapsed.is_empty() => {
            let rows = rows::Rows::Csv(dialect, limits.kv_block_tokens);
            rows::read(&mut lines, rows, trace.keeps_times)?
        }
        Format::Json(..) | Format::Csv(_) | Format::ServeGen => {
            return Err(rows::no_gaps(&trace.file));
        }
    };
    if read.sessions.is_empty() {
        let none = WorkloadError::content(&trace.file, None, "expected sessions, found none");
        return Err(none.with_help(super::NO_ROWS));
    }
    order(trace, &mut read)?;
    let script = script(trace, spec, seed, limits, &mut read)?;
    warn(&trace.file, read.notes, warnings);
    Ok(script)
}

/// Puts sessions into the order of their beginnings, counted from the first.
fn order(trace: &TraceSpec, read: &mut ReadSessions) -> Result<(), WorkloadError> {
    if trace.arrivals.is_some() {
        return Ok(());
    }
    let first = read.sessions.iter().filter_map(|session| session.start_ns).min().unwrap_or(0);
    for session in &mut read.sessions {
        let Some(start) = session.start_ns else {
            return Err(WorkloadError::content(
                &trace.file,
                None,
                "expected the times at which sessions begin, found none",
            )
            .with_help(
                "give `trace` an `arrivals`, such as `{poisson: {rate: 0.1}}` (sessions a second) or \
                 `{closed_loop: {users: 8}}`",
            ));
        };
        let ns = libm::rint((start - first) as f64 / trace.time_scale);
        if ns > LATEST_ARRIVAL.as_nanos() as f64 {
            let message = "a session begins more than 146 years after the first";
            return Err(WorkloadError::content(&trace.file, None, message));
        }
        session.start_ns = Some(ns as u64);
    }
    read.sessions.sort_by_key(|session| session.start_ns);
    Ok(())
}

fn script(
    trace: &TraceSpec,
    spec: &WorkloadSpec,
    seed: u64,
    limits: Limits,
    read: &mut ReadSessions,
) -> Result<Script, WorkloadError> {
    let declaration = Declaration::new(spec.max_tokens, limits)?;
    let named = read.sessions.iter().flat_map(|s| &s.steps).any(|step| step.class.is_some());
    let mut classes = match named {
        true => Classes::known(&spec.classes, seed)?,
        false => Classes::new(&spec.classes, seed)?,
    };
    let mut script = Script { id_tokens: read.id_tokens, ..Script::default() };
    let mut ids: Vec<u64> = Vec::new();
    let total: usize = read.sessions.iter().map(|session| session.steps.len()).sum();
    if total > MAX_REQUESTS as usize {
        return Err(crate::workload::arrivals::too_many_requests());
    }
    let (mut cut, mut met) = (0_u64, 0_u64);
    for (number, session) in read.sessions.iter().enumerate() {
        let first = script.steps.len() as u32;
        let contents = contents(&session.steps, read.id_tokens, &mut ids);
        if ids.len() > MAX_BLOCK_IDS {
            let message = format!("more than {MAX_BLOCK_IDS} block ids in one trace");
            return Err(WorkloadError::content(&trace.file, None, message));
        }
        let mut then: Vec<Vec<u32>> = vec![Vec::new(); session.steps.len()];
        let mut followed = vec![false; session.steps.len()];
        for (place, step) in session.steps.iter().enumerate() {
            for &wait in &step.waits {
                then[wait as usize].push(first + place as u32);
            }
            if let Some(before) = step.before.filter(|_| step.turn > 0) {
                followed[before as usize] = true;
            }
        }
        for (place, step) in session.steps.iter().enumerate() {
            let class = match &step.class {
                Some(name) => classes.named(name),
                None if named => classes.named(UNNAMED_CLASS),
                None => classes.draw(number as u64),
            };
            let (output_tokens, max_tokens) =
                declaration.declare(step.prompt_tokens, step.output_tokens, step.max_tokens);
            cut += u64::from(output_tokens < step.output_tokens);
            let content = contents[place];
            met += u64::from(content.own_is_met);
            let edges = (script.edges.len() as u32, then[place].len() as u32);
            script.edges.append(&mut then[place]);
            let capped = |ns: u64| trace.gap_cap.map_or(ns, |cap| ns.min(cap.as_nanos()));
            let (gap, apart) = (capped(step.gap_ns), capped(step.apart_ns));
            script.steps.push(Step {
                prompt_tokens: step.prompt_tokens,
                output_tokens,
                max_tokens,
                priority: step.priority.unwrap_or_else(|| classes.priority(class)),
                class,
                gap: Span::from_nanos(gap),
                apart: Span::from_nanos(apart),
                kind: step.kind,
                waits: step.waits.len() as u32,
                then: edges,
                before: step.before.map_or(NO_STEP, |before| first + before),
                inherits: content.inherits,
                blocks: content.blocks,
                covers: content.covers,
                own_is_met: content.own_is_met,
                turn: step.turn,
                is_last: !followed[place] && step.before.is_none_or(|_| is_main(session, place)),
            });
        }
        let steps = script.steps.len() as u32 - first;
        let start = Time::from_nanos(session.start_ns.unwrap_or(0));
        script.sessions.push(ScriptSession { start, first, steps });
    }
    if cut > 0 {
        let longest = limits.max_model_len;
        read.notes.push(format!(
            "{cut} answers were longer than max_model_len {longest} leaves room for"
        ));
    }
    read.notes.push(format!(
        "{} sessions with {total} requests are played by their answers, {met} of which later ones begin with",
        read.sessions.len()
    ));
    script.ids = Arc::new(ids);
    script.classes = classes.names;
    Ok(script)
}

/// Whether a step is of the conversation that its session began with.
fn is_main(session: &ReadSession, place: usize) -> bool {
    let mut at = place;
    while let Some(before) = session.steps[at].before {
        if session.steps[at].turn == 0 {
            return false;
        }
        at = before as usize;
    }
    true
}

/// What is known of the tokens of one step.
#[derive(Clone, Copy, Debug, Default)]
struct StepContent {
    blocks: BlockIds,
    covers: u32,
    inherits: u32,
    own_is_met: bool,
}

/// What is known of the tokens of each step of a session. Where the prompt after it begins with its own, the ids
/// of that one name its answer too, as far as both have room for it.
fn contents(steps: &[ReadStep], id_tokens: u32, table: &mut Vec<u64>) -> Vec<StepContent> {
    let mut all = vec![StepContent::default(); steps.len()];
    // The steps after each in its conversation: more than one where it was answered anew.
    let mut after: HashMap<u32, Vec<usize>> = HashMap::new();
    for (place, step) in steps.iter().enumerate() {
        if let Some(before) = step.before.filter(|_| step.turn > 0) {
            after.entry(before).or_default().push(place);
        }
    }
    let begins_with =
        |long: &[u64], short: &[u64]| long.len() >= short.len() && long[..short.len()] == *short;
    // From the last to the first: whose ids another has at its head needs no room of its own.
    for place in (0..steps.len()).rev() {
        let step = &steps[place];
        let next = after.get(&(place as u32)).map(Vec::as_slice).unwrap_or_default();
        if step.ids.is_empty() {
            let tokens = step.prompt_tokens.saturating_add(step.output_tokens);
            for &next in next.iter().filter(|&&next| steps[next].goes_on) {
                all[next].inherits = tokens;
                all[place].own_is_met = true;
            }
            continue;
        }
        let said = step.prompt_tokens.saturating_add(step.output_tokens);
        let full = (said / id_tokens) as usize;
        let whole = next.iter().rev().copied().find(|&next| {
            begins_with(&steps[next].ids, &step.ids) && all[next].blocks != BlockIds::default()
        });
        let (blocks, covers) = match whole {
            Some(next) => {
                let there = all[next].blocks;
                // A prompt that leaves out some of the answer has other tokens behind it.
                let kept = steps[next].prompt_tokens >= said;
                let most = if kept { full.max(step.ids.len()) } else { step.ids.len() };
                let len = most.min(steps[next].ids.len()) as u32;
                let covers = len.saturating_mul(id_tokens);
                let covers = if kept { covers.min(said) } else { covers.min(step.prompt_tokens) };
                (BlockIds { start: there.start, len }, covers)
            }
            None => {
                let start = table.len() as u32;
                table.extend_from_slice(&step.ids);
                let len = step.ids.len() as u32;
                (BlockIds { start, len }, len.saturating_mul(id_tokens).min(step.prompt_tokens))
            }
        };
        all[place].blocks = blocks;
        all[place].covers = covers;
        all[place].own_is_met = covers > step.prompt_tokens;
        for &next in next {
            if steps[next].ids.is_empty() && steps[next].goes_on {
                all[next].inherits = said;
                all[place].own_is_met = true;
                continue;
            }
            let own = &table[blocks.start as usize..][..blocks.len as usize];
            let common = own.iter().zip(&steps[next].ids).take_while(|(a, b)| a == b).count();
            let tokens = (common as u32).saturating_mul(id_tokens);
            all[next].inherits = tokens.min(covers).min(steps[next].prompt_tokens);
        }
    }
    all
}

/// Ids that only mean something within one session, made ids that mean nothing in another.
#[derive(Debug, Default)]
pub(super) struct Namespaced {
    own: FxHashMap<u64, u64>,
    /// Those of sessions whose ids mean the same to all.
    shared: FxHashMap<u64, u64>,
    is_shared: bool,
    next: u64,
}

impl Namespaced {
    /// A session begins: its ids are its own, or shared with all sessions that say so.
    pub(super) fn session(&mut self, is_shared: bool) {
        self.is_shared = is_shared;
        self.own.clear();
    }

    /// The id that stands for one of the session's.
    pub(super) fn id(&mut self, own: u64) -> u64 {
        let next = &mut self.next;
        let known = if self.is_shared { &mut self.shared } else { &mut self.own };
        *known.entry(own).or_insert_with(|| {
            *next += 1;
            *next
        })
    }
}

#[cfg(test)]
mod tests;
