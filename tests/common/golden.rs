//! Reading golden scheduler cases and setting up the policy that replays each.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use metron_sim::request::RequestId;
use metron_sim::scheduler::{EngineInfo, KvGroups, SchedulerConfig, WindowGroups};
use metron_sim::sim::{Replay, ReplayRequest, Scheduled};
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
    #[serde(default)]
    priority: i32,
    prefix_group: Option<Value>,
    prefix_len: Option<u32>,
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
}

/// One scheduled request, as compared.
#[derive(Debug, PartialEq, Clone)]
pub(crate) struct Entry {
    pub id: String,
    pub tokens: u32,
    pub kind: String,
    pub computed_before: u32,
    pub emits: bool,
    pub recompute: bool,
}

impl GoldenStep {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entry = |e: &GoldenEntry| Entry {
            id: e.id.clone(),
            tokens: e.num_tokens,
            kind: e.kind.clone(),
            computed_before: e.computed_before,
            emits: e.emits == 1,
            recompute: e.recompute,
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
        let mut text = String::new();
        let mut file = File::open(path).unwrap();
        match name.ends_with(".gz") {
            true => flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap(),
            false => file.read_to_string(&mut text).unwrap(),
        };
        let file: File_ =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
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
            emits: s.emits,
            recompute: s.recompute,
        }
    }

    pub(crate) fn replay(&self, reference: bool) -> Replay {
        let engine = self.engine();
        let config = self.scheduler();
        let problems = config.problems(&engine);
        assert!(problems.is_empty(), "{}: {problems:?}", self.name);
        Replay::new(config.build(&engine), &engine, self.replay_requests(), reference)
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

    /// Whether steps are planned while the one before runs.
    pub(crate) fn planned_ahead(&self) -> bool {
        self.config["async_scheduling"] == true
    }

    /// What the case needs beyond an engine that samples one token at a time.
    pub(crate) fn beyond(&self) -> Option<&'static str> {
        (!self.config["spec"].is_null()).then_some("speculative decoding")
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
        let request = |r: &GoldenRequest| {
            let room = engine.max_model_len.saturating_sub(r.prompt).max(1);
            let output = if capped { r.output.min(room) } else { r.output };
            let block_ids = r.prefix_group.as_ref().map_or(Vec::new(), |group| {
                let next = groups.len() as u64;
                let group = *groups.entry(group.to_string()).or_insert(next);
                let blocks = r.prefix_len.unwrap_or(0) / engine.kv_block_tokens;
                (0..u64::from(blocks)).map(|k| (group << 32) | k).collect()
            });
            ReplayRequest {
                arrival_step: r.arrival_step,
                prompt_tokens: r.prompt,
                output_tokens: output,
                max_tokens: output,
                priority: r.priority,
                block_ids,
            }
        };
        self.requests.iter().map(request).collect()
    }
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
    let cases = read_folder(&folder_of(capability)?);
    assert!(!cases.is_empty(), "the golden folder of {capability} holds no case");
    Some(cases)
}

/// A capability's own folder of cases; `None`, said aloud, when there is none.
pub(crate) fn folder_of(capability: &str) -> Option<PathBuf> {
    let given = std::env::var_os("METRON_GOLDEN").map(PathBuf::from);
    let golden = given.or_else(|| shared("golden"))?;
    let inner = golden.join("schedulers");
    let folder = if inner.is_dir() { inner } else { golden }.join(capability);
    if !folder.is_dir() {
        say(&format!("SKIPPED: golden {capability}: no such folder"));
        return None;
    }
    Some(folder)
}

/// The compact cases that are part of the checkout.
pub(crate) fn small_cases() -> Vec<Case> {
    read_folder(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden"))
}

fn read_folder(folder: &Path) -> Vec<Case> {
    let inner = folder.join("schedulers");
    let folder = if inner.is_dir() { inner } else { folder.to_owned() };
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.ends_with(".json.gz") || name.ends_with(".json") && name != "fluidity.json"
    });
    paths.sort();
    paths.iter().map(|path| Case::read(path)).collect()
}
