//! Cost models: from a batch's shape to the time that one iteration takes.

mod attention;
mod attention_table;
mod capacity;
mod drafter;
mod drafting;
mod eager;
mod error;
mod exchange;
mod expert_load;
mod experts;
mod fixed;
mod gemm;
mod kv_layout;
mod layers;
mod mixers;
mod parallelism;
mod pipeline;
mod precision;
mod pricing;
mod rates;
mod recurrence;
mod roofline;
mod shape;
mod shard;
mod stage;
mod step_law;
mod table;

use crate::catalog::{REACHES_MAX, Reach, Reaches};
use crate::time::Span;

pub use capacity::*;
pub use drafter::{DraftError, DraftLayers, Drafter, HostDrafter};
pub use drafting::DraftShape;
pub use error::CostError;
pub use expert_load::{ExpertChoice, ExpertExchange, ExpertLoad, experts_vary};
#[cfg(any(test, feature = "internals"))]
pub use experts::routed_experts_us;
pub use fixed::{FixedCost, FixedPipeline};
#[cfg(any(test, feature = "internals"))]
pub use gemm::gemm_us;
pub use kv_layout::{KeptBytes, KvLayout, kv_layout};
pub use parallelism::Parallelism;
pub use pipeline::stage_layers;
pub use precision::{Dtype, KvDtype, Precision};
pub use pricing::Pricing;
pub use rates::{format_notes, kv_format_note};
pub use roofline::Roofline;
pub use shape::{BatchShape, Chunk, Decodes, ReachSlot, Within};
pub use step_law::{StepLawCost, step_law_counts};

/// The time of one iteration, each part rounded to nanoseconds once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IterationTime {
    /// Until the tokens are there: kernels and communication.
    pub gpu: Span,
    /// The engine's own work, exposed when scheduling is synchronous.
    pub host: Span,
}

/// Where an iteration's GPU time goes, in microseconds, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    /// Matrix products and elementwise kernels of the layers.
    pub layers_us: f64,
    /// Attention kernels.
    pub attention_us: f64,
    /// All-reduces under tensor parallelism, and what experts on several GPUs exchange.
    pub communication_us: f64,
    /// Output head and sampling.
    pub head_us: f64,
    /// Host overhead.
    pub host_us: f64,
}

/// Time of an iteration that is no kernel's: what attribution takes out of every difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overheads {
    /// The engine's own work: [`IterationTime::host`].
    pub host: Span,
    /// Communication between GPUs, within [`IterationTime::gpu`].
    pub communication: Span,
    /// Host work that no GPU work hides even when scheduling is asynchronous, within
    /// [`IterationTime::gpu`].
    pub gap: Span,
}

/// Times of iterations in a row, each priced by itself.
fn one_by_one<C: CostModel + ?Sized>(
    cost: &C,
    first: Decodes,
    growing: [u32; REACHES_MAX],
    times: &mut [IterationTime],
) {
    let mut decodes = first;
    for time in times {
        *time = cost.time(&BatchShape::of_decodes(decodes));
        decodes = decodes.later(1, growing);
    }
}

/// Prices a batch. Pure: the same shape costs the same, and nothing is allocated.
pub trait CostModel: Send + Sync {
    /// Time of one iteration over `shape`.
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime;

    /// Times of iterations in a row that are decodes alone, of the same requests: the first is
    /// `first`, each later one reads an entry more for each, and within each reach one more for each
    /// of those `growing` there. A model may know a quicker way to the same.
    fn times_in_a_row(
        &self,
        first: Decodes,
        growing: [u32; REACHES_MAX],
        times: &mut [IterationTime],
    ) {
        one_by_one(self, first, growing, times);
    }

    /// A time that no iteration of these decodes alone is below, nor one of the same requests that read
    /// more entries; `None` where the model knows none.
    fn at_least(&self, decodes: Decodes) -> Option<IterationTime> {
        let _ = decodes;
        None
    }

    /// How far back attention looks where it does not look at all tokens: the sums of KV entries
    /// that a batch's decodes need besides the sum of all.
    fn reaches(&self) -> Reaches {
        [Reach::All; REACHES_MAX]
    }

    /// The same time taken apart.
    fn parts(&self, shape: &BatchShape<'_>) -> Parts;

    /// Time to draft the next tokens after an iteration; nothing where nobody drafts.
    fn draft_time(&self, draft: &DraftShape<'_>) -> IterationTime {
        let _ = draft;
        IterationTime::default()
    }

    /// Communication and host work. Made from [`parts`](Self::parts) unless a model knows a quicker
    /// way to the same.
    fn overheads(&self, shape: &BatchShape<'_>) -> Overheads {
        let parts = self.parts(shape);
        let host = self.time(shape).host;
        let all_host = Span::from_micros_f64(parts.host_us).as_nanos();
        Overheads {
            host,
            communication: Span::from_micros_f64(parts.communication_us),
            gap: Span::from_nanos(all_host.saturating_sub(host.as_nanos())),
        }
    }

    /// The same for decodes alone, where it depends on nothing but their number.
    fn overheads_of_decodes(&self, decodes: u32) -> Option<Overheads> {
        let _ = decodes;
        None
    }

    /// Pipeline stages, at least 1.
    fn stages(&self) -> u32 {
        1
    }

    /// Time that stage `stage` (from 0) is busy with `shape`. Its `host` is the engine's, on stage
    /// 0; the output head is in the last stage's `gpu`.
    fn stage_time(&self, shape: &BatchShape<'_>, stage: u32) -> IterationTime {
        if stage == 0 { self.time(shape) } else { IterationTime::default() }
    }

    /// The same time taken apart.
    fn stage_parts(&self, shape: &BatchShape<'_>, stage: u32) -> Parts {
        if stage == 0 { self.parts(shape) } else { Parts::default() }
    }

    /// Time from the end of a stage to the start of the next: what it sends over. With more than
    /// one stage, [`time`](Self::time) is the sum of the stages' and of the hand-overs between
    /// them: one batch alone in the pipeline.
    fn hand_over(&self, shape: &BatchShape<'_>) -> Span {
        let _ = shape;
        Span::ZERO
    }
}

/// Time of an unchunked, uncached prefill of `prompt_tokens` alone on an idle replica, with
/// nothing of it overlapped: a point of the TTFT prefill curve.
pub fn prefill_time(cost: &dyn CostModel, prompt_tokens: u32) -> Span {
    let chunk = [Chunk { context: 0, tokens: prompt_tokens.max(1) }];
    let time = cost.time(&BatchShape::new(&chunk, Decodes::NONE, 1));
    time.gpu + time.host
}
