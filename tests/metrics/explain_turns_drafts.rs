//! Lanes that are turns of one running list, and drafts: small systems with numbers worked out by hand.
//!
//! A stage takes a millisecond a token that it computes, drafts among them, and the host one before a
//! batch begins. Drafting takes 0.4 ms a draft.

use std::sync::Arc;

use crate::alike::{Setup, play};
use crate::explain_known::us;
use crate::small::{ENGINE, workload};
use metron_sim::cost::{BatchShape, CostModel, DraftShape, IterationTime, Parts};
use metron_sim::explain::{Blame, Cause, Gap, Index, culprits, victims};
use metron_sim::fleet::Routing;
use metron_sim::ids::ClassId;
use metron_sim::replica::Accepts;
use metron_sim::request::{Request, RequestId};
use metron_sim::runner::recording_of_alike;
use metron_sim::scheduler::{EngineInfo, SchedulerConfig};
use metron_sim::sim::{Outcome, SimOptions};
use metron_sim::speculative::{DraftRules, Method};
use metron_sim::time::Span;

struct PerToken {
    stages: u32,
    host: Span,
}

impl PerToken {
    fn stage(shape: &BatchShape<'_>) -> Span {
        let tokens: u32 = shape.chunks().iter().map(|chunk| chunk.tokens).sum();
        Span::from_millis(u64::from(tokens + shape.decodes().tokens()))
    }
}

impl CostModel for PerToken {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        let gpu = PerToken::stage(shape).as_nanos() * u64::from(self.stages);
        IterationTime { gpu: Span::from_nanos(gpu), host: self.host }
    }

    fn draft_time(&self, draft: &DraftShape<'_>) -> IterationTime {
        let us = 400 * u64::from(draft.tokens * draft.requests);
        IterationTime { gpu: Span::from_micros(us), host: Span::ZERO }
    }

    fn parts(&self, shape: &BatchShape<'_>) -> Parts {
        Parts {
            layers_us: PerToken::stage(shape).as_nanos() as f64 / 1e3 * f64::from(self.stages),
            host_us: self.host.as_nanos() as f64 / 1e3,
            ..Parts::default()
        }
    }

    fn stages(&self) -> u32 {
        self.stages
    }

    fn stage_time(&self, shape: &BatchShape<'_>, stage: u32) -> IterationTime {
        let host = if stage == 0 { self.host } else { Span::ZERO };
        IterationTime { gpu: PerToken::stage(shape), host }
    }
}

/// Accepts so many drafts of each request, whatever their round.
#[derive(Debug)]
struct Always(u32);

impl Accepts for Always {
    fn accepted(&self, _: RequestId, _: ClassId, _: u32, _: u32, drafts: u32) -> u32 {
        self.0.min(drafts)
    }
}

struct System {
    cost: PerToken,
    engine: EngineInfo,
    ahead: bool,
    config: SchedulerConfig,
    luck: Option<Arc<dyn Accepts>>,
}

impl System {
    fn new(stages: u32, host_ms: u64, ahead: bool, scheduler: &str) -> System {
        System {
            cost: PerToken { stages, host: Span::from_millis(host_ms) },
            engine: ENGINE,
            ahead,
            config: serde_json::from_str(scheduler).expect("a scheduler"),
            luck: None,
        }
    }

    fn drafting(self, tokens: u32, accepted: u32) -> System {
        let rules = DraftRules {
            method: Method::Eagle,
            tokens,
            off_above_running: None,
            by_batch_size: None,
        };
        let engine = EngineInfo { speculative: Some(rules), ..self.engine };
        System { engine, luck: Some(Arc::new(Always(accepted))), ..self }
    }

    fn play(&self, requests: Vec<Request>) -> Outcome {
        let setup = Setup {
            luck: self.luck.as_ref(),
            cost: &self.cost,
            engine: self.engine,
            replicas: 1,
            routing: Routing::default(),
            async_scheduling: self.ahead,
            horizon: None,
        };
        let make = || self.config.build(&self.engine);
        let workload = workload(requests);
        let run = |reference| {
            let options = SimOptions { reference, keep_log: true, ..SimOptions::default() };
            play(&setup, &make, &mut workload.arriving(), options).expect("nobody is stuck")
        };
        let (fast, slow) = (run(false), run(true));
        assert_eq!(fast, slow, "both paths give the same");
        fast
    }

    fn index<'a>(&'a self, outcome: &'a Outcome) -> Index<'a> {
        let needs = self.config.build(&self.engine).needs();
        Index::new(recording_of_alike(outcome, &self.cost, &self.engine, &needs, self.ahead))
    }
}

fn request(arrival_ms: u64, prompt_tokens: u32, output_tokens: u32) -> Request {
    crate::small::request(Span::from_millis(arrival_ms), prompt_tokens, output_tokens)
}

fn ms(gap: &Gap) -> (f64, f64) {
    (gap.from.as_nanos() as f64 / 1e6, gap.to.as_nanos() as f64 / 1e6)
}

/// One request in two stages, not ahead. Its batch passes them, the next turn plans none, and when the
/// batch is over the engine sleeps a millisecond before it plans the next.
#[test]
fn the_engine_sleeps_after_a_turn_without_a_batch() {
    let system = System::new(2, 1, false, r#"{"vllm-v1": {}}"#);
    let outcome = system.play(vec![request(0, 4, 3)]);
    let index = system.index(&outcome);
    let gaps = index.gaps(RequestId(0));
    assert_eq!(gaps.iter().map(ms).collect::<Vec<_>>(), [(0.0, 9.0), (9.0, 13.0), (13.0, 17.0)]);
    assert_eq!(us(&gaps[0].split), [(Cause::Own, 8_000), (Cause::Host, 1_000)]);
    // A millisecond asleep, one of planning.
    assert_eq!(us(&gaps[1].split), [(Cause::Own, 2_000), (Cause::Host, 2_000)]);
}

/// A prompt of 8 tokens in chunks of 4: the second is in stage 0 while the first is in stage 1, and
/// half of it is told already.
#[test]
fn chunks_that_overlap_in_the_pipeline_are_told_once() {
    let system = System::new(2, 0, false, r#"{"vllm-v1": {"max_num_batched_tokens": 4}}"#);
    let outcome = system.play(vec![request(0, 8, 1)]);
    let index = system.index(&outcome);
    let gaps = index.gaps(RequestId(0));
    // 0 to 8 ms and 4 to 12 ms.
    assert_eq!(ms(&gaps[0]), (0.0, 12.0));
    assert_eq!(us(&gaps[0].split), [(Cause::Own, 12_000)]);
    let lanes = outcome.log.as_deref().expect("kept");
    let chunks: Vec<usize> = lanes.iter().map(|log| log.chunks()).collect();
    assert_eq!(chunks, [1, 1], "a chunk in each lane");
}

/// A request decodes in lane 0 when another's prompt of 6 tokens goes through lane 1.
#[test]
fn a_prompt_in_another_lane_delays_the_decodes_of_this_one() {
    let system = System::new(2, 0, true, r#"{"vllm-v1": {}}"#);
    let outcome = system.play(vec![request(0, 2, 6), request(6, 6, 1)]);
    let index = system.index(&outcome);
    let gaps = index.gaps(RequestId(0));
    let waited: u64 = gaps.iter().map(|gap| gap.split[Cause::PipelineBubble]).sum();
    let named: u64 = (0..6)
        .flat_map(|token| culprits(&index, RequestId(0), token))
        .inspect(|one| assert_eq!(one.request, RequestId(1)))
        .map(|one| one.ns)
        .sum();
    // The prompt is in stage 0 from 7 to 13 ms and in stage 1 until 19: the decode after the token at
    // 8 ms begins at 13 and ends at 20.
    assert_eq!((waited, named), (10_000_000, 10_000_000), "{gaps:?}");
    let blame = Blame::new(&index);
    assert_eq!(blame.given[1][Cause::PipelineBubble], named);
    let of = victims(&index, &blame, &[RequestId(1)]).remove(0);
    assert_eq!(of.delayed, [(RequestId(0), named)]);
}

/// Two drafts a step, one of them accepted: a step verifies 3 tokens and drafts two, 3.8 ms where a
/// plain one takes 1; of the 2.8 ms between, half was for nothing.
#[test]
fn half_of_the_drafts_are_rejected() {
    let system = System::new(1, 0, false, r#"{"vllm-v1": {}}"#).drafting(2, 1);
    let outcome = system.play(vec![request(0, 4, 5)]);
    let index = system.index(&outcome);
    let gaps = index.gaps(RequestId(0));
    // The prompt and two drafts until 4.8 ms; then two steps of two tokens each.
    let expected = [(0.0, 4.8), (4.8, 8.6), (8.6, 8.6), (8.6, 12.4), (12.4, 12.4)];
    assert_eq!(gaps.iter().map(ms).collect::<Vec<_>>(), expected);
    assert_eq!(us(&gaps[0].split), [(Cause::Own, 4_800)]);
    for step in [1, 3] {
        let parts = [(Cause::Own, 2_400), (Cause::DraftRejected, 1_400)];
        assert_eq!(us(&gaps[step].split), parts);
        assert_eq!(us(&gaps[step + 1].split), []);
    }
    assert_eq!(
        us(&index.totals().between_tokens),
        [(Cause::Own, 4_800), (Cause::DraftRejected, 2_800)]
    );
    let log = &outcome.log.as_deref().expect("kept")[0];
    let drafts: Vec<_> = log.iter().map(|i| (i.drafts.verified, i.drafts.accepted)).collect();
    assert_eq!(drafts, [(0, 0), (2, 1), (2, 1)]);
}

/// With all of them accepted nothing is lost.
#[test]
fn accepted_drafts_are_a_requests_own() {
    let system = System::new(1, 0, false, r#"{"vllm-v1": {}}"#).drafting(2, 2);
    let outcome = system.play(vec![request(0, 4, 4), request(0, 4, 4)]);
    let index = system.index(&outcome);
    let gap = index.gap(RequestId(0), 1).expect("a second token");
    // Six tokens and four drafts: 7.6 ms; a plain step of two takes 2, one alone 1.
    assert_eq!(us(&gap.split), [(Cause::Own, 6_600), (Cause::BatchGrowth, 1_000)]);
}
