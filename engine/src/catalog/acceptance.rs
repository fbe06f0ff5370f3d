//! Published acceptance of drafts: by method, model and workload.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Evidence;
use super::check::InvalidFigure;

/// How many drafts were accepted, as somebody published it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptancePreset {
    /// Catalog name, such as `llama-3.1-8b-eagle-sharegpt`.
    pub name: String,
    /// One line for `metron-sim list acceptance`.
    pub description: String,
    /// Who drafted, by its name in scenarios.
    pub method: String,
    /// The catalog's names of the models whose answers they were; none where the catalog has not that
    /// model.
    #[serde(default)]
    pub models: Vec<String>,
    /// Whether a scenario with this method and one of these models takes it where it gives none.
    #[serde(default)]
    pub default: bool,
    /// The figures.
    pub acceptance: AcceptanceFigures,
    /// What was published: mean tokens a step, the model's own included, by the number of drafts. The
    /// figures give these again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedLength>,
    /// What was asked of the model.
    pub workload: String,
    /// What the figures rest on.
    #[serde(default, skip_serializing_if = "Evidence::is_unstated")]
    pub evidence: Evidence,
    /// Where they come from.
    pub source: String,
}

/// The form of a preset's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AcceptanceFigures {
    /// Mean tokens a step, the model's own included, with 1, 2, ... drafts at a time.
    Lengths(Vec<f64>),
    /// Each draft has the same chance; requests differ by a beta distribution.
    Rate {
        /// The mean over requests.
        mean: f64,
        /// The standard deviation over requests.
        #[serde(default)]
        sd: f64,
    },
    /// Stretches that copy what was there before, and others.
    Copying(CopyingFigures),
}

/// A chain of two states along an answer: it copies what was there before, or it does not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyingFigures {
    /// Share of an answer's tokens that are in a copy.
    pub share: f64,
    /// Correlation of neighbouring tokens in that.
    pub persistence: f64,
    /// Chance of a draft in a copy.
    pub accepted: f64,
    /// Chance of a draft elsewhere.
    #[serde(default)]
    pub elsewhere: f64,
}

/// A published mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishedLength {
    /// Drafts at a time.
    pub tokens: u32,
    /// Mean tokens a step, the model's own included.
    pub length: f64,
}

impl AcceptancePreset {
    /// Checks every figure's range.
    ///
    /// # Errors
    /// The first figure out of range, by its path.
    pub fn validate(&self) -> Result<(), InvalidFigure> {
        let invalid = |path: &str, problem: String| Err(InvalidFigure::new(path, problem));
        let share = |path: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => invalid(path, format!("must lie in 0 to 1, got {value}")),
        };
        match &self.acceptance {
            AcceptanceFigures::Lengths(lengths) => {
                if lengths.is_empty() {
                    return invalid("acceptance.lengths", "must have a length at least".to_owned());
                }
                for (place, &length) in lengths.iter().enumerate() {
                    let most = place as f64 + 2.0;
                    if !(1.0..=most).contains(&length) {
                        let path = format!("acceptance.lengths[{place}]");
                        return invalid(&path, format!("must lie in 1 to {most}, got {length}"));
                    }
                }
            }
            AcceptanceFigures::Rate { mean, sd } => {
                share("acceptance.rate.mean", *mean)?;
                if !(*sd >= 0.0 && sd * sd <= mean * (1.0 - mean)) {
                    let problem = format!("no chances with mean {mean} deviate by {sd}");
                    return invalid("acceptance.rate.sd", problem);
                }
            }
            AcceptanceFigures::Copying(figures) => {
                share("acceptance.copying.share", figures.share)?;
                share("acceptance.copying.persistence", figures.persistence)?;
                share("acceptance.copying.accepted", figures.accepted)?;
                share("acceptance.copying.elsewhere", figures.elsewhere)?;
            }
        }
        Ok(())
    }

    /// The preset that a scenario with this method and model takes where it gives none.
    pub fn default_of(method: &str, model: &str) -> Option<AcceptancePreset> {
        let presets = super::names(super::Kind::Acceptance).into_iter();
        presets.filter_map(|name| super::acceptance(&name).ok()).find(|preset| {
            preset.default
                && preset.method == method
                && preset.models.iter().any(|name| name == model)
        })
    }
}
