//! The schema as the types make it.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::scenario::raw::Scenario;
use crate::scheduler::SchedulerConfig;

/// JSON Schema (draft 2020-12) of a scenario.
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Scenario>();
    schema.insert("title".to_owned(), "metron-sim scenario".into());
    schema.to_value()
}

/// JSON Schema of an element of `schedulers`, without what only scenario files may write.
pub(crate) fn schedulers() -> Value {
    schemars::schema_for!(SchedulerConfig).to_value()
}
