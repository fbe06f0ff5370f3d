//! Request classes: who gets which share.

use super::streams::{Purpose, Stream};
use super::{ClassSpec, WorkloadError};

/// The name of the one class of a workload that names none.
pub(crate) const UNNAMED_CLASS: &str = "default";

/// Most classes that a description or a trace can have.
pub(crate) const CLASSES_MAX: usize = 1000;

/// Names, priorities and shares of the classes of a workload.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    pub(crate) names: Vec<String>,
    priorities: Vec<i32>,
    /// Sums of the shares up to and including each class.
    cumulative: Vec<f64>,
    stream: Stream,
}

impl Classes {
    /// The classes of a description, or one unnamed class.
    pub(crate) fn new(specs: &[ClassSpec], seed: u64) -> Result<Classes, WorkloadError> {
        let mut classes = Classes::known(specs, seed)?;
        if specs.is_empty() {
            classes.names.push(UNNAMED_CLASS.to_owned());
            classes.priorities.push(0);
            classes.cumulative.push(1.0);
        }
        let sum = classes.cumulative[classes.cumulative.len() - 1];
        if !(sum > 0.0 && sum.is_finite()) {
            return Err(WorkloadError::spec("classes.share", "expected a share above 0"));
        }
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
        let mut classes = Classes {
            names: Vec::new(),
            priorities: Vec::new(),
            cumulative: Vec::new(),
            stream: Stream::new(seed, Purpose::Class),
        };
        let mut sum = 0.0;
        for spec in specs {
            if !(spec.share >= 0.0 && spec.share.is_finite()) {
                return Err(WorkloadError::spec(
                    "classes.share",
                    format!("expected 0 or more, found {} for `{}`", spec.share, spec.name),
                ));
            }
            sum += spec.share;
            classes.names.push(spec.name.clone());
            classes.priorities.push(spec.priority);
            classes.cumulative.push(sum);
        }
        Ok(classes)
    }

    /// The class of the request with this key.
    #[inline]
    pub(crate) fn draw(&self, key: u64) -> u16 {
        if self.names.len() == 1 {
            return 0;
        }
        let shares = &self.cumulative;
        let u = self.stream.at(key).unit() * shares[shares.len() - 1];
        // Rounding may carry the product up to the sum itself.
        shares.partition_point(|&sum| sum <= u).min(shares.len() - 1) as u16
    }

    pub(crate) fn priority(&self, class: u16) -> i32 {
        self.priorities[usize::from(class)]
    }

    /// The class of this name, made with priority 0 if it is new.
    pub(crate) fn named(&mut self, name: &str) -> u16 {
        let index = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.priorities.push(0);
            self.names.len() - 1
        });
        debug_assert!(index <= 2 * CLASSES_MAX, "a description's classes and a trace's");
        index as u16
    }
}
