//! Files that some tests need and that are too many to ship.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The file or folder of this name in `$METRON_SHARED`, or in `../shared` beside the checkout;
/// `None`, and a line that says so, where it is not there.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let path = std::env::var_os("METRON_SHARED").map_or_else(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    say(&format!("SKIPPED: {} is not there", path.display()));
    None
}

/// Straight to stderr: `eprintln!` is captured by the test harness.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr is open");
}
