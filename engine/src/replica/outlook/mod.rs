//! What a policy that looks at deadlines is told: what is promised, how each request stands with it,
//! how long a batch is expected to take, how long the last ones took, and how long answers were.
//!
//! Kept only for policies that [ask](super::Needs::deadlines). All that decode together have their
//! deadlines moved on together ([`beats`]), so decode steps are still advanced in bulk.

mod beats;
mod medians;
mod predictor;

pub use predictor::Predictor;

use std::fmt;
use std::sync::Arc;

use super::Handle;
use super::step::Held;
use crate::cost::{BatchShape, CostModel};
use crate::ids::{ClassId, SlotId};
use crate::request::{Request, RequestId};
use crate::time::{Span, Time};

use beats::Beats;
use medians::Medians;

/// The deadline of the first token after the arrival, `D_p`, by the tokens of the prompt.
pub type FirstDeadline = Arc<dyn Fn(u32) -> Span + Send + Sync>;

/// What the requests of a class are promised.
#[derive(Clone)]
pub struct Promise {
    /// `D_p`.
    pub first: FirstDeadline,
    /// `D_d`, at least 1 ns.
    pub tbt: Span,
    /// The fluidity-index from which on a request is fluid.
    pub fluid_index: f64,
}

/// What is told to the policies of a pool's replicas.
#[derive(Clone)]
pub struct Outlook {
    /// The promise to all.
    pub common: Promise,
    /// The promise to class 0, 1, ..., where classes have promises of their own.
    pub of_classes: Vec<Promise>,
    /// What is known of an iteration's time before it runs.
    pub cost: Arc<dyn CostModel>,
    /// How that is wrong.
    pub predictor: Predictor,
}

impl Outlook {
    /// The promise to a request of this class.
    pub fn promise(&self, class: ClassId) -> &Promise {
        self.of_classes.get(class.index()).unwrap_or(&self.common)
    }
}

impl fmt::Debug for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outlook({:?})", self.predictor)
    }
}

/// What a request is promised, and how it stands with that (the fluidity-index's own state): after
/// `n` tokens, `on_time` of them by their deadlines, its index is `on_time / (on_time + missed)`.
///
/// Where a step is planned while one runs, the tokens of that one count as there: at the time at which
/// they are expected.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Standing {
    /// `D_p`: its first token is due so long after its arrival.
    pub ttft: Span,
    /// `D_d`: the next token is due so long after the deadline of a token that was on time, or after
    /// a token that was late.
    pub tbt: Span,
    /// The index from which on it is fluid.
    pub fluid_index: f64,
    /// When its next token is due.
    pub next_deadline: Time,
    /// Tokens that came by their deadlines.
    pub on_time: u32,
    /// Tokens that came late.
    pub late: u32,
    /// Deadlines missed: one for a late token, and one more for each further `D_d` that it was late.
    pub missed: u64,
    /// When its first token came.
    pub first_token: Option<Time>,
    /// When its last token so far came.
    pub last_token: Option<Time>,
    /// The conversation that it belongs to, where the workload has some.
    pub session: Option<u32>,
    /// How long its answer is predicted to be, in tokens, where the scenario has such predictions.
    pub predicted_answer: Option<u32>,
}

/// An iteration that is over, for a policy that learns from its predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Past {
    /// How long it was expected to take when it was planned.
    pub predicted: Span,
    /// How long it took.
    pub actual: Span,
    /// When it was over: no two of a replica are at once.
    pub ended: Time,
    /// Whether prompts were computed in it.
    pub prefilled: bool,
}

/// One request's state; while it decodes, the part since it joined the decode set is in its beats.
#[derive(Clone, Debug)]
struct Own {
    request: RequestId,
    ttft: Span,
    /// Which beats are its own.
    kind: u16,
    class: ClassId,
    session: Option<u32>,
    next_deadline: Time,
    tokens: u32,
    late: u32,
    missed: u64,
    first_token: Time,
    last_token: Time,
    predicted_answer: Option<u32>,
    held: Option<Held>,
}

/// The iteration that runs.
#[derive(Clone, Copy, Debug)]
struct Running {
    began: Time,
    /// When its tokens are there.
    tokens_at: Time,
    predicted: Span,
    actual: Span,
    prefilled: bool,
}

/// What is kept for a policy that looks at deadlines.
#[derive(Debug)]
pub(super) struct Kept {
    shared: Arc<Outlook>,
    /// The different `D_d`.
    tbts: Vec<Span>,
    own: Vec<Own>,
    /// By lane, by `D_d`: those that decode.
    lanes: Vec<Vec<Beats>>,
    /// Who has left the decode set for good with the batch being committed, whose token it brings.
    leaving: Vec<SlotId>,
    /// Who joins it with that batch.
    joining: Vec<SlotId>,
    /// Whose chunk brings a token in that batch.
    emitting: Vec<SlotId>,
    running: Option<Running>,
    last: Option<Past>,
    medians: Medians,
    /// Reasons given since the last batch was committed: those that changed.
    reasons: Vec<(RequestId, Option<Held>)>,
    /// Whether a step is planned while one runs.
    ahead: bool,
}

impl Kept {
    pub(super) fn new(shared: Arc<Outlook>, ahead: bool) -> Kept {
        let all = std::iter::once(&shared.common).chain(&shared.of_classes);
        let mut tbts: Vec<Span> = all.map(|promise| promise.tbt).collect();
        tbts.sort_unstable();
        tbts.dedup();
        Kept {
            tbts,
            shared,
            own: Vec::new(),
            lanes: Vec::new(),
            leaving: Vec::new(),
            joining: Vec::new(),
            emitting: Vec::new(),
            running: None,
            last: None,
            medians: Medians::default(),
            reasons: Vec::new(),
            ahead,
        }
    }

    pub(super) fn arrive(
        &mut self,
        slot: SlotId,
        request: RequestId,
        asked: &Request,
        (number, session): (RequestId, Option<u32>),
    ) {
        let &Request { arrival, prompt_tokens, output_tokens, max_tokens, class, .. } = asked;
        let promise = self.shared.promise(class);
        let ttft = (promise.first)(prompt_tokens);
        let kind = self.tbts.binary_search(&promise.tbt).expect("each is known") as u16;
        let due = arrival.as_nanos().saturating_add(ttft.as_nanos());
        let own = Own {
            request,
            ttft,
            kind,
            class,
            session,
            next_deadline: Time::from_nanos(due),
            tokens: 0,
            late: 0,
            missed: 0,
            first_token: Time::NEVER,
            last_token: Time::NEVER,
            predicted_answer: self.shared.predictor.answer(number, (output_tokens, max_tokens)),
            held: None,
        };
        match self.own.get_mut(slot.index()) {
            Some(place) => *place = own,
            None => {
                debug_assert_eq!(self.own.len(), slot.index(), "slots are taken in order");
                self.own.push(own);
            }
        }
    }

    fn beats(&mut self, lane: usize) -> &mut [Beats] {
        while self.lanes.len() <= lane {
            self.lanes.push(self.tbts.iter().map(|&tbt| Beats::new(tbt)).collect());
        }
        &mut self.lanes[lane]
    }

    /// A request leaves the decode set before the batch being formed advances it.
    pub(super) fn leave(&mut self, lane: usize, slot: SlotId) {
        if let Some(place) = self.joining.iter().position(|&joining| joining == slot) {
            self.joining.remove(place);
            return;
        }
        let kind = usize::from(self.own[slot.index()].kind);
        let last = self.beats(lane)[kind].last();
        let Some(left) = self.beats(lane)[kind].leave(slot) else { return };
        let own = &mut self.own[slot.index()];
        own.next_deadline = left.next_deadline;
        own.tokens += left.tokens;
        own.late += left.late;
        own.missed += left.missed;
        if left.tokens > 0 {
            own.last_token = last;
        }
    }

    /// It leaves the set with the token that the batch being committed brings.
    pub(super) fn leave_after(&mut self, slot: SlotId) {
        self.leaving.push(slot);
    }

    /// A request joins the decode set once the batch being committed is over.
    pub(super) fn join(&mut self, slot: SlotId) {
        self.joining.push(slot);
    }

    /// A chunk of the batch being committed brings a token.
    pub(super) fn emit(&mut self, slot: SlotId) {
        self.emitting.push(slot);
    }

    /// The batch just committed has begun, and its tokens come at `at`.
    fn come(&mut self, lane: usize, decodes: bool, at: Time) {
        self.beats(lane);
        if decodes {
            self.lanes[lane].iter_mut().for_each(|beats| beats.step(at));
        }
        for slot in std::mem::take(&mut self.leaving) {
            self.leave(lane, slot);
        }
        for slot in self.emitting.drain(..) {
            let own = &mut self.own[slot.index()];
            let tbt = self.tbts[usize::from(own.kind)].as_nanos();
            own.tokens += 1;
            if at <= own.next_deadline {
                let next = own.next_deadline.as_nanos().saturating_add(tbt);
                own.next_deadline = Time::from_nanos(next);
            } else {
                own.late += 1;
                own.missed += 1 + at.since(own.next_deadline).as_nanos() / tbt;
                own.next_deadline = Time::from_nanos(at.as_nanos().saturating_add(tbt));
            }
            own.first_token = own.first_token.min(at);
            own.last_token = at;
        }
        for slot in self.joining.drain(..) {
            let own = &self.own[slot.index()];
            self.lanes[lane][usize::from(own.kind)].join(slot, own.next_deadline);
        }
    }

    /// Decode steps that repeat the last decision.
    pub(super) fn steps_came(&mut self, lane: usize, at: &[Time]) {
        for beats in self.beats(lane) {
            if !beats.is_empty() {
                at.iter().for_each(|&at| beats.step(at));
            } else if let Some(&last) = at.last() {
                beats.step(last);
            }
        }
    }

    fn standing(&self, lane: usize, slot: SlotId) -> Standing {
        let own = &self.own[slot.index()];
        let beats = self.lanes.get(lane).map(|kinds| &kinds[usize::from(own.kind)]);
        let since = beats.and_then(|beats| Some((beats.of(slot)?, beats.last())));
        let since = since.map(|(since, last)| (since, Some(last).filter(|_| since.tokens > 0)));
        let promise = self.shared.promise(own.class);
        let (tokens, late, missed, due, last) = match since {
            None => (own.tokens, own.late, own.missed, own.next_deadline, own.last_token),
            Some((since, last)) => (
                own.tokens + since.tokens,
                own.late + since.late,
                own.missed + since.missed,
                since.next_deadline,
                last.unwrap_or(own.last_token),
            ),
        };
        let is_known = |at: &Time| *at != Time::NEVER;
        Standing {
            ttft: own.ttft,
            tbt: promise.tbt,
            fluid_index: promise.fluid_index,
            next_deadline: self.masked(due, promise.tbt),
            on_time: tokens - late,
            late,
            missed,
            first_token: Some(own.first_token).filter(is_known).map(|at| self.expected(at)),
            last_token: Some(last).filter(is_known).map(|at| self.expected(at)),
            session: own.session,
            predicted_answer: own.predicted_answer,
        }
    }

    /// A token's time as far as it is known: one that is on its way is expected when its step is.
    fn expected(&self, at: Time) -> Time {
        match &self.running {
            Some(running) if self.ahead && running.tokens_at == at => {
                running.began + running.predicted
            }
            _ => at,
        }
    }

    /// A deadline as far as it is known: that after a late token of the step in flight follows from
    /// when that is expected.
    fn masked(&self, due: Time, tbt: Span) -> Time {
        match &self.running {
            Some(running) if self.ahead && running.tokens_at + tbt == due => {
                running.began + running.predicted + tbt
            }
            _ => due,
        }
    }

    /// When the tokens of the batch being formed are due first, of all that decode. Those that are due
    /// before `from` are late in any case: of them the first multiple of `D_d` behind their deadlines
    /// from then on counts.
    fn least_deadline(&self, lane: usize, from: Time) -> Option<Time> {
        let of = |(beats, &tbt): (&Beats, &Span)| {
            let due = |due: Time| self.masked(due, tbt);
            let least = due(beats.least()?);
            match least >= from {
                true => Some(least),
                false => beats.each().map(|each| after(due(each), from, tbt)).min(),
            }
        };
        let kinds = self.lanes.get(lane)?;
        kinds.iter().zip(&self.tbts).filter_map(of).min()
    }

    fn hold(&mut self, slot: SlotId, reason: Option<Held>) {
        let own = &mut self.own[slot.index()];
        if own.held != reason {
            own.held = reason;
            self.reasons.push((own.request, reason));
        }
    }
}

/// The first of a deadline and those that follow it every `tbt` that is not before `from`.
fn after(due: Time, from: Time, tbt: Span) -> Time {
    if due >= from {
        return due;
    }
    let behind = from.since(due).as_nanos().div_ceil(tbt.as_nanos());
    Time::from_nanos(due.as_nanos().saturating_add(behind.saturating_mul(tbt.as_nanos())))
}

impl super::Replica {
    /// Lets its policy look at deadlines; said while it is empty.
    pub fn keep_deadlines(&mut self, outlook: Arc<Outlook>) {
        self.outlook = Some(Box::new(Kept::new(outlook, self.options.out.ahead)));
    }

    /// Whether its policy looks at deadlines.
    pub(crate) fn keeps_deadlines(&self) -> bool {
        self.outlook.is_some()
    }

    /// The batch that was committed last, which took `took` and has so many decodes, has begun.
    pub(crate) fn begun(&mut self, begun: Begun, shape: &BatchShape<'_>) {
        let lane = self.selected.index();
        let Some(kept) = &mut self.outlook else { return };
        kept.come(lane, shape.decodes().requests() > 0, begun.tokens_at);
        let predicted = kept.predict(begun.decided, shape);
        kept.running = Some(Running {
            began: begun.start,
            tokens_at: begun.tokens_at,
            predicted,
            actual: begun.free.since(begun.start),
            prefilled: !shape.chunks().is_empty(),
        });
    }

    /// Decode steps have repeated the last decision; the last of them is `begun`.
    pub(crate) fn repeated(&mut self, at: &[Time], begun: Begun) {
        let lane = self.selected.index();
        let Some(kept) = &mut self.outlook else { return };
        kept.steps_came(lane, at);
        let actual = begun.free.since(begun.start);
        let predicted = kept.shared.predictor.of(begun.decided, actual);
        let tokens_at = begun.tokens_at;
        kept.running =
            Some(Running { began: begun.start, tokens_at, predicted, actual, prefilled: false });
    }

    /// The iteration that ran is over.
    pub(crate) fn over(&mut self) {
        let Some(kept) = &mut self.outlook else { return };
        if let Some(ran) = kept.running.take() {
            kept.last = Some(Past {
                predicted: ran.predicted,
                actual: ran.actual,
                ended: ran.began + ran.actual,
                prefilled: ran.prefilled,
            });
        }
    }

    /// An answer has ended.
    pub(crate) fn answered(&mut self, Handle(slot): Handle) {
        let Some(Standing { on_time, late, .. }) = self.standing(Handle(slot)) else { return };
        if let Some(kept) = &mut self.outlook {
            kept.medians.add(kept.own[slot.index()].class, on_time + late);
        }
    }

    /// How a request stands, where that is kept.
    pub(crate) fn standing(&self, Handle(slot): Handle) -> Option<Standing> {
        self.outlook.as_ref().map(|kept| kept.standing(self.selected.index(), slot))
    }

    /// What is known of a request.
    pub(crate) fn view_of(&self, Handle(slot): Handle) -> super::RequestView {
        self.view(slot)
    }

    /// Reasons that have changed since the last batch was committed.
    pub(super) fn take_reasons(&mut self, into: &mut Vec<(RequestId, Option<Held>)>) {
        if let Some(kept) = &mut self.outlook {
            into.append(&mut kept.reasons);
        }
    }
}

/// When a batch was planned, began, brings its tokens, and lets the next one begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    pub decided: Time,
    pub start: Time,
    pub tokens_at: Time,
    pub free: Time,
}

impl Kept {
    fn predict(&self, decided: Time, shape: &BatchShape<'_>) -> Span {
        let time = self.shared.cost.time(shape);
        let whole = if self.ahead { time.gpu.max(time.host) } else { time.gpu + time.host };
        self.shared.predictor.of(decided, whole.max(Span::from_nanos(1)))
    }
}

/// The error of a policy that reads what nobody keeps for it.
const NOT_ASKED_FOR: &str = "the policy looks at deadlines and has not asked for them: let its \
                             `needs` return `Needs { deadlines: true, ..Needs::default() }`";

impl super::Step<'_> {
    fn outlook(&self) -> &Kept {
        self.replica.outlook.as_deref().expect(NOT_ASKED_FOR)
    }

    /// What a request is promised, and how it stands with that.
    ///
    /// # Panics
    /// Where the policy has not [asked](super::Needs::deadlines) for it; so do all that follow.
    pub fn standing(&self, request: Handle) -> Standing {
        self.outlook().standing(self.replica.selected.index(), request.0)
    }

    /// When the first of the tokens of all that decode is due; `None` where nobody decodes. Nobody is
    /// visited.
    pub fn least_deadline(&self) -> Option<Time> {
        self.outlook().least_deadline(self.replica.selected.index(), Time::ZERO)
    }

    /// The same where those that are due before `from` are late in any case: a token that is late
    /// misses one deadline more with each further `D_d`, and of them the next such instant counts.
    pub fn least_deadline_from(&self, from: Time) -> Option<Time> {
        self.outlook().least_deadline(self.replica.selected.index(), from)
    }

    /// All that decode, as they would be in the batch being formed.
    pub fn all_decodes(&self) -> crate::cost::Decodes {
        let decodes = &self.replica.members.decodes;
        let kv_tokens = decodes.kv_tokens() + u64::from(decodes.len());
        super::decodes(decodes.len(), kv_tokens, decodes.reads())
    }

    /// How long an iteration over this batch is expected to take, host work that is not hidden
    /// included.
    pub fn predict(&self, batch: &BatchShape<'_>) -> Span {
        self.outlook().predict(self.now(), batch)
    }

    /// When the batch being formed will start: now, or where one is in flight when that is expected to
    /// be over.
    pub fn starts_at(&self) -> Time {
        let kept = self.outlook();
        let running = kept.running.as_ref().filter(|_| kept.ahead);
        running.map_or(self.now(), |running| self.now().max(running.began + running.predicted))
    }

    /// The last iteration that is over.
    pub fn last(&self) -> Option<Past> {
        self.outlook().last
    }

    /// The median length of answers that have ended, in tokens: of two in the middle the shorter one.
    pub fn median_answer(&self) -> Option<u32> {
        self.outlook().medians.of_all()
    }

    /// The same of one class.
    pub fn median_answer_of(&self, class: ClassId) -> Option<u32> {
        self.outlook().medians.of(class)
    }

    /// Says why one request, waiting or with an unfinished prompt, is left out of this batch. The reason
    /// stands until another is given for it, or it is scheduled; without one that of the queue's head
    /// ([`hold`](super::Step::hold)) is everybody's.
    pub fn hold_request(&mut self, request: Handle, reason: Held) {
        let kept = self.replica.outlook.as_deref_mut();
        kept.expect(NOT_ASKED_FOR).hold(request.0, Some(reason));
    }
}

impl super::Replica {
    /// A request is scheduled: nothing holds it back.
    #[inline]
    pub(super) fn not_held(&mut self, slot: SlotId) {
        if let Some(kept) = &mut self.outlook {
            kept.hold(slot, None);
        }
    }
}
