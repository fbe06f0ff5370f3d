//! The links between GPUs, put in place of the GPU's own.

use super::check::Check;
use super::owner::Owner;
use crate::catalog::{AllReduce, Gpu, GpuOverrides};
use crate::scenario::raw::{GpuRef, Interconnect, Links, TextOr};

/// GPUs of a node where the GPU's file does not say: what servers of cards and boards have.
const GPUS_PER_NODE: u32 = 8;

/// A network holds for as many GPUs as one likes.
const GPUS_MAX: u32 = 1 << 16;

/// The GPU with the scenario's links; `None` when they are wrong (and reported).
pub(super) fn linked(
    check: &mut Check<'_>,
    owner: &Owner,
    gpu: Gpu,
    given: Option<&GpuRef>,
    links: Links,
) -> Option<Gpu> {
    let mut gpu = gpu;
    if let Some(node) = links.node {
        let path = owner.path(check, &["links", "node"]);
        if matches!(given, Some(TextOr::Map(figures)) if figures.interconnect.is_some()) {
            let message =
                "`links.node` and `gpu.interconnect` are the same link, and both are given";
            check.report(&path, message.to_owned(), "keep one of the two");
            return None;
        }
        let overrides = GpuOverrides {
            interconnect_bytes_per_s: node.bandwidth.map(|b| b.0 as f64),
            interconnect_latency_us: node.latency.map(|l| l.0.as_nanos() as f64 / 1e3),
            ..GpuOverrides::default()
        };
        match gpu.with(&overrides) {
            Ok(linked) => gpu = linked,
            Err(invalid) => {
                check.report(&path, invalid.to_string(), "");
                return None;
            }
        }
    }
    let Some(Interconnect { bandwidth, latency }) = links.network else { return Some(gpu) };
    let path = owner.path(check, &["links", "network"]);
    let (Some(bandwidth), Some(latency)) = (bandwidth, latency) else {
        let missing = if bandwidth.is_none() { "bandwidth" } else { "latency" };
        let message = format!("the network between nodes needs its {missing} too");
        let help = "such as `links: {network: {bandwidth: 50GB/s, latency: 10us}}`";
        check.missing(&path, &[missing], message, help);
        return None;
    };
    if gpu.gpus_per_node.is_none() {
        gpu.gpus_per_node = Some(GPUS_PER_NODE);
        let name = &gpu.name;
        check.warnings.push(format!(
            "{path}: {name} does not say how many GPUs a node has; taken to be {GPUS_PER_NODE}"
        ));
    }
    gpu.network = Some(AllReduce {
        gpus: GPUS_MAX,
        latency_us: latency.0.as_nanos() as f64 / 1e3,
        gb_per_s: bandwidth.0 as f64 / 1e9,
    });
    if let Err(invalid) = gpu.validate() {
        check.report(&path, invalid.to_string(), "");
        return None;
    }
    Some(gpu)
}
