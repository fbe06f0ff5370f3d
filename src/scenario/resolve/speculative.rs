//! Speculative decoding: who drafts, how many tokens, and how many are accepted.

use std::sync::Arc;

use super::check::Check;
use super::hardware::{FILE_BYTES_MAX, found};
use super::model::model_at;
use super::owner::Owner;
use crate::catalog::{self, AcceptancePreset, Model};
use crate::cost::{DraftError, Drafter, Precision};
use crate::scenario::raw::{self, DraftAcceptance};
use crate::speculative::{
    Acceptance, AcceptanceRule, DRAFTS_MAX, DraftRules, DraftsByBatchSize, Method, Rounds,
    Speculative,
};
use crate::yaml::Path;

/// What a scenario's speculative decoding comes to.
pub(super) struct Drafting {
    pub speculative: Arc<Speculative>,
    /// What drafts; `None` where the model is not known.
    pub drafter: Option<Drafter>,
    /// As a scenario has it with every default filled in.
    pub filled: raw::Speculative,
}

/// What the engine is, as far as drafting hangs on it.
#[derive(Clone, Copy)]
pub(super) struct Drafted<'a> {
    pub model: Option<&'a Model>,
    pub precision: Precision,
    /// The workload's classes.
    pub classes: &'a [String],
}

/// Resolves `engine.speculative`; `None` where something is wrong (and reported).
pub(super) fn speculative(
    check: &mut Check<'_>,
    owner: &Owner,
    given: &raw::Speculative,
    engine: Drafted<'_>,
) -> Option<Drafting> {
    let path = owner.path(check, &["engine", "speculative"]);
    let before = check.problems.len();
    let tokens = tokens(check, &path, given)?;
    if let Some(most) = given.off_above_running {
        check.whole(&path.key("off_above_running"), most, 0, 1 << 20);
    }
    let by_batch_size = by_batch_size(check, &path, given, tokens);
    let small = small(check, &path, given);
    let method = method(given.method, engine.model);
    let drafter = match engine.model {
        Some(model) => match Drafter::new(method, model, engine.precision, small.as_ref()) {
            Ok(drafter) => Some(drafter),
            Err(DraftError::NoDraftModel) => None,
            Err(error @ DraftError::Vocabulary { .. }) => {
                let help = "take a draft model of the same family and size of vocabulary";
                check.report(&path.key("draft_model"), error.to_string(), help);
                None
            }
            Err(error) => {
                check.report(&path.key("method"), error.to_string(), "take another `method`");
                None
            }
        },
        None => None,
    };
    let (acceptance, filled) = match &given.acceptance {
        Some(given) => {
            let at = path.key("acceptance");
            (of_classes(check, &at, given, tokens, engine)?, given.clone())
        }
        None => published(check, &path, given.method, tokens, engine.model)?,
    };
    if check.problems.len() > before {
        return None;
    }
    let rules =
        DraftRules { method, tokens, off_above_running: given.off_above_running, by_batch_size };
    Some(Drafting {
        speculative: Arc::new(Speculative { rules, acceptance }),
        drafter,
        filled: raw::Speculative {
            num_speculative_tokens: Some(tokens),
            tokens: None,
            acceptance: Some(filled),
            ..given.clone()
        },
    })
}

fn method(given: raw::DraftMethod, model: Option<&Model>) -> Method {
    match given.name() {
        "eagle" => Method::Eagle,
        "eagle3" => Method::Eagle3,
        "mtp" => Method::Mtp { modules: model.map_or(1, Model::predicting_modules).max(1) },
        "ngram" => Method::Ngram,
        "draft_model" => Method::DraftModel,
        _ => Method::Suffix,
    }
}

fn tokens(check: &mut Check<'_>, path: &Path, given: &raw::Speculative) -> Option<u32> {
    let (key, tokens) = match (given.num_speculative_tokens, given.tokens) {
        (Some(_), Some(_)) => {
            let message = "`tokens` and `num_speculative_tokens` are the same: both are given";
            check.report(&path.key("tokens"), message, "keep one of the two");
            return None;
        }
        (Some(tokens), None) => ("num_speculative_tokens", tokens),
        (None, Some(tokens)) => ("tokens", tokens),
        (None, None) => {
            check.missing(
                path,
                &["num_speculative_tokens", "tokens"],
                "`num_speculative_tokens` is missing: how many tokens are drafted at a time?",
                "such as `num_speculative_tokens: 3`",
            );
            return None;
        }
    };
    (check.whole(&path.key(key), tokens, 1, DRAFTS_MAX) == tokens).then_some(tokens)
}

fn by_batch_size(
    check: &mut Check<'_>,
    path: &Path,
    given: &raw::Speculative,
    tokens: u32,
) -> Option<DraftsByBatchSize> {
    let ranges = given.num_speculative_tokens_per_batch_size.as_ref()?;
    let path = path.key("num_speculative_tokens_per_batch_size");
    if given.off_above_running.is_some() {
        let message = "`off_above_running` and `num_speculative_tokens_per_batch_size` both say when \
                       fewer tokens are drafted";
        check.report(&path, message, "keep one of the two; a range may have 0");
        return None;
    }
    if ranges.is_empty() {
        let help = "such as `{\"1-16\": 3, \"64-128\": 2, \"256-4096\": 0}`";
        check.nothing_in(&path, &[], "expected a range at least, found none", help);
        return None;
    }
    let mut read = Vec::new();
    for (range, &drafts) in ranges {
        let at = path.key(range.as_str());
        check.whole(&at, drafts, 0, tokens);
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) => read.push((first, last, drafts)),
            _ => {
                let message = format!(
                    "expected a range of batch sizes such as `1-16`, found `{}`",
                    crate::excerpt::quoted(range)
                );
                check.report(&at, message, "");
                return None;
            }
        }
    }
    match DraftsByBatchSize::new(&read) {
        Ok(table) => Some(table),
        Err(place) => {
            let range = ranges.keys().nth(place).map_or("", String::as_str);
            let message = format!(
                "the range `{}` has no batch size, shares one with another, or is the 17th",
                crate::excerpt::quoted(range)
            );
            check.report(&path.key(range), message, "batch sizes begin at 1");
            None
        }
    }
}

/// The draft model, where the method needs one.
fn small(check: &mut Check<'_>, path: &Path, given: &raw::Speculative) -> Option<Model> {
    let at = path.key("draft_model");
    match (given.method.name(), &given.draft_model) {
        ("draft_model", Some(model)) => model_at(check, &at, model),
        ("draft_model", None) => {
            let message = "`draft_model` is missing: which model drafts?";
            check.missing(path, &["draft_model"], message, "such as `draft_model: llama-3.2-1b`");
            None
        }
        (other, Some(_)) => {
            let message = format!("`draft_model` does not go with `method: {other}`");
            check.report(&at, message, "leave it out, or use `method: draft_model`");
            None
        }
        (_, None) => None,
    }
}

/// The published acceptance that a method and a model have by default.
fn published(
    check: &mut Check<'_>,
    path: &Path,
    method: raw::DraftMethod,
    tokens: u32,
    model: Option<&Model>,
) -> Option<(Acceptance, DraftAcceptance)> {
    let method = method.name();
    let model = model.map_or("a model that is not given", |model| model.name.as_str());
    let Some(preset) = AcceptancePreset::default_of(method, model) else {
        let near: Vec<String> = catalog::names(catalog::Kind::Acceptance)
            .into_iter()
            .filter(|name| catalog::acceptance(name).is_ok_and(|preset| preset.method == method))
            .collect();
        let near = match near.is_empty() {
            true => String::new(),
            false => format!("; published of {method} on other models: {}", near.join(", ")),
        };
        check.missing(
            path,
            &["acceptance"],
            format!("`acceptance` is missing: none is published of {method} on {model}"),
            &format!(
                "give one of `{{rate: 0.7}}`, `{{by_position: [0.8, 0.7, 0.6]}}`, `{{length: 2.4}}`, \
                 `{{by_class: {{...}}}}`, `{{trace: rounds.jsonl}}`, `{{preset: name}}`{near}"
            ),
        );
        return None;
    };
    let name = preset.name.clone();
    let rule = of_preset(check, &path.key("acceptance"), &preset, tokens)?;
    let filled = DraftAcceptance { preset: Some(name), ..DraftAcceptance::default() };
    Some((Acceptance::of_all(rule), filled))
}

/// By class, or for all.
fn of_classes(
    check: &mut Check<'_>,
    path: &Path,
    given: &DraftAcceptance,
    tokens: u32,
    engine: Drafted<'_>,
) -> Option<Acceptance> {
    let Some(by_class) = &given.by_class else {
        return rule(check, path, given, tokens).map(Acceptance::of_all);
    };
    if !is_one_form(check, path, given) {
        return None;
    }
    let path = path.key("by_class");
    let known = engine.classes;
    if known.is_empty() {
        let message = "the workload has no classes";
        check.report(&path, message, "name them in `workload.classes`, or give one form for all");
        return None;
    }
    let names = known.join(", ");
    let mut right = true;
    for name in by_class.keys().filter(|name| !known.contains(name)) {
        let message = format!("no class is named `{}`", crate::excerpt::quoted(name));
        check.report(&path.key(name.as_str()), message, &format!("classes are {names}"));
        right = false;
    }
    let mut rules = Vec::new();
    for name in known {
        match by_class.get(name) {
            Some(given) if given.by_class.is_some() => {
                let at = path.key(name.as_str()).key("by_class");
                check.report(&at, "classes have no classes of their own", "");
            }
            Some(given) => rules.extend(rule(check, &path.key(name.as_str()), given, tokens)),
            None if right => {
                let message = format!("the class `{}` has none", crate::excerpt::quoted(name));
                check.missing(&path, &[], message, "give every class one");
            }
            None => {}
        }
    }
    (rules.len() == known.len()).then(|| Acceptance::by_class(rules))
}

/// The forms that are given.
fn forms(given: &DraftAcceptance) -> Vec<&'static str> {
    let DraftAcceptance { rate, by_position, length, by_class, trace, preset } = given;
    let all = [
        ("rate", rate.is_some()),
        ("by_position", by_position.is_some()),
        ("length", length.is_some()),
        ("by_class", by_class.is_some()),
        ("trace", trace.is_some()),
        ("preset", preset.is_some()),
    ];
    all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}

/// Whether exactly one form is given; else it is reported.
fn is_one_form(check: &mut Check<'_>, path: &Path, given: &DraftAcceptance) -> bool {
    match forms(given)[..] {
        [_] => true,
        [] => {
            let names = ["rate", "by_position", "length", "by_class", "trace", "preset"];
            let message = "expected how many drafts are accepted, found nothing";
            check.nothing_in(path, &names, message, raw::SPECULATIVE_FORMS);
            false
        }
        [one, other, ..] => {
            let message = format!("`{one}` and `{other}` both say how many drafts are accepted");
            check.report(&path.key(other), message, "keep one of the two");
            false
        }
    }
}

/// One form for all requests, or for those of a class.
fn rule(
    check: &mut Check<'_>,
    path: &Path,
    given: &DraftAcceptance,
    tokens: u32,
) -> Option<AcceptanceRule> {
    if !is_one_form(check, path, given) {
        return None;
    }
    let before = check.problems.len();
    let rule = if let Some(rate) = given.rate {
        Some(AcceptanceRule::rate(check.share(&path.key("rate"), rate), tokens))
    } else if let Some(rates) = &given.by_position {
        by_position(check, &path.key("by_position"), rates, tokens)
    } else if let Some(length) = given.length {
        let most = f64::from(tokens) + 1.0;
        let length = check.number(&path.key("length"), length, 1.0, most);
        Some(AcceptanceRule::length(length, tokens))
    } else if let Some(file) = &given.trace {
        rounds(check, &path.key("trace"), file)
    } else {
        let at = path.key("preset");
        let name = given.preset.as_deref().unwrap_or_default();
        let preset = found(check, &at, catalog::acceptance(name))?;
        of_preset(check, &at, &preset, tokens)
    };
    rule.filter(|_| check.problems.len() == before)
}

fn by_position(
    check: &mut Check<'_>,
    path: &Path,
    rates: &[f64],
    tokens: u32,
) -> Option<AcceptanceRule> {
    for (place, &rate) in rates.iter().enumerate() {
        let at = check.element(path, place);
        check.share(&at, rate);
    }
    if rates.len() < tokens as usize && !check.is_cut(path) {
        let message = format!("{} rates for {tokens} drafts: each draft needs one", rates.len());
        check.report(path, message, "each is conditional: given that those before were accepted");
        return None;
    }
    Some(AcceptanceRule::by_position(rates))
}

fn rounds(check: &mut Check<'_>, path: &Path, file: &str) -> Option<AcceptanceRule> {
    let text = check.read_file(path, file, FILE_BYTES_MAX)?;
    match Rounds::read(&text) {
        Ok(rounds) => Some(AcceptanceRule::rounds(rounds)),
        Err(error) => {
            let help = "a line for each request, such as `{\"accepted\": [2, 0, 3]}`";
            check.report(path, format!("`{file}`: {error}"), help);
            None
        }
    }
}

fn of_preset(
    check: &mut Check<'_>,
    path: &Path,
    preset: &AcceptancePreset,
    tokens: u32,
) -> Option<AcceptanceRule> {
    match AcceptanceRule::preset(preset, tokens) {
        Ok(rule) => Some(rule),
        Err(error) => {
            let help = format!("draft fewer than the {tokens}, or give another form");
            check.report(path, format!("`{}` {error}", preset.name), &help);
            None
        }
    }
}
