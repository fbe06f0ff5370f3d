//! JSON texts that people read.

use serde::Serialize;

/// As indented JSON with a line end. By way of a value: the library needs each type's way there
/// anyway, and its way into an indented text would be as much code again.
pub fn indented(plain_data: &impl Serialize) -> String {
    let value = serde_json::to_value(plain_data).expect("plain data");
    format!("{value:#}\n")
}
