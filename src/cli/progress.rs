//! A progress bar on stderr, for runs that take over a second while somebody watches.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::progress::Progress;

/// Shorter runs show nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks at the counters.
const TICK: Duration = Duration::from_millis(100);

/// Does `work` and shows its progress while it lasts.
pub fn shown<T>(progress: &Progress, show: bool, work: impl FnOnce() -> T) -> T {
    shown_counting("requests", progress, show, work)
}

/// The same, where something else than requests is counted.
pub fn shown_counting<T>(
    what: &str,
    progress: &Progress,
    show: bool,
    work: impl FnOnce() -> T,
) -> T {
    if !show {
        return work();
    }
    let (done, waiting) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = format!("{{bar:30}} {{human_pos}}/{{human_len}} {what}, {{eta}} left");
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            loop {
                let (done, total) = progress.totals();
                bar.set_length(total);
                bar.set_position(done);
                if waiting.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            bar.finish_and_clear();
        });
        let result = work();
        // The other side ends when this one is dropped; also when `work` panics.
        drop(done);
        result
    })
}
