//! One replica in time: its policy decides, the cost model says how long the batch takes, and the
//! tokens it brings are written down.
//!
//! Synchronous: a step lasts GPU plus host time, and the next is planned when it has ended.
//! Asynchronous: a step lasts the longer of the two; step k + 1 is planned when step k starts, with
//! the arrivals up to then, and tokens appear at the end of the GPU part.

use super::host_copies::HostCopies;
use super::planner::{Instants, Planner};
use super::tally::Tally;
use crate::cost::{BatchShape, CostModel, IterationTime};
use crate::replica::{Begun, Plan, Reads, Replica, decodes};
use crate::request::RequestId;
use crate::time::{Span, Time};
use crate::trace::Log;

/// Decode steps of a stretch that are priced in one call.
const PRICED_TOGETHER: usize = 32;
/// Decode steps that are looked over at once for when somebody may leave.
const LOOKED_OVER: u32 = 1024;
/// Parts of them that each have a bound of their own.
const BOUNDS: u32 = 4;

/// A replica, its policy and the iteration in flight.
pub(super) struct Lane<'a> {
    pub replica: Replica,
    pub planner: Planner,
    planned_ahead: bool,
    cost: &'a dyn CostModel,
    running: Option<InFlight>,
    /// Asynchronous only: the step after the one in flight.
    planned: Option<Box<Plan>>,
    /// When that step was planned.
    planned_at: Time,
    /// Whether it was asked for: what was planned empty is not asked for again before the step in
    /// flight is over.
    asked: bool,
    /// GPU time of all steps so far.
    pub gpu_busy: Span,
    /// What goes to and from the tiers behind its blocks, where it has any.
    pub copies: Option<Box<HostCopies<'a>>>,
}

struct InFlight {
    plan: Box<Plan>,
    began: Time,
    /// When its tokens are there.
    tokens_at: Time,
    /// When the next step can start.
    end: Time,
}

/// What repeated decode steps read within the model's reaches, numbered from 1: those that the replica
/// has not begun follow from what it would read next, and one planned before them from its plan.
#[derive(Clone, Copy, Debug)]
struct Repeated {
    planned: Option<Reads>,
    next: Option<Reads>,
    /// Steps planned before.
    behind: u32,
}

impl Repeated {
    fn of(self, nth: u32) -> Option<Reads> {
        match nth > self.behind {
            true => self.next.map(|next| next.later(nth - self.behind - 1)),
            false => self.planned,
        }
    }

    /// Prices steps of `requests` decodes, the first of which reads `kv` entries.
    fn price(self, cost: &dyn CostModel, requests: u32, kv: u64, times: &mut [IterationTime]) {
        let Some(next) = self.next else {
            return cost.times_in_a_row(
                decodes(requests, kv, None),
                Reads::default().growing,
                times,
            );
        };
        let (before, rest) = times.split_at_mut(self.behind as usize);
        for time in before {
            *time = cost.time(&BatchShape::of_decodes(decodes(requests, kv, self.planned)));
        }
        let kv = kv + u64::from(self.behind) * u64::from(requests);
        cost.times_in_a_row(decodes(requests, kv, Some(next)), next.growing, rest);
    }
}

/// Up to where a lane may run ahead on its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Decisions at this instant or later wait for the calendar.
    pub before: Time,
    /// Observation ends after this instant.
    pub horizon: Time,
}

impl<'a> Lane<'a> {
    pub(super) fn new(
        replica: Replica,
        planner: Planner,
        planned_ahead: bool,
        cost: &'a dyn CostModel,
    ) -> Lane<'a> {
        Lane {
            replica,
            planner,
            planned_ahead,
            cost,
            running: None,
            planned: None,
            planned_at: Time::ZERO,
            asked: false,
            gpu_busy: Span::ZERO,
            copies: None,
        }
    }

    /// When the step in flight ends; `None` when there is none.
    pub(super) fn end(&self) -> Option<Time> {
        self.running.as_ref().map(|step| step.end)
    }

    /// When the tokens of the step in flight are there.
    pub(super) fn tokens_at(&self) -> Option<Time> {
        self.running.as_ref().map(|step| step.tokens_at)
    }

    /// When the tokens of the step in flight are there, where that is before the step is over and they
    /// were not told yet.
    pub(super) fn early_tokens_at(&self) -> Option<Time> {
        let step = self.running.as_ref()?;
        (step.tokens_at < step.end && !step.plan.told && !self.planner.hands_over())
            .then_some(step.tokens_at)
    }

    /// Tells these tokens.
    pub(super) fn tell_early(&mut self, tally: &mut Tally) {
        if let Some(step) = &mut self.running {
            self.planner.tell(&mut step.plan, step.tokens_at, &self.replica, tally);
        }
    }

    /// Whether a decision now could start or plan something.
    pub(super) fn can_decide(&self) -> bool {
        self.running.is_none() || (self.planned_ahead && !self.asked)
    }

    /// Whether no step is in flight and none planned.
    pub(super) fn runs_nothing(&self) -> bool {
        self.running.is_none() && self.planned.is_none()
    }

    /// Ends the step in flight: seats and blocks of requests that got their last token are free.
    pub(super) fn end_step(&mut self, tally: &mut Tally, finished: impl FnMut(RequestId, Time)) {
        let Some(step) = self.running.take() else { return };
        self.asked = false;
        self.planner.end(step.plan, step.tokens_at, &mut self.replica, tally, finished);
        self.see_copies(step.end);
    }

    /// Takes note of the copies that are over `now`.
    fn see_copies(&mut self, now: Time) {
        if let Some(copies) = &mut self.copies {
            copies.over(&mut self.replica, now);
        }
    }

    /// When a replica that runs nothing looks again at what its tiers copy.
    pub(super) fn looks_again(&self) -> Option<Time> {
        let copies = self.copies.as_ref().filter(|_| self.running.is_none())?;
        copies.next_end()
    }

    /// Starts and plans what can be at `now`, and runs ahead while the decision repeats.
    pub(super) fn decide(
        &mut self,
        now: Time,
        limit: Limit,
        tally: &mut Tally,
        mut dropped: impl FnMut(RequestId, Time),
    ) {
        let starts = self.running.is_none();
        // Who is dropped may come back before the limit, which was set before anybody knew.
        let mut stays = true;
        let mut dropped = |request, at| {
            stays = false;
            dropped(request, at);
        };
        if starts {
            self.see_copies(now);
            let next = self.next_plan(now, tally, &mut dropped);
            let Some((plan, decided)) = next else {
                if let Some(copies) = &mut self.copies {
                    copies.idle(now);
                }
                return;
            };
            let mut time = self.price(&plan);
            self.gpu_busy += time.gpu;
            let mut at = now;
            if let Some(copies) = &mut self.copies {
                at = copies.step(now);
                time.gpu += copies.load_in_step(at, time.gpu);
            }
            self.start_in_step(at, decided, plan, time, tally);
        }
        self.plan_ahead(now, tally, &mut dropped);
        if starts && stays {
            self.run_ahead(limit, tally);
        }
    }

    /// What it would start with now: what was planned ahead, or a plan made now, and when it was
    /// made.
    pub(super) fn next_plan(
        &mut self,
        now: Time,
        tally: &mut Tally,
        mut dropped: impl FnMut(RequestId, Time),
    ) -> Option<(Box<Plan>, Time)> {
        self.asked = false;
        match self.planned.take() {
            Some(plan) => Some((plan, self.planned_at)),
            None => {
                let plan = self.planner.plan(&mut self.replica, now, tally, &mut dropped);
                if let Some(copies) = &mut self.copies {
                    copies.planned(&mut self.replica, now);
                }
                plan.map(|plan| (plan, now))
            }
        }
    }

    /// Plans the step after the next, where it plans ahead and has not yet.
    pub(super) fn plan_ahead(
        &mut self,
        now: Time,
        tally: &mut Tally,
        mut dropped: impl FnMut(RequestId, Time),
    ) {
        if self.planned_ahead && !self.asked {
            self.asked = true;
            // Once: whom it preempts has a token on its way, and comes back later.
            let plan = self.planner.ask(&mut self.replica, now, tally, &mut dropped);
            let tokens_at = self.tokens_at();
            if let Some(copies) = &mut self.copies {
                copies.planned(&mut self.replica, now);
                if plan.is_empty() {
                    // It is over with the step in flight.
                    copies.empty_step(tokens_at.unwrap_or(now));
                }
            }
            if plan.is_empty() {
                self.planner.put_away(plan);
            } else {
                self.planned = Some(plan);
            }
            self.planned_at = now;
        }
    }

    /// Whether a step is in flight.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The time that a batch takes by itself.
    pub(super) fn price(&self, plan: &Plan) -> IterationTime {
        let mut time = self.cost.time(&plan.shape());
        if let Some(draft) = plan.draft_shape() {
            let drafting = self.cost.draft_time(&draft);
            time.gpu += drafting.gpu;
            time.host += drafting.host;
        }
        time
    }

    /// Starts a batch in a step of this length; says when the next can start.
    #[inline]
    pub(super) fn start_in_step(
        &mut self,
        now: Time,
        decided: Time,
        mut plan: Box<Plan>,
        time: IterationTime,
        tally: &mut Tally,
    ) -> Time {
        let (tokens_at, end) = self.ends(now, time);
        let at = Instants { decided, start: now, end: tokens_at, free: end };
        self.planner.begin(&mut plan, at, tally);
        if self.replica.keeps_deadlines() {
            self.replica.begun(at.begun(), &plan.shape());
        }
        self.running = Some(InFlight { plan, began: now, tokens_at, end });
        end
    }

    /// When the tokens of a step that starts `now` are there, and when the next can start.
    fn ends(&self, now: Time, time: IterationTime) -> (Time, Time) {
        // At least a nanosecond, so that time moves whatever a profile says.
        let instant = Span::from_nanos(1);
        if self.planned_ahead {
            let tokens_at = now + time.gpu.max(instant);
            (tokens_at, now + time.gpu.max(time.host).max(instant))
        } else {
            let end = now + (time.gpu + time.host).max(instant);
            (end, end)
        }
    }

    /// Until when the policy's decision surely repeats, where it does, if nobody arrives: nobody ends
    /// before. No further than it looks ahead at a time.
    pub(super) fn repeats_until(&self) -> Option<Time> {
        let keep_free = self.repeats_with()?;
        let steps = self.replica.quiet_decode_steps(keep_free, LOOKED_OVER);
        let step = self.running.as_ref()?;
        Some(self.bound(step, steps).unwrap_or_else(|| {
            let mut times = [IterationTime::default(); PRICED_TOGETHER];
            let ahead = self.price_ahead(step, keep_free, &mut times);
            ahead.iter().fold(step.end, |end, &time| self.ends(end, time).1)
        }))
    }

    /// A time before which so many steps that repeat the one in flight are not over, where there are more
    /// of them than are priced at once and the model knows a bound.
    fn bound(&self, step: &InFlight, steps: u32) -> Option<Time> {
        if steps <= PRICED_TOGETHER as u32 {
            return None;
        }
        let (reads, requests, kv) = self.repeated(step);
        let mut end = step.end;
        for part in 0..BOUNDS {
            let [from, to] = [part, part + 1].map(|part| steps * part / BOUNDS);
            let kv = kv + u64::from(from) * u64::from(requests);
            let least = self.cost.at_least(decodes(requests, kv, reads.of(from + 1)))?;
            end += self.ends(Time::ZERO, least).1.since(Time::ZERO) * u64::from(to - from);
        }
        Some(end)
    }

    /// Prices the steps that repeat the one in flight, as many as there is room for; tells their times.
    fn price_ahead<'t>(
        &self,
        step: &InFlight,
        keep_free: u32,
        room: &'t mut [IterationTime],
    ) -> &'t [IterationTime] {
        let decode_steps = self.replica.quiet_decode_steps(keep_free, room.len() as u32);
        let times = &mut room[..decode_steps as usize];
        if !times.is_empty() {
            let (reads, requests, kv) = self.repeated(step);
            reads.price(self.cost, requests, kv, times);
        }
        times
    }

    /// Free blocks with which the decision of the step in flight, and of the one planned, repeats.
    fn repeats_with(&self) -> Option<u32> {
        let quiet = |plan: &Plan| plan.repeats.filter(|_| plan.ending.is_empty());
        let in_flight = quiet(&self.running.as_ref()?.plan)?;
        match self.planned_ahead {
            true => self.planned.as_deref().and_then(quiet),
            false => Some(in_flight),
        }
    }

    /// What the steps read that repeat the one in flight, by how many requests, and the KV entries of
    /// the first.
    fn repeated(&self, step: &InFlight) -> (Repeated, u32, u64) {
        // What was planned ahead is the first of them; the replica has it behind it.
        let first = self.planned.as_deref().unwrap_or(&step.plan);
        let behind = u32::from(self.planned_ahead);
        let reads = Repeated {
            planned: first.reads.filter(|_| behind > 0),
            next: self.replica.next_reads(),
            behind,
        };
        let kv = first.decode_kv_tokens + u64::from(first.decodes) * u64::from(1 - behind);
        (reads, first.decodes, kv)
    }

    /// Advances decode step after decode step while the policy's decision repeats, nothing ends,
    /// memory suffices and nobody arrives. The same as ending and deciding each step, without
    /// asking.
    pub(super) fn run_ahead(&mut self, limit: Limit, tally: &mut Tally) {
        let Some(keep_free) = self.repeats_with() else { return };
        let mut step = self.running.take().expect("a step is in flight");
        // Not kept in the lane: of a thousand replicas none finds its own in the processor's cache.
        let mut times = [IterationTime::default(); PRICED_TOGETHER];
        while step.end < limit.before && step.end <= limit.horizon {
            // About as many as there is time for, so that few are priced for nothing.
            let pace = step.end.since(step.began).as_nanos().max(1);
            let room = limit.before.since(step.end).as_nanos() / pace + 1;
            let room = &mut times[..room.min(PRICED_TOGETHER as u64) as usize];
            let times = self.price_ahead(&step, keep_free, room);
            if times.is_empty() {
                break;
            }
            self.repeat(&mut step, limit, times, tally);
        }
        self.running = Some(step);
    }

    /// Further decode steps of these times, or as many as begin within the limit, at least one.
    fn repeat(
        &mut self,
        step: &mut InFlight,
        limit: Limit,
        times: &[IterationTime],
        tally: &mut Tally,
    ) {
        let (reads, requests, kv) = self.repeated(step);
        let behind = reads.behind;
        let more = |decode_steps: u32| u64::from(requests) * u64::from(decode_steps);
        if let Some(planned) = &mut self.planned {
            std::mem::swap(planned, &mut step.plan);
            planned.clone_decision(&step.plan);
        }
        let logs = self.planner.logs();
        let mut steps = tally.steps(self.planner.lane);
        let mut used = self.replica.used_after(0);
        let (mut decode_steps, mut last) = (0, step.began);
        for &time in times {
            if step.end >= limit.before || step.end > limit.horizon {
                break;
            }
            self.gpu_busy += time.gpu;
            step.began = step.end;
            (step.tokens_at, step.end) = self.ends(step.began, time);
            steps.push(step.tokens_at);
            decode_steps += 1;
            let mut decided = step.began;
            if self.planned_ahead {
                std::mem::swap(&mut decided, &mut self.planned_at);
            }
            last = decided;
            if logs {
                if decode_steps > behind {
                    let more = self.replica.growing_after(decode_steps - behind - 1);
                    used = used.saturating_add_signed(more);
                }
                let at =
                    Instants { decided, start: step.began, end: step.tokens_at, free: step.end };
                self.planner.log_repeat(
                    decode_steps,
                    &step.plan,
                    ((kv + more(decode_steps - 1), reads.of(decode_steps)), used),
                    at,
                );
            }
        }
        if self.replica.keeps_deadlines() {
            let (start, free) = (step.began, step.end);
            let begun = Begun { decided: last, start, tokens_at: step.tokens_at, free };
            self.replica.repeated(steps.last_ones(decode_steps), begun);
        }
        step.plan.decode_kv_tokens = kv + more(decode_steps - 1);
        step.plan.reads = reads.of(decode_steps);
        self.replica.repeat(decode_steps);
        if let Some(planned) = &mut self.planned {
            planned.decode_kv_tokens = kv + more(decode_steps);
            planned.reads = reads.of(decode_steps + 1);
            planned.kv_used = self.replica.used_after(0);
        }
        tally.count_repeats(&step.plan, decode_steps.into());
    }

    /// Closes what is still open when observation ends.
    pub(super) fn close(&mut self, tally: &mut Tally) -> Option<Log> {
        let told = self.planner.scheduler.memory_at_end(self.replica.decode_steps());
        if let Some(told) = told {
            self.replica.tell(told);
        }
        self.replica.close_all();
        self.planner.write_runs(&mut self.replica, tally);
        self.planner.take_log()
    }
}
