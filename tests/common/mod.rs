//! What several test files share.

pub mod golden;

use std::io::Write;
use std::path::PathBuf;

/// The folder of shared inputs, when it is there.
pub fn shared() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("METRON_SHARED").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// Tells, past cargo's capture, that a test had nothing to test on.
pub fn skipped(what: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {what}\n").as_bytes());
}
