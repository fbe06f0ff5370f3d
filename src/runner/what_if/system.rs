//! Changes to the engine, the GPUs, the router and the load of a run.

use super::change::{Change, Load, Maker};
use super::swap::Wanted;
use crate::cost::{Dtype, KvDtype};
use crate::fleet::LoadOverlap;
use crate::runner::Requests;
use crate::scenario::raw::{
    Arrivals, ClosedLoop, Parallelism, RouterMap, RouterRef, WithinRef, Workload,
};
use crate::scenario::{BlocksFrom, LengthFrom, RouterKind};
use crate::scheduler::{self, Bounds};

const PRECISION: &str = "precision of the numbers";
const SERVED: &str = "load: fewer users, or fewer requests a second";
const MEMORY: &str = "money: it takes GPUs with more memory";

/// Share of the GPU's memory that engines commonly go up to.
const UTILIZATION: f64 = 0.95;

impl Maker<'_> {
    fn blocks_are_given(&self) -> bool {
        self.replicas.derived.kv_blocks.from == BlocksFrom::Given
    }

    /// KV blocks that the GPU's memory holds with these settings; `None` where none is known.
    fn blocks_that_fit(&self, set: &[String]) -> Option<u64> {
        self.replicas.gpu?;
        let mut set = set.to_vec();
        set.push(format!("{}engine.kv_blocks=null", self.at));
        let document = self.patient.document.clone().with(&set).ok()?;
        let experiment = document.resolve(self.patient.seed).ok()?.experiment;
        let pool = self.patient.pool().unwrap_or_default();
        Some(experiment.fleet()[pool.index()].engine.kv_blocks.into())
    }

    /// Whether KV memory was full, or too small for a request.
    pub(super) fn memory_bounds(&self) -> bool {
        self.bound.memory_was_full(self.page_tokens()) || self.refused.blocks(&self.info) > 0
    }

    /// Whether the context is as long as the KV memory lets it be, and too short.
    pub(super) fn memory_bounds_context(&self) -> bool {
        let follows = self.replicas.derived.max_model_len.from == LengthFrom::KvCache;
        follows && u64::from(self.refused.longest_in_context()) > self.kv_tokens()
    }

    /// Tokens that the KV memory of a replica holds.
    fn kv_tokens(&self) -> u64 {
        self.info.kv_tokens().into()
    }

    pub(super) fn more_blocks(&self) -> Vec<Change> {
        let refused = self.refused.blocks(&self.info);
        let Some(old) = self.replicas.engine.kv_blocks.map(u64::from) else { return Vec::new() };
        let utilization = format!("{}engine.gpu_memory_utilization={UTILIZATION}", self.at);
        let most = self.blocks_that_fit(&[utilization]);
        let change = |new: u64| {
            let words = format!("KV blocks {old} -> {new}{}", self.of_pool);
            let change = Change::new(words, vec![format!("{}engine.kv_blocks={new}", self.at)]);
            // Without a GPU the blocks are memory that somebody must buy.
            let fits = most.is_some_and(|most| new <= most);
            if fits { change } else { change.gives_up(MEMORY) }
        };
        let mut more = vec![old + old / 2, old * 2, old * 4];
        // All that the GPU's memory holds, where the scenario gave fewer.
        more.extend(most.filter(|&most| self.blocks_are_given() && most > old * 4));
        // The null block is not handed out.
        more.extend(Some(refused + 1).filter(|&enough| refused > 0 && enough > old * 2));
        // Blocks that follow from memory and still fit come with a higher utilization, by its name.
        let by_utilization = |new: u64| !self.blocks_are_given() && most.is_some_and(|m| new <= m);
        more.into_iter().filter(|&new| !by_utilization(new)).map(change).collect()
    }

    pub(super) fn higher_utilization(&self) -> Vec<Change> {
        // Where the scenario gives the number of blocks, this would change nothing.
        let Some(old) = self.replicas.engine.gpu_memory_utilization else { return Vec::new() };
        if self.blocks_are_given() || self.replicas.gpu.is_none() || old >= UTILIZATION {
            return Vec::new();
        }
        let words = format!("gpu_memory_utilization {old} -> {UTILIZATION}{}", self.of_pool);
        let set = format!("{}engine.gpu_memory_utilization={UTILIZATION}", self.at);
        vec![Change::new(words, vec![set])]
    }

    pub(super) fn shorter_model_len(&self) -> Vec<Change> {
        let reserves = self.facts.takes == scheduler::Takes::MaxModelLen;
        let longest = self.bound.longest_request.saturating_add(1).next_multiple_of(16);
        let old = self.info.max_model_len;
        if !reserves || longest >= old {
            return Vec::new();
        }
        let words = format!("max_model_len {old} -> {longest}{}", self.of_pool);
        let change = Change::new(words, vec![format!("{}engine.max_model_len={longest}", self.at)]);
        vec![change.gives_up("length: longer requests would be rejected")]
    }

    /// A context that holds the longest request that was rejected.
    pub(super) fn longer_model_len(&self) -> Vec<Change> {
        let old = self.info.max_model_len;
        // The answers of those that were turned away were cut to the context that they had.
        let longest = self.refused.longest_in_context();
        let new = longest.checked_next_multiple_of(16).filter(|&new| new > old);
        // A context that memory cannot hold lets nobody in.
        let Some(new) = new.filter(|_| u64::from(longest) <= self.kv_tokens()) else {
            return Vec::new();
        };
        let words = format!("max_model_len {old} -> {new}{}", self.of_pool);
        let mut longer = Change::new(words, vec![format!("{}engine.max_model_len={new}", self.at)]);
        // A budget for whole prompts would refuse what the context lets in.
        let whole = self.facts.budget.filter(|budget| budget.bounds == Bounds::WholePrompts);
        let limit = whole.map(|budget| budget.limit);
        let limit = limit.filter(|limit| limit.most.is_some_and(|most| most < new));
        if let Some(limit) =
            limit.filter(|limit| !self.config.parameters()[limit.parameter].is_null())
        {
            let also = self.parameter(limit.parameter, limit.most, new.into());
            longer.words = format!("{}, {}", longer.words, also.words);
            longer.set.extend(also.set);
        }
        vec![Change { load: Load::Drawn, ..longer }]
    }

    pub(super) fn kv_in_fp8(&self) -> Vec<Change> {
        let narrow = matches!(
            self.replicas.engine.kv_cache_dtype,
            Some(KvDtype::Fp8 | KvDtype::Int8 | KvDtype::Nvfp4)
        );
        self.fp8("kv_cache_dtype", "KV cache", narrow)
    }

    pub(super) fn weights_in_fp8(&self) -> Vec<Change> {
        self.fp8(
            "dtype",
            "weights",
            !matches!(self.replicas.engine.dtype, Some(Dtype::Bf16 | Dtype::Fp16)),
        )
    }

    fn fp8(&self, key: &str, of: &str, narrow: bool) -> Vec<Change> {
        if self.replicas.gpu.is_none() || narrow {
            return Vec::new();
        }
        let set = format!("{}engine.{key}=fp8", self.at);
        let mut words = format!("{of} in fp8{}", self.of_pool);
        let mut all = vec![set.clone()];
        // Blocks that the scenario gives would stay as many: the memory that comes free holds more.
        let given =
            self.replicas.engine.kv_blocks.filter(|_| self.blocks_are_given()).map(u64::from);
        let more = given.and_then(|given| {
            let (before, after) = (self.blocks_that_fit(&[])?, self.blocks_that_fit(&[set])?);
            Some((given, (given * after).checked_div(before)?))
        });
        if let Some((given, more)) = more.filter(|&(given, more)| more > given) {
            words = format!("{words}, KV blocks {given} -> {more}");
            all.push(format!("{}engine.kv_blocks={more}", self.at));
        }
        vec![Change::new(words, all).gives_up(PRECISION)]
    }

    pub(super) fn prefix_caching(&self) -> Vec<Change> {
        let needs = self.config.build(&self.info).needs();
        let can = needs.can_cache();
        if (self.info.prefix_caching || needs.always_caches) && can || !self.prompts_share() {
            return Vec::new();
        }
        let set = format!("{}engine.prefix_caching=true", self.at);
        if can {
            return vec![Change::new(format!("prefix caching{}", self.of_pool), vec![set])];
        }
        let mut changes = self.swap(Wanted::Prefixes);
        for change in &mut changes {
            change.words.push_str(" with prefix caching");
            change.set.extend((!self.info.prefix_caching).then(|| set.clone()));
        }
        changes
    }

    /// Whether prompts are known to begin alike.
    pub(super) fn prompts_share(&self) -> bool {
        match self.patient.requests {
            Requests::Open(workload) => {
                !workload.block_ids.is_empty() || !workload.turns.is_empty()
            }
            Requests::Closed(_) => self.workload().is_some_and(|workload| {
                workload.prefix_groups.is_some() || workload.sessions.is_some()
            }),
        }
    }

    pub(super) fn router(&self) -> Vec<Change> {
        self.routers(&[RouterKind::LeastRequests, RouterKind::LeastTokens])
    }

    /// A router that sends each session back to the replica that had its turn before.
    pub(super) fn session_router(&self) -> Vec<Change> {
        match self.patient.requests.has_sessions() {
            true => self.routers(&[RouterKind::SessionAffinity]),
            false => Vec::new(),
        }
    }

    fn routers(&self, others: &[RouterKind]) -> Vec<Change> {
        if self.patient.experiment.replicas < 2 {
            return Vec::new();
        }
        let named = |router: &RouterKind| {
            RouterKind::NAMES
                .into_iter()
                .find(|name| RouterKind::by_name(name).as_ref() == Some(router))
        };
        let to = |path: &str, old: &str| -> Vec<Change> {
            let new = others.iter().filter_map(named).filter(|name| *name != old);
            let change = |name| {
                Change::new(format!("{path} {old} -> {name}"), vec![format!("{path}={name}")])
            };
            new.map(change).collect()
        };
        match &self.patient.resolved.filled.router {
            None => to("router", "round-robin"),
            Some(RouterRef::Text(name)) => to("router", name),
            // Within the replicas of each class, and over all of them.
            Some(RouterRef::Map(map)) if map.class_to_pool.is_none() => {
                to("router", map.names().first().map_or("round-robin", String::as_str))
            }
            Some(RouterRef::Map(RouterMap { within, .. })) => {
                let within = match within {
                    None => "round-robin".to_owned(),
                    Some(WithinRef::Text(name)) => name.clone(),
                    Some(WithinRef::Map(map)) => map.clone().over_all().names().concat(),
                };
                let within = within.as_str();
                to("router", "by class").into_iter().chain(to("router.within", within)).collect()
            }
        }
    }

    /// Routers that go by what replicas have cached, where there is something to go by.
    pub(super) fn cache_aware_router(&self) -> Vec<Change> {
        let experiment = self.patient.experiment;
        let caches = self.config.build(&self.info).needs().caches_on(&self.info);
        let in_turn = !matches!(experiment.router, RouterKind::ClassToPool(_));
        let blind = in_turn && !experiment.router.reads_prompts();
        if experiment.replicas < 2 || !blind || !caches || !self.prompts_share() {
            return Vec::new();
        }
        let old = match &self.patient.resolved.filled.router {
            None => "round-robin".to_owned(),
            Some(RouterRef::Text(name)) => name.clone(),
            Some(RouterRef::Map(map)) => map.names().concat(),
        };
        let change = |name: &str| {
            Change::new(format!("router {old} -> {name}"), vec![format!("router={name}")])
        };
        ["sglang-cache-aware", "dynamo-kv"].map(change).into()
    }

    /// Lower thresholds of a router that goes by what is cached unless requests pile up.
    pub(super) fn balance_sooner(&self) -> Vec<Change> {
        let experiment = self.patient.experiment;
        if experiment.replicas < 2 {
            return Vec::new();
        }
        let given = matches!(&self.patient.resolved.filled.router, Some(RouterRef::Map(_)));
        let (name, key, old, lower) = match &experiment.router {
            RouterKind::SglangCacheAware(set) => {
                let now = set.balance_abs_threshold;
                let lower = [now / 4, now / 16];
                ("sglang-cache-aware", "balance_abs_threshold", now.to_string(), lower)
            }
            RouterKind::RayPrefix(set) => {
                let now = set.imbalanced_threshold;
                let lower = now.map_or([16, 4], |now| [now as u32 / 4, now as u32 / 16]);
                let old = now.map_or("none".to_owned(), |now| now.to_string());
                ("ray-prefix", "imbalanced_threshold", old, lower)
            }
            _ => return Vec::new(),
        };
        let change = |new: u32| {
            let set = match given {
                true => format!("router.{name}.{key}={new}"),
                false => format!("router={{{name}: {{{key}: {new}}}}}"),
            };
            Change::new(format!("{key} {old} -> {new}"), vec![set])
        };
        let [one, two] = lower;
        [one, two][..if one == two { 1 } else { 2 }].iter().map(|&new| change(new)).collect()
    }

    pub(super) fn plan_ahead(&self) -> Vec<Change> {
        let can = self.config.build(&self.info).needs().plans_ahead;
        if !can || self.engine.async_scheduling(self.config) || self.replicas.gpu.is_none() {
            return Vec::new();
        }
        let set = format!("{}engine.async_scheduling=true", self.at);
        vec![Change::new(format!("async_scheduling false -> true{}", self.of_pool), vec![set])]
    }

    pub(super) fn plan_in_time(&self) -> Vec<Change> {
        let on = self.engine.async_scheduling(self.config);
        if !on || !self.config.build(&self.info).needs().plans_ahead {
            return Vec::new();
        }
        let set = format!("{}engine.async_scheduling=false", self.at);
        vec![Change::new(format!("async_scheduling true -> false{}", self.of_pool), vec![set])]
    }

    pub(super) fn load_beside(&self) -> Vec<Change> {
        let overlap = self.engine.tiers.as_deref().map(|tiers| tiers.overlap);
        if !overlap.is_some_and(LoadOverlap::is_in_step) {
            return Vec::new();
        }
        let set = format!("{}engine.kv_load.overlap=steps", self.at);
        vec![Change::new(format!("KV loads beside steps{}", self.of_pool), vec![set])]
    }

    /// GPUs that share every layer, and pipeline stages.
    fn tensor_and_stages(&self) -> (u64, u64) {
        let Parallelism { tensor, pipeline, .. } = self.replicas.parallelism;
        (tensor.unwrap_or(1).into(), pipeline.unwrap_or(1).into())
    }

    fn workload(&self) -> Option<&Workload> {
        self.patient.resolved.filled.workload.as_ref()
    }

    pub(super) fn tensor_for_pipeline(&self) -> Vec<Change> {
        let (tensor, stages) = self.tensor_and_stages();
        if stages < 2 || self.replicas.gpu.is_none() {
            return Vec::new();
        }
        let (at, new) = (&self.at, tensor * stages);
        let replicas = u64::from(self.replicas.replicas);
        let one_stage = format!("{at}parallelism.pipeline=1");
        let change = |words: String, more: Option<String>| {
            let set = [one_stage.clone()].into_iter().chain(more).collect();
            Change::new(format!("{words}{}", self.of_pool), set)
        };
        vec![
            change(
                format!("tensor {tensor}, pipeline {stages} -> tensor {new}, pipeline 1"),
                Some(format!("{at}parallelism.tensor={new}")),
            ),
            change(
                format!(
                    "pipeline {stages}, replicas {replicas} -> pipeline 1, replicas {}",
                    replicas * stages
                ),
                Some(format!("{at}replicas={}", replicas * stages)),
            ),
            change(format!("pipeline {stages} -> 1"), None),
        ]
    }

    /// Less tensor parallelism: as many GPUs in more replicas, and fewer GPUs.
    pub(super) fn replicas_for_tensor(&self) -> Vec<Change> {
        let (tensor, _) = self.tensor_and_stages();
        if !tensor.is_multiple_of(2) {
            return Vec::new();
        }
        let (at, replicas) = (&self.at, u64::from(self.replicas.replicas));
        let mut changes = Vec::new();
        for less in [tensor / 2, 1] {
            let (more, set) = (replicas * tensor / less, format!("{at}parallelism.tensor={less}"));
            let words = format!(
                "tensor {tensor}, replicas {replicas} -> tensor {less}, replicas {more}{}",
                self.of_pool
            );
            changes.push(Change::new(words, vec![set.clone(), format!("{at}replicas={more}")]));
            let words = format!("tensor {tensor} -> {less}{}", self.of_pool);
            changes.push(Change::new(words, vec![set]));
            if less == 1 {
                break;
            }
        }
        changes
    }

    pub(super) fn replicas(&self) -> Vec<Change> {
        let old = u64::from(self.replicas.replicas);
        let words = |new: u64| format!("replicas {old} -> {new}{}", self.of_pool);
        let change = |new: u64| Change::new(words(new), vec![format!("{}replicas={new}", self.at)]);
        vec![change(old + 1)]
    }

    pub(super) fn tensor_doubled(&self) -> Vec<Change> {
        // A fixed iteration time knows no GPUs.
        if self.replicas.gpu.is_none() {
            return Vec::new();
        }
        let (old, _) = self.tensor_and_stages();
        let words = format!("tensor {old} -> {}{}", old * 2, self.of_pool);
        vec![Change::new(words, vec![format!("{}parallelism.tensor={}", self.at, old * 2)])]
    }

    pub(super) fn less_load(&self) -> Vec<Change> {
        let Some(Workload { trace, arrivals, sessions, .. }) = self.workload() else {
            return Vec::new();
        };
        let (at, arrivals) = match trace {
            _ if sessions.is_some() => (
                "workload.sessions.arrivals",
                sessions.as_ref().and_then(|sessions| sessions.arrivals.as_ref()),
            ),
            None => ("workload.arrivals", arrivals.as_ref()),
            Some(trace) => ("workload.trace.arrivals", trace.arrivals.as_ref()),
        };
        let parts = [0.75, 0.5, 0.25];
        let less = |change: Change| Change {
            less_load: true,
            load: Load::Drawn,
            ..change.gives_up(SERVED)
        };
        if let Some(arrivals @ Arrivals::ClosedLoop(ClosedLoop { users, .. })) = arrivals {
            let (name, users) = (arrivals.name(), u64::from(*users));
            let fewer = parts.map(|part| libm::floor(users as f64 * part) as u64);
            let fewer = fewer.into_iter().filter(|&fewer| fewer > 0 && fewer < users);
            return fewer
                .map(|fewer| {
                    let set = format!("{at}.{name}.users={fewer}");
                    less(Change::new(format!("users {users} -> {fewer}"), vec![set]))
                })
                .collect();
        }
        if let Some((name, rate)) = arrivals.and_then(|of| Some((of.name(), of.rate()?))) {
            let lower = parts.map(|part| rounded(rate * part));
            return lower
                .into_iter()
                .map(|lower| {
                    let set = format!("{at}.{name}.rate={lower}");
                    less(Change::new(format!("rate {rate}/s -> {lower}/s"), vec![set]))
                })
                .collect();
        }
        if let (Some(trace), None) = (trace, arrivals) {
            let scale = trace.time_scale.unwrap_or(1.0);
            let slower = parts.map(|part| rounded(scale * part));
            return slower
                .into_iter()
                .map(|slower| {
                    let set = format!("workload.trace.time_scale={slower}");
                    less(Change::new(format!("time_scale {scale} -> {slower}"), vec![set]))
                })
                .collect();
        }
        Vec::new()
    }
}

/// To three digits, so that what is asked for can be read.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
