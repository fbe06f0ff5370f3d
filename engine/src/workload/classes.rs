//! Request classes: who gets which share.

use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;

use super::streams::{Purpose, Stream};
use super::{ClassSpec, WorkloadError};
use crate::ids::ClassId;

/// The name of the one class of a workload that names none.
pub(crate) const UNNAMED_CLASS: &str = "default";

/// Most classes that a description or a trace can have.
pub(crate) const CLASSES_MAX: usize = 1000;

/// Names, priorities and shares of the classes of a workload.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    pub(crate) names: Vec<String>,
    priorities: Vec<i32>,
    /// Which class a request gets, by the described shares; `None` where there is no choice.
    ///
    /// The alias method is sums and comparisons alone, so `rand_distr` gives the same class on
    /// every machine. Its samplers that need logarithms do not: see `variates`.
    pick: Option<WeightedAliasIndex<f64>>,
    stream: Stream,
}

impl Classes {
    /// The classes of a description, or one unnamed class.
    pub(crate) fn new(specs: &[ClassSpec], seed: u64) -> Result<Classes, WorkloadError> {
        let mut classes = Classes::known(specs, seed)?;
        if specs.is_empty() {
            classes.names.push(UNNAMED_CLASS.to_owned());
            classes.priorities.push(0);
            return Ok(classes);
        }
        let shares = specs.iter().map(|spec| spec.share).collect();
        let pick = WeightedAliasIndex::new(shares)
            .map_err(|_| WorkloadError::spec("classes.share", "expected a share above 0"))?;
        classes.pick = Some(pick);
        Ok(classes)
    }

    /// The classes of a description, none if it has none: for requests that name theirs.
    pub(crate) fn known(specs: &[ClassSpec], seed: u64) -> Result<Classes, WorkloadError> {
        if specs.len() > CLASSES_MAX {
            return Err(WorkloadError::spec(
                "classes",
                format!("expected at most {CLASSES_MAX} classes, found {}", specs.len()),
            ));
        }
        if let Some(spec) = specs.iter().find(|s| !(s.share >= 0.0 && s.share.is_finite())) {
            return Err(WorkloadError::spec(
                "classes.share",
                format!("expected 0 or more, found {} for `{}`", spec.share, spec.name),
            ));
        }
        Ok(Classes {
            names: specs.iter().map(|spec| spec.name.clone()).collect(),
            priorities: specs.iter().map(|spec| spec.priority).collect(),
            pick: None,
            stream: Stream::new(seed, Purpose::Class),
        })
    }

    /// The class of the request with this key.
    #[inline]
    pub(crate) fn draw(&self, key: u64) -> ClassId {
        let Some(pick) = &self.pick else { return ClassId(0) };
        ClassId(pick.sample(self.stream.at(key).generator()) as u16)
    }

    pub(crate) fn priority(&self, class: ClassId) -> i32 {
        self.priorities[class.index()]
    }

    /// The class of this name, made with priority 0 if it is new.
    pub(crate) fn named(&mut self, name: &str) -> ClassId {
        let index = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.priorities.push(0);
            self.names.len() - 1
        });
        debug_assert!(index <= 2 * CLASSES_MAX, "a description's classes and a trace's");
        ClassId(index as u16)
    }
}
