//! Public points of prefill and decode apart, simulated: how far off TPOT, end to end and TTFT are, by engine,
//! GPU, model, format and split.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::points::{
    Apart, Compared, NotApart, Seats, by, errors, express_apart, play_apart, rows,
    times_with_workers,
};
use crate::shared::{say, shared};

const TABLE: &str = "data/silicon/inferencemax_half.csv.gz";

/// Percent.
const TPOT_MAPE: f64 = 12.0;

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
    let all = compared(&points, Seats::Waited);
    let of = |p: &Apart| format!("{} {} {} {}", p.engine.name(), p.gpu, p.model, p.dtype);
    by("prefill and decode apart: engine, GPU, model, format", &all, of);
    by("the same by who decodes", &all, |p| format!("{} {}", of(p), p.decode.split()));
    by("by exchange of tokens", &all, |p| {
        if p.decode.data == 1 { "one rank" } else { p.exchange }.to_owned()
    });
    by("by users", &all, |p| format!("{:>5}", p.users.next_power_of_two()));
    by("by seats", &all, |p| if p.seats().is_some() { "waited for" } else { "enough" }.to_owned());
    by("by engine", &all, |p| p.engine.name().to_owned());
    by("held out of fits, and not", &all, |p| {
        if p.is_held_out() { "held out" } else { "not" }.to_owned()
    });
    by("all", &all, |_| "all".to_owned());
    let waited: Vec<Apart> = points.iter().filter(|p| p.seats().is_some()).cloned().collect();
    by("where seats were waited for, but with enough", &compared(&waited, Seats::Enough), |_| {
        "all".to_owned()
    });
    if let Some(path) = std::env::var_os("METRON_POINTS_CSV") {
        write(path.as_ref(), &all);
    }
    let tpot = errors(all.iter().map(Compared::tpot));
    assert!(tpot[0] <= TPOT_MAPE, "{tpot:?}");
}

/// Plays them; what the program refuses is told.
fn compared(points: &[Apart], seats: Seats) -> Vec<Compared<Apart>> {
    let played: Vec<_> = points.par_iter().map(|point| (play_apart(point, seats), point)).collect();
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

/// Every point, for a closer look.
fn write(path: &std::path::Path, all: &[Compared<Apart>]) {
    let mut csv = csv::Writer::from_path(path).expect("writable");
    for Compared { point, played } in all {
        csv.write_record([
            point.configuration(),
            point.version.clone(),
            point.is_held_out().to_string(),
            point.seats().map_or(String::new(), |seats| seats.to_string()),
            point.ttft_ms.to_string(),
            point.tpot_ms.to_string(),
            played.ttft_ms.to_string(),
            played.tpot_ms.to_string(),
        ])
        .expect("writable");
    }
    csv.flush().expect("writable");
}
