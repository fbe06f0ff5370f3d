//! Iterations priced by a linear law, where nothing is known of the GPU.

use crate::catalog::{EngineProfile, Overhead, STEP_LAW_TERMS, StepLaw};
use crate::time::Span;

use super::stage::LONGEST_US;
use super::{BatchShape, CostModel, IterationTime, Parts};

/// A profile's [`StepLaw`], with its host work and gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLawCost {
    law: StepLaw,
    kernel_factor: f64,
    host: Overhead,
    step_gap: Overhead,
}

/// What a law multiplies its constants by, in their order: the counts of a batch.
pub fn step_law_counts(shape: &BatchShape<'_>) -> [f64; STEP_LAW_TERMS] {
    let chunks = shape.chunks();
    let (mut tokens, mut pairs) = (0_u64, 0.0);
    for chunk in chunks {
        let (context, computed) = (f64::from(chunk.context), f64::from(chunk.tokens));
        tokens += u64::from(chunk.tokens);
        pairs += computed * (context + (computed + 1.0) / 2.0);
    }
    let decodes = shape.decodes();
    let drafts = decodes.tokens() - decodes.requests();
    [
        1.0,
        if chunks.is_empty() { 0.0 } else { 1.0 },
        chunks.len() as f64,
        tokens as f64,
        f64::from(decodes.requests()),
        f64::from(drafts),
        decodes.kv_tokens() as f64,
        pairs,
    ]
}

impl StepLawCost {
    /// Of a profile that has a law.
    pub fn new(law: StepLaw, profile: &EngineProfile) -> StepLawCost {
        let EngineProfile { kernel_factor, host, step_gap, .. } = *profile;
        StepLawCost { law, kernel_factor, host, step_gap }
    }

    fn terms(&self, shape: &BatchShape<'_>) -> [f64; STEP_LAW_TERMS] {
        let mut terms = step_law_counts(shape);
        for (term, us) in terms.iter_mut().zip(self.law.constants()) {
            *term *= us * self.kernel_factor;
        }
        terms
    }
}

fn overhead_us(overhead: Overhead, shape: &BatchShape<'_>) -> f64 {
    overhead.iteration_us + overhead.sequence_us * shape.sequences() as f64
}

impl CostModel for StepLawCost {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        if shape.is_empty() {
            return IterationTime::default();
        }
        let gpu = self.terms(shape).iter().sum::<f64>() + overhead_us(self.step_gap, shape);
        IterationTime {
            gpu: Span::from_micros_f64(gpu.min(LONGEST_US)),
            host: Span::from_micros_f64(overhead_us(self.host, shape).min(LONGEST_US)),
        }
    }

    fn parts(&self, shape: &BatchShape<'_>) -> Parts {
        if shape.is_empty() {
            return Parts::default();
        }
        let [iteration, prefill, chunks, tokens, decodes, drafts, kv, pairs] = self.terms(shape);
        Parts {
            layers_us: iteration + prefill + chunks + tokens + decodes + drafts,
            attention_us: kv + pairs,
            host_us: overhead_us(self.host, shape) + overhead_us(self.step_gap, shape),
            ..Parts::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::{Chunk, Decodes};

    #[test]
    fn a_step_is_the_sum_of_its_terms() {
        let law = StepLaw::of([1000.0, 500.0, 100.0, 10.0, 20.0, 7.0, 0.5, 0.25]);
        let mut profile = crate::catalog::profile("ideal").expect("built in");
        (profile.host.iteration_us, profile.step_gap.sequence_us) = (300.0, 1.0);
        let cost = StepLawCost::new(law, &profile);
        // One chunk of 4 tokens behind 10: pairs 11 + 12 + 13 + 14 = 50.
        let chunk = [Chunk { context: 10, tokens: 4 }];
        let shape = BatchShape::new(&chunk, Decodes::verifying(3, 5, 200), 6);
        let us = 1000.0 + 500.0 + 100.0 + 40.0 + 60.0 + 14.0 + 100.0 + 12.5 + 4.0;
        let time = cost.time(&shape);
        assert_eq!(
            (time.gpu, time.host),
            (Span::from_micros_f64(us), Span::from_micros_f64(300.0))
        );
        let parts = cost.parts(&shape);
        assert_eq!((parts.attention_us, parts.host_us), (112.5, 304.0));
        assert_eq!(parts.layers_us, 1714.0);
    }
}
