//! Every turn of SGLang 0.5.23's own event loops, replayed: the recorded cases name what each turn
//! scheduled, whom it retracted, what its memory and flags were then, and what it processed.
//!
//! `METRON_GOLDEN=<folder>` points at another folder of the same shape.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metron_sim::kv::radix::Text;
use metron_sim::scheduler::sglang::{
    Kind, Outcome, SgLangSettings, SgLangTurns, TurnEntry, TurnRecord,
};
use serde::Deserialize;
use serde_json::Value;

use crate::golden::folder_of;
use crate::shared::{say, shared};

#[derive(Deserialize)]
pub(crate) struct Recorded {
    pub config: Config,
    pub requests: Vec<Request>,
    pub steps: Vec<Step>,
}

#[derive(Deserialize)]
pub(crate) struct Config {
    pub overlap: bool,
    pub page_size: u32,
    pub kv_tokens: u32,
    chunked_prefill_size: Option<i64>,
    max_prefill_tokens: u32,
    prefill_max_requests: Option<u32>,
    max_running_requests: u32,
    pub max_model_len: u32,
    schedule_policy: Value,
    enable_mixed_chunk: bool,
    disable_radix_cache: bool,
    schedule_conservativeness: f64,
    prefill_decode_interval: u32,
    prefill_decode_interval_min_bs: u32,
    enable_priority_scheduling: bool,
    disable_priority_preemption: bool,
    priority_scheduling_preemption_threshold: i64,
    retraction_policy: Value,
}

#[derive(Deserialize)]
pub(crate) struct Request {
    pub id: String,
    pub arrival_step: u64,
    pub prompt: u32,
    pub output: u32,
    pub max_tokens: Option<u32>,
    max_tokens_cut_to: Option<u32>,
    #[serde(default)]
    pub ignore_eos: bool,
    pub priority: Option<i64>,
    pub parent: Option<String>,
    pub parent_tokens: Option<u32>,
    pub prefix_group: Option<u64>,
    pub prefix_len: Option<u32>,
}

#[derive(Deserialize)]
pub(crate) struct Step {
    pub step: u64,
    pub kind: String,
    pub scheduled: Vec<Entry>,
    waiting: Vec<String>,
    running: Vec<String>,
    batch_is_full: bool,
    chunked: Option<String>,
    pub retracted: Vec<String>,
    #[serde(default)]
    pub preempted_by_priority: Vec<String>,
    new_token_ratio: f64,
    pub free_tokens: i64,
    pub evictable_tokens: u64,
    defer_left: Option<u32>,
    processed: Option<u64>,
    finished: Vec<String>,
    pub num_waiting: usize,
    pub num_running: u32,
    free_tokens_end: i64,
    evictable_tokens_end: u64,
}

#[derive(Deserialize)]
pub(crate) struct Entry {
    pub id: String,
    pub num_tokens: u32,
    pub kind: String,
    pub computed_before: u32,
    emits: u32,
    hit: Option<u32>,
    #[serde(default)]
    chunk: u32,
    #[serde(default)]
    recompute: bool,
    #[serde(default)]
    ignored: u32,
    #[serde(default)]
    dropped: u32,
}

impl Config {
    fn settings(&self) -> SgLangSettings {
        let named = |value: &Value| value.clone();
        let mut set = SgLangSettings::new(self.kv_tokens, self.max_model_len);
        set.page_size = self.page_size;
        let chunk = self.chunked_prefill_size.and_then(|chunk| u32::try_from(chunk).ok());
        set.chunked_prefill_size = chunk.filter(|&chunk| chunk > 0);
        set.max_prefill_tokens = self.max_prefill_tokens;
        set.prefill_max_requests = self.prefill_max_requests;
        set.max_running_requests = self.max_running_requests;
        set.schedule_policy = serde_json::from_value(named(&self.schedule_policy)).unwrap();
        set.enable_mixed_chunk = self.enable_mixed_chunk;
        set.disable_radix_cache = self.disable_radix_cache;
        set.schedule_conservativeness = self.schedule_conservativeness;
        set.prefill_decode_interval = self.prefill_decode_interval;
        set.prefill_decode_interval_min_bs = self.prefill_decode_interval_min_bs;
        set.enable_priority_scheduling = self.enable_priority_scheduling;
        set.disable_priority_preemption = self.disable_priority_preemption;
        set.priority_scheduling_preemption_threshold =
            self.priority_scheduling_preemption_threshold;
        set.retraction_policy = serde_json::from_value(named(&self.retraction_policy)).unwrap();
        set
    }
}

/// A case being replayed.
pub(crate) struct Case {
    pub name: String,
    pub recorded: Recorded,
    /// As it is written.
    pub config: Value,
    numbers: HashMap<String, u32>,
    texts: Vec<Option<Arc<Text>>>,
}

impl Case {
    pub(crate) fn read(path: &Path) -> Case {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        let mut file = File::open(path).unwrap();
        match name.ends_with(".gz") {
            true => flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap(),
            false => file.read_to_string(&mut text).unwrap(),
        };
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let config = value["config"].clone();
        let recorded: Recorded =
            serde_json::from_value(value).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let ids = recorded.requests.iter().map(|request| request.id.clone());
        let numbers = ids.zip(0..).collect();
        let texts = vec![None; recorded.requests.len()];
        Case { name, recorded, config, numbers, texts }
    }

    fn arrive(&mut self, number: u32, turns: &mut SgLangTurns) {
        let request = &self.recorded.requests[number as usize];
        let owner = u64::from(number);
        let text = match (&request.parent, request.prefix_group) {
            (Some(parent), _) => {
                let parent = self.texts[self.numbers[parent] as usize].as_ref().unwrap();
                Text::after(parent, request.parent_tokens.unwrap(), owner)
            }
            (None, Some(group)) => {
                let known = request.prefix_len.unwrap_or(0).min(request.prompt);
                let ids: Vec<u64> = (0..u64::from(known)).map(|k| (group << 32) | k).collect();
                Text::new(&ids, 1, known, owner)
            }
            (None, None) => Text::new(&[], 1, 0, owner),
        };
        let text = Arc::new(text);
        self.texts[number as usize] = Some(text.clone());
        let max_tokens = request.max_tokens.unwrap_or(request.output);
        if let Some(cut) = request.max_tokens_cut_to {
            let longest =
                self.recorded.config.settings().longest_answer(request.prompt, max_tokens);
            assert_eq!(
                longest,
                i64::from(cut),
                "{}: the longest answer of {}",
                self.name,
                request.id
            );
        }
        let lengths = (request.prompt, max_tokens);
        turns.arrive(number, lengths, request.priority, request.ignore_eos, text);
    }

    /// Whether a request ends by a stop token with so many output tokens.
    fn stops(requests: &[Request], number: u32, out: u32) -> bool {
        let request = &requests[number as usize];
        let stops = request.max_tokens.is_some_and(|most| request.output < most);
        stops && !request.ignore_eos && out >= request.output
    }

    fn replay(&mut self) -> usize {
        let config = &self.recorded.config;
        let mut turns = SgLangTurns::new(config.settings(), config.overlap);
        let mut arrived = 0;
        let mut ended = 0;
        let places: HashMap<u64, usize> =
            self.recorded.steps.iter().enumerate().map(|(at, step)| (step.step, at)).collect();
        for at in 0..self.recorded.steps.len() {
            let turn = self.recorded.steps[at].step;
            while let Some(next) = self.recorded.requests.get(arrived) {
                if next.arrival_step > turn {
                    break;
                }
                self.arrive(arrived as u32, &mut turns);
                arrived += 1;
            }
            let requests = &self.recorded.requests;
            let ours = turns.turn(turn, |number, out| Case::stops(requests, number, out));
            ended += ours.finished.len();
            self.compare(at, &ours);
            if let Some(processed) = ours.processed {
                self.compare_outcomes(turn, places[&processed], &ours.outcomes);
            }
        }
        assert_eq!(ended, self.recorded.requests.len(), "{}: all end", self.name);
        self.recorded.steps.len()
    }

    fn compare(&self, at: usize, ours: &TurnRecord) {
        let golden = &self.recorded.steps[at];
        let same = |what, ours: &dyn Debug, golden: &dyn Debug| {
            self.same(golden_step(&self.recorded, at), what, ours, golden);
        };
        let kind = match ours.kind {
            Some(Kind::Extend) => "extend",
            Some(Kind::Mixed) => "mixed",
            Some(Kind::Decode) => "decode",
            _ => "none",
        };
        same("kind", &kind, &golden.kind.as_str());
        let scheduled: Vec<TurnEntry> = ours.scheduled.clone();
        let said: Vec<String> = scheduled.iter().map(|entry| self.said(entry)).collect();
        let golden_said: Vec<String> = golden.scheduled.iter().map(Entry::said).collect();
        same("scheduled", &said, &golden_said);
        same("waiting", &self.ids(&ours.waiting), &golden.waiting);
        same("running", &self.ids(&ours.running), &golden.running);
        same("batch_is_full", &ours.full, &golden.batch_is_full);
        let chunked: Vec<u32> = ours.chunked.into_iter().collect();
        same("chunked", &self.ids(&chunked).pop(), &golden.chunked);
        same("retracted", &self.ids(&ours.retracted), &golden.retracted);
        let preempted = (self.ids(&ours.preempted), golden.preempted_by_priority.clone());
        // Several victims of one request come in the order of memory addresses in the real system.
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        same("preempted_by_priority", &sorted(preempted.0), &sorted(preempted.1));
        let ratio = (ours.new_token_ratio - golden.new_token_ratio).abs() <= 2e-9;
        same("new_token_ratio", &ratio, &true);
        same("free_tokens", &ours.free_tokens, &golden.free_tokens);
        same("evictable_tokens", &ours.evictable_tokens, &golden.evictable_tokens);
        if let Some(left) = golden.defer_left {
            same("defer_left", &ours.deferred, &left);
        }
        same("processed", &ours.processed, &golden.processed);
        same("finished", &self.ids(&ours.finished), &golden.finished);
        same("num_waiting", &ours.num_waiting, &golden.num_waiting);
        same("num_running", &ours.num_running, &golden.num_running);
        same("free_tokens_end", &ours.free_tokens_end, &golden.free_tokens_end);
        same("evictable_tokens_end", &ours.evictable_tokens_end, &golden.evictable_tokens_end);
        same("out of memory", &ours.out_of_memory, &false);
    }

    fn compare_outcomes(&self, turn: u64, of: usize, ours: &[Outcome]) {
        let golden: Vec<Outcome> =
            self.recorded.steps[of].scheduled.iter().map(Entry::outcome).collect();
        self.same(turn, "outcomes", &ours, &golden);
    }

    fn same(&self, turn: u64, what: &str, ours: &dyn Debug, golden: &dyn Debug) {
        let (ours, golden) = (format!("{ours:?}"), format!("{golden:?}"));
        assert_eq!(ours, golden, "{}, turn {turn}: {what} (ours, SGLang's)", self.name);
    }

    fn ids(&self, numbers: &[u32]) -> Vec<String> {
        numbers.iter().map(|&n| self.recorded.requests[n as usize].id.clone()).collect()
    }

    fn said(&self, entry: &TurnEntry) -> String {
        let id = &self.recorded.requests[entry.request as usize].id;
        let kind = if entry.prefill { "prefill" } else { "decode" };
        let TurnEntry { tokens, computed_before, hit, chunk, recompute, .. } = entry;
        format!("{id} {kind} {tokens} after {computed_before} hit {hit:?} {chunk} {recompute}")
    }
}

impl Entry {
    fn said(&self) -> String {
        let Entry { id, kind, num_tokens, computed_before, hit, chunk, recompute, .. } = self;
        let chunk = *chunk == 1;
        format!("{id} {kind} {num_tokens} after {computed_before} hit {hit:?} {chunk} {recompute}")
    }

    fn outcome(&self) -> Outcome {
        match (self.emits, self.ignored, self.dropped) {
            (1, 0, 0) => Outcome::Token,
            (0, 1, 0) => Outcome::Ignored,
            (0, 0, 1) => Outcome::Dropped,
            (0, 0, 0) => Outcome::Nothing,
            other => panic!("{}: {other:?}", self.id),
        }
    }
}

fn golden_step(recorded: &Recorded, at: usize) -> u64 {
    recorded.steps[at].step
}

fn replay(paths: &[PathBuf], name: &str) {
    let steps: usize = paths.iter().map(|path| Case::read(path).replay()).sum();
    say(&format!("golden {name}: {} cases, {steps} steps, all equal", paths.len()));
}

pub(crate) fn cases_in(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.ends_with(".json.gz") || name.ends_with(".json")
    });
    paths.sort();
    paths
}

#[test]
fn golden_sglang() {
    let Some(folder) = folder_of("sglang") else { return };
    let paths = cases_in(&folder);
    assert!(!paths.is_empty(), "the golden folder of sglang holds no case");
    replay(&paths, "sglang");
}

/// Small cases of one rule each, in which an earlier policy decided otherwise.
#[test]
fn golden_sglang_in_the_checkout() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sglang");
    let paths = cases_in(&folder);
    assert!(paths.len() >= 9, "the small cases are part of the checkout");
    replay(&paths, "sglang (compact)");
}

/// The same, and more where there are.
#[test]
fn golden_sglang_small_cases() {
    let Some(folder) = shared("cases/sglang") else { return };
    let paths = cases_in(&folder);
    assert!(!paths.is_empty(), "the folder of small cases holds none");
    replay(&paths, "sglang (small cases)");
}
