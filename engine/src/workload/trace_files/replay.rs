//! From the rows of a trace to the requests of a run.

use std::sync::Arc;

use crate::content::{Parent, Turn};
use crate::request::{Request, RequestId};
use crate::time::Time;
use crate::workload::arrivals::{ArrivalTimes, LATEST_ARRIVAL, end_of};
use crate::workload::classes::{Classes, UNNAMED_CLASS};
use crate::workload::recipe::{Declaration, prefixes};
use crate::workload::{
    Amount, Arrivals, Limits, TraceSpec, Warning, Workload, WorkloadError, WorkloadSpec,
};

use super::servegen::Drawn;
use super::table::{Row, Table};
use super::{FILES, load, no_file, warn};

/// Reads the trace of a description into an empty workload.
///
/// Arrivals count from the earliest; rows out of order are sorted, those of one instant keeping
/// their order. The description's own arrivals, where it has any, go to the rows in the order of the
/// file; with a closed loop every row arrives at 0, for the loop to place.
pub(crate) fn read(
    trace: &TraceSpec,
    spec: &WorkloadSpec,
    seed: u64,
    limits: Limits,
    workload: &mut Workload,
    warnings: &mut Vec<Warning>,
) -> Result<(), WorkloadError> {
    if !FILES {
        return Err(no_file(&trace.file));
    }
    let until_s = spec.amount.duration.map(|span| span.as_secs_f64() * trace.time_scale);
    let drawn = Drawn { seed, until_s };
    let mut table = load(&trace.file, trace.format, limits.kv_block_tokens, Some(drawn))?;
    let mut rows = std::mem::take(&mut table.rows);
    workload.block_tokens = table.block_tokens.unwrap_or(limits.kv_block_tokens);
    if let Some(asked) = spec.amount.requests.filter(|&asked| rows.len() < asked as usize) {
        let has = rows.len();
        table
            .notes
            .push(format!("it has {has} requests, and `workload.requests` asks for {asked}"));
    }
    if let Some(arrivals) = &trace.arrivals {
        if table.has_arrivals {
            table.notes.push("its arrival times give way to the scenario's".to_owned());
        }
        workload.nominal_rate_per_s = draw_arrivals(&mut rows, arrivals, spec.amount, seed)?;
    } else if table.has_arrivals {
        let unsorted = sort_by_arrival(&mut rows);
        if unsorted > 0 {
            table.notes.push(format!(
                "rows that arrive before a row above them: {unsorted}, so all were sorted by arrival"
            ));
        }
        count_from_first(&mut rows, trace)?;
        cut(&mut rows, spec.amount);
    } else {
        return Err(WorkloadError::content(
            &trace.file,
            None,
            format!(
                "expected arrival times (`{}`), found none",
                table.arrival_names.join("` or `")
            ),
        )
        .with_help("give `trace` an `arrivals`, or use the file as `lengths: {file: ...}`"));
    }
    make_requests(rows, &mut table, spec, seed, limits, workload, warnings)?;
    workload.block_ids = Arc::new(table.block_ids);
    workload.ids_cover_answers = table.ids_cover_answers;
    if let Some(prefixes) = prefixes(spec, seed, limits, warnings)? {
        if !workload.block_ids.is_empty() {
            return Err(WorkloadError::spec("prefix_groups", "the trace has block ids of its own")
                .with_help("leave out `prefix_groups`, or take the ids out of the trace"));
        }
        let keyed = (0..).zip(&workload.requests);
        workload.blocks = keyed.map(|(key, r)| prefixes.draw(key, r.prompt_tokens)).collect();
        workload.block_ids = prefixes.block_ids;
    }
    warn(&trace.file, table.notes, warnings);
    Ok(())
}

/// Gives the rows the arrivals of a process, and drops those that get none. The nominal rate.
fn draw_arrivals(
    rows: &mut Vec<Row>,
    arrivals: &Arrivals,
    amount: Amount,
    seed: u64,
) -> Result<Option<f64>, WorkloadError> {
    if matches!(arrivals, Arrivals::ClosedLoop { .. }) {
        rows.iter_mut().for_each(|row| row.arrival_ns = 0);
        return Ok(None);
    }
    let mut times = ArrivalTimes::new(arrivals, amount, seed, Some(rows.len() as u32))?;
    let mut arrived = 0;
    while let Some(time) = times.next()? {
        rows[arrived].arrival_ns = time.as_nanos();
        arrived += 1;
    }
    rows.truncate(arrived);
    Ok(times.nominal_rate_per_s())
}

/// Sorts by arrival; how many rows came before one above them.
fn sort_by_arrival(rows: &mut [Row]) -> u64 {
    let (mut latest, mut unsorted) = (0, 0);
    for row in rows.iter() {
        unsorted += u64::from(row.arrival_ns < latest);
        latest = latest.max(row.arrival_ns);
    }
    if unsorted > 0 {
        rows.sort_by_key(|row| row.arrival_ns);
    }
    unsorted
}

/// Counts arrivals from the first row's and divides them by the trace's time scale.
fn count_from_first(rows: &mut [Row], trace: &TraceSpec) -> Result<(), WorkloadError> {
    if !(trace.time_scale > 0.0 && trace.time_scale.is_finite()) {
        return Err(WorkloadError::spec(
            "trace.time_scale",
            format!("expected a number above 0, found {}", trace.time_scale),
        ));
    }
    let first = rows.first().map_or(0, |row| row.arrival_ns);
    for row in rows {
        row.arrival_ns -= first;
        if trace.time_scale != 1.0 {
            // Beyond 104 days a double no longer tells single nanoseconds apart.
            row.arrival_ns = libm::rint(row.arrival_ns as f64 / trace.time_scale) as u64;
        }
        if row.arrival_ns > LATEST_ARRIVAL.as_nanos() {
            return Err(WorkloadError::content(
                &trace.file,
                None,
                "a request arrives more than 146 years after the first",
            )
            .with_help("are the times in the unit of the format, and is `time_scale` right?"));
        }
    }
    Ok(())
}

fn cut(rows: &mut Vec<Row>, amount: Amount) {
    let end = end_of(amount.duration).as_nanos();
    rows.truncate(rows.partition_point(|row| row.arrival_ns < end));
    rows.truncate(amount.requests.map_or(usize::MAX, |requests| requests as usize));
}

fn make_requests(
    rows: Vec<Row>,
    table: &mut Table,
    spec: &WorkloadSpec,
    seed: u64,
    limits: Limits,
    workload: &mut Workload,
    warnings: &mut Vec<Warning>,
) -> Result<(), WorkloadError> {
    let declaration = Declaration::new(spec.max_tokens, limits)?;
    let named = !table.class_names.is_empty();
    let mut classes = if named {
        Classes::known(&spec.classes, seed)?
    } else {
        Classes::new(&spec.classes, seed)?
    };
    let mut class_of_name = Vec::with_capacity(table.class_names.len());
    for name in &table.class_names {
        if !spec.classes.is_empty() && !spec.classes.iter().any(|class| class.name == *name) {
            table.notes.push(format!("the class `{name}` is not one of the scenario's"));
        }
        class_of_name.push(classes.named(name));
    }
    let of_the_rest = match named && rows.iter().any(|row| row.class.is_none()) {
        true => Some(classes.named(UNNAMED_CLASS)),
        false => None,
    };
    if spec.classes.iter().any(|class| class.lengths.is_some()) {
        warnings.push(Warning {
            path: None,
            message: "lengths come from the trace: those of `classes` are not used".to_owned(),
        });
    }
    if table.has_sessions() {
        workload.sessions = rows.iter().map(|row| row.session).collect();
    }
    if !table.block_ids.is_empty() {
        workload.blocks = rows.iter().map(|row| row.blocks).collect();
    }
    // What a row with ids of its own has in common with others, the ids say.
    let has_turns = table.sessions_are_conversations && table.has_sessions();
    let speaks: Vec<Option<u32>> = match has_turns {
        true => rows.iter().map(|row| row.session.filter(|_| row.blocks.len == 0)).collect(),
        false => Vec::new(),
    };
    workload.requests = rows
        .into_iter()
        .enumerate()
        .map(|(key, row)| {
            let class = match (row.class, of_the_rest) {
                (Some(index), _) => class_of_name[usize::from(index)],
                (None, Some(class)) => class,
                (None, None) => classes.draw(key as u64),
            };
            let (output_tokens, max_tokens) =
                declaration.declare(row.prompt_tokens, row.output_tokens, row.max_tokens);
            Request {
                arrival: Time::from_nanos(row.arrival_ns),
                prompt_tokens: row.prompt_tokens,
                output_tokens,
                max_tokens,
                priority: row.priority.unwrap_or_else(|| classes.priority(class)),
                class,
            }
        })
        .collect();
    if let Some(found) = turns(&workload.requests, &speaks) {
        let begin = found.iter().filter(|turn| turn.parent.is_some()).count();
        table.notes.push(format!(
            "{begin} rows are long enough to begin with the row of their session before them, prompt \
             and answer, and are taken to do so"
        ));
        workload.turns = found;
    }
    workload.names_classes = named;
    workload.classes = classes.names;
    Ok(())
}

/// The places of requests in their conversations, where any goes on from one before it: a turn has
/// the turn before in its prompt, and the answer to it, if it is long enough for both. `speaks` are the
/// sessions of those that are turns.
fn turns(requests: &[Request], speaks: &[Option<u32>]) -> Option<Vec<Turn>> {
    let sessions = speaks.iter().flatten().max().map_or(0, |&last| last as usize + 1);
    let mut before: Vec<Option<RequestId>> = vec![None; sessions];
    let mut turns = vec![Turn::default(); speaks.len()];
    let mut some = false;
    for (place, (request, session)) in requests.iter().zip(speaks).enumerate() {
        let &Some(session) = session else { continue };
        let last = before[session as usize].replace(RequestId::at(place));
        let Some(last) = last else { continue };
        let said = &requests[last.index()];
        let Some(tokens) = said.prompt_tokens.checked_add(said.output_tokens) else { continue };
        if tokens <= request.prompt_tokens {
            turns[place].parent = Some(Parent { request: last, tokens });
            turns[last.index()].followed = true;
            some = true;
        }
    }
    some.then_some(turns)
}
