//! What joins GPUs: within a node, and between nodes.

use metron_sim::catalog::Gpu;
use metron_sim::scenario::{Document, Files};

/// A scenario with these lines, resolved: its GPU and warnings, or what is wrong with it.
fn resolved(rest: &str) -> Result<(Gpu, Vec<String>), String> {
    let text = format!(
        "model: llama-3.1-405b\n{rest}schedulers: [vllm-v1: {{}}]\nworkload:\n  requests: 2\n  \
         arrivals: {{closed_loop: {{users: 1, think_time: 0s}}}}\n  lengths: {{prompt: {{fixed: 8}}, \
         output: {{fixed: 8}}}}\n"
    );
    let document = Document::from_text("links", &text, Files::any("")).unwrap();
    match document.resolve(None) {
        Ok(found) => Ok((found.experiment.hardware.pricing.unwrap().gpu, found.warnings)),
        Err(error) => Err(format!("{error:?}")),
    }
}

const H100: &str = "gpu: h100-sxm\nparallelism: {tensor: 16}\n";

#[test]
fn more_gpus_than_a_node_has_go_over_the_network() {
    let error = resolved(H100).unwrap_err();
    assert!(error.contains("links: {network: {bandwidth: 50GB/s, latency: 10us}}"), "{error}");
    assert!(error.contains("give interconnect: {bandwidth, latency}"), "{error}");

    let network = "links: {network: {bandwidth: 50GB/s, latency: 10us}}\n";
    let (gpu, warnings) = resolved(&format!("{H100}{network}")).unwrap();
    let between = gpu.all_reduce_on(16).unwrap();
    assert_eq!((between.gb_per_s, between.latency_us), (50.0, 10.0));
    // Within a node nothing changes.
    assert_eq!(gpu.all_reduce_on(8).unwrap().gb_per_s, 100.34);
    assert!(warnings.iter().all(|w| !w.contains("links")), "{warnings:?}");

    // A rack of 72 is one node.
    let rack = H100.replace("h100-sxm", "gb200");
    assert_eq!(resolved(&rack).unwrap().0.all_reduce_on(16).unwrap().gb_per_s, 159.55);
    let (gpu, _) = resolved(&format!("{rack}{network}")).unwrap();
    assert_eq!(gpu.all_reduce_on(72).unwrap().gb_per_s, 159.55);
    assert_eq!(gpu.all_reduce_on(128).unwrap().gb_per_s, 50.0);
}

#[test]
fn the_link_of_a_node_is_the_gpus_interconnect() {
    let node = "links: {node: {bandwidth: 64GB/s, latency: 8us}}\n";
    let (gpu, _) = resolved(&format!("gpu: h200-sxm\nparallelism: {{tensor: 8}}\n{node}")).unwrap();
    let figures = "gpu: {base: h200-sxm, interconnect: {bandwidth: 64GB/s, latency: 8us}}\n";
    let (same, _) = resolved(&format!("{figures}parallelism: {{tensor: 8}}\n")).unwrap();
    assert_eq!(gpu, same);
    let error = resolved(&format!("{figures}parallelism: {{tensor: 8}}\n{node}")).unwrap_err();
    assert!(error.contains("are the same link, and both are given"), "{error}");
}

#[test]
fn a_pool_has_links_of_its_own() {
    let pools = "gpu: h100-sxm\nparallelism: {tensor: 16}\nlinks: {network: {bandwidth: 50GB/s, latency: \
                 10us}}\npools: [{replicas: 1}, {replicas: 1, links: {network: {bandwidth: 12GB/s, \
                 latency: 30us}}}]\n";
    let text = format!(
        "model: llama-3.1-405b\n{pools}schedulers: [vllm-v1: {{}}]\nworkload:\n  requests: 2\n  \
         arrivals: {{closed_loop: {{users: 1, think_time: 0s}}}}\n  lengths: {{prompt: {{fixed: 8}}, \
         output: {{fixed: 8}}}}\n"
    );
    let document = Document::from_text("links", &text, Files::any("")).unwrap();
    let pools = document.resolve(None).unwrap().experiment.pools;
    let rates: Vec<f64> = pools
        .iter()
        .map(|pool| pool.hardware.pricing.as_ref().unwrap().gpu.all_reduce_on(16).unwrap().gb_per_s)
        .collect();
    assert_eq!(rates, [50.0, 12.0]);
}

#[test]
fn half_a_network_is_refused_and_a_node_of_unknown_size_is_said() {
    let half = format!("{H100}links: {{network: {{bandwidth: 50GB/s}}}}\n");
    let error = resolved(&half).unwrap_err();
    assert!(error.contains("the network between nodes needs its latency too"), "{error}");
    let peaks = "gpu: {memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989}\n\
                 parallelism: {tensor: 16}\nlinks: {network: {bandwidth: 50GB/s, latency: 10us}}\n";
    let (gpu, warnings) = resolved(peaks).unwrap();
    assert_eq!((gpu.gpus_per_node, gpu.all_reduce_on(16).unwrap().gb_per_s), (Some(8), 50.0));
    let said = "does not say how many GPUs a node has; taken to be 8";
    assert!(warnings.iter().any(|w| w.contains(said)), "{warnings:?}");
}
