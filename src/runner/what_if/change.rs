//! Makes the changes of a kind for a run, starting from what bound it: those of a policy's own
//! parameters here, the rest in [`super::system`].

use serde_json::{Map, Value};

use super::Patient;
use super::bound::Bound;
use super::menu::{Kind, admitting, fitting};
use super::refused::Refused;
use super::swap::{Switches, Wanted, swaps};
use crate::explain::Cause;
use crate::ids::PoolId;
use crate::scenario::{EngineLimits, ResolvedReplicas};
use crate::scheduler::{self, Bounds, EngineInfo, Facts, Limit, SchedulerConfig, Takes};

/// A change to try.
pub(super) struct Change {
    /// In words, such as `max_num_seqs 256 -> 64`.
    pub words: String,
    /// What to give to `--set`.
    pub set: Vec<String>,
    /// Why it could help.
    pub why: &'static str,
    /// What could not be held fixed.
    pub not_held: Vec<String>,
    /// What is given up.
    pub gives_up: &'static str,
    /// Whether it is another scheduler.
    pub other_scheduler: bool,
    /// Whether fewer requests are sent.
    pub less_load: bool,
    /// Whose requests it faces.
    pub load: Load,
    /// What to say where it changes nothing.
    pub if_inert: IfInert,
}

/// Whether to say that a change made no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfInert {
    /// Say it: the change was tried for a reason.
    Told,
    /// Say nothing.
    Silent,
}

/// The requests that a changed run faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// The same.
    Same,
    /// Those of the changed scenario: the same draws, at other times or of fewer users.
    Drawn,
}

impl Change {
    pub(super) fn new(words: String, set: Vec<String>) -> Change {
        Change {
            words,
            set,
            why: "",
            not_held: Vec::new(),
            gives_up: "",
            other_scheduler: false,
            less_load: false,
            load: Load::Same,
            if_inert: IfInert::Told,
        }
    }

    pub(super) fn gives_up(self, gives_up: &'static str) -> Change {
        Change { gives_up, ..self }
    }
}

/// Tokens of a step that keep most GPUs busy: Sarathi-Serve's default.
const BUSY_STEP: u32 = 512;

/// What a policy that looks at deadlines gives up.
const LONG_PROMPTS: &str =
    "long prompts: those that would make others late wait, past capacity for minutes";

impl Patient<'_> {
    /// The changes that admit what was rejected, then those that fit these causes, those of the
    /// first cause first.
    pub(super) fn changes(&self, causes: &[Cause], refused: Refused) -> Vec<Change> {
        let maker = Maker::new(self, refused);
        let mut kinds: Vec<Kind> = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        let fits = |&cause: &Cause| {
            let waits = matches!(cause, Cause::NoKvBlocks | Cause::HeadOfLine);
            fitting(cause).iter().map(move |&(kind, why)| (waits, kind, why))
        };
        // A promise that is kept needs nobody admitted.
        let broken = self.output.result.slo.met != Some(true);
        let refused = maker.refused.why.iter().filter(|_| broken);
        let admit = refused.flat_map(|&why| admitting(why)).map(|&(kind, why)| (false, kind, why));
        // What was turned away from its default may be what ails the run, whatever the cause.
        let default = (false, Kind::Default, "the parameter is as it is by default");
        let fitting = admit.chain(causes.iter().flat_map(fits));
        for (waits, kind, why) in [default].into_iter().chain(fitting) {
            if kinds.contains(&kind) || waits && kind.is_against_preemption() && !maker.preempted()
            {
                continue;
            }
            kinds.push(kind);
            for mut change in maker.changes(kind) {
                if changes.iter().all(|known| known.set != change.set) {
                    change.why = why;
                    changes.push(change);
                }
            }
        }
        changes
    }
}

/// What changes are made of.
pub(super) struct Maker<'m> {
    pub patient: &'m Patient<'m>,
    pub config: &'m SchedulerConfig,
    pub engine: &'m EngineLimits,
    pub info: EngineInfo,
    pub facts: Facts,
    pub bound: Bound,
    pub refused: Refused,
    /// The replicas of the pool of the stall; all of them where they are alike.
    pub replicas: ResolvedReplicas<'m>,
    /// How paths into it begin, and how it is called.
    pub at: String,
    pub of_pool: String,
}

impl<'m> Maker<'m> {
    fn new(patient: &'m Patient<'m>, refused: Refused) -> Maker<'m> {
        let id = patient.pool();
        let pool = patient.experiment.fleet()[id.unwrap_or_default().index()];
        let info = pool.engine_info(patient.config);
        let replicas = patient.resolved.replicas(id.map(PoolId::index));
        let replicas = replicas.expect("the scenario was resolved, and the stall was in its fleet");
        let (at, of_pool) = match id {
            None => (String::new(), String::new()),
            Some(id) => {
                let name = replicas.pool.unwrap_or_default();
                (format!("pools.{}.", id.index()), format!(" (pool {name})"))
            }
        };
        Maker {
            patient,
            config: patient.config,
            engine: pool.engine,
            facts: patient.config.facts(&info),
            info,
            bound: Bound::of(&patient.output.outcome),
            refused,
            replicas,
            at,
            of_pool,
        }
    }

    fn changes(&self, kind: Kind) -> Vec<Change> {
        // More memory is of no use where there was enough.
        let useful = match kind {
            Kind::MoreBlocks | Kind::HigherUtilization => self.memory_bounds(),
            Kind::ContextMemory(_) => self.memory_bounds_context(),
            Kind::KeepPrefixes => self.patient.output.outcome.kv.evicted_blocks > 0,
            _ => true,
        };
        if !useful {
            return Vec::new();
        }
        match kind {
            Kind::Default => self.defaults(),
            Kind::SmallerSteps => self.smaller_steps(),
            Kind::LargerSteps => self.larger_steps(),
            Kind::WholePromptSteps => self.whole_prompt_steps(),
            Kind::ShorterChunks => self.shorter_chunks(),
            Kind::CutPrompts => self.cut_prompts(),
            Kind::DecodeBeside => self.switch(scheduler::Effect::DecodesBeside),
            Kind::ShareSteps => self.switch(scheduler::Effect::SharesSteps),
            Kind::AdmitLess => self.switch(scheduler::Effect::AdmitsLess),
            Kind::AdmitMore => self.switch(scheduler::Effect::AdmitsMore),
            Kind::ShareMemory => self.share_memory(),
            Kind::LargerShares => self.larger_shares(),
            Kind::DecodeLonger => {
                self.decodes_between(|now| vec![(now * 2).max(4), (now * 4).max(16)])
            }
            Kind::DecodeShorter => self.decodes_between(|now| vec![now / 2, now / 4, 1]),
            Kind::ByPriority => self.by_priority(),
            Kind::FewerSeats => self.fewer_seats(),
            Kind::MoreSeats => self.more_seats(),
            Kind::LowerWatermark => self.watermark(&[0.01, 0.0], |new, old| new < old),
            Kind::HigherWatermark => self.watermark(&[0.05, 0.1], |new, old| new > old),
            Kind::MoreBlocks | Kind::ContextMemory(Kind::MoreBlocks) => self.more_blocks(),
            Kind::HigherUtilization | Kind::ContextMemory(Kind::HigherUtilization) => {
                self.higher_utilization()
            }
            Kind::ContextMemory(&other) => self.changes(other),
            Kind::KeepPrefixes => {
                self.higher_utilization().into_iter().chain(self.more_blocks()).collect()
            }
            Kind::ShorterModelLen => self.shorter_model_len(),
            Kind::LongerModelLen => self.longer_model_len(),
            Kind::KvFp8 => self.kv_in_fp8(),
            Kind::WeightsFp8 => self.weights_in_fp8(),
            Kind::PrefixCaching => self.prefix_caching(),
            Kind::ChunkedPolicy => self.swap(Wanted::Chunked),
            Kind::PrefillFirstPolicy => self.swap(Wanted::PrefillFirst),
            Kind::PagedPolicy => self.swap(Wanted::Paged),
            Kind::DeadlinePolicy => {
                let changes = self.swap(Wanted::Deadlines);
                changes.into_iter().map(|change| change.gives_up(LONG_PROMPTS)).collect()
            }
            Kind::Router => self.router(),
            Kind::SessionRouter => self.session_router(),
            Kind::CacheAwareRouter => self.cache_aware_router(),
            Kind::BalanceSooner => self.balance_sooner(),
            Kind::PlanAhead => self.plan_ahead(),
            Kind::PlanInTime => self.plan_in_time(),
            Kind::LoadBeside => self.load_beside(),
            Kind::DraftsOffAbove => self.drafts_off_above(),
            Kind::FewerDrafts => self.fewer_drafts(),
            Kind::NoDrafts => self.no_drafts(),
            Kind::Draft => self.draft(),
            Kind::TensorForPipeline => self.tensor_for_pipeline(),
            Kind::ReplicasForTensor => self.replicas_for_tensor(),
            Kind::OneReplicaMore => self.replicas(),
            Kind::TensorDoubled => self.tensor_doubled(),
            Kind::LessLoad => self.less_load(),
        }
    }

    /// A parameter of the policy given another value, with those that would follow it held.
    pub(super) fn parameter(&self, name: &str, old: Option<u32>, new: Value) -> Change {
        let path = |name: &str| {
            format!("schedulers.{}.{}.{name}", self.patient.scheduler, self.config.name())
        };
        let words = match old {
            Some(old) => format!("{name} {old} -> {}", shown(&new)),
            None => format!("{name} -> {}", shown(&new)),
        };
        let mut set = vec![format!("{}={}", path(name), written(&new))];
        let follow = self.facts.follows.iter().filter(|(follower, _)| *follower != name);
        set.extend(follow.map(|(name, value)| format!("{}={}", path(name), written(value))));
        Change::new(words, set)
    }

    /// Each number and switch of the policy that is not at its default, at it.
    fn defaults(&self) -> Vec<Change> {
        let Some(plain) = SchedulerConfig::by_name(self.config.name()) else { return Vec::new() };
        let (own, default) = (self.config.parameters(), plain.parameters());
        // What a default that depends on the engine comes to.
        let comes_to = plain.resolved(&self.info).parameters();
        let own = own.as_object().into_iter().flatten();
        let changed = own.filter_map(|(name, own)| {
            let (default, comes_to) = (&default[name], &comes_to[name]);
            // A name picks another version or order.
            (own != default && own != comes_to && !own.is_string() && !default.is_string())
                .then_some((name, own, default))
        });
        let change = |(name, own, default): (&String, &Value, &Value)| Change {
            words: format!("{name} {} -> {}", shown(own), shown(default)),
            if_inert: IfInert::Silent,
            ..self.parameter(name, None, default.clone())
        };
        let mut each: Vec<Change> = changed.map(change).collect();
        if each.len() > 1 {
            let words: Vec<&str> = each.iter().map(|one| one.words.as_str()).collect();
            let set = each.iter().flat_map(|one| one.set.iter().cloned()).collect();
            let all = Change::new(words.join(", "), set);
            each.push(Change { if_inert: IfInert::Silent, ..all });
        }
        each
    }

    fn limits(&self, limit: Limit, values: impl IntoIterator<Item = u32>) -> Vec<Change> {
        let mut known = Vec::new();
        let new = values.into_iter().filter(|&value| {
            let new = Some(value) != limit.most && !known.contains(&value);
            known.push(value);
            new
        });
        // Another parameter may hold the limit where it is.
        let allowed = |&value: &u32| {
            let then = self.policy_with(limit.parameter, value.into());
            then.is_some_and(|then| then.problems(&self.info).is_empty())
        };
        new.filter(allowed)
            .map(|value| self.parameter(limit.parameter, limit.most, value.into()))
            .collect()
    }

    /// The policy with one parameter changed, and those that would follow it held.
    fn policy_with(&self, parameter: &str, value: Value) -> Option<SchedulerConfig> {
        let mut parameters = self.config.parameters();
        for (name, held) in &self.facts.follows {
            parameters[*name] = held.clone();
        }
        parameters[parameter] = value;
        let one: Map<String, Value> =
            [(self.config.name().to_owned(), parameters)].into_iter().collect();
        serde_json::from_value(Value::Object(one)).ok()
    }

    fn switch(&self, effect: scheduler::Effect) -> Vec<Change> {
        let fitting = self.facts.switches.iter().filter(|switch| switch.effect == effect);
        let change = |switch: &scheduler::Switch| {
            let old = &self.config.parameters()[switch.parameter];
            let mut change = self.parameter(switch.parameter, None, switch.value.clone());
            if !old.is_null() {
                change.words =
                    format!("{} {} -> {}", switch.parameter, shown(old), shown(&switch.value));
            }
            change
        };
        fitting.map(change).collect()
    }

    /// Prompts in chunks: by the switch as it is and with smaller budgets, or where the switch is the
    /// size of a chunk, in sizes that cut the longest, beside decodes where the policy then can.
    fn cut_prompts(&self) -> Vec<Change> {
        let all = self.switch(scheduler::Effect::CutsPrompts);
        let sized: Vec<&scheduler::Switch> = self
            .facts
            .switches
            .iter()
            .filter(|one| one.effect == scheduler::Effect::CutsPrompts && one.value.is_u64())
            .collect();
        // A budget beside the size of a chunk cuts nothing.
        let mut changes = if sized.is_empty() { self.cut_short(all) } else { all };
        for switch in sized {
            let longest = self.bound.chunk;
            let sizes = [longest / 2, longest / 4, BUSY_STEP].map(|size| size / 16 * 16);
            let shorter = sizes.into_iter().filter(|&size| size >= 32 && size < longest);
            for size in shorter {
                let cut = self.parameter(switch.parameter, None, size.into());
                changes.extend(self.beside_then(&cut, switch.parameter, size));
                changes.push(cut);
            }
        }
        changes
    }

    /// A change, and with it the switch that the policy then has for decodes beside prompts.
    fn beside_then(&self, cut: &Change, parameter: &str, value: u32) -> Option<Change> {
        let then = self.policy_with(parameter, value.into())?;
        let switches = then.facts(&self.info).switches;
        let beside =
            switches.iter().find(|switch| switch.effect == scheduler::Effect::DecodesBeside)?;
        let also = self.parameter(beside.parameter, None, beside.value.clone());
        let words = format!("{}, {}", cut.words, also.words);
        Some(Change::new(words, cut.set.iter().cloned().chain(also.set).collect()))
    }

    /// Changes that bring long prompts into a step, as they are and with a budget that cuts them
    /// short.
    fn cut_short(&self, plain: Vec<Change>) -> Vec<Change> {
        let Some(budget) = self.facts.budget.map(|budget| budget.limit) else { return plain };
        let mut changes = Vec::new();
        for cut in plain {
            // Where cutting is the budget itself there is nothing to add.
            let sets = |of: &str| cut.set.iter().any(|set| set.starts_with(of));
            let path = format!(".{}=", budget.parameter);
            let is_budget = cut.set.iter().any(|set| set.contains(&path));
            let smaller = [BUSY_STEP, 4 * BUSY_STEP]
                .into_iter()
                .filter(|&smaller| !is_budget && budget.most.is_some_and(|old| smaller < old));
            for smaller in smaller {
                let also = self.parameter(budget.parameter, budget.most, smaller.into());
                let words = format!("{}, {}", cut.words, also.words);
                // What the change sets does not follow the budget.
                let more = also.set.into_iter().filter(|set| !sets(before_value(set)));
                changes.push(Change::new(words, cut.set.iter().cloned().chain(more).collect()));
            }
            changes.push(cut);
        }
        changes
    }

    /// The memory for all requests that each seat had a share of; long prompts come with it.
    fn share_memory(&self) -> Vec<Change> {
        self.cut_short(self.switch(scheduler::Effect::SharesMemory))
    }

    /// Tokens of a step that count for the budget: the most that any had, where that is less than
    /// the budget allows.
    fn step(&self) -> Option<(Limit, u32)> {
        let budget = self.facts.budget?;
        let most = match budget.bounds {
            Bounds::Step => self.bound.step_tokens,
            Bounds::Chunks | Bounds::WholePrompts => self.bound.prefill_tokens,
        };
        let most = budget.limit.most.map_or(most, |limit| limit.min(most));
        Some((budget.limit, most))
    }

    fn smaller_steps(&self) -> Vec<Change> {
        let Some((limit, most)) = self.step() else { return Vec::new() };
        if self.facts.budget.is_some_and(|budget| budget.bounds == Bounds::WholePrompts) {
            // Longer prompts would be rejected.
            return Vec::new();
        }
        let least = self.info.kv_block_tokens.max(32);
        let values = [most / 2, most / 4, most / 8, BUSY_STEP.min(most / 2)];
        let rounded = values.map(|value| value / 16 * 16);
        let mut smaller: Vec<u32> = rounded.into_iter().filter(|&value| value >= least).collect();
        smaller.dedup();
        let mut changes = self.limits(limit, smaller.iter().copied());
        // A policy that prefills in steps of their own may be able to do both at once.
        for value in smaller {
            let cut = self.parameter(limit.parameter, limit.most, value.into());
            changes.extend(self.beside_then(&cut, limit.parameter, value));
        }
        changes
    }

    fn larger_steps(&self) -> Vec<Change> {
        let Some((limit, most)) = self.step() else { return Vec::new() };
        let bound = limit.most.is_some_and(|limit| u64::from(most) * 10 >= u64::from(limit) * 9);
        let Some(old) = limit.most.filter(|_| bound) else { return Vec::new() };
        self.limits(limit, [2, 4, 16].map(|times| old.saturating_mul(times)))
    }

    /// A budget for whole prompts that holds the longest of those that were rejected.
    fn whole_prompt_steps(&self) -> Vec<Change> {
        let Some(limit) = self.facts.budget.map(|budget| budget.limit) else { return Vec::new() };
        let longest = self.refused.longest_prompt;
        let enough = longest.checked_next_multiple_of(1024).unwrap_or(longest);
        let larger = Some(enough).filter(|&enough| limit.most.is_some_and(|old| enough > old));
        self.limits(limit, larger)
    }

    /// As many seats as leave each of them the memory that the longest rejected request needs.
    fn larger_shares(&self) -> Vec<Change> {
        let seats = self.facts.seats.filter(|_| self.facts.takes == Takes::EqualShare);
        let Some(limit) = seats.map(|seats| seats.limit) else { return Vec::new() };
        let longest = u64::from(self.refused.longest_request);
        let each = self.info.kv_groups.blocks_for(longest, self.info.kv_block_tokens);
        let most = u64::from(self.info.kv_blocks).checked_div(each).unwrap_or(0) as u32;
        let fewer = most >= 1 && limit.most.is_some_and(|old| most < old);
        self.cut_short(self.limits(limit, fewer.then_some(most)))
    }

    fn shorter_chunks(&self) -> Vec<Change> {
        let Some(limit) = self.facts.longest_chunk else { return Vec::new() };
        let most = limit.most.map_or(self.bound.chunk, |limit| limit.min(self.bound.chunk));
        let values = [most / 2, most / 4, most / 16].map(|value| value / 16 * 16);
        self.limits(limit, values.into_iter().filter(|&value| value >= 32))
    }

    fn decodes_between(&self, values: impl Fn(u32) -> Vec<u32>) -> Vec<Change> {
        let Some(limit) = self.facts.decodes_between else { return Vec::new() };
        let now = limit.most.unwrap_or(0);
        let mut new = values(now);
        new.retain(|&new| new != now && (new > 0 || now > 1));
        self.limits(limit, new)
    }

    /// Tokens of a block as its memory is counted.
    pub(super) fn page_tokens(&self) -> u32 {
        self.config.build(&self.info).needs().engine(&self.info).kv_block_tokens
    }

    fn fewer_seats(&self) -> Vec<Change> {
        let Some(limit) = self.facts.seats.map(|seats| seats.limit) else { return Vec::new() };
        let most = limit.most.map_or(self.bound.running, |limit| limit.min(self.bound.running));
        // As many as memory holds when all have grown to the length of an average request.
        let tokens = u64::from(self.bound.blocks.1) * u64::from(self.page_tokens());
        let fit = tokens.checked_div(self.bound.request_tokens.into()).unwrap_or(0);
        let fit = u32::try_from(fit).unwrap_or(u32::MAX);
        let values = [fit, most / 4 * 3, most / 2, most / 4].map(round_seats);
        self.limits(limit, values.into_iter().filter(|&value| value >= 1 && value < most))
    }

    fn more_seats(&self) -> Vec<Change> {
        let Some(limit) = self.facts.seats.map(|seats| seats.limit) else { return Vec::new() };
        let Some(old) = limit.most.filter(|&old| self.bound.running >= old) else {
            return Vec::new();
        };
        self.limits(limit, [2, 4, 16].map(|times| old.saturating_mul(times)))
    }

    fn watermark(&self, values: &[f64], fits: impl Fn(f64, f64) -> bool) -> Vec<Change> {
        let Some(parameter) = self.facts.watermark else { return Vec::new() };
        let Some(old) = self.config.parameters()[parameter].as_f64() else { return Vec::new() };
        let new = values.iter().filter(|&&new| fits(new, old));
        new.map(|&new| Change {
            words: format!("{parameter} {old} -> {new}"),
            ..self.parameter(parameter, None, new.into())
        })
        .collect()
    }

    /// The order by priority, where requests differ in it.
    fn by_priority(&self) -> Vec<Change> {
        let patient = self.patient;
        if !patient.requests.priorities_differ(patient.experiment) {
            return Vec::new();
        }
        self.switch(scheduler::Effect::OrdersByPriority)
    }

    fn preempted(&self) -> bool {
        self.patient.output.outcome.kv.preemptions > 0
    }

    pub(super) fn swap(&self, wanted: Wanted) -> Vec<Change> {
        let old = self.config.name();
        let change = |swap: super::swap::Swap| {
            let parameters = Value::Object(swap.parameters);
            let entry: Map<String, Value> =
                [(swap.name.to_owned(), parameters)].into_iter().collect();
            let mut set =
                vec![format!("schedulers.{}={}", self.patient.scheduler, Value::Object(entry))];
            set.extend(
                swap.plans_ahead.then(|| format!("{}engine.async_scheduling=false", self.at)),
            );
            let caches = swap.caches && wanted != Wanted::Prefixes && self.prompts_share();
            set.extend(caches.then(|| format!("{}engine.prefix_caching=false", self.at)));
            let words = format!("scheduler {old} -> {}", swap.name);
            let not_held = swap.not_held;
            Change { not_held, other_scheduler: true, ..Change::new(words, set) }
        };
        let switches = Switches {
            planning: self.engine.async_scheduling,
            caching: self.engine.prefix_caching,
        };
        swaps(self.config, &self.info, switches, wanted).into_iter().map(change).collect()
    }
}

/// Numbers of seats that people set: a multiple of eight from sixteen on.
pub(super) fn round_seats(seats: u32) -> u32 {
    if seats >= 16 { seats / 8 * 8 } else { seats }
}

/// The path of a setting with its `=`.
fn before_value(set: &str) -> &str {
    set.find('=').map_or(set, |end| &set[..=end])
}

/// A value as `--set` takes it.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn shown(value: &Value) -> String {
    if value.is_null() {
        return "default".to_owned();
    }
    if let Some(whole) = value.as_f64().filter(|number| number.fract() == 0.0) {
        return whole.to_string();
    }
    written(value)
}
