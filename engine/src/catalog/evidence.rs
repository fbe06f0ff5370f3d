//! What a catalog entry's figures rest on.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Model;

/// What the figures of a GPU, a model or a profile rest on, and how far off times made of them may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Measured, derived or neither.
    pub kind: EvidenceKind,
    /// The tables or runs that were fitted, or the catalog's name of the GPU whose shares of its
    /// peak stand in.
    #[serde(default)]
    pub from: String,
    /// How far off times are expected to be, in words such as `10 to 20 %`. Absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_error: Option<String>,
}

/// The kinds of evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceKind {
    /// Constants fitted on measured times.
    Fitted,
    /// Constants reckoned from the maker's peak figures by the shares that a fitted GPU reaches.
    Derived,
    /// Figures read off the model's own configuration: sizes, not times.
    Exact,
    /// By definition, such as a profile without overhead.
    Defined,
    /// Plausible, and neither measured nor derived.
    Assumed,
    /// A file that does not say.
    #[default]
    Unstated,
}

impl EvidenceKind {
    /// Its name, as in files.
    pub fn name(self) -> &'static str {
        match self {
            EvidenceKind::Fitted => "fitted",
            EvidenceKind::Derived => "derived",
            EvidenceKind::Exact => "exact",
            EvidenceKind::Defined => "defined",
            EvidenceKind::Assumed => "assumed",
            EvidenceKind::Unstated => "unstated",
        }
    }
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Evidence {
    /// Constants that are the shares of its peaks that the GPU `relative` reaches.
    pub fn derived_from(relative: &str, expected_error: &str) -> Evidence {
        Evidence {
            kind: EvidenceKind::Derived,
            from: relative.to_owned(),
            expected_error: Some(expected_error.to_owned()),
        }
    }

    /// A sentence for a report's head about the constants of the GPU `name`; `None` unless they were
    /// derived.
    pub fn caution(&self, name: &str) -> Option<String> {
        if self.kind != EvidenceKind::Derived {
            return None;
        }
        let expect = self.expected_error.as_deref().map(|error| format!(", expect {error}"));
        let expect = expect.unwrap_or_default();
        Some(format!("GPU {name}: constants derived from {}'s shares of peak{expect}", self.from))
    }

    /// Whether the file says nothing.
    pub fn is_unstated(&self) -> bool {
        self.kind == EvidenceKind::Unstated
    }
}

impl Model {
    /// What its figures rest on: a model's sizes are its own configuration's.
    pub fn evidence(&self) -> Evidence {
        Evidence {
            kind: EvidenceKind::Exact,
            from: "figures of its config.json".to_owned(),
            expected_error: None,
        }
    }
}
