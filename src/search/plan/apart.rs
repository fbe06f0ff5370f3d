//! The answer's GPUs with prefill and decode apart: what each division of them carries, and whether fewer
//! would do.

use serde_json::Value;

use super::answer::PRECISION;
use super::cells::resolved;
use super::file::{PlanAnswer, PlanApart};
use super::question::PlanQuestion;
use crate::scenario::Experiment;
use crate::search::capacity::{CapacityOptions, RatioCapacity, best, ratios};
use crate::search::probe::{SearchError, Study};

/// What is asked of a fleet that is apart.
pub(super) struct Apart<'a> {
    pub question: &'a PlanQuestion,
    /// What the KV goes over: a name of `list links`.
    pub link: &'a str,
    /// Seed of the first run, in place of the scenario's.
    pub seed: Option<u64>,
    pub seeds: u32,
    /// Requests a second or users.
    pub load: f64,
}

impl Apart<'_> {
    /// What is set in the scenario beside the answer's own, with so many replicas of each role.
    fn set(&self, answer: &PlanAnswer, prefill: u32, decode: u32) -> Vec<String> {
        let own = answer.set.iter().filter(|set| !set.starts_with("replicas="));
        let pools = format!(
            "pools=[{{name: prefill, role: prefill, replicas: {prefill}}}, {{name: decode, role: decode, \
             replicas: {decode}}}]"
        );
        let link = format!("disaggregation={{transfer: {{link: {}}}}}", self.link);
        // Pools say how many there are of each.
        let none = self.question.document.gives("replicas").then(|| "replicas=null".to_owned());
        own.cloned().chain(none).chain([pools, link]).collect()
    }

    /// What divisions of an answer's GPUs carry, `study` being what is kept of a search but for the
    /// scenario. `kept_up` puts the load that is asked for in place of one that changes with time.
    ///
    /// # Errors
    /// When a simulation is stuck.
    pub(super) fn of(
        &self,
        answer: &PlanAnswer,
        study: Study<'_>,
        kept_up: impl Fn(&Experiment) -> Experiment,
    ) -> Result<PlanApart, SearchError> {
        let none =
            |why| PlanApart { link: self.link.to_owned(), why_not: why, ..PlanApart::default() };
        let experiment = match resolved(&self.question.document, &self.set(answer, 1, 1), self.seed)
        {
            Ok(resolved) => kept_up(&resolved.experiment),
            Err(why) => return Ok(none(Some(why))),
        };
        let study = Study { experiment: &experiment, ..study };
        let replica = answer.gpus / answer.replicas.max(1);
        let options = CapacityOptions {
            seeds: self.seeds,
            precision: PRECISION,
            ..CapacityOptions::default()
        };
        let curve = |gpus: u32| ratios(study, &Value::Null, &options, gpus);
        let divisions = curve(answer.gpus.max(2 * replica))?;
        let mut fewest = best(&divisions, false).filter(|one| self.holds(one)).cloned();
        // What a division carries grows about as its GPUs do.
        let mut gpus = match fewest.as_ref().and_then(|one| Some((one.gpus, one.load?))) {
            Some((gpus, load)) => {
                let replicas = f64::from(gpus / replica) * self.load / load;
                (replicas.ceil() as u32 * replica).max(2 * replica)
            }
            None => u32::MAX,
        };
        while fewest.as_ref().is_some_and(|one| gpus < one.gpus) {
            let fewer = curve(gpus)?;
            if let Some(found) = best(&fewer, false).filter(|one| self.holds(one)) {
                fewest = Some(found.clone());
                break;
            }
            gpus += replica;
        }
        let usd = answer.usd_per_gpu_hour;
        Ok(PlanApart {
            usd_per_hour: fewest.as_ref().and_then(|one| usd.map(|usd| usd * f64::from(one.gpus))),
            set: fewest
                .as_ref()
                .map(|one| self.set(answer, one.prefill_replicas, one.decode_replicas))
                .unwrap_or_default(),
            fewest,
            divisions,
            ..none(None)
        })
    }

    /// Whether every seed's run held the load.
    fn holds(&self, division: &RatioCapacity) -> bool {
        let load = division.load.unwrap_or(0.0) - division.half_width.unwrap_or(0.0);
        load >= self.load
    }
}
