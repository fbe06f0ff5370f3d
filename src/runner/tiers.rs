//! Tiers behind KV blocks: as the simulator takes them, and what a run says of them.

use std::sync::Arc;

use crate::cost::{BatchShape, Chunk, CostModel, Decodes};
use crate::fleet::{CopyPath, KvTiers, TierBelow};
use crate::kv::host_tier::{AgainstComputing, HostTierRules, LoadTime, Worth};
use crate::metrics::distribution_of_nanos;
use crate::result::{KvTiersResult, TierResult};
use crate::scenario::{Experiment, PoolView, TierPath, Tiers};
use crate::sim::{Outcome, PathUse, TierUse};
use crate::time::Time;

/// Tokens of a chunk in which a prompt alone is taken to be computed: vLLM's budget on small GPUs, and
/// enough to fill any.
const CHUNK: u32 = 2048;

/// The tiers of a pool's replicas, where they have any.
pub(super) fn tiers_of(pool: &PoolView<'_>) -> Option<KvTiers> {
    let tiers = pool.engine.tiers.as_deref()?;
    let drafts = pool.engine.speculative.as_ref();
    let path = |tier: &TierPath| CopyPath {
        read_bytes_per_s: tier.read_bytes_per_s as f64,
        write_bytes_per_s: tier.write_bytes_per_s as f64,
        latency: tier.latency,
    };
    let rules = HostTierRules {
        block_tokens: pool.engine.kv_block_tokens,
        chunk_blocks: tiers.chunk_blocks,
        capacity: tiers.host.chunks,
        prompt_only: tiers.prompt_only,
        store_threshold: tiers.store_threshold,
        key_lookahead: drafts.map_or(0, |drafts| drafts.rules.hash_lookahead()),
    };
    let against = tiers.recomputes_if_faster.then(|| Arc::new(against(pool, tiers)));
    Some(KvTiers {
        rules,
        worth: Worth { min_tokens: tiers.min_tokens, against },
        block_bytes: tiers.block_bytes,
        host: path(&tiers.host),
        below: tiers.below.as_ref().map(|below| TierBelow {
            capacity: below.chunks,
            path: path(below),
            is_shared: tiers.below_is_shared,
        }),
        overlap: tiers.overlap,
    })
}

/// What loads of a pool's replicas are compared with.
fn against(pool: &PoolView<'_>, tiers: &Tiers) -> AgainstComputing {
    let token_bytes = tiers.block_bytes as f64 / f64::from(pool.engine.kv_block_tokens);
    let time = |tier: &TierPath| LoadTime {
        latency_ns: tier.latency.as_nanos() as f64,
        token_ns: token_bytes / tier.read_bytes_per_s as f64 * 1e9,
    };
    AgainstComputing {
        prefill_ns: prefill_ns(pool.cost.as_ref(), pool.engine.max_model_len),
        every: CHUNK,
        host: time(&tiers.host),
        below: tiers.below.as_ref().map(time).unwrap_or_default(),
    }
}

/// Nanoseconds that a prompt's chunks take alone, summed up.
fn prefill_ns(cost: &dyn CostModel, longest: u32) -> Vec<u64> {
    let mut all = vec![0];
    for n in 0..longest.div_ceil(CHUNK) {
        let chunk = [Chunk { context: n * CHUNK, tokens: CHUNK }];
        let time = cost.time(&BatchShape::new(&chunk, Decodes::NONE, 0));
        let before = all.last().copied().unwrap_or(0);
        all.push(before + (time.gpu + time.host).as_nanos());
    }
    all
}

/// What a run's loads say; `None` where no replica has tiers.
pub(super) fn kv_tiers(experiment: &Experiment, outcome: &Outcome) -> Option<KvTiersResult> {
    let fleet = experiment.fleet();
    let tiered = |pool: &&PoolView<'_>| pool.engine.tiers.is_some();
    let first = fleet.iter().find(tiered)?;
    let names = first.engine.tiers.as_deref()?;
    let compared: Vec<Option<AgainstComputing>> =
        fleet.iter().map(|pool| Some(against(pool, pool.engine.tiers.as_deref()?))).collect();
    let (trace, loads) = (&outcome.trace, &outcome.trace.kv_loads);
    let (mut took, mut computing_ns, mut bytes) = (Vec::new(), 0.0, 0.0);
    for load in loads.iter().filter(|load| load.landed <= trace.end && load.tokens > 0) {
        took.push(load.landed.since(load.begun).as_nanos());
        let pool = trace.lanes.get(load.lane.index()).map_or(0, |lane| lane.pool.index());
        if let Some(against) = compared.get(pool).and_then(Option::as_ref) {
            let upto = load.context + load.tokens;
            computing_ns += against.prefill_ns(upto) - against.prefill_ns(load.context);
        }
        bytes += load.bytes as f64;
    }
    let loading_s = took.iter().map(|&ns| ns as f64 / 1e9).fold(0.0, |all, one| all + one);
    let computing_s = computing_ns / 1e9;
    let begun = trace.requests.first().map_or(Time::ZERO, |row| row.arrival);
    let elapsed_s = trace.end.max(begun).since(begun).as_secs_f64();
    let replicas: u32 = fleet.iter().filter(tiered).map(|pool| pool.replicas).sum();
    let mut uses = TierUse::default();
    for pool in &outcome.pools {
        uses.add(pool.tiers);
    }
    let busy = |ns: u64| {
        let all = elapsed_s * f64::from(replicas.max(1));
        if all > 0.0 { (ns as f64 / 1e9 / all).min(1.0) } else { 0.0 }
    };
    let tier = |(tier, uses): (&TierPath, PathUse)| TierResult {
        name: tier.name.clone(),
        read_bytes: uses.read_bytes,
        written_bytes: uses.written_bytes,
        read_busy: busy(uses.read_busy.as_nanos()),
        write_busy: busy(uses.write_busy.as_nanos()),
    };
    let paths = [uses.host, uses.below];
    let tiers = std::iter::once(&names.host).chain(&names.below).zip(paths).map(tier).collect();
    Some(KvTiersResult {
        prompt_tokens: trace.requests.iter().map(|row| u64::from(row.prompt_tokens)).sum(),
        loads: loads.len() as u64,
        tokens: loads.iter().map(|load| u64::from(load.tokens)).sum(),
        from_below_tokens: loads.iter().map(|load| u64::from(load.from_below)).sum(),
        load_s: distribution_of_nanos(&mut took),
        computing_s,
        loading_s,
        steps_longer_s: uses.delayed.as_secs_f64(),
        break_even_bytes_per_s: (computing_s > 0.0).then(|| bytes / computing_s),
        tiers,
    })
}
