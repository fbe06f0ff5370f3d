//! Ctrl-C: it ends the program, unless a command has asked to be told once, to end well.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::error::Exit;

static LISTENED_TO: AtomicBool = AtomicBool::new(false);
static CAME: AtomicBool = AtomicBool::new(false);

/// Sets up what happens. Without it an interrupt still ends the program, but leaves temporary files
/// behind.
pub(super) fn handle() {
    let _ = ctrlc::set_handler(|| {
        let heard = LISTENED_TO.load(Ordering::SeqCst) && !CAME.swap(true, Ordering::SeqCst);
        if !heard {
            crate::report::remove_unfinished();
            std::process::exit(Exit::Interrupted.code().into());
        }
    });
}

/// From here on the first interrupt is only told by [`came`]; a second one ends the program.
#[cfg(feature = "live")]
pub(super) fn listen() {
    LISTENED_TO.store(true, Ordering::SeqCst);
}

/// Whether an interrupt came since [`listen`].
#[cfg(feature = "live")]
pub(super) fn came() -> bool {
    CAME.load(Ordering::SeqCst)
}
