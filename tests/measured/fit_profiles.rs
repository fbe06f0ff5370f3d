//! How the constants of engine profiles were fitted on public points: run by hand, prints what it finds.
//!
//!     cargo test --test measured fit_profiles -- --ignored --nocapture
//!
//! `METRON_FIT` picks an engine (`sglang`, `trtllm`, `vllm`) or `fp4`, the constants of B200 in 4 bits.
//! What is left after a fit is printed for the half that it saw and for the half that it did not
//! ([`Point::is_held_out`](crate::points::Point::is_held_out)).

use std::collections::BTreeMap;

use metron_sim::cost::Pricing;
use rayon::prelude::*;

use crate::points::{Engine, Point, express, play, rows};
use crate::shared::{say, shared};

/// A constant: its name, where it starts, a step that matters, the least and most, and its place.
struct Constant {
    name: &'static str,
    start: f64,
    step: f64,
    bounds: (f64, f64),
    set: fn(&mut Pricing, f64),
}

fn of_profile() -> Vec<Constant> {
    let factor = |name, set| Constant { name, start: 1.0, step: 0.1, bounds: (0.6, 1.6), set };
    vec![
        Constant {
            name: "step_gap.iteration_us",
            start: 300.0,
            step: 200.0,
            bounds: (0.0, 3000.0),
            set: |p, v| p.profile.step_gap.iteration_us = v,
        },
        Constant {
            name: "step_gap.sequence_us",
            start: 10.0,
            step: 5.0,
            bounds: (0.0, 60.0),
            set: |p, v| p.profile.step_gap.sequence_us = v,
        },
        factor("kernels.gemm", |p, v| p.profile.kernels.gemm = v),
        factor("kernels.experts", |p, v| p.profile.kernels.experts = v),
        factor("kernels.attention_time", |p, v| p.profile.kernels.attention_time = v),
        factor("kernels.communication", |p, v| p.profile.kernels.communication = v),
        Constant {
            name: "kernels.layer_us",
            start: 0.0,
            step: 3.0,
            bounds: (0.0, 30.0),
            set: |p, v| p.profile.kernels.layer_us = v,
        },
        Constant {
            name: "kernels.narrow_knee",
            start: 1.2,
            step: 0.5,
            bounds: (0.8, 3.0),
            set: |p, v| p.profile.kernels.narrow_knee = Some(v),
        },
    ]
}

/// Of B200, as multiples: those of GPUs that derive from it follow.
fn of_fp4() -> Vec<Constant> {
    let factor = |name, set| Constant { name, start: 1.0, step: 0.15, bounds: (0.3, 2.0), set };
    vec![
        factor("gemm_fp4.memory_gb_per_s", |p, v| {
            p.gpu.gemm_fp4.as_mut().expect("fp4").memory_gb_per_s *= v;
        }),
        factor("gemm_fp4.tflops", |p, v| p.gpu.gemm_fp4.as_mut().expect("fp4").tflops *= v),
        factor("experts_fp4.memory_gb_per_s", |p, v| {
            p.gpu.experts_fp4.as_mut().expect("fp4").memory_gb_per_s *= v;
        }),
        factor("experts_fp4.tflops", |p, v| p.gpu.experts_fp4.as_mut().expect("fp4").tflops *= v),
        factor("experts_fp4.launch_us", |p, v| {
            p.gpu.experts_fp4.as_mut().expect("fp4").launch_us *= v;
        }),
    ]
}

/// Errors of TPOT, as logarithms.
fn errors(points: &[&Point], constants: &[Constant], values: &[f64]) -> Vec<f64> {
    let change = |pricing: &mut Pricing| {
        for (constant, &value) in constants.iter().zip(values) {
            (constant.set)(pricing, value);
        }
    };
    let error = |point: &&Point| {
        let played = play(point, Some(&change)).ok()?;
        Some(libm::log(played.tpot_ms / point.tpot_ms))
    };
    points.par_iter().filter_map(error).collect()
}

/// Between the mean of absolute values and that of squares: rows whose server is unknown are noisy.
fn objective(errors: &[f64]) -> f64 {
    let robust = errors.iter().map(|e| libm::sqrt(e * e + 0.0009));
    robust.sum::<f64>() / errors.len().max(1) as f64
}

/// A small price of leaving the start, for constants that the points say little of.
fn pull(constants: &[Constant], values: &[f64]) -> f64 {
    let distance = |(c, v): (&Constant, &f64)| libm::pow((v - c.start) / c.step, 2.0);
    0.0002 * constants.iter().zip(values).map(distance).sum::<f64>()
}

/// One constant after the other, in steps that halve.
fn descend(points: &[&Point], constants: &[Constant]) -> Vec<f64> {
    let mut values: Vec<f64> = constants.iter().map(|c| c.start).collect();
    let worth =
        |values: &[f64]| objective(&errors(points, constants, values)) + pull(constants, values);
    let mut best = worth(&values);
    for round in 0..5 {
        let reach = libm::pow(0.5, f64::from(round / 2));
        let mut moved = false;
        for (i, constant) in constants.iter().enumerate() {
            for sign in [1.0, -1.0] {
                let mut tried = values.clone();
                let (low, high) = constant.bounds;
                tried[i] = (values[i] + sign * reach * constant.step).clamp(low, high);
                if tried[i] == values[i] {
                    continue;
                }
                let found = worth(&tried);
                if found < best - 1e-5 {
                    (best, values, moved) = (found, tried, true);
                    break;
                }
            }
        }
        let told: Vec<String> =
            constants.iter().zip(&values).map(|(c, v)| format!("{}={v:.3}", c.name)).collect();
        say(&format!("round {round}: {best:.4}  {}", told.join(" ")));
        if !moved && round >= 4 {
            break;
        }
    }
    values
}

fn report(name: &str, errors: &[f64]) {
    let mut sizes: Vec<f64> = errors.iter().map(|e| (libm::exp(*e) - 1.0).abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let mape = 100.0 * sizes.iter().sum::<f64>() / sizes.len().max(1) as f64;
    let median = 100.0 * sizes.get(sizes.len() / 2).copied().unwrap_or(0.0);
    say(&format!("{name}: TPOT MAPE {mape:.1} %, median {median:.1} %, {} rows", sizes.len()));
}

#[test]
#[ignore = "takes minutes; prints constants for the profiles' files"]
fn fit_profiles() {
    let Some(file) = shared("data/silicon/inferencemax_half.csv.gz") else { return };
    let picked = std::env::var("METRON_FIT").unwrap_or_default();
    // A configuration that was measured on several dates counts once.
    let mut once: BTreeMap<(String, String), Point> = BTreeMap::new();
    for row in rows(&file) {
        if let Ok(point) = express(&row) {
            once.entry((point.configuration(), point.version.clone())).or_insert(point);
        }
    }
    let all: Vec<Point> = once.into_values().collect();
    for (name, engine) in [
        ("sglang", Some(Engine::Sglang)),
        ("trtllm", Some(Engine::TensorRtLlm)),
        ("vllm", Some(Engine::Vllm)),
        ("fp4", None),
    ] {
        if !picked.is_empty() && picked != name {
            continue;
        }
        let is_of = |point: &&Point| match engine {
            Some(engine) => point.engine == engine,
            None => {
                point.gpu.starts_with('b')
                    && (point.dtype == "nvfp4" || point.model == "gpt-oss-120b")
            }
        };
        let constants = if engine.is_some() { of_profile() } else { of_fp4() };
        let (held, seen): (Vec<&Point>, Vec<&Point>) =
            all.iter().filter(is_of).partition(|point| point.is_held_out());
        let values = descend(&seen, &constants);
        for (constant, value) in constants.iter().zip(&values) {
            say(&format!("{name}: {} = {value:.3}", constant.name));
        }
        report(&format!("{name}, fitted on"), &errors(&seen, &constants, &values));
        report(&format!("{name}, held out"), &errors(&held, &constants, &values));
    }
}
