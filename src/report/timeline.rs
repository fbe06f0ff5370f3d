//! The timeline: Chrome's trace event format, which Perfetto and `chrome://tracing` open.
//!
//! One process a scheduler, one thread a lane (a replica has one, or with pipeline parallelism one a
//! stage), one bar an iteration, named by its kind
//! (`prefill`, `mixed`, `decode`), with counters for requests and KV blocks beneath. Iterations of
//! one lane that overlap in time get further threads. In small runs each
//! request has a track of its own: waiting, prefill, decode.
//!
//! Format: "Trace Event Format", Google, 2016; `ts` and `dur` in microseconds.

use std::io::{self, Write};

use crate::sim::{Iteration, Outcome};
use crate::time::Time;
use crate::trace::decimal::ExactMicros;

/// Above this many requests in a run, single requests get no tracks.
pub const REQUEST_TRACKS_MAX: usize = 256;

/// Threads set aside for one replica.
const THREADS_PER_REPLICA: usize = 64;

/// Writes the events of one run after another, streaming.
pub struct Timeline<W: Write> {
    writer: W,
    runs: usize,
    first: bool,
}

impl<W: Write> Timeline<W> {
    /// Begins the file.
    ///
    /// # Errors
    /// When `writer` fails.
    pub fn new(mut writer: W) -> io::Result<Timeline<W>> {
        writer.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
        Ok(Timeline { writer, runs: 0, first: true })
    }

    /// Writes one scheduler's run. Without an iteration log there are request tracks only.
    ///
    /// # Errors
    /// When the writer underneath fails.
    pub fn run(&mut self, scheduler: &str, outcome: &Outcome) -> io::Result<()> {
        self.runs += 1;
        let pid = self.runs;
        let name = serde_json::to_string(scheduler)?;
        self.event(format_args!(
            r#"{{"ph":"M","pid":{pid},"tid":0,"name":"process_name","args":{{"name":{name}}}}}"#
        ))?;
        let lanes = outcome.lanes_per_replica.max(1) as usize;
        for (index, iterations) in outcome.log.iter().flatten().enumerate() {
            self.lane(pid, index / lanes, (lanes > 1).then_some(index % lanes), iterations)?;
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

    /// `lane` where a replica has several.
    fn lane(
        &mut self,
        pid: usize,
        replica: usize,
        lane: Option<usize>,
        iterations: &[Iteration],
    ) -> io::Result<()> {
        let first = lane.unwrap_or(0);
        // When the last bar of each thread ends: a bar goes to the first thread that is free.
        let mut threads: Vec<Time> = Vec::new();
        for iteration in iterations {
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
                    r#"{{"ph":"M","pid":{pid},"tid":{tid},"name":"thread_name","args":{{"name":"replica {replica}{more}"}}}}"#
                ))?;
            }
            threads[thread] = iteration.end;
            self.iteration(pid, tid, iteration)?;
            self.counters(pid, replica, iteration)?;
        }
        Ok(())
    }

    fn iteration(&mut self, pid: usize, tid: usize, iteration: &Iteration) -> io::Result<()> {
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
            r#"{{"ph":"X","pid":{pid},"tid":{tid},"ts":{start},"dur":{length},"name":"{kind}","args":{{"batch":{batch},"decodes":{decodes},"decode_kv_tokens":{decode_kv_tokens},"kv_blocks":{kv_used},"chunks":["#
        ))?;
        for (index, chunk) in iteration.chunks.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(
                self.writer,
                r#"{comma}{{"request":{},"context":{},"tokens":{}}}"#,
                chunk.request, chunk.context, chunk.tokens
            )?;
        }
        self.writer.write_all(b"]}}")
    }

    fn counters(&mut self, pid: usize, replica: usize, iteration: &Iteration) -> io::Result<()> {
        let ts = ExactMicros::from(iteration.start);
        let Iteration { running, waiting, kv_used, .. } = iteration;
        self.event(format_args!(
            r#"{{"ph":"C","pid":{pid},"ts":{ts},"name":"replica {replica} requests","args":{{"running":{running},"waiting":{waiting}}}}}"#
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
            let stages = [
                ("waiting", row.arrival, known(row.scheduled)),
                ("prefill", known(row.scheduled), known(row.first_token)),
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
    use crate::report::fixture;

    fn events(outcome: &Outcome) -> Vec<serde_json::Value> {
        let mut timeline = Timeline::new(Vec::new()).expect("in memory");
        timeline.run("sarathi(chunk_size=512)", outcome).expect("in memory");
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
        log[0][1].start = Time::from_nanos(5_000_000);
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
