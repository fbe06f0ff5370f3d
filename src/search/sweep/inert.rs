//! Keys of a sweep's scenario that change nothing at any of its points.

use super::{Sweep, SweepError, grid};
use crate::inert::{inert, written};
use crate::result::Inert;
use crate::runner::Requests;
use crate::search::probe::SearchError;
use crate::threads;

impl Sweep<'_> {
    /// The keys that have no effect at any point, as far as that is known before points are run.
    ///
    /// # Errors
    /// When a point is no scenario, or its requests cannot be drawn.
    pub fn inert(&self) -> Result<Vec<Inert>, SweepError> {
        let points = grid::combinations(&self.vary).unwrap_or(0);
        let all: Vec<Vec<Inert>> = threads::spread_up_to(points, |index| self.inert_at(index))
            .into_iter()
            .collect::<Result<_, _>>()?;
        let mut all = all.into_iter();
        let mut everywhere = all.next().unwrap_or_default();
        for there in all {
            everywhere.retain(|one| there.iter().any(|other| other.path == one.path));
        }
        Ok(everywhere)
    }

    fn inert_at(&self, index: usize) -> Result<Vec<Inert>, SweepError> {
        let (document, _) = self.document_at(index)?;
        let resolved = document.resolve(self.seed).map_err(Box::new)?;
        let (requests, _) =
            Requests::of(&resolved.experiment).map_err(|error| SweepError::Point {
                at: grid::values_of(&self.vary, index).join(", "),
                source: SearchError::from(error),
            })?;
        let (scenario, experiment) = (&resolved.scenario, &resolved.experiment);
        Ok(inert(&written(&document), scenario, experiment, &requests, None).everywhere)
    }
}
