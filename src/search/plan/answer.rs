//! All that is said of a cell that holds the load.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::asked::{Asked, short_recording};
use super::file::PlanAnswer;
use super::fleet::{Cell, Question};
use super::group::Best;
use super::launch::launch;
use super::question::short;
use super::written;
use crate::catalog;
use crate::scenario::SchedulerRun;
use crate::search::bisect::{Range, Shown, bracket_from};
use crate::search::interval::Border;
use crate::search::probe::{Probe, SearchError};
use crate::threads;
use crate::workload::Arrivals;

/// How closely the load that an answer carries is bracketed.
pub(super) const PRECISION: f64 = 0.02;
/// It is looked for up to so many times the load that was asked for.
const TIMES_MAX: f64 = 16.0;

impl Question<'_> {
    /// What the plan says of the cheapest cell, with its notes.
    pub(super) fn answer(
        &self,
        best: Best<'_>,
        complete: &mut bool,
    ) -> Result<(PlanAnswer, Vec<String>), SearchError> {
        let Best { cell, replicas, probe } = best;
        let study = self.study(cell.experiment);
        type Bracket = Result<(bool, f64, Option<f64>), SearchError>;
        let sessions_end = AtomicBool::new(false);
        let brackets: Vec<Bracket> = threads::spread_map(self.seeds.iter().collect(), |&seed| {
            let range = Range { from: 1.0, least: 1.0, most: TIMES_MAX, whole: false };
            let guess = 1.0 + 0.5 / f64::from(replicas);
            let found = bracket_from(PRECISION, range, Some(guess), |value| {
                // It held there a moment ago.
                if value == 1.0 {
                    return Ok(Some(Shown::Holds));
                }
                let load = self.on(&cell, replicas, seed, value)?;
                let probe = study.probe(cell.scheduler, &load)?;
                Ok::<_, SearchError>(probe.map(|probe| probe.shows()))
            })?;
            // Where sessions begin for too short a time to tell, no load is known not to hold.
            let above = match self.pace {
                Some(_) => found.fails,
                None => found.open.or(found.fails),
            };
            sessions_end.fetch_or(self.pace.is_some() && found.open.is_some(), Ordering::Relaxed);
            Ok((found.complete, found.holds.unwrap_or(1.0), above))
        });
        let brackets = brackets.into_iter().collect::<Result<Vec<_>, _>>()?;
        *complete &= brackets.iter().all(|one| one.0);
        let ends: Vec<(f64, Option<f64>)> = brackets.iter().map(|one| (one.1, one.2)).collect();
        let asked = self.load.amount();
        let border = Border::of(&ends, false);
        let (lower, upper, mean) = border.map_or((1.0, None, 1.0), |border| {
            // Every seed was seen to hold the load.
            (border.lower.max(1.0), border.upper, border.mean)
        });
        let kind = cell.kind;
        let gpus = replicas * kind.gpus();
        let usd_per_gpu_hour = cell.experiment.hardware.price_usd_per_gpu_hour;
        let usd_per_hour = usd_per_gpu_hour.map(|usd| usd * f64::from(gpus));
        let run = probe.result.as_ref();
        let tokens = run.map(|run| {
            run.summary.tokens.output as f64 / run.summary.requests.offered.max(1) as f64
        });
        let sessions = run.and_then(|run| run.sessions.as_deref());
        let sessions_per_s = sessions.and_then(|sessions| match self.load {
            Asked::Rate { rate, mean, .. } => Some(mean.unwrap_or(rate)),
            // Little's law: each user has one session, or thinks.
            Asked::Users(users) => {
                let think = match cell.experiment.workload.source.arrivals() {
                    Some(&Arrivals::ClosedLoop { think_time, .. }) => think_time.as_secs_f64(),
                    _ => 0.0,
                };
                Some(f64::from(users) / (sessions.completion_s.mean? + think))
            }
        });
        let rate = match (self.load, sessions) {
            (_, Some(sessions)) => {
                let turns = sessions.turns as f64 / sessions.begun.max(1) as f64;
                sessions_per_s.map(|rate| rate * turns)
            }
            (Asked::Rate { rate, mean, .. }, None) => Some(mean.unwrap_or(rate)),
            (Asked::Users(_), None) => {
                run.and_then(|run| run.summary.throughput.and_then(|all| all.requests_per_s))
            }
        };
        let per_hour = tokens.zip(rate).map(|(tokens, rate)| tokens * rate * 3600.0);
        let per_million = usd_per_hour
            .zip(per_hour.filter(|tokens| *tokens > 0.0))
            .map(|(usd, tokens)| usd / tokens * 1e6);
        let replaced = kind.set.iter().any(|set| set.contains("price"));
        let catalogued = catalog::gpu(&kind.gpu).ok();
        let pool = cell.experiment.fleet()[0];
        let mut set = kind.set.clone();
        set.extend(self.set.iter().cloned());
        set.extend(self.load_as_judged(&cell, replicas, &probe)?);
        set.push(format!("replicas={replicas}"));
        let parameters = given_parameters(cell.scheduler);
        set.push(format!("schedulers=[{{{}: {parameters}}}]", cell.scheduler.name));
        let started = launch(&pool, cell.scheduler);
        let mut notes = Vec::new();
        if let Some(settling) = probe.unsettled() {
            notes.push(short_recording(&settling));
        } else if sessions_end.into_inner() {
            let carried = short(lower * asked);
            notes.push(format!(
                "{}: of more than {carried} sessions/s nothing is shown: sessions begin for too short a time \
                 for as many to end as begin",
                kind.gpu
            ));
        }
        let answer = PlanAnswer {
            gpu: kind.gpu.clone(),
            parallelism: kind.parallelism,
            dtype: kind.dtype.clone(),
            scheduler: cell.scheduler.label.clone(),
            replicas,
            gpus,
            usd_per_hour,
            usd_per_million_output_tokens: per_million,
            usd_per_session: usd_per_hour
                .zip(sessions_per_s)
                .map(|(usd, sessions)| usd / 3600.0 / sessions),
            usd_per_gpu_hour,
            price_source: match replaced {
                true => Some("given with --price".to_owned()),
                false => catalogued
                    .as_ref()
                    .map(|gpu| gpu.source.price.trim().to_owned())
                    .filter(|price| !price.is_empty()),
            },
            interval: (lower * asked, upper.map(|upper| upper * asked)),
            sessions_per_s: sessions_per_s
                .map(|rate| (lower * rate, upper.map(|upper| upper * rate))),
            head_room: mean - 1.0,
            ttft_p99_s: run.and_then(|run| run.summary.ttft_s.p99),
            fluid_request_share: run
                .and_then(|run| run.summary.fluidity.as_ref()?.fluid_request_share),
            caution: catalogued.and_then(|gpu| gpu.evidence.caution(&kind.gpu)),
            launch: started.as_ref().map(|one| one.line.clone()),
            not_in_launch: started.map_or(Vec::new(), |one| one.left_out),
            set,
            apart: None,
        };
        Ok((answer, notes))
    }

    /// What makes the scenario's load the one that the first seed's run held.
    fn load_as_judged(
        &self,
        cell: &Cell<'_>,
        replicas: u32,
        probe: &Probe,
    ) -> Result<Vec<String>, SearchError> {
        let Ok(own) = &cell.kind.experiment else { return Ok(Vec::new()) };
        let judged = self.on(cell, replicas, self.seeds[0], 1.0)?;
        let mut played = self.study(cell.experiment).at(&judged)?.workload;
        if let Some(settling) = probe.settling.filter(|_| played.source.sessions().is_some()) {
            let begun = |count: u32| count.max(settling.begun);
            played.amount.requests = played.amount.requests.map(begun);
        }
        let mut set = written::load(self.document, &own.workload, &played);
        set.extend(self.options.seed.map(|seed| format!("seed={seed}")));
        Ok(set)
    }
}

/// The parameters that are not a scheduler's defaults, as YAML.
fn given_parameters(scheduler: &SchedulerRun) -> Value {
    let defaults = crate::scheduler::SchedulerConfig::by_name(&scheduler.name)
        .map_or(Value::Null, |config| config.parameters());
    let own = scheduler.config.parameters();
    let own = own.as_object().cloned().unwrap_or_default();
    own.into_iter().filter(|(name, value)| defaults.get(name) != Some(value)).collect()
}
