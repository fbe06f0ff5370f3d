//! The timeline: Chrome's trace event format, which Perfetto and `chrome://tracing` open.
//!
//! One process a scheduler, one thread a lane (a replica has one, or with pipeline parallelism one a
//! stage), one bar an iteration, named by its kind
//! (`prefill`, `mixed`, `decode`), with counters for requests and KV blocks beneath. Iterations of
//! one lane that overlap in time get further threads. Each bar carries what its time was made of
//! (`parts_ns`) and the largest part (`cause`). The worst stalls are bars on threads of their own,
//! and arrows lead to them from the last prefill of those who caused them. In small runs each
//! request has a track of its own: waiting, prefill, decode.
//!
//! Format: "Trace Event Format", Google, 2016; `ts` and `dur` in microseconds.

use std::io::{self, Write};

use crate::explain::{Index, Stall, main_cause};
use crate::ids::{IterationNo, LaneId, LaneOfReplica};
use crate::sim::{Iteration, Log, Outcome};
use crate::time::Time;
use crate::trace::decimal::ExactMicros;
use crate::trace::{Drafts, Lane};

/// Above this many requests in a run, single requests get no tracks.
pub const REQUEST_TRACKS_MAX: usize = 256;

/// Threads set aside for one replica.
const THREADS_PER_REPLICA: usize = 64;

/// The first thread of stalls, beyond those of any replica.
const STALL_THREADS: usize = 1_000_000;

/// Culprits of one stall that an arrow leads from.
const ARROWS: usize = 3;

/// Why a run's tokens were late, for the causes and arrows of its timeline.
pub struct Why<'w> {
    /// The run, attributed.
    pub index: &'w Index<'w>,
    /// The stalls to be drawn.
    pub stalls: &'w [Stall],
}

/// Writes the events of one run after another, streaming.
pub struct Timeline<W: Write> {
    writer: W,
    runs: usize,
    first: bool,
    /// Arrows so far.
    arrows: usize,
}

impl<W: Write> Timeline<W> {
    /// Begins the file.
    ///
    /// # Errors
    /// When `writer` fails.
    pub fn new(mut writer: W) -> io::Result<Timeline<W>> {
        writer.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
        Ok(Timeline { writer, runs: 0, first: true, arrows: 0 })
    }

    /// Writes one scheduler's run. Without an iteration log there are request tracks only; without
    /// `why` no causes and no arrows.
    ///
    /// # Errors
    /// When the writer underneath fails.
    pub fn run(
        &mut self,
        scheduler: &str,
        outcome: &Outcome,
        why: Option<&Why<'_>>,
    ) -> io::Result<()> {
        self.runs += 1;
        let pid = self.runs;
        let name = serde_json::to_string(scheduler)?;
        self.event(format_args!(
            r#"{{"ph":"M","pid":{pid},"tid":0,"name":"process_name","args":{{"name":{name}}}}}"#
        ))?;
        let mut threads = Vec::new();
        for (id, iterations) in (0..).map(LaneId).zip(outcome.log.iter().flatten()) {
            let lane = outcome.trace.lane(id);
            threads.push(self.lane(pid, (id, lane), iterations, why)?);
        }
        if let Some(why) = why {
            for (place, stall) in why.stalls.iter().enumerate() {
                self.stall(pid, place, stall, outcome, (why.index, &threads))?;
            }
        }
        if outcome.trace.requests.len() <= REQUEST_TRACKS_MAX {
            self.requests(pid, outcome)?;
        }
        Ok(())
    }

    /// Closes the file and hands the writer back.
    ///
    /// # Errors
    /// When the writer underneath fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.write_all(b"\n]}\n")?;
        self.writer.flush()?;
        Ok(self.writer)
    }

    fn event(&mut self, json: std::fmt::Arguments<'_>) -> io::Result<()> {
        let before = if self.first { "\n" } else { ",\n" };
        self.first = false;
        self.writer.write_all(before.as_bytes())?;
        self.writer.write_fmt(json)
    }

    /// Writes the bars of a lane, and tells on which thread each of them is.
    fn lane(
        &mut self,
        pid: usize,
        (id, of): (LaneId, Lane),
        iterations: &Log,
        why: Option<&Why<'_>>,
    ) -> io::Result<Vec<usize>> {
        let (replica, lane) = (of.replica.index(), of.part.map(LaneOfReplica::index));
        let pool = why.and_then(|why| why.index.recording.pools.get(of.pool.index())?.name);
        let pool = pool.map(|name| format!(" of {name}")).unwrap_or_default();
        // Inside of a JSON text.
        let pool = serde_json::to_string(&pool)?;
        let pool = &pool[1..pool.len() - 1];
        let first = lane.unwrap_or(0);
        let mut tids = Vec::with_capacity(iterations.len());
        // When the last bar of each thread ends: a bar goes to the first thread that is free.
        let mut threads: Vec<Time> = Vec::new();
        for (number, iteration) in IterationNo::FIRST.onwards().zip(iterations) {
            let free = threads.iter().position(|&end| end <= iteration.start);
            let thread = free.unwrap_or(threads.len()).min(THREADS_PER_REPLICA - 1);
            let tid = replica * THREADS_PER_REPLICA + (first + thread) % THREADS_PER_REPLICA + 1;
            if thread == threads.len() {
                threads.push(iteration.end);
                let more = match (lane, thread) {
                    (None, 0) => String::new(),
                    (Some(lane), _) => format!(" lane {lane}"),
                    (None, thread) => format!(" lane {thread}"),
                };
                self.event(format_args!(
                    r#"{{"ph":"M","pid":{pid},"tid":{tid},"name":"thread_name","args":{{"name":"replica {replica}{pool}{more}"}}}}"#
                ))?;
            }
            threads[thread] = iteration.end;
            self.iteration(pid, tid, &iteration)?;
            if let Some(why) = why {
                self.parts(&why.index.parts(id, number))?;
            }
            self.writer.write_all(b"}}")?;
            self.counters(pid, (replica, lane), &iteration)?;
            tids.push(tid);
        }
        Ok(tids)
    }

    /// What an iteration was made of, as arguments of its bar.
    fn parts(&mut self, parts: &[(crate::explain::Cause, u64)]) -> io::Result<()> {
        let largest = parts.iter().rev().max_by_key(|(_, ns)| ns);
        let largest = largest.map_or("", |(cause, _)| cause.name());
        write!(self.writer, r#","cause":"{largest}","parts_ns":{{"#)?;
        for (place, (cause, ns)) in parts.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(self.writer, r#"{comma}"{}":{ns}"#, cause.name())?;
        }
        self.writer.write_all(b"}")
    }

    /// A stall's bar, and arrows to it.
    fn stall(
        &mut self,
        pid: usize,
        place: usize,
        stall: &Stall,
        outcome: &Outcome,
        (index, threads): (&Index<'_>, &[Vec<usize>]),
    ) -> io::Result<()> {
        let (gap, tid, request) = (&stall.gap, STALL_THREADS + place, stall.request);
        let number = place + 1;
        self.event(format_args!(
            r#"{{"ph":"M","pid":{pid},"tid":{tid},"name":"thread_name","args":{{"name":"stall {number}"}}}}"#
        ))?;
        let (start, length) =
            (ExactMicros::from(gap.from), ExactMicros::from(gap.to.since(gap.from)));
        let (token, cause) = (gap.token, main_cause(&gap.split).name());
        self.event(format_args!(
            r#"{{"ph":"X","pid":{pid},"tid":{tid},"ts":{start},"dur":{length},"name":"request {request} waits for token {token}: {cause}","args":{{"request":{request},"token":{token},"cause":"{cause}","causes_ns":{{"#
        ))?;
        for (place, (cause, ns)) in gap.split.iter().filter(|(_, ns)| *ns > 0).enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(self.writer, r#"{comma}"{}":{ns}"#, cause.name())?;
        }
        self.writer.write_all(b"}}}")?;
        let log = outcome.log.as_deref().unwrap_or_default();
        for culprit in stall.culprits.iter().take(ARROWS) {
            let Some(at) = index.chunk_before(culprit.request, gap.to) else { continue };
            let lane = at.lane.index();
            let begun = log[lane].start(at.iteration);
            let (from, to) = (ExactMicros::from(begun), ExactMicros::from(begun.max(gap.from)));
            let thread = threads[lane][at.iteration.index()];
            let (id, by, cause) = (self.arrows, culprit.request, culprit.cause.name());
            self.arrows += 1;
            self.event(format_args!(
                r#"{{"ph":"s","pid":{pid},"tid":{thread},"ts":{from},"id":{id},"cat":"culprit","name":"{cause}","args":{{"culprit":{by},"victim":{request},"ns":{}}}}}"#,
                culprit.ns
            ))?;
            self.event(format_args!(
                r#"{{"ph":"f","bp":"e","pid":{pid},"tid":{tid},"ts":{to},"id":{id},"cat":"culprit","name":"{cause}"}}"#
            ))?;
        }
        Ok(())
    }

    fn iteration(&mut self, pid: usize, tid: usize, iteration: &Iteration<'_>) -> io::Result<()> {
        let kind = match (iteration.chunks.is_empty(), iteration.decodes) {
            (true, _) => "decode",
            (false, 0) => "prefill",
            (false, _) => "mixed",
        };
        let start = ExactMicros::from(iteration.start);
        let length = ExactMicros::from(iteration.end.since(iteration.start));
        let batch = iteration.chunks.len() as u64 + u64::from(iteration.decodes);
        let Iteration { decodes, decode_kv_tokens, kv_used, .. } = iteration;
        self.event(format_args!(
            r#"{{"ph":"X","pid":{pid},"tid":{tid},"ts":{start},"dur":{length},"name":"{kind}","args":{{"batch":{batch},"decodes":{decodes},"decode_kv_tokens":{decode_kv_tokens},"kv_blocks":{kv_used},"#
        ))?;
        if iteration.drafts != Drafts::NONE {
            let Drafts { verified, accepted, next, .. } = iteration.drafts;
            write!(
                self.writer,
                r#""drafts":{{"verified":{verified},"accepted":{accepted},"next":{next}}},"#
            )?;
        }
        self.writer.write_all(br#""chunks":["#)?;
        for (index, chunk) in iteration.chunks.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(
                self.writer,
                r#"{comma}{{"request":{},"context":{},"tokens":{}}}"#,
                chunk.request, chunk.context, chunk.tokens
            )?;
        }
        self.writer.write_all(b"]")
    }

    fn counters(
        &mut self,
        pid: usize,
        (replica, lane): (usize, Option<usize>),
        iteration: &Iteration<'_>,
    ) -> io::Result<()> {
        let ts = ExactMicros::from(iteration.start);
        let Iteration { running, waiting, kv_used, .. } = iteration;
        // Seats are a lane's, memory is the replica's.
        let lane = lane.map_or(String::new(), |lane| format!(" lane {lane}"));
        self.event(format_args!(
            r#"{{"ph":"C","pid":{pid},"ts":{ts},"name":"replica {replica}{lane} requests","args":{{"running":{running},"waiting":{waiting}}}}}"#
        ))?;
        self.event(format_args!(
            r#"{{"ph":"C","pid":{pid},"ts":{ts},"name":"replica {replica} KV blocks","args":{{"used":{kv_used}}}}}"#
        ))
    }

    fn requests(&mut self, pid: usize, outcome: &Outcome) -> io::Result<()> {
        let trace = &outcome.trace;
        for (id, row) in trace.requests.iter().enumerate() {
            let last = trace.token_times(row).last();
            let known = |time: Time| if time == Time::NEVER { trace.end } else { time };
            let scheduled = trace.scheduled(row).unwrap_or(trace.end);
            let stages = [
                ("waiting", row.arrival, scheduled),
                ("prefill", scheduled, known(row.first_token)),
                ("decode", known(row.first_token), last.unwrap_or(trace.end)),
            ];
            for (stage, from, to) in stages {
                if from >= to {
                    continue;
                }
                for (phase, time) in [("b", from), ("e", to)] {
                    let ts = ExactMicros::from(time);
                    self.event(format_args!(
                        r#"{{"ph":"{phase}","pid":{pid},"tid":0,"cat":"request {id}","id":{id},"ts":{ts},"name":"{stage}","args":{{"request":{id},"prompt_tokens":{},"tokens":{}}}}}"#,
                        row.prompt_tokens, row.tokens
                    ))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::fixture;

    fn events(outcome: &Outcome) -> Vec<serde_json::Value> {
        let mut timeline = Timeline::new(Vec::new()).expect("in memory");
        timeline.run("sarathi(chunk_size=512)", outcome, None).expect("in memory");
        let bytes = timeline.finish().expect("in memory");
        let value: serde_json::Value = serde_json::from_slice(&bytes).expect("valid JSON");
        value["traceEvents"].as_array().expect("a list").clone()
    }

    #[test]
    fn a_bar_an_iteration_named_by_kind() {
        let outcome = fixture::outcome();
        let events = events(&outcome);
        let bars: Vec<_> = events.iter().filter(|e| e["ph"] == "X").collect();
        let kinds: Vec<_> = bars.iter().map(|e| e["name"].as_str().expect("a name")).collect();
        assert_eq!(kinds, ["prefill", "mixed", "decode", "decode"]);
        assert_eq!(bars[0]["ts"], 0.0);
        assert_eq!(bars[0]["dur"], 10_000.0);
        assert_eq!(bars[1]["args"]["chunks"][0]["request"], 1);
        assert_eq!(bars[1]["args"]["batch"], 2);
        assert_eq!(events.iter().filter(|e| e["ph"] == "C").count(), 8);
        let begun = events.iter().filter(|e| e["ph"] == "b").count();
        assert_eq!(begun, events.iter().filter(|e| e["ph"] == "e").count());
        assert!(begun > 0);
    }

    #[test]
    fn overlapping_iterations_get_threads_of_their_own() {
        let mut outcome = fixture::outcome();
        let log = outcome.log.as_mut().expect("kept");
        let mut overlapping = Log::default();
        for (place, iteration) in log[0].iter().enumerate() {
            let start = if place == 1 { Time::from_nanos(5_000_000) } else { iteration.start };
            overlapping.push(&Iteration { start, ..iteration });
        }
        log[0] = overlapping;
        let events = events(&outcome);
        let threads: std::collections::BTreeSet<u64> = events
            .iter()
            .filter(|e| e["ph"] == "X")
            .map(|e| e["tid"].as_u64().expect("a number"))
            .collect();
        assert_eq!(threads.len(), 2);
    }

    #[test]
    fn without_a_log_the_file_is_still_valid() {
        let outcome = Outcome { log: None, ..fixture::outcome() };
        assert!(events(&outcome).iter().all(|e| e["ph"] != "X"));
        let empty = Timeline::new(Vec::new()).expect("in memory").finish().expect("in memory");
        serde_json::from_slice::<serde_json::Value>(&empty).expect("valid JSON");
    }
}
