//! The prompts that are not finished: in time, or past their deadlines.

use std::collections::{BTreeMap, BinaryHeap};

use super::pace::Pace;
use super::{Handle, Relegated, RequestView, Standing};
use crate::request::RequestId;
use crate::time::{Span, Time};

/// A prompt that is not finished.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub request: Handle,
    pub id: RequestId,
    pub arrival: Time,
    /// When its next token is due.
    pub due: Time,
    /// Prompt tokens left, and computed.
    pub left: u32,
    pub done: u32,
    pub begun: bool,
    pub max_tokens: u32,
    /// How long its answer is predicted to be, where it is.
    pub predicted: Option<u32>,
    /// `D_d`.
    pub tbt: Span,
    /// The index from which on it is fluid.
    pub fluid_index: f64,
    /// Whether it has had a token: it was preempted.
    pub answered: bool,
}

impl Job {
    pub(super) fn new(request: Handle, view: &RequestView, standing: &Standing) -> Job {
        Job {
            request,
            id: view.id,
            arrival: view.arrival,
            due: standing.next_deadline,
            left: view.prefill_left(),
            done: view.computed,
            begun: view.blocks > 0,
            max_tokens: view.max_tokens,
            predicted: standing.predicted_answer,
            tbt: standing.tbt,
            fluid_index: standing.fluid_index,
            answered: standing.first_token.is_some(),
        }
    }

    fn key(&self) -> (Time, RequestId) {
        (self.due, self.id)
    }
}

/// Of those past their deadlines, by which the next one is found.
type Behind = (u64, RequestId);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// By deadline: those whose deadlines are still to come.
    ahead: Vec<Job>,
    /// Begun, and past their deadlines.
    begun: Vec<Job>,
    /// Past their deadlines and not begun: those that can still be fluid, in no order.
    savable: Vec<Job>,
    /// Those that cannot, by tokens left or by arrival.
    lost: BTreeMap<Behind, Job>,
    /// Those past their deadlines in the order of these, where somebody is given up by it.
    late: std::collections::VecDeque<(Time, RequestId)>,
    tokens: u64,
    oldest: bool,
}

impl Jobs {
    pub(super) fn is_empty(&self) -> bool {
        self.tokens == 0
    }

    /// Prompt tokens left.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    pub(super) fn add(&mut self, job: Job) {
        self.tokens += u64::from(job.left);
        let place = self.ahead.partition_point(|other| other.key() < job.key());
        self.ahead.insert(place, job);
    }

    /// Takes a prompt out, wherever it stands.
    pub(super) fn remove(&mut self, id: RequestId) -> Option<Job> {
        let take = |jobs: &mut Vec<Job>| {
            let place = jobs.iter().position(|job| job.id == id)?;
            Some(jobs.remove(place))
        };
        let found = take(&mut self.ahead)
            .or_else(|| take(&mut self.begun))
            .or_else(|| take(&mut self.savable))
            .or_else(|| {
                let key = *self.lost.iter().find(|(_, job)| job.id == id)?.0;
                self.lost.remove(&key)
            })?;
        self.tokens -= u64::from(found.left);
        Some(found)
    }

    /// So many tokens of a prompt are in a batch.
    pub(super) fn computed(&mut self, job: &Job, tokens: u32) {
        // Wherever it stands it is found soon: by its key, or among few.
        let place = self.ahead.binary_search_by_key(&job.key(), Job::key);
        let mut now = match place {
            Ok(place) if tokens < job.left => {
                let here = &mut self.ahead[place];
                (here.left, here.done, here.begun) = (job.left - tokens, job.done + tokens, true);
                self.tokens -= u64::from(tokens);
                return;
            }
            Ok(place) => self.ahead.remove(place),
            Err(_) => {
                let among = |jobs: &mut Vec<Job>| {
                    let place = jobs.iter().position(|other| other.id == job.id)?;
                    Some(jobs.swap_remove(place))
                };
                let found = among(&mut self.begun).or_else(|| among(&mut self.savable));
                let key = self.lost_key(job);
                found.or_else(|| self.lost.remove(&key)).expect("it was ordered")
            }
        };
        self.tokens -= u64::from(tokens);
        if tokens < now.left {
            (now.left, now.done, now.begun) = (now.left - tokens, now.done + tokens, true);
            self.begun.push(now);
        }
    }

    fn lost_key(&self, job: &Job) -> Behind {
        (if self.oldest { job.arrival.as_nanos() } else { u64::from(job.left) }, job.id)
    }

    /// Puts those behind whose deadlines are past, and of those that could be saved the ones that no
    /// longer can: who is lost stays so.
    /// Tells of each that is past.
    pub(super) fn pass(
        &mut self,
        start: Time,
        savable: impl Fn(&Job) -> bool,
        mut tell: impl FnMut(Handle),
    ) {
        let past = self.ahead.partition_point(|job| job.due < start);
        for job in self.ahead.drain(..past) {
            self.late.push_back((job.due, job.id));
            tell(job.request);
            if job.begun { self.begun.push(job) } else { self.savable.push(job) }
        }
        let mut place = 0;
        while place < self.savable.len() {
            if savable(&self.savable[place]) {
                place += 1;
            } else {
                let job = self.savable.swap_remove(place);
                let key = self.lost_key(&job);
                self.lost.insert(key, job);
            }
        }
    }

    /// All in order, as far as a batch can reach: those in time by deadline, then those behind. Tells how
    /// many are in time. Of those that are lost no more come than hold `most` tokens.
    pub(super) fn order(
        &mut self,
        (start, pace, by): (Time, &Pace, Option<Relegated>),
        most: u32,
        savable: impl Fn(&Job) -> bool,
        into: &mut Vec<Job>,
    ) -> usize {
        let Some(by) = by else {
            into.extend_from_slice(&self.ahead);
            return into.len();
        };
        self.set_order(by);
        let mut behind: Vec<Job> = Vec::new();
        in_time(&self.ahead, start, pace, into, &mut behind);
        let on_time = into.len();
        behind.extend_from_slice(&self.begun);
        behind.extend_from_slice(&self.savable);
        let rank = |job: &Job| {
            let by_length = (u64::from(job.left), job.id);
            match by {
                Relegated::Oldest => (!job.begun, false, (job.arrival.as_nanos(), job.id)),
                Relegated::Shortest => (!job.begun, false, by_length),
                Relegated::Savable => (!job.begun, !job.begun && !savable(job), by_length),
            }
        };
        behind.sort_unstable_by_key(rank);
        into.append(&mut behind);
        let mut tokens = 0_u64;
        let within = |job: &&Job| {
            let before = tokens;
            tokens += u64::from(job.left);
            before < u64::from(most)
        };
        into.extend(self.lost.values().take_while(within));
        on_time
    }

    fn set_order(&mut self, by: Relegated) {
        let oldest = by == Relegated::Oldest;
        if self.oldest != oldest {
            self.oldest = oldest;
            let lost = std::mem::take(&mut self.lost);
            self.lost = lost.into_values().map(|job| (self.lost_key(&job), job)).collect();
        }
    }

    /// Those whose next tokens are so late, and whose prompts are not begun: they are forgotten here.
    pub(super) fn given_up(&mut self, start: Time, late: Span) -> Vec<Handle> {
        let mut given_up = Vec::new();
        let is_late = |due: Time| due.as_nanos().saturating_add(late.as_nanos()) < start.as_nanos();
        // Where nobody is put behind, all of them are ahead.
        let ahead = self.ahead.iter().take_while(|job| is_late(job.due));
        let ahead = ahead.filter(|job| !job.begun && !job.answered);
        let ids: Vec<(RequestId, Handle)> = ahead.map(|job| (job.id, job.request)).collect();
        for (id, request) in ids {
            self.remove(id);
            given_up.push(request);
        }
        while let Some(&(due, id)) = self.late.front() {
            if !is_late(due) {
                break;
            }
            self.late.pop_front();
            let waits = self.savable.iter().chain(self.lost.values());
            let waits = waits.filter(|job| job.id == id && job.due == due);
            let found = waits.map(|job| (job.request, !job.answered)).next();
            if let Some((request, true)) = found {
                self.remove(id);
                given_up.push(request);
            }
        }
        given_up
    }
}

/// Moore and Hodgson's algorithm: the most prompts that can all be in time, by deadline; where one is
/// not, the largest up to it goes behind.
fn in_time(ahead: &[Job], start: Time, pace: &Pace, into: &mut Vec<Job>, behind: &mut Vec<Job>) {
    let start = start.as_nanos();
    let mut end = start;
    let late = ahead.iter().position(|job| {
        end = end.saturating_add(pace.own(job.left, job.done));
        end > job.due.as_nanos()
    });
    let Some(first) = late else {
        into.extend_from_slice(ahead);
        return;
    };
    let own: Vec<u64> = ahead.iter().map(|job| pace.own(job.left, job.done)).collect();
    let mut heap: BinaryHeap<(u64, u32)> =
        own[..=first].iter().zip(0..).map(|(&own, place)| (own, place)).collect();
    let mut gone = vec![false; ahead.len()];
    let mut put_behind = |heap: &mut BinaryHeap<(u64, u32)>, end: &mut u64| {
        let (own, place) = heap.pop().expect("one is late");
        *end -= own;
        gone[place as usize] = true;
    };
    put_behind(&mut heap, &mut end);
    for place in first + 1..ahead.len() {
        end = end.saturating_add(own[place]);
        heap.push((own[place], place as u32));
        if end > ahead[place].due.as_nanos() {
            put_behind(&mut heap, &mut end);
        }
    }
    for (job, gone) in ahead.iter().zip(gone) {
        if gone { behind.push(*job) } else { into.push(*job) }
    }
}
