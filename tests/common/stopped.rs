//! Runs that are stopped in the middle: by what they have done so far, not after some time.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// Sends `signal` to a run as soon as `reached` holds. Its status, or `None` where it came to its
/// own end before; on a busy machine that happens, and the caller starts another.
pub(crate) fn stop(
    mut run: Child,
    signal: &str,
    reached: impl Fn(&Child) -> bool,
) -> Option<ExitStatus> {
    while !reached(&run) && run.try_wait().expect("known").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = run.id().to_string();
    // It is not waited for yet, so that its number is no other's.
    if run.try_wait().expect("known").is_none() {
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }
    Some(run.wait().expect("ended")).filter(|status| !status.success())
}

/// Whether a process handles `SIGTERM` itself.
#[cfg(target_os = "linux")]
pub(crate) fn handles_termination(run: &Child) -> bool {
    const TERM: u64 = 1 << 14;
    let status = fs::read_to_string(format!("/proc/{}/status", run.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|m| m & TERM != 0)
}

/// How many finished points or simulations a folder holds; none where it is not there.
pub(crate) fn kept(folder: &Path) -> usize {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    names.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
}
