//! Keys of a sweep's scenario that change nothing at any of its points.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Sweep, SweepError, grid};
use crate::inert::{inert, written};
use crate::result::Inert;
use crate::runner::Requests;
use crate::scenario::Document;
use crate::search::probe::SearchError;
use crate::threads;

impl Sweep<'_> {
    /// The keys that have no effect at any point, as far as that is known before points are run. Of
    /// a field that is varied this is not told at the points where it is off or at its default: they
    /// do not count.
    ///
    /// # Errors
    /// When a point is no scenario, or its requests cannot be drawn.
    pub fn inert(&self) -> Result<Vec<Inert>, SweepError> {
        let points = grid::combinations(&self.vary).unwrap_or(0);
        let all: Vec<Vec<Inert>> = threads::spread_up_to(points, |index| self.inert_at(index))
            .into_iter()
            .collect::<Result<_, _>>()?;
        let (_, varied) = self.document_at(0)?;
        let told = |index: usize, path: &str| all[index].iter().any(|one| one.path == path);
        let mut looked_at = BTreeSet::new();
        let mut everywhere: Vec<Inert> = Vec::new();
        for one in all.iter().flatten().filter(|one| looked_at.insert(one.path.as_str())) {
            let mut elsewhere = (0..points).filter(|index| !told(*index, &one.path));
            let field = varied.iter().position(|field| *field == one.path);
            let nowhere = match field {
                None => elsewhere.next().is_none(),
                Some(field) => elsewhere.all(|index| self.rests_at(index, field)),
            };
            if nowhere {
                everywhere.push(one.clone());
            }
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

    /// Whether the value of a varied field is what turns it off, or what it is without one.
    fn rests_at(&self, index: usize, field: usize) -> bool {
        let Ok((document, fields)) = self.document_at(index) else { return false };
        let written = written(&document);
        let value = written.iter().find(|one| one.path == fields[field]).map(|one| &one.value);
        if matches!(value, None | Some(Value::Bool(false)))
            || value.and_then(Value::as_f64) == Some(0.0)
        {
            return true;
        }
        let scenario = |document: &Document| Some(document.resolve(self.seed).ok()?.scenario);
        let without = document.clone().with_from("--vary", &[format!("{}=null", fields[field])]);
        let without = without.ok().and_then(|(without, _)| scenario(&without));
        without.is_some() && without == scenario(&document)
    }
}
