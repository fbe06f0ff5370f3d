//! What tells two shards apart that should be of one sweep.

use serde_json::Value;

use super::SweepFile;

/// The first thing in which two shards differ that must be the same in all of a sweep, in words.
pub(super) fn between(a: &SweepFile, b: &SweepFile) -> Option<String> {
    if a.tool != b.tool {
        let (a, b) = (&a.tool.version, &b.tool.version);
        return Some(format!("one was made by version {a}, another by version {b}"));
    }
    if a.build != b.build {
        return Some(format!(
            "they were made by two builds of version {}, {} and {}",
            a.tool.version,
            short(&a.build),
            short(&b.build)
        ));
    }
    let other = |(name, digest): &(&String, &String)| {
        b.files.get(*name).is_some_and(|theirs| theirs != *digest)
    };
    if let Some((name, digest)) = a.files.iter().find(other) {
        return Some(format!(
            "the file `{name}` had other contents, {} and {}",
            short(digest),
            short(&b.files[name])
        ));
    }
    if a.vary != b.vary {
        let paths = |file: &SweepFile| {
            let each = file.vary.iter().map(|one| format!("{}={}", one.path, one.values.join(",")));
            each.collect::<Vec<_>>().join(" ")
        };
        return Some(format!("they vary `{}` and `{}`", paths(a), paths(b)));
    }
    let whole = |file: &SweepFile| {
        serde_json::json!({
            "scenario": file.scenario, "capacity": file.capacity,
            "full_metrics": file.full_metrics, "points_total": file.points_total,
        })
    };
    first("", &whole(a), &whole(b))
}

fn short(digest: &str) -> &str {
    match digest.get(..12) {
        Some(start) => start,
        None if digest.is_empty() => "one unknown",
        None => digest,
    }
}

/// The first value in which two documents differ, with its path.
fn first(path: &str, a: &Value, b: &Value) -> Option<String> {
    if a == b {
        return None;
    }
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (a, b) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let names = ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name)));
            let null = &Value::Null;
            names.into_iter().find_map(|name| {
                let of =
                    |all: &serde_json::Map<String, Value>| all.get(name).unwrap_or(null).clone();
                first(&below(name), &of(ours), &of(theirs))
            })
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            let mut pairs = ours.iter().zip(theirs).enumerate();
            pairs.find_map(|(place, (a, b))| first(&below(&place.to_string()), a, b))
        }
        _ => Some(format!("`{path}` is {} in one, {} in another", cut(a), cut(b))),
    }
}

fn cut(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
