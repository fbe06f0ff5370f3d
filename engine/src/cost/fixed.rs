//! Iterations that all take the same time: for teaching, and for checks done by hand.

use crate::time::Span;

use super::{BatchShape, CostModel, IterationTime, Parts};

/// Every iteration takes `iteration`, whatever its batch; the host takes no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedCost {
    /// Time of an iteration.
    pub iteration: Span,
}

impl CostModel for FixedCost {
    fn time(&self, _shape: &BatchShape<'_>) -> IterationTime {
        IterationTime { gpu: self.iteration, host: Span::ZERO }
    }

    fn parts(&self, _shape: &BatchShape<'_>) -> Parts {
        Parts { layers_us: self.iteration.as_nanos() as f64 / 1e3, ..Parts::default() }
    }
}

/// The same for a model cut into pipeline stages: the time is dealt out to them evenly, to the
/// nanosecond, and handing over takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedPipeline {
    /// Time of a micro-batch alone in the pipeline.
    pub iteration: Span,
    /// Stages, at least 1.
    pub stages: u32,
}

impl CostModel for FixedPipeline {
    fn time(&self, _shape: &BatchShape<'_>) -> IterationTime {
        IterationTime { gpu: self.iteration, host: Span::ZERO }
    }

    fn parts(&self, shape: &BatchShape<'_>) -> Parts {
        FixedCost { iteration: self.iteration }.parts(shape)
    }

    fn stages(&self) -> u32 {
        self.stages
    }

    fn stage_time(&self, _shape: &BatchShape<'_>, stage: u32) -> IterationTime {
        let (whole, stages) = (self.iteration.as_nanos(), u64::from(self.stages));
        // The first stages take what cannot be dealt out evenly.
        let more = u64::from(u64::from(stage) < whole % stages);
        IterationTime { gpu: Span::from_nanos(whole / stages + more), host: Span::ZERO }
    }

    fn stage_parts(&self, shape: &BatchShape<'_>, stage: u32) -> Parts {
        FixedCost { iteration: self.stage_time(shape, stage).gpu }.parts(shape)
    }
}
