//! Tiers behind KV blocks.

use super::check::Check;
use super::fleet::Built;
use super::owner::Owner;
use crate::cost::{Parallelism, Pricing};
use crate::fleet::LoadOverlap;
use crate::kv::KvGroups;
use crate::scenario::experiment::{SchedulerRun, TierPath, Tiers};
use crate::scenario::raw::{self, KvTier, LoadsOverlap, PoolRole, RecomputeLoads, TierScope};
use crate::scheduler::SchedulerConfig;
use crate::time::Span;
use crate::units::{Bytes, Duration};

/// The least that a tier carries, bytes a second.
const BANDWIDTH_MIN: u64 = 1_000_000;

const EXAMPLE: &str =
    "such as `kv_tiers: [{name: host, capacity: 256GiB, read_bandwidth: 50GB/s}]`";

/// What of an engine decides about its tiers.
pub(super) struct Behind<'a> {
    pub pricing: Option<&'a Pricing>,
    pub parallelism: Parallelism,
    pub groups: KvGroups,
    pub block_tokens: u32,
}

/// The tiers that an engine has, and the same as a scenario has them with every default filled in; nothing
/// where there are none, or something is wrong (and reported).
pub(super) fn tiers(
    check: &mut Check<'_>,
    owner: &Owner,
    given: &raw::Engine,
    behind: &Behind<'_>,
) -> (Option<Tiers>, Option<Vec<KvTier>>, Option<raw::KvLoad>) {
    let path = owner.path(check, &["engine", "kv_tiers"]);
    let Some(list) = &given.kv_tiers else {
        if given.kv_load.is_some() {
            let place = owner.path(check, &["engine", "kv_load"]);
            let message = "there is no tier to bring KV from: `kv_tiers` is missing";
            check.report(&place, message, EXAMPLE);
        }
        return (None, None, None);
    };
    let before = check.problems.len();
    if list.is_empty() {
        check.nothing_in(&path, &[], "expected at least one tier, found none", EXAMPLE);
    }
    if list.len() > 2 {
        let place = check.element(&path, 2);
        let message = "more than two tiers are not modelled: the host's memory, and one below it";
        check.report(&place, message, "leave it out");
    }
    if !behind.groups.is_one() {
        let message = format!(
            "tiers are not modelled for KV in groups of layers ({}), which the model has",
            behind.groups
        );
        check.report(&path, message, "leave them out, or take a model whose layers are all alike");
    }
    if given.prefix_caching == Some(false) {
        let place = owner.path(check, &["engine", "prefix_caching"]);
        let message = "KV is found in tiers by its content, and `prefix_caching` is off";
        check.report(&place, message, "leave `prefix_caching` out, or `kv_tiers`");
    }
    let mut filled = Vec::new();
    for (i, tier) in list.iter().enumerate() {
        let place = check.element(&path, i);
        filled.push(one(check, &place, tier, i));
    }
    if let [first, second, ..] = &list[..]
        && let (Some(one), Some(other)) = (first.read_bandwidth, second.read_bandwidth)
        && other.0 > one.0.saturating_mul(behind.parallelism.tensor.into())
    {
        check.warnings.push(format!(
            "{path}: the second tier is faster than the first, through which all goes"
        ));
    }
    let load_path = owner.path(check, &["engine", "kv_load"]);
    let load = given.kv_load.unwrap_or_default();
    let chunk_blocks = load.chunk_blocks.unwrap_or(1);
    let chunk_blocks = check.whole(&load_path.key("chunk_blocks"), chunk_blocks, 1, 1 << 16);
    let bytes = load.bytes_per_token.map(|bytes| bytes.0).or_else(|| bytes_per_token(behind));
    let Some(bytes_per_token) = bytes.filter(|&bytes| bytes > 0) else {
        let message = "the KV of a token has no known size: no model is priced";
        let help = "give `engine: {kv_load: {bytes_per_token: 128KiB}}`";
        check.report(&load_path.key("bytes_per_token"), message, help);
        return (None, None, None);
    };
    let block_bytes = bytes_per_token.saturating_mul(behind.block_tokens.into());
    let chunk_bytes = block_bytes.saturating_mul(chunk_blocks.into());
    let chunks = |tier: &KvTier| {
        let capacity = tier.capacity.map_or(0, |bytes| bytes.0);
        u32::try_from(capacity / chunk_bytes).unwrap_or(u32::MAX)
    };
    for (i, tier) in filled.iter().enumerate() {
        if chunks(tier) == 0 && tier.capacity.is_some() {
            let place = check.element(&path, i).key("capacity");
            let message = format!("it holds no KV: a chunk takes {}", Bytes(chunk_bytes));
            check.report(&place, message, EXAMPLE);
        }
    }
    let overlap = match load.overlap.unwrap_or_default() {
        LoadsOverlap::Steps => LoadOverlap::Steps,
        LoadsOverlap::Nothing => LoadOverlap::Nothing,
        LoadsOverlap::Layers => {
            let layers = behind.pricing.map(|pricing| pricing.model.layers());
            if layers.is_none() {
                let message = "no model is priced: what its layers take is not known";
                let help = "give `overlap: nothing` or `overlap: steps`, or a profile that prices the model";
                check.report(&load_path.key("overlap"), message, help);
            }
            LoadOverlap::Layers(layers.unwrap_or(1))
        }
    };
    if check.problems.len() > before {
        return (None, None, None);
    }
    let gpus = u64::from(behind.parallelism.tensor);
    let path_of = |tier: &KvTier, paths: u64| TierPath {
        name: tier.name.clone().unwrap_or_default(),
        chunks: chunks(tier),
        read_bytes_per_s: tier.read_bandwidth.map_or(1, |one| one.0).saturating_mul(paths),
        write_bytes_per_s: tier.write_bandwidth.map_or(1, |one| one.0).saturating_mul(paths),
        latency: tier.latency.map_or(Span::ZERO, |one| one.0),
    };
    let load = raw::KvLoad {
        min_tokens: Some(load.min_tokens.unwrap_or(0)),
        recompute: Some(load.recompute.unwrap_or_default()),
        prompt_only: Some(load.prompt_only.unwrap_or(true)),
        store_threshold: Some(load.store_threshold.unwrap_or(0)),
        chunk_blocks: Some(chunk_blocks),
        overlap: Some(load.overlap.unwrap_or_default()),
        ..load
    };
    let tiers = Tiers {
        host: path_of(&filled[0], gpus),
        below: filled.get(1).map(|tier| path_of(tier, 1)),
        below_is_shared: filled.get(1).is_some_and(|one| one.scope == Some(TierScope::Cluster)),
        block_bytes,
        chunk_blocks,
        min_tokens: load.min_tokens.unwrap_or(0),
        recomputes_if_faster: load.recompute == Some(RecomputeLoads::IfFaster),
        prompt_only: load.prompt_only.unwrap_or(true),
        store_threshold: load.store_threshold.unwrap_or(0),
        overlap,
    };
    (Some(tiers), Some(filled), Some(load))
}

/// A tier with every default filled in.
fn one(check: &mut Check<'_>, place: &crate::yaml::Path, tier: &KvTier, i: usize) -> KvTier {
    let name = tier.name.clone().unwrap_or_else(|| ["host", "below"][i.min(1)].to_owned());
    if name.trim().is_empty() {
        check.report(&place.key("name"), "expected a name, found an empty text", "");
    }
    if tier.capacity.is_none() {
        let message = "how much KV does it hold? `capacity` is missing";
        check.missing(place, &["capacity"], message, EXAMPLE);
    }
    if tier.read_bandwidth.is_none() {
        let message = "how fast is it? `read_bandwidth` is missing";
        check.missing(place, &["read_bandwidth"], message, EXAMPLE);
    }
    for (key, given) in
        [("read_bandwidth", tier.read_bandwidth), ("write_bandwidth", tier.write_bandwidth)]
    {
        if let Some(given) = given.filter(|given| given.0 < BANDWIDTH_MIN) {
            check.expected(&place.key(key), "at least 1MB/s", given);
        }
    }
    let latency = tier.latency.unwrap_or(Duration(Span::ZERO));
    check.time(&place.key("latency"), latency);
    let scope = tier.scope.unwrap_or_default();
    if i == 0 && scope == TierScope::Cluster {
        let message = "the first tier is the host's own memory, which others do not share";
        let help = "give a store to all as the second: `kv_tiers: [{name: host, ...}, {name: store, scope: cluster, ...}]`";
        check.report(&place.key("scope"), message, help);
    }
    let write = tier.write_bandwidth.or(tier.read_bandwidth);
    KvTier {
        name: Some(name),
        write_bandwidth: write,
        latency: Some(latency),
        scope: Some(scope),
        ..tier.clone()
    }
}

/// Bytes of a token's KV on all GPUs of a replica.
fn bytes_per_token(behind: &Behind<'_>) -> Option<u64> {
    let block = behind.pricing?.kv_block_bytes(behind.block_tokens).ok()?;
    Some(block / u64::from(behind.block_tokens))
}

/// Refuses schedulers and replicas behind whose blocks no tier is modelled.
pub(super) fn can_have_tiers(check: &mut Check<'_>, runs: &[SchedulerRun], fleet: &[Built]) {
    for pool in fleet.iter().filter(|pool| pool.engine.limits.tiers.is_some()) {
        let path = pool.owner.path(check, &["engine", "kv_tiers"]);
        never_of_use(check, pool);
        let has =
            |config: &SchedulerConfig| config.build(&pool.engine.info(config)).needs().transfers;
        for run in runs {
            if !has(&run.config) {
                let able: Vec<&str> = SchedulerConfig::all()
                    .filter(|config| has(config))
                    .map(|config| config.name())
                    .collect();
                let message = format!(
                    "{} has no tiers behind its KV blocks here; those that have: {}",
                    run.name,
                    able.join(", ")
                );
                check.report(&path, message, "leave them out, or the scheduler");
            } else if !pool.engine.limits.prefix_caching(&run.config) {
                let message = format!(
                    "KV is found in tiers by its content, and {} keeps no prefixes here",
                    run.label
                );
                check.report(&path, message, "give `engine: {prefix_caching: true}`");
            }
        }
        let why = if pool.engine.stages > 1 {
            "pipeline stages"
        } else if pool.engine.hardware.lockstep() > 1 {
            "data-parallel ranks that wait for each other"
        } else if pool.role() != PoolRole::Both {
            "prefill and decode apart"
        } else {
            continue;
        };
        check.report(&path, format!("tiers are not modelled with {why}"), "leave them out");
    }
}

/// Warns of tiers that no request is long enough for.
fn never_of_use(check: &mut Check<'_>, pool: &Built) {
    let limits = &pool.engine.limits;
    let Some(tiers) = limits.tiers.as_deref() else { return };
    let longest = limits.max_model_len;
    let chunk = u64::from(tiers.chunk_blocks) * u64::from(limits.kv_block_tokens);
    let field = |key: &str| pool.owner.field(check, &["engine", "kv_load", key]);
    let why = if chunk > longest.into() {
        format!("{}: a chunk is {chunk} tokens", field("chunk_blocks"))
    } else if tiers.min_tokens > longest {
        format!("{}: it is {} tokens", field("min_tokens"), tiers.min_tokens)
    } else {
        return;
    };
    check
        .warnings
        .push(format!("{why}, and `max_model_len` is {longest}: nothing is ever brought"));
}
