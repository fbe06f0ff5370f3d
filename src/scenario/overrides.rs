//! `--set path=value`, or a value of a `--vary`: one field of a document replaced before it is read.

use crate::excerpt::quoted;
use crate::suggest::advice;
use crate::yaml::{Entry, Node, Problem, Source, Sources, Span, Value, parse};

/// Fields that take a name or a map: setting a part of the map keeps the name as its `base`.
const NAME_OR_MAP: [&str; 2] = ["model", "gpu"];

/// Applies `path=value` to the document, and tells which field that was: its path with numbers in place
/// of the names of elements. Errors call it by the option that it came from.
///
/// # Errors
/// When the argument is not `path=value`, the value is not YAML, or the path leads into a list at
/// no element. A path of an unknown field is found later, when the document is read: its place is
/// then this argument.
pub(super) fn apply(
    root: &mut Node,
    sources: &mut Sources,
    option: &str,
    argument: &str,
) -> Result<Vec<String>, Vec<Problem>> {
    let source = sources.add(option, argument);
    let whole = Span { source, start: 0, end: argument.len() };
    let Some((path, _)) = argument.split_once('=') else {
        let problem = Problem::new("", Some(whole), "expected path=value, found no `=`")
            .help("such as `--set workload.arrivals.poisson.rate=3`");
        return Err(vec![problem]);
    };
    let value = value_of(source, argument, path.len() + 1)?;
    let steps = steps(source, path)?;
    let mut field = Vec::new();
    set(root, &steps, &mut field, value).map_err(|problem| vec![*problem])?;
    Ok(field)
}

/// The value, parsed with every position of the argument kept: its path becomes blanks.
fn value_of(source: u32, argument: &str, start: usize) -> Result<Node, Vec<Problem>> {
    let value = &argument[start..];
    if value.trim().is_empty() {
        return Ok(Node { span: Span { source, start, end: start }, value: Value::Null });
    }
    let parsed = parse(source, &Source { name: String::new(), text: value.to_owned() });
    match parsed {
        Ok(mut node) => {
            shift(&mut node, start);
            Ok(node)
        }
        Err(mut problems) => {
            for problem in &mut problems {
                for span in
                    problem.span.iter_mut().chain(problem.others.iter_mut().map(|o| &mut o.0))
                {
                    span.start += start;
                    span.end += start;
                }
            }
            Err(problems)
        }
    }
}

fn shift(node: &mut Node, by: usize) {
    let move_span = |span: &mut Span| {
        span.start += by;
        span.end += by;
    };
    move_span(&mut node.span);
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, by)),
        Value::Map(entries) => {
            for entry in entries {
                move_span(&mut entry.key_span);
                shift(&mut entry.value, by);
            }
        }
        _ => {}
    }
}

/// One step of a path as given, with its place.
struct Step<'a> {
    name: &'a str,
    span: Span,
}

/// Splits at dots outside quotes: `quantiles."0.5"`.
fn steps(source: u32, path: &str) -> Result<Vec<Step<'_>>, Vec<Problem>> {
    let mut steps = Vec::new();
    let (mut start, mut quote) = (0, None);
    let mut bounds = Vec::new();
    for (at, c) in path.char_indices() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            ('.', None) => {
                bounds.push((start, at));
                start = at + 1;
            }
            _ => {}
        }
    }
    bounds.push((start, path.len()));
    for (start, end) in bounds {
        let given = &path[start..end];
        let name = given.trim().trim_matches(['"', '\'']);
        let span = Span { source, start, end };
        if name.is_empty() {
            let problem =
                Problem::new("", Some(span), "expected a field's path, found an empty name")
                    .help("such as `workload.arrivals.poisson.rate`");
            return Err(vec![problem]);
        }
        steps.push(Step { name, span });
    }
    if steps.len() > 32 {
        let span = Span { source, start: 0, end: path.len() };
        return Err(vec![Problem::new("", Some(span), "a path of more than 32 names")]);
    }
    Ok(steps)
}

fn set(
    node: &mut Node,
    steps: &[Step<'_>],
    above: &mut Vec<String>,
    value: Node,
) -> Result<(), Box<Problem>> {
    let Some((step, rest)) = steps.split_first() else {
        *node = value;
        return Ok(());
    };
    if let Value::List(items) = &mut node.value {
        let (index, inside) = element(items, step, above)?;
        above.push(index.to_string());
        let item = &mut items[index];
        return match inside {
            // `schedulers.sarathi.chunk_size`: on into what stands under that name.
            Some(name) => {
                let name = Step { name: &name, span: step.span };
                let target = open(item, &name, above);
                above.push(name.name.to_owned());
                set(target, rest, above, value)
            }
            None => set(item, rest, above, value),
        };
    }
    let target = open(node, step, above);
    above.push(step.name.to_owned());
    set(target, rest, above, value)
}

/// The value of a key, made where there is none; a name in place of a map becomes one.
fn open<'n>(node: &'n mut Node, step: &Step<'_>, above: &[String]) -> &'n mut Node {
    if !matches!(node.value, Value::Map(_)) {
        let old = std::mem::replace(&mut node.value, Value::Null);
        let mut entries = Vec::new();
        if let Value::Text(name) = old {
            let field = above.last().map(String::as_str).unwrap_or_default();
            let scheduler = above.len() == 2 && above[0] == "schedulers";
            let of_pool = above.len() == 3 && above[0] == "pools" && field == "gpu";
            if NAME_OR_MAP.contains(&field) && above.len() == 1 || of_pool {
                let value = Node { span: node.span, value: Value::Text(name) };
                entries.push(Entry { key: "base".to_owned(), key_span: node.span, value });
            } else if scheduler {
                let value = Node { span: node.span, value: Value::Null };
                entries.push(Entry { key: name, key_span: node.span, value });
            }
        }
        node.value = Value::Map(entries);
        if !matches!(&node.value, Value::Map(e) if !e.is_empty()) {
            node.span = step.span;
        }
    }
    let Value::Map(entries) = &mut node.value else { unreachable!("it was made a map just now") };
    let at = match entries.iter().position(|e| e.key == step.name) {
        Some(at) => {
            entries[at].key_span = step.span;
            at
        }
        None => {
            let value = Node { span: step.span, value: Value::Null };
            entries.push(Entry { key: step.name.to_owned(), key_span: step.span, value });
            entries.len() - 1
        }
    };
    &mut entries[at].value
}

/// Which element of a list a step means, and the key inside it that the step named, if it did.
fn element(
    items: &[Node],
    step: &Step<'_>,
    above: &[String],
) -> Result<(usize, Option<String>), Box<Problem>> {
    let path = || format!("{}.{}", above.join("."), step.name);
    if let Ok(index) = step.name.parse::<usize>() {
        if index < items.len() {
            return Ok((index, None));
        }
        let problem = Problem::new(
            path(),
            Some(step.span),
            format!("no element {index} in a list of {}", items.len()),
        )
        .help("elements count from 0");
        return Err(Box::new(problem));
    }
    let matches: Vec<(usize, Option<String>)> = items
        .iter()
        .enumerate()
        .filter_map(|(i, item)| named(item, step.name).map(|inside| (i, inside)))
        .collect();
    match matches.as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            let names: Vec<String> = items.iter().flat_map(names_of).collect();
            let problem = Problem::new(
                path(),
                Some(step.span),
                format!("no element of this list is named `{}`", quoted(step.name)),
            )
            .help(advice(step.name, names.iter().map(String::as_str)));
            Err(Box::new(problem))
        }
        several => {
            let indices: Vec<String> = several
                .iter()
                .map(|(i, _)| format!("`{}.{i}.{}`", above.join("."), step.name))
                .collect();
            let problem = Problem::new(
                path(),
                Some(step.span),
                format!(
                    "{} elements of this list are named `{}`",
                    several.len(),
                    quoted(step.name)
                ),
            )
            .help(format!("say which by number: {}", indices.join(" or ")));
            Err(Box::new(problem))
        }
    }
}

/// Whether an element goes by a name: a text, a map's `name` or `label`, or a key of a map (then
/// the name leads inside).
fn named(item: &Node, name: &str) -> Option<Option<String>> {
    if item.as_text() == Some(name) {
        return Some(Some(name.to_owned()));
    }
    let own = |key: &str| item.get(key).and_then(Node::as_text) == Some(name);
    if own("name") {
        return Some(None);
    }
    if item.entry(name).is_some() && item.entry("name").is_none() {
        return Some(Some(name.to_owned()));
    }
    if own("label") {
        let inside = item.entries().iter().find(|e| e.key != "label");
        return Some(inside.map(|e| e.key.clone()));
    }
    None
}

fn names_of(item: &Node) -> Vec<String> {
    if let Some(text) = item.as_text() {
        return vec![text.to_owned()];
    }
    if let Some(name) = item.get("name").and_then(Node::as_text) {
        return vec![name.to_owned()];
    }
    item.entries().iter().filter(|e| e.key != "label").map(|e| e.key.clone()).collect()
}
