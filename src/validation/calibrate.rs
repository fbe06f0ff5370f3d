//! The cost model's constants, fitted to a real run.
//!
//! A fit to the first half of the requests (by entry) is judged on the second, which it has not
//! seen; a fit to all of them is what comes out.

use std::sync::Arc;

use serde::Serialize;

use crate::catalog::EngineProfile;
use crate::cost::{CostError, Pricing};
use crate::runner::{PlayError, PlayOptions, Simulate};
use crate::scenario::{Experiment, SchedulerRun};
use crate::trace::TokenTrace;
use crate::validation::Replay;
use crate::validation::compare::{Known, Pair, e2e_mape, pairs};
use crate::validation::constants::{Free, Group, exchanges, free, own_gpu_constants};
use crate::validation::fit::{Found, mean_square, minimise};
use crate::validation::surface::{curvature, ripple};
use crate::validation::symmetric::eigen;

/// A fit loses this much of its root mean square when it is as far off as `plus_minus` says.
const LOSS: f64 = 0.1;

/// Two runs of one server differ by about this much: a smaller error determines nothing more.
const RUN_TO_RUN: f64 = 0.005;

/// A residual of a request that the simulation does not finish.
const UNFINISHED: f64 = 1.0;

/// What a fit found.
#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// The profile to use: constants fitted to all requests.
    #[serde(skip)]
    pub profile: EngineProfile,
    /// Each constant that was fitted.
    pub constants: Vec<Constant>,
    /// Combinations of constants that the run says little about.
    pub undetermined: Vec<Flat>,
    /// All requests, before the fit.
    pub before: Errors,
    /// The first half of the requests, with constants fitted to it.
    pub in_sample: Errors,
    /// The second half, with the same constants: requests that the fit has not seen.
    pub out_of_sample: Errors,
    /// All requests, with the profile's constants.
    pub after: Errors,
    /// What the constants carry that is not theirs.
    pub warnings: Vec<String>,
}

/// A fitted constant.
#[derive(Clone, Debug, Serialize)]
pub struct Constant {
    /// Its path in the profile's file.
    pub name: &'static str,
    /// Its unit; empty for a factor.
    pub unit: &'static str,
    /// Before the fit.
    pub before: f64,
    /// After it.
    pub after: f64,
    /// How far it can be moved, the others following, until the fit is 10 % worse, or worse by what a
    /// change of schedule alone makes of it; null where that is further than it may go at all.
    pub plus_minus: Option<f64>,
    /// Whether it ended at the least or the most that it may be.
    pub at_bound: bool,
}

/// Constants that can be moved together and hardly change the fit.
#[derive(Clone, Debug, Serialize)]
pub struct Flat {
    /// How far each moves: all of them together make the fit as much worse as `plus_minus` allows, or less.
    pub moves: Vec<Move>,
}

/// A constant's part of a move.
#[derive(Clone, Debug, Serialize)]
pub struct Move {
    /// The constant.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// By how much.
    pub by: f64,
}

/// How far a simulation is off, each as simulated / observed - 1.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Errors {
    /// Requests compared.
    pub requests: usize,
    /// Mean TTFT, from when the engine got the request.
    pub mean_ttft: Option<f64>,
    /// Mean TPOT.
    pub mean_tpot: Option<f64>,
    /// Mean end-to-end time, likewise.
    pub mean_e2e: Option<f64>,
    /// Mean absolute error of single requests' end-to-end time.
    pub per_request_e2e_mape: Option<f64>,
}

/// Why constants cannot be fitted.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// No constants.
    #[error(
        "the scenario's iterations take a fixed time, or that of a step law: there are no constants to fit \
         (a law is fitted by `calibrate --iterations LOG`)"
    )]
    FixedTime,
    /// Several kinds of replica.
    #[error("constants are fitted to one kind of replica: leave `pools` out, and give its `gpu`")]
    Pools,
    /// Nothing asked for.
    #[error("no constants to fit: name some of host, kernels, gpu and link")]
    NoConstants,
    /// Nothing is exchanged.
    #[error(
        "--fit link: the model is on one GPU, and nothing goes over a link (`parallelism: {{tensor: 2}}`)"
    )]
    NoLink,
    /// Too few requests.
    #[error(
        "{found} requests with token times are too few to fit {constants} constants on half of them: at least {needed} are needed"
    )]
    TooFew {
        /// Requests found.
        found: usize,
        /// Constants to fit.
        constants: usize,
        /// Requests needed.
        needed: usize,
    },
    /// The figures do not go together.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// The scenario cannot be simulated.
    #[error("{0}")]
    Simulation(PlayError),
}

/// Fits the constants of `groups` to a real run, with the scenario's first scheduler. `progress`
/// is told the stage, how many simulations it took so far, and the root mean square error.
///
/// # Errors
/// When there is nothing to fit, or the scenario cannot be simulated.
pub fn calibrate(
    experiment: &Experiment,
    scheduler: &SchedulerRun,
    replay: &Replay,
    groups: &[Group],
    simulate: &dyn Simulate,
    progress: &dyn Fn(&str, usize, f64),
) -> Result<Calibration, CalibrationError> {
    if !experiment.pools.is_empty() {
        return Err(CalibrationError::Pools);
    }
    let Some(pricing) = &experiment.hardware.pricing else {
        return Err(CalibrationError::FixedTime);
    };
    let mut start = Pricing::clone(pricing);
    if groups.contains(&Group::Gpu) {
        own_gpu_constants(&mut start);
    }
    if groups.contains(&Group::Link) && !exchanges(&start) {
        return Err(CalibrationError::NoLink);
    }
    let constants = free(groups, &start);
    if constants.is_empty() {
        return Err(CalibrationError::NoConstants);
    }
    let places: Vec<usize> =
        (0..replay.observed.len()).filter(|&i| replay.observed[i].tokens_s.is_some()).collect();
    let needed = 4 * constants.len().max(2);
    if places.len() < needed {
        let (found, constants) = (places.len(), constants.len());
        return Err(CalibrationError::TooFew { found, constants, needed });
    }
    let problem = Problem { experiment, scheduler, replay, simulate, start, constants };
    // What cannot be simulated at the start is an error; later on it is a bad point.
    let before = problem.trace(&problem.start)?;
    let (first, second) = places.split_at(places.len() / 2);

    let half = problem.fit(first, &|n, rms| progress("first half", n, rms));
    let of_half = problem.trace(&problem.at(&half.at))?;
    // Not from the half's result: a fit that is fed its own result must find it again.
    let all = problem.fit(&places, &|n, rms| progress("all requests", n, rms));
    let fitted = problem.at(&all.at);
    let after = problem.trace(&fitted)?;
    let (constants, undetermined) = problem.determined(&all, &places);
    Ok(Calibration {
        constants,
        undetermined,
        before: errors(replay, &before, &places),
        in_sample: errors(replay, &of_half, first),
        out_of_sample: errors(replay, &of_half, second),
        after: errors(replay, &after, &places),
        warnings: carried(&problem.start, groups),
        profile: fitted.profile,
    })
}

/// What constants of these groups take in that is not theirs.
fn carried(pricing: &Pricing, groups: &[Group]) -> Vec<String> {
    if !exchanges(pricing) || groups.contains(&Group::Link) {
        return Vec::new();
    }
    let spread = pricing.parallelism;
    vec![format!(
        "fitted under parallelism: {{tensor: {}, pipeline: {}, data: {}, expert: {}}}: the constants carry what \
         the link between these GPUs takes more or less than its figures say, and hold for no other \
         number of GPUs; --fit {}link fits a factor of the link's beside them",
        spread.tensor,
        spread.pipeline,
        spread.data,
        spread.expert,
        if groups.contains(&Group::Host) { "host,kernels," } else { "" },
    )]
}

struct Problem<'a> {
    experiment: &'a Experiment,
    scheduler: &'a SchedulerRun,
    replay: &'a Replay,
    simulate: &'a dyn Simulate,
    start: Pricing,
    constants: Vec<Free>,
}

impl Problem<'_> {
    /// The pricing at a point in the optimiser's units.
    fn at(&self, x: &[f64]) -> Pricing {
        let mut pricing = self.start.clone();
        for (constant, x) in self.constants.iter().zip(x) {
            constant.set(&mut pricing, constant.value(*x));
        }
        pricing
    }

    fn start_point(&self) -> Vec<f64> {
        self.constants.iter().map(|c| c.get(&self.start) / c.step).collect()
    }

    fn bounds(&self) -> Vec<(f64, f64)> {
        self.constants.iter().map(|c| (c.bounds.0 / c.step, c.bounds.1 / c.step)).collect()
    }

    fn trace(&self, pricing: &Pricing) -> Result<TokenTrace, CalibrationError> {
        let cost = Arc::new(pricing.roofline()?);
        let experiment = Experiment { cost, ..self.experiment.clone() };
        let outcome = self
            .simulate
            .simulate(&experiment, self.scheduler, &self.replay.requests, PlayOptions::default())
            .map_err(CalibrationError::Simulation)?;
        Ok(outcome.trace)
    }

    /// Three residuals a request: end to end, TPOT, TTFT.
    fn residuals(&self, x: &[f64], places: &[usize]) -> Vec<f64> {
        let mut by_place = vec![[UNFINISHED; 3]; self.replay.observed.len()];
        if let Ok(trace) = self.trace(&self.at(x)) {
            let pairs = pairs(self.replay, &trace, Known::default());
            let ttfts = pairs.iter().map(|(_, p)| p.observed.ttft_from_entry).sum::<f64>();
            let mean_ttft = ttfts / pairs.len().max(1) as f64;
            for (place, pair) in pairs {
                by_place[place] = residuals(&pair, mean_ttft);
            }
        }
        places.iter().flat_map(|&place| by_place[place]).collect()
    }

    /// Fits from the scenario's own constants.
    fn fit(&self, places: &[usize], progress: &dyn Fn(usize, f64)) -> Found {
        let residuals = |x: &[f64]| self.residuals(x, places);
        minimise(&self.start_point(), &self.bounds(), &residuals, progress)
    }

    /// How well each constant is determined, and which moves are not.
    fn determined(&self, found: &Found, places: &[usize]) -> (Vec<Constant>, Vec<Flat>) {
        let x = &found.at[..];
        let residuals = |x: &[f64]| self.residuals(x, places);
        let bounds = self.bounds();
        let curvature = curvature(x, &bounds, &residuals);
        let directions = eigen(&curvature);
        // The mean square may grow by this much.
        let noise = RUN_TO_RUN * RUN_TO_RUN;
        let own = mean_square(&residuals(x));
        let square = own.max(noise);
        // A fit within the noise asks for nothing more.
        let good = square <= noise;
        // Where jumps of the schedule are larger than that, which of two points is better is their luck.
        let room = (square * ((1.0 + LOSS) * (1.0 + LOSS) - 1.0)).max(ripple(
            x,
            own,
            &curvature,
            &found.seen,
        ));
        let as_good = || found.seen.iter().filter(|(value, _)| *value <= square + room);
        let (before, after) = (self.start_point(), x);
        let constants = self.constants.iter().enumerate().map(|(i, constant)| {
            let squares = directions.iter().map(|(value, v)| v[i] * v[i] / value.max(1e-300));
            let far = (room * squares.sum::<f64>()).sqrt();
            // A point that was seen and fits as well counts, whatever slopes say.
            let far = as_good().map(|(_, other)| (other[i] - x[i]).abs()).fold(far, f64::max);
            let (low, high) = bounds[i];
            // The optimiser comes no nearer.
            let near = 2e-3 * (high - low);
            let on_edge = after[i] <= low + near || after[i] >= high - near;
            // A time of nothing, where nothing more is asked for, is no edge.
            let nothing = low == 0.0 && after[i] <= near && good;
            Constant {
                name: constant.name,
                unit: constant.unit,
                before: before[i] * constant.step,
                after: constant.value(after[i]),
                plus_minus: (far < high - low).then_some(far * constant.step),
                at_bound: on_edge && !nothing,
            }
        });
        let flat = directions.iter().filter_map(|(value, v)| {
            let far = (room / value.max(1e-300)).sqrt();
            (far > 1.0).then(|| self.flat(v, far.min(4.0)))
        });
        (constants.collect(), flat.collect())
    }

    fn flat(&self, direction: &[f64], far: f64) -> Flat {
        let moves = self.constants.iter().zip(direction).filter(|(_, part)| part.abs() > 0.01);
        let moves = moves.map(|(constant, part)| Move {
            name: constant.name,
            unit: constant.unit,
            by: part * far * constant.step,
        });
        Flat { moves: moves.collect() }
    }
}

fn residuals(pair: &Pair, mean_ttft: f64) -> [f64; 3] {
    let (o, s) = (&pair.observed, &pair.simulated);
    let ratio = |s: f64, o: f64| {
        if s > 0.0 && o > 0.0 { libm::log(s / o) } else { 0.0 }
    };
    let tpot = o.tpot.zip(s.tpot).map_or(0.0, |(o, s)| ratio(s, o));
    // A first token that comes within milliseconds may be off by as much: the mean as a floor.
    let ttft = (s.ttft_from_entry - o.ttft_from_entry) / (o.ttft_from_entry + mean_ttft);
    [ratio(s.e2e_from_entry, o.e2e_from_entry), tpot, if mean_ttft > 0.0 { ttft } else { 0.0 }]
}

fn errors(replay: &Replay, trace: &TokenTrace, places: &[usize]) -> Errors {
    let wanted: std::collections::BTreeSet<usize> = places.iter().copied().collect();
    let pairs: Vec<Pair> = pairs(replay, trace, Known::default())
        .into_iter()
        .filter_map(|(place, pair)| wanted.contains(&place).then_some(pair))
        .collect();
    let mean = |of: &dyn Fn(&Pair) -> Option<(f64, f64)>| {
        let (o, s) = pairs.iter().filter_map(of).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        (o > 0.0).then(|| s / o - 1.0)
    };
    Errors {
        requests: pairs.len(),
        mean_ttft: mean(&|p| Some((p.observed.ttft_from_entry, p.simulated.ttft_from_entry))),
        mean_tpot: mean(&|p| p.observed.tpot.zip(p.simulated.tpot)),
        mean_e2e: mean(&|p| Some((p.observed.e2e_from_entry, p.simulated.e2e_from_entry))),
        per_request_e2e_mape: e2e_mape(&pairs),
    }
}
