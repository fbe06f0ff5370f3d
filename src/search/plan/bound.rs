//! How much work a request is for a replica at the least: what no fleet can do with fewer GPUs.

use crate::cost::{BatchShape, Chunk, Decodes};
use crate::request::Request;
use crate::scenario::Experiment;

/// A batch with about so many prompt tokens keeps any GPU busy.
const TOKENS: u32 = 8_192;
/// No more decodes are priced in one batch.
const DECODES_MAX: u64 = 1_024;
/// About so many requests are looked at.
const SAMPLE: usize = 256;
/// What a batch's parts may save by being together is less than this.
const SAVED: f64 = 0.8;

/// The seconds of a replica's GPU time that a request takes at the least, in batches as large as memory
/// allows and whatever is promised. The first tokens of each prompt, as many as stand beside it, are cached
/// where the replica keeps prefixes.
pub(super) fn least_work_s(experiment: &Experiment, requests: &[(Request, u32)]) -> f64 {
    if requests.is_empty() {
        return 0.0;
    }
    // All of them alike, the last of a session too.
    let sample: Vec<&(Request, u32)> =
        requests.iter().step_by(requests.len().div_ceil(SAMPLE)).collect();
    let mean = |of: &dyn Fn(&(Request, u32)) -> u32| {
        sample.iter().map(|request| f64::from(of(request))).sum::<f64>() / sample.len() as f64
    };
    let block = experiment.engine.kv_block_tokens.max(1);
    let cached = |(request, shared): &(Request, u32)| {
        (*shared).min(request.prompt_tokens.saturating_sub(1)) / block * block
    };
    let context = mean(&cached) as u32;
    let fresh = (mean(&|request| request.0.prompt_tokens - cached(request)) as u32).max(1);
    let output = mean(&|request| request.0.output_tokens);
    let prompt = mean(&|request| request.0.prompt_tokens);
    let together = (TOKENS / fresh).max(1);
    let chunks = vec![Chunk { context, tokens: fresh }; together as usize];
    let cost = experiment.cost.as_ref();
    let seconds = |shape: BatchShape<'_>| cost.time(&shape).gpu.as_secs_f64();
    let prefills = seconds(BatchShape::new(&chunks, Decodes::NONE, together));
    let kv = u64::from(experiment.engine.kv_blocks) * u64::from(block);
    let held = (prompt + output / 2.0).max(1.0);
    let decodes = ((kv as f64 / held) as u64).clamp(1, DECODES_MAX) as u32;
    let read = (f64::from(decodes) * held) as u64;
    let alone = seconds(BatchShape::decodes_alone(decodes, read));
    let both = seconds(BatchShape::new(
        &chunks,
        Decodes::one_token_each(decodes, read),
        together + decodes,
    ));
    let decode = alone.min((both - prefills).max(0.0)) / f64::from(decodes);
    let prefill = prefills.min((both - alone).max(0.0)) / f64::from(together);
    SAVED * (prefill + (output - 1.0).max(0.0) * decode)
}
