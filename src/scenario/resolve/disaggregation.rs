//! Prefill and decode on pools of their own.

use super::check::Check;
use super::fleet::Built;
use super::hardware::found;
use crate::catalog::{self, HandOverOrder, HandOverWay};
use crate::excerpt::quoted;
use crate::fleet::{Disaggregation, Port, PrefillDecider, Role, TransferSetup};
use crate::replica::Failure;
use crate::scenario::experiment::{RouterKind, SchedulerRun};
use crate::scenario::raw::{
    self, ConditionalDecider, DeciderRef, DeciderRules, LinkFigures, LinkRef, LinkScope, OnFailure,
    PoolRole, PrefixBasedDecider, TextOr,
};
use crate::suggest::advice;
use crate::time::Span;
use crate::units::{Bandwidth, Duration};
use crate::yaml::Path;

/// The connector's own time for a transfer: with a link's latency of 20 us the .37 ms that are left of
/// vLLM's transfers through Mooncake when their bytes are taken off (catalog, `roce-200g`).
const SETUP: Duration = Duration(Span::from_micros(350));

/// The most that a block takes before its first byte: a million blocks then take days, not centuries.
const PER_BLOCK_MAX: Span = Span::from_millis(1000);

/// The most that the KV of a token weighs: a thousand times that of any model.
const BYTES_MAX: u64 = 1 << 30;

/// SGLang's `--num-reserved-decode-tokens`.
const RESERVED_DECODE_TOKENS: u32 = 512;

/// The least that a link carries, bytes a second: a prompt's KV then takes days, not centuries.
const BANDWIDTH_MIN: u64 = 1_000_000;

const EXAMPLE: &str = "such as `pools: [{name: p, role: prefill, replicas: 2}, {name: d, role: decode, \
                       replicas: 2}]` with `disaggregation: {transfer: {link: ib-400g}}`";

/// Routers that choose by the fleet that they see, and by nothing that roles would change.
const ROUTERS: [&str; 6] =
    ["round-robin", "random", "least-requests", "least-tokens", "power-of-two", "session-affinity"];

impl From<PoolRole> for Role {
    fn from(role: PoolRole) -> Role {
        match role {
            PoolRole::Prefill => Role::Prefill,
            PoolRole::Decode => Role::Decode,
            PoolRole::Both => Role::Both,
        }
    }
}

/// A link as it is reckoned with.
struct Link {
    bytes_per_s: f64,
    latency: Span,
    scope: LinkScope,
}

/// How requests go from pool to pool, and the same as a scenario has it with every default filled in;
/// nothing where no pool has a role, or something is wrong (and reported).
pub(super) fn disaggregation(
    check: &mut Check<'_>,
    given: Option<&raw::Disaggregation>,
    fleet: &[Built],
    (router, runs): (&RouterKind, &[SchedulerRun]),
) -> Option<(Disaggregation, raw::Disaggregation)> {
    let path = Path::root().key("disaggregation");
    if !roles_fit(check, &path, given.is_some(), fleet) {
        return None;
    }
    let given = given.cloned().unwrap_or_default();
    can_be(check, fleet, router, runs);
    alike(check, fleet);
    of_use_to_the_twin_alone(check, fleet, router);
    let way = way(fleet);
    let order = given.order.unwrap_or(way.order);
    let first_token = given.first_token.unwrap_or(way.first_token);
    let reserved = reserved_decode_tokens(check, &path, &given, (order, fleet));
    let decode_router = decode_router(check, &path.key("decode_router"), given.decode_router);
    let (decider, filled_decider) = decider(check, &path.key("decider"), given.decider.as_ref());
    if decider.is_never_elsewhere() {
        check.warnings.push(
            "disaggregation.decider: with `non_cached_tokens: 0` (llm-d's default) no prompt goes to a replica that \
             prefills: those replicas stand idle; give the fewest new tokens that are worth it, such as 16"
                .to_owned(),
        );
    }
    let place = path.key("transfer");
    let transfer = given.transfer.clone().unwrap_or_default();
    let link = link(check, &place, transfer.link.as_ref());
    let setup = transfer.setup.unwrap_or(SETUP);
    let per_block = transfer.per_block.unwrap_or(Duration(Span::ZERO));
    let setup_time = check.time(&place.key("setup"), setup);
    let per_block_time = check.time(&place.key("per_block"), per_block);
    if per_block_time > PER_BLOCK_MAX {
        check.expected(&place.key("per_block"), "at most 1s", per_block);
    }
    if let Some(bytes) =
        transfer.bytes_per_token.filter(|bytes| !(1..=BYTES_MAX).contains(&bytes.0))
    {
        check.expected(&place.key("bytes_per_token"), "from 1B to 1GiB", bytes);
    }
    let missing_only = transfer.missing_only.unwrap_or(true);
    let kv_lease = given.kv_lease.map(|lease| check.time_above_zero(&path.key("kv_lease"), lease));
    let on_failure = given.on_failure.unwrap_or_default();
    let block_bytes: Vec<Option<u64>> =
        fleet.iter().map(|pool| block_bytes(pool, &transfer)).collect();
    if block_bytes.contains(&None) {
        let message = "the KV of a token has no known size: no model is priced";
        let help = "give `disaggregation: {transfer: {bytes_per_token: 128KiB}}`";
        check.report(&place.key("bytes_per_token"), message, help);
    }
    let (link, (router, name)) = (link?, decode_router?);
    let port = |(pool, bytes): (&Built, &Option<u64>)| {
        let gpus = match link.scope {
            LinkScope::Gpu => pool.engine.hardware.gpus_per_replica.max(1),
            LinkScope::Replica | LinkScope::Fleet => 1,
        };
        Some(Port { bytes_per_s: link.bytes_per_s * f64::from(gpus), block_bytes: (*bytes)? })
    };
    let ports = fleet.iter().zip(&block_bytes).map(port).collect::<Option<Vec<Port>>>()?;
    let setup_and_latency =
        Span::from_nanos(setup_time.as_nanos().saturating_add(link.latency.as_nanos()));
    let resolved = Disaggregation {
        order,
        first_token,
        reserved_decode_tokens: reserved,
        decider,
        decode_router: router,
        transfer: TransferSetup {
            setup: setup_and_latency,
            per_block: per_block_time,
            missing_only,
            shared_bytes_per_s: (link.scope == LinkScope::Fleet).then_some(link.bytes_per_s),
        },
        kv_lease,
        on_failure: match on_failure {
            OnFailure::Fail => Failure::Ends,
            OnFailure::Recompute => Failure::Recomputes,
        },
        ports,
    };
    let destination_first = order == HandOverOrder::DestinationFirst;
    let filled = raw::Disaggregation {
        order: Some(order),
        first_token: Some(first_token),
        reserved_decode_tokens: given
            .reserved_decode_tokens
            .or(destination_first.then_some(reserved)),
        decider: Some(filled_decider),
        decode_router: Some(name),
        transfer: Some(raw::KvTransfer {
            setup: Some(setup),
            per_block: Some(per_block),
            missing_only: Some(missing_only),
            ..transfer
        }),
        on_failure: Some(on_failure),
        ..given
    };
    Some((resolved, filled))
}

/// How the engine that decodes hands requests over.
fn way(fleet: &[Built]) -> HandOverWay {
    let decodes = fleet.iter().find(|pool| pool.role() == PoolRole::Decode);
    let pricing = decodes.and_then(|pool| pool.engine.hardware.pricing.as_ref());
    pricing.map(|pricing| pricing.profile.hand_over).unwrap_or_default()
}

/// Tokens left free for each request that decodes.
fn reserved_decode_tokens(
    check: &mut Check<'_>,
    path: &Path,
    given: &raw::Disaggregation,
    (order, fleet): (HandOverOrder, &[Built]),
) -> u32 {
    let reserved = given.reserved_decode_tokens.unwrap_or(RESERVED_DECODE_TOKENS);
    let decode = fleet.iter().filter(|pool| pool.role() == PoolRole::Decode);
    let room = |pool: &Built| {
        let limits = &pool.engine.limits;
        u64::from(limits.kv_blocks) * u64::from(limits.kv_block_tokens)
    };
    let least = decode.map(room).min().unwrap_or(u64::MAX);
    if order == HandOverOrder::DestinationFirst && u64::from(reserved) >= least {
        let message = format!(
            "{reserved} tokens are left free beside a prompt, and a replica that decodes has room for {least}: \
             none would ever get on"
        );
        let help = "give `reserved_decode_tokens` fewer, or the replica more KV memory";
        check.report(&path.key("reserved_decode_tokens"), message, help);
    }
    reserved
}

/// Whether there are pools of both roles and no others; what is wrong is reported.
fn roles_fit(check: &mut Check<'_>, path: &Path, given: bool, fleet: &[Built]) -> bool {
    let has = |role: PoolRole| fleet.iter().find(|pool| pool.role() == role);
    let (prefill, decode, both) =
        (has(PoolRole::Prefill), has(PoolRole::Decode), has(PoolRole::Both));
    let (one, missing) = match (prefill, decode) {
        (None, None) if given => {
            let message = "no pool has a role: every replica prefills and decodes";
            check.report(path, message, EXAMPLE);
            return false;
        }
        (None, None) => return false,
        (Some(_), Some(_)) => {
            if let Some(both) = both {
                let place = both.owner.place();
                let message =
                    "a pool of role `both` beside pools that prefill or decode is not modelled";
                check.report(&place, message, "give it `role: prefill` or `role: decode`");
                return false;
            }
            return true;
        }
        (Some(one), None) => (one, "decode"),
        (None, Some(one)) => (one, "prefill"),
    };
    let place = one.owner.place().key("role");
    let message = format!("there is no pool of role `{missing}`: a request would never get on");
    check.report(&place, message, EXAMPLE);
    false
}

/// Whether schedulers, routers and replicas can hand requests over.
fn can_be(check: &mut Check<'_>, fleet: &[Built], router: &RouterKind, runs: &[SchedulerRun]) {
    for (place, run) in runs.iter().enumerate() {
        let able = fleet
            .iter()
            .all(|pool| run.config.build(&pool.engine.info(&run.config)).needs().transfers);
        if !able {
            let path = check.element(&Path::root().key("schedulers"), place);
            let message = format!("{} is not modelled with prefill and decode apart", run.name);
            check.report(&path, message, "vllm-v1 is: `schedulers: [vllm-v1]`");
        }
    }
    if matches!(router, RouterKind::VllmDp(_) | RouterKind::ClassToPool(_)) {
        let message = "this router is not modelled with prefill and decode apart";
        let help =
            format!("take one of {}, or one that knows caches, such as llm-d", ROUTERS.join(", "));
        check.report(&Path::root().key("router"), message, &help);
    }
    for pool in fleet.iter().filter(|pool| pool.engine.stages > 1) {
        let path = pool.owner.path(check, &["parallelism", "pipeline"]);
        let message = "pipeline stages are not modelled with prefill and decode apart";
        check.report(&path, message, "give `parallelism: {tensor: N}`");
    }
}

/// Warns of what changes nothing but the twin in which every replica prefills and decodes.
fn of_use_to_the_twin_alone(check: &mut Check<'_>, fleet: &[Built], router: &RouterKind) {
    let prefill = || fleet.iter().filter(|pool| pool.role() == PoolRole::Prefill);
    for pool in prefill().filter(|pool| pool.engine.limits.speculative.is_some()) {
        check.warnings.push(format!(
            "{}: no draft is ever used where prompts are computed and one token is sampled: drafting there \
             only costs; the colocated twin drafts with it",
            pool.owner.field(check, &["engine", "speculative"])
        ));
    }
    if prefill().map(|pool| pool.replicas).sum::<u32>() == 1 && *router != RouterKind::RoundRobin {
        let message = "router: one replica prefills, and it has no choice; `disaggregation.decode_router` \
                       chooses who answers, and in the colocated twin it is this router";
        check.warnings.push(message.to_owned());
    }
}

/// KV goes from pool to pool as it lies in memory: what must be the same on both sides.
fn alike(check: &mut Check<'_>, fleet: &[Built]) {
    let Some(first) = fleet.iter().find(|pool| pool.role() == PoolRole::Prefill) else { return };
    for pool in fleet {
        if first.engine.hardware.model != pool.engine.hardware.model {
            let path = pool.owner.path(check, &["model"]);
            let message = "KV of one model is of no use to another";
            check.report(&path, message, "give the pools that prefill and decode one model");
            continue;
        }
        let types = [first, pool].map(|one| {
            let pricing = one.engine.hardware.pricing.as_ref();
            pricing.map(|pricing| pricing.precision.kv_bits_1024ths(&pricing.model))
        });
        if let [Some(one), Some(other)] = types
            && one != other
        {
            let path = pool.owner.path(check, &["engine", "kv_cache_dtype"]);
            let theirs = first.owner.path(check, &["engine", "kv_cache_dtype"]);
            let message = format!("its KV has another number type than that of {theirs}");
            check.report(
                &path,
                message,
                "give both pools the same `engine: {kv_cache_dtype: fp8}`",
            );
        }
        let tokens = [first, pool].map(|one| one.engine.limits.kv_block_tokens);
        let [one, other] = tokens;
        if !one.is_multiple_of(other) && !other.is_multiple_of(one) {
            let path = pool.owner.path(check, &["engine", "kv_block_tokens"]);
            let theirs = first.owner.path(check, &["engine", "kv_block_tokens"]);
            let message = format!(
                "blocks of {other} tokens, and of {one} at {theirs}: neither is a multiple of the other"
            );
            check.report(
                &path,
                message,
                "give both pools the same `engine: {kv_block_tokens: 16}`",
            );
        }
    }
}

fn decode_router(
    check: &mut Check<'_>,
    path: &Path,
    given: Option<String>,
) -> Option<(RouterKind, String)> {
    let name = given.unwrap_or_else(|| "round-robin".to_owned());
    let known = ROUTERS.contains(&name.as_str());
    if let Some(router) = RouterKind::by_name(&name).filter(|_| known) {
        return Some((router, name));
    }
    let message = format!("no router `{}` chooses who decodes", quoted(&name));
    check.report(path, message, &advice(&name, ROUTERS));
    None
}

/// Which prompts replicas that prefill compute, and the same with every default filled in.
fn decider(
    check: &mut Check<'_>,
    path: &Path,
    given: Option<&DeciderRef>,
) -> (PrefillDecider, DeciderRef) {
    let always = (PrefillDecider::Always, TextOr::Text("always".to_owned()));
    let rules = match given {
        None => return always,
        Some(TextOr::Text(name)) => {
            if name != "always" {
                let message = format!("no decider `{}`", quoted(name));
                let help = "`always`, `{conditional: {min_new_tokens: 2048, min_new_ratio: 0.7}}` or \
                            `{prefix-based: {non_cached_tokens: 16}}`";
                check.report(path, message, help);
            }
            return always;
        }
        Some(TextOr::Map(rules)) => *rules,
    };
    match rules {
        DeciderRules { conditional: Some(given), prefix_based: None } => {
            let tokens = given.min_new_tokens.unwrap_or(2048);
            let ratio = given.min_new_ratio.unwrap_or(0.7);
            check.share(&path.key("conditional").key("min_new_ratio"), ratio);
            let filled =
                ConditionalDecider { min_new_tokens: Some(tokens), min_new_ratio: Some(ratio) };
            let rules = DeciderRules { conditional: Some(filled), prefix_based: None };
            (
                PrefillDecider::Conditional { min_new_tokens: tokens, min_new_ratio: ratio },
                TextOr::Map(rules),
            )
        }
        DeciderRules { conditional: None, prefix_based: Some(given) } => {
            let new = given.non_cached_tokens.unwrap_or(0);
            let prompt = given.prompt_tokens.unwrap_or(0);
            let filled =
                PrefixBasedDecider { non_cached_tokens: Some(new), prompt_tokens: Some(prompt) };
            let rules = DeciderRules { conditional: None, prefix_based: Some(filled) };
            (
                PrefillDecider::PrefixBased { non_cached_tokens: new, prompt_tokens: prompt },
                TextOr::Map(rules),
            )
        }
        _ => {
            let message = "expected one rule, `conditional` or `prefix-based`";
            check.report(path, message, "such as `decider: {conditional: {min_new_tokens: 2048}}`");
            always
        }
    }
}

fn link(check: &mut Check<'_>, transfer: &Path, given: Option<&LinkRef>) -> Option<Link> {
    let path = transfer.key("link");
    match given {
        None => {
            let message = "`disaggregation.transfer.link` is missing: what does KV go over?";
            let help = "such as `disaggregation: {transfer: {link: ib-400g}}`, or \
                        `{link: {bandwidth: 50GB/s, latency: 20us}}`; `metron-sim list links` shows all";
            check.missing(transfer, &["link"], message, help);
            None
        }
        Some(TextOr::Text(name)) => {
            let link = found(check, &path, catalog::link(name))?;
            Some(Link {
                bytes_per_s: link.bytes_per_s(),
                latency: Span::from_nanos((link.latency_us * 1e3) as u64),
                scope: match link.scope.as_str() {
                    "replica" => LinkScope::Replica,
                    _ => LinkScope::Gpu,
                },
            })
        }
        Some(TextOr::Map(LinkFigures { bandwidth, latency, scope })) => {
            let Some(Bandwidth(bytes)) = *bandwidth else {
                let message = "a link needs its bandwidth";
                let help = "such as `link: {bandwidth: 50GB/s, latency: 20us}`";
                check.missing(&path, &["bandwidth"], message, help);
                return None;
            };
            if bytes < BANDWIDTH_MIN {
                let message = format!("{} carries next to nothing", Bandwidth(bytes));
                check.report(&path.key("bandwidth"), message, "expected 1MB/s at least");
            }
            let latency = latency.map_or(Span::ZERO, |one| check.time(&path.key("latency"), one));
            Some(Link { bytes_per_s: bytes as f64, latency, scope: scope.unwrap_or_default() })
        }
    }
}

/// Bytes of a KV block on all GPUs of a replica; `None` where they are not known.
fn block_bytes(pool: &Built, transfer: &raw::KvTransfer) -> Option<u64> {
    let limits = &pool.engine.limits;
    if let Some(bytes) = transfer.bytes_per_token {
        return Some(bytes.0.saturating_mul(limits.kv_block_tokens.into()));
    }
    pool.engine.hardware.pricing.as_ref()?.kv_block_bytes(limits.kv_block_tokens).ok()
}
