//! Patterns on the names of modules, as quantised checkpoints list what they leave out.
//!
//! A name's beginning differs by class (`model.layers.`, `language_model.model.layers.`), so names are
//! compared from `layers.` on; a regular expression or a name with stars, which sees all of a name, is
//! tried with each beginning in use.

use std::collections::HashSet;

use super::error::HfConfigError;
use super::regexes::{self, BEGINNINGS, Expression};

/// Parts of a name that lie outside the language model.
const OUTSIDE: [&str; 14] = [
    "vision",
    "visual",
    "audio",
    "vit.",
    "tower",
    "projector",
    "mtp",
    "nextn",
    "img_",
    "image",
    "speech",
    "mm_",
    "multi_modal",
    "connector",
];

/// Most patterns that are tried one by one.
const MOST: usize = 4096;

/// A list of patterns.
#[derive(Default)]
pub(super) struct Patterns {
    /// Names from `layers.` on, or of modules outside layers.
    exact: HashSet<String>,
    /// Beginnings of names from `layers.` on.
    starts: Vec<String>,
    /// Parts between dots that follow each other anywhere in a name.
    parts: Vec<String>,
    /// Names with stars.
    globs: Vec<String>,
    regexes: Vec<Expression>,
}

impl Patterns {
    /// Reads a list at `key`.
    pub(super) fn new<'p>(
        key: &str,
        patterns: impl IntoIterator<Item = &'p str>,
    ) -> Result<Patterns, HfConfigError> {
        let mut all = Patterns::default();
        for pattern in patterns {
            all.add(key, pattern)?;
        }
        all.check(key)?;
        Ok(all)
    }

    /// Adds another list.
    pub(super) fn extend(&mut self, key: &str, other: Patterns) -> Result<(), HfConfigError> {
        self.exact.extend(other.exact);
        self.starts.extend(other.starts);
        self.parts.extend(other.parts);
        self.globs.extend(other.globs);
        self.regexes.extend(other.regexes);
        self.check(key)
    }

    fn check(&self, key: &str) -> Result<(), HfConfigError> {
        regexes::check(key, &self.regexes)?;
        let tried = self.starts.len() + self.parts.len() + self.globs.len();
        if tried > MOST {
            return Err(HfConfigError::wrong(key, "a list of at most 4096 patterns", tried));
        }
        Ok(())
    }

    fn add(&mut self, key: &str, pattern: &str) -> Result<(), HfConfigError> {
        if let Some(text) = pattern.strip_prefix("re:") {
            self.regexes.push(Expression::new(key, text)?);
            return Ok(());
        }
        let stars = pattern.matches('*').count();
        match from_layers(pattern) {
            Some((before, _)) if is_outside(before) => {}
            Some((_, tail)) if stars == 0 => {
                self.exact.insert(tail.trim_end_matches('.').to_owned());
            }
            Some((before, tail)) if stars == 1 && tail.ends_with('*') && !before.contains('*') => {
                self.starts.push(tail.trim_end_matches('*').to_owned());
            }
            None if stars == 0 && is_outside(pattern) => {}
            None if stars == 0 => self.parts.push(format!(".{}.", pattern.trim_matches('.'))),
            _ => self.globs.push(pattern.to_owned()),
        }
        Ok(())
    }

    /// Whether nothing is listed.
    fn is_empty(&self) -> bool {
        self.exact.is_empty()
            && self.starts.is_empty()
            && self.parts.is_empty()
            && self.globs.is_empty()
            && self.regexes.is_empty()
    }

    /// Whether a module of any of these names is meant.
    pub(super) fn matches_any(&self, names: &[String]) -> bool {
        !self.is_empty() && names.iter().any(|name| self.matches(name))
    }

    /// Whether a module of this name, from `layers.` on, is meant.
    pub(super) fn matches(&self, name: &str) -> bool {
        if self.is_exact(name) || self.starts.iter().any(|start| name.starts_with(start.as_str())) {
            return true;
        }
        let dotted = format!(".{name}.");
        if self.parts.iter().any(|part| dotted.contains(part.as_str())) {
            return true;
        }
        if self.regexes.iter().any(|regex| regex.matches(name)) {
            return true;
        }
        let is_glob = |full: String| self.globs.iter().any(|glob| is_like(glob, &full));
        !self.globs.is_empty()
            && BEGINNINGS.iter().any(|beginning| is_glob(format!("{beginning}{name}")))
    }

    /// Whether the name, or that of a module it lies in, is listed.
    fn is_exact(&self, name: &str) -> bool {
        if self.exact.is_empty() {
            return false;
        }
        let ends = name.match_indices('.').map(|(at, _)| at).chain([name.len()]);
        ends.into_iter().any(|end| self.exact.contains(&name[..end]))
    }
}

/// The name's beginning, and the rest from `layers.` on.
pub(super) fn from_layers(name: &str) -> Option<(&str, &str)> {
    let at = name.find("layers.").filter(|&at| at == 0 || name[..at].ends_with('.'))?;
    Some(name.split_at(at))
}

/// Whether a name lies outside the language model's layers.
pub(super) fn is_outside(beginning: &str) -> bool {
    OUTSIDE.iter().any(|part| beginning.contains(part))
}

/// Whether a name is like a pattern with stars, or lies in a module that is.
fn is_like(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    let inside = |at: usize| rest[at + last.len()..].starts_with('.');
    last.is_empty() || rest.ends_with(last) || rest.match_indices(last).any(|(at, _)| inside(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(pattern: &str, name: &str) -> bool {
        Patterns::new("ignore", [pattern]).expect("a pattern").matches(name)
    }

    #[test]
    fn names_stars_and_regular_expressions() {
        let q = "layers.3.self_attn.q_proj";
        assert!(meant("model.layers.3.self_attn.q_proj", q));
        assert!(meant("language_model.model.layers.3.self_attn", q));
        assert!(!meant("model.layers.31.self_attn", q) && !meant("model.layers.3.self", q));
        assert!(meant("self_attn", q) && !meant("attn", q));
        assert!(meant("model.layers.*.self_attn", q) && meant("model.layers.3.self_attn*", q));
        assert!(meant("*self_attn*", q) && !meant("*mlp*", q));
        assert!(meant("re:.*self_attn.*", q) && meant("re:model\\.layers\\.3\\..*", q));
        assert!(!meant("re:self_attn", q));
        assert!(!meant("mlp.gate", "layers.0.mlp.gate_proj"));
        assert!(meant("lm_head", "lm_head"));
        let kimi = "re:.*mlp\\.(gate|up|gate_up|down)_proj.*";
        assert!(meant(kimi, "layers.0.mlp.gate_proj"));
        assert!(!meant(kimi, "layers.1.mlp.experts.0.gate_proj"));
    }

    #[test]
    fn layers_of_encoders_are_others() {
        assert!(!meant("vision_tower.encoder.layers.0.self_attn", "layers.0.self_attn.q_proj"));
        assert!(!meant("mtp.layers.0", "layers.0.self_attn.q_proj"));
    }

    #[test]
    fn a_regular_expression_that_is_none_is_an_error() {
        assert!(Patterns::new("ignore", ["re:(["]).is_err());
    }
}
