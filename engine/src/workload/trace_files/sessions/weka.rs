//! Sessions of coding agents as Weka records them (callanjfox/kv-cache-tester, Apache-2.0): a JSON object a
//! session, on a line of its own or alone in a file. Times are seconds, ids stand for 64 tokens and mean
//! nothing outside of their session. Subagents stand among the requests of whoever spawned them, with
//! requests of their own whose times count from theirs.

use serde::Deserialize;

use super::{Namespaced, ReadSession, ReadSessions, ReadStep};
use crate::workload::trace_files::chained::Chained;
use crate::workload::trace_files::jsonl_file::syntax_error;
use crate::workload::trace_files::lines::{Line, Lines};
use crate::workload::{GapKind, WorkloadError};

/// Tokens of a block where a file does not say.
const BLOCK_TOKENS: u32 = 64;

#[derive(Deserialize)]
struct Session {
    block_size: Option<u32>,
    hash_id_scope: Option<String>,
    requests: Vec<Entry>,
}

/// A request, or a subagent with its own.
#[derive(Deserialize)]
struct Entry {
    t: Option<f64>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "in")]
    input: Option<f64>,
    out: Option<f64>,
    #[serde(default)]
    hash_ids: Vec<u64>,
    #[serde(default)]
    input_types: Option<Vec<String>>,
    api_time: Option<f64>,
    think_time: Option<f64>,
    duration_ms: Option<f64>,
    requests: Option<Vec<Entry>>,
}

/// What a user should know of the whole file.
#[derive(Default)]
struct Odd {
    silent: u64,
    short: u64,
    subagents: u64,
    joins: u64,
}

pub(super) fn read(lines: &mut Lines) -> Result<ReadSessions, WorkloadError> {
    let mut read = ReadSessions::default();
    let mut names = Namespaced::default();
    let mut odd = Odd::default();
    while let Some(line) = lines.next()? {
        let session: Session =
            serde_json::from_str(line.text).map_err(|error| syntax_error(&line, &error))?;
        let block = session.block_size.unwrap_or(BLOCK_TOKENS);
        if block == 0 {
            return Err(line.error("expected 1 token or more, found 0").with_field("block_size"));
        }
        if read.id_tokens != 0 && read.id_tokens != block {
            let message =
                format!("expected blocks of {} tokens, as before, found {block}", read.id_tokens);
            return Err(line.error(message).with_field("block_size"));
        }
        read.id_tokens = block;
        names.session(session.hash_id_scope.as_deref() == Some("global"));
        let mut reader = Reader {
            line,
            block,
            names: &mut names,
            chained: Chained::default(),
            odd: &mut odd,
            steps: Vec::new(),
        };
        let start = session.requests.first().and_then(|entry| entry.t).unwrap_or(0.0);
        let start_ns = reader.nanos(start, "t")?;
        reader.conversation(&session.requests, 0.0, None)?;
        let steps = reader.steps;
        if steps.is_empty() {
            return Err(line.error("expected requests, found none").with_field("requests"));
        }
        read.sessions.push(ReadSession { start_ns: Some(start_ns), steps });
    }
    read.notes.push(format!("`hash_ids` are read as blocks of {} tokens", read.id_tokens));
    // Each session's times count from its own beginning.
    if read.sessions.len() > 1 && read.sessions.iter().all(|session| session.start_ns == Some(0)) {
        read.sessions.iter_mut().for_each(|session| session.start_ns = None);
    }
    read.notes.extend(odd.notes());
    Ok(read)
}

struct Reader<'r> {
    line: Line<'r>,
    block: u32,
    names: &'r mut Namespaced,
    chained: Chained,
    odd: &'r mut Odd,
    steps: Vec<ReadStep>,
}

/// A subagent whose end nobody has waited for yet.
struct Running {
    last: u32,
    end: f64,
}

impl Reader<'_> {
    /// Reads the requests of one conversation, `from` seconds after its session's; `spawned` is the step
    /// that spawned it and when that had ended. Gives its last step and when that ended.
    fn conversation(
        &mut self,
        entries: &[Entry],
        from: f64,
        spawned: Option<(u32, f64)>,
    ) -> Result<Option<(u32, f64)>, WorkloadError> {
        let mut last: Option<(u32, f64)> = None;
        let mut turn = 0;
        let mut running: Vec<Running> = Vec::new();
        for entry in entries {
            let at = from + self.time(entry.t, "t")?;
            if entry.kind.as_deref() == Some("subagent") {
                let Some(spawner) = last.or(spawned) else {
                    let message = "a subagent stands before any request that could have spawned it";
                    return Err(self.line.error(message).with_field("requests"));
                };
                self.odd.subagents += 1;
                let own = entry.requests.as_deref().unwrap_or_default();
                // Some files count the times of its requests from its own, some from the session's.
                let first = own.first().and_then(|one| one.t).unwrap_or(0.0);
                let from = if first < entry.t.unwrap_or(0.0) { at } else { from };
                let seconds = self.time(entry.duration_ms, "duration_ms")? / 1e3;
                if let Some((last, ended)) = self.conversation(own, from, Some(spawner))? {
                    running.push(Running { last, end: ended.max(at + seconds) });
                }
                continue;
            }
            let place = self.steps.len() as u32;
            let mut waits = Vec::new();
            let mut gap_ns = 0;
            if let Some((before, end)) = last.or(spawned) {
                waits.push(before);
                // Those that had ended when it was sent were waited for.
                let joined: Vec<Running> = running.extract_if(.., |one| one.end <= at).collect();
                let ended = joined.iter().map(|one| one.end).fold(end, f64::max);
                self.odd.joins += joined.len() as u64;
                let any = !joined.is_empty();
                waits.extend(joined.into_iter().map(|one| one.last));
                gap_ns = match (any || last.is_none(), entry.think_time) {
                    (true, _) => self.nanos((at - ended).max(0.0), "t")?,
                    (false, Some(seconds)) => self.nanos(seconds, "think_time")?,
                    (false, None) => {
                        self.odd.silent += 1;
                        0
                    }
                };
            }
            let step =
                self.step(entry, turn, gap_ns, waits, last.or(spawned).map(|(step, _)| step))?;
            self.steps.push(step);
            last = Some((place, at + self.time(entry.api_time, "api_time")?));
            turn += 1;
        }
        Ok(last)
    }

    fn step(
        &mut self,
        entry: &Entry,
        turn: u32,
        gap_ns: u64,
        waits: Vec<u32>,
        before: Option<u32>,
    ) -> Result<ReadStep, WorkloadError> {
        let prompt_tokens = self.tokens(entry.input, "in")?;
        let output_tokens = self.tokens(entry.out, "out")?;
        let most = prompt_tokens.div_ceil(self.block) as usize;
        if entry.hash_ids.len() > most {
            let message = format!(
                "expected at most {most} block ids for a prompt of {prompt_tokens} tokens in blocks of {}, \
                 found {}",
                self.block,
                entry.hash_ids.len()
            );
            return Err(self.line.error(message).with_field("hash_ids"));
        }
        let full = (prompt_tokens / self.block) as usize;
        self.odd.short += u64::from(entry.hash_ids.len() < full);
        let mut ids = entry.hash_ids.clone();
        self.chained.chain(&mut ids);
        ids.iter_mut().for_each(|id| *id = self.names.id(*id));
        let tools = entry.input_types.iter().flatten().any(|kind| kind == "tool_result");
        Ok(ReadStep {
            prompt_tokens,
            output_tokens,
            gap_ns,
            kind: if tools { GapKind::Tool } else { GapKind::User },
            waits,
            before,
            turn,
            ids,
            ..ReadStep::default()
        })
    }

    fn tokens(&self, value: Option<f64>, field: &str) -> Result<u32, WorkloadError> {
        match value {
            Some(tokens)
                if tokens >= 1.0
                    && tokens <= f64::from(u32::MAX)
                    && libm::trunc(tokens) == tokens =>
            {
                Ok(tokens as u32)
            }
            // An answer of which nothing was counted still had its end.
            Some(0.0) if field == "out" => Ok(1),
            Some(other) => Err(self
                .line
                .error(format!("expected a whole number of tokens, 1 or more, found {other}"))
                .with_field(field)),
            None => Err(self.line.error("expected a value, found none").with_field(field)),
        }
    }

    /// Seconds; none where nothing is said.
    fn time(&self, value: Option<f64>, field: &str) -> Result<f64, WorkloadError> {
        let seconds = value.unwrap_or(0.0);
        self.nanos(seconds, field).map(|_| seconds)
    }

    fn nanos(&self, seconds: f64, field: &str) -> Result<u64, WorkloadError> {
        const TEN_YEARS_S: f64 = 10.0 * 365.0 * 86_400.0;
        if !(0.0..=1e3 * TEN_YEARS_S).contains(&seconds) {
            let message = format!("expected a time of 0 or more, found {seconds}");
            return Err(self.line.error(message).with_field(field));
        }
        Ok(libm::rint(seconds * 1e9) as u64)
    }
}

impl Odd {
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut add = |count: u64, text: &str| {
            if count > 0 {
                notes.push(format!("{count} {text}"));
            }
        };
        add(self.silent, "requests do not say their `think_time`: they follow at once");
        add(
            self.short,
            "requests have fewer `hash_ids` than their prompts fill blocks: the rest is taken for text that \
             nobody shares",
        );
        add(self.subagents, "subagents are spawned by the request before them");
        add(
            self.joins,
            "of them had ended before a request of their spawner, which waits for them",
        );
        notes
    }
}
