//! Every registered policy on random loads in scarce memory: the fast path, the reference path and
//! the policy's promises must agree, everybody ends, and the replica's invariants hold.

use crate::random::{seeds, small};
use metron_sim::request::RequestId;
use metron_sim::scheduler::{EngineInfo, KvGroups, SchedulerConfig, WindowGroups};
use metron_sim::sim::{Replay, ReplayRequest, StepRecord};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

struct Case {
    config: SchedulerConfig,
    engine: EngineInfo,
    load: Vec<ReplayRequest>,
}

impl Case {
    /// Prompts and outputs of at most 64 tokens together, in memory for one such request and little
    /// more.
    fn draw(name: &str, seed: u64) -> Case {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let (config, engine) = small(name, &mut rng);
        let mut arrival_step = 0;
        let gap = rng.random_range(1..=12);
        // Short prompts with long outputs are what exhausts memory.
        let prompt_max = if rng.random_bool(0.5) { 8 } else { 40 };
        let exact = rng.random_bool(0.5);
        let load = (0..rng.random_range(1..=25)).map(|_| {
            arrival_step += rng.random_range(0..=gap);
            let prompt_tokens = rng.random_range(1..=prompt_max);
            let max_tokens = rng.random_range(1..=63 - prompt_max);
            let group = rng.random_range(1..=2_u64);
            let blocks = u64::from(prompt_tokens / engine.kv_block_tokens);
            ReplayRequest {
                arrival_step,
                prompt_tokens,
                output_tokens: if exact { max_tokens } else { rng.random_range(1..=max_tokens) },
                max_tokens,
                priority: rng.random_range(0..=1),
                block_ids: (0..rng.random_range(0..=blocks)).map(|k| 100 * group + k).collect(),
                parent: None,
                ids_cover: None,
                ..ReplayRequest::default()
            }
        });
        let load = load.collect();
        Case { config, engine, load }
    }

    /// The same where requests go on from others, often before these have ended, and where content
    /// ids go beyond prompts.
    fn draw_with_turns(name: &str, seed: u64) -> Case {
        let mut case = Case::draw(name, seed);
        case.engine.prefix_caching = true;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        for place in 0..case.load.len() {
            let request = &case.load[place];
            let tokens = request.prompt_tokens + request.output_tokens;
            match rng.random_range(0..4) {
                0 if place > 0 => {
                    let parent = rng.random_range(0..place);
                    let said = &case.load[parent];
                    let most = request.prompt_tokens.min(said.prompt_tokens + said.output_tokens);
                    case.load[place].parent = Some((parent, rng.random_range(1..=most)));
                }
                1 => {
                    let blocks = u64::from(tokens / case.engine.kv_block_tokens);
                    case.load[place].block_ids = (0..blocks).collect();
                }
                _ => {}
            }
        }
        case
    }

    /// The same with several groups of layers, and as much more memory.
    fn draw_with_groups(name: &str, seed: u64) -> Case {
        let mut case = Case::draw(name, seed);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let groups = loop {
            let mut window = || WindowGroups {
                tokens: rng.random_range(1..=24),
                count: rng.random_range(0..=2),
            };
            let windows = [window(), window()];
            let (full, states) = (rng.random_range(0..=2), rng.random_range(0..=2));
            if let Some(groups) = KvGroups::new(full, &windows, states) {
                break groups;
            }
        };
        let engine = &mut case.engine;
        engine.kv_groups = groups;
        // Room for the longest request where nothing of it is given back, as before.
        engine.kv_blocks = engine.kv_blocks * groups.growing().max(1) + 3 * groups.states();
        case
    }

    fn play(&self, ahead: bool, reference: bool, skipping: bool) -> Vec<StepRecord> {
        let replay = Replay::new(
            self.config.build(&self.engine),
            &self.engine,
            self.load.clone(),
            reference,
        );
        let replay = replay.turning_away(&self.engine);
        let replay = if skipping { replay.skipping() } else { replay };
        let replay = if ahead { replay.planned_ahead() } else { replay };
        let played: Vec<StepRecord> = replay.take(20_000).collect();
        assert!(played.len() < 20_000 || self.goes_round(&played), "it does not end");
        played
    }

    /// SGLang throws away the token in flight of whom it preempts for its seat, so that two requests of
    /// near priorities can take turns for ever; a simulation ends with an error there.
    fn goes_round(&self, played: &[StepRecord]) -> bool {
        let preempts = |record: &StepRecord| !record.preempted.is_empty();
        let rounds = played.iter().rev().take(10_000);
        self.config.name() == "sglang" && rounds.filter(|record| preempts(record)).count() == 10_000
    }

    /// Everybody ends, and all paths agree. Returns the number of preemptions.
    fn check(&self, ahead: bool) -> u64 {
        let reference = self.play(ahead, true, false);
        if self.goes_round(&reference) {
            return 0;
        }
        let mut ended: Vec<RequestId> = reference.iter().flat_map(|r| r.finished.clone()).collect();
        let dropped: Vec<RequestId> = reference.iter().flat_map(|r| r.dropped.clone()).collect();
        let drops = self.config.facts(&self.engine).drops;
        assert!(dropped.is_empty() || drops, "dropped {dropped:?}");
        ended.extend(dropped);
        ended.extend(reference.iter().flat_map(|r| r.rejected.clone()));
        ended.sort_unstable();
        assert!(
            ended.iter().copied().eq((0..self.load.len()).map(RequestId::at)),
            "ended: {ended:?}"
        );
        // A step with nothing in it, nobody's last token on its way, is what the engine calls stuck.
        let stuck = |r: &StepRecord| {
            let nothing = r.scheduled.is_empty() && r.dropped.is_empty() && !r.turns_empty;
            nothing && r.waiting + r.running > 0
        };
        assert!(ahead || !reference.iter().any(stuck), "stuck");
        for skipping in [false, true] {
            let fast = self.play(ahead, false, skipping);
            for (fast, reference) in fast.iter().zip(&reference) {
                assert_eq!(
                    essence(fast),
                    essence(reference),
                    "ahead: {ahead}, skipping: {skipping}"
                );
            }
            assert_eq!(fast.len(), reference.len());
        }
        reference.iter().map(|record| record.preempted.len() as u64).sum()
    }
}

/// What both paths must agree on: the fast one does not list decodes one by one.
fn essence(record: &StepRecord) -> impl PartialEq + std::fmt::Debug {
    let chunks = record.scheduled.iter().filter(|s| s.prefill);
    let chunks: Vec<_> = chunks.map(|s| (s.request, s.tokens, s.computed_before)).collect();
    let mut finished = record.finished.clone();
    finished.sort_unstable();
    (
        (record.step, chunks, record.decodes),
        (record.preempted.clone(), record.dropped.clone(), record.rejected.clone(), finished),
        (record.free_blocks, record.waiting, record.running, record.prefilling),
        (record.held, record.head),
    )
}

fn check(case: &Case) -> u64 {
    let mut preemptions = case.check(false);
    if case.config.build(&case.engine).needs().plans_ahead {
        preemptions += case.check(true);
    }
    preemptions
}

/// Set `METRON_SEED` to play one seed again.
#[test]
fn all_policies_agree_with_their_reference_path_on_random_loads() {
    agree(1000, Case::draw);
}

/// Likewise where models have sliding windows and states.
#[test]
fn all_policies_agree_with_several_groups_of_layers() {
    agree(500, Case::draw_with_groups);
}

/// Likewise where prompts begin with other requests' prompts and answers.
#[test]
fn all_policies_agree_where_requests_go_on_from_others() {
    agree(500, Case::draw_with_turns);
}

/// What many more seeds have found.
#[test]
fn policies_agree_where_they_once_did_not() {
    for (name, seed, draw) in [
        // A paused request stood in the queue before one that had arrived earlier.
        ("tensorrt-llm", 15_196, Case::draw as fn(&str, u64) -> Case),
        // The head waited for tokens, and one behind it for blocks that windows gave back.
        ("tensorrt-llm", 1230, Case::draw_with_groups),
        ("tensorrt-llm", 8956, Case::draw_with_groups),
        // A turn with nothing in it had taken the only seat from somebody.
        ("sglang", 2031, Case::draw),
        ("sglang", 7805, Case::draw),
        ("sglang", 14_138, Case::draw),
        // A step planned ahead had no decode in it: what they had computed was known at the next.
        ("vllm-v1", 11_679, Case::draw_with_groups),
        // Decodes took blocks of what the head would have found in two groups, so that it fitted.
        ("vllm-v1", 40_561, Case::draw_with_groups),
        ("vllm-v1", 49_271, Case::draw_with_groups),
    ] {
        check(&draw(name, seed));
    }
}

fn agree(count: u64, draw: impl Fn(&str, u64) -> Case + std::panic::RefUnwindSafe) {
    let seeds = seeds(count);
    for name in SchedulerConfig::names() {
        let mut preemptions = 0;
        for seed in seeds.clone() {
            let checked = std::panic::catch_unwind(|| check(&draw(name, seed)));
            preemptions += checked.unwrap_or_else(|_| panic!("{name}: METRON_SEED={seed}"));
        }
        println!("{name}: {} cases, {preemptions} preemptions", seeds.end - seeds.start);
    }
}
