//! QoServe (Niyama): iterations as long as the tightest deadline of a decode lets them be, prompts by
//! deadline and size, and those that cannot make their deadline any more behind all others.
//!
//! Rules of Niyama (ASPLOS 2026, arXiv 2503.22562; the branch `niyama_asplos2026` of Sarathi-Serve), as
//! summed up in a description: the chunk is the largest total in {128, 256, ..., 2048, 2552} with 1.2
//! times its predicted time within the slack (128 where there is none, 512 at most where few KV blocks
//! are free); the token numbered n is due n TBTs after the first, and a miss moves no deadline, so that a
//! prediction that was too short makes the chunk fall to 128 and the batch catches up. Not compared with
//! its code.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Facts, Limit, Seats};
use super::largest::{Forming, share};
use super::out_of_turn::{compute, decode, is_begun, problems};
use super::parameters::{Evidence, Idle, Parameters, Problem, Setting};
use super::vllm_v0::watermark_blocks;
use super::{EngineInfo, Feature, Handle, Held, Needs, RequestView, Scheduler, Standing, Step};
use crate::time::{Span, Time};

/// Parameters of `qoserve`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QoServeParams {
    /// The largest chunk of an iteration, decodes left out.
    pub max_chunk: u32,
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
    /// Share of the KV blocks that an admission must leave free.
    pub watermark: f64,
    /// By how much a predicted time is multiplied before it is held against the slack.
    pub margin: f64,
    /// What a prompt token that is left adds to a deadline where prompts are ordered, in milliseconds,
    /// while some request is relegated.
    pub alpha_ms: f64,
    /// The same while none is.
    pub low_load_alpha_ms: f64,
    /// Whether prompts not begun that cannot make their deadline are put behind all others.
    pub relegate: bool,
}

impl Default for QoServeParams {
    fn default() -> Self {
        QoServeParams {
            max_chunk: 2552,
            max_num_seqs: 256,
            watermark: 0.01,
            margin: 1.2,
            alpha_ms: 8.0,
            low_load_alpha_ms: 1.0,
            relegate: true,
        }
    }
}

impl Parameters for QoServeParams {
    const SYSTEM: &'static str = "QoServe (Niyama, ASPLOS 2026)";
    const SUMMARY: &'static str = "chunks by the tightest decode, prompts by deadline and size";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::AsyncScheduling];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        let number = |value: f64| value.is_finite() && (0.0..=1e6).contains(&value);
        let own = [
            Problem::when(!(0.1..=100.0).contains(&self.margin), "margin", "from 0.1 to 100"),
            Problem::when(!number(self.alpha_ms), "alpha_ms", "from 0 to 1000000"),
            Problem::when(
                !number(self.low_load_alpha_ms),
                "low_load_alpha_ms",
                "from 0 to 1000000",
            ),
        ];
        let mut all = problems(("max_chunk", self.max_chunk), self.max_num_seqs, self.watermark);
        all.extend(own.into_iter().flatten());
        all
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        [
            Idle::watermark(self.watermark, &setting.engine),
            Idle::when(!self.relegate, "alpha_ms", "`relegate` is false: no request is relegated"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        QoServeParams {
            max_chunk: draws.chunk(),
            max_num_seqs: draws.seats(),
            watermark: draws.share(),
            margin: draws.one_of(&[0.5, 1.0, 1.2, 3.0]),
            alpha_ms: draws.one_of(&[0.0, 1.0, 8.0, 1000.0]),
            low_load_alpha_ms: draws.one_of(&[0.0, 1.0, 8.0]),
            relegate: draws.flag(),
        }
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(QoServe {
            reserve: watermark_blocks(self.watermark, engine.kv_blocks),
            few: engine.kv_blocks / 10,
            given: self.clone(),
            throughput: None,
            planned: VecDeque::new(),
            seen: Time::ZERO,
        })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        Facts {
            seats: Seats::held("max_num_seqs", self.max_num_seqs),
            longest_chunk: Limit::of("max_chunk", self.max_chunk),
            watermark: Some("watermark"),
            cuts_prompts: true,
            ..Facts::default()
        }
    }
}

/// The least chunk, and the step from one to the next.
const CHUNK: u32 = 128;
/// The largest that is a multiple of it; beyond it there is the largest of all.
const CHUNK_MULTIPLE_MAX: u32 = 2048;
/// The largest where few KV blocks are free: a tenth here.
const CHUNK_SHORT_OF_MEMORY: u32 = 512;
/// How much of the mean throughput stays with each new iteration.
const THROUGHPUT_KEPT: f64 = 0.995;

struct QoServe {
    given: QoServeParams,
    reserve: u32,
    /// Free KV blocks that are few.
    few: u32,
    /// Prompt tokens a nanosecond, a mean over iterations that computed some.
    throughput: Option<f64>,
    /// Prompt tokens of iterations planned and not seen over.
    planned: VecDeque<u32>,
    /// The end of the last iteration that was counted.
    seen: Time,
}

struct Waiting {
    request: Handle,
    view: RequestView,
    key: (bool, u64),
}

impl QoServe {
    /// When the token numbered `n` is due: deadlines do not begin anew after a miss.
    fn due(view: &RequestView, standing: &Standing, n: u32) -> Time {
        let ttft = standing.first_token.map_or(Span::ZERO, |at| at.since(view.arrival));
        let first = view.arrival + standing.ttft.max(ttft);
        first + Span::from_nanos(standing.tbt.as_nanos().saturating_mul(u64::from(n)))
    }

    fn learn(&mut self, step: &Step<'_>) {
        let Some(past) = step.last().filter(|past| past.prefilled && past.ended > self.seen) else {
            return;
        };
        self.seen = past.ended;
        let Some(tokens) = self.planned.pop_front() else { return };
        let now = f64::from(tokens) / past.actual.as_nanos().max(1) as f64;
        let kept = |mean: f64| THROUGHPUT_KEPT * mean + (1.0 - THROUGHPUT_KEPT) * now;
        self.throughput = Some(self.throughput.map_or(now, kept));
    }

    /// Prompts in order: those that are relegated last.
    fn order(&self, step: &Step<'_>) -> Vec<Waiting> {
        let now = step.starts_at();
        let with = |request: Handle| {
            let (view, standing) = (step.view(request), step.standing(request));
            let left = view.prefill_left();
            let due = QoServe::due(&view, &standing, view.generated());
            let needs = self.throughput.map_or(0.0, |mean| f64::from(left) / mean);
            let late = now.as_nanos() as f64 + needs > due.as_nanos() as f64;
            let relegated = self.given.relegate && !is_begun(&view) && late;
            (request, view, due, relegated)
        };
        let all: Vec<_> = step.prefilling().chain(step.waiting()).map(with).collect();
        let high = all.iter().any(|(.., relegated)| *relegated);
        let alpha = if high { self.given.alpha_ms } else { self.given.low_load_alpha_ms };
        let keyed = |(request, view, due, relegated): (Handle, RequestView, Time, bool)| {
            let size = (alpha * 1e6 * f64::from(view.prefill_left())) as u64;
            let key = (relegated, due.as_nanos().saturating_add(size));
            Waiting { request, view, key }
        };
        let mut all: Vec<Waiting> = all.into_iter().map(keyed).collect();
        all.sort_unstable_by_key(|one| (one.key, one.view.id));
        all
    }

    /// The chunk for this iteration.
    fn chunk(&self, step: &Step<'_>, prompts: &[Waiting]) -> u32 {
        let start = step.starts_at();
        let decodes = step.running().filter_map(|request| {
            let view = step.view(request);
            let next =
                |view: &RequestView| QoServe::due(view, &step.standing(request), view.generated());
            (!view.is_prefilling()).then(|| next(&view))
        });
        let most = self.given.max_chunk;
        let short = step.free_blocks() < self.few;
        let most = if short { most.min(CHUNK_SHORT_OF_MEMORY) } else { most };
        let least = most.min(CHUNK);
        let Some(due) = decodes.min() else { return most };
        let slack = match due > start {
            true => due.since(start),
            false => return least,
        };
        let multiples = (1..=CHUNK_MULTIPLE_MAX / CHUNK).map(|n| n * CHUNK);
        let sizes: Vec<u32> =
            multiples.filter(|&size| size < most).chain([most.max(least)]).collect();
        let fits = |&size: &u32| {
            let mut forming = Forming::new(step.all_decodes());
            let mut left = size;
            for one in prompts {
                let tokens = one.view.prefill_left().min(left);
                if tokens == 0 {
                    break;
                }
                forming.add(&one.view, tokens);
                left -= tokens;
            }
            share(forming.time(step), self.given.margin) <= slack
        };
        let fitting = sizes.partition_point(fits);
        fitting.checked_sub(1).map_or(least, |place| sizes[place])
    }
}

impl Scheduler for QoServe {
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

    fn schedule(&mut self, step: &mut Step<'_>) {
        self.learn(step);
        decode(step, |step, request| {
            let view = step.view(request);
            (view.arrival, view.id)
        });
        let prompts = self.order(step);
        if prompts.is_empty() {
            return step.repeats(step.blocks_to_grow());
        }
        let chunk = self.chunk(step, &prompts);
        let mut left = chunk;
        let limits = (self.given.max_num_seqs, self.reserve);
        let mut why = None;
        for one in &prompts {
            if one.key.0 {
                step.hold_request(one.request, Held::Relegated);
            }
            let tokens = one.view.prefill_left().min(left);
            // Those behind who hold their blocks go on; nobody overtakes into a seat.
            if why.is_some() && (left == 0 || !is_begun(&one.view)) {
                continue;
            }
            let held = match tokens {
                0 => Err(Held::NoTokenBudget),
                _ => compute(step, (one.request, &one.view), tokens, limits),
            };
            match held {
                Ok(()) => left -= tokens,
                Err(reason) => why = why.or(Some(reason)),
            }
        }
        if let Some(reason) = why {
            step.hold(reason);
        }
        if left < chunk {
            self.planned.push_back(chunk - left);
        }
    }
}
