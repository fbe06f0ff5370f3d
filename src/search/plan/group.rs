//! The cheapest cell of one GPU.

use super::asked::too_many_sessions;
use super::cells::{ReplicaKind, spread};
use super::file::{PlanAnswer, PlanInfeasible};
use super::fleet::{Cell, Fewest, Question};
use super::search::infeasible;
use super::sessions::alone;
use crate::metrics::Latency;
use crate::promise::TtftDeadline;
use crate::scenario::Experiment;
use crate::search::lone::{Lone, lone};
use crate::search::probe::{Probe, SearchError};
use crate::search::watch::Task;
use crate::time::Span;

/// Requests that are played one at a time.
const LONE: usize = 100;

/// What came of one GPU.
pub(super) struct Group {
    pub(super) answer: Option<PlanAnswer>,
    pub(super) infeasible: Vec<PlanInfeasible>,
    pub(super) simulated: u32,
    pub(super) complete: bool,
    /// What a reader should know.
    pub(super) notes: Vec<String>,
}

/// What became of requests that were alone.
enum Lonely {
    /// They cannot be kept apart, or time ran out.
    NotKnown,
    /// They keep the promise.
    Keeps,
    /// Why they do not, and how long the first token takes at P99.
    Breaks(String, Option<f64>),
}

/// The cheapest cell so far, and what its last run was.
pub(super) struct Best<'a> {
    pub(super) cell: Cell<'a>,
    pub(super) replicas: u32,
    pub(super) probe: Probe,
}

impl Question<'_> {
    /// The cheapest cell of one GPU.
    pub(super) fn group(
        &self,
        kinds: &[ReplicaKind],
        task: Task<'_>,
    ) -> Result<Group, SearchError> {
        let mut group = Group {
            answer: None,
            infeasible: Vec::new(),
            simulated: 0,
            complete: true,
            notes: Vec::new(),
        };
        let steady: Vec<Option<Experiment>> =
            kinds.iter().map(|kind| Some(self.kept_up(kind.experiment.as_ref().ok()?))).collect();
        let mut cells: Vec<Cell<'_>> = Vec::new();
        let mut needs: Vec<(usize, &Experiment, f64)> = Vec::new();
        for (kind, experiment) in kinds.iter().zip(&steady) {
            let Some(experiment) = experiment else {
                group.infeasible.push(infeasible(kind, kind.why()));
                continue;
            };
            match self.lonely(experiment)? {
                Lonely::NotKnown | Lonely::Keeps => {}
                Lonely::Breaks(why, needed) => {
                    let place = group.infeasible.len();
                    needs.extend(needed.map(|needed| (place, experiment, needed)));
                    let said = format!("TP{}: {why}", kind.parallelism.tensor);
                    group.infeasible.push(infeasible(kind, said));
                    self.watch.decided(experiment.schedulers.len());
                    continue;
                }
            }
            let least = self.least_replicas(experiment)?;
            let all = experiment.schedulers.iter();
            cells.extend(all.map(|scheduler| Cell { kind, experiment, scheduler, least }));
        }
        crate::order::sort_by(&mut cells, |a, b| {
            let of = |cell: &Cell<'_>| (self.price(cell, cell.least), cell.kind.gpus());
            of(a).0.total_cmp(&of(b).0).then(of(a).1.cmp(&of(b).1))
        });
        let mut best: Option<Best<'_>> = None;
        let mut left = cells.len() as u64;
        for cell in cells {
            left -= 1;
            task.expects((left / 4 + 2) * self.requests(cell.experiment));
            let most = match &best {
                Some(best) if !self.options.exhaustive => {
                    let cheaper = self.price(&best.cell, best.replicas) * (1.0 - 1e-9);
                    let most = (cheaper / self.price(&cell, 1)).floor();
                    // Nothing is cheaper than what costs nothing.
                    if cheaper <= 0.0 || most < f64::from(cell.least) {
                        self.watch.decided(1);
                        continue;
                    }
                    (most as u32).min(self.options.max_replicas)
                }
                _ => self.options.max_replicas,
            };
            group.simulated += 1;
            match self.fewest(&cell, most, best.is_some())? {
                Fewest::TimeRanOut => group.complete = false,
                Fewest::Found(replicas, probe) => {
                    let cheaper = best.as_ref().is_none_or(|best| {
                        self.price(&cell, replicas) < self.price(&best.cell, best.replicas)
                    });
                    if cheaper {
                        best = Some(Best { cell, replicas, probe: *probe });
                    }
                }
                Fewest::TooMany(settling) => {
                    group.notes.push(too_many_sessions(&settling));
                    break;
                }
                Fewest::None => {}
            }
            self.watch.decided(1);
        }
        if let Some(best) = best {
            let (answer, notes) = self.answer(best, &mut group.complete)?;
            group.answer = Some(answer);
            group.notes.extend(notes);
        }
        task.expects(0);
        self.mend(&mut group, &needs)?;
        Ok(group)
    }

    /// Says of each kind that cannot hold the promise which change was seen to mend it: the GPU's own answer,
    /// or a later first token.
    fn mend(
        &self,
        group: &mut Group,
        needs: &[(usize, &Experiment, f64)],
    ) -> Result<(), SearchError> {
        if let Some(answer) = group.answer.as_ref().map(in_words) {
            for one in &mut group.infeasible {
                one.nearest_change = Some(answer.clone());
            }
            return Ok(());
        }
        for &(place, experiment, needed) in needs {
            let due = rounded_up(needed);
            let mut later = experiment.clone();
            let slo = &mut later.promises.common;
            slo.ttft = TtftDeadline::Fixed(due);
            for bound in slo.bounds.iter_mut().filter(|bound| bound.latency == Latency::Ttft) {
                bound.at_most = bound.at_most.max(due);
            }
            if matches!(self.lonely(&later)?, Lonely::Keeps) {
                group.infeasible[place].nearest_change = Some(format!(
                    "a first token within {}, which requests that are alone get",
                    crate::shown::duration(due.as_secs_f64())
                ));
            }
        }
        Ok(())
    }

    /// Whether requests that are alone keep the promise.
    fn lonely(&self, experiment: &Experiment) -> Result<Lonely, SearchError> {
        if self.options.exhaustive {
            return Ok(Lonely::NotKnown);
        }
        // One session after the other, where there are sessions.
        let one = self.pace.map(|pace| alone(experiment, pace.mean.turns, LONE));
        let experiment = one.as_ref().unwrap_or(experiment);
        let study = self.study(experiment);
        let mut found = Lonely::NotKnown;
        for scheduler in &experiment.schedulers {
            let Some(lone) = lone(study, scheduler, self.seeds[0], LONE)? else {
                return Ok(Lonely::NotKnown);
            };
            match self.why(&experiment.promises.common, &lone) {
                None => return Ok(Lonely::Keeps),
                Some(why) if matches!(found, Lonely::NotKnown) => {
                    found = Lonely::Breaks(why, lone.ttft_p99_s);
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }

    fn why(&self, slo: &crate::promise::Slo, lone: &Lone) -> Option<String> {
        let all = lone.requests as f64;
        let allowed = (1.0 - slo.fluid_share) * all;
        let beyond_chance = allowed + 3.0 * allowed.sqrt() + 1.0;
        let due = match slo.ttft {
            TtftDeadline::Fixed(due) => due.as_secs_f64(),
            TtftDeadline::PrefillCurvePlus { .. } => f64::INFINITY,
        };
        if lone.rejected as f64 > beyond_chance {
            return Some(format!(
                "{} of the requests do not fit its memory or context",
                crate::shown::percent(lone.rejected as f64 / all)
            ));
        }
        let late = lone.late as f64;
        if late > beyond_chance && !slo.bounds.is_empty() {
            return Some(format!(
                "{:.0} % of prompts cannot be prefilled in {} even alone",
                100.0 * late / all,
                crate::shown::duration(due)
            ));
        }
        if lone.choppy as f64 > beyond_chance {
            let pace = lone.tpot_p50_s.unwrap_or_default();
            return Some(format!(
                "a request alone gets a token every {}, and {} are promised",
                crate::shown::duration(pace),
                crate::shown::duration(slo.tbt.as_secs_f64())
            ));
        }
        None
    }
}

/// An answer as a change to something else: its kind, how many and what they cost.
pub(super) fn in_words(answer: &PlanAnswer) -> String {
    let price = answer.usd_per_hour.map_or(String::new(), |usd| format!(", ${usd:.2}/h"));
    format!(
        "{}: {} replica{}{price}",
        spread(answer.parallelism, &answer.dtype),
        answer.replicas,
        if answer.replicas == 1 { "" } else { "s" }
    )
}

/// Rounded up, so that it is no less as it reads.
fn rounded_up(seconds: f64) -> Span {
    let step = libm::pow(10.0, libm::log10(seconds.max(1e-6)).floor() - 2.0);
    Span::from_nanos(((seconds / step).ceil() * step * 1e9).round() as u64)
}
