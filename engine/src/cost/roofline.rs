//! The smooth roofline: a batch priced operation by operation.
//!
//! Pricing a batch as a whole goes wrong both ways: the larger of its compute and its bytes
//! makes the decodes' KV reads free under a prefill, and prefill time plus decode time reads the
//! weights twice.

use crate::catalog::{EngineProfile, Gpu, Model, REACHES_MAX, Reaches};
use crate::time::Span;

use super::drafting::DraftCost;
use super::pipeline::{HandOver, split};
use super::shard::Shard;
use super::stage::{LONGEST_US, Place, Serving, Stage};
use super::{
    BatchShape, CostError, CostModel, Decodes, DraftShape, Drafter, ExpertLoad, IterationTime,
    Overheads, Parallelism, Parts, Precision, one_by_one,
};

/// Prices iterations of one model on one kind of GPU under one engine profile.
///
/// What depends on a count alone is tabulated when this is built (about 2,000 points), so that
/// pricing a batch takes tens of nanoseconds. KV lengths enter by their sum: how they are spread
/// over the decodes is ignored.
///
/// Under pipeline parallelism an iteration's time is that of one batch from the first stage to the
/// last, hand-overs included; [`CostModel::stage_time`] prices a stage, for batches that follow
/// one another.
#[derive(Clone, Debug)]
pub struct Roofline {
    stages: Vec<Stage>,
    hand_over: HandOver,
    reaches: Reaches,
    drafting: Option<Box<DraftCost>>,
}

impl Roofline {
    /// Builds the tables. A [`Dtype`](super::Dtype) alone stands for KV in 16 bits.
    ///
    /// # Errors
    /// When the model cannot be split so, a figure is out of range, or constants are missing.
    pub fn new(
        model: &Model,
        gpu: &Gpu,
        profile: &EngineProfile,
        parallelism: Parallelism,
        precision: impl Into<Precision>,
    ) -> Result<Roofline, CostError> {
        let load = ExpertLoad::default();
        Roofline::with_experts(model, gpu, profile, parallelism, precision.into(), &load)
    }

    /// The same with tokens that reach their experts in this way.
    ///
    /// # Errors
    /// As [`new`](Roofline::new).
    pub fn with_experts(
        model: &Model,
        gpu: &Gpu,
        profile: &EngineProfile,
        parallelism: Parallelism,
        precision: Precision,
        load: &ExpertLoad,
    ) -> Result<Roofline, CostError> {
        let with_constants = profile.gpu.as_ref().map(|constants| constants.on(gpu));
        let gpu = with_constants.as_ref().unwrap_or(gpu);
        gpu.validate()?;
        profile.validate()?;
        let with_kernels = (!profile.kernels.is_usual()).then(|| profile.kernels.on(gpu));
        let gpu = with_kernels.as_ref().unwrap_or(gpu);
        let shard = Shard::new(model, parallelism)?;
        let parts = split(model, parallelism.pipeline)?;
        let last = parts.len() - 1;
        let reaches = model.reaches();
        let serving = Serving {
            gpu,
            profile,
            shard,
            formats: precision.formats(model),
            load,
            kv_bits_1024ths: precision.kv_bits_1024ths(model),
            reaches: &reaches,
        };
        let stages: Result<Vec<Stage>, CostError> = parts
            .iter()
            .enumerate()
            .map(|(i, part)| {
                let place = Place { first: i == 0, last: i == last };
                Stage::new(part, &serving, place)
            })
            .collect();
        let stages = stages?;
        let hand_over = HandOver::new(model, gpu, shard.ranks, last, profile.link_factor)?;
        Ok(Roofline { stages, hand_over, reaches, drafting: None })
    }

    /// The same beside which this drafts.
    ///
    /// # Errors
    /// When its layers cannot be split so, or constants are missing.
    pub fn drafting_by(
        self,
        drafter: &Drafter,
        gpu: &Gpu,
        profile: &EngineProfile,
        parallelism: Parallelism,
    ) -> Result<Roofline, CostError> {
        let drafting = DraftCost::new(drafter, gpu, profile, parallelism)?;
        Ok(Roofline { drafting: Some(Box::new(drafting)), ..self })
    }

    /// Time of one layer's attention over `decodes` decodes that read `kv_tokens` tokens together, as
    /// a benchmark that repeats the kernel on the same K and V finds it: what fits the L2 cache is
    /// read from there. Serving is priced without that. For checking constants against tables,
    /// microseconds.
    pub fn repeated_decode_attention_us(&self, decodes: u32, kv_tokens: u64) -> f64 {
        self.stages[0].warm_decode_us(decodes, kv_tokens)
    }

    fn hand_over_us(&self, shape: &BatchShape<'_>) -> f64 {
        self.hand_over.us(self.stages[0].computed_tokens(shape) as f64)
    }
}

impl CostModel for Roofline {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        let first = self.stages[0].time(shape);
        if self.stages.len() == 1 || shape.is_empty() {
            return first;
        }
        let mut gpu = first.gpu;
        for stage in &self.stages[1..] {
            gpu = gpu + self.hand_over(shape) + stage.time(shape).gpu;
        }
        let longest = Span::from_micros_f64(LONGEST_US);
        IterationTime { gpu: gpu.min(longest), host: first.host }
    }

    fn times_in_a_row(
        &self,
        first: Decodes,
        growing: [u32; REACHES_MAX],
        times: &mut [IterationTime],
    ) {
        if let [stage] = self.stages.as_slice() {
            return stage.times_in_a_row(first, growing, times);
        }
        one_by_one(self, first, growing, times);
    }

    fn at_least(&self, decodes: Decodes) -> Option<IterationTime> {
        match self.stages.as_slice() {
            [stage] => stage.at_least(decodes),
            _ => None,
        }
    }

    fn reaches(&self) -> Reaches {
        self.reaches
    }

    fn parts(&self, shape: &BatchShape<'_>) -> Parts {
        let mut sum = self.stages[0].parts(shape);
        if self.stages.len() == 1 || shape.is_empty() {
            return sum;
        }
        for stage in &self.stages[1..] {
            let parts = stage.parts(shape);
            sum.layers_us += parts.layers_us;
            sum.attention_us += parts.attention_us;
            sum.communication_us += parts.communication_us + self.hand_over_us(shape);
            sum.head_us += parts.head_us;
            sum.host_us += parts.host_us;
        }
        sum
    }

    fn draft_time(&self, draft: &DraftShape<'_>) -> IterationTime {
        self.drafting.as_ref().map_or_else(IterationTime::default, |cost| cost.time(draft))
    }

    fn overheads(&self, shape: &BatchShape<'_>) -> Overheads {
        let mut sum = self.stages[0].overheads(shape);
        if self.stages.len() == 1 || shape.is_empty() {
            return sum;
        }
        for stage in &self.stages[1..] {
            let communication = stage.overheads(shape).communication;
            sum.communication = sum.communication + communication + self.hand_over(shape);
        }
        sum
    }

    fn overheads_of_decodes(&self, decodes: u32) -> Option<Overheads> {
        Some(self.overheads(&BatchShape::decodes_alone(decodes, 0)))
    }

    fn stages(&self) -> u32 {
        self.stages.len() as u32
    }

    fn stage_time(&self, shape: &BatchShape<'_>, stage: u32) -> IterationTime {
        self.stages.get(stage as usize).map_or_else(IterationTime::default, |s| s.time(shape))
    }

    fn stage_parts(&self, shape: &BatchShape<'_>, stage: u32) -> Parts {
        self.stages.get(stage as usize).map_or_else(Parts::default, |s| s.parts(shape))
    }

    fn hand_over(&self, shape: &BatchShape<'_>) -> Span {
        if self.stages.len() == 1 || shape.is_empty() {
            return Span::ZERO;
        }
        Span::from_micros_f64(self.hand_over_us(shape).min(LONGEST_US))
    }
}

#[cfg(test)]
mod tests;
