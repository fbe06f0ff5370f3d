//! A linear law of a step's time, fitted to an iteration log.

use ordered_float::OrderedFloat;
use serde::Serialize;

use super::{IterationLog, Length, Step};
use crate::catalog::{Overhead, STEP_LAW_TERMS, StepLaw};
use crate::metrics::{Distribution, distribution};

/// A step that takes longer than this many times what the law says is none of its kind: the machine did
/// something else. It is left out of the fit, and counted.
const OUTLIER: f64 = 4.0;

/// Rounds of weighting anew. Weights settle within a few.
const ROUNDS: usize = 30;

/// What a law makes of a log.
#[derive(Clone, Debug, Serialize)]
pub struct LawFit {
    /// The law.
    pub law: StepLaw,
    /// The engine's own work beside it, where the log has times of it.
    pub host: Option<Overhead>,
    /// Each constant, with its share of all time.
    pub terms: Vec<Term>,
    /// Steps by kind, with the law of all of them.
    pub residuals: Vec<Residuals>,
    /// The second half of the steps, with a law fitted to the first half.
    pub held_out: Residuals,
    /// Steps longer than four times the law, left out of the fit.
    pub outliers: usize,
    /// What was in the steps: the law says nothing beyond.
    pub ranges: Vec<Range>,
    /// Whether the engine planned a step while the one before ran; `None` where a log does not tell, or logs
    /// differ.
    pub asynchronous: Option<bool>,
    /// Whether requests began behind tokens that were in the KV cache.
    pub prefix_hits: bool,
    /// The longest request, prompt and answer, tokens; `None` where no log names requests.
    pub longest_request: Option<u32>,
    /// Requests whose lengths the log tells.
    pub requests: usize,
    /// Lengths of their prompts, tokens.
    pub prompt_tokens: Distribution,
    /// Lengths of their answers, tokens.
    pub output_tokens: Distribution,
}

/// A constant of a law.
#[derive(Clone, Debug, Serialize)]
pub struct Term {
    /// Its name in the profile.
    pub name: &'static str,
    /// Its value, microseconds.
    pub us: f64,
    /// Its part of the time of all steps.
    pub time_share: f64,
    /// Whether it is 0 although the steps have what it prices: it would be negative, or other
    /// constants say the same.
    pub at_bound: bool,
}

/// How far a law is from the steps of a kind.
#[derive(Clone, Debug, Serialize)]
pub struct Residuals {
    /// Which steps.
    pub of: &'static str,
    /// How many.
    pub steps: usize,
    /// Their time together, seconds.
    pub seconds: f64,
    /// Time by the law over that, less 1; null without steps.
    pub sum_error: Option<f64>,
    /// The same of single steps: median, and the tenth and ninetieth percentile.
    pub median_error: Option<f64>,
    /// See `median_error`.
    pub p10_error: Option<f64>,
    /// See `median_error`.
    pub p90_error: Option<f64>,
    /// Mean absolute error of single steps.
    pub mape: Option<f64>,
}

/// What a law was fitted on.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Range {
    /// Of what.
    pub of: &'static str,
    /// The least in a step.
    pub least: f64,
    /// The most in a step.
    pub most: f64,
}

/// Fits a law to the steps of these logs. Its time over all steps is theirs: steps weigh by one over
/// their time, as in a Poisson regression.
pub fn fit_law(logs: &[IterationLog]) -> LawFit {
    let steps: Vec<&Step> = logs.iter().flat_map(|log| &log.steps).collect();
    let (law, outliers) = law_of(&steps);
    let halves = logs.iter().map(|log| log.steps.split_at(log.steps.len() / 2));
    let (first, second): (Vec<&[Step]>, Vec<&[Step]>) = halves.unzip();
    let (first, second): (Vec<&Step>, Vec<&Step>) =
        (first.into_iter().flatten().collect(), second.into_iter().flatten().collect());
    let (of_half, _) = law_of(&first);
    let only = |decodes: bool| steps.iter().copied().filter(move |s| s.only_decodes() == decodes);
    let lengths: Vec<&Length> = logs.iter().flat_map(|log| &log.lengths).collect();
    let tokens = |of: fn(&Length) -> u32| {
        let tokens = lengths.iter().map(|length| OrderedFloat(f64::from(of(length))));
        let mut tokens: Vec<OrderedFloat<f64>> = tokens.collect();
        distribution(&mut tokens)
    };
    LawFit {
        law,
        host: host_of(&steps),
        terms: terms(&law, &steps),
        residuals: vec![
            residuals("decodes alone", &law, only(true)),
            residuals("with prefill", &law, only(false)),
            residuals("all", &law, steps.iter().copied()),
        ],
        held_out: residuals("second half, fitted to the first", &of_half, second.iter().copied()),
        outliers,
        ranges: ranges(&steps),
        asynchronous: planned(logs),
        prefix_hits: logs.iter().any(|log| log.prefix_hits),
        longest_request: lengths.iter().map(|of| of.prompt.saturating_add(of.output)).max(),
        requests: lengths.len(),
        prompt_tokens: tokens(|length| length.prompt),
        output_tokens: tokens(|length| length.output),
    }
}

fn planned(logs: &[IterationLog]) -> Option<bool> {
    let first = logs.first()?.asynchronous;
    first.filter(|_| logs.iter().all(|log| log.asynchronous == first))
}

fn law_of(steps: &[&Step]) -> (StepLaw, usize) {
    let rows: Vec<([f64; STEP_LAW_TERMS], f64)> =
        steps.iter().map(|step| (step.counts, step.gpu_us)).collect();
    let (constants, outliers) = least_squares(&rows);
    (StepLaw::of(constants), outliers)
}

fn host_of(steps: &[&Step]) -> Option<Overhead> {
    let row = |step: &&Step| Some(([1.0, step.sequences()], step.host_us?));
    let rows: Vec<([f64; 2], f64)> = steps.iter().filter_map(row).collect();
    if rows.len() < 2 {
        return None;
    }
    let ([iteration_us, sequence_us], _) = least_squares(&rows);
    Some(Overhead { iteration_us, sequence_us })
}

fn us(constants: &[f64], counts: &[f64]) -> f64 {
    constants.iter().zip(counts).map(|(constant, count)| constant * count).sum()
}

/// Constants, none below 0, whose sums come nearest to the times; and how many times were left out.
fn least_squares<const N: usize>(rows: &[([f64; N], f64)]) -> ([f64; N], usize) {
    let mut scale = [0.0_f64; N];
    for (counts, _) in rows {
        for (scale, count) in scale.iter_mut().zip(counts) {
            *scale = scale.max(*count);
        }
    }
    let scale = scale.map(|scale| if scale > 0.0 { scale } else { 1.0 });
    let shortest =
        rows.iter().map(|row| row.1).filter(|us| *us > 0.0).fold(f64::INFINITY, f64::min);
    let shortest = if shortest.is_finite() { shortest } else { 1.0 };
    let mut fitted: Vec<f64> = rows.iter().map(|row| row.1.max(shortest)).collect();
    let mut kept = vec![true; rows.len()];
    let mut constants = [0.0; N];
    for _ in 0..ROUNDS {
        let mut products = [[0.0; N]; N];
        let mut targets = [0.0; N];
        for (((counts, us), fitted), _) in
            rows.iter().zip(&fitted).zip(&kept).filter(|(_, kept)| **kept)
        {
            let weight = 1.0 / fitted.max(shortest);
            for i in 0..N {
                let x = counts[i] / scale[i] * weight;
                targets[i] += x * us;
                for j in 0..N {
                    products[i][j] += x * (counts[j] / scale[j]);
                }
            }
        }
        constants = non_negative(&products, &targets);
        for (i, constant) in constants.iter_mut().enumerate() {
            *constant /= scale[i];
        }
        for ((row, fitted), kept) in rows.iter().zip(&mut fitted).zip(&mut kept) {
            *fitted = us(&constants, &row.0);
            *kept = row.1 < OUTLIER * fitted.max(shortest);
        }
    }
    (constants, kept.iter().filter(|kept| !**kept).count())
}

/// The least of `x'Px / 2 - t'x` over `x >= 0`: the active set method of Lawson and Hanson (1974).
fn non_negative<const N: usize>(products: &[[f64; N]; N], targets: &[f64; N]) -> [f64; N] {
    let most = (0..N).map(|i| products[i][i]).fold(0.0, f64::max);
    let mut x = [0.0; N];
    let mut free = [false; N];
    for _ in 0..8 * N {
        let slope = |i: usize, x: &[f64; N]| targets[i] - us(&products[i], x);
        let best = (0..N)
            .filter(|&i| !free[i] && products[i][i] > 1e-12 * most)
            .max_by(|&i, &j| slope(i, &x).total_cmp(&slope(j, &x)));
        let Some(best) = best.filter(|&i| slope(i, &x) > 1e-10 * targets[i].abs()) else { break };
        free[best] = true;
        loop {
            let to = solved(products, targets, &free);
            // As far towards it as nothing falls below 0.
            let blocked = (0..N).filter(|&i| free[i] && to[i] <= 0.0);
            let step = blocked.map(|i| x[i] / (x[i] - to[i])).fold(1.0, f64::min);
            for i in 0..N {
                x[i] += step.clamp(0.0, 1.0) * (to[i] - x[i]);
                if free[i] && to[i] <= 0.0 && x[i] <= 1e-14 * to[i].abs().max(1e-300) {
                    (x[i], free[i]) = (0.0, false);
                }
            }
            if step >= 1.0 {
                break;
            }
        }
    }
    x
}

/// The solution in the free constants, by elimination; others are 0.
fn solved<const N: usize>(
    products: &[[f64; N]; N],
    targets: &[f64; N],
    free: &[bool; N],
) -> [f64; N] {
    let places: Vec<usize> = (0..N).filter(|&i| free[i]).collect();
    let n = places.len();
    let mut rows: Vec<Vec<f64>> = places
        .iter()
        .map(|&i| places.iter().map(|&j| products[i][j]).chain([targets[i]]).collect())
        .collect();
    for column in 0..n {
        let pivot =
            (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()));
        rows.swap(column, pivot.unwrap_or(column));
        if rows[column][column].abs() < 1e-300 {
            continue;
        }
        for row in 0..n {
            if row != column {
                let times = rows[row][column] / rows[column][column];
                let pivot = rows[column].clone();
                for (entry, of_pivot) in rows[row].iter_mut().zip(pivot).skip(column) {
                    *entry -= times * of_pivot;
                }
            }
        }
    }
    let mut x = [0.0; N];
    for (k, &i) in places.iter().enumerate() {
        x[i] = if rows[k][k].abs() < 1e-300 { 0.0 } else { rows[k][n] / rows[k][k] };
    }
    x
}

fn terms(law: &StepLaw, steps: &[&Step]) -> Vec<Term> {
    let constants = law.constants();
    let all: f64 = steps.iter().map(|step| us(&constants, &step.counts)).sum();
    let term = |i: usize| {
        let counted: f64 = steps.iter().map(|step| step.counts[i]).sum();
        Term {
            name: StepLaw::NAMES[i],
            us: constants[i],
            time_share: if all > 0.0 { constants[i] * counted / all } else { 0.0 },
            at_bound: constants[i] == 0.0 && counted > 0.0,
        }
    };
    (0..STEP_LAW_TERMS).map(term).collect()
}

fn residuals<'s>(
    of: &'static str,
    law: &StepLaw,
    steps: impl Iterator<Item = &'s Step>,
) -> Residuals {
    let (mut real, mut said) = (0.0, 0.0);
    let mut errors = Vec::new();
    let constants = law.constants();
    for step in steps {
        let by_law = us(&constants, &step.counts);
        real += step.gpu_us;
        said += by_law;
        errors.push(by_law / step.gpu_us.max(1e-3) - 1.0);
    }
    errors.sort_by(f64::total_cmp);
    let at =
        |share: f64| errors.get(((errors.len() as f64 - 1.0) * share).round() as usize).copied();
    let count = errors.len();
    Residuals {
        of,
        steps: count,
        seconds: real / 1e6,
        sum_error: (real > 0.0).then(|| said / real - 1.0),
        median_error: at(0.5),
        p10_error: at(0.1),
        p90_error: at(0.9),
        mape: (count > 0).then(|| errors.iter().map(|e| e.abs()).sum::<f64>() / count as f64),
    }
}

fn ranges(steps: &[&Step]) -> Vec<Range> {
    let of: [(&str, usize); 4] =
        [("chunks", 2), ("prefill tokens", 3), ("decodes", 4), ("KV tokens read", 6)];
    of.map(|(of, place)| {
        let counts = steps.iter().map(|step| step.counts[place]);
        let least = counts.clone().fold(f64::INFINITY, f64::min);
        Range { of, least, most: counts.fold(0.0, f64::max) }
    })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::{Chunk, Decodes};
    use crate::validation::iterations::LogFormat;

    fn log(law: StepLaw, noise: impl Fn(u32) -> f64) -> IterationLog {
        let step = |i: u32| {
            let chunks = [
                Chunk { context: i * 7 % 90, tokens: 1 + i * 31 % 300 },
                Chunk { context: i * 11 % 60, tokens: 1 + i * 17 % 90 },
            ];
            let chunks = match i % 8 {
                0 => &chunks[..1],
                4 => &chunks[..],
                _ => &[],
            };
            let decodes = i * 13 % 40;
            let decodes = Decodes::one_token_each(decodes, u64::from(decodes * (50 + i % 170)));
            let plain = Step::new(chunks, decodes, 0.0, Some(200.0));
            Step { gpu_us: us(&law.constants(), &plain.counts) * noise(i), ..plain }
        };
        IterationLog {
            format: LogFormat::SchedulerSteps,
            steps: (1..400).map(step).collect(),
            lengths: Vec::new(),
            asynchronous: Some(false),
            prefix_hits: false,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_law_is_found_again() {
        let law = StepLaw::of([3500.0, 900.0, 0.0, 60.0, 90.0, 0.0, 0.5, 0.06]);
        let found = fit_law(&[log(law, |_| 1.0)]);
        for (name, (found, want)) in
            StepLaw::NAMES.iter().zip(found.law.constants().into_iter().zip(law.constants()))
        {
            assert!((found - want).abs() < 1e-3 * want.max(1.0), "{name}: {found} {want}");
        }
        let host = found.host.expect("the log has times of it");
        assert!((host.iteration_us - 200.0).abs() < 1e-6 && host.sequence_us.abs() < 1e-6);
        assert!(found.residuals.iter().all(|r| r.mape.is_some_and(|mape| mape < 1e-4)));
    }

    #[test]
    fn what_the_machine_did_beside_is_left_out_and_sums_are_kept() {
        let law = StepLaw::of([3500.0, 900.0, 0.0, 60.0, 90.0, 0.0, 0.5, 0.06]);
        let noise = |i: u32| match i {
            17 => 50.0,
            _ => 0.9 + 0.2 * f64::from(i * 7919 % 100) / 100.0,
        };
        let found = fit_law(&[log(law, noise)]);
        assert_eq!(found.outliers, 1);
        assert!(found.law.constants().iter().all(|&us| us >= 0.0));
        let decodes = &found.residuals[0];
        // The step that took fifty times as long is a tenth of their time, and the law has none of it.
        assert!(decodes.sum_error.is_some_and(|e| -0.15 < e && e < -0.08), "{decodes:?}");
        assert!(decodes.median_error.is_some_and(|e| e.abs() < 0.01), "{decodes:?}");
        assert!(found.held_out.mape.is_some_and(|e| e < 0.15), "{:?}", found.held_out);
    }
}
