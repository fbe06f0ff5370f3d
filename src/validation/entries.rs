//! When the engine of a real run got its requests.

use crate::validation::ObservedRequest;

/// The share of requests whose way to the queue was shorter than what is taken for the front end's:
/// those that met no running step, and clocks that differ by a millisecond.
const QUICKEST_SHARE: f64 = 0.05;

/// When the engine got each request of a run.
///
/// vLLM V1 takes requests out of its input queue between two steps, and stamps `queued_s` then: in
/// recorded runs (vLLM 0.32, 23 runs) always within .1 ms of the end of the step that ran. A simulation in
/// which a request arrives at that stamp comes a little early or late with its own step, and in half
/// of the cases the request waits for a whole step once more. So what is replayed is the time before the
/// wait: arrival and the front end's own time, which is the difference of the two stamps where no step
/// was running; and never later than the stamp.
pub(super) struct Entries {
    /// Of each request, seconds on the run's clock.
    pub entered_s: Vec<f64>,
    /// The front end's time, seconds; `None` where one of the two stamps is not known.
    pub front_end_s: Option<f64>,
}

impl Entries {
    pub(super) fn of(observed: &[ObservedRequest], from_queue: bool) -> Entries {
        let mut ways: Vec<f64> = observed.iter().filter_map(way).collect();
        if !from_queue || ways.iter().all(|&way| way == 0.0) {
            // With `queued_s` alone the reader took it for the arrival as well.
            let entered_s = observed.iter().map(|real| real.arrival_s).collect();
            return Entries { entered_s, front_end_s: None };
        }
        ways.sort_by(f64::total_cmp);
        let front_end_s = ways[(ways.len() as f64 * QUICKEST_SHARE) as usize];
        // Nobody overtakes: the engine's queue is in the order of the stamps, as these requests are.
        let entered = |before: &mut f64, real: &ObservedRequest| {
            let latest = real.queued_s.unwrap_or(f64::INFINITY);
            *before = before.max((real.arrival_s + front_end_s).min(latest));
            Some(*before)
        };
        let entered_s = observed.iter().scan(f64::NEG_INFINITY, entered).collect();
        Entries { entered_s, front_end_s: Some(front_end_s) }
    }
}

fn way(real: &ObservedRequest) -> Option<f64> {
    real.queued_s.map(|queued| queued - real.arrival_s)
}

#[cfg(test)]
mod tests {
    use super::Entries;
    use crate::validation::ObservedRun;

    fn run(rows: &[(f64, f64)]) -> ObservedRun {
        let mut text = "arrival_s,queued_s,first_token_s,last_token_s\n".to_owned();
        for (arrival, queued) in rows {
            text.push_str(&format!("{arrival},{queued},{0},{0}\n", queued + 1.0));
        }
        ObservedRun::from_csv(text.as_bytes()).expect("a run")
    }

    #[test]
    fn the_wait_for_the_running_step_is_not_the_front_ends() {
        let run = run(&[(0.0, 0.002), (1.0, 1.030), (2.0, 2.012), (3.0, 3.001)]);
        let Entries { entered_s, front_end_s } = Entries::of(&run.requests, true);
        assert!((front_end_s.expect("both stamps") - 0.001).abs() < 1e-9);
        for (entered, want) in entered_s.iter().zip([0.001, 1.001, 2.001, 3.001]) {
            assert!((entered - want).abs() < 1e-9, "{entered_s:?}");
        }
    }

    #[test]
    fn one_stamp_alone_says_nothing_of_a_front_end() {
        let run = run(&[(0.0, 0.0), (1.0, 1.0)]);
        let Entries { entered_s, front_end_s } = Entries::of(&run.requests, true);
        assert_eq!((entered_s, front_end_s), (vec![0.0, 1.0], None));
    }
}
