//! What single requests lived through: one as its reader saw it, under every scheduler that is shown,
//! and the lives of those in the batch at some time.

use serde::Serialize;

use super::loaded::Loaded;
use super::{Allowance, Problems};
use crate::explain::Index;
use crate::metrics::{RequestMetrics, per_request};
use crate::order;
use crate::request::RequestId;
use crate::runner::SchedulerOutput;
use crate::time::{Span, Time};
use crate::view::{Life, Lives, ReaderView, Unlucky, unluckiest};

/// Requests told of as the unluckiest ones, of each run.
const UNLUCKY_TOLD: usize = 6;
/// Most lives of one answer.
const LIVES_MAX: usize = 120;
/// Stretches shorter than this part of the time that is shown are drawn with the one before.
const FINEST: u64 = 1_500;

/// The answer to `readers`.
#[derive(Serialize)]
pub(super) struct Readers {
    /// Whose text.
    request: RequestId,
    /// Requests of the first run.
    requests: usize,
    /// The requests that fared worst under each scheduler, the worst first.
    unlucky: Vec<Vec<Unlucky>>,
    /// Its reader under each; null where a run has no such request.
    readers: Vec<Option<ReaderView>>,
}

/// One request under every scheduler shown; where none is given the unluckiest under the first.
pub(super) fn readers(
    loaded: &Loaded,
    request: Option<RequestId>,
    allowance: &Allowance<'_>,
) -> Result<Readers, Problems> {
    let outputs = loaded.play(allowance)?;
    let judged: Vec<_> =
        outputs.iter().map(|one| per_request(&one.outcome.trace, &one.judged_by)).collect();
    let unlucky: Vec<Vec<Unlucky>> = outputs
        .iter()
        .zip(&judged)
        .map(|(one, requests)| unluckiest(&one.outcome.trace, requests, UNLUCKY_TOLD))
        .collect();
    let requests = outputs[0].outcome.trace.requests.len();
    let worst = || unlucky.iter().flatten().next().map(|one| one.request);
    let Some(request) = request.or_else(worst) else {
        return Err(Problems::one("", "no request got two tokens", None));
    };
    if request.index() >= requests {
        let message = format!("there are {requests} requests, numbered from 0");
        return Err(Problems::one("", message, None));
    }
    let readers = outputs.iter().zip(&judged).enumerate().map(|(place, (output, requests))| {
        let index = Index::new(loaded.recording(place, output));
        ReaderView::of(&index, &output.judged_by, requests, request)
    });
    let readers = readers.collect();
    Ok(Readers { request, requests, unlucky, readers })
}

/// The answer to `lives`.
#[derive(Serialize)]
pub(super) struct LivesTold {
    /// Requests that were there under any scheduler.
    there: usize,
    /// For each scheduler shown the lives of the same requests, in the same order: all that were
    /// there, or those that fared worst under any.
    runs: Vec<Vec<Life>>,
}

/// The lives of requests between two times, microseconds: of at most `rows` requests, `always` among
/// them.
pub(super) fn lives(
    loaded: &Loaded,
    (from_us, to_us): (u64, u64),
    rows: usize,
    always: Option<RequestId>,
    allowance: &Allowance<'_>,
) -> Result<LivesTold, Problems> {
    stretch_of_time(from_us, to_us)?;
    let outputs = loaded.play(allowance)?;
    let recordings: Vec<_> =
        outputs.iter().enumerate().map(|(at, one)| loaded.recording(at, one)).collect();
    let told: Vec<Lives<'_>> = recordings.iter().map(Lives::of).collect();
    let at = |us: u64| Time::from_nanos(us.saturating_mul(1000));
    let window = (at(from_us), at(to_us));
    let mut those: Vec<RequestId> =
        told.iter().flat_map(|lives| lives.between(window.0, window.1)).collect();
    those.sort_unstable();
    those.dedup();
    let (there, rows) = (those.len(), rows.clamp(1, LIVES_MAX));
    if there > rows {
        let judged = Fared::under(&outputs);
        let fared = |request: RequestId| judged.of(request);
        order::sort_by(&mut those, |&a, &b| {
            let last = |one: RequestId| always != Some(one);
            last(a).cmp(&last(b)).then(fared(a).total_cmp(&fared(b))).then(a.cmp(&b))
        });
        those.truncate(rows);
    }
    let arrival = |request: RequestId| {
        let rows = &outputs[0].outcome.trace.requests;
        rows.get(request.index()).map_or(Time::NEVER, |row| row.arrival)
    };
    those.sort_by_key(|&request| (arrival(request), request));
    let finest = Span::from_nanos((to_us - from_us).saturating_mul(1000) / FINEST);
    let runs = told.iter().map(|lives| {
        let known = those.iter().filter(|request| lives.knows(**request));
        known.map(|&request| lives.life(request, window, finest)).collect()
    });
    Ok(LivesTold { there, runs: runs.collect() })
}

/// Whether two times, microseconds, are the ends of a stretch.
pub(super) fn stretch_of_time(from_us: u64, to_us: u64) -> Result<(), Problems> {
    if to_us > from_us {
        return Ok(());
    }
    let message = format!("`to_us`, {to_us}, is not after `from_us`, {from_us}");
    Err(Problems::one("", message, None))
}

/// How requests fared.
pub(super) struct Fared(Vec<Vec<RequestMetrics>>);

impl Fared {
    /// Under each of these schedulers.
    pub(super) fn under(outputs: &[SchedulerOutput]) -> Fared {
        let judged = outputs.iter().map(|one| per_request(&one.outcome.trace, &one.judged_by));
        Fared(judged.collect())
    }

    /// A request's fluidity-index where it was lowest.
    fn of(&self, request: RequestId) -> f64 {
        (0..self.0.len()).map(|place| self.at(place, request)).fold(1.0, f64::min)
    }

    /// The same under the scheduler at a place.
    pub(super) fn at(&self, place: usize, request: RequestId) -> f64 {
        let requests = &self.0[place];
        requests.binary_search_by_key(&request, |m| m.row).map_or(1.0, |at| requests[at].index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playground::{Asked, answer};
    use crate::scenario::Files;
    use crate::view::Phase;
    use serde_json::{Value, json};

    const TEXT: &str = "name: t\nseed: 3\nmodel: llama-3.1-8b\ngpu: h100-sxm\nengine: {kv_blocks: 500}\n\
        schedulers: [vllm-v0, sarathi: {chunk_size: 256}]\nworkload: {requests: 60, arrivals: \
        {poisson: {rate: 6}}, lengths: {prompt: {lognormal: {mean: 1500, sigma: 0.6}}, output: \
        {lognormal: {mean: 150, sigma: 0.5}}}}\nslo: {ttft: 400ms, tbt: 20ms}\n";

    fn loaded() -> Loaded {
        let asked = Asked { text: TEXT.to_owned(), ..Asked::default() };
        Loaded::of(&asked, &Files::none()).unwrap_or_else(|e| panic!("{e:?}"))
    }

    /// Each request's stretches follow each other from its arrival to its end, and its tokens come at
    /// the ends of iterations that it was in; all that memory ran out for was preempted for a while.
    #[test]
    fn a_life_is_whole() {
        let loaded = loaded();
        let outputs = loaded.play(&Allowance::all()).unwrap_or_else(|e| panic!("{e:?}"));
        let mut seen = Vec::new();
        for (place, output) in outputs.iter().enumerate() {
            let recording = loaded.recording(place, output);
            let lives = Lives::of(&recording);
            let whole = (Time::from_nanos(0), Time::NEVER);
            let those = lives.between(whole.0, whole.1);
            assert_eq!(those.len(), 60);
            for request in those {
                let life = lives.life(request, whole, Span::from_nanos(1));
                let row = &output.outcome.trace.requests[request.index()];
                let mut at = life.arrival_us;
                for &(phase, from, to) in &life.parts {
                    assert!(from.abs_diff(at) <= 1, "{request}: {phase:?} from {from}, after {at}");
                    assert!(to >= from);
                    at = to;
                    seen.push((place, phase));
                }
                assert_eq!(Some(at), life.end_us, "{request}");
                let lost = life.parts.iter().filter(|part| part.0 == Phase::Preempted).count();
                assert_eq!(lost as u32, row.preemptions, "{request}");
                let decoding = |us: u64| {
                    life.parts.iter().any(|&(phase, from, to)| {
                        matches!(phase, Phase::Decode | Phase::Prefill) && from < us && us <= to
                    })
                };
                for time in output.outcome.trace.token_times(row) {
                    assert!(decoding(time.as_nanos() / 1000), "{request} at {time:?}");
                }
            }
        }
        for phase in
            [Phase::Queued, Phase::Prefill, Phase::Decode, Phase::Stalled, Phase::Preempted]
        {
            assert!(seen.contains(&(0, phase)), "{phase:?} is not among them");
        }
    }

    fn ask(question: &Value) -> Value {
        serde_json::from_str(&answer(&question.to_string(), &Files::none())).expect("JSON")
    }

    /// The unluckiest request has the least fluid text, and its freezes are its longest gaps.
    #[test]
    fn a_reader_is_told_every_token_and_every_freeze() {
        let told = ask(&json!({"op": "readers", "scenario": {"text": TEXT}}));
        assert_eq!(told["ok"], true, "{told}");
        let request = told["request"].as_u64().expect("a number");
        assert_eq!(told["unlucky"][0][0]["request"], request);
        for place in 0..2 {
            let reader = &told["readers"][place];
            let gaps: Vec<u64> = reader["at_us"]
                .as_array()
                .expect("times")
                .iter()
                .filter_map(Value::as_u64)
                .collect();
            assert_eq!(gaps.len() as u64, reader["tokens"].as_u64().expect("tokens"));
            let pace = reader["pace_us"].as_u64().expect("a pace");
            let first = reader["first_due_us"].as_u64().expect("a deadline");
            let due = |token: usize| if token == 0 { first } else { pace };
            let late = gaps.iter().enumerate().filter(|&(token, &gap)| gap > due(token)).count();
            let counted = reader["late"].as_u64().expect("a number") as usize;
            assert!(late.abs_diff(counted) <= 1 + late / 20, "{late} and {counted}");
            let freezes = reader["freezes"].as_array().expect("a list");
            assert_eq!(freezes.len(), counted.min(FREEZES));
            for freeze in freezes {
                let gap = gaps[freeze["token"].as_u64().expect("a token") as usize];
                let length = freeze["length_ns"].as_u64().expect("a length") / 1000;
                assert!(gap.abs_diff(length) <= 1);
            }
        }
        let worst = told["unlucky"][0].as_array().expect("a list");
        assert!(worst.windows(2).all(|two| two[0]["index"].as_f64() <= two[1]["index"].as_f64()));
        let other = ask(&json!({"op": "readers", "scenario": {"text": TEXT}, "request": 60}));
        assert_eq!(other["problems"][0]["message"], "there are 60 requests, numbered from 0");
    }

    const FREEZES: usize = 24;

    #[test]
    fn of_many_lives_those_that_fared_worst_are_told() {
        let of = |rows: usize, more: Value| {
            let mut question = json!({"op": "lives", "scenario": {"text": TEXT}, 
                "from_us": 2_000_000, "to_us": 3_000_000, "rows": rows});
            question["request"] = more;
            ask(&question)
        };
        let (all, few) = (of(100, Value::Null), of(3, Value::Null));
        let there = all["there"].as_u64().expect("a number") as usize;
        assert!(there > 4 && few["there"] == all["there"]);
        let names = |told: &Value| -> Vec<u64> {
            let lives = told["runs"][0].as_array().expect("a list").iter();
            lives.filter_map(|life| life["request"].as_u64()).collect()
        };
        assert_eq!((names(&all).len(), names(&few).len()), (there, 3));
        for told in [&all, &few] {
            let requests = |run: usize| -> Vec<Value> {
                let lives = told["runs"][run].as_array().expect("a list").iter();
                lives.map(|life| life["request"].clone()).collect()
            };
            assert_eq!(requests(0), requests(1), "the same rows under both");
        }
        let left =
            *names(&all).iter().find(|one| !names(&few).contains(one)).expect("one is left out");
        assert!(names(&of(3, json!(left))).contains(&left));
        let none = ask(&json!({"op": "lives", "scenario": {"text": TEXT}, 
            "from_us": 5, "to_us": 5, "rows": 3}));
        assert_eq!(none["ok"], false);
    }
}
