//! Changes to the engine, the GPUs, the router and the load of a run.

use serde_json::Value;

use super::change::{Change, Load, Maker};
use super::swap::Wanted;
use crate::runner::Requests;
use crate::scenario::RouterKind;
use crate::scheduler::{self, Bounds};

const PRECISION: &str = "precision of the numbers";
const SERVED: &str = "load: fewer are served";
const MEMORY: &str = "money: it takes GPUs with more memory";

/// Share of the GPU's memory that engines commonly go up to.
const UTILIZATION: f64 = 0.95;

impl Maker<'_> {
    fn blocks_are_given(&self) -> bool {
        self.derived["kv_blocks"]["from"].as_str() == Some("given")
    }

    /// KV blocks that the GPU's memory holds with these settings; `None` where none is known.
    fn blocks_that_fit(&self, set: &[String]) -> Option<u64> {
        if self.pool["gpu"].is_null() {
            return None;
        }
        let mut set = set.to_vec();
        set.push(format!("{}engine.kv_blocks=null", self.at));
        let document = self.patient.document.clone().with(&set).ok()?;
        let experiment = document.resolve(self.patient.seed).ok()?.experiment;
        let pool = self.patient.pool.unwrap_or_default();
        Some(experiment.fleet()[pool.index()].engine_info().kv_blocks.into())
    }

    pub(super) fn more_blocks(&self) -> Vec<Change> {
        let refused = self.refused.blocks(self.info.kv_block_tokens);
        if !self.bound.memory_was_full(self.info.kv_block_tokens)
            && self.patient.output.outcome.kv.evicted_blocks == 0
            && refused == 0
        {
            return Vec::new();
        }
        let Some(old) = self.pool["engine"]["kv_blocks"].as_u64() else { return Vec::new() };
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
        let Some(old) = self.pool["engine"]["gpu_memory_utilization"].as_f64() else {
            return Vec::new();
        };
        if self.blocks_are_given() || self.pool["gpu"].is_null() || old >= UTILIZATION {
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
        let prompt = self.refused.longest_prompt;
        let longest = prompt.saturating_add(self.refused.longest_answer).saturating_add(1);
        let Some(new) = longest.checked_next_multiple_of(16).filter(|&new| new > old) else {
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

    pub(super) fn fp8(&self, key: &str, of: &str, narrow: &[&str]) -> Vec<Change> {
        let old = self.pool["engine"][key].as_str().unwrap_or("auto");
        if self.pool["gpu"].is_null() || narrow.contains(&old) {
            return Vec::new();
        }
        let set = format!("{}engine.{key}=fp8", self.at);
        let mut words = format!("{of} in fp8{}", self.of_pool);
        let mut all = vec![set.clone()];
        // Blocks that the scenario gives would stay as many: the memory that comes free holds more.
        let given = self.pool["engine"]["kv_blocks"].as_u64().filter(|_| self.blocks_are_given());
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
        let can = self.config.build(&self.info).needs().cache.is_some();
        if self.info.prefix_caching && can || !self.prompts_share() {
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
    fn prompts_share(&self) -> bool {
        match self.patient.requests {
            Requests::Open(workload) => !workload.block_ids.is_empty(),
            Requests::Closed(_) => !self.patient.resolved["workload"]["prefix_groups"].is_null(),
        }
    }

    pub(super) fn router(&self) -> Vec<Change> {
        if self.patient.experiment.replicas < 2 {
            return Vec::new();
        }
        let router = &self.patient.resolved["router"];
        let by_load = [RouterKind::LeastRequests, RouterKind::LeastTokens];
        let named = |router: &RouterKind| {
            RouterKind::NAMES
                .into_iter()
                .find(|name| RouterKind::by_name(name).as_ref() == Some(router))
        };
        let to = |path: &str, old: &str| -> Vec<Change> {
            let new = by_load.iter().filter_map(named).filter(|name| *name != old);
            let change = |name| {
                Change::new(format!("{path} {old} -> {name}"), vec![format!("{path}={name}")])
            };
            new.map(change).collect()
        };
        if !router.is_object() {
            return to("router", router.as_str().unwrap_or("round-robin"));
        }
        // Within the replicas of each class, and over all of them.
        let within = router["within"].as_str().unwrap_or("round-robin");
        to("router", "by class").into_iter().chain(to("router.within", within)).collect()
    }

    pub(super) fn plan_ahead(&self) -> Vec<Change> {
        let can = self.config.build(&self.info).needs().plans_ahead;
        let off = self.pool["engine"]["async_scheduling"] == Value::Bool(false);
        if !can || !off || self.pool["gpu"].is_null() {
            return Vec::new();
        }
        let set = format!("{}engine.async_scheduling=true", self.at);
        vec![Change::new(format!("async_scheduling false -> true{}", self.of_pool), vec![set])]
    }

    pub(super) fn plan_in_time(&self) -> Vec<Change> {
        let on = self.pool["engine"]["async_scheduling"] == Value::Bool(true);
        if !on || !self.config.build(&self.info).needs().plans_ahead {
            return Vec::new();
        }
        let set = format!("{}engine.async_scheduling=false", self.at);
        vec![Change::new(format!("async_scheduling true -> false{}", self.of_pool), vec![set])]
    }

    fn parallel(&self, key: &str) -> Option<u64> {
        self.pool["parallelism"][key].as_u64()
    }

    pub(super) fn tensor_for_pipeline(&self) -> Vec<Change> {
        let (Some(tensor), Some(stages)) = (self.parallel("tensor"), self.parallel("pipeline"))
        else {
            return Vec::new();
        };
        if stages < 2 || self.pool["gpu"].is_null() {
            return Vec::new();
        }
        let (at, new) = (&self.at, tensor * stages);
        let replicas = self.pool["replicas"].as_u64().unwrap_or(1);
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
        let Some(tensor) = self.parallel("tensor").filter(|tensor| tensor.is_multiple_of(2)) else {
            return Vec::new();
        };
        let (at, replicas) = (&self.at, self.pool["replicas"].as_u64().unwrap_or(1));
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
        let old = self.pool["replicas"].as_u64().unwrap_or(1);
        let words = |new: u64| format!("replicas {old} -> {new}{}", self.of_pool);
        let change = |new: u64| Change::new(words(new), vec![format!("{}replicas={new}", self.at)]);
        vec![change(old + 1)]
    }

    pub(super) fn tensor_doubled(&self) -> Vec<Change> {
        // A fixed iteration time knows no GPUs.
        let Some(old) = self.parallel("tensor").filter(|_| !self.pool["gpu"].is_null()) else {
            return Vec::new();
        };
        let words = format!("tensor {old} -> {}{}", old * 2, self.of_pool);
        vec![Change::new(words, vec![format!("{}parallelism.tensor={}", self.at, old * 2)])]
    }

    pub(super) fn less_load(&self) -> Vec<Change> {
        let workload = &self.patient.resolved["workload"];
        let trace = &workload["trace"];
        let (at, arrivals) = match trace.is_null() {
            true => ("workload.arrivals", &workload["arrivals"]),
            false => ("workload.trace.arrivals", &trace["arrivals"]),
        };
        let parts = [0.75, 0.5, 0.25];
        let less = |change: Change| Change { load: Load::Drawn, ..change.gives_up(SERVED) };
        if let Some((name, users)) =
            named(arrivals).and_then(|(name, of)| Some((name, of["users"].as_u64()?)))
        {
            let fewer = parts.map(|part| libm::floor(users as f64 * part) as u64);
            let fewer = fewer.into_iter().filter(|&fewer| fewer > 0 && fewer < users);
            return fewer
                .map(|fewer| {
                    let set = format!("{at}.{name}.users={fewer}");
                    less(Change::new(format!("users {users} -> {fewer}"), vec![set]))
                })
                .collect();
        }
        if let Some((name, rate)) =
            named(arrivals).and_then(|(name, of)| Some((name, of["rate"].as_f64()?)))
        {
            let lower = parts.map(|part| rounded(rate * part));
            return lower
                .into_iter()
                .map(|lower| {
                    let set = format!("{at}.{name}.rate={lower}");
                    less(Change::new(format!("rate {rate}/s -> {lower}/s"), vec![set]))
                })
                .collect();
        }
        if !trace.is_null() && arrivals.is_null() {
            let scale = trace["time_scale"].as_f64().unwrap_or(1.0);
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

/// The one member of a map, such as `{poisson: {...}}`.
fn named(map: &Value) -> Option<(&str, &Value)> {
    map.as_object()?.iter().next().map(|(name, value)| (name.as_str(), value))
}

/// To three digits, so that what is asked for can be read.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
