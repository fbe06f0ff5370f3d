//! The worst stalls of runs as a table. Requests are those of the [request file](super::requests), tokens
//! and iterations those of [`crate::trace::columns`].

use rayon::prelude::*;

use crate::explain::{Cause, Stall, main_cause, worst};
use crate::runner::Indexed;
use crate::trace::columns::{labels, place};
use crate::trace::table::{TableColumn, TableValues};

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
    let small = |name, of: &dyn Fn(&Stall) -> u32| {
        TableColumn::new(name, TableValues::Small(all().map(of).collect()))
    };
    let seconds = |name, of: &dyn Fn(&Stall) -> f64| {
        TableColumn::new(name, TableValues::Numbers(all().map(of).collect()))
    };
    let mut names = Vec::new();
    let causes =
        all().map(|stall| place(&mut names, main_cause(&stall.gap.split).name())).collect();
    let labelled = runs.iter().zip(&found);
    let labelled = labelled.map(|(run, stalls)| (run.output.result.label.as_str(), stalls.len()));
    let first = |stall: &Stall| stall.culprits.first().map(|one| one.request.0);
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
