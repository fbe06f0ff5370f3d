//! What requests get that have the system to themselves: a promise that those do not keep, no load
//! keeps.

use super::file::Alone;
use super::knob::Knob;
use crate::metrics::Latency;
use crate::promise::Term;
use crate::scenario::SchedulerRun;
use crate::search::goal::Goal;
use crate::search::lone::one_at_a_time;
use crate::search::probe::{Length, Load, Probe, SearchError, Study};
use crate::search::size::FleetSize;

/// As many requests tell what the others get.
const REQUESTS_MAX: usize = 2_000;

/// Plays the scenario's requests one at a time. `None` where they cannot be kept apart, or time
/// ran out. What it finds decides only if the requests of every seed agree.
///
/// # Errors
/// When the requests cannot be drawn or the run is stuck.
pub(super) fn alone(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    knob: Knob,
    seeds: &[u64],
) -> Result<Option<Alone>, SearchError> {
    // What a load must bring about, such as a throughput, is no matter of single requests.
    let goal = Goal { assertions: Vec::new(), ..study.goal.clone() };
    let study = Study { goal: &goal, ..study };
    let own = study.experiment.seed;
    let Some(probe) = one_at_a_time(study, scheduler, own, Length::Whole, REQUESTS_MAX)? else {
        return Ok(None);
    };
    let Some(run) = &probe.result else { return Ok(None) };
    let judged = goal.judge(run);
    let mut decides = !judged.broken.is_empty();
    let breaks = |probe: Option<Probe>| probe.is_some_and(|probe| !probe.broken.is_empty());
    for &seed in seeds {
        let until = Length::UntilBroken;
        let broken = decides
            && (seed == own || breaks(one_at_a_time(study, scheduler, seed, until, REQUESTS_MAX)?));
        decides = broken && {
            // A policy may wait for company: then more of it helps.
            let offered = knob.offered(knob.range().from);
            let size = FleetSize::of(study.experiment);
            let load = Load { played: until, ..Load::whole(offered, size, seed) };
            breaks(study.probe(scheduler, &load)?)
        };
    }
    let summary = &run.summary;
    let broken_terms = goal.counted(&run.slo).filter(|term| term.met == Some(false));
    Ok(Some(Alone {
        requests: summary.requests.offered,
        rejected: summary.requests.rejected,
        fluid_request_share: summary.fluidity.as_ref().and_then(|f| f.fluid_request_share),
        ttft_in_time_share: summary.ttft_in_time_share,
        ttft_p99_s: summary.known(Latency::Ttft, |of| of.p99),
        decides,
        in_words: broken_terms.map(Term::sentence).collect(),
        broken: judged.broken.iter().map(|told| told.replace(" = ", " is ")).collect(),
        warnings: run.warnings.clone(),
    }))
}
