//! Fluid: serves the share of fluid requests. Four parts, in order of worth: iterations as long as the
//! tightest slack of a decode lets them be, with a margin that is learned; prompts that would make others
//! late are relegated; of those the ones that can still be saved come first, the shortest before the
//! others; and where chunks beside decodes are dear, slack is saved up for an iteration of prompts alone.
//!
//! A policy of this project's own; `docs/fluidity-aware.md` has what each part is worth, and the price.
//! Moore and Hodgson's algorithm (1968) finds the fewest prompts whose deadlines cannot be kept.

mod jobs;
mod pace;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Facts, Limit, Seats};
use super::largest::{Forming, share};
use super::out_of_turn::{compute, decode, is_begun};
use super::parameters::{Evidence, Idle, Parameters, Problem, Setting};
use super::vllm_v0::watermark_blocks;
use super::{
    EngineInfo, Feature, Handle, Held, Needs, News, RequestView, Scheduler, Standing, Step,
};
use crate::time::{Span, Time};
use crate::units::Duration;

use jobs::{Job, Jobs};
use pace::{Best, Pace};

/// How the prompts whose deadlines cannot be kept are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relegated {
    /// Those that are begun; those that can still be fluid; the shortest.
    #[default]
    Savable,
    /// Those that are begun; the shortest.
    Shortest,
    /// Those that are begun; the oldest.
    Oldest,
}

/// Parameters of `fluid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FluidParams {
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
    /// The most prompt tokens of an iteration; fewer where fewer have 97 % of the best throughput.
    pub max_chunk: u32,
    /// A chunk smaller than this and than what is left of its prompt is not begun.
    pub sliver: u32,
    /// Share of the KV blocks that an admission must leave free.
    pub watermark: f64,
    /// What a predicted time is multiplied by before it is held against the slack, at first.
    pub margin: f64,
    /// Whether the margin is learned: the 98th percentile of actual over predicted times.
    pub learn_margin: bool,
    /// Whether prompts that would make others late are put behind them.
    pub relegate: bool,
    /// How those are ordered.
    pub relegated: Relegated,
    /// Whether slack is saved up for iterations of prompts alone where chunks beside decodes are dear.
    pub bank: bool,
    /// A request whose first token is so late, and whose prompt is not begun, is dropped; by default
    /// none is.
    pub give_up_after: Option<Duration>,
    /// In every so manieth iteration the oldest of those behind goes first; never for 0.
    pub fairness: u32,
}

impl Default for FluidParams {
    fn default() -> Self {
        FluidParams {
            max_num_seqs: 256,
            max_chunk: 8192,
            sliver: 64,
            watermark: 0.03,
            margin: 1.15,
            learn_margin: true,
            relegate: true,
            relegated: Relegated::Savable,
            bank: true,
            give_up_after: None,
            fairness: 0,
        }
    }
}

impl Parameters for FluidParams {
    const SYSTEM: &'static str = "a policy of this project's own";
    const SUMMARY: &'static str =
        "as many fluid requests as can be: iterations by the tightest slack";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::AsyncScheduling, Feature::DeclaredLengths];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        [
            Problem::when(self.max_num_seqs == 0, "max_num_seqs", "at least 1"),
            Problem::when(self.max_chunk == 0, "max_chunk", "at least 1"),
            Problem::when(!(0.0..1.0).contains(&self.watermark), "watermark", "from 0 to below 1"),
            Problem::when(!(0.1..=100.0).contains(&self.margin), "margin", "from 0.1 to 100"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        [
            Idle::watermark(self.watermark, &setting.engine),
            Idle::when(self.sliver <= 1, "sliver", "every chunk has a token"),
            Idle::when(!self.relegate, "relegated", "`relegate` is false"),
            Idle::when(!self.relegate, "fairness", "`relegate` is false: nobody is put behind"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        FluidParams {
            max_num_seqs: draws.seats(),
            max_chunk: draws.chunk(),
            sliver: draws.threshold(),
            watermark: draws.share(),
            margin: draws.one_of(&[0.5, 1.0, 1.15, 3.0]),
            learn_margin: draws.flag(),
            relegate: draws.flag(),
            relegated: draws.one_of(&[Relegated::Savable, Relegated::Shortest, Relegated::Oldest]),
            bank: draws.flag(),
            give_up_after: match draws.flag() {
                true => Some(Duration(Span::from_millis(draws.one_of(&[0, 50, 2000])))),
                false => None,
            },
            fairness: draws.one_of(&[0, 1, 2, 20]),
        }
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(Fluid {
            given: self.clone(),
            reserve: watermark_blocks(self.watermark, engine.kv_blocks),
            jobs: Jobs::default(),
            best: None,
            margin: self.margin,
            seen: Time::ZERO,
            asked: 0,
            tbt: Span::MAX,
            order: Vec::new(),
        })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        Facts {
            seats: Seats::held("max_num_seqs", self.max_num_seqs),
            longest_chunk: Limit::of("max_chunk", self.max_chunk),
            watermark: Some("watermark"),
            cuts_prompts: true,
            drops: self.give_up_after.is_some(),
            ..Facts::default()
        }
    }
}

/// What the margin grows by where an iteration took longer than it says, and falls by where not: it is
/// still where that happens to one in fifty.
const MARGIN_UP: f64 = 0.0196;
const MARGIN_DOWN: f64 = 0.0004;
/// The margin stays within these, whatever a predictor says.
const MARGINS: (f64, f64) = (0.1, 100.0);
/// Iterations of prompts alone pay where they compute so many times as many prompt tokens a second.
const BANK_PAYS: f64 = 1.1;

struct Fluid {
    given: FluidParams,
    /// Blocks that stay free where a prompt is begun.
    reserve: u32,
    jobs: Jobs,
    /// What an iteration of prompts alone is best at, once it is known.
    best: Option<Best>,
    margin: f64,
    /// The end of the last iteration that was learned from.
    seen: Time,
    /// Decisions with a prompt left.
    asked: u64,
    /// The least `D_d` of a request so far.
    tbt: Span,
    /// Kept from decision to decision.
    order: Vec<Job>,
}

/// How a decision stands before prompts are looked at.
struct Frame {
    /// When the batch will start.
    start: Time,
    /// How long it may take, the margin taken off; as long as there is where nobody decodes.
    budget: Span,
    /// The same before what is late in any case was left out: what could be saved up.
    slack: Span,
    /// What the decodes alone take.
    decodes: Span,
}

impl Fluid {
    fn learn(&mut self, step: &Step<'_>) {
        let Some(past) = step.last().filter(|past| past.prefilled && past.ended > self.seen) else {
            return;
        };
        self.seen = past.ended;
        if self.given.learn_margin {
            let ratio = past.actual.as_nanos() as f64 / past.predicted.as_nanos().max(1) as f64;
            self.margin += if ratio > self.margin { MARGIN_UP } else { -MARGIN_DOWN };
            self.margin = self.margin.clamp(MARGINS.0, MARGINS.1);
        }
    }

    /// The length that an answer is taken to have.
    fn expected(step: &Step<'_>, view: &RequestView, predicted: Option<u32>) -> u32 {
        let known = predicted.or_else(|| step.median_answer());
        known.unwrap_or(view.max_tokens).min(view.max_tokens).max(view.generated())
    }

    /// Whether a request that decodes cannot be fluid any more, as far as is known.
    fn is_lost(step: &Step<'_>, request: Handle) -> bool {
        let (view, standing) = (step.view(request), step.standing(request));
        let expected = Fluid::expected(step, &view, standing.predicted_answer);
        let on_time = expected.saturating_sub(standing.late);
        standing.missed > allowed(standing.fluid_index, on_time)
    }

    fn frame(&self, step: &Step<'_>) -> Frame {
        let start = step.starts_at();
        let forming = Forming::new(step.all_decodes());
        let Some(due) = step.least_deadline() else {
            return Frame { start, budget: Span::MAX, slack: Span::MAX, decodes: Span::ZERO };
        };
        let decodes = forming.time(step);
        let until = |due: Time| match due > start {
            true => share(due.since(start), 1.0 / self.margin),
            false => Span::ZERO,
        };
        let slack = until(due);
        let mut budget = slack;
        if decodes > slack {
            // Who is late in any case is late by less than another `D_d` until then.
            let end = start + share(decodes, self.margin);
            budget = step.least_deadline_from(end).map_or(decodes, until).max(decodes);
        }
        Frame { start, budget, slack, decodes }
    }

    /// The prompts in order; how many of them are not relegated.
    fn order(&mut self, step: &mut Step<'_>, start: Time, pace: &Pace, most: u32) -> usize {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        let median = step.median_answer();
        let by = self.given.relegate.then_some(self.given.relegated);
        let savable = |job: &Job| {
            let expected = job.predicted.or(median).unwrap_or(job.max_tokens).min(job.max_tokens);
            let misses = allowed(job.fluid_index, expected.saturating_sub(1));
            let more = job.tbt.as_nanos().saturating_mul(misses);
            by != Some(Relegated::Savable)
                || job.due.as_nanos().saturating_add(more)
                    > start.as_nanos().saturating_add(pace.own(job.left, job.done))
        };
        if by.is_some() {
            let tell = |request| step.hold_request(request, Held::Relegated);
            self.jobs.pass(start, savable, tell);
        }
        let on_time = self.jobs.order((start, pace, by), most, savable, &mut order);
        self.order = order;
        on_time
    }

    /// Whether slack is saved up, or spent on an iteration of prompts alone of so many tokens.
    fn bank(&self, frame: &Frame, pace: &Pace, best: &Best, on_time: usize) -> Bank {
        if !self.given.bank || frame.decodes == Span::ZERO {
            return Bank::No;
        }
        let banked = pace.banked;
        if banked <= BANK_PAYS * pace.chunked {
            return Bank::No;
        }
        let waiting: u64 = self.jobs.tokens();
        let want = u32::try_from(waiting).unwrap_or(u32::MAX).min(best.tokens);
        let alone = best.time(want);
        let takes = Span::from_nanos(alone.as_nanos().saturating_add(frame.decodes.as_nanos()));
        if takes <= frame.slack {
            return Bank::Alone(want);
        }
        // Each decode step saves what is left of `D_d`.
        let gains = share(self.tbt, 1.0 / self.margin).as_nanos();
        let Some(gain) = gains.checked_sub(frame.decodes.as_nanos()).filter(|&gain| gain > 0)
        else {
            return Bank::No;
        };
        let steps = (takes.as_nanos() - frame.slack.as_nanos()).div_ceil(gain);
        let wait = steps.saturating_mul(frame.decodes.as_nanos()) as f64;
        let mut tokens = 0.0;
        let in_time = self.order[..on_time].iter().all(|job| {
            tokens += f64::from(job.left);
            frame.start.as_nanos() as f64 + wait + tokens / banked < job.due.as_nanos() as f64
        });
        if in_time { Bank::Save } else { Bank::No }
    }

    /// Computes prompts in order, as far as `budget` goes, and at most so many tokens.
    fn fill(
        &mut self,
        step: &mut Step<'_>,
        forming: &mut Forming,
        budget: Span,
        most: u32,
        on_time: usize,
    ) {
        let (mut left, limits) = (most, (self.given.max_num_seqs, self.reserve));
        let order = std::mem::take(&mut self.order);
        let (mut reason, mut full) = (None, false);
        for (place, job) in order.iter().enumerate() {
            if full && !job.begun {
                continue;
            }
            let view = step.view(job.request);
            let tokens = match budget == Span::MAX {
                true => view.prefill_left().min(left),
                false => forming.largest(step, &view, left, budget),
            };
            let least = self.given.sliver.min(view.prefill_left()).max(1);
            let held = match tokens {
                _ if left == 0 => Err(Held::NoTokenBudget),
                // An iteration of prompts alone may end in a smaller one.
                _ if tokens < least.min(most) => Err(Held::Sliver),
                _ => compute(step, (job.request, &view), tokens, limits),
            };
            match held {
                Ok(()) => {
                    forming.add(&view, tokens);
                    left -= tokens;
                    self.jobs.computed(job, tokens);
                }
                // Those behind who hold their blocks go on; nobody overtakes into a seat.
                Err(why @ (Held::NoSeat | Held::NoKvBlocks)) => {
                    full = true;
                    reason = reason.or(Some((place, why)));
                }
                Err(why) => {
                    reason = reason.or(Some((place, why)));
                    break;
                }
            }
        }
        if let Some((from, why)) = reason {
            step.hold(why);
            say_why(step, &order[from..], on_time.saturating_sub(from), why);
        }
        self.order = order;
    }
}

/// Deadlines that a request can miss and be fluid, where so many of its tokens are on time.
fn allowed(fluid_index: f64, on_time: u32) -> u64 {
    match fluid_index > 0.0 {
        true => (f64::from(on_time) * (1.0 - fluid_index) / fluid_index + 1e-9) as u64,
        false => u64::MAX,
    }
}

/// Says for each of these prompts why it is left out: the first because of `why`, so many for the same
/// reason, and the others because they are relegated.
fn say_why(step: &mut Step<'_>, left_out: &[Job], on_time: usize, why: Held) {
    for (place, job) in left_out.iter().enumerate() {
        if step.view(job.request).scheduled > 0 {
            continue;
        }
        let reason = if place < on_time.max(1) { why } else { Held::Relegated };
        step.hold_request(job.request, reason);
    }
}

/// What becomes of the slack.
enum Bank {
    /// It is spent on chunks beside decodes.
    No,
    /// The decodes run alone.
    Save,
    /// It is spent on so many prompt tokens alone.
    Alone(u32),
}

impl Scheduler for Fluid {
    fn needs(&self) -> Needs {
        Needs {
            deadlines: true,
            predicts: true,
            plans_ahead: true,
            one_lane: true,
            watermark_blocks: self.reserve,
            ..Needs::default()
        }
    }

    fn arrived(&mut self, news: &News) {
        self.tbt = self.tbt.min(news.standing.tbt);
        self.jobs.add(Job::new(news.request, &news.view, &news.standing));
    }

    fn ended(&mut self, news: &News) {
        // A step planned ahead preempted it before its end was known.
        self.jobs.remove(news.view.id);
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        self.learn(step);
        if let Some(late) = self.given.give_up_after {
            for request in self.jobs.given_up(step.starts_at(), late.0) {
                step.drop_request(request);
            }
        }
        if self.jobs.is_empty() {
            self.decode(step);
            if self.jobs.is_empty() {
                step.repeats(step.blocks_to_grow());
            }
            return;
        }
        self.asked += 1;
        let best = *self.best.get_or_insert_with(|| Best::of(step, self.given.max_chunk));
        let frame = self.frame(step);
        let all = step.all_decodes();
        let decodes = Forming::new(all);
        let gone = share(self.tbt, 1.0 / self.margin);
        let pace = Pace::of(step, (decodes, all, frame.decodes), gone, &best);
        let mut on_time = self.order(step, frame.start, &pace, best.tokens);
        if self.given.fairness > 0 && self.asked.is_multiple_of(u64::from(self.given.fairness)) {
            on_time = self.oldest_first(on_time);
        }
        match self.bank(&frame, &pace, &best, on_time) {
            Bank::Alone(want) => {
                let mut forming = Forming::new(crate::cost::Decodes::NONE);
                self.fill(step, &mut forming, Span::MAX, want, on_time);
                if step.is_empty() {
                    self.decode(step);
                }
            }
            Bank::Save => {
                self.decode(step);
                step.hold(Held::SlackSaved);
                let order = std::mem::take(&mut self.order);
                say_why(step, &order, order.len(), Held::SlackSaved);
                self.order = order;
            }
            Bank::No => {
                let preempted = self.decode(step);
                if preempted {
                    return step.hold(Held::Preempting);
                }
                let mut forming = Forming::new(all);
                self.fill(step, &mut forming, frame.budget, best.tokens, on_time);
            }
        }
    }
}

impl Fluid {
    /// Decodes everybody; whether somebody had to give way.
    fn decode(&mut self, step: &mut Step<'_>) -> bool {
        // A lost decode before the others, then who came last.
        let gone = decode(step, |step, request| {
            let view = step.view(request);
            (Fluid::is_lost(step, request), view.arrival, view.id)
        });
        for &request in &gone {
            let (view, standing) = (step.view(request), step.standing(request));
            debug_assert!(!is_begun(&view), "it has lost its blocks");
            self.jobs.remove(view.id);
            self.jobs.add(Job::new(request, &view, &standing));
        }
        !gone.is_empty()
    }

    /// Puts the oldest of those behind before all others; how many are before those behind then.
    fn oldest_first(&mut self, on_time: usize) -> usize {
        let behind = &self.order[on_time..];
        let oldest =
            (0..behind.len()).min_by_key(|&place| (behind[place].arrival, behind[place].id));
        match oldest {
            None => on_time,
            Some(place) => {
                self.order[..=on_time + place].rotate_right(1);
                on_time + 1
            }
        }
    }
}
