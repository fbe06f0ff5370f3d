//! The smooth roofline.

use crate::catalog::{EngineProfile, Gpu, Model};

use super::{BatchShape, CostError, CostModel, Dtype, IterationTime, Parallelism, Parts};

/// Prices iterations of one model on one kind of GPU under one engine profile.
#[derive(Clone, Debug)]
pub struct Roofline {}

impl Roofline {
    /// Builds the tables.
    ///
    /// # Errors
    /// When the model cannot be split so, a figure is out of range, or constants are missing.
    pub fn new(
        model: &Model,
        gpu: &Gpu,
        profile: &EngineProfile,
        parallelism: Parallelism,
        dtype: Dtype,
    ) -> Result<Roofline, CostError> {
        let _ = (model, gpu, profile, parallelism, dtype);
        todo!("lands next")
    }
}

impl CostModel for Roofline {
    fn time(&self, _shape: &BatchShape<'_>) -> IterationTime {
        todo!("lands next")
    }

    fn parts(&self, _shape: &BatchShape<'_>) -> Parts {
        todo!("lands next")
    }
}
