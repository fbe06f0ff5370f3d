//! The JSON Schema of scenario files, for editors and checks.

use schemars::generate::SchemaSettings;

use super::raw::Scenario;

/// JSON Schema (draft 2020-12) of a scenario.
pub fn json_schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Scenario>();
    schema.insert("title".to_owned(), "metron-sim scenario".into());
    schema.to_value()
}
