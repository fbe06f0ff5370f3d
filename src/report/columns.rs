//! Tables of runs in memory: tokens, iterations and stalls, column by column. Requests are those of
//! the [request file](super::requests).

use rayon::prelude::*;

use crate::explain::{Cause, worst};
use crate::runner::{Indexed, SchedulerOutput};
use crate::time::Time;
use crate::trace::table::{TableColumn, TableValues};

/// Rows of names: the label of each run, as often as it has rows.
fn labels<'l>(runs: impl Iterator<Item = (&'l str, usize)>) -> TableColumn {
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
pub fn tokens(runs: &[&SchedulerOutput]) -> Vec<TableColumn> {
    let traces = || runs.iter().map(|run| &run.outcome.trace);
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
            0 => labels(runs.iter().map(|run| run.result.label.as_str()).zip(counts.clone())),
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
pub fn iterations(runs: &[&SchedulerOutput]) -> Vec<TableColumn> {
    let logs = |run: &SchedulerOutput| run.outcome.log.as_ref().map_or(0, Vec::len);
    let count = |run: &SchedulerOutput| -> usize {
        run.outcome.log.iter().flatten().map(|log| log.len()).sum()
    };
    let total: usize = runs.iter().map(|run| count(run)).sum();
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
        let trace = &run.outcome.trace;
        for id in 0..logs(run) {
            let log = &run.outcome.log.as_ref().expect("counted")[id];
            let of = trace.lane(crate::ids::LaneId::at(id));
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
        labels(runs.iter().map(|run| (run.result.label.as_str(), count(run)))),
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
fn place(names: &mut Vec<String>, name: &str) -> i16 {
    let at = names.iter().position(|one| one == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    i16::try_from(at).expect("few names")
}

/// A row for each of a run's worst stalls, at most `top` a run, worst first: `scheduler`, `request`,
/// `token`, `from_s`, `to_s`, `gap_s`, `beyond_s` (beyond its deadline's pace), `hit` (requests of the
/// lane with a stall at the same time), `main_cause`, `culprit` (the request that caused most of it),
/// and for each cause how long it took, as `no_seat_s`. Runs without a log have no rows.
pub fn stalls(runs: &[Indexed<'_>], top: usize) -> Vec<TableColumn> {
    let found: Vec<_> = runs
        .par_iter()
        .map(|run| match run.output.outcome.log {
            Some(_) => worst(run.index(), &run.output.judged_by, top),
            None => Vec::new(),
        })
        .collect();
    let all = || found.iter().flatten();
    let small = |name, of: &dyn Fn(&crate::explain::Stall) -> u32| {
        TableColumn::new(name, TableValues::Small(all().map(of).collect()))
    };
    let seconds = |name, of: &dyn Fn(&crate::explain::Stall) -> f64| {
        TableColumn::new(name, TableValues::Numbers(all().map(of).collect()))
    };
    let mut names = Vec::new();
    let causes = all()
        .map(|stall| place(&mut names, crate::explain::main_cause(&stall.gap.split).name()))
        .collect();
    let labelled = runs.iter().zip(&found);
    let labelled = labelled.map(|(run, stalls)| (run.output.result.label.as_str(), stalls.len()));
    let first = |stall: &crate::explain::Stall| stall.culprits.first().map(|one| one.request.0);
    let mut columns = vec![
        labels(labelled),
        small("request", &|stall| stall.request.0),
        small("token", &|stall| stall.gap.token),
        seconds("from_s", &|stall| stall.gap.from.as_secs_f64()),
        seconds("to_s", &|stall| stall.gap.to.as_secs_f64()),
        seconds("gap_s", &|stall| stall.gap.to.since(stall.gap.from).as_secs_f64()),
        seconds("beyond_s", &|stall| stall.beyond.as_secs_f64()),
        small("hit", &|stall| stall.hit),
        TableColumn::new("main_cause", TableValues::Names { names, rows: causes }),
        TableColumn::known(
            "culprit",
            TableValues::Small(all().map(|stall| first(stall).unwrap_or(0)).collect()),
            all().map(|stall| first(stall).is_some()).collect(),
        ),
    ];
    for &cause in Cause::ALL {
        let values = all().map(|stall| stall.gap.split[cause] as f64 / 1e9).collect();
        columns.push(TableColumn::new(cause_column(cause), TableValues::Numbers(values)));
    }
    columns
}

/// The column of a cause: its name with the unit.
fn cause_column(cause: Cause) -> &'static str {
    static NAMES: std::sync::LazyLock<Vec<(Cause, String)>> = std::sync::LazyLock::new(|| {
        Cause::ALL.iter().map(|&cause| (cause, format!("{}_s", cause.name()))).collect()
    });
    let found = NAMES.iter().find(|(one, _)| *one == cause);
    found.map_or("", |(_, name)| name)
}
