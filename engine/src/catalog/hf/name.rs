//! What a model is called that does not say its own name.

use serde_json::Value;

use super::config::Config;

/// The model's name in a path: of `Qwen/Qwen2.5-7B`, of `qwen/config.json`, of `qwen-awq.json`, of a
/// file in Hugging Face's cache. `None` where nothing in it is a name.
pub(super) fn in_path(path: &str) -> Option<&str> {
    let hash = |part: &str| part.len() >= 40 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let nameless = |part: &str| {
        matches!(part, "" | "." | ".." | "config" | "snapshots" | "main") || hash(part)
    };
    path.rsplit(['/', '\\'])
        .map(|part| part.strip_suffix(".json").or(part.strip_suffix(".gguf")).unwrap_or(part))
        .find(|part| !nameless(part))
        // The cache's folder of `org/name` is `models--org--name`.
        .and_then(|part| part.rsplit("--").next())
}

/// The name of the model in this config, which lies at `place`.
pub(super) fn of<'p, 'a: 'p>(config: &Config<'a>, place: &'p str) -> &'p str {
    let own = |keys: &super::config::Keys<'a>| -> Option<&'p str> {
        keys.peek("_name_or_path").and_then(Value::as_str).and_then(in_path)
    };
    let kind = if config.kind.is_empty() { "model" } else { config.kind };
    own(config.outer()).or_else(|| own(&config.text)).or_else(|| in_path(place)).unwrap_or(kind)
}
