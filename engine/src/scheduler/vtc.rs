//! Virtual token counter: the client that has got the least service comes first, so that nobody who asks
//! more gets more at others' cost.
//!
//! Rules from Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024, arXiv 2401.00588,
//! algorithm 2): a counter for each client grows by `prompt_weight` for each prompt token when a request
//! of it is admitted and by `output_weight` for each token of an answer; a client that comes back with
//! nothing waiting is lifted to the least counter of those that have requests waiting. On Sarathi's
//! iterations, so prompts are cut where a budget ends.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::Facts;
use super::out_of_turn::{budget_facts, compute, decode, decoding, is_begun, problems, prompts_by};
use super::parameters::{Evidence, Idle, Parameters, Problem, Setting};
use super::vllm_v0::watermark_blocks;
use super::{
    EngineInfo, Feature, Handle, Held, Needs, News, RequestView, Scheduler, Standing, Step,
};

/// Whose service is counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    /// That of a class of requests.
    #[default]
    Class,
    /// That of a conversation; a request without one is its class's.
    Session,
}

/// Parameters of `vtc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VtcParams {
    /// Tokens of an iteration, decodes included (decodes themselves are never cut).
    pub token_budget: u32,
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
    /// Share of the KV blocks that an admission must leave free.
    pub watermark: f64,
    /// Whose service is counted together: `class` or `session`.
    pub client: Client,
    /// Service of a prompt's token.
    pub prompt_weight: u32,
    /// Service of an answer's token.
    pub output_weight: u32,
}

impl Default for VtcParams {
    fn default() -> Self {
        VtcParams {
            token_budget: 512,
            max_num_seqs: 256,
            watermark: 0.01,
            client: Client::Class,
            prompt_weight: 1,
            output_weight: 2,
        }
    }
}

impl Parameters for VtcParams {
    const SYSTEM: &'static str = "VTC (OSDI 2024) on Sarathi's iterations";
    const SUMMARY: &'static str = "decodes first, prompts of the client with the least service";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::AsyncScheduling];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        let mut problems =
            problems(("token_budget", self.token_budget), self.max_num_seqs, self.watermark);
        let none = self.prompt_weight == 0 && self.output_weight == 0;
        problems.extend(Problem::when(
            none,
            "output_weight",
            "at least 1 beside a prompt_weight of 0",
        ));
        problems
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        let by_session = self.client == Client::Session;
        [
            Idle::watermark(self.watermark, &setting.engine),
            Idle::when(
                by_session && !setting.has_sessions,
                "client",
                "no request belongs to a session, and each counts as its class's",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        VtcParams {
            token_budget: draws.chunk(),
            max_num_seqs: draws.seats(),
            watermark: draws.share(),
            client: draws.one_of(&[Client::Class, Client::Session]),
            prompt_weight: draws.one_of(&[0, 1, 5]),
            output_weight: draws.one_of(&[1, 2, 100]),
        }
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(Vtc {
            reserve: watermark_blocks(self.watermark, engine.kv_blocks),
            given: self.clone(),
            counters: BTreeMap::new(),
            last: None,
            news: Vec::new(),
        })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        budget_facts(self.token_budget, self.max_num_seqs)
    }
}

/// A class, or a conversation where those count.
type ClientId = (Option<u32>, u16);

struct Vtc {
    given: VtcParams,
    reserve: u32,
    counters: BTreeMap<ClientId, Counter>,
    /// The client whose request left the queue last.
    last: Option<ClientId>,
    /// Whose requests have come since the last decision.
    news: Vec<ClientId>,
}

/// The service of a client.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    /// Of prompts, and of answers that have ended, or are counted apart.
    settled: u64,
    /// Requests that wait for their admission.
    waiting: u32,
    /// Of answers that go on, as counted last.
    answers: u64,
}

impl Counter {
    fn service(&self) -> u64 {
        self.settled.saturating_add(self.answers)
    }
}

impl Vtc {
    fn client(&self, standing: &Standing, view: &RequestView) -> ClientId {
        match (self.given.client, standing.session) {
            (Client::Session, Some(session)) => (Some(session), 0),
            _ => (None, view.class.0),
        }
    }

    fn counter(&mut self, client: ClientId) -> &mut Counter {
        self.counters.entry(client).or_default()
    }

    fn answer(&self, view: &RequestView) -> u64 {
        u64::from(self.given.output_weight) * u64::from(view.generated())
    }

    /// Counts the answers that go on.
    fn count(&mut self, step: &Step<'_>) {
        self.counters.values_mut().for_each(|counter| counter.answers = 0);
        for request in step.running().chain(step.waiting()) {
            let view = step.view(request);
            if view.generated() > 0 {
                let client = self.client(&step.standing(request), &view);
                let answer = self.answer(&view);
                self.counter(client).answers += answer;
            }
        }
    }

    /// Lifts those who come back with nothing waiting.
    fn lift(&mut self) {
        for client in std::mem::take(&mut self.news) {
            if self.counter(client).waiting == 0 {
                let active = self.counters.values().filter(|counter| counter.waiting > 0);
                let least = active.map(Counter::service).min();
                let of = |client: ClientId| self.counters.get(&client).map(Counter::service);
                let lift = least.or(self.last.and_then(of)).unwrap_or(0);
                let counter = self.counter(client);
                counter.settled += lift.saturating_sub(counter.service());
            }
            self.counter(client).waiting += 1;
        }
    }

    /// A prompt that was begun is lost: it is served when it is admitted again.
    fn lost(&mut self, standing: &Standing, view: &RequestView) {
        if view.generated() == 0 {
            let prompt = u64::from(self.given.prompt_weight) * u64::from(view.prompt_tokens);
            let client = self.client(standing, view);
            let counter = self.counter(client);
            counter.settled = counter.settled.saturating_sub(prompt);
            counter.waiting += 1;
        }
    }

    /// A request is admitted: its prompt is served.
    fn admitted(&mut self, client: ClientId, view: &RequestView) {
        // After a preemption it is served again, and was counted before.
        if view.generated() > 0 {
            return;
        }
        let prompt = u64::from(self.given.prompt_weight) * u64::from(view.prompt_tokens);
        let counter = self.counter(client);
        counter.settled = counter.settled.saturating_add(prompt);
        counter.waiting = counter.waiting.saturating_sub(1);
        self.last = Some(client);
    }
}

impl Scheduler for Vtc {
    fn needs(&self) -> Needs {
        Needs {
            deadlines: true,
            plans_ahead: true,
            one_lane: true,
            watermark_blocks: self.reserve,
            ..Needs::default()
        }
    }

    fn arrived(&mut self, news: &News) {
        // What answers have been served since the last decision is not counted yet.
        self.news.push(self.client(&news.standing, &news.view));
    }

    fn ended(&mut self, news: &News) {
        let client = self.client(&news.standing, &news.view);
        let answer = self.answer(&news.view);
        let counter = self.counter(client);
        counter.settled = counter.settled.saturating_add(answer);
        // Those that go on are counted anew at the next decision.
        counter.answers = counter.answers.saturating_sub(answer);
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        let gone = decode(step, |step, request| {
            let view = step.view(request);
            (view.arrival, view.id)
        });
        for request in gone {
            self.lost(&step.standing(request), &step.view(request));
        }
        self.count(step);
        self.lift();
        let all = prompts_by(step, |_, view| (!is_begun(view), view.arrival));
        if all.is_empty() {
            return step.repeats(step.blocks_to_grow());
        }
        let limits = (self.given.max_num_seqs, self.reserve);
        let mut left = self.given.token_budget.saturating_sub(decoding(step));
        let mut queues: BTreeMap<ClientId, Vec<(Handle, RequestView)>> = BTreeMap::new();
        for &(request, view) in all.iter().rev() {
            let client = self.client(&step.standing(request), &view);
            queues.entry(client).or_default().push((request, view));
        }
        // Who has begun goes on; then always the client with the least service.
        let begun = all.iter().filter(|(_, view)| is_begun(view)).count();
        for (place, &next) in all.iter().enumerate() {
            let (request, view) = match place < begun {
                true => next,
                false => {
                    let waits = |queue: &Vec<(Handle, RequestView)>| {
                        queue.last().is_some_and(|(_, view)| !is_begun(view))
                    };
                    let least = queues
                        .iter()
                        .filter(|(_, queue)| waits(queue))
                        .min_by_key(|(client, _)| self.counters[client].service());
                    *least.expect("somebody waits").1.last().expect("a request of it")
                }
            };
            let client = self.client(&step.standing(request), &view);
            let tokens = view.prefill_left().min(left);
            let held = match tokens {
                0 => Err(Held::NoTokenBudget),
                _ => compute(step, (request, &view), tokens, limits),
            };
            if let Err(reason) = held {
                return step.hold(reason);
            }
            left -= tokens;
            queues.get_mut(&client).expect("its client's").pop();
            if !is_begun(&view) {
                self.admitted(client, &view);
            }
        }
    }
}
