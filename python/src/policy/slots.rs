//! Names for policies in Python. The library knows a policy by the type of its parameters; here a type is a
//! place in a table, and what stands there was told by Python.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use metron_sim::policy::{
    Bounds, EngineInfo, Facts, Limit, Parameters, Scheduler, Seats, StepBudget, register,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::held::fail;
use super::scheduler::{OfPython, Traits};

/// Most policies that one process can name.
const SLOTS: usize = 32;

/// A policy as Python has told of it.
struct Definition {
    name: String,
    class: Py<PyAny>,
    fields: &'static [&'static str],
    defaults: Map<String, Value>,
    budget: Option<&'static str>,
    seats: Option<&'static str>,
    traits: Traits,
}

static DEFINED: [RwLock<Option<Arc<Definition>>>; SLOTS] = [const { RwLock::new(None) }; SLOTS];

fn defined(slot: usize) -> Option<Arc<Definition>> {
    DEFINED[slot].read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Whether any policy in Python is known.
pub(super) fn any() -> bool {
    defined(0).is_some()
}

/// Parameters of the policy at a place of the table.
#[derive(Clone)]
struct Given<const SLOT: usize>(Map<String, Value>);

impl<const SLOT: usize> Default for Given<SLOT> {
    fn default() -> Self {
        Given(defined(SLOT).map_or_else(Map::new, |one| one.defaults.clone()))
    }
}

impl<const SLOT: usize> Serialize for Given<SLOT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, const SLOT: usize> Deserialize<'de> for Given<SLOT> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<const SLOT: usize>(&'static [&'static str]);
        impl<'de, const SLOT: usize> Visitor<'de> for Fields<SLOT> {
            type Value = Given<SLOT>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("parameters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut given = Given::<SLOT>::default();
                while let Some(key) = map.next_key::<String>()? {
                    let Some(default) = given.0.get_mut(&key) else {
                        return Err(A::Error::unknown_field(&key, self.0));
                    };
                    *default = match default {
                        Value::Bool(_) => Value::from(map.next_value::<bool>()?),
                        Value::Number(number) if number.is_u64() => {
                            Value::from(map.next_value::<u64>()?)
                        }
                        Value::Number(number) if number.is_i64() => {
                            Value::from(map.next_value::<i64>()?)
                        }
                        Value::Number(_) => Value::from(map.next_value::<f64>()?),
                        _ => Value::from(map.next_value::<String>()?),
                    };
                }
                Ok(given)
            }
        }
        let fields = defined(SLOT).map_or(&[][..], |one| one.fields);
        from.deserialize_struct("Parameters", fields, Fields::<SLOT>(fields))
    }
}

impl<const SLOT: usize> JsonSchema for Given<SLOT> {
    fn schema_name() -> Cow<'static, str> {
        format!("PythonPolicy{SLOT}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let given = Self::default();
        let of = |value: &Value| match value {
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            _ => "string",
        };
        let properties: Map<String, Value> = given
            .0
            .iter()
            .map(|(name, value)| (name.clone(), json!({"type": of(value), "default": value})))
            .collect();
        json_schema!({
            "type": "object", "properties": properties, "additionalProperties": false,
        })
    }
}

impl<const SLOT: usize> Parameters for Given<SLOT> {
    const SUMMARY: &'static str = "a policy in Python";

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        let Some(one) = defined(SLOT) else {
            return Box::new(OfPython { object: None, traits: Traits::default(), thread: None });
        };
        let made = Python::attach(|py| {
            let about = PyDict::new(py);
            about.set_item("kv_block_tokens", engine.kv_block_tokens)?;
            about.set_item("kv_blocks", engine.kv_blocks)?;
            about.set_item("max_model_len", engine.max_model_len)?;
            let parameters = PyDict::new(py);
            for (name, value) in &self.0 {
                match value {
                    Value::Bool(value) => parameters.set_item(name, value)?,
                    Value::Number(value) => match (value.as_i64(), value.as_u64()) {
                        (Some(value), _) => parameters.set_item(name, value)?,
                        (None, Some(value)) => parameters.set_item(name, value)?,
                        _ => parameters.set_item(name, value.as_f64())?,
                    },
                    value => parameters.set_item(name, value.as_str())?,
                }
            }
            let make = py.import("metron_sim._policies")?.getattr("made")?;
            Ok(make.call1((&one.class, parameters, about))?.unbind())
        });
        let object = made.map_err(fail).ok();
        Box::new(OfPython { object, traits: one.traits, thread: None })
    }

    fn facts(&self, _: &EngineInfo) -> Facts {
        let most = |name: &str| {
            let value = self.0.get(name)?.as_u64()?;
            u32::try_from(value).ok()
        };
        let one = defined(SLOT);
        let seats = one.as_ref().and_then(|one| Seats::held(one.seats?, most(one.seats?)?));
        let budget = one.as_ref().and_then(|one| one.budget).map(|parameter| {
            StepBudget::loose(Limit { parameter, most: most(parameter) }, Bounds::Step)
        });
        Facts { seats, budget, ..Facts::default() }
    }
}

macro_rules! register_at {
    ($slot:expr, $name:expr, $($number:literal)*) => {
        match $slot {
            $($number => register::<Given<$number>>($name),)*
            _ => unreachable!("there are no more places"),
        }
    };
}

/// Makes a policy known by a name, or gives a name that Python has given another class.
#[pyfunction]
pub(crate) fn register_scheduler(
    name: String,
    class: Py<PyAny>,
    defaults: &str,
    budget: Option<String>,
    seats: Option<String>,
    traits: (bool, bool, bool),
) -> PyResult<()> {
    let (reserves, deadlines, predicts) = traits;
    let wrong = |error: &dyn fmt::Display| PyValueError::new_err(error.to_string());
    let defaults: Map<String, Value> =
        serde_json::from_str(defaults).map_err(|error| wrong(&error))?;
    // Policies last as long as the process.
    let fields: Vec<&'static str> = defaults.keys().map(|key| &*key.clone().leak()).collect();
    let leaked = |name: Option<String>| name.map(|name| &*name.leak());
    let slot = (0..SLOTS).find(|&slot| defined(slot).is_none_or(|one| one.name == name));
    let Some(slot) = slot else {
        return Err(wrong(&format!("there are {SLOTS} policies in Python already")));
    };
    let known = defined(slot).is_some();
    let definition = Definition {
        name: name.clone(),
        class,
        fields: fields.leak(),
        defaults,
        budget: leaked(budget),
        seats: leaked(seats),
        traits: Traits { reserves, deadlines, predicts },
    };
    let put = |definition| {
        *DEFINED[slot].write().unwrap_or_else(PoisonError::into_inner) = definition;
    };
    put(Some(Arc::new(definition)));
    if known {
        return Ok(());
    }
    let registered = register_at!(slot, &name,
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    registered.map_err(|error| {
        put(None);
        wrong(&error)
    })
}

/// The names of the policies in Python.
#[pyfunction]
pub(crate) fn python_schedulers() -> Vec<String> {
    (0..SLOTS).filter_map(defined).map(|one| one.name.clone()).collect()
}
