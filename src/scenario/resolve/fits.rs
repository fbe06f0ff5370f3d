//! What would make a model, or a request, fit: what was tried here, and does.

use crate::cost::{Dtype, KvRequest, Parallelism, Precision, kv_capacity};

/// GPUs of a node where the catalogue does not say.
const NODE: u32 = 8;
/// Nodes that a pipeline is tried over.
const STAGES: [u32; 3] = [2, 4, 8];
/// Formats of weights in fewer bits, the widest first.
const NARROWER: [Dtype; 2] = [Dtype::Fp8, Dtype::Int4];
/// The largest part of memory that engines are run with.
const UTILIZATION: f64 = 0.95;

/// What to change so that there are so many KV blocks at least, as a sentence to follow "use".
pub(super) fn advice(request: &KvRequest<'_>, blocks: u32) -> String {
    let fits = |request: &KvRequest<'_>| {
        kv_capacity(request).is_ok_and(|capacity| capacity.blocks >= blocks)
    };
    let mut ways = Vec::new();
    if let Some(spread) = more_gpus(request, &fits) {
        let pipeline = match spread.pipeline {
            1 => String::new(),
            stages => format!(", pipeline: {stages}"),
        };
        ways.push(format!("more GPUs (`parallelism: {{tensor: {}{pipeline}}}`)", spread.tensor));
    }
    ways.push("a GPU with more memory".to_owned());
    let larger = KvRequest { gpu_memory_utilization: UTILIZATION, ..*request };
    if request.gpu_memory_utilization < UTILIZATION && fits(&larger) {
        ways.push(format!(
            "more of its memory (`engine: {{gpu_memory_utilization: {UTILIZATION}}}`)"
        ));
    }
    let narrower = NARROWER.into_iter().find(|&weights| {
        let precision = Precision { weights, ..request.precision };
        narrows(request, weights) && fits(&KvRequest { precision, ..*request })
    });
    if let Some(weights) = narrower {
        ways.push(format!("weights in fewer bits (`engine: {{dtype: {weights}}}`)"));
    }
    format!("{}, or a smaller model", ways.join(", "))
}

/// The fewest GPUs above those that there are on which it fits: of a node, or of several in a pipeline.
fn more_gpus(
    request: &KvRequest<'_>,
    fits: &dyn Fn(&KvRequest<'_>) -> bool,
) -> Option<Parallelism> {
    let own = request.parallelism;
    let node = request.gpu.gpus_per_node.unwrap_or(NODE);
    let wider = std::iter::successors(Some(1_u32), |ranks| ranks.checked_mul(2))
        .take_while(|&ranks| ranks <= node)
        .filter(|&ranks| ranks > own.tensor)
        .map(|tensor| Parallelism { tensor, ..own });
    let tensor = own.tensor.max(node);
    let longer = STAGES.into_iter().map(|times| {
        let pipeline = own.pipeline.saturating_mul(times);
        Parallelism { tensor, pipeline, ..own }
    });
    // Within a node first: the network between nodes is slower.
    wider.chain(longer).find(|&parallelism| fits(&KvRequest { parallelism, ..*request }))
}

/// Whether weights in this format take fewer bits than those that are served.
fn narrows(request: &KvRequest<'_>, weights: Dtype) -> bool {
    let bits = |precision: Precision| {
        let classes = precision.formats(request.model).classes();
        classes.iter().map(|(_, format)| u64::from(format.bits_1024ths)).sum::<u64>()
    };
    bits(Precision { weights, ..request.precision }) < bits(request.precision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn said(model: &str, gpu: &str, tensor: u32, blocks: u32) -> String {
        let model = catalog::model(model).expect("in the catalogue");
        let gpu = catalog::gpu(gpu).expect("in the catalogue");
        let weights = if model.formats.is_16_bit() { Dtype::Bf16 } else { Dtype::Auto };
        let request = KvRequest {
            model: &model,
            gpu: &gpu,
            parallelism: Parallelism { tensor, ..Parallelism::default() },
            precision: weights.into(),
            gpu_memory_utilization: 0.9,
            block_tokens: 16,
            overhead_bytes: 3 << 30,
            drafter: None,
        };
        advice(&request, blocks)
    }

    #[test]
    fn only_what_helps_is_advised() {
        // 671 billion parameters in fp8 on 8 of 80 GiB: a second node, or 4 bits; no fewer GPUs, and no fp8.
        let large = said("deepseek-v3", "h100-sxm", 8, 1);
        assert_eq!(
            large,
            "more GPUs (`parallelism: {tensor: 8, pipeline: 2}`), a GPU with more memory, weights in \
             fewer bits (`engine: {dtype: int4}`), or a smaller model"
        );
        // 141 GB of weights in 16 bits: on four, or in fp8 on two.
        let long = said("llama-3.1-70b", "h100-sxm", 2, 5_640);
        assert!(long.starts_with("more GPUs (`parallelism: {tensor: 4}`)"), "{long}");
        assert!(long.contains("`engine: {dtype: fp8}`"), "{long}");
    }
}
