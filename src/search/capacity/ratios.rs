//! Prefill and decode apart: how many replicas of each a number of GPUs is best divided into, beside the
//! same GPUs colocated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Capacity, CapacityOptions, find_capacity};
use crate::fleet::{Role, RouterKind};
use crate::scenario::{Experiment, Pool};
use crate::search::probe::{SearchError, Study};
use crate::shown::three_digits;

/// The most ratios that are searched; of more, as many, spread evenly.
const RATIOS_MAX: u32 = 16;

/// What one division of the GPUs can carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatioCapacity {
    /// The scheduler's label.
    pub label: String,
    /// Replicas that prefill; 0 where all do both.
    pub prefill_replicas: u32,
    /// Replicas that decode, or that do both.
    pub decode_replicas: u32,
    /// The pool whose replicas all are, where all do both.
    pub colocated: Option<String>,
    /// GPUs of all replicas.
    pub gpus: u32,
    /// The highest load that holds, in requests a second or users; null when none does.
    pub load: Option<f64>,
    /// Half the width of its 95 % interval over seeds.
    pub half_width: Option<f64>,
    /// What gives way just above.
    pub limited_by: Vec<String>,
}

/// The capacity of each division of `gpus` GPUs, and of them colocated.
///
/// # Errors
/// When the scenario has not one pool of each role, too few GPUs are given, or a search fails.
pub fn ratios(
    study: Study<'_>,
    scenario: &Value,
    options: &CapacityOptions,
    gpus: u32,
) -> Result<Vec<RatioCapacity>, SearchError> {
    let options =
        CapacityOptions { for_rate: None, for_users: None, pool: None, ..options.clone() };
    let mut found = Vec::new();
    for fleet in fleets(study.experiment, gpus)? {
        let Fleet { experiment, prefill_replicas, decode_replicas, colocated } = fleet;
        let other = Study { experiment: &experiment, kept: None, ..study };
        let file = find_capacity(other, scenario.clone(), &options)?;
        found.extend(file.schedulers.into_iter().map(|capacity: Capacity| {
            let border = capacity.border().map(|border| (border.mean, border.half_width));
            RatioCapacity {
                label: capacity.label,
                prefill_replicas,
                decode_replicas,
                colocated: colocated.clone(),
                gpus: experiment.gpus(),
                load: border.map(|(mean, _)| mean),
                half_width: border.and_then(|(_, half_width)| half_width),
                limited_by: capacity.limited_by,
            }
        }));
    }
    Ok(found)
}

/// A division of the GPUs.
struct Fleet {
    experiment: Experiment,
    prefill_replicas: u32,
    decode_replicas: u32,
    colocated: Option<String>,
}

fn no_sense(why: &str) -> SearchError {
    SearchError::NoSense(why.to_owned())
}

fn fleets(experiment: &Experiment, gpus: u32) -> Result<Vec<Fleet>, SearchError> {
    let place = |role: Role| {
        let mut of = experiment.pools.iter().enumerate().filter(|(_, pool)| pool.role == role);
        match (of.next(), of.next()) {
            (Some((place, _)), None) => Ok(place),
            _ => Err(no_sense(
                "--gpus divides GPUs between one pool that prefills and one that decodes: give the \
                 scenario one `pools` entry of each role",
            )),
        }
    };
    let (prefill, decode) = (place(Role::Prefill)?, place(Role::Decode)?);
    // Data-parallel ranks come together.
    let together = |pool: &Pool| pool.hardware.data_ranks.max(1);
    let each = |pool: &Pool| together(pool) * pool.hardware.gpus_per_replica.max(1);
    let [of_prefill, of_decode] = [prefill, decode].map(|place| each(&experiment.pools[place]));
    let most = gpus.saturating_sub(of_decode) / of_prefill;
    if most == 0 {
        let least = of_prefill + of_decode;
        return Err(no_sense(&format!(
            "--gpus {gpus}: one replica of each role takes {least} GPUs"
        )));
    }
    let counts = 1..=most;
    let every = most.div_ceil(RATIOS_MAX);
    let mut all = Vec::new();
    for count in counts.filter(|count| count % every == 0 || *count == 1) {
        let decodes = (gpus - count * of_prefill) / of_decode;
        let mut one = experiment.clone();
        one.pools[prefill].replicas = count * together(&experiment.pools[prefill]);
        one.pools[decode].replicas = decodes * together(&experiment.pools[decode]);
        one.replicas = one.pools.iter().map(|pool| pool.replicas).sum();
        all.push(Fleet {
            prefill_replicas: one.pools[prefill].replicas,
            decode_replicas: one.pools[decode].replicas,
            colocated: None,
            experiment: one,
        });
    }
    let alike = of_prefill == of_decode;
    for place in [decode, prefill].into_iter().take(if alike { 1 } else { 2 }) {
        let pool = &experiment.pools[place];
        let replicas = gpus / each(pool) * together(pool);
        let pools = vec![Pool { role: Role::Both, replicas, ..pool.clone() }];
        let one = Experiment {
            replicas,
            router: RouterKind::LeastRequests,
            disaggregation: None,
            cost: pool.cost.clone(),
            engine: pool.engine.clone(),
            hardware: pool.hardware.clone(),
            pools,
            ..experiment.clone()
        };
        let colocated = Some(pool.name.clone());
        all.push(Fleet {
            experiment: one,
            prefill_replicas: 0,
            decode_replicas: replicas,
            colocated,
        });
    }
    Ok(all)
}

/// The division that carries most, of those colocated or apart.
pub(crate) fn best<'a>(
    all: impl IntoIterator<Item = &'a RatioCapacity>,
    colocated: bool,
) -> Option<&'a RatioCapacity> {
    let of = all.into_iter().filter(|one| one.colocated.is_some() == colocated);
    of.filter(|one| one.load.is_some()).max_by(|a, b| {
        let load = |one: &RatioCapacity| one.load.unwrap_or(0.0);
        load(a).total_cmp(&load(b))
    })
}

/// The curve for people: a line a division, the best one first said.
pub(crate) fn ratio_lines(all: &[RatioCapacity], unit: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut labels: Vec<&str> = all.iter().map(|one| one.label.as_str()).collect();
    labels.dedup();
    labels.sort_unstable();
    labels.dedup();
    for label in labels {
        let own: Vec<&RatioCapacity> = all.iter().filter(|one| one.label == label).collect();
        let best = |colocated| best(own.iter().copied(), colocated);
        if let (Some(apart), Some(together)) = (best(false), best(true)) {
            let (a, b) = (apart.load.unwrap_or(0.0), together.load.unwrap_or(0.0));
            let times = if b > 0.0 {
                format!(", {} times as much", three_digits(a / b))
            } else {
                String::new()
            };
            lines.push(format!(
                "{label}: the best division is {}:{} with {} {unit}{times} as colocated ({})",
                apart.prefill_replicas,
                apart.decode_replicas,
                three_digits(a),
                three_digits(b),
            ));
        }
        for one in own {
            let what = match &one.colocated {
                Some(pool) => format!("colocated, {} x {pool}", one.decode_replicas),
                None => format!("{}:{}", one.prefill_replicas, one.decode_replicas),
            };
            let load = match (one.load, one.half_width) {
                (Some(load), Some(width)) => {
                    format!("{} +- {} {unit}", three_digits(load), three_digits(width))
                }
                (Some(load), None) => format!("{} {unit}", three_digits(load)),
                (None, _) => "none holds".to_owned(),
            };
            let limit = match one.limited_by.as_slice() {
                [] => String::new(),
                of => format!("; {}", of.join(", ")),
            };
            lines.push(format!("{what}, {} GPUs: {load}{limit}", one.gpus));
        }
    }
    lines
}
