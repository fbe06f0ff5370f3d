//! How far what was simulated is from what was measured, by groups.

use std::collections::BTreeMap;
use std::path::Path;

use super::Played;
use crate::shared::say;

/// What was measured, of a point of any kind.
pub(crate) trait Measured {
    /// Mean TTFT and TPOT.
    fn measured(&self) -> Played;
    /// Mean tokens of an answer.
    fn mean_output(&self) -> f64;
}

/// A point and what was simulated of it.
pub(crate) struct Compared<P> {
    pub(crate) point: P,
    pub(crate) played: Played,
}

impl<P: Measured> Compared<P> {
    pub(crate) fn tpot(&self) -> f64 {
        self.played.tpot_ms / self.point.measured().tpot_ms - 1.0
    }

    pub(crate) fn ttft(&self) -> f64 {
        self.played.ttft_ms / self.point.measured().ttft_ms - 1.0
    }

    pub(crate) fn e2e(&self) -> f64 {
        let tokens = self.point.mean_output();
        self.played.e2e_ms(tokens) / self.point.measured().e2e_ms(tokens) - 1.0
    }
}

/// Mean and median of the absolute values, and the mean, in percent.
pub(crate) fn errors(of: impl Iterator<Item = f64>) -> [f64; 3] {
    let all: Vec<f64> = of.collect();
    let mut sizes: Vec<f64> = all.iter().map(|e| e.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let mean = |values: &[f64]| 100.0 * values.iter().sum::<f64>() / values.len().max(1) as f64;
    [mean(&sizes), 100.0 * sizes.get(sizes.len() / 2).copied().unwrap_or(0.0), mean(&all)]
}

/// Prints a line for each group.
pub(crate) fn by<P: Measured>(title: &str, all: &[Compared<P>], key: impl Fn(&P) -> String) {
    say(&format!(
        "\n{title:<58} {:>5}  {:>5} {:>5} {:>6}  {:>5} {:>5}  {:>6} {:>5}",
        "n", "TPOT", "med", "bias", "E2E", "med", "TTFT", "med"
    ));
    let mut groups: BTreeMap<String, Vec<&Compared<P>>> = BTreeMap::new();
    for compared in all {
        groups.entry(key(&compared.point)).or_default().push(compared);
    }
    for (name, group) in &groups {
        line(name, group);
    }
}

fn line<P: Measured>(name: &str, of: &[&Compared<P>]) {
    let [tpot, e2e, ttft] =
        [Compared::tpot, Compared::e2e, Compared::ttft].map(|e| errors(of.iter().map(|c| e(c))));
    say(&format!(
        "{name:<58} {:>5}  {:>5.1} {:>5.1} {:>+6.1}  {:>5.1} {:>5.1}  {:>6.1} {:>5.1}",
        of.len(),
        tpot[0],
        tpot[1],
        tpot[2],
        e2e[0],
        e2e[1],
        ttft[0],
        ttft[1]
    ));
}

/// Writes rows for a closer look.
pub(crate) fn write_csv(path: &Path, rows: impl Iterator<Item = Vec<String>>) {
    let mut csv = csv::Writer::from_path(path).expect("writable");
    rows.for_each(|row| csv.write_record(row).expect("writable"));
    csv.flush().expect("writable");
}
