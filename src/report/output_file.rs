//! Files that are whole or absent: written under a temporary name, renamed when complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Temporary files under way, so that an interrupt can remove them.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes every file under way, and lets nobody open another. For an interrupt: the process must
/// end after it.
pub fn remove_unfinished() {
    remove(UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner));
}

/// The same where it must not wait: this thread may be the one that is opening a file.
pub fn try_remove_unfinished() {
    match UNFINISHED.try_lock() {
        Ok(files) => remove(files),
        Err(TryLockError::Poisoned(files)) => remove(files.into_inner()),
        Err(TryLockError::WouldBlock) => {}
    }
}

fn remove(files: MutexGuard<'_, Vec<PathBuf>>) {
    for temporary in files.iter() {
        let _ = fs::remove_file(temporary);
    }
    // Locked to the end: a file opened from here on would stay.
    std::mem::forget(files);
}

/// A name that no other file of this process has. It does not hold the final one, which may be as
/// long as names can be.
fn temporary_name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!(".metron-sim-{}-{number}.tmp", std::process::id())
}

fn forget(temporary: &Path) {
    let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    unfinished.retain(|path| path != temporary);
}

/// A file that could not be opened, written or put in place.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct OutputError {
    /// The name that was asked for.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// An output file under way.
///
/// It is opened before the work starts, so that a bad path fails at once. Until [`commit`] its
/// bytes stand in a temporary file of the same folder; dropped before that, it leaves nothing. A
/// destination that is not a regular file (a pipe, `/dev/null`) is written directly.
///
/// [`commit`]: OutputFile::commit
#[derive(Debug)]
pub struct OutputFile {
    /// The name as asked for, for messages.
    path: PathBuf,
    writer: Option<BufWriter<File>>,
    /// The temporary file and the name that it will get.
    rename: Option<(PathBuf, PathBuf)>,
}

impl OutputFile {
    /// Opens `path` for writing.
    ///
    /// # Errors
    /// When the folder is missing or not writable, or the path is a folder or a file that may not
    /// be written.
    pub fn create(path: &Path) -> Result<OutputFile, OutputError> {
        Self::open(path).map_err(|source| OutputError { path: path.to_owned(), source })
    }

    fn open(path: &Path) -> io::Result<OutputFile> {
        let asked = path.to_owned();
        // Through a link, the file that it points to is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| asked.clone());
        if target.exists() {
            // Tells at once about folders and missing permission, which a rename would not.
            let existing = OpenOptions::new().write(true).open(&target)?;
            if !existing.metadata()?.is_file() {
                let writer = Some(BufWriter::new(existing));
                return Ok(OutputFile { path: asked, writer, rename: None });
            }
        }
        if target.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file name"));
        }
        let temporary = target.with_file_name(temporary_name());
        let file = {
            // Locked across both, so that an interrupt sees neither or both.
            let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
            let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            unfinished.push(temporary.clone());
            file
        };
        let writer = Some(BufWriter::with_capacity(1 << 16, file));
        Ok(OutputFile { path: asked, writer, rename: Some((temporary, target)) })
    }

    /// Flushes, and puts the file in place under its final name.
    ///
    /// # Errors
    /// When the last bytes cannot be written or the file cannot be renamed; nothing is left then.
    pub fn commit(mut self) -> Result<(), OutputError> {
        self.finish().map_err(|source| OutputError { path: self.path.clone(), source })
    }

    fn finish(&mut self) -> io::Result<()> {
        if let Some(mut writer) = self.writer.take() {
            writer.flush()?;
        }
        if let Some((temporary, target)) = &self.rename {
            fs::rename(temporary, target)?;
            forget(temporary);
            self.rename = None;
        }
        Ok(())
    }

    /// Wraps an error met while writing this file.
    pub fn error(&self, source: io::Error) -> OutputError {
        OutputError { path: self.path.clone(), source }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.writer {
            Some(writer) => writer.write(bytes),
            None => Err(io::Error::other("already closed")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some((temporary, _)) = self.rename.take() {
            // Discarded unflushed: the bytes are not wanted any more.
            if let Some(writer) = self.writer.take() {
                drop(writer.into_parts());
            }
            // Nothing sensible is left to do when even this fails.
            let _ = fs::remove_file(&temporary);
            forget(&temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        entries.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn nothing_under_the_final_name_before_commit() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("out.csv");
        let mut file = OutputFile::create(&path).expect("writable");
        file.write_all(b"abc").expect("room");
        assert!(!path.exists());
        file.commit().expect("renamed");
        assert_eq!(fs::read(&path).expect("there"), b"abc");
        assert_eq!(names(folder.path()), ["out.csv"]);
    }

    #[test]
    fn a_name_may_be_as_long_as_names_can_be() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let long = |letter: &str| folder.path().join(letter.repeat(255));
        let (mut a, mut b) = (
            OutputFile::create(&long("a")).expect("writable"),
            OutputFile::create(&long("b")).expect("writable beside the other"),
        );
        a.write_all(b"a").expect("room");
        b.write_all(b"b").expect("room");
        a.commit().expect("renamed");
        b.commit().expect("renamed");
        assert_eq!(fs::read(long("a")).expect("there"), b"a");
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn dropping_leaves_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("out.csv");
        fs::write(&path, "old").expect("writable");
        let mut file = OutputFile::create(&path).expect("writable");
        file.write_all(b"half of the new").expect("room");
        drop(file);
        assert_eq!(fs::read(&path).expect("there"), b"old");
        assert_eq!(names(folder.path()), ["out.csv"]);
    }

    #[test]
    fn bad_paths_fail_when_opened() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let missing = folder.path().join("missing").join("out.csv");
        let error = OutputFile::create(&missing).expect_err("no such folder");
        assert!(error.to_string().contains("out.csv"), "{error}");
        assert!(OutputFile::create(folder.path()).is_err(), "a folder is not a file");
        assert!(OutputFile::create(Path::new("")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_keeps_pointing_and_a_device_is_written_directly() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let real = folder.path().join("real.csv");
        let link = folder.path().join("link.csv");
        fs::write(&real, "old").expect("writable");
        std::os::unix::fs::symlink(&real, &link).expect("linked");
        let mut file = OutputFile::create(&link).expect("writable");
        file.write_all(b"new").expect("room");
        file.commit().expect("renamed");
        assert!(link.symlink_metadata().expect("there").file_type().is_symlink());
        assert_eq!(fs::read(&real).expect("there"), b"new");

        let mut null = OutputFile::create(Path::new("/dev/null")).expect("writable");
        null.write_all(b"gone").expect("room");
        null.commit().expect("nothing to rename");
        assert!(!Path::new("/dev/null").metadata().expect("there").is_file());
    }
}
