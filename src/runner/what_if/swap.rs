//! Another policy with everything else as it was, as far as it has such a thing.

use serde_json::{Map, Value};

use crate::scheduler::{
    EngineInfo, Evidence, Facts, Feature, Limit, Needs, Order, Prefills, SchedulerConfig, Takes,
};

/// What is sought in another policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Chunks of prompts beside decodes.
    Chunked,
    /// Prompts before decodes.
    PrefillFirst,
    /// Memory as tokens need it.
    Paged,
    /// Prefixes that are kept and found again.
    Prefixes,
    /// Iterations by the deadlines of those who decode.
    Deadlines,
}

impl Wanted {
    fn has(self, policy: &SchedulerConfig, engine: &EngineInfo) -> bool {
        let facts = policy.facts(engine);
        let chunked = facts.prefills == Prefills::Beside && facts.cuts_prompts;
        match self {
            Wanted::Chunked => chunked,
            Wanted::PrefillFirst => facts.prefills == Prefills::First,
            Wanted::Paged => facts.takes == Takes::AsNeeded && chunked,
            Wanted::Deadlines => {
                let needs = policy.build(engine).needs();
                needs.deadlines && needs.predicts
            }
            Wanted::Prefixes => {
                let engine = EngineInfo { prefix_caching: true, ..*engine };
                policy.build(&engine).needs().cache.is_some()
            }
        }
    }

    /// How many such policies are worth a try.
    fn tries(self) -> usize {
        match self {
            Wanted::Chunked | Wanted::Paged => 3,
            Wanted::PrefillFirst | Wanted::Prefixes | Wanted::Deadlines => 1,
        }
    }
}

/// A policy in place of another.
pub(super) struct Swap {
    /// Its name.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: Map<String, Value>,
    /// What of the old policy's has no place in it.
    pub not_held: Vec<String>,
    /// Whether it would plan ahead here, as the old policy does not: that is to be turned off.
    pub plans_ahead: bool,
    /// Whether it would keep prefixes here, as the old policy does not: likewise.
    pub caches: bool,
}

/// The engine's switches, as [`EngineLimits`](crate::scenario::EngineLimits) has them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Switches {
    /// Whether policies that can plan ahead do.
    pub planning: Option<bool>,
    /// Whether policies that can keep prefixes do.
    pub caching: Option<bool>,
}

impl Switches {
    fn plans(self, policy: &SchedulerConfig, needs: &Needs) -> bool {
        let asked = self.planning.unwrap_or_else(|| policy.on_by_default(Feature::AsyncScheduling));
        asked && needs.plans_ahead
    }

    fn caches(self, policy: &SchedulerConfig, needs: &Needs) -> bool {
        let asked = self.caching.unwrap_or_else(|| policy.on_by_default(Feature::PrefixCaching));
        (asked || needs.always_caches) && needs.can_cache()
    }
}

/// Policies whose every step is proven and that have what `old` lacks. Those that look at deadlines stand
/// for no system whose steps were recorded.
pub(super) fn swaps(
    old: &SchedulerConfig,
    engine: &EngineInfo,
    switches: Switches,
    wanted: Wanted,
) -> Vec<Swap> {
    let facts = old.facts(engine);
    if wanted.has(old, engine) {
        return Vec::new();
    }
    SchedulerConfig::all()
        .filter(|new| new.name() != old.name())
        .filter(|new| {
            let proven = new.evidence() == Evidence::Proven || wanted == Wanted::Deadlines;
            proven && wanted.has(new, engine)
        })
        .take(wanted.tries())
        .map(|new| swap(old, &facts, &new, engine, switches))
        .collect()
}

fn swap(
    old: &SchedulerConfig,
    facts: &Facts,
    new: &SchedulerConfig,
    engine: &EngineInfo,
    switches: Switches,
) -> Swap {
    let theirs = new.facts(engine);
    let (needs, their_needs) = (old.build(engine).needs(), new.build(engine).needs());
    let mut swap = Swap {
        name: new.name(),
        parameters: Map::new(),
        not_held: Vec::new(),
        plans_ahead: switches.plans(new, &their_needs) && !switches.plans(old, &needs),
        caches: switches.caches(new, &their_needs) && !switches.caches(old, &needs),
    };
    if switches.plans(old, &needs) && !their_needs.plans_ahead {
        swap.not_held.push(format!("{} has no asynchronous scheduling", new.name()));
    }
    if switches.caches(old, &needs) && !their_needs.can_cache() {
        swap.not_held.push(format!("{} keeps no prefixes", new.name()));
    }
    swap.hold(
        facts.seats.map(|seats| seats.limit),
        theirs.seats.map(|seats| seats.limit),
        "limit of seats",
        old.name(),
    );
    match (facts.budget, theirs.budget) {
        (Some(old_budget), Some(budget)) if old_budget.bounds != budget.bounds => {
            let own = budget.limit.most.map_or("none".to_owned(), |most| most.to_string());
            swap.not_held.push(format!(
                "{} has no token budget of {}'s kind ({}): it keeps its own, {} {own}",
                new.name(),
                old.name(),
                old_budget.bounds.meaning(),
                budget.limit.parameter,
            ));
        }
        (old_budget, budget) => swap.hold(
            old_budget.map(|budget| budget.limit),
            budget.map(|budget| budget.limit),
            "token budget",
            old.name(),
        ),
    }
    swap.hold(
        facts.longest_chunk.filter(|limit| limit.most.is_some()),
        theirs.longest_chunk,
        "limit on one prompt's chunk",
        old.name(),
    );
    match (facts.watermark, theirs.watermark) {
        (Some(own), Some(parameter)) => {
            swap.parameters.insert(parameter.to_owned(), old.parameters()[own].clone());
        }
        (Some(own), None) if old.parameters()[own].as_f64() != Some(0.0) => {
            swap.not_held.push(format!("{} has no watermark", new.name()));
        }
        _ => {}
    }
    if facts.order == Order::Priority && theirs.order != Order::Priority {
        swap.not_held.push(format!("{} knows no priorities", new.name()));
    }
    swap
}

impl Swap {
    /// Gives the new policy the old one's limit.
    fn hold(&mut self, old: Option<Limit>, new: Option<Limit>, what: &str, whose: &str) {
        match (old.and_then(|old| old.most), new) {
            (Some(most), Some(new)) => {
                self.parameters.insert(new.parameter.to_owned(), most.into());
            }
            (Some(most), None) => {
                self.not_held.push(format!("{} has no {what}: {whose}'s was {most}", self.name));
            }
            (None, Some(Limit { parameter, most: Some(most) })) => self.not_held.push(format!(
                "{} needs a {what}, which {whose} did not have: {parameter} {most}",
                self.name
            )),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::KvGroups;

    fn engine() -> EngineInfo {
        EngineInfo {
            kv_block_tokens: 16,
            kv_blocks: 1000,
            max_model_len: 4096,
            prefix_caching: false,
            kv_groups: KvGroups::ONE,
            large_gpu: false,
            gpu_memory_gib: None,
            speculative: None,
        }
    }

    fn from(yaml: &str, wanted: Wanted) -> Vec<Swap> {
        let old: SchedulerConfig = serde_json::from_str(yaml).expect("a policy");
        swaps(&old, &engine(), Switches::default(), wanted)
    }

    #[test]
    fn seats_budget_and_watermark_are_held_under_the_new_names() {
        let old = r#"{"faster-transformer": {"max_num_seqs": 7}}"#;
        for swap in from(old, Wanted::Chunked) {
            assert_eq!(swap.parameters["max_num_seqs"], 7, "{}", swap.name);
            assert!(swap.not_held.iter().any(|it| it.contains("token budget")), "{}", swap.name);
        }
        let old = r#"{"sarathi": {"chunk_size": 300, "max_num_seqs": 9, "watermark": 0.2}}"#;
        let first = &from(old, Wanted::PrefillFirst)[0];
        assert_eq!(first.name, "vllm-v0");
        assert_eq!(first.parameters["max_num_seqs"], 9);
        assert_eq!(first.parameters["watermark"], 0.2);
        assert!(first.not_held[0].contains("no token budget of sarathi's kind"));
        assert!(!first.parameters.contains_key("max_num_batched_tokens"));
    }

    #[test]
    fn what_the_policy_has_already_is_not_sought_elsewhere() {
        assert!(from(r#"{"sarathi": {}}"#, Wanted::Chunked).is_empty());
        assert!(from(r#"{"vllm-v0": {}}"#, Wanted::PrefillFirst).is_empty());
        let names: Vec<&str> =
            from(r#"{"vllm-v0": {}}"#, Wanted::Chunked).iter().map(|swap| swap.name).collect();
        assert_eq!(names, ["vllm-v1", "vllm-v0-chunked", "sarathi"]);
    }
}
