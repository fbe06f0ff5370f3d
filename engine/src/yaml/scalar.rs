//! The types of plain scalars.

use super::node::Value;

/// The type of a plain scalar by YAML 1.2's core schema; digits may be grouped by `_`.
pub(super) fn resolve_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN, text.to_owned()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY, text.to_owned());
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY, text.to_owned()),
        _ => {}
    }
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::Text(text.to_owned());
    }
    let grouped = text.replace('_', "");
    let radix = |prefix: &str, radix: u32| {
        text.strip_prefix(prefix).and_then(|digits| i128::from_str_radix(digits, radix).ok())
    };
    if let Some(n) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| grouped.parse().ok()) {
        return Value::Int(n);
    }
    let float_characters =
        body.chars().all(|c| matches!(c, '0'..='9' | '.' | '_' | 'e' | 'E' | '+' | '-'));
    match grouped.parse::<f64>() {
        Ok(x) if float_characters => Value::Float(x, text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}
