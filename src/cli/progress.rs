//! Progress on stderr, for runs that take over a second: a bar while somebody watches, lines where
//! they were asked for.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::console::Shows;
use crate::cli::told::Steering;
use crate::progress::Progress;
use crate::shown::{count, duration};

/// Shorter runs show nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks at the counters.
const TICK: Duration = Duration::from_millis(100);

/// Between two lines, at first; then twice as long each time.
const LINES: Duration = Duration::from_secs(2);
/// Between two lines, at most.
const LINES_MAX: Duration = Duration::from_secs(60);

/// Does `work` and shows its progress while it lasts.
pub(super) fn shown<T>(progress: &Progress, shows: Shows, work: impl FnOnce() -> T) -> T {
    shown_of("requests", &|| progress.totals(), shows, work)
}

/// The same, where something else than requests is counted, or what is to come is a guess: `totals`
/// says how many are done, and how many there will be.
pub(super) fn shown_of<T>(
    what: &'static str,
    totals: &(dyn Fn() -> (u64, u64) + Sync),
    shows: Shows,
    work: impl FnOnce() -> T,
) -> T {
    if matches!(shows, Shows::Nothing) {
        return work();
    }
    let (done, waiting) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Shows::Numbers(steering) = &shows {
                return numbers(what, totals, &waiting, steering);
            }
            if waiting.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            match shows {
                Shows::Bar => bar(what, totals, &waiting),
                Shows::Lines => lines(what, totals, &waiting),
                Shows::Numbers(_) | Shows::Nothing => {}
            }
        });
        let result = work();
        // The other side ends when this one is dropped; also when `work` panics.
        drop(done);
        result
    })
}

fn numbers(
    what: &'static str,
    totals: &(dyn Fn() -> (u64, u64) + Sync),
    waiting: &Receiver<()>,
    steering: &Steering,
) {
    loop {
        steering.tell(what, totals());
        if waiting.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
            return steering.tell(what, totals());
        }
    }
}

fn bar(what: &str, totals: &(dyn Fn() -> (u64, u64) + Sync), waiting: &Receiver<()>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = format!("{{bar:30}} {{human_pos}}/{{human_len}} {what}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    loop {
        let (done, total) = totals();
        bar.set_length(total);
        bar.set_position(done);
        if waiting.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    bar.finish_and_clear();
}

fn lines(what: &str, totals: &(dyn Fn() -> (u64, u64) + Sync), waiting: &Receiver<()>) {
    let began = Instant::now();
    let mut pause = LINES;
    loop {
        let passed = began.elapsed() + PATIENCE;
        // Nobody is left to be told where stderr is closed.
        let _ = std::io::stderr().write_all(line(what, totals(), passed).as_bytes());
        if waiting.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        pause = (pause * 2).min(LINES_MAX);
    }
}

/// How far it is after some time, and how much longer it takes at that pace.
fn line(what: &str, (done, total): (u64, u64), passed: Duration) -> String {
    let passed = passed.as_secs_f64();
    let left = match done {
        0 => "no estimate yet".to_owned(),
        done => {
            let left = passed * (total.saturating_sub(done)) as f64 / done as f64;
            format!("about {} left", duration(left))
        }
    };
    format!("{} of about {} {what} after {}, {left}\n", count(done), count(total), duration(passed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_it_is_and_how_long_it_takes() {
        let said = line("requests", (250, 1_000), Duration::from_secs(2));
        assert_eq!(said, "250 of about 1,000 requests after 2.00 s, about 6.00 s left\n");
        assert!(line("points", (0, 3), Duration::from_secs(1)).contains("no estimate yet"));
    }
}
