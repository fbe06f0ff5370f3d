//! What is known by name: GPUs, models and engine profiles, as data files.
//!
//! A built-in entry is a YAML file under `data/`; a user's own file has the same keys. To add a
//! GPU, a model or a profile, add a file.

mod acceptance;
mod all_reduce;
mod arithmetic;
mod attention_table;
mod check;
mod derived;
mod engine_kernels;
mod evidence;
mod gguf;
mod gpu;
mod gpu_check;
mod gpu_constants;
mod gpu_overrides;
mod hand_over;
mod hf;
mod link;
mod model;
mod model_file;
mod profile;
mod relative;
mod step_law;

use std::fmt;

use include_dir::{Dir, include_dir};
use serde::de::DeserializeOwned;

pub use acceptance::*;
pub(crate) use all_reduce::AllReduceCurve;
pub use all_reduce::{AllReduceChoice, AllReduceKernel, AllReducePoints};
pub use arithmetic::{Arithmetic, Origin};
pub use attention_table::*;
pub use check::InvalidFigure;
pub use engine_kernels::{AttentionEra, EngineKernels};
pub use evidence::{Evidence, EvidenceKind};
pub use gpu::*;
pub use gpu_constants::GpuConstants;
pub use gpu_overrides::GpuOverrides;
pub use hand_over::{FirstToken, HandOverOrder, HandOverWay};
pub use hf::{Assumption, HfConfigError, HfFiles};
pub use link::LinkPreset;
pub use model::*;
use model_file::ModelFile;
pub use profile::*;
pub use relative::GpuOfPeaks;
pub use step_law::{STEP_LAW_TERMS, StepLaw};

use crate::yaml;
pub use crate::yaml::Unreadable;

static DATA: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/catalog/data");

/// The kinds of things that have names here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GPUs.
    Gpu,
    /// Models.
    Model,
    /// Engine profiles.
    Profile,
    /// Published acceptance of drafts.
    Acceptance,
    /// Links that KV goes over from replica to replica.
    Link,
}

/// One line of `metron-sim list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name that a scenario gives.
    pub name: String,
    /// What it is.
    pub description: String,
}

/// A name that is not in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} `{given}`{}; known: {}", did_you_mean(.nearest.as_deref()), .valid.join(", "))]
pub struct UnknownName {
    /// What was looked for.
    pub kind: Kind,
    /// The name that was given.
    pub given: String,
    /// The nearest name, where one is near.
    pub nearest: Option<String>,
    /// All names, sorted.
    pub valid: Vec<String>,
}

/// A catalog file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not YAML, or not with these keys.
    #[error(transparent)]
    Syntax(#[from] Unreadable),
    /// A figure out of range.
    #[error(transparent)]
    Figure(#[from] InvalidFigure),
    /// A model's `config` that is none.
    #[error("config: {0}")]
    Config(#[from] HfConfigError),
    /// Derived from a GPU that is not there.
    #[error("derived_from: {0}")]
    Relative(#[from] UnknownName),
}

/// The GPU of this name.
///
/// # Errors
/// When there is none.
pub fn gpu(name: &str) -> Result<Gpu, UnknownName> {
    let text = built_in_text(Kind::Gpu, name).ok_or_else(|| unknown(Kind::Gpu, name))?;
    Ok(relative::read(text).expect("a test reads every catalog file"))
}

/// The model of this name.
///
/// # Errors
/// When there is none.
pub fn model(name: &str) -> Result<Model, UnknownName> {
    let text = text_of(Kind::Model, name)?;
    Ok(Model::from_yaml(text).expect("a test reads every catalog file"))
}

/// The engine profile of this name.
///
/// # Errors
/// When there is none.
pub fn profile(name: &str) -> Result<EngineProfile, UnknownName> {
    look_up(Kind::Profile, name)
}

/// The published acceptance of this name.
///
/// # Errors
/// When there is none.
pub fn acceptance(name: &str) -> Result<AcceptancePreset, UnknownName> {
    look_up(Kind::Acceptance, name)
}

/// The link between replicas of this name.
///
/// # Errors
/// When there is none.
pub fn link(name: &str) -> Result<LinkPreset, UnknownName> {
    look_up(Kind::Link, name)
}

/// All entries of a kind, by name.
pub fn list(kind: Kind) -> Vec<Entry> {
    let describe = |name: &str| match kind {
        Kind::Gpu => gpu(name).ok().map(|g| g.description),
        Kind::Model => built_in::<ModelFile>(kind, name).map(|m| m.description),
        Kind::Profile => built_in::<EngineProfile>(kind, name).map(|p| p.description),
        Kind::Acceptance => built_in::<AcceptancePreset>(kind, name).map(|p| p.description),
        Kind::Link => built_in::<LinkPreset>(kind, name).map(|p| p.description),
    };
    names(kind)
        .into_iter()
        .map(|name| {
            let description = describe(&name).unwrap_or_default();
            Entry { name, description }
        })
        .collect()
}

/// All names of a kind, sorted.
pub fn names(kind: Kind) -> Vec<String> {
    let dir = DATA.get_dir(kind.folder()).expect("the catalog has a folder for each kind");
    let mut names: Vec<String> = dir
        .files()
        .filter(|f| f.path().extension().is_some_and(|e| e == "yaml"))
        .filter_map(|f| Some(f.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort_unstable();
    names
}

macro_rules! from_yaml {
    ($type:ty, $read:path) => {
        impl $type {
            /// Reads a catalog file of a user's own and checks its figures.
            ///
            /// # Errors
            /// With line and column when it is not YAML or has other keys; with the key's path
            /// when a figure is out of range.
            pub fn from_yaml(text: &str) -> Result<Self, FileError> {
                let entry: Self = $read(text)?;
                entry.validate()?;
                Ok(entry)
            }
        }
    };
}

from_yaml!(Gpu, relative::read);
from_yaml!(EngineProfile, yaml::read);

/// The text of the catalog's file of this name, as it is.
pub fn text(kind: Kind, name: &str) -> Option<&'static str> {
    built_in_text(kind, name)
}

fn look_up<T: DeserializeOwned>(kind: Kind, name: &str) -> Result<T, UnknownName> {
    Ok(read_built_in(text_of(kind, name)?))
}

/// The file of this name.
fn text_of(kind: Kind, name: &str) -> Result<&'static str, UnknownName> {
    built_in_text(kind, name).ok_or_else(|| unknown(kind, name))
}

fn unknown(kind: Kind, name: &str) -> UnknownName {
    let valid = names(kind);
    let nearest =
        crate::suggest::nearest(name, valid.iter().map(String::as_str)).map(str::to_owned);
    UnknownName { kind, given: name.to_owned(), nearest, valid }
}

fn built_in<T: DeserializeOwned>(kind: Kind, name: &str) -> Option<T> {
    built_in_text(kind, name).map(read_built_in)
}

fn read_built_in<T: DeserializeOwned>(text: &str) -> T {
    yaml::read(text).expect("a test reads every catalog file")
}

fn built_in_text(kind: Kind, name: &str) -> Option<&'static str> {
    // Compared with the list, not joined to a path: a name is never a path.
    let known = names(kind).into_iter().find(|n| n == name)?;
    let file = DATA.get_file(format!("{}/{known}.yaml", kind.folder()))?;
    Some(file.contents_utf8().expect("catalog files are UTF-8"))
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Kind::Gpu => "gpus",
            Kind::Model => "models",
            Kind::Profile => "profiles",
            Kind::Acceptance => "acceptance",
            Kind::Link => "links",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Gpu => "GPU",
            Kind::Model => "model",
            Kind::Profile => "engine profile",
            Kind::Acceptance => "acceptance preset",
            Kind::Link => "link",
        })
    }
}

#[cfg(test)]
mod tests;
