//! Overrides written into a scenario's own text, comments and layout kept where that can be done.

use std::fmt::Write;

use super::error::ScenarioError;
use super::load::Document;
use crate::yaml::{Entry, Node, Source, Sources, Value, parse};

/// Widest line of a list or map that is written on one line.
const WIDTH: usize = 90;

impl Document {
    /// The text of a document, as it was read, with `path=value` overrides written into it in order.
    ///
    /// The part that an override changes is replaced in place; where the layout does not allow it,
    /// the whole text is written anew. Either way the text reads as what the overrides make.
    ///
    /// # Errors
    /// When an override is not `path=value`, or leads to no element of a list.
    pub fn rewritten(&self, overrides: &[String]) -> Result<String, ScenarioError> {
        let mut now = self.clone();
        for argument in overrides {
            let next = now.clone().with(std::slice::from_ref(argument))?;
            if same(&now.root, &next.root) {
                continue;
            }
            let name = now.sources.get(0).name.clone();
            let (text, root) = rewrite(&now.sources.get(0).text, &now.root, &next.root);
            let mut sources = Sources::default();
            sources.add(name, text);
            (now.root, now.sources) = (root, sources);
        }
        Ok(now.sources.get(0).text.clone())
    }

    /// Files that the scenario names, as it spells them.
    pub fn named_files(&self) -> Vec<String> {
        let mut named = Vec::new();
        name_files(&self.root, &mut named);
        named
    }

    /// Whether the text itself has a value at this dotted path of keys.
    pub fn gives(&self, path: &str) -> bool {
        path.split('.').try_fold(&self.root, |node, key| node.get(key)).is_some()
    }

    /// The number that the text itself has at such a path.
    pub fn number(&self, path: &str) -> Option<f64> {
        let node = path.split('.').try_fold(&self.root, |node, key| node.get(key))?;
        node.scalar_text()?.parse().ok()
    }

    /// The elements of a list at the top, each as YAML on one line.
    pub fn elements(&self, list: &str) -> Vec<String> {
        match self.root.get(list).map(|node| &node.value) {
            Some(Value::List(items)) => items.iter().map(flow).collect(),
            _ => Vec::new(),
        }
    }
}

fn name_files(node: &Node, named: &mut Vec<String>) {
    if let Value::List(items) = &node.value {
        items.iter().for_each(|item| name_files(item, named));
    }
    for entry in node.entries() {
        match entry.value.as_text() {
            Some(text) if matches!(entry.key.as_str(), "file" | "config" | "gguf") => {
                named.push(text.to_owned());
            }
            _ => name_files(&entry.value, named),
        }
    }
}

/// The text that reads as `new`, and what it was read as.
fn rewrite(text: &str, old: &Node, new: &Node) -> (String, Node) {
    for candidate in candidates(text, old, new) {
        if let Some(root) = read(&candidate).filter(|root| same(root, new)) {
            return (candidate, root);
        }
    }
    // What stands above the scenario is a comment.
    let above = text.get(..old.span.start).unwrap_or_default();
    let mut whole = if above.ends_with('\n') { above.to_owned() } else { String::new() };
    block(new, 0, &mut whole);
    let root = read(&whole).unwrap_or_else(|| new.clone());
    (whole, root)
}

fn read(text: &str) -> Option<Node> {
    parse(0, &Source { name: String::new(), text: text.to_owned() }).ok()
}

/// Texts to try, the smallest change first.
fn candidates(text: &str, old: &Node, new: &Node) -> Vec<String> {
    // From the root to the smallest part that holds every change.
    let mut chain = vec![(old, new)];
    while let Some(&(old, new)) = chain.last() {
        let children: Vec<(&Node, &Node)> = match (&old.value, &new.value) {
            (Value::Map(a), Value::Map(b)) if keys(a).eq(keys(b)) => {
                a.iter().zip(b).map(|(a, b)| (&a.value, &b.value)).collect()
            }
            (Value::List(a), Value::List(b)) if a.len() == b.len() => a.iter().zip(b).collect(),
            _ => break,
        };
        let mut changed = children.into_iter().filter(|(a, b)| !same(a, b));
        match (changed.next(), changed.next()) {
            (Some(one), None) => chain.push(one),
            _ => break,
        }
    }
    let mut texts = Vec::new();
    for (depth, (old, new)) in chain.into_iter().enumerate().rev() {
        let (start, end) = (old.span.start, old.span.end);
        let Some(given) = text.get(start..end) else { continue };
        let replaced = |by: &str| {
            // A block's place may reach over the line ends after it.
            let kept = &given[given.trim_end().len()..];
            format!("{}{by}{kept}{}", &text[..start], &text[end..])
        };
        if let (Value::Map(_), Value::Map(after)) = (&old.value, &new.value)
            && !given.starts_with('{')
        {
            if let [only] = after.as_slice() {
                texts.push(replaced(&format!("{}: {}", scalar(&only.key), flow(&only.value))));
            }
            texts.extend(with_a_key(text, old, new));
        }
        // A whole scenario on one line would be no text to read.
        if depth > 0 || given.starts_with('{') || !matches!(new.value, Value::Map(_)) {
            texts.push(replaced(&flow(new)));
        }
    }
    texts
}

/// A block map that gets one more key: a line of its own, last at the top and first elsewhere.
fn with_a_key(text: &str, old: &Node, new: &Node) -> Option<String> {
    let added = new.entries().last().filter(|_| new.entries().len() == old.entries().len() + 1)?;
    let line = format!("{}: {}", scalar(&added.key), flow(&added.value));
    let first = old.entries().first()?.key_span.start;
    let indent = first - text[..first].rfind('\n').map_or(0, |end| end + 1);
    Some(match indent {
        0 => format!("{}\n{line}\n", text.trim_end()),
        _ => {
            // After the last one, at the same depth.
            let last = old.entries().last()?.value.span.end.max(old.entries().last()?.key_span.end);
            let end = text.get(..last)?.trim_end().len();
            let rest = text[end..].find('\n').map_or(text.len(), |at| end + at);
            format!("{}\n{}{line}{}", &text[..rest], " ".repeat(indent), &text[rest..])
        }
    })
}

fn keys(entries: &[Entry]) -> impl Iterator<Item = &str> {
    entries.iter().map(|entry| entry.key.as_str())
}

/// Whether two values say the same, wherever they stand.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a, _), Value::Float(b, _)) => a.to_bits() == b.to_bits(),
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            keys(a).eq(keys(b)) && a.iter().zip(b).all(|(a, b)| same(&a.value, &b.value))
        }
        _ => false,
    }
}

/// A value on one line.
fn flow(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => scalar(text),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| format!("{}: {}", scalar(&entry.key), flow(&entry.value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        _ => node.scalar_text().unwrap_or_default(),
    }
}

/// A text, plain where it then still reads as the same text.
fn scalar(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_./-+% ".contains(c);
    let edges = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let plain = text.chars().all(safe) && edges(text.chars().next()) && edges(text.chars().last());
    let is_text = || read(text).is_some_and(|node| node.as_text() == Some(text));
    // A key that looks like a number is a text all the same.
    let number = || text.parse::<f64>().is_ok() && text.starts_with(|c: char| c.is_ascii_digit());
    if plain && (is_text() || number()) {
        text.to_owned()
    } else {
        serde_json::to_string(text).expect("text is plain data")
    }
}

/// A value over several lines, maps and lists that are short enough on one.
fn block(node: &Node, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    let mut child = |head: String, child: &Node| {
        let line = flow(child);
        let collection = matches!(&child.value, Value::List(_) | Value::Map(_));
        if !collection || head.len() + line.len() < WIDTH {
            let _ = writeln!(out, "{head} {line}");
        } else {
            let _ = writeln!(out, "{head}");
            block(child, indent + 2, out);
        }
    };
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for entry in entries {
                child(format!("{pad}{}:", scalar(&entry.key)), &entry.value);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for item in items {
                child(format!("{pad}-"), item);
            }
        }
        _ => {
            let _ = writeln!(out, "{pad}{}", flow(node));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Files, bundled};

    fn document(text: &str) -> Document {
        Document::from_text("t.yaml", text, Files::none()).expect("YAML")
    }

    fn set(text: &str, overrides: &[&str]) -> String {
        let overrides: Vec<String> = overrides.iter().map(|&one| one.to_owned()).collect();
        document(text).rewritten(&overrides).expect("applies")
    }

    const CHAT: &str = "\
# a comment
name: chat   # another
gpu: h100-sxm
schedulers:
  - vllm-v0: {}
  - sarathi: {chunk_size: 512}  # small
workload:
  requests: 2000
  arrivals: {poisson: {rate: 4.5}}
";

    #[test]
    fn a_changed_value_leaves_the_rest_as_it_was() {
        let changed = |overrides: &[&str]| {
            let text = set(CHAT, overrides);
            let pairs = CHAT.lines().zip(text.lines());
            let lines: Vec<String> =
                pairs.filter(|(a, b)| a != b).map(|(_, b)| b.trim().to_owned()).collect();
            assert_eq!(text.lines().count(), CHAT.lines().count(), "{text}");
            lines.join("|")
        };
        assert_eq!(
            changed(&["workload.arrivals.poisson.rate=2"]),
            "arrivals: {poisson: {rate: 2}}"
        );
        assert_eq!(changed(&["gpu=a40", "name=b"]), "name: b   # another|gpu: a40");
        assert_eq!(
            changed(&["schedulers.1.sarathi.chunk_size=64"]),
            "- sarathi: {chunk_size: 64}  # small"
        );
        assert_eq!(changed(&["schedulers.0={orca: {}}"]), "- orca: {}");
        assert_eq!(
            changed(&["schedulers.0.vllm-v0.max_num_seqs=8"]),
            "- vllm-v0: {max_num_seqs: 8}"
        );
        assert_eq!(changed(&["workload.requests=2000"]), "");
    }

    #[test]
    fn new_fields_get_lines_of_their_own() {
        let text = set(CHAT, &["replicas=2", "workload.max_tokens={factor: 2.0}"]);
        assert!(text.ends_with("\nreplicas: 2\n"), "{text}");
        assert!(text.contains("\n  max_tokens: {factor: 2.0}\n"), "{text}");
        assert!(text.starts_with("# a comment\nname: chat   # another\n"), "{text}");
    }

    #[test]
    fn every_bundled_scenario_takes_any_override() {
        let overrides = [
            "replicas=3",
            "gpu=a40",
            "slo.tbt=40ms",
            "engine.kv_blocks=512",
            "schedulers.0={sarathi: {chunk_size: 99}}",
            "schedulers=[orca, {vllm-v1: {max_num_seqs: 7}}]",
            "workload.lengths={prompt: {quantiles: {0: 1, 0.5: 20, 1: 90}}, output: {fixed: 8}}",
            "description=\"yes: 'no' # {x} \\u00e9\"",
        ];
        for scenario in bundled() {
            let mut wanted = document(scenario.text);
            for argument in overrides {
                let argument = [argument.to_owned()];
                wanted = wanted.clone().with(&argument).expect("applies");
            }
            let all: Vec<String> = overrides.iter().map(|&one| one.to_owned()).collect();
            let text = document(scenario.text).rewritten(&all).expect("applies");
            assert!(same(&document(&text).root, &wanted.root), "{}: {text}", scenario.name);
            assert!(text.starts_with('#'), "comments stay: {text}");
        }
    }

    #[test]
    fn where_the_layout_does_not_allow_it_all_is_written_anew() {
        let text = "a: &x {b: 1}\nc: *x\n";
        assert_eq!(set(text, &["c.b=2"]), "a: {b: 1}\nc: {b: 2}\n");
        let long = format!("{{a: [{}], z: 1}}", "{b: some words}, ".repeat(12));
        let text = set(&format!("x: &l {long}\ny: *l\n"), &["y.z=2"]);
        assert!(text.contains("\n    - {b: some words}\n"), "{text}");
        assert_eq!(
            document(&text).root.get("y").and_then(|y| y.get("z")).map(flow),
            Some("2".into())
        );
    }
}
