//! A scenario's requests at the times at which a real run had them.

use crate::content::{Parent, Turn};
use crate::ids::ClassId;
use crate::request::{Request, RequestId};
use crate::runner::Requests;
use crate::time::Time;
use crate::validation::entries::Entries;
use crate::validation::{ObservedRequest, ObservedRun};
use crate::workload::{Limits, Workload};

/// A real run's requests, ready to be simulated: request i of the simulation is `observed[i]`.
#[derive(Clone, Debug)]
pub struct Replay {
    /// What the simulator faces.
    pub requests: Requests,
    /// The real request of each.
    pub observed: Vec<ObservedRequest>,
    /// When the engine got each, on the real run's clock, seconds: the simulated arrival. See
    /// `Entries`.
    pub entered_s: Vec<f64>,
    /// What lies between arrival and the engine, seconds; `None` where times of queueing, or of
    /// arrival, are not known.
    pub front_end_s: Option<f64>,
    /// Whether it is known when the real engine took each request into its queue.
    pub from_queue: bool,
    /// What a reader should know.
    pub warnings: Vec<String>,
}

/// Why a scenario's requests are not those of a real run.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The trace is too short.
    #[error(
        "the observed run has request {index}, and the scenario's trace only {rows} requests: \
         lengths and block ids are matched by index"
    )]
    TooShort {
        /// The request.
        index: u32,
        /// Requests of the trace.
        rows: usize,
    },
    /// Lengths are nowhere.
    #[error(
        "the scenario has no trace with the requests' lengths, and the observed file no \
         `prompt_tokens` and `output_tokens`"
    )]
    NoLengths,
    /// The trace has other prompts.
    #[error(
        "the scenario's trace has other prompts than the observed run: {unlike} of {count} differ, \
         the first at index {index} ({trace} tokens against {observed} observed)"
    )]
    OtherPrompts {
        /// How many differ.
        unlike: usize,
        /// Of how many.
        count: usize,
        /// Index of the first that differs.
        index: u32,
        /// Its prompt in the trace.
        trace: u32,
        /// Its prompt in the run.
        observed: u32,
    },
}

impl Replay {
    /// Lengths and block ids come from the scenario's trace by index; a scenario that draws its
    /// requests (`traced` is false) gets the observed lengths, and no block ids.
    ///
    /// # Errors
    /// When the two do not go together.
    pub fn new(
        drawn: &Requests,
        traced: bool,
        limits: Limits,
        run: &ObservedRun,
    ) -> Result<Replay, ReplayError> {
        let from_queue = run.has_queued();
        let observed = run.requests.clone();
        let mut warnings = run.notes.clone();
        let Entries { entered_s, front_end_s } = Entries::of(&observed, from_queue);
        if from_queue && front_end_s.is_none() {
            warnings.push(
                "the observed file has `queued_s` and no `arrival_s`: vLLM stamps it when the step \
                 that runs is over, so requests that come during a step are replayed late, and \
                 wait for a step again"
                    .to_owned(),
            );
        }
        let trace = match drawn {
            Requests::Open(workload) if traced => Some(workload),
            _ => None,
        };
        let lengths = match trace {
            Some(workload) => of_trace(workload, &observed, &mut warnings)?,
            None => {
                warnings.push(
                    "the scenario has no trace: lengths are the observed ones, and no prefix is \
                     shared"
                        .to_owned(),
                );
                of_run(&observed, limits).ok_or(ReplayError::NoLengths)?
            }
        };
        let origin = entered_s.iter().copied().fold(f64::INFINITY, f64::min);
        let place = |(request, &entered): (Request, &f64)| Request {
            arrival: at(entered - origin),
            ..request
        };
        let requests = lengths.into_iter().zip(&entered_s).map(place).collect();
        let workload = Workload {
            requests,
            block_ids: trace.map(|t| t.block_ids.clone()).unwrap_or_default(),
            blocks: trace.map(|t| of_observed(&t.blocks, &observed)).unwrap_or_default(),
            block_tokens: trace.map_or(limits.kv_block_tokens, |t| t.block_tokens),
            classes: trace.map_or_else(|| vec![String::new()], |t| t.classes.clone()),
            names_classes: trace.is_some_and(|t| t.names_classes),
            nominal_rate_per_s: None,
            ids_cover_answers: trace.is_some_and(|t| t.ids_cover_answers),
            turns: trace.map(|t| turns_of_observed(&t.turns, &observed)).unwrap_or_default(),
            sessions: trace.map(|t| of_observed(&t.sessions, &observed)).unwrap_or_default(),
        };
        let failed = observed.iter().filter(|r| r.tokens_s.is_none()).count();
        if failed > 0 {
            warnings.push(format!(
                "{failed} observed requests did not end, or have no token times: simulated to their \
                 end, not compared; the simulated makespan has them"
            ));
        }
        let requests = Requests::Open(workload);
        Ok(Replay { requests, observed, entered_s, front_end_s, from_queue, warnings })
    }

    /// The same requests as their clients sent them, for a simulation that has a front end of its own.
    #[must_use]
    pub fn at_the_client(mut self) -> Replay {
        let sent = |before: &mut f64, real: &ObservedRequest| {
            *before = before.max(real.arrival_s);
            Some(*before)
        };
        self.entered_s = self.observed.iter().scan(f64::NEG_INFINITY, sent).collect();
        self.front_end_s = None;
        let origin = self.entered_s.first().copied().unwrap_or(0.0);
        if let Requests::Open(workload) = &mut self.requests {
            for (request, &sent) in workload.requests.iter_mut().zip(&self.entered_s) {
                request.arrival = at(sent - origin);
            }
        }
        self
    }

    /// The same instant of the simulation, on the real run's clock.
    pub(super) fn on_real_clock(&self, time: Time) -> f64 {
        let origin = self.entered_s.iter().copied().fold(f64::INFINITY, f64::min);
        origin + time.since(Time::ZERO).as_nanos() as f64 / 1e9
    }
}

/// Seconds from the first entry, at least 0 and below three years.
fn at(seconds: f64) -> Time {
    Time::from_nanos(libm::rint(seconds * 1e9) as u64)
}

fn of_trace(
    trace: &Workload,
    observed: &[ObservedRequest],
    warnings: &mut Vec<String>,
) -> Result<Vec<Request>, ReplayError> {
    let rows = trace.requests.len();
    let mut requests = Vec::with_capacity(observed.len());
    let (mut unlike, mut first_unlike) = (0, None);
    let mut other_outputs = 0;
    for real in observed {
        let index = real.index;
        let request =
            *trace.requests.get(index as usize).ok_or(ReplayError::TooShort { index, rows })?;
        if let Some(prompt) = real.prompt_tokens.filter(|&p| p != request.prompt_tokens) {
            unlike += 1;
            first_unlike = first_unlike.or(Some((index, request.prompt_tokens, prompt)));
        }
        other_outputs +=
            usize::from(real.output_tokens.is_some_and(|o| o != request.output_tokens));
        requests.push(request);
    }
    // A few may differ by a special token; most do when it is another trace.
    let count = observed.len();
    if let Some((index, trace, observed)) = first_unlike {
        if unlike * 2 > count {
            return Err(ReplayError::OtherPrompts { unlike, count, index, trace, observed });
        }
        warnings.push(format!(
            "{unlike} prompts have another length in the observed file than in the scenario's \
             trace, which is what is simulated"
        ));
    }
    if other_outputs > 0 {
        warnings.push(format!(
            "{other_outputs} outputs have another length in the observed file than in the \
             scenario's trace, which is what is simulated"
        ));
    }
    if rows > count {
        warnings.push(format!(
            "{} requests of the scenario's trace are not in the observed file: left out",
            rows - count
        ));
    }
    Ok(requests)
}

/// What a trace's table says of each observed request; nothing where it says nothing.
fn of_observed<T: Copy>(table: &[T], observed: &[ObservedRequest]) -> Vec<T> {
    observed.iter().filter_map(|real| table.get(real.index as usize).copied()).collect()
}

/// The same of turns, whose requests are numbered anew.
fn turns_of_observed(table: &[Turn], observed: &[ObservedRequest]) -> Vec<Turn> {
    let mut places = vec![None; table.len()];
    for (place, real) in observed.iter().enumerate() {
        if let Some(known) = places.get_mut(real.index as usize) {
            *known = Some(RequestId::at(place));
        }
    }
    let mut turns = of_observed(table, observed);
    for (place, turn) in turns.iter_mut().enumerate() {
        let renamed = turn.parent.and_then(|parent| {
            let request = places[parent.request.index()]?;
            // Who came before the turn that it goes on from went on from nothing here.
            (request < RequestId::at(place)).then_some(Parent { request, ..parent })
        });
        turn.parent = renamed;
    }
    turns
}

fn of_run(observed: &[ObservedRequest], limits: Limits) -> Option<Vec<Request>> {
    let request = |real: &ObservedRequest| {
        // One that failed may have no lengths of its own: one token stands for each.
        let output = real.output_tokens.filter(|&o| o > 0);
        let output = output.or(real.tokens_s.is_none().then_some(1))?;
        let prompt = real.prompt_tokens.filter(|&p| p > 0);
        let prompt_tokens = prompt.or(real.tokens_s.is_none().then_some(1))?;
        let room = limits.max_model_len.saturating_sub(prompt_tokens).max(1);
        let output_tokens = output.min(room);
        Some(Request {
            arrival: Time::ZERO,
            prompt_tokens,
            output_tokens,
            max_tokens: output_tokens,
            priority: 0,
            class: ClassId(0),
        })
    };
    observed.iter().map(request).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::BlockIds;

    #[test]
    fn what_a_trace_says_of_a_request_goes_by_its_index() {
        let request = |prompt_tokens| Request {
            arrival: Time::ZERO,
            prompt_tokens,
            output_tokens: 2,
            max_tokens: 2,
            priority: 0,
            class: ClassId(0),
        };
        let follows = |parent: Option<u32>| Turn {
            parent: parent.map(|id| Parent { request: RequestId(id), tokens: 9 }),
            followed: false,
        };
        let trace = Requests::Open(Workload {
            requests: [10, 20, 30].map(request).to_vec(),
            block_ids: vec![7, 8, 9].into(),
            blocks: vec![
                BlockIds { start: 2, len: 1 },
                BlockIds::default(),
                BlockIds { start: 0, len: 2 },
            ],
            block_tokens: 16,
            classes: vec![String::new()],
            names_classes: false,
            sessions: vec![Some(5), None, Some(6)],
            turns: vec![follows(None), follows(Some(0)), follows(Some(0))],
            ids_cover_answers: false,
            nominal_rate_per_s: None,
        });
        let text = "idx,arrival_s,first_token_s,last_token_s\n2,1.0,2.0,3.0\n0,1.5,2.0,3.0\n";
        let run = ObservedRun::from_csv(text.as_bytes()).expect("a run");
        let limits = Limits { max_model_len: 100, kv_block_tokens: 16 };
        let replay = Replay::new(&trace, true, limits, &run).expect("they go together");
        let mut arriving = replay.requests.arriving();
        assert_eq!([arriving.take(), arriving.take()].map(|r| r.prompt_tokens), [30, 10]);
        let Requests::Open(workload) = &replay.requests else { panic!("known beforehand") };
        let ids = |id| workload.origin(RequestId(id)).ids.map(|ids| ids.as_slice().to_vec());
        assert_eq!([0, 1].map(ids), [Some(vec![7, 8]), Some(vec![9])]);
        // The third row came before the first, which it would have gone on from.
        assert_eq!(workload.turns, [follows(None), follows(None)]);
        assert_eq!([0, 1].map(|id| arriving.session(RequestId(id))), [Some(6), Some(5)]);
    }
}
