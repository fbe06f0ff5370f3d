//! The comparison table: metrics as rows, schedulers side by side as columns.

use std::borrow::Cow;

use owo_colors::Style;

use crate::ids::ReplicaId;
use crate::metrics::{Bounds, Distribution, Fluidity, Latency, RequestCounts, Summary};
use crate::promise::{KEPT_SHARE, Term};
use crate::report::best::{Better, best};
use crate::report::known::Known;
use crate::report::table::{Align, Cell, lay_out, width, wrap};
use crate::result::features::all_comparable;
use crate::result::{RouteCounts, RunResult, SessionsResult};
use crate::shown::{TimeUnit, count, percent, three_digits};

/// Marks the best value of a row.
pub const BEST: &str = "*";

/// Widest that a scheduler's column grows for its label; longer labels break into lines.
const LABEL_WIDTH: usize = 26;

/// Most characters of a pool's name.
const POOL_NAME_WIDTH: usize = 20;

/// Most characters of a class's name.
const CLASS_NAME_WIDTH: usize = 20;

/// Stand for labels that are too long.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A row of figures.
struct Row {
    name: Cow<'static, str>,
    values: Vec<Option<Known>>,
    show: Show,
    better: Option<Better>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    /// Seconds; all of a row in the unit of its largest value.
    Time,
    /// A share of 1.
    Percent,
    /// A plain number with this unit.
    Number(&'static str),
    /// A count.
    Count,
    /// 1 is yes.
    YesNo,
}

/// The table for these runs, at most 100 columns wide. Where labels are too long to stand side by
/// side, letters stand for them; where even that is too wide, the table breaks into blocks. Styles
/// are in the text; strip them where colour is not wanted.
pub fn table(runs: &[RunResult]) -> String {
    let rows = rows(runs);
    let name_width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let mut columns: Vec<Vec<Cell>> = runs.iter().map(|_| Vec::new()).collect();
    for row in &rows {
        for (column, cell) in columns.iter_mut().zip(cells(row)) {
            column.push(cell);
        }
    }
    let mut heads: Vec<Vec<String>> = runs.iter().map(|run| head(&run.label)).collect();
    let needs = |heads: &[Vec<String>], run: usize| {
        let values = columns[run].iter().map(|cell| cell.text.chars().count());
        let head = heads[run].iter().map(|line| line.chars().count() + 1);
        values.chain(head).max().unwrap_or(0)
    };
    let all: usize = (0..runs.len()).map(|run| 2 + needs(&heads, run)).sum();
    let mut blocks = Vec::new();
    if name_width + all > width() && runs.len() <= LETTERS.len() {
        let letters = || LETTERS.chars().map(String::from);
        let key = |(letter, run): (String, &RunResult)| format!("{letter}  {}\n", run.label);
        blocks.push(letters().zip(runs).map(key).collect());
        heads = letters().take(runs.len()).map(|letter| vec![letter]).collect();
    }
    let mut from = 0;
    while from < runs.len() {
        let mut to = from;
        let mut used = name_width;
        while to < runs.len() && (to == from || used + 2 + needs(&heads, to) <= width()) {
            used += 2 + needs(&heads, to);
            to += 1;
        }
        blocks.push(block(&rows, &columns, &heads, from..to));
        from = to;
    }
    blocks.join("\n")
}

fn block(
    rows: &[Row],
    columns: &[Vec<Cell>],
    heads: &[Vec<String>],
    range: std::ops::Range<usize>,
) -> String {
    let heads = &heads[range.clone()];
    let lines = heads.iter().map(Vec::len).max().unwrap_or(0);
    let mut cells = Vec::new();
    for line in 0..lines {
        let mut row = vec![Cell::from("")];
        for head in heads {
            // Short labels stand on the lowest line, next to their figures.
            let text = (line + head.len()).checked_sub(lines).map_or("", |l| head[l].as_str());
            // The mark's place stays free under a label.
            row.push(Cell { text: format!("{text} "), style: Style::new().bold() });
        }
        cells.push(row);
    }
    for (index, row) in rows.iter().enumerate() {
        let mut line = vec![Cell::from(row.name.as_ref())];
        line.extend(range.clone().map(|run| columns[run][index].clone()));
        cells.push(line);
    }
    let mut align = vec![Align::Left];
    align.resize(range.len() + 1, Align::Right);
    lay_out(&cells, &align)
}

/// A label broken at its commas and brackets into lines that fit a column.
fn head(label: &str) -> Vec<String> {
    let spaced = label.replace('(', " (").replace(',', ", ");
    wrap(&spaced, LABEL_WIDTH, "").lines().map(|line| line.replace(" (", "(")).collect()
}

/// The cells of a row, one for each run.
fn cells(row: &Row) -> Vec<Cell> {
    let shown = shown(row);
    let best = best(&row.values, &shown, row.better);
    let cell = |(text, best): (String, bool)| {
        let style = if best { Style::new().bold().green() } else { Style::new() };
        let mark = if best { BEST } else { " " };
        Cell { text: format!("{text}{mark}"), style }
    };
    shown.into_iter().zip(best).map(cell).collect()
}

/// The values of a row as they read.
fn shown(row: &Row) -> Vec<String> {
    let all = row.values.iter().flatten().flat_map(|known| [known.least, known.most]);
    let unit = TimeUnit::for_value(all.flatten().fold(0.0, f64::max));
    row.values.iter().map(|value| text(row.show, unit, *value)).collect()
}

fn text(show: Show, unit: TimeUnit, value: Option<Known>) -> String {
    let Some(value) = value else {
        return if show == Show::YesNo { "no verdict" } else { "-" }.to_owned();
    };
    let number = |value: f64| number(show, unit, value);
    let with_unit = |(number, unit): (String, &str)| match unit {
        "" => number,
        unit => format!("{number} {unit}"),
    };
    match (value.least, value.most) {
        (Some(least), Some(most)) => {
            let [low, high] = [number(least), number(most)];
            if low == high { with_unit(low) } else { format!("{} to {}", low.0, with_unit(high)) }
        }
        // No latency is less: that says nothing.
        (Some(0.0), None) => "unknown".to_owned(),
        (Some(least), None) => format!(">= {}", with_unit(number(least))),
        (None, Some(most)) => format!("<= {}", with_unit(number(most))),
        (None, None) => "-".to_owned(),
    }
}

/// A number and its unit; times of a row are all in one.
fn number(show: Show, unit: TimeUnit, value: f64) -> (String, &'static str) {
    match show {
        Show::Time => (unit.number(value), unit.name()),
        Show::Percent => (percent(value), ""),
        Show::Number(unit) => (three_digits(value), unit),
        Show::Count => (count(value as u64), ""),
        Show::YesNo => ((if value > 0.5 { "yes" } else { "no" }).to_owned(), ""),
    }
}

/// A row of the table for other layouts: its name, and each run's figure with whether it is the best.
pub struct FigureRow {
    /// What it is.
    pub name: Cow<'static, str>,
    /// A cell a run.
    pub cells: Vec<(String, bool)>,
}

/// The rows of the table.
pub fn figures(runs: &[RunResult]) -> Vec<FigureRow> {
    let of = |row: &Row| {
        let shown = shown(row);
        let best = best(&row.values, &shown, row.better);
        FigureRow { name: row.name.clone(), cells: shown.into_iter().zip(best).collect() }
    };
    rows(runs).iter().map(of).collect()
}

/// Names of pools in the order of their replicas.
fn pool_names(runs: &[RunResult]) -> Vec<String> {
    let mut pools: Vec<(ReplicaId, &String)> = Vec::new();
    for (name, pool) in runs.iter().filter_map(|run| run.pools.as_ref()).flatten() {
        if !pools.iter().any(|(_, other)| *other == name) {
            pools.push((pool.first_replica, name));
        }
    }
    pools.sort_unstable();
    pools.into_iter().map(|(_, name)| name.clone()).collect()
}

struct Rows<'a> {
    runs: &'a [RunResult],
    /// Whether the best of a row is marked.
    ranked: bool,
    rows: Vec<Row>,
}

impl Rows<'_> {
    fn add<K: Into<Known>>(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        show: Show,
        better: Option<Better>,
        value: impl Fn(&RunResult) -> Option<K>,
    ) {
        let known = |run: &RunResult| {
            let known: Known = value(run)?.into();
            let measured = run.measured.as_ref();
            let sound = measured.is_none_or(|measured| measured.contradictions.is_empty());
            Some(Known { sound: known.sound && sound, ..known })
        };
        let values = self.runs.iter().map(known).collect();
        let better = better.filter(|_| self.ranked);
        self.rows.push(Row { name: name.into(), values, show, better });
    }

    /// A row that is left out where no run has anything to show.
    fn add_if_any<K: Into<Known>>(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        show: Show,
        better: Option<Better>,
        value: impl Fn(&RunResult) -> Option<K>,
    ) {
        if self.runs.iter().any(|run| value(run).is_some_and(|value| !value.into().is_zero())) {
            self.add(name, show, better, value);
        }
    }

    /// The median and the P99 of a latency.
    fn times(&mut self, name: &str, latency: Latency) {
        let figures: [(&str, Figure); 2] = [("P50", |of| of.p50), ("P99", |of| of.p99)];
        for (quantile, figure) in figures {
            self.add(format!("{name} {quantile}"), Show::Time, Some(Better::Lower), |run| {
                Known::of_latency(&run.summary, latency, figure)
            });
        }
    }
}

type Figure = fn(&Distribution) -> Option<f64>;

/// Classes with rows of their own.
const CLASSES_SHOWN: usize = 12;

/// Names of the first classes, and how many more there are.
fn class_names(runs: &[RunResult]) -> (Vec<String>, usize) {
    let classes = runs.iter().filter_map(|run| run.classes.as_ref()).flat_map(|of| of.keys());
    let mut names: Vec<String> = classes.cloned().collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(CLASSES_SHOWN);
    names.truncate(CLASSES_SHOWN);
    (names, more)
}

/// What is known of the share of fluid requests.
fn fluid(summary: &Summary) -> Option<Known> {
    let fluidity = summary.fluidity.as_ref()?;
    let bounds = fluidity.bounds.and_then(|bounds| bounds.fluid_request_share);
    Known::or_within(fluidity.fluid_request_share, bounds)
}

/// What is known of the share of first tokens in time.
fn in_time(summary: &Summary) -> Option<Known> {
    Known::or_within(summary.ttft_in_time_share, summary.ttft_in_time_bounds)
}

fn fluid_tokens_per_s(run: &RunResult) -> Option<f64> {
    run.summary.fluidity.as_ref()?.fluid_tokens_per_s.filter(|rate| *rate != 0.0)
}

/// A figure as it stands, or as the bound that it is where a file tells of chunks. Where some chunks
/// are no token it is neither.
fn by_chunks(run: &RunResult, known: Known, bound: fn(Known) -> Known) -> Known {
    match &run.measured {
        Some(measured) if measured.granularity == "chunk" => match measured.extra_chunks {
            true => Known { sound: false, ..known },
            false => bound(known),
        },
        _ => known,
    }
}

/// The shares of requests that keep a promise for single requests: of all, then of each class and each pool
/// that has such a promise of its own.
fn promises(all: &mut Rows<'_>, runs: &[RunResult]) {
    let kept = |run: &'_ RunResult| {
        let terms = run.slo.terms.iter().filter(|term| term.metric == KEPT_SHARE);
        terms.map(|term| (term.class.clone(), term.pool.clone())).collect::<Vec<_>>()
    };
    let mut told = Vec::new();
    for whose in runs.iter().flat_map(kept) {
        if !told.contains(&whose) {
            told.push(whose);
        }
    }
    for whose in told.into_iter().take(CLASSES_SHOWN) {
        let (class, pool) = &whose;
        let shown = |name: &str| name.chars().take(CLASS_NAME_WIDTH).collect::<String>();
        let name: Cow<'static, str> = match (class, pool) {
            (Some(class), _) => format!("promise kept, {}", shown(class)).into(),
            (None, Some(pool)) => format!("promise kept, pool {}", shown(pool)).into(),
            (None, None) => "promise kept".into(),
        };
        all.add(name, Show::Percent, Some(Better::Higher), |run| {
            let same = |term: &&Term| {
                term.metric == KEPT_SHARE && (&term.class, &term.pool) == (class, pool)
            };
            let term = run.slo.terms.iter().find(same)?;
            let bounds = term.lower.zip(term.upper).map(|(lower, upper)| Bounds { lower, upper });
            Known::or_within(term.value, bounds)
        });
    }
}

fn rows(runs: &[RunResult]) -> Vec<Row> {
    use Better::{Higher, Lower};
    let mut all = Rows { runs, ranked: all_comparable(runs), rows: Vec::new() };
    all.add("SLO met", Show::YesNo, Some(Higher), |run| {
        run.slo.met.map(|met| f64::from(u8::from(met)))
    });
    promises(&mut all, runs);
    all.add("fluid requests", Show::Percent, Some(Higher), |run| fluid(&run.summary));
    if runs.iter().any(|run| in_time(&run.summary).is_some()) {
        let name = "first tokens in time";
        all.add(name, Show::Percent, Some(Higher), |run| in_time(&run.summary));
    }
    type Bounded = fn(&Fluidity) -> (Option<f64>, Option<Bounds>);
    let of_fluidity = |figure: Bounded| {
        move |run: &RunResult| {
            let (value, bounds) = run.summary.fluidity.as_ref().map(figure)?;
            Known::or_within(value, bounds)
        }
    };
    let index = Show::Number("");
    let p1: Bounded = |of| (of.index.p1, of.bounds.and_then(|bounds| bounds.index_p1));
    all.add("fluidity-index, worst 1 %", index, Some(Higher), of_fluidity(p1));
    let p50: Bounded = |of| (of.index.p50, of.bounds.and_then(|bounds| bounds.index_p50));
    all.add("fluidity-index, median", index, Some(Higher), of_fluidity(p50));
    let missed: Bounded =
        |of| (of.service_miss_rate, of.bounds.and_then(|bounds| bounds.service_miss_rate));
    all.add("deadlines missed", Show::Percent, Some(Lower), of_fluidity(missed));
    if runs.iter().any(|run| fluid_tokens_per_s(run).is_some()) {
        all.add("fluid tokens/s a user", Show::Number(""), Some(Higher), |run| {
            Some(by_chunks(run, fluid_tokens_per_s(run)?.into(), Known::no_less))
        });
    }
    all.times("TTFT", Latency::Ttft);
    let gaps =
        |run: &RunResult, figure: Figure| Known::of_latency(&run.summary, Latency::Tbt, figure);
    let quantiles: [(&str, Figure); 2] = [("TBT P50", |of| of.p50), ("TBT P99", |of| of.p99)];
    for (name, figure) in quantiles {
        all.add(name, Show::Time, Some(Lower), |run| {
            Some(by_chunks(run, gaps(run, figure)?, Known::no_more))
        });
    }
    all.add("TBT max", Show::Time, Some(Lower), |run| gaps(run, |of| of.max));
    all.times("TPOT", Latency::Tpot);
    all.times("end to end", Latency::E2e);
    all.times("scheduling delay", Latency::SchedulingDelay);
    all.add("output tokens/s", Show::Number(""), Some(Higher), |run| {
        run.summary.throughput.as_ref()?.output_tokens_per_s
    });
    let goodput = |run: &RunResult| {
        let goodput = run.summary.goodput.as_ref();
        let bounds = goodput.and_then(|good| good.bounds?.requests_per_s);
        Known::or_within(goodput.and_then(|good| good.requests_per_s), bounds)
    };
    all.add_if_any("goodput, requests/s", Show::Number(""), Some(Higher), goodput);
    all.add("completed", Show::Count, None, |run| Some(run.summary.requests.completed as f64));
    all.add_if_any("rejected", Show::Count, Some(Lower), |run| {
        Some(run.summary.requests.rejected as f64)
    });
    type Count = fn(&RequestCounts) -> u64;
    let ends: [(&str, Count); 5] = [
        ("failed", |of| of.failed),
        ("timed out", |of| of.timed_out),
        ("cancelled by the client", |of| of.cancelled),
        ("unfinished", |of| of.unfinished),
        ("  fluid or not is open", |of| of.censored),
    ];
    for (name, count) in ends {
        let better =
            Some(Lower).filter(|_| name != "cancelled by the client" && !name.starts_with(' '));
        all.add_if_any(name, Show::Count, better, |run| Some(count(&run.summary.requests) as f64));
    }
    // A run that was cut off ends early.
    let all_ended = runs.iter().all(|run| run.summary.requests.unfinished == 0);
    let shorter = Some(Lower).filter(|_| all_ended);
    all.add("makespan", Show::Time, shorter, |run| run.summary.duration_s);
    let (classes, more) = class_names(runs);
    for class in classes {
        let shown: String = class.chars().take(CLASS_NAME_WIDTH).collect();
        let of = |run: &RunResult| run.classes.as_ref()?.get(&class).cloned();
        let summary = |run: &RunResult| of(run).map(|class| class.summary);
        let known = |known: fn(&Summary) -> Option<Known>| {
            move |run: &RunResult| summary(run).as_ref().and_then(known)
        };
        all.add(format!("class {shown}, SLO met"), Show::YesNo, Some(Higher), |run| {
            of(run)?.slo.met.map(|met| f64::from(u8::from(met)))
        });
        all.add("  requests", Show::Count, None, |run| Some(summary(run)?.requests.offered as f64));
        all.add("  fluid requests", Show::Percent, Some(Higher), known(fluid));
        all.add("  first tokens in time", Show::Percent, Some(Higher), known(in_time));
        for (name, latency) in [("  TTFT P99", Latency::Ttft), ("  TBT P99", Latency::Tbt)] {
            all.add(name, Show::Time, Some(Lower), |run| {
                Known::of_latency(&summary(run)?, latency, |of| of.p99)
            });
        }
    }
    if more > 0 {
        all.add("more classes: see --format json", Show::Count, None, |_| Some(more as f64));
    }
    let share = |part: fn(&RunResult) -> Option<u64>| {
        move |run: &RunResult| {
            let all = run.iterations?.count;
            (all > 0).then_some(part(run)? as f64 / all as f64)
        }
    };
    if runs.iter().all(|run| run.measured.is_some()) {
        return all.rows;
    }
    all.add("iterations", Show::Count, None, |run| Some(run.iterations?.count as f64));
    all.add("  prefill only", Show::Percent, None, share(|r| Some(r.iterations?.prefill_only)));
    all.add("  mixed", Show::Percent, None, share(|r| Some(r.iterations?.mixed)));
    all.add("  decode only", Show::Percent, None, share(|r| Some(r.iterations?.decode_only)));
    all.add("mean batch", Show::Number(""), None, |run| run.iterations?.mean_batch);
    all.add("KV blocks, peak", Show::Percent, None, |run| {
        let kv = run.kv?;
        (kv.blocks > 0).then_some(kv.peak_used as f64 / kv.blocks as f64)
    });
    for pool in pool_names(runs) {
        let shown: String = pool.chars().take(POOL_NAME_WIDTH).collect();
        let of = |run: &RunResult| run.pools.as_ref()?.get(&pool).cloned();
        all.add(format!("pool {shown}, requests"), Show::Count, None, |run| {
            Some(of(run)?.requests as f64)
        });
        all.add("  GPUs busy", Show::Percent, None, |run| Some(of(run)?.gpu_utilization));
        all.add("  KV blocks, peak", Show::Percent, None, |run| {
            let kv = of(run)?.kv;
            (kv.blocks > 0).then_some(kv.peak_used as f64 / kv.blocks as f64)
        });
    }
    all.add_if_any("preemptions", Show::Count, Some(Lower), |run| Some(run.kv?.preemptions as f64));
    all.add_if_any("prefix hits, tokens", Show::Count, Some(Higher), |run| {
        Some(run.kv?.prefix_hit_tokens as f64)
    });
    all.add_if_any("prompt tokens found at first", Show::Count, Some(Higher), |run| {
        let cached = run.routing?.cached?;
        Some((cached.hit_share? * cached.prompt_tokens as f64).round())
    });
    all.add_if_any("  of all requests' prompts", Show::Percent, Some(Higher), |run| {
        run.routing?.cached?.hit_share
    });
    all.add_if_any("  another replica held", Show::Percent, Some(Lower), |run| {
        run.routing?.cached?.regret_share
    });
    all.add_if_any("routed by affinity", Show::Percent, None, |run| {
        let RouteCounts { affinity, balance, fallback, blind } = run.routing?.decisions;
        let all = affinity + balance + fallback + blind;
        (affinity > 0).then(|| affinity as f64 / all as f64)
    });
    all.add_if_any("most / mean outstanding", Show::Number("x"), Some(Lower), |run| {
        let routing = run.routing?;
        routing.cached.and(routing.outstanding_max_over_mean)
    });
    sessions(&mut all, runs);
    all.add_if_any("fairness (Jain)", Show::Number(""), Some(Higher), |run| {
        run.fairness?.jain_index
    });
    all.add_if_any("energy per token", Show::Number("J"), Some(Lower), |run| {
        run.energy?.joules_per_output_token
    });
    all.add_if_any("$ per M output tokens", Show::Number(""), Some(Lower), |run| {
        run.cost?.usd_per_million_output_tokens
    });
    all.rows
}

/// What sessions of several turns got, where there are some.
fn sessions(all: &mut Rows<'_>, runs: &[RunResult]) {
    use Better::{Higher, Lower};
    if runs.iter().all(|run| run.sessions.is_none()) {
        return;
    }
    let of = |run: &RunResult| run.sessions.as_deref().cloned();
    all.add("sessions, completed", Show::Count, None, |run| Some(of(run)?.completed as f64));
    all.add_if_any("  failed", Show::Count, Some(Lower), |run| Some(of(run)?.failed as f64));
    all.add("  at once, mean", Show::Number(""), None, |run| of(run)?.concurrent.mean);
    all.add("  prompt tokens found", Show::Percent, Some(Higher), |run| of(run)?.hit_share);
    let part = |part: fn(&SessionsResult) -> u64| {
        move |run: &RunResult| {
            let of = run.sessions.as_deref()?;
            (of.prompt_tokens > 0).then(|| part(of) as f64 / of.prompt_tokens as f64)
        }
    };
    all.add("    said in the session", Show::Percent, None, part(|of| of.hit_tokens.own_session));
    all.add(
        "    in the shared prefix",
        Show::Percent,
        None,
        part(|of| of.hit_tokens.shared_prefix),
    );
    all.add_if_any("    in other requests", Show::Percent, None, part(|of| of.hit_tokens.other));
    all.add_if_any("    brought from tiers", Show::Percent, None, part(|of| of.hit_tokens.tiers));
    all.add_if_any(
        "  gone from the cache",
        Show::Percent,
        Some(Lower),
        part(|of| of.missed_tokens.evicted),
    );
    all.add_if_any(
        "  left on another replica",
        Show::Percent,
        Some(Lower),
        part(|of| of.missed_tokens.other_replica),
    );
    all.add("  TTFT of first turns, P50", Show::Time, Some(Lower), |run| {
        of(run)?.by_turn.first()?.ttft_s.p50
    });
    all.add_if_any("  TTFT after tools, P50", Show::Time, Some(Lower), |run| {
        of(run)?.by_gap.get("tool")?.ttft_s.p50
    });
    all.add_if_any("  TTFT after users, P50", Show::Time, Some(Lower), |run| {
        of(run)?.by_gap.get("user")?.ttft_s.p50
    });
    all.add("  wait a session, P50", Show::Time, Some(Lower), |run| of(run)?.user_wait_s.p50);
    all.add("  whole session, P50", Show::Time, Some(Lower), |run| of(run)?.completion_s.p50);
    all.add("  context over KV, peak", Show::Percent, None, |run| {
        let of = of(run)?;
        Some(of.working_set_tokens.peak as f64 / of.kv_capacity_tokens? as f64)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::fixture;

    fn bare(runs: &[RunResult]) -> String {
        anstream::adapter::strip_str(&table(runs)).to_string()
    }

    #[test]
    fn never_wider_than_a_hundred_columns() {
        let mut runs = Vec::new();
        for index in 0..9 {
            let mut run = fixture::run("sarathi");
            run.label = format!("sarathi(chunk_size=512,max_num_seqs={index},watermark=0.01)");
            runs.push(run);
            let text = bare(&runs);
            let widest = text.lines().map(|line| line.chars().count()).max().expect("lines");
            assert!(widest <= width(), "{widest} columns:\n{text}");
        }
    }

    #[test]
    fn the_best_of_a_row_is_marked_and_equal_rows_are_not() {
        let (a, mut b) = (fixture::run("a"), fixture::run("b"));
        b.summary.ttft_s.p99 = Some(9.0);
        let text = bare(&[a, b]);
        let line = |name: &str| text.lines().find(|l| l.starts_with(name)).expect("a row");
        assert_eq!(line("TTFT P99").matches('*').count(), 1, "{text}");
        assert!(line("TTFT P99").ends_with("9.00 s"), "{text}");
        assert_eq!(line("TTFT P50").matches('*').count(), 0, "{text}");
    }

    #[test]
    fn promises_to_classes_and_pools_have_rows_with_their_names() {
        let mut run = fixture::run("a");
        let term = |class: Option<&str>, pool: Option<&str>, value: f64| Term {
            class: class.map(str::to_owned),
            pool: pool.map(str::to_owned),
            metric: KEPT_SHARE.to_owned(),
            stat: None,
            sense: crate::promise::Sense::AtLeast,
            bound: 0.9,
            value: Some(value),
            lower: None,
            upper: None,
            met: Some(value >= 0.9),
        };
        run.slo.terms = vec![
            term(Some("chat"), None, 1.0),
            term(Some("batch"), None, 0.0),
            term(None, Some("cheap"), 0.5),
        ];
        let text = bare(&[run]);
        let line =
            |name: &str| text.lines().find(|l| l.starts_with(name)).expect("a row").trim_end();
        assert!(line("promise kept, chat").ends_with("100.0 %"), "{text}");
        assert!(line("promise kept, batch").ends_with(" 0.0 %"), "{text}");
        assert!(line("promise kept, pool cheap").ends_with("50.0 %"), "{text}");
        assert!(!text.contains("promise kept  "), "nothing is promised to all: {text}");
    }

    #[test]
    fn unknown_figures_are_dashes_and_never_best() {
        let (mut a, b) = (fixture::run("a"), fixture::run("b"));
        a.summary.ttft_s.p99 = None;
        let text = bare(&[a, b]);
        let line = text.lines().find(|l| l.starts_with("TTFT P99")).expect("a row");
        assert!(line.contains(" - "), "{line}");
    }
}
