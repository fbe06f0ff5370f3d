//! The parameters of routers that know, or guess, what replicas cache: their limits, and each as a
//! scenario has it with its defaults filled in.

use std::sync::Arc;

use super::check::Check;
use crate::excerpt::quoted;
use crate::fleet::{CacheAware, DynamoKv, LlmD, ProductionStack, RayPrefix, RoutingLogic, Scorer};
use crate::scenario::experiment::RouterKind;
use crate::scenario::raw::{
    DynamoKvRouter, LlmDRouter, ProductionStackRouter, RayPrefixRouter, SglangCacheAwareRouter,
};
use crate::suggest::advice;
use crate::time::Span;
use crate::units::Duration;
use crate::yaml::Path;

/// A weight, a credit or a scale at most.
const WEIGHT_MAX: f64 = 1e6;

/// A number that is given, checked, or its default; it is filled in.
macro_rules! given {
    ($check:expr, $path:expr, $given:expr, $key:ident, $default:expr, $how:ident $(, $limit:expr)*) => {
        match $given.$key {
            Some(value) => $check.$how(&$path.key(stringify!($key)), value $(, $limit)*),
            None => {
                $given.$key = Some($default);
                $default
            }
        }
    };
}

fn span(
    check: &mut Check<'_>,
    path: &Path,
    given: &mut Option<Duration>,
    default: Span,
    zero: bool,
) -> Span {
    match *given {
        Some(value) if zero => check.time(path, value),
        Some(value) => check.time_above_zero(path, value),
        None => {
            *given = Some(Duration(default));
            default
        }
    }
}

pub(super) fn sglang_cache_aware(
    check: &mut Check<'_>,
    path: &Path,
    given: &mut SglangCacheAwareRouter,
) -> RouterKind {
    let path = path.key("sglang-cache-aware");
    let d = CacheAware::default();
    let rel = given!(
        check,
        path,
        given,
        balance_rel_threshold,
        d.balance_rel_threshold,
        number,
        1.0,
        WEIGHT_MAX
    );
    RouterKind::SglangCacheAware(CacheAware {
        cache_threshold: given!(check, path, given, cache_threshold, d.cache_threshold, share),
        balance_abs_threshold: *given.balance_abs_threshold.get_or_insert(d.balance_abs_threshold),
        balance_rel_threshold: rel,
        max_tree_size: *given.max_tree_size.get_or_insert(d.max_tree_size),
        eviction_interval: span(
            check,
            &path.key("eviction_interval"),
            &mut given.eviction_interval,
            d.eviction_interval,
            true,
        ),
    })
}

pub(super) fn dynamo_kv(
    check: &mut Check<'_>,
    path: &Path,
    given: &mut DynamoKvRouter,
) -> RouterKind {
    let path = path.key("dynamo-kv");
    let d = DynamoKv::default();
    let credit = given!(
        check,
        path,
        given,
        overlap_score_credit,
        d.overlap_score_credit,
        number,
        0.0,
        WEIGHT_MAX
    );
    let decay = given!(
        check,
        path,
        given,
        overlap_score_credit_decay,
        d.overlap_score_credit_decay,
        number,
        0.0,
        WEIGHT_MAX
    );
    let scale = given!(
        check,
        path,
        given,
        prefill_load_scale,
        d.prefill_load_scale,
        number,
        0.0,
        WEIGHT_MAX
    );
    let active = given!(
        check,
        path,
        given,
        decode_active_request_weight,
        d.decode_active_request_weight,
        number,
        0.0,
        WEIGHT_MAX
    );
    let temperature = given!(
        check,
        path,
        given,
        router_temperature,
        d.router_temperature,
        number,
        0.0,
        WEIGHT_MAX
    );
    RouterKind::DynamoKv(DynamoKv {
        overlap_score_credit: credit,
        overlap_score_credit_decay: decay,
        prefill_load_scale: scale,
        decode_active_request_weight: active,
        router_temperature: temperature,
        use_kv_events: *given.use_kv_events.get_or_insert(d.use_kv_events),
        router_ttl: span(
            check,
            &path.key("router_ttl"),
            &mut given.router_ttl,
            d.router_ttl,
            false,
        ),
    })
}

pub(super) fn llm_d(check: &mut Check<'_>, path: &Path, given: &mut LlmDRouter) -> RouterKind {
    let path = path.key("llm-d");
    let d = LlmD::default();
    let weights = weights(check, &path.key("weights"), given, d.weights);
    let interval = span(
        check,
        &path.key("metrics_interval"),
        &mut given.metrics_interval,
        d.metrics_interval,
        false,
    );
    let lru =
        given.lru_capacity.map(|lru| check.whole(&path.key("lru_capacity"), lru, 1, u32::MAX));
    RouterKind::LlmD(Arc::new(LlmD {
        weights,
        metrics_interval: interval,
        block_tokens: given!(check, path, given, block_tokens, d.block_tokens, whole, 64, 1 << 20),
        lru_capacity: lru,
        affinity_threshold: given
            .affinity_threshold
            .map(|share| check.share_above_zero(&path.key("affinity_threshold"), share)),
    }))
}

fn weights(
    check: &mut Check<'_>,
    path: &Path,
    given: &mut LlmDRouter,
    default: Vec<(Scorer, f64)>,
) -> Vec<(Scorer, f64)> {
    let name =
        |scorer: Scorer| Scorer::NAMES.iter().find(|(_, one)| *one == scorer).map(|(n, _)| *n);
    let Some(weights) = &given.weights else {
        let named =
            default.iter().filter_map(|&(one, weight)| Some((name(one)?.to_owned(), weight)));
        given.weights = Some(named.collect());
        return default;
    };
    let mut scorers = Vec::new();
    for (given, &weight) in weights {
        let path = path.key(given.as_str());
        let known = given.strip_suffix("-scorer").unwrap_or(given);
        match Scorer::NAMES.iter().find(|(name, _)| *name == known) {
            Some(&(_, scorer)) => {
                scorers.push((scorer, check.number(&path, weight, 0.0, WEIGHT_MAX)));
            }
            None => {
                let message = format!("unknown scorer `{}`", quoted(given));
                let names = Scorer::NAMES.iter().map(|(name, _)| *name);
                check.report(&path, message, &advice(given, names));
            }
        }
    }
    let counts = |scorer: Scorer| scorers.iter().any(|&(one, w)| one == scorer && w > 0.0);
    if scorers.len() == weights.len() && scorers.iter().all(|&(_, weight)| weight == 0.0) {
        let help = "a scorer of weight 0 counts nothing: `{prefix-cache: 3, queue: 2}`";
        check.report(path, "expected a weight above 0, found none", help);
    } else if counts(Scorer::PrefixCache) && counts(Scorer::PrecisePrefixCache) {
        let help =
            "the first is the router's guess, the second what engines say: one knows of a prompt";
        check.report(
            path,
            "expected one of `prefix-cache` and `precise-prefix-cache`, found both",
            help,
        );
    }
    scorers
}

pub(super) fn ray_prefix(
    check: &mut Check<'_>,
    path: &Path,
    given: &mut RayPrefixRouter,
) -> RouterKind {
    let path = path.key("ray-prefix");
    let d = RayPrefix::default();
    let threshold = given.eviction_threshold_chars.unwrap_or(d.eviction_threshold_chars);
    let target = given.eviction_target_chars.unwrap_or(d.eviction_target_chars.min(threshold));
    if target > threshold {
        let key = path.key("eviction_target_chars");
        let message =
            format!("expected at most `eviction_threshold_chars` ({threshold}), found {target}");
        check.report(&key, message, "the tree is cut from the one down to the other");
    }
    given.eviction_threshold_chars = Some(threshold);
    given.eviction_target_chars = Some(target);
    let imbalanced = given.imbalanced_threshold.map(|most| {
        check.number(&path.key("imbalanced_threshold"), most, 0.0, f64::from(u32::MAX))
    });
    RouterKind::RayPrefix(RayPrefix {
        imbalanced_threshold: imbalanced,
        match_rate_threshold: given!(
            check,
            path,
            given,
            match_rate_threshold,
            d.match_rate_threshold,
            share
        ),
        do_eviction: *given.do_eviction.get_or_insert(d.do_eviction),
        eviction_threshold_chars: threshold,
        eviction_target_chars: target,
        eviction_interval: span(
            check,
            &path.key("eviction_interval"),
            &mut given.eviction_interval,
            d.eviction_interval,
            false,
        ),
    })
}

pub(super) fn production_stack(
    check: &mut Check<'_>,
    path: &Path,
    given: &mut ProductionStackRouter,
) -> RouterKind {
    let path = path.key("production-stack");
    let d = ProductionStack::default();
    let named = given.routing_logic.get_or_insert_with(|| "prefixaware".to_owned());
    let logic = RoutingLogic::NAMES.iter().find(|(name, _)| name == named).map(|(_, logic)| *logic);
    let logic = logic.unwrap_or_else(|| {
        let message = format!("unknown routing logic `{}`", quoted(named));
        let help = match named.as_str() {
            "disaggregated_prefill" => {
                "pools with a `role` are routed to by what they do".to_owned()
            }
            _ => advice(named, RoutingLogic::NAMES.iter().map(|(name, _)| *name)),
        };
        check.report(&path.key("routing_logic"), message, &help);
        d.routing_logic
    });
    RouterKind::ProductionStack(ProductionStack {
        routing_logic: logic,
        kv_aware_threshold: *given.kv_aware_threshold.get_or_insert(d.kv_aware_threshold),
    })
}
