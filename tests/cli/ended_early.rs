//! A run that is ended because its promise is broken for certain has the verdict of the whole run.

use metron_sim::runner::Simulator;
use metron_sim::scenario::{Document, Files};
use metron_sim::search::{Goal, Length, Load, Offered, Steps, Study, Watch};

/// Two classes with promises of their own, prefixes that are cached, memory that is short.
const SCENARIO: &str = "
schedulers: [vllm-v1, {vllm-v1: {max_num_seqs: 8}}, sarathi]
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 220, kv_block_tokens: 16, max_model_len: 1024}
workload:
  requests: 400
  arrivals: {poisson: {rate: 8}}
  lengths: {prompt: {uniform: {min: 20, max: 400}}, output: {uniform: {min: 2, max: 60}}}
  prefix_groups: {count: 3, tokens: 64}
  classes:
    - {name: chat, share: 0.7}
    - {name: batch, share: 0.3, slo: {ttft: 2s, tbt: 50ms, fluidity: {index: 0.9, share: 0.9}, bounds: {e2e: {p90: 4s}}}}
slo: {ttft: 300ms, tbt: 20ms, fluidity: {index: 0.9, share: 0.97}, bounds: {ttft: {p95: 400ms}, tpot: {p90: 18ms}}}
";

#[test]
fn the_verdict_is_that_of_the_whole_run() {
    let shorter = SCENARIO.replace("prefix_groups: {count: 3, tokens: 64}", "max_tokens: model");
    let users =
        SCENARIO.replace("poisson: {rate: 8}", "closed_loop: {users: 8, think_time: 500ms}");
    let (mut ended, mut held, mut all) = (0, 0, 0);
    for text in [SCENARIO, &shorter, &users] {
        let document = Document::from_text("s.yaml", text, Files::any("")).expect("YAML");
        for seed in 0..12 {
            let experiment = document.resolve(Some(seed)).expect("a scenario").experiment;
            let (goal, watch) = (Goal::default(), Watch::default());
            let (simulate, kept) = (&Simulator, None);
            let study = Study {
                experiment: &experiment,
                simulate,
                goal: &goal,
                kept,
                watch: &watch,
                at_once: 1,
            };
            for scheduler in &experiment.schedulers {
                for (replicas, times) in [(1, 1.0), (1, 3.0), (1, 8.0), (2, 6.0)] {
                    let size = Steps::of(&experiment, None).expect("fine").at(replicas);
                    let offered = match experiment.workload.users() {
                        Some(users) => Offered::Users((f64::from(users) * times) as u32),
                        None => Offered::Times(times),
                    };
                    let whole = Load::whole(offered, size, seed);
                    let until = Load { played: Length::UntilBroken, ..whole.clone() };
                    let play = |load: &Load| {
                        study.probe(scheduler, load).expect("plays").expect("no time runs out")
                    };
                    let (whole, until) = (play(&whole), play(&until));
                    assert_eq!(
                        whole.shows(),
                        until.shows(),
                        "{seed} {}: {until:?}",
                        scheduler.label
                    );
                    all += 1;
                    held += usize::from(whole.held());
                    let early = until.result.is_none();
                    ended += usize::from(early);
                    if early {
                        let path = until.broken[0].split(' ').next().expect("a path");
                        let named = |told: &String| told.starts_with(path);
                        assert!(whole.broken.iter().any(named), "{path}: {:?}", whole.broken);
                    }
                }
            }
        }
    }
    assert!(ended > all / 4 && held > all / 20, "{ended} ended, {held} held, of {all}");
}
