//! Keys of prefill and decode on replicas of their own, and of tiers behind KV blocks.

use super::Effect::{Always, Unless};
use super::{Entry, Facts, Written};
use crate::catalog::HandOverOrder;
use crate::fleet::{Disaggregation, PrefillDecider, Role, RouterKind};
use crate::replica::Failure;
use crate::scheduler::Feature;

/// Every key of these parts.
pub(super) const TABLE: &[Entry] = &[
    ("Scenario.disaggregation", Always("its keys are judged one by one")),
    ("Pool.role", Always("who prefills and who decodes")),
    ("Disaggregation.decider", Always("which prompts are handed over")),
    ("DeciderRules.conditional", Always("which prompts are handed over")),
    ("DeciderRules.prefix-based", Always("which prompts are handed over")),
    ("ConditionalDecider.min_new_tokens", Unless(fewest_new_tokens)),
    ("ConditionalDecider.min_new_ratio", Unless(smallest_new_part)),
    ("PrefixBasedDecider.non_cached_tokens", Always("which prompts are handed over")),
    ("PrefixBasedDecider.prompt_tokens", Unless(shortest_prompt)),
    ("Disaggregation.decode_router", Unless(decode_router)),
    ("Disaggregation.transfer", Always("its keys are judged one by one")),
    ("Disaggregation.order", Always("when prompts are begun")),
    ("Disaggregation.first_token", Always("when the first token comes")),
    ("Disaggregation.reserved_decode_tokens", Unless(reserved_decode_tokens)),
    ("Disaggregation.kv_lease", Unless(kv_lease)),
    ("Disaggregation.on_failure", Unless(on_failure)),
    ("KvTransfer.link", Always("part of the time of a transfer")),
    ("KvTransfer.setup", Always("part of the time of a transfer")),
    ("KvTransfer.per_block", Always("part of the time of a transfer")),
    ("KvTransfer.missing_only", Unless(missing_only)),
    ("KvTransfer.bytes_per_token", Always("part of the time of a transfer")),
    ("LinkFigures.bandwidth", Always("part of the time of a transfer")),
    ("LinkFigures.latency", Always("part of the time of a transfer")),
    ("LinkFigures.scope", Always("part of the time of a transfer")),
    ("Engine.kv_tiers", Always("its keys are judged one by one")),
    ("KvTier.name", Always("what it is called")),
    ("KvTier.capacity", Always("what is kept hangs on it")),
    ("KvTier.read_bandwidth", Always("part of the time of a load")),
    ("KvTier.write_bandwidth", Always("when what is stored can be found")),
    ("KvTier.latency", Always("part of the time of a load")),
    ("KvTier.scope", Unless(tier_scope)),
    ("Engine.kv_load", Always("its keys are judged one by one")),
    ("KvLoad.min_tokens", Always("what is brought hangs on it")),
    ("KvLoad.recompute", Always("what is brought hangs on it")),
    ("KvLoad.prompt_only", Always("what is stored hangs on it")),
    ("KvLoad.store_threshold", Always("what is stored hangs on it")),
    ("KvLoad.chunk_blocks", Always("what is stored hangs on it")),
    ("KvLoad.overlap", Always("when KV is there, and who waits")),
    ("KvLoad.bytes_per_token", Always("part of the time of a load")),
];

fn tier_scope(facts: &Facts<'_>, _: &Written) -> Option<String> {
    (facts.experiment.replicas == 1).then(|| "one replica has the tier in any case".to_owned())
}

fn fewest_new_tokens(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let decider = facts.experiment.disaggregation.as_ref()?.decider;
    matches!(decider, PrefillDecider::Conditional { min_new_ratio, .. } if min_new_ratio == 0.0)
        .then(|| "with `min_new_ratio: 0` every prompt goes to a replica that prefills".to_owned())
}

fn smallest_new_part(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let decider = facts.experiment.disaggregation.as_ref()?.decider;
    matches!(decider, PrefillDecider::Conditional { min_new_tokens: 0, .. })
        .then(|| "with `min_new_tokens: 0` every prompt goes to a replica that prefills".to_owned())
}

fn shortest_prompt(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let decider = facts.experiment.disaggregation.as_ref()?.decider;
    (decider.is_never_elsewhere())
        .then(|| "no prompt goes to a replica that prefills with `non_cached_tokens: 0`".to_owned())
}

fn decode_router(facts: &Facts<'_>, key: &Written) -> Option<String> {
    if key.value == "round-robin" {
        return None;
    }
    let fleet = facts.experiment.fleet();
    let decode = fleet.iter().filter(|pool| pool.role == Role::Decode);
    if decode.map(|pool| pool.replicas).sum::<u32>() <= 1 {
        return Some("one replica decodes".to_owned());
    }
    let router = facts.experiment.disaggregation.as_ref().map(|apart| &apart.decode_router);
    (router == Some(&RouterKind::SessionAffinity) && !facts.requests.has_sessions())
        .then(|| "no request has a session: they go to the replicas in turn".to_owned())
}

fn reserved_decode_tokens(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let apart = facts.experiment.disaggregation.as_ref()?;
    (apart.order == HandOverOrder::SourceFirst)
        .then(|| "`order: source-first` takes blocks for prompts that are computed".to_owned())
}

fn kv_lease(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let apart = facts.experiment.disaggregation.as_ref()?;
    (apart.order == HandOverOrder::DestinationFirst)
        .then(|| "`order: destination-first` begins no prompt before it can be fetched".to_owned())
}

fn on_failure(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let apart = facts.experiment.disaggregation.as_ref()?;
    match apart {
        Disaggregation {
            kv_lease: None, on_failure: Failure::Ends | Failure::Recomputes, ..
        } => Some("no KV is lost without `kv_lease`".to_owned()),
        Disaggregation { order: HandOverOrder::DestinationFirst, .. } => {
            Some("no KV is lost where blocks are taken before prompts are computed".to_owned())
        }
        _ => None,
    }
}

fn missing_only(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let fleet = facts.experiment.fleet();
    let decode = || fleet.iter().filter(|pool| pool.role == Role::Decode);
    let caches = facts
        .runs
        .iter()
        .any(|(_, run)| decode().any(|pool| pool.uses(run, Feature::PrefixCaching)));
    if !caches {
        return Some("the replicas that decode keep no prefixes".to_owned());
    }
    let found = facts.ended().is_some_and(|ended| ended.hit_tokens > 0);
    (key.value == true && !facts.shares_prefixes() && !found)
        .then(|| "no two prompts begin with the same KV block".to_owned())
}
