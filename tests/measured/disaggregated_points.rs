//! Public points of prefill and decode apart, simulated: how far off TPOT, end to end and TTFT are, by engine,
//! GPU, model, format and split.
//!
//! Of 754 rows 169 can be said, and 3 of them do not fit. Over the other 166 TPOT is off by 12.8 % in the mean
//! (median 10.8), end to end by 10.9. Nothing was fitted on them: the profiles' constants come from
//! aggregated points, so that both halves of the hash are new to them. How seats and ranks are
//! read (`points::apart`) was settled with all rows in sight, though each for a reason outside of what is
//! simulated: with seats for everybody TPOT is off by 13.7 %.
//!
//! Each engine hands over in its own order. With the source first for all TPOT is off by 11.4 %: the
//! difference is two rows of SGLang with 6,144 users and prompts of 8,192 tokens on GB200, whose prefill is a
//! fifth faster here, so that both pools are at their limit. Ranks that are chosen when a request comes then hold
//! unequal batches, all wait for the largest, and tokens take twice as long.
//!
//! What is left, by group: TensorRT-LLM serving DeepSeek in fp8 on H200 takes 4.4 ms a step more than here, at
//! 4 users as at 64, and does so in aggregated points too (-18 %); on B200 with data-parallel ranks 5 to 8
//! ms. SGLang's ranks of 500 to 1,000 users a rank are 20 % faster than here.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::points::{
    Apart, Compared, Engine, NotApart, Order, Seats, by, errors, express_apart, play_apart, rows,
    times_with_workers, write_csv,
};
use crate::shared::{say, shared};

const TABLE: &str = "data/silicon/inferencemax_half.csv.gz";

/// Percent: what was reached, with a little room.
const TPOT_MAPE: f64 = 13.0;
const TPOT_MAPE_SOURCE_FIRST: f64 = 11.5;
const TPOT_MEDIAN: f64 = 10.5;
const TPOT_MAPE_HELD: f64 = 16.0;
const TPOT_MAPE_WITH_ENOUGH_SEATS: f64 = 14.0;
const E2E_MAPE: f64 = 11.5;

#[test]
fn disaggregated_points() {
    let Some(file) = shared(TABLE) else { return };
    let rows = rows(&file);
    let known = times_with_workers(&rows);
    let mut left_out: BTreeMap<NotApart, u32> = BTreeMap::new();
    let mut points = Vec::new();
    for row in &rows {
        match express_apart(row, &known) {
            Ok(point) => points.push(point),
            Err(NotApart::Colocated) => {}
            Err(why) => *left_out.entry(why).or_default() += 1,
        }
    }
    for (why, count) in &left_out {
        say(&format!("{count:>4} rows left out: {}", why.reason()));
    }
    let all = compared(&points, Seats::Waited, Order::Own);
    let of = |p: &Apart| format!("{} {} {} {}", p.engine.name(), p.gpu, p.model, p.dtype);
    by("prefill and decode apart: engine, GPU, model, format", &all, of);
    by("the same by who decodes", &all, |p| format!("{} {}", of(p), p.decode.split()));
    by("by exchange of tokens", &all, |p| p.decode.exchange.unwrap_or("one rank").to_owned());
    by("by users", &all, |p| format!("{:>5}", p.users.next_power_of_two()));
    by("by seats", &all, |p| if p.seats().is_some() { "waited for" } else { "enough" }.to_owned());
    by("by engine", &all, |p| p.engine.name().to_owned());
    by("held out of fits, and not", &all, |p| {
        if p.is_held_out() { "held out" } else { "not" }.to_owned()
    });
    by("all", &all, |_| "all".to_owned());
    let enough = with_enough_seats(&all);
    by("all, with seats for everybody", &enough, |_| "all".to_owned());
    if let Some(path) = std::env::var_os("METRON_POINTS_CSV") {
        write_csv(path.as_ref(), all.iter().map(row));
    }
    within_bounds(&all);
    let (own, others): (Vec<_>, Vec<_>) =
        all.iter().partition(|c| c.point.engine == Engine::Sglang);
    let own: Vec<Apart> = own.iter().map(|c| c.point.clone()).collect();
    let mut source_first = compared(&own, Seats::Waited, Order::SourceFirst);
    source_first.extend(others.into_iter().map(same));
    by("all, with the source first", &source_first, |_| "all".to_owned());
    let tpot = errors(source_first.iter().map(Compared::tpot));
    assert!(tpot[0] <= TPOT_MAPE_SOURCE_FIRST, "{tpot:?}");
    let tpot = errors(enough.iter().map(Compared::tpot));
    assert!(tpot[0] <= TPOT_MAPE_WITH_ENOUGH_SEATS, "{tpot:?}");
}

fn within_bounds(all: &[Compared<Apart>]) {
    let tpot = errors(all.iter().map(Compared::tpot));
    assert!(tpot[0] <= TPOT_MAPE && tpot[1] <= TPOT_MEDIAN, "{tpot:?}");
    let e2e = errors(all.iter().map(Compared::e2e));
    assert!(e2e[0] <= E2E_MAPE, "{e2e:?}");
    let held = all.iter().filter(|c| c.point.is_held_out());
    let held = errors(held.map(Compared::tpot));
    assert!(held[0] <= TPOT_MAPE_HELD, "{held:?}");
}

/// The same points, none of which waits for a seat.
fn with_enough_seats(all: &[Compared<Apart>]) -> Vec<Compared<Apart>> {
    let (waited, others): (Vec<_>, Vec<_>) = all.iter().partition(|c| c.point.seats().is_some());
    let again: Vec<Apart> = waited.iter().map(|c| c.point.clone()).collect();
    let mut enough = compared(&again, Seats::Enough, Order::Own);
    enough.extend(others.into_iter().map(same));
    enough
}

fn same(c: &Compared<Apart>) -> Compared<Apart> {
    Compared { point: c.point.clone(), played: c.played }
}

/// Plays them; what the program refuses is told.
fn compared(points: &[Apart], seats: Seats, order: Order) -> Vec<Compared<Apart>> {
    let play = |point| (play_apart(point, seats, order), point);
    let played: Vec<_> = points.par_iter().map(play).collect();
    let mut all = Vec::new();
    let mut refused: BTreeMap<String, (u32, String)> = BTreeMap::new();
    for (played, point) in played {
        match played {
            Ok(played) => all.push(Compared { point: point.clone(), played }),
            Err(why) => {
                let key = format!("{} on {} {}", point.model, point.gpu, point.decode.split());
                refused.entry(key).or_insert((0, why)).0 += 1;
            }
        }
    }
    for (point, (count, why)) in &refused {
        say(&format!("{count:>4} rows refused: {point}: {why}"));
    }
    all
}

/// A point, for a closer look.
fn row(Compared { point, played }: &Compared<Apart>) -> Vec<String> {
    vec![
        point.configuration(),
        point.version.clone(),
        point.is_held_out().to_string(),
        point.seats().map_or(String::new(), |seats| seats.to_string()),
        point.ttft_ms.to_string(),
        point.tpot_ms.to_string(),
        played.ttft_ms.to_string(),
        played.tpot_ms.to_string(),
    ]
}
