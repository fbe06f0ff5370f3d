//! Reading golden scheduler cases and setting up the policy that replays each.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metron_sim::ids::ClassId;
use metron_sim::kv::host_tier::{HostTierRules, JobId, Lookup};
use metron_sim::replica::{Accepts, Became, Failure, TransferRules};
use metron_sim::request::RequestId;
use metron_sim::scheduler::{Capability, EngineInfo, KvGroups, SchedulerConfig, WindowGroups};
use metron_sim::sim::{
    Replay, ReplayRequest, ReplayTransfer, ReplayTransfers, Scheduled, StepRecord,
};
use metron_sim::speculative::{DraftRules, Method};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::shared::{say, shared};

#[derive(Deserialize)]
struct File_ {
    config: Value,
    requests: Vec<GoldenRequest>,
    steps: Vec<GoldenStep>,
}

#[derive(Deserialize)]
struct GoldenRequest {
    id: String,
    arrival_step: u64,
    prompt: u32,
    output: u32,
    max_tokens: Option<u32>,
    #[serde(default)]
    remote_prefill: bool,
    load_steps: Option<u64>,
    fail_block: Option<Value>,
    #[serde(default)]
    remote_decode: bool,
    send_steps: Option<u64>,
    /// How many drafts are accepted, verification by verification.
    #[serde(default)]
    accept: Vec<u32>,
    /// How many are found, sample by sample, where they have to be looked for.
    #[serde(default)]
    drafts: Vec<u32>,
    #[serde(default)]
    priority: i32,
    prefix_group: Option<Value>,
    prefix_len: Option<u32>,
    parent: Option<String>,
    #[serde(default)]
    parent_tokens: u32,
    /// Of blocks of prompt and answer.
    #[serde(default)]
    block_ids: Vec<u64>,
}

#[derive(Deserialize)]
pub(crate) struct GoldenStep {
    pub step: u64,
    scheduled: Vec<GoldenEntry>,
    pub preempted: Vec<String>,
    pub finished: Vec<String>,
    pub free_blocks_after_schedule: u32,
    pub num_waiting: usize,
    pub num_running: usize,
    #[serde(default)]
    pub ignored: Vec<String>,
    #[serde(default)]
    pub processed: Option<u64>,
    #[serde(default)]
    loads_started: Vec<GoldenLoad>,
    #[serde(default)]
    recv_done: Vec<String>,
    #[serde(default)]
    sent_done: Vec<String>,
    #[serde(default)]
    load_failed: Vec<String>,
    num_loading: Option<usize>,
    num_holding_for_send: Option<usize>,
    offload: Option<GoldenOffload>,
}

#[derive(Deserialize)]
struct GoldenLoad {
    #[serde(default)]
    job: Option<u64>,
    id: String,
    #[serde(default)]
    external_tokens: Option<u32>,
    blocks: u32,
}

#[derive(Deserialize)]
struct GoldenStore {
    job: u64,
    id: String,
    blocks: u32,
    first_block: u32,
}

#[derive(Deserialize)]
struct GoldenOffload {
    #[serde(default)]
    lookups: Vec<(String, u32, Option<u32>)>,
    #[serde(default)]
    loads_started: Vec<GoldenLoad>,
    #[serde(default)]
    stores_started: Vec<GoldenStore>,
    #[serde(default)]
    flushed: Vec<u64>,
    #[serde(default)]
    done: Vec<u64>,
    #[serde(default)]
    evicted: Vec<Value>,
    #[serde(default)]
    store_refused: Vec<String>,
    cpu_chunks_used: u32,
}

#[derive(Deserialize, Clone)]
struct GoldenEntry {
    id: String,
    num_tokens: u32,
    kind: String,
    computed_before: u32,
    emits: u32,
    #[serde(default)]
    recompute: bool,
    spec: Option<u32>,
    accepted: Option<u32>,
    #[serde(default)]
    pad: u32,
    placeholders_before: Option<u32>,
    #[serde(default)]
    ignored: u32,
    stale: Option<String>,
}

/// One scheduled request, as compared.
#[derive(Debug, PartialEq, Clone)]
pub(crate) struct Entry {
    pub id: String,
    pub tokens: u32,
    pub kind: String,
    pub computed_before: u32,
    pub emits: u32,
    pub recompute: bool,
    /// What became of it, where the case says: drafts verified and accepted, placeholders, and what
    /// processing found.
    pub fate: Option<Fate>,
}

/// What became of a scheduled request.
#[derive(Debug, PartialEq, Clone)]
pub(crate) struct Fate {
    pub drafts: u32,
    pub accepted: Option<u32>,
    pub padded: bool,
    pub placeholders: u32,
    pub became: Became,
}

impl GoldenStep {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entry = |e: &GoldenEntry| Entry {
            id: e.id.clone(),
            tokens: e.num_tokens,
            kind: e.kind.clone(),
            computed_before: e.computed_before,
            emits: e.emits,
            recompute: e.recompute,
            fate: (e.spec.is_some() || e.placeholders_before.is_some()).then(|| Fate {
                drafts: e.spec.unwrap_or(0),
                accepted: e.accepted,
                padded: e.pad == 1,
                placeholders: e.placeholders_before.unwrap_or(0),
                became: match (e.ignored, e.stale.as_deref()) {
                    (1, _) => Became::Ignored,
                    (_, Some("delivered")) => Became::Stale,
                    (_, Some("dropped")) => Became::Dropped,
                    (_, Some(other)) => panic!("stale: {other}"),
                    (_, None) => Became::Planned,
                },
            }),
        };
        self.scheduled.iter().map(entry).collect()
    }
}

pub(crate) struct Case {
    pub name: String,
    config: Value,
    requests: Vec<GoldenRequest>,
    pub steps: Vec<GoldenStep>,
}

impl Case {
    fn read(path: &Path) -> Case {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file: File_ = serde_json::from_str(&text_of(path))
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Case { name, config: file.config, requests: file.requests, steps: file.steps }
    }

    pub(crate) fn is_nano(&self) -> bool {
        self.config["scheduler"] == "nano_vllm"
    }

    pub(crate) fn ids(&self, requests: &[RequestId]) -> Vec<String> {
        requests.iter().map(|&r| self.requests[r.index()].id.clone()).collect()
    }

    pub(crate) fn entry(&self, s: &Scheduled) -> Entry {
        Entry {
            id: self.requests[s.request.index()].id.clone(),
            tokens: s.tokens,
            kind: if s.prefill { "prefill" } else { "decode" }.to_owned(),
            computed_before: s.computed_before,
            emits: s.became.map_or(u32::from(s.emits), |became| became.emits),
            recompute: s.recompute,
            fate: s.became.filter(|_| self.tells_fates()).map(|brought| Fate {
                drafts: brought.drafts,
                accepted: (brought.drafts > 0).then_some(brought.accepted),
                padded: brought.padded,
                placeholders: brought.placeholders_before,
                became: brought.became,
            }),
        }
    }

    /// Whether the case says what became of each entry.
    fn tells_fates(&self) -> bool {
        self.config["async_scheduling"] == true || !self.config["spec"].is_null()
    }

    /// Stages of the pipeline.
    fn stages(&self) -> u32 {
        self.number("pipeline_parallel_size").unwrap_or(1)
    }

    /// Whether several batches are out at once.
    pub(crate) fn overlaps(&self) -> bool {
        self.planned_ahead() || self.stages() > 1
    }

    /// Who drafts; what that implies is held to what the case says.
    fn drafts(&self) -> Option<DraftRules> {
        let spec = &self.config["spec"];
        let tokens = spec["k"].as_u64()? as u32;
        let method = match spec["method"].as_str().expect("method") {
            "eagle" => Method::Eagle,
            "mtp" if spec["multi_module"] == true => Method::Mtp { modules: tokens },
            "mtp" => Method::Mtp { modules: 1 },
            "ngram" => Method::Ngram,
            "draft_model" => Method::DraftModel,
            other => panic!("{}: drafts by {other}", self.name),
        };
        let rules = DraftRules { method, tokens, off_above_running: None, by_batch_size: None };
        let said = |key: &str| spec[key].as_u64().unwrap_or(0) as u32;
        assert_eq!(rules.lookahead_slots(), said("num_lookahead_tokens"), "{}", self.name);
        assert_eq!(rules.prefill_lookahead(), said("num_prefill_lookahead_tokens"));
        assert_eq!(rules.draft_slots(), said("max_num_new_slots_for_drafting"));
        Some(rules)
    }

    /// The content ids of each request.
    pub(crate) fn block_ids(&self) -> Vec<Vec<u64>> {
        self.requests.iter().map(|request| request.block_ids.clone()).collect()
    }

    pub(crate) fn replay(&self, reference: bool) -> Replay {
        let engine = self.engine();
        let config = self.scheduler();
        let problems = config.problems(&engine);
        assert!(problems.is_empty(), "{}: {problems:?}", self.name);
        let replay = Replay::new(config.build(&engine), &engine, self.replay_requests(), reference);
        let replay = match self.overlaps() {
            true => replay.overlapping(self.stages(), self.planned_ahead()),
            false => replay,
        };
        let replay = match self.transfers() {
            Some(transfers) => replay.transferring(transfers),
            None => replay,
        };
        let script = |r: &GoldenRequest| (r.accept.clone(), r.drafts.clone());
        let replay = match self.config["spec"]["eagle_block_drop"] == true {
            true => replay.dropping_last_blocks(),
            false => replay,
        };
        match engine.speculative {
            None => replay,
            Some(_) => {
                replay.drafting(Arc::new(Script(self.requests.iter().map(script).collect())))
            }
        }
    }

    /// The groups of layers; one where the case names none.
    fn groups(&self) -> KvGroups {
        let Some(given) = self.config["kv_groups"].as_array() else { return KvGroups::ONE };
        let number = |group: &Value, key: &str| group[key].as_u64().map(|n| n as u32);
        let (mut full, mut windows, mut states) = (0, Vec::new(), 0);
        for group in given {
            let count = number(group, "count").unwrap_or(1);
            match group["kind"].as_str().expect("kind") {
                "full" => full += count,
                "swa" => windows
                    .push(WindowGroups { tokens: number(group, "window").expect("window"), count }),
                "mamba" => states += count,
                other => panic!("{}: groups of kind {other}", self.name),
            }
        }
        KvGroups::new(full, &windows, states).expect("sound groups")
    }

    /// Whether steps are planned while the one before runs. Runs of a server say it in the name.
    pub(crate) fn planned_ahead(&self) -> bool {
        self.config["async_scheduling"] == true || self.name.starts_with("async_real_")
    }

    /// KV that comes from elsewhere or goes there.
    fn transfers(&self) -> Option<ReplayTransfers> {
        let c = &self.config;
        c["kv_connector"].as_str()?;
        let offload = &c["offload"];
        let number = |key: &str| offload[key].as_u64();
        let host = offload.is_object().then(|| {
            let rules = HostTierRules {
                block_tokens: self.number("block_size").expect("block_size"),
                chunk_blocks: number("blocks_per_chunk").unwrap_or(1) as u32,
                capacity: number("cpu_chunks").expect("cpu_chunks") as u32,
                prompt_only: offload["offload_prompt_only"] != false,
                store_threshold: number("store_threshold").unwrap_or(0) as u32,
                key_lookahead: 0,
            };
            let blocks = ["load_blocks_per_step", "store_blocks_per_step"];
            (rules, blocks.map(|key| number(key).expect("blocks a step")))
        });
        Some(ReplayTransfers {
            rules: TransferRules {
                in_step: false,
                consumes: c["kv_role"] != "kv_producer",
                delivers: c["requires_kv_delivery"] != false,
            },
            failure: match c["kv_load_failure_policy"].as_str() {
                Some("fail") => Failure::Ends,
                _ => Failure::Recomputes,
            },
            host,
        })
    }

    /// What a step did with KV of elsewhere, as the case says it; and as we say it.
    pub(crate) fn transferred(
        &self,
        golden: &GoldenStep,
        ours: &StepRecord,
    ) -> Option<[TransfersSaid; 2]> {
        self.config["kv_connector"].as_str()?;
        let ours = ours.transferred.as_deref().expect("it is told");
        let id = |request: &RequestId| self.requests[request.index()].id.clone();
        let host = golden.offload.as_ref();
        let loads = host.map_or(&golden.loads_started, |host| &host.loads_started);
        let theirs = TransfersSaid {
            begun: loads
                .iter()
                .map(|l| (l.job, l.id.clone(), l.external_tokens, l.blocks))
                .collect(),
            received: golden.recv_done.clone(),
            sent: golden.sent_done.clone(),
            failed: golden.load_failed.clone(),
            loading: golden.num_loading.unwrap_or(0),
            sending: golden.num_holding_for_send.unwrap_or(0),
            lookups: host.map_or(Vec::new(), |host| host.lookups.clone()),
            stores: host.map_or(Vec::new(), |host| {
                let store = |s: &GoldenStore| (s.job, s.id.clone(), s.blocks, s.first_block);
                host.stores_started.iter().map(store).collect()
            }),
            flushed: host.map_or(Vec::new(), |host| host.flushed.clone()),
            copied: host.map_or(Vec::new(), |host| host.done.clone()),
            evicted: host.map_or(0, |host| host.evicted.len()),
            refused: host.map_or(Vec::new(), |host| host.store_refused.clone()),
            chunks: host.map_or(0, |host| host.cpu_chunks_used),
        };
        let number = |job: &JobId| job.0;
        let tokens = |tokens: u32| host.is_none().then_some(tokens);
        let ours = TransfersSaid {
            begun: ours
                .begun
                .iter()
                .map(|b| (b.job.as_ref().map(number), id(&b.request), tokens(b.tokens), b.blocks))
                .collect(),
            received: ours.received.iter().map(id).collect(),
            sent: ours.sent.iter().map(id).collect(),
            failed: ours.failed.iter().map(id).collect(),
            loading: ours.loading,
            sending: ours.sending,
            lookups: ours
                .lookups
                .iter()
                .map(|(request, local, answer)| match answer {
                    Lookup::Tokens(tokens) => (id(request), *local, Some(*tokens)),
                    Lookup::Later => (id(request), *local, None),
                })
                .collect(),
            stores: ours
                .orders
                .stores
                .iter()
                .map(|s| (number(&s.job), id(&s.request), s.blocks, s.first_block))
                .collect(),
            flushed: ours.orders.flush.iter().map(number).collect(),
            copied: ours.copied.iter().map(number).collect(),
            evicted: ours.orders.evicted.len(),
            refused: ours.orders.refused.iter().map(id).collect(),
            chunks: ours.host_chunks,
        };
        Some([theirs, ours])
    }

    /// The scheduler that stands for the case's, and the version that was recorded.
    pub(crate) fn recorded_of(&self) -> (&'static str, String) {
        let version = match (self.config["vllm_version"].as_str(), self.config["source"].as_str()) {
            (Some(version), _) => version,
            (None, Some(source)) => source.rsplit('@').next().unwrap_or(source),
            (None, None) => panic!("{}: no version", self.name),
        };
        (self.scheduler().name(), version.to_owned())
    }

    /// What the case has on of what can be proven by itself. `folder` is its capability's.
    pub(crate) fn capabilities(&self, folder: &str) -> Vec<Capability> {
        let c = &self.config;
        let rows = match self.planned_ahead() {
            true => (true, Capability::Asynchronous),
            false => (true, Capability::Synchronous),
        };
        [
            rows,
            (!c["spec"].is_null(), Capability::Drafts),
            (self.stages() > 1, Capability::Pipeline),
            (!c["kv_groups"].is_null(), Capability::HybridKv),
            (c["enable_prefix_caching"] == true || self.is_nano(), Capability::PrefixCaching),
            (!c["kv_connector"].is_null() && folder != "offload", Capability::PdEnds),
            (folder == "offload", Capability::HostTier),
            (c["policy"] == "priority", Capability::Priorities),
        ]
        .into_iter()
        .filter_map(|(on, capability)| on.then_some(capability))
        .collect()
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.config[key].as_u64().map(|n| n as u32)
    }

    fn engine(&self) -> EngineInfo {
        EngineInfo {
            kv_block_tokens: self.number("block_size").expect("block_size"),
            kv_blocks: self.number("num_blocks").expect("num_blocks"),
            max_model_len: self.number("max_model_len").unwrap_or(1 << 20),
            prefix_caching: self.config["enable_prefix_caching"] == true,
            kv_groups: self.groups(),
            large_gpu: false,
            gpu_memory_gib: None,
            speculative: self.drafts(),
        }
    }

    fn scheduler(&self) -> SchedulerConfig {
        let c = &self.config;
        let picked = |names: &[&str]| -> Value {
            let given = names.iter().filter(|name| !c[**name].is_null());
            given.map(|name| ((*name).to_owned(), c[*name].clone())).collect()
        };
        let config = match c["scheduler"].as_str().expect("scheduler") {
            "vllm_v1" => {
                let mut p = picked(&[
                    "policy",
                    "max_num_seqs",
                    "max_num_batched_tokens",
                    "long_prefill_token_threshold",
                    "enable_chunked_prefill",
                    "watermark",
                    "scheduler_reserve_full_isl",
                ]);
                let older = c["vllm_version"].as_str().expect("version").starts_with("0.10");
                p["version"] = json!(if older { "0.10" } else { "0.33" });
                json!({"vllm-v1": p})
            }
            "vllm_v0_default" => {
                let p = picked(&["max_num_seqs", "max_num_batched_tokens", "watermark"]);
                json!({"vllm-v0": p})
            }
            "sarathi_serve_vllm" => {
                let p = picked(&["max_num_seqs", "max_num_batched_tokens", "watermark"]);
                json!({"vllm-v0": p})
            }
            "vllm_v0_chunked" => {
                let p = picked(&["max_num_seqs", "max_num_batched_tokens", "watermark"]);
                json!({"vllm-v0-chunked": p})
            }
            "sarathi_serve_sarathi" => {
                json!({"sarathi": picked(&["max_num_seqs", "chunk_size", "watermark"])})
            }
            "sarathi_serve_orca" => json!({"orca": picked(&["max_num_seqs"])}),
            "sarathi_serve_faster_transformer" => {
                json!({"faster-transformer": picked(&["max_num_seqs"])})
            }
            "nano_vllm" => {
                json!({"nano-vllm": picked(&["max_num_seqs", "max_num_batched_tokens"])})
            }
            other => panic!("{}: no policy replays {other}", self.name),
        };
        serde_json::from_value(config).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// Outputs end at max_model_len in vLLM V1, which the workload takes care of in a simulation.
    fn replay_requests(&self) -> Vec<ReplayRequest> {
        let engine = self.engine();
        let capped = self.config["scheduler"] == "vllm_v1";
        let mut groups: HashMap<String, u64> = HashMap::new();
        let places: HashMap<&str, usize> =
            self.requests.iter().enumerate().map(|(place, r)| (r.id.as_str(), place)).collect();
        let request = |r: &GoldenRequest| {
            let room = engine.max_model_len.saturating_sub(r.prompt).max(1);
            let output = if capped { r.output.min(room) } else { r.output };
            let block_ids = r.prefix_group.as_ref().map_or(r.block_ids.clone(), |group| {
                let next = groups.len() as u64;
                let group = *groups.entry(group.to_string()).or_insert(next);
                let blocks = r.prefix_len.unwrap_or(0).div_ceil(engine.kv_block_tokens);
                (0..u64::from(blocks)).map(|k| (group << 32) | k).collect()
            });
            ReplayRequest {
                arrival_step: r.arrival_step,
                prompt_tokens: r.prompt,
                output_tokens: output,
                max_tokens: r.max_tokens.unwrap_or(output).max(output),
                priority: r.priority,
                transfer: ReplayTransfer {
                    load_steps: r.load_steps.filter(|_| r.remote_prefill),
                    // "all" is from the first block on.
                    fails_at: r.fail_block.as_ref().map(|at| at.as_u64().unwrap_or(0) as u32),
                    send_steps: r.send_steps.filter(|_| r.remote_decode),
                },
                ids_cover: r.prefix_group.as_ref().and(r.prefix_len),
                block_ids,
                parent: r.parent.as_ref().map(|id| (places[id.as_str()], r.parent_tokens)),
            }
        };
        self.requests.iter().map(request).collect()
    }
}

/// What a step did with KV of elsewhere.
#[derive(Debug, PartialEq)]
pub(crate) struct TransfersSaid {
    begun: Vec<(Option<u64>, String, Option<u32>, u32)>,
    received: Vec<String>,
    sent: Vec<String>,
    failed: Vec<String>,
    loading: usize,
    sending: usize,
    lookups: Vec<(String, u32, Option<u32>)>,
    stores: Vec<(u64, String, u32, u32)>,
    flushed: Vec<u64>,
    copied: Vec<u64>,
    evicted: usize,
    refused: Vec<String>,
    chunks: u32,
}

/// Drafts accepted, and found, as a case says, request by request.
#[derive(Debug)]
struct Script(Vec<(Vec<u32>, Vec<u32>)>);

impl Accepts for Script {
    fn accepted(&self, request: RequestId, _: ClassId, round: u32, _: u32, drafts: u32) -> u32 {
        self.0[request.index()].0[round as usize].min(drafts)
    }

    fn found(&self, request: RequestId, round: u32, most: u32) -> u32 {
        let found = &self.0[request.index()].1;
        if found.is_empty() { most } else { found[round as usize % found.len()] }
    }
}

fn text_of(path: &Path) -> String {
    let mut text = String::new();
    let mut file = File::open(path).unwrap();
    match path.extension().is_some_and(|extension| extension == "gz") {
        true => flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap(),
        false => file.read_to_string(&mut text).unwrap(),
    };
    text
}

/// All cases of the golden folder; `None`, said aloud, when there is no such folder.
pub(crate) fn cases() -> Option<Vec<Case>> {
    if let Some(folder) = std::env::var_os("METRON_GOLDEN") {
        let folder = Path::new(&folder);
        let cases = read_folder(folder);
        if cases.is_empty() && folder.join("fluidity.json").is_file() {
            say("SKIPPED: golden scheduler steps: METRON_GOLDEN holds fluidity cases alone");
            return None;
        }
        assert!(!cases.is_empty(), "METRON_GOLDEN is set and holds no scheduler case");
        return Some(cases);
    }
    let cases = read_folder(&shared("golden")?);
    assert!(!cases.is_empty(), "the golden folder holds no scheduler case");
    Some(cases)
}

/// The cases of a capability's own folder; `None`, said aloud, when there is no such folder.
pub(crate) fn cases_of(capability: &str) -> Option<Vec<Case>> {
    let folder = folder_of(capability)?;
    let cases = read_folder(&folder);
    assert!(!cases.is_empty(), "the golden folder of {capability} holds no case");
    Some(cases)
}

/// A capability's own folder of cases; `None`, said aloud, when there is none.
pub(crate) fn folder_of(capability: &str) -> Option<PathBuf> {
    let given = std::env::var_os("METRON_GOLDEN").map(PathBuf::from);
    let golden = given.or_else(|| shared("golden"))?;
    let inner = golden.join("schedulers");
    let folder = if inner.is_dir() { inner } else { golden };
    // The folder of a capability itself may be given too.
    let itself = folder.file_name().is_some_and(|name| name == capability);
    let folder = if itself { folder } else { folder.join(capability) };
    if !folder.is_dir() {
        say(&format!("SKIPPED: golden {capability}: no such folder"));
        return None;
    }
    Some(folder)
}

/// The cases of a capability's own folder as they are written, by name; `None`, said aloud, when there is
/// no such folder.
pub(crate) fn raw_cases_of(capability: &str) -> Option<Vec<(String, Value)>> {
    Some(raw_cases_in(&folder_of(capability)?))
}

/// Those of them that are part of the checkout.
pub(crate) fn small_raw_cases_of(capability: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(capability);
    raw_cases_in(&folder)
}

fn raw_cases_in(folder: &Path) -> Vec<(String, Value)> {
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let value = serde_json::from_str(&text_of(&path)).unwrap();
        (name, value)
    };
    paths_in(folder).into_iter().map(read).collect()
}

/// Cases made of runs of a real server; `None`, said aloud, when there are none.
pub(crate) fn recorded_runs(folder: &str) -> Option<Vec<Case>> {
    let folder = shared("data")?.join("runs-local").join(folder);
    if !folder.is_dir() {
        say(&format!("SKIPPED: {} is not there", folder.display()));
        return None;
    }
    let cases = read_folder(&folder);
    assert!(!cases.is_empty(), "{}: no case", folder.display());
    Some(cases)
}

/// The compact cases that are part of the checkout.
pub(crate) fn small_cases() -> Vec<Case> {
    read_folder(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden"))
}

fn read_folder(folder: &Path) -> Vec<Case> {
    let inner = folder.join("schedulers");
    let folder = if inner.is_dir() { inner } else { folder.to_owned() };
    paths_in(&folder).iter().map(|path| Case::read(path)).collect()
}

fn paths_in(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.ends_with(".json.gz") || name.ends_with(".json") && name != "fluidity.json"
    });
    paths.sort();
    paths
}
