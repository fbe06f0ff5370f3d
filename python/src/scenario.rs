//! Scenarios as Python keeps them: a name, a text, a folder, and fields that were set.

use std::path::PathBuf;

use metron_sim::{Document, Files, ScenarioError};
use pyo3::prelude::*;

use crate::error::of_scenario;

/// A scenario: what errors call it, its text, where its relative paths start, and `path=value`
/// overrides in order.
#[derive(FromPyObject)]
pub(crate) struct Given(String, String, PathBuf, Vec<String>);

impl Given {
    /// Read, with what was set.
    pub(crate) fn document(&self) -> Result<Document, ScenarioError> {
        let Given(name, text, folder, set) = self;
        let files = Files::any(folder);
        let (document, _) = Document::from_text(name, text, files)?.with_from("set", set)?;
        Ok(document)
    }
}

/// Reads a scenario and resolves it: all that is wrong with it is an error. It comes back as JSON: `scenario` with
/// every default filled in, and `files`, where each file is that it names.
#[pyfunction]
pub(crate) fn check_scenario(py: Python<'_>, scenario: Given) -> PyResult<String> {
    let checked = py.detach(|| {
        let resolved = scenario.document()?.resolve(None)?;
        let files: serde_json::Map<String, serde_json::Value> = resolved
            .files
            .iter()
            .map(|(name, path)| (name.clone(), path.display().to_string().into()))
            .collect();
        Ok(serde_json::json!({"scenario": resolved.scenario.to_json(), "files": files}).to_string())
    });
    checked.map_err(|error| of_scenario(py, &error))
}

/// Says why there is no scenario of this name.
#[pyfunction]
pub(crate) fn scenario_not_there(py: Python<'_>, name: &str) -> PyResult<()> {
    Document::read(name).map(drop).map_err(|error| of_scenario(py, &error))
}
