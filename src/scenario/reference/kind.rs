//! What a value of a schema is, in words.

use serde_json::Value as Json;

/// What may stand where this schema holds.
pub(super) fn of(schema: &Json, definitions: &Json) -> String {
    let mut kinds = Vec::new();
    collect(schema, definitions, &mut kinds);
    kinds.dedup();
    let mut seen: Vec<String> = Vec::new();
    for kind in kinds {
        if !seen.contains(&kind) {
            seen.push(kind);
        }
    }
    if seen.is_empty() { "anything".to_owned() } else { seen.join(", or ") }
}

/// What a default is.
pub(super) fn of_value(value: &Json) -> String {
    match value {
        Json::Bool(_) => "`true` or `false`",
        Json::Number(n) if n.is_f64() => "a number",
        Json::Number(_) => "a whole number",
        Json::String(_) => "text",
        _ => "a value, or left out",
    }
    .to_owned()
}

/// A value as code.
pub(super) fn code(value: &Json) -> String {
    match value {
        Json::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn collect(schema: &Json, definitions: &Json, kinds: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return collect(&definitions[name], definitions, kinds);
    }
    let choices: Vec<&Json> = ["anyOf", "oneOf"]
        .iter()
        .flat_map(|of| schema[*of].as_array().into_iter().flatten())
        .collect();
    if !choices.is_empty() {
        let names: Vec<String> =
            choices.iter().filter_map(|choice| choice.get("const")).map(code).collect();
        if !names.is_empty() {
            kinds.push(names.join(", "));
        }
        for choice in choices.iter().filter(|choice| choice.get("const").is_none()) {
            collect(choice, definitions, kinds);
        }
        return;
    }
    if let Some(names) = schema["enum"].as_array() {
        kinds.push(names.iter().map(code).collect::<Vec<_>>().join(", "));
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Json::String(one) => vec![one],
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    for one in types {
        match one {
            "string" => kinds.push(match schema["examples"][0].as_str() {
                Some(example) if example.contains("/s") => format!("a bandwidth: `{example}`"),
                Some(example) if example.ends_with('B') => format!("a size: `{example}`"),
                Some(example) => format!("a time: `{example}`"),
                None => "text".to_owned(),
            }),
            "integer" => kinds.push("a whole number".to_owned()),
            "number" => kinds.push("a number".to_owned()),
            "boolean" => kinds.push("`true` or `false`".to_owned()),
            "array" => {
                let mut inner = Vec::new();
                collect(&schema["items"], definitions, &mut inner);
                let plain: Vec<&str> = inner
                    .iter()
                    .map(|kind| match kind.as_str() {
                        "a number" => "numbers",
                        "a whole number" => "whole numbers",
                        "a map" => "maps",
                        _ => "names",
                    })
                    .collect();
                let mut plain = plain;
                plain.dedup();
                kinds.push(format!("a list of {}", plain.join(" or ")));
            }
            "object" => kinds.push("a map".to_owned()),
            _ => {}
        }
    }
}
