//! What drafting costs after an iteration.

use crate::catalog::{EngineProfile, Gpu, Overhead, Reaches};
use crate::time::Span;

use super::gemm::Gemm;
use super::stage::LONGEST_US;
use super::table::CountTable;
use super::{
    BatchShape, CostError, CostModel, Decodes, Drafter, HostDrafter, IterationTime, Parallelism,
    Roofline, rates,
};

/// What the price of drafting may depend on.
#[derive(Clone, Copy, Debug)]
pub struct DraftShape<'a> {
    /// What the model has just computed. A drafter's first pass goes over the same tokens, so that it
    /// has their KV.
    pub batch: BatchShape<'a>,
    /// Requests that get drafts. In vLLM all of the batch.
    pub requests: u32,
    /// Tokens drafted for each: as many passes one after the other. None: nobody drafts.
    pub tokens: u32,
    /// KV entries that these requests have, summed over them.
    pub kv_tokens: u64,
}

/// Prices drafting.
#[derive(Clone, Debug)]
pub(super) enum DraftCost {
    Host(HostDrafter),
    Layers(Box<Passes>),
}

/// Passes through a drafter's layers.
#[derive(Clone, Debug)]
pub(super) struct Passes {
    layers: Roofline,
    fused_first: Fused,
    fused: Fused,
    kernel_factor: f64,
}

impl DraftCost {
    pub(super) fn new(
        drafter: &Drafter,
        gpu: &Gpu,
        profile: &EngineProfile,
        parallelism: Parallelism,
    ) -> Result<DraftCost, CostError> {
        let layers = match drafter {
            Drafter::Host(host) => return Ok(DraftCost::Host(*host)),
            Drafter::Layers(layers) => layers,
        };
        // The engine's own time is the iteration's; measured tables are of the model's layers.
        let profile = EngineProfile {
            host: Overhead::default(),
            step_gap: Overhead::default(),
            layer_table: None,
            attention_table: None,
            ..profile.clone()
        };
        let parallelism = layers.parallelism(parallelism);
        let roofline = Roofline::new(&layers.model, gpu, &profile, parallelism, layers.precision)?;
        let with_constants = profile.gpu.as_ref().map(|constants| constants.on(gpu));
        let gemm = rates::gemm(
            with_constants.as_ref().unwrap_or(gpu),
            layers.precision.formats(&layers.model).attention,
        );
        Ok(DraftCost::Layers(Box::new(Passes {
            layers: roofline,
            fused_first: Fused::new(gemm, &layers.fused_first),
            fused: Fused::new(gemm, &layers.fused),
            kernel_factor: profile.kernel_factor,
        })))
    }

    pub(super) fn time(&self, draft: &DraftShape<'_>) -> IterationTime {
        if draft.tokens == 0 || draft.batch.is_empty() {
            return IterationTime::default();
        }
        match self {
            DraftCost::Host(host) => {
                let us = host.step_us + host.request_us * f64::from(draft.requests);
                IterationTime { gpu: Span::ZERO, host: Span::from_micros_f64(us.min(LONGEST_US)) }
            }
            DraftCost::Layers(passes) => {
                IterationTime { gpu: passes.time(draft), host: Span::ZERO }
            }
        }
    }
}

impl Passes {
    fn time(&self, draft: &DraftShape<'_>) -> Span {
        let DraftShape { batch, requests, tokens, kv_tokens } = *draft;
        let of_model = batch.decodes();
        let verified =
            Decodes::verifying(of_model.requests(), of_model.tokens(), of_model.kv_tokens());
        let reaches = self.layers.reaches();
        let first = BatchShape::new(batch.chunks(), within(verified, &reaches), requests)
            .beside(batch.tokens_beside());
        let mut fused_us = self.fused_first.us(batch.tokens()) + self.fused.us(batch.tokens());
        let mut span = self.layers.time(&first).gpu;
        if requests > 0 {
            for pass in 1..tokens {
                let kv = kv_tokens + u64::from(pass) * u64::from(requests);
                let decodes = within(Decodes::one_token_each(requests, kv), &reaches);
                span += self.layers.time(&BatchShape::of_decodes(decodes)).gpu;
                fused_us += self.fused.us(requests.into());
            }
        }
        let fused_us = self.kernel_factor * fused_us;
        let longest = Span::from_micros_f64(LONGEST_US);
        (span + Span::from_micros_f64(fused_us.min(LONGEST_US))).min(longest)
    }
}

/// Decodes whose KV within a drafter's reaches is taken to be that of the mean request.
fn within(decodes: Decodes, reaches: &Reaches) -> Decodes {
    let requests = u64::from(decodes.requests());
    if requests == 0 {
        return decodes;
    }
    let mut within = decodes.within();
    for (within, reach) in within.iter_mut().zip(reaches) {
        *within =
            (requests * reach.of(decodes.kv_tokens().div_ceil(requests))).min(decodes.kv_tokens());
    }
    decodes.reading(within)
}

/// Projections that every rank computes whole.
#[derive(Clone, Debug)]
struct Fused {
    gemm: Gemm,
    /// Inputs and outputs.
    sides: Vec<[f64; 2]>,
    table: CountTable,
}

impl Fused {
    fn new(gemm: Gemm, sides: &[[u32; 2]]) -> Fused {
        let sides: Vec<[f64; 2]> = sides.iter().map(|sides| sides.map(f64::from)).collect();
        let table = CountTable::new(|tokens| all_us(&gemm, &sides, tokens));
        Fused { gemm, sides, table }
    }

    fn us(&self, tokens: u64) -> f64 {
        self.table.get(tokens).unwrap_or_else(|| all_us(&self.gemm, &self.sides, tokens as f64))
    }
}

fn all_us(gemm: &Gemm, sides: &[[f64; 2]], tokens: f64) -> f64 {
    sides.iter().map(|&[inputs, outputs]| gemm.us(tokens, outputs, inputs)).sum()
}
