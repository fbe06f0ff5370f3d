//! What the cost model's tests share.

use metron_sim::catalog::{self, Gpu, Model};
use metron_sim::cost::{
    BatchShape, CostError, CostModel, Dtype, KvCapacity, KvRequest, Parallelism, Roofline,
    kv_capacity, prefill_time,
};

/// Memory that is neither weights nor KV: activations, graphs and context.
pub(crate) const OVERHEAD_BYTES: u64 = 3_500_000_000;

/// How much dearer attention of chunks and decodes in one kernel was measured to be than in two.
pub(crate) const TOGETHER_MOST: f64 = 8.0;

pub(crate) fn tensor(ranks: u32) -> Parallelism {
    Parallelism { tensor: ranks, ..Parallelism::default() }
}

pub(crate) fn build(
    model: &str,
    gpu: &str,
    profile: &str,
    ranks: u32,
) -> Result<Roofline, CostError> {
    let model = catalog::model(model).unwrap();
    let gpu = catalog::gpu(gpu).unwrap();
    let profile = catalog::profile(profile).unwrap();
    Roofline::new(&model, &gpu, &profile, tensor(ranks), Dtype::Bf16)
}

pub(crate) fn decode_ms(cost: &dyn CostModel, decodes: u32, kv_each: u32) -> f64 {
    let time =
        cost.time(&BatchShape::decodes_alone(decodes, u64::from(decodes) * u64::from(kv_each)));
    (time.gpu + time.host).as_millis_f64()
}

pub(crate) fn prefill_ms(cost: &dyn CostModel, tokens: u32) -> f64 {
    prefill_time(cost, tokens).as_millis_f64()
}

/// Memory of these ranks with 16-token blocks, as vLLM divides it.
pub(crate) fn memory<'a>(model: &'a Model, gpu: &'a Gpu, ranks: u32) -> KvRequest<'a> {
    KvRequest {
        model,
        gpu,
        parallelism: tensor(ranks),
        precision: Dtype::Bf16.into(),
        gpu_memory_utilization: 0.9,
        block_tokens: 16,
        overhead_bytes: OVERHEAD_BYTES,
        drafter: None,
    }
}

pub(crate) fn capacity(model: &str, gpu: &str, ranks: u32) -> Result<KvCapacity, String> {
    let (model, gpu) = (catalog::model(model).unwrap(), catalog::gpu(gpu).unwrap());
    kv_capacity(&memory(&model, &gpu, ranks)).map_err(|e| e.to_string())
}
