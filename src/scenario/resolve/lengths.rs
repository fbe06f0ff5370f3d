//! Distributions of lengths.

use super::check::Check;
use crate::excerpt::quoted;
use crate::scenario::raw;
use crate::workload::{Dist, LengthTable, Lengths, Shape};
use crate::yaml::Path;

/// Most tokens that a length may have; longer than any model's context.
const TOKENS_MAX: u32 = 100_000_000;

/// Lengths, whole.
pub(super) fn lengths(check: &mut Check<'_>, path: &Path, given: &raw::Lengths) -> Option<Lengths> {
    let pair = given.prompt.is_some() || given.output.is_some();
    let ways = [
        (pair, "`prompt` and `output`"),
        (given.table.is_some(), "`table`"),
        (given.file.is_some(), "`file`"),
    ];
    let chosen: Vec<&str> = ways.iter().filter(|w| w.0).map(|w| w.1).collect();
    if let [first, second, ..] = chosen.as_slice() {
        check.report(
            path,
            format!("expected one way to give lengths, found {first} and {second}"),
            &format!("keep one of {first} and {second}"),
        );
        return None;
    }
    if let Some(table) = given.table {
        return Some(Lengths::Table(match table {
            raw::Table::Chat => LengthTable::Chat,
            raw::Table::Summarisation => LengthTable::Summarisation,
            raw::Table::LongForm => LengthTable::LongForm,
            raw::Table::Code => LengthTable::Code,
        }));
    }
    if let Some(file) = &given.file {
        return Some(Lengths::File(check.existing_file(&path.key("file"), file)));
    }
    let mut one = |name: &str, dist: &Option<raw::Dist>| match dist {
        Some(dist) => self::dist(check, &path.key(name), dist),
        None => {
            check.missing(
                path,
                &[name, "table", "file"],
                format!("`{name}` is missing: how many tokens have the {name}s?"),
                "such as `{fixed: 512}`, or in place of `prompt` and `output` a `table` or a `file`",
            );
            None
        }
    };
    let prompt = one("prompt", &given.prompt);
    let output = one("output", &given.output);
    Some(Lengths::Independent { prompt: prompt?, output: output? })
}

/// One distribution.
pub(super) fn dist(check: &mut Check<'_>, path: &Path, given: &raw::Dist) -> Option<Dist> {
    let shapes: [(&str, bool); 6] = [
        ("fixed", given.fixed.is_some()),
        ("uniform", given.uniform.is_some()),
        ("lognormal", given.lognormal.is_some()),
        ("geometric", given.geometric.is_some()),
        ("zipf", given.zipf.is_some()),
        ("quantiles", given.quantiles.is_some()),
    ];
    let chosen: Vec<&str> = shapes.iter().filter(|s| s.1).map(|s| s.0).collect();
    match chosen.as_slice() {
        [] => {
            let names: Vec<String> = shapes.iter().map(|s| format!("`{}`", s.0)).collect();
            let help = format!("one of {}", names.join(", "));
            check.nothing_in(
                path,
                &shapes.map(|s| s.0),
                "expected a distribution, found none",
                &help,
            );
            return None;
        }
        [_] => {}
        [first, second, ..] => {
            check.report(
                path,
                format!("expected one distribution, found both `{first}` and `{second}`"),
                &format!("keep one of `{first}` and `{second}`"),
            );
            return None;
        }
    }
    let mut clamps = Clamps::default();
    clamps.add(check, path, given.min, given.max);
    let shape = if let Some(tokens) = given.fixed {
        Shape::Fixed(check.whole(&path.key("fixed"), tokens, 1, TOKENS_MAX))
    } else if let Some(u) = given.uniform {
        let path = path.key("uniform");
        let (min, max) = range(check, &path, u.min, u.max);
        Shape::Uniform { min, max }
    } else if let Some(l) = given.lognormal {
        let path = path.key("lognormal");
        clamps.add(check, &path, l.min, l.max);
        Shape::Lognormal {
            mean: check.positive(&path.key("mean"), l.mean, 1e-3, f64::from(TOKENS_MAX)),
            sigma: check.number(&path.key("sigma"), l.sigma, 0.0, 10.0),
        }
    } else if let Some(g) = given.geometric {
        let path = path.key("geometric");
        clamps.add(check, &path, g.min, g.max);
        Shape::Geometric {
            mean: check.number(&path.key("mean"), g.mean, 1.0, f64::from(TOKENS_MAX)),
        }
    } else if let Some(z) = given.zipf {
        let path = path.key("zipf");
        let (min, max) = range(check, &path, z.min, z.max);
        Shape::Zipf { min, max, theta: check.number(&path.key("theta"), z.theta, 0.0, 50.0) }
    } else if let Some(q) = &given.quantiles {
        Shape::Quantiles(quantiles(check, &path.key("quantiles"), q, &mut clamps))
    } else {
        return None;
    };
    Some(Dist { shape, min: clamps.min, max: clamps.max })
}

/// `min` and `max` beside a shape or inside it.
#[derive(Default)]
struct Clamps {
    min: Option<u32>,
    max: Option<u32>,
}

impl Clamps {
    fn add(&mut self, check: &mut Check<'_>, path: &Path, min: Option<u32>, max: Option<u32>) {
        for (name, given, kept) in [("min", min, &mut self.min), ("max", max, &mut self.max)] {
            if let Some(value) = given {
                let path = path.key(name);
                if kept.is_some() {
                    check.report(&path, format!("`{name}` is given twice"), "keep one");
                }
                *kept = Some(check.whole(&path, value, 1, TOKENS_MAX));
            }
        }
        if let (Some(low), Some(high)) = (self.min, self.max)
            && low > high
            && (min.is_some() || max.is_some())
        {
            check.report(
                &path.key(if min.is_some() { "min" } else { "max" }),
                format!("expected min <= max, found min {low} above max {high}"),
                "",
            );
        }
    }
}

fn range(check: &mut Check<'_>, path: &Path, min: u32, max: u32) -> (u32, u32) {
    let checked_min = check.whole(&path.key("min"), min, 1, TOKENS_MAX);
    let checked_max = check.whole(&path.key("max"), max, 1, TOKENS_MAX);
    if min > max {
        check.report(
            &path.key("min"),
            format!("expected min <= max, found min {min} above max {max}"),
            "",
        );
    }
    (checked_min, checked_max)
}

fn quantiles(
    check: &mut Check<'_>,
    path: &Path,
    given: &raw::Quantiles,
    clamps: &mut Clamps,
) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (name, tokens) in &given.0 {
        let path = path.key(name);
        if name == "min" || name == "max" {
            let whole = check.number(&path, *tokens, 1.0, f64::from(TOKENS_MAX));
            if libm::trunc(whole) != whole {
                check.expected(&path, "a whole number", tokens);
            }
            let whole = Some(whole as u32);
            let (min, max) = if name == "min" { (whole, None) } else { (None, whole) };
            clamps.add(check, &path, min, max);
            continue;
        }
        let Ok(probability) = name.parse::<f64>() else {
            check.report(
                &path,
                format!("expected a probability from 0 to 1 as key, found `{}`", quoted(name)),
                "such as `{0.5: 200, 0.9: 900}`",
            );
            continue;
        };
        if !(0.0..=1.0).contains(&probability) {
            let help = match name.parse::<f64>() {
                Ok(p) if p > 1.0 && p <= 100.0 => format!("{p} % is `{}`", p / 100.0),
                _ => String::new(),
            };
            check.report(
                &path,
                format!("expected a probability from 0 to 1 as key, found {}", quoted(name)),
                &help,
            );
            continue;
        }
        let tokens = check.positive(&path, *tokens, 1e-3, f64::from(TOKENS_MAX));
        if let Some(&(last_probability, last_tokens)) = points.last() {
            if probability <= last_probability {
                check.report(
                    &path,
                    format!("expected ascending probabilities, found {probability} after {last_probability}"),
                    "",
                );
                continue;
            }
            if tokens < last_tokens {
                check.report(
                    &path,
                    format!("expected ascending tokens, found {tokens} after {last_tokens}"),
                    "a higher quantile cannot be smaller",
                );
                continue;
            }
        }
        points.push((probability, tokens));
    }
    if given.0.iter().all(|(name, _)| name == "min" || name == "max") {
        check.nothing_in(
            path,
            &[],
            "expected at least one quantile, found none",
            "such as `{0.5: 200, 0.9: 900}`",
        );
    }
    points
}

/// The fewest tokens that a distribution can give.
pub(super) fn at_least(dist: &Dist) -> u32 {
    let unclamped = match &dist.shape {
        Shape::Fixed(n) => *n,
        Shape::Uniform { min, .. } | Shape::Zipf { min, .. } => *min,
        Shape::Lognormal { mean, sigma } if *sigma == 0.0 => libm::rint(*mean) as u32,
        Shape::Lognormal { .. } | Shape::Geometric { .. } => 1,
        Shape::Quantiles(points) => points.first().map_or(1, |p| libm::rint(p.1) as u32),
    };
    let raised = unclamped.max(dist.min.unwrap_or(1)).max(1);
    dist.max.map_or(raised, |max| raised.min(max))
}
