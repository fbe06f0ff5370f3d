//! Finished points and simulations on disk, found again by content: what an interrupted sweep or
//! capacity search goes on from.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::{OutputError, OutputFile};
use crate::scenario::Experiment;
use crate::workload::{Lengths, Source};

/// A folder with a file for each finished point.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    /// Whether it outlives the result that it was for.
    stays: bool,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    /// All that the result depends on; compared, so that equal hashes do no harm.
    key: Value,
    runs: Vec<Value>,
}

impl Cache {
    /// The folder beside an output file: its name with `.points` behind; none beside a device or
    /// a pipe.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn beside(output: &Path) -> Result<Option<Cache>, OutputError> {
        if std::fs::metadata(output).is_ok_and(|found| !found.is_file()) {
            return Ok(None);
        }
        let mut name = output.as_os_str().to_owned();
        name.push(".points");
        Cache::make(PathBuf::from(name), false).map(Some)
    }

    /// A folder that stays, for results to be found again by later commands.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn lasting(folder: &Path) -> Result<Cache, OutputError> {
        Cache::make(folder.to_owned(), true)
    }

    fn make(folder: PathBuf, stays: bool) -> Result<Cache, OutputError> {
        std::fs::create_dir_all(&folder)
            .map_err(|source| OutputError { path: folder.clone(), source })?;
        Ok(Cache { folder, stays })
    }

    /// The runs of a point that was finished before. What cannot be read is worked out again.
    pub fn find(&self, key: &Value) -> Option<Vec<Value>> {
        let bytes = std::fs::read(self.path(key)).ok()?;
        let entry: Entry = serde_json::from_slice(&bytes).ok()?;
        (entry.key == *key).then_some(entry.runs)
    }

    /// Keeps the runs of a finished point, under a temporary name until they are whole.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, key: &Value, runs: &[Value]) -> Result<(), OutputError> {
        let entry = Entry { key: key.clone(), runs: runs.to_vec() };
        let bytes = serde_json::to_vec(&entry).expect("plain data");
        let mut file = OutputFile::create(&self.path(key))?;
        if let Err(source) = file.write_all(&bytes) {
            return Err(file.error(source));
        }
        file.commit()
    }

    /// Removes a folder that is not to last, when the result that it was for is in place. What
    /// cannot be removed does no harm.
    pub fn remove(self) {
        if self.stays {
            return;
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }

    fn path(&self, key: &Value) -> PathBuf {
        self.folder.join(format!("{:016x}.json", fnv(key.to_string().as_bytes())))
    }
}

/// Hashes of the files that an experiment's requests are read from: a result depends on them.
pub fn input_files(experiment: &Experiment) -> Vec<(String, u64)> {
    let mut files: Vec<&Path> = Vec::new();
    let lengths = |lengths: &Lengths| match lengths {
        Lengths::File(file) => Some(file.clone()),
        _ => None,
    };
    let mut owned: Vec<PathBuf> = Vec::new();
    match &experiment.workload.source {
        Source::Trace(trace) => files.push(&trace.file),
        Source::Synthetic { lengths: common, .. } => owned.extend(lengths(common)),
    }
    owned.extend(experiment.workload.classes.iter().filter_map(|c| lengths(c.lengths.as_ref()?)));
    files.extend(owned.iter().map(PathBuf::as_path));
    files
        .into_iter()
        .map(|file| {
            let hash = std::fs::read(file).map_or(0, |bytes| fnv(&bytes));
            (file.display().to_string(), hash)
        })
        .collect()
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo).
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_no_folder_beside_it() {
        assert!(Cache::beside(Path::new("/dev/null")).expect("nothing to make").is_none());
    }
}
