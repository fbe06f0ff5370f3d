//! Whose value a field is: the scenario's, or a pool's own.

use super::check::Check;
use crate::yaml::Path;

/// The scenario, or one of its pools.
#[derive(Clone, Debug, Default)]
pub(super) struct Owner {
    /// Of the pool, where there are pools.
    pub pool: Option<Path>,
}

impl Owner {
    /// The path of a field that a pool may give: the scenario's where it stands only there, otherwise the
    /// pool's own.
    pub(super) fn path(&self, check: &Check<'_>, keys: &[&str]) -> Path {
        let under = |path: &Path| keys.iter().fold(path.clone(), |path, &key| path.key(key));
        let everybodys = under(&Path::root());
        let Some(own) = self.pool.as_ref().map(under) else { return everybodys };
        let stands = |path: &Path| check.root().locate(path).found;
        if !stands(&own) && stands(&everybodys) { everybodys } else { own }
    }

    /// Where a field that is missing is missed.
    pub(super) fn place(&self) -> Path {
        self.pool.clone().unwrap_or_default()
    }

    /// What a warning begins with: `engine.max_model_len`, or `pools.1.engine.max_model_len`.
    pub(super) fn field(&self, check: &Check<'_>, keys: &[&str]) -> String {
        self.path(check, keys).to_string()
    }
}
