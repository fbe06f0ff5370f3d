//! What a result depends on beside the scenario's text: the program's build, and the contents of
//! every file that the scenario names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::digest::Digest;
use crate::scheduler::SchedulerConfig;
use crate::workload::trace_parts;

/// A digest of the sources that the library was built from.
const BUILD: &str = env!("METRON_SIM_BUILD");

/// A digest of what this program was built from: the library's sources, and where the program around
/// it has policies of its own, the program.
pub fn build() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    if SchedulerConfig::all_built_in() {
        return BUILD;
    }
    PROGRAM.get_or_init(|| {
        let program = std::env::current_exe().and_then(std::fs::read).unwrap_or_default();
        digest(&[BUILD.as_bytes(), &program].concat())
    })
}

/// Digests of files' contents, by their names as the scenario spells them.
pub type Contents = BTreeMap<String, String>;

/// Reads each file once, however many points of a sweep name it.
#[derive(Debug, Default)]
pub struct FileDigests {
    known: Mutex<BTreeMap<PathBuf, String>>,
}

impl FileDigests {
    /// The contents of `files`: paths by their names in the scenario.
    pub fn of(&self, files: &BTreeMap<String, PathBuf>) -> Contents {
        files.iter().map(|(name, path)| (name.clone(), self.one(path))).collect()
    }

    fn one(&self, path: &Path) -> String {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(path.to_owned()).or_insert_with(|| digest_of(path)).clone()
    }
}

/// The digest of some bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    let mut digest = Digest::default();
    digest.add(bytes);
    digest.hex()
}

/// The digest of a file, and of those that are read with it.
fn digest_of(path: &Path) -> String {
    match trace_parts(path).as_slice() {
        [] => digest_of_one(path),
        parts => {
            digest(parts.iter().map(|part| digest_of_one(part)).collect::<String>().as_bytes())
        }
    }
}

fn digest_of_one(path: &Path) -> String {
    match std::fs::metadata(path) {
        // Reading a pipe would take from the run what it needs.
        Ok(metadata) if !metadata.is_file() => "not a regular file".to_owned(),
        Ok(_) => std::fs::read(path).map_or_else(|error| error.to_string(), |b| digest(&b)),
        Err(_) => "not there".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_count_and_names_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("writable");
            BTreeMap::from([("given".to_owned(), path)])
        };
        let of = |files| FileDigests::default().of(&files);
        assert_eq!(of(write("a", "1")), of(write("b", "1")));
        assert_ne!(of(write("a", "1")), of(write("b", "2")));
        let gone = BTreeMap::from([("given".to_owned(), folder.path().join("c"))]);
        assert_eq!(of(gone)["given"], "not there");
    }

    #[test]
    fn pieces_have_lengths() {
        let of = |pieces: &[&str]| {
            let mut digest = Digest::default();
            pieces.iter().for_each(|piece| digest.add(piece.as_bytes()));
            digest.hex()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(BUILD.len(), 32);
    }
}
