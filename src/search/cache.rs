//! Finished points and simulations on disk, found again by content: what an interrupted sweep or
//! capacity search goes on from.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::depends::digest;
use crate::report::{OutputError, OutputFile};

/// Says whose the folder beside an output is, and is locked by the run that uses it.
const MARKER: &str = ".metron-sim";
const MARKER_SAYS: &str = "Finished simulations of metron-sim, kept until the result beside this \
                           folder is whole.\nFiles that it did not write stay.\n";
/// Every entry begins with this, so that it is known for one.
const ENTRY_BEGINS: &str = "{\"written_by\":\"metron-sim\",";

/// A folder with a file for each finished point.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    /// Held by the one run that may use a folder beside an output; none for a folder that stays,
    /// which any number may share.
    marker: Option<File>,
    /// The first entry that could not be kept.
    unkept: Mutex<Option<OutputError>>,
}

/// Why there is no folder to keep points in.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be made or written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Another run has it.
    #[error(
        "{} is in use by another run that writes the same result: wait for it, or give another -o",
        .0.display()
    )]
    InUse(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Entry {
    written_by: String,
    /// Of the key and the runs.
    digest: String,
    /// All that the result depends on; compared, so that equal hashes do no harm.
    key: Value,
    runs: Vec<Value>,
}

impl Entry {
    fn digest(key: &Value, runs: &[Value]) -> String {
        digest(format!("{key}{}", Value::from(runs)).as_bytes())
    }
}

impl Cache {
    /// The folder beside an output file: its name with `.points` behind, cut short where that is more
    /// than a file system takes; none beside a device or
    /// a pipe. It is this run's alone until it is dropped.
    ///
    /// # Errors
    /// When the folder cannot be made, or another run has it.
    pub fn beside(output: &Path) -> Result<Option<Cache>, CacheError> {
        if fs::metadata(output).is_ok_and(|found| !found.is_file()) {
            return Ok(None);
        }
        let mut cache = Cache::make(folder_beside(output))?;
        let marker = cache.folder.join(MARKER);
        let failed = |source| OutputError { path: marker.clone(), source };
        let mut open = OpenOptions::new();
        let file = open.read(true).write(true).create(true).truncate(false).open(&marker);
        let mut file = file.map_err(failed)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(CacheError::InUse(cache.folder)),
            // Some file systems have no locks.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        if file.metadata().map_err(failed)?.len() == 0 {
            file.write_all(MARKER_SAYS.as_bytes()).map_err(failed)?;
        }
        cache.marker = Some(file);
        cache.each(|path, name| {
            // What a killed run had begun to write.
            if name.strip_prefix('.').is_some_and(|rest| rest.ends_with(".tmp") && named(rest)) {
                let _ = fs::remove_file(path);
            }
        });
        Ok(Some(cache))
    }

    /// A folder that stays, for results to be found again by later commands, and by several at a
    /// time.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn lasting(folder: &Path) -> Result<Cache, CacheError> {
        Ok(Cache::make(folder.to_owned())?)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn make(folder: PathBuf) -> Result<Cache, OutputError> {
        fs::create_dir_all(&folder)
            .map_err(|source| OutputError { path: folder.clone(), source })?;
        Ok(Cache { folder, marker: None, unkept: Mutex::default() })
    }

    /// The runs of a point that was finished before. What cannot be read, or is not as it was
    /// written, is worked out again.
    pub fn find(&self, key: &Value) -> Option<Vec<Value>> {
        let bytes = fs::read(self.path(key)).ok()?;
        let entry: Entry = serde_json::from_slice(&bytes).ok()?;
        let whole = entry.key == *key && entry.digest == Entry::digest(key, &entry.runs);
        whole.then_some(entry.runs)
    }

    /// Keeps the runs of a finished point, under a temporary name until they are whole. A point
    /// that cannot be kept ends no search: [`Cache::unkept`] tells.
    pub fn keep(&self, key: &Value, runs: &[Value]) {
        let entry = Entry {
            written_by: "metron-sim".to_owned(),
            digest: Entry::digest(key, runs),
            key: key.clone(),
            runs: runs.to_vec(),
        };
        let bytes = serde_json::to_vec(&entry).expect("plain data");
        debug_assert!(bytes.starts_with(ENTRY_BEGINS.as_bytes()));
        if let Err(error) = write(&self.path(key), &bytes) {
            let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
            unkept.get_or_insert(error);
        }
    }

    /// Why the first point that could not be kept was not.
    pub fn unkept(&self) -> Option<String> {
        let unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        unkept.as_ref().map(ToString::to_string)
    }

    /// Removes what this program wrote into a folder that is not to last, when the result that it
    /// was for is in place, and the folder itself where nothing else is in it. What cannot be
    /// removed does no harm. Whether anything is left.
    pub fn remove(self) -> bool {
        let Some(marker) = &self.marker else { return false };
        self.each(|path, name| {
            if named(name) && begins_with(path, ENTRY_BEGINS) {
                let _ = fs::remove_file(path);
            }
        });
        let others = fs::read_dir(&self.folder).map_or(0, |entries| {
            entries.flatten().filter(|entry| entry.file_name() != MARKER).count()
        });
        let path = self.folder.join(MARKER);
        if begins_with(&path, MARKER_SAYS) {
            let _ = fs::remove_file(path);
        }
        let _ = marker.unlock();
        let _ = fs::remove_dir(&self.folder);
        others > 0
    }

    /// Every regular file of the folder, with its name.
    fn each(&self, of: impl Fn(&Path, &str)) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file())
                && let Some(name) = entry.file_name().to_str()
            {
                of(&entry.path(), name);
            }
        }
    }

    fn path(&self, key: &Value) -> PathBuf {
        self.folder.join(format!("{}.json", digest(key.to_string().as_bytes())))
    }
}

/// Whether a file's name begins like an entry's.
fn named(name: &str) -> bool {
    let digits = name.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
    digits == 32 && name[32..].starts_with(".json")
}

fn begins_with(path: &Path, text: &str) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|f| f.take(text.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == text.as_bytes()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let mut file = OutputFile::create(path)?;
    if let Err(source) = file.write_all(bytes) {
        return Err(file.error(source));
    }
    file.commit()
}

/// Longest name that common file systems take, bytes.
const NAME_MAX: usize = 255;

fn folder_beside(output: &Path) -> PathBuf {
    const BEHIND: &str = ".points";
    let mut name = output.file_name().unwrap_or_default().to_owned();
    let bytes = name.as_encoded_bytes();
    if bytes.len() + BEHIND.len() > NAME_MAX {
        let digest = digest(bytes);
        let room = NAME_MAX - BEHIND.len() - digest.len() - 1;
        let text = name.to_string_lossy();
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        // A character that is no text takes three bytes once it is replaced.
        name = format!("{}-{digest}", &text[..end]).into();
    }
    name.push(BEHIND);
    output.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[cfg(unix)]
    #[test]
    fn a_device_has_no_folder_beside_it() {
        assert!(Cache::beside(Path::new("/dev/null")).expect("nothing to make").is_none());
    }

    #[test]
    fn what_is_damaged_is_not_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::lasting(folder.path()).expect("made");
        let (key, runs) = (json!({"a": 1}), [json!({"rate": 12.5})]);
        cache.keep(&key, &runs);
        assert_eq!(cache.find(&key).as_deref(), Some(&runs[..]));
        let path = cache.path(&key);
        let good = fs::read_to_string(&path).expect("there");
        let cut = good[..good.len() / 2].to_owned();
        for damaged in [good.replace("12.5", "13.5"), good.replace("\"a\":1", "\"a\":2"), cut] {
            assert_ne!(damaged, good);
            fs::write(&path, damaged).expect("writable");
            assert_eq!(cache.find(&key), None);
        }
        cache.keep(&key, &runs);
        assert!(cache.find(&key).is_some() && cache.unkept().is_none());
        // What stands in an entry's place costs the entry, not the search.
        fs::remove_file(&path).expect("there");
        fs::create_dir(&path).expect("made");
        cache.keep(&key, &runs);
        assert_eq!(cache.find(&key), None);
        assert!(cache.unkept().is_some_and(|why| why.contains("cannot write")));
    }

    #[test]
    fn one_run_at_a_time_and_only_its_own_files_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("out.json");
        let points = folder.path().join("out.json.points");
        let cache = Cache::beside(&output).expect("made").expect("a file has one");
        assert!(matches!(Cache::beside(&output), Err(CacheError::InUse(_))));
        cache.keep(&json!(1), &[json!(2)]);
        let mine = points.join(format!("{}.json", "0123456789abcdef".repeat(2)));
        fs::write(&mine, "{\"mine\": 1}").expect("writable");
        fs::create_dir(points.join("folder")).expect("made");
        assert!(cache.remove(), "something is left");
        let mut left: Vec<PathBuf> =
            fs::read_dir(&points).expect("there").map(|entry| entry.expect("one").path()).collect();
        left.sort();
        assert_eq!(left, [mine.clone(), points.join("folder")]);
        fs::remove_file(mine).expect("there");
        fs::remove_dir(points.join("folder")).expect("there");
        let cache = Cache::beside(&output).expect("free again").expect("a file has one");
        assert!(!cache.remove() && !points.exists());
    }

    #[test]
    fn the_longest_name_has_room_for_a_folder_beside_it() {
        let beside = |name: &str| folder_beside(&Path::new("some").join(name));
        assert_eq!(beside("out.json"), Path::new("some/out.json.points"));
        let (one, other) = (beside(&"n".repeat(255)), beside(&"\u{e4}".repeat(127)));
        for folder in [&one, &other, &beside(&format!("{}m", "n".repeat(254)))] {
            let name = folder.file_name().expect("a name").to_str().expect("text");
            assert!(name.len() <= NAME_MAX && name.ends_with(".points"), "{name}");
        }
        assert_ne!(one, beside(&format!("{}m", "n".repeat(254))), "told apart by what was cut");
    }
}
