//! Tables of runs in memory: tokens and iterations, column by column.

use rayon::prelude::*;

use super::table::{TableColumn, TableValues};
use super::{Log, TokenTrace};
use crate::ids::LaneId;
use crate::time::Time;

/// A run whose tokens and iterations are put into tables.
#[derive(Clone, Copy)]
pub struct TabledRun<'r> {
    /// Its label.
    pub label: &'r str,
    /// Its tokens' times.
    pub trace: &'r TokenTrace,
    /// Its iterations, lane by lane, where they were kept.
    pub log: Option<&'r [Log]>,
}

/// The column `scheduler`: the label of each run, as often as it has rows.
pub fn labels<'l>(runs: impl Iterator<Item = (&'l str, usize)>) -> TableColumn {
    let (mut names, mut rows) = (Vec::new(), Vec::new());
    for ((label, count), place) in runs.zip(0_i16..) {
        names.push(label.to_owned());
        rows.resize(rows.len() + count, place);
    }
    TableColumn::new("scheduler", TableValues::Names { names, rows })
}

/// A row for each output token: `scheduler`, `request` (its index in order of arrival), `index` (0 for
/// the first token), `time_s` (when it was emitted), `gap_s` (since the token before; of a first token
/// since the arrival).
pub fn tokens(runs: &[TabledRun<'_>]) -> Vec<TableColumn> {
    let traces = || runs.iter().map(|run| run.trace);
    let rows = || traces().flat_map(|trace| trace.requests.iter().map(move |row| (trace, row)));
    let counts: Vec<usize> =
        traces().map(|trace| trace.requests.iter().map(|row| row.tokens as usize).sum()).collect();
    let total = counts.iter().sum();
    let small = |name, fill: &dyn Fn(&mut Vec<u32>)| {
        let mut values = Vec::with_capacity(total);
        fill(&mut values);
        TableColumn::new(name, TableValues::Small(values))
    };
    let numbers = |name, fill: &dyn Fn(&mut Vec<f64>)| {
        let mut values = Vec::with_capacity(total);
        fill(&mut values);
        TableColumn::new(name, TableValues::Numbers(values))
    };
    (0..5)
        .into_par_iter()
        .map(|column| match column {
            0 => labels(runs.iter().map(|run| run.label).zip(counts.clone())),
            1 => small("request", &|values| {
                for trace in traces() {
                    for (row, request) in trace.requests.iter().zip(0_u32..) {
                        values.extend(std::iter::repeat_n(request, row.tokens as usize));
                    }
                }
            }),
            2 => small("index", &|values| rows().for_each(|(_, row)| values.extend(0..row.tokens))),
            3 => numbers("time_s", &|values| {
                for (trace, row) in rows() {
                    values.extend(trace.token_times(row).map(Time::as_secs_f64));
                }
            }),
            _ => numbers("gap_s", &|values| {
                for (trace, row) in rows() {
                    let mut before = row.arrival;
                    values.extend(trace.token_times(row).map(|at| {
                        let gap = at.since(before);
                        before = at;
                        gap.as_secs_f64()
                    }));
                }
            }),
        })
        .collect()
}

/// A row for each iteration: `scheduler`, `replica`, `lane`, `iteration` (its number in the lane),
/// `decided_s`, `start_s`, `end_s`, `free_s` (when the next could begin), `decodes` (requests),
/// `decode_kv_tokens` (KV entries that they read), `prefill_tokens`, `chunks`, `preempted` (requests),
/// `kv_used` (blocks), `waiting` and `running` (requests), `held` (why the queue's head was left
/// waiting), `drafts_verified`, `drafts_accepted`. Runs without a log have no rows.
pub fn iterations(runs: &[TabledRun<'_>]) -> Vec<TableColumn> {
    let count =
        |run: &TabledRun<'_>| -> usize { run.log.iter().copied().flatten().map(Log::len).sum() };
    let total: usize = runs.iter().map(&count).sum();
    let small = || Vec::<u32>::with_capacity(total);
    let seconds = || Vec::<f64>::with_capacity(total);
    let (mut replica, mut lane, mut number) = (small(), small(), small());
    let (mut decided, mut start, mut end, mut free) = (seconds(), seconds(), seconds(), seconds());
    let (mut decodes, mut prefill, mut chunks, mut preempted) =
        (small(), small(), small(), small());
    let (mut kv_used, mut waiting, mut running) = (small(), small(), small());
    let (mut verified, mut accepted) = (small(), small());
    let mut kv_tokens = Vec::<u64>::with_capacity(total);
    let (mut reasons, mut held): (Vec<String>, Vec<i16>) = (Vec::new(), Vec::new());
    for run in runs {
        for (id, log) in run.log.iter().copied().flatten().enumerate() {
            let of = run.trace.lane(LaneId::at(id));
            for (one, at) in log.iter().zip(0_u32..) {
                replica.push(of.replica.0);
                lane.push(of.part.map_or(0, |part| part.index() as u32));
                number.push(at);
                decided.push(one.decided.as_secs_f64());
                start.push(one.start.as_secs_f64());
                end.push(one.end.as_secs_f64());
                free.push(one.free.as_secs_f64());
                decodes.push(one.decodes);
                kv_tokens.push(one.decode_kv_tokens);
                prefill.push(one.chunks.iter().map(|chunk| chunk.tokens).sum());
                chunks.push(one.chunks.len() as u32);
                preempted.push(one.preempted.len() as u32);
                kv_used.push(one.kv_used);
                waiting.push(one.waiting);
                running.push(one.running);
                verified.push(one.drafts.verified);
                accepted.push(one.drafts.accepted);
                held.push(one.held.map_or(-1, |held| place(&mut reasons, held.name())));
            }
        }
    }
    let known: Vec<bool> = held.iter().map(|&place| place >= 0).collect();
    held.iter_mut().for_each(|place| *place = (*place).max(0));
    let small = |name, values| TableColumn::new(name, TableValues::Small(values));
    let seconds = |name, values| TableColumn::new(name, TableValues::Numbers(values));
    vec![
        labels(runs.iter().map(|run| (run.label, count(run)))),
        small("replica", replica),
        small("lane", lane),
        small("iteration", number),
        seconds("decided_s", decided),
        seconds("start_s", start),
        seconds("end_s", end),
        seconds("free_s", free),
        small("decodes", decodes),
        TableColumn::new("decode_kv_tokens", TableValues::Counts(kv_tokens)),
        small("prefill_tokens", prefill),
        small("chunks", chunks),
        small("preempted", preempted),
        small("kv_used", kv_used),
        small("waiting", waiting),
        small("running", running),
        TableColumn::known("held", TableValues::Names { names: reasons, rows: held }, known),
        small("drafts_verified", verified),
        small("drafts_accepted", accepted),
    ]
}

/// The place of a name among those there are, which it joins.
pub fn place(names: &mut Vec<String>, name: &str) -> i16 {
    let at = names.iter().position(|one| one == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    i16::try_from(at).expect("few names")
}
