//! A verb that schedules many at once leaves a policy with the same view as naming each in turn.

use std::sync::{Arc, Mutex};

use metron_sim::scheduler::{EngineInfo, Held, Hit, KvGroups, Scheduler, Step, WindowGroups};
use metron_sim::sim::{Replay, ReplayRequest};

/// Decodes everybody, in bulk where it may, and writes down what it sees then.
struct Watches(Arc<Mutex<Vec<String>>>);

impl Scheduler for Watches {
    fn schedule(&mut self, step: &mut Step<'_>) {
        if step.may_decode_all() {
            step.decode_all();
        } else {
            for request in step.running().collect::<Vec<_>>() {
                if !step.view(request).is_prefilling() {
                    assert!(step.run(request, 1), "there is memory for all");
                }
            }
        }
        let views: Vec<_> = step.running().map(|request| step.view(request)).collect();
        let sees = (step.is_empty(), step.free_blocks(), step.running_len());
        self.0.lock().unwrap().push(format!("{sees:?} {views:?}"));
        let cut = step.prefilling().next();
        if let Some(cut) = cut {
            step.run(cut, step.view(cut).prefill_left());
        } else if let Some(request) = step.waiting_at(0) {
            let tokens = step.view(request).tokens.div_ceil(2);
            if !step.admit(request, tokens, 0, Hit::default()) {
                step.hold(Held::NoKvBlocks);
            }
        }
    }
}

#[test]
fn decoding_all_leaves_the_same_view_as_decoding_each() {
    same_views(KvGroups::ONE);
    // Windows narrower than a block, as wide as two, and odd ones.
    for tokens in [1, 3, 8, 13] {
        let window = WindowGroups { tokens, count: 2 };
        same_views(KvGroups::new(1, &[window], 1).unwrap());
    }
}

fn same_views(kv_groups: KvGroups) {
    let engine = EngineInfo {
        kv_block_tokens: 4,
        kv_blocks: 200,
        max_model_len: 64,
        prefix_caching: false,
        kv_groups,
        large_gpu: false,
        gpu_memory_gib: None,
    };
    let request = |k: u32| ReplayRequest {
        arrival_step: u64::from(3 * k),
        prompt_tokens: 2 + k,
        output_tokens: 1 + 7 * (k % 3),
        max_tokens: 20,
        ..ReplayRequest::default()
    };
    let load: Vec<ReplayRequest> = (0..9).map(request).collect();
    let seen = |reference| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let policy = Box::new(Watches(seen.clone()));
        let steps = Replay::new(policy, &engine, load.clone(), reference).count();
        assert!(steps > 20, "{steps} steps");
        let seen = seen.lock().unwrap();
        seen.clone()
    };
    let (fast, slow) = (seen(false), seen(true));
    // With nobody there to decode the batch stays empty.
    assert!(fast[0].starts_with("(true,"), "{}", fast[0]);
    assert!(fast.iter().any(|step| step.starts_with("(false,")));
    assert_eq!(fast, slow);
}
