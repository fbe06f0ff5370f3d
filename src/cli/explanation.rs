//! What `explain` publishes.

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::joined::Joined;
use crate::explain::{Cause, RunExplanation};
use crate::request::RequestId;
use crate::result::{Inert, Tool};
use crate::runner::WhatIf;

/// Why the tokens of a scenario were late, scheduler by scheduler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct ExplanationFile {
    /// Version of this layout.
    pub schema_version: u32,
    /// What made it.
    pub tool: Tool,
    /// The scenario with every default filled in.
    pub scenario: Value,
    /// One explanation a scheduler.
    pub runs: Vec<RunExplanation>,
    /// What would have helped, for each scheduler with a stall.
    pub cures: Vec<Cures>,
    /// What a reader should know.
    pub warnings: Vec<String>,
    /// Settings of the scenario that change nothing in any of its runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inert: Vec<Inert>,
    /// With `--observed`: the stalls of a real run, beside a simulation of its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Joined>,
}

/// Changes that were simulated on the same requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Cures {
    /// The scheduler.
    pub label: String,
    /// Whose stall it is.
    pub request: RequestId,
    /// The late token.
    pub token: u32,
    /// Its main cause; null where no token came at all, and only requests that were turned away are to
    /// be cured.
    pub main_cause: Option<Cause>,
    /// The causes that the changes are meant for: the main one first. None where the stall is in
    /// time, and only requests that were turned away break the promise.
    pub causes: Vec<Cause>,
    /// Whether the run kept its promise as it was: then nothing has to change, and the changes are
    /// options. Null where that is not known.
    pub keeps_promise: Option<bool>,
    /// The run as it was, then each change, the best first: by the promise, then by cost, then by
    /// the stall. None `helps` where nothing that was tried does.
    pub tried: Vec<WhatIf>,
    /// What helps most, as its place in `tried`; null where nothing helps, or nothing has to change.
    pub best: Option<usize>,
    /// Changes that could not be tried, or changed nothing, with the reason.
    pub notes: Vec<String>,
}

impl ExplanationFile {
    /// As indented JSON with a line end.
    pub(super) fn to_json(&self) -> String {
        crate::json::indented(self)
    }
}

/// JSON Schema (2020-12) of [`ExplanationFile`].
pub(super) fn json_schema() -> Schema {
    let mut schema = schema_for!(ExplanationFile);
    schema.insert("title".into(), "metron-sim explanation".into());
    schema
}
