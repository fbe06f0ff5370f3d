//! The tier of host memory beside vLLM 0.33.0's own: what its scheduler did is taken from recorded
//! cases and done to a pool of blocks, and the tier must answer and order what the real one did.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde_json::{Value, json};

use crate::golden::{raw_cases_of, small_raw_cases_of};
use crate::shared::say;
use metron_sim::content::{Content, Ids, Origin, Parent};
use metron_sim::ids::SlotId;
use metron_sim::kv::host_tier::{HostTier, HostTierRules, JobId, Known, Lookup, Scheduled};
use metron_sim::kv::{BlockKey, CacheRules, KvGroups, Pool};
use metron_sim::request::RequestId;

/// vLLM 0.33's prefix cache.
pub(crate) const RULES: CacheRules = CacheRules {
    keyless_first: true,
    newest_wins: false,
    hash_at_schedule: true,
    keeps_states: true,
};

/// A request as the recorded steps have left it.
struct Live {
    id: String,
    prompt: u32,
    known: u32,
    /// Tokens computed, those of steps that are out included.
    done: u32,
    /// Tokens of steps that are out.
    in_flight: u32,
    /// The last batch that it was in.
    last_batch: u64,
    ended: bool,
    content: Content,
    loading: bool,
    /// Chunks that it need not offer again, to know who was the first to name one.
    settled: u32,
}

/// Follows a recorded case.
struct Follower {
    name: String,
    block: u32,
    chunk: u32,
    seats: usize,
    budget: u32,
    prompt_only: bool,
    /// Blocks that are copied in a step, from the host and to it.
    load: u64,
    store: u64,
    pool: Pool,
    tier: HostTier,
    all: Vec<Live>,
    places: HashMap<String, usize>,
    running: Vec<usize>,
    /// Who holds blocks without a seat, in the order in which their loads began.
    holding: Vec<usize>,
    landed: HashSet<usize>,
    /// The step whose output brings the end of each copy.
    ends: BTreeMap<JobId, u64>,
    /// Whether a step is planned while the one before runs.
    ahead: bool,
    /// Requests and their tokens, by the steps that are out.
    out: HashMap<u64, Vec<(usize, u32, u32)>>,
    /// Batches that were planned, and those whose output is known.
    planned: u64,
    known: u64,
    /// Who has ended in a batch that is out: its blocks come back with the output of that batch.
    late: VecDeque<(u64, usize)>,
    /// Who first named a chunk, and as which of its own.
    namers: HashMap<BlockKey, (String, u32)>,
}

pub(crate) fn number(value: &Value, key: &str) -> u32 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key}")) as u32
}

pub(crate) fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().map_or(&[][..], Vec::as_slice);
    all.iter().map(|text| text.as_str().expect("an id").to_owned()).collect()
}

pub(crate) fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What the tokens of each request are.
pub(crate) fn contents(case: &Value, block: u32) -> Vec<Content> {
    let rows = rows(&case["requests"]);
    let place = |id: &Value| rows.iter().position(|row| row["id"] == *id).expect("a request");
    let mut groups: Vec<&Value> = Vec::new();
    let origins: Vec<Origin> = rows
        .iter()
        .map(|row| {
            let group = row.get("prefix_group").map(|group| {
                groups.iter().position(|known| *known == group).unwrap_or_else(|| {
                    groups.push(group);
                    groups.len() - 1
                }) as u64
            });
            let blocks = group.map_or(0, |_| number(row, "prefix_len") / block);
            let ids = (0..u64::from(blocks)).map(|k| group.unwrap_or(0) << 32 | k).collect();
            let parent = row.get("parent").map(|parent| Parent {
                request: RequestId::at(place(parent)),
                tokens: number(row, "parent_tokens"),
            });
            Origin { ids: Ids::all(ids), covers: blocks * block, parent, own_is_met: true }
        })
        .collect();
    let content =
        |place: usize| Content::of(RequestId::at(place), block, |id| origins[id.index()].clone());
    (0..origins.len()).map(content).collect()
}

fn requests(case: &Value, block: u32) -> Vec<Live> {
    let live = |(row, content): (&Value, Content)| Live {
        id: row["id"].as_str().expect("an id").to_owned(),
        prompt: number(row, "prompt"),
        known: number(row, "prompt"),
        done: 0,
        in_flight: 0,
        last_batch: 0,
        ended: false,
        content,
        loading: false,
        settled: 0,
    };
    rows(&case["requests"]).iter().zip(contents(case, block)).map(live).collect()
}

impl Follower {
    fn new(name: &str, case: &Value) -> Follower {
        let config = &case["config"];
        let offload = &config["offload"];
        let block = number(config, "block_size");
        let or = |key: &str, default: u32| offload[key].as_u64().map_or(default, |n| n as u32);
        let chunk_blocks = or("blocks_per_chunk", 1);
        let prompt_only = offload["offload_prompt_only"].as_bool().unwrap_or(true);
        let rules = HostTierRules {
            block_tokens: block,
            chunk_blocks,
            capacity: number(offload, "cpu_chunks"),
            prompt_only,
            store_threshold: or("store_threshold", 0),
            key_lookahead: 0,
        };
        let all = requests(case, block);
        let places = all.iter().enumerate().map(|(place, live)| (live.id.clone(), place)).collect();
        Follower {
            name: name.to_owned(),
            block,
            chunk: chunk_blocks * block,
            seats: number(config, "max_num_seqs") as usize,
            budget: number(config, "max_num_batched_tokens"),
            prompt_only,
            load: u64::from(number(offload, "load_blocks_per_step")),
            store: u64::from(number(offload, "store_blocks_per_step")),
            pool: Pool::new(number(config, "num_blocks") - 1, block, KvGroups::ONE, Some(RULES), 0),
            tier: HostTier::new(rules),
            all,
            places,
            running: Vec::new(),
            holding: Vec::new(),
            landed: HashSet::new(),
            ends: BTreeMap::new(),
            ahead: config["async_scheduling"] == true,
            out: HashMap::new(),
            planned: 0,
            known: 0,
            late: VecDeque::new(),
            namers: HashMap::new(),
        }
    }

    fn place(&self, id: &Value) -> usize {
        self.places[id.as_str().expect("an id")]
    }

    fn key(&self, place: usize, block: u32) -> BlockKey {
        self.all[place].content.key(block, u64::from(block + 1) * u64::from(self.block))
    }

    fn chunk_key(&self, place: usize, chunk: u32) -> BlockKey {
        self.key(place, (chunk + 1) * (self.chunk / self.block) - 1)
    }

    fn table(&self, place: usize) -> &[u32] {
        self.pool.blocks_of(SlotId::at(place)).expect("blocks have names")
    }

    fn known(&self, place: usize) -> Known {
        Known { prompt: self.all[place].prompt, tokens: self.all[place].known }
    }

    /// Takes blocks for so many tokens; `false` where too few are free.
    fn grow(&mut self, place: usize, tokens: u32) -> bool {
        let (held, length) = (self.table(place).len() as u32, tokens.div_ceil(self.block));
        let more = length.saturating_sub(held);
        if more > self.pool.free() {
            return false;
        }
        self.pool.take(SlotId::at(place), more, length.max(held));
        true
    }

    fn register(&mut self, place: usize, tokens: u32) {
        let (live, block) = (&self.all[place], self.block);
        let key = |index: u32| live.content.key(index, u64::from(index + 1) * u64::from(block));
        self.pool.hash(SlotId::at(place), tokens.min(live.known) / block, false, key);
    }

    fn release(&mut self, place: usize) {
        let held = self.table(place).len() as u32;
        self.pool.release(SlotId::at(place), held);
    }

    /// One recorded step.
    fn step(&mut self, golden: &Value) {
        let turn = golden["step"].as_u64().expect("a step");
        let scheduled: Vec<(usize, u32)> = rows(&golden["scheduled"])
            .iter()
            .map(|entry| (self.place(&entry["id"]), number(entry, "num_tokens")))
            .collect();
        let mut victims: VecDeque<usize> =
            rows(&golden["preempted"]).iter().map(|id| self.place(id)).collect();
        let preempted: Vec<usize> = victims.iter().copied().collect();
        let mut spent = 0;
        for &(place, tokens) in &scheduled {
            if !self.running.contains(&place) {
                continue;
            }
            let wanted = self.all[place].done + tokens;
            while !self.grow(place, wanted) {
                let victim = victims.pop_front().expect("memory for who was scheduled");
                self.preempt(victim);
            }
            self.register(place, wanted);
            spent += tokens;
        }
        victims.into_iter().for_each(|victim| self.preempt(victim));
        let of_step = &golden["offload"];
        if preempted.is_empty() && spent < self.budget && self.running.len() < self.seats {
            self.admit(turn, &scheduled, of_step);
        }
        assert_eq!(
            u64::from(self.pool.free()),
            golden["free_blocks_after_schedule"].as_u64().unwrap(),
            "{} step {turn}: free blocks",
            self.name
        );
        self.settle(turn, &scheduled, &preempted, of_step);
        self.planned += u64::from(!scheduled.is_empty());
        let emits = rows(&golden["scheduled"]).iter().map(|entry| number(entry, "emits"));
        let mut entries = Vec::new();
        for (&(place, tokens), emits) in scheduled.iter().zip(emits) {
            let live = &mut self.all[place];
            live.done += tokens;
            live.in_flight += tokens;
            live.last_batch = self.planned;
            entries.push((place, tokens, emits));
        }
        self.out.insert(turn, entries);
        let processed = match self.ahead {
            true => golden["processed"].as_u64(),
            false => Some(turn),
        };
        if let Some(step) = processed {
            self.outputs(step, golden);
        }
    }

    fn preempt(&mut self, place: usize) {
        self.release(place);
        self.all[place].done = 0;
        self.running.retain(|&running| running != place);
    }

    fn admit(&mut self, turn: u64, scheduled: &[(usize, u32)], of_step: &Value) {
        let tokens_of = |place: usize| {
            scheduled.iter().find(|entry| entry.0 == place).map(|&(_, tokens)| tokens)
        };
        for place in self.holding.clone() {
            if self.all[place].loading && !self.landed.contains(&place) {
                continue;
            }
            // Its load has ended: the last token is computed in any case.
            if self.landed.remove(&place) {
                let live = &mut self.all[place];
                live.loading = false;
                self.register(place, self.all[place].done);
                let live = &mut self.all[place];
                live.done = live.done.min(live.known - 1);
            }
            let Some(tokens) = tokens_of(place) else { return };
            let wanted = self.all[place].done + tokens;
            assert!(self.grow(place, wanted));
            self.register(place, wanted);
            let table = self.table(place).to_vec();
            let local = self.all[place].done;
            let load = self
                .tier
                .allocated(RequestId::at(place), &table, local, 0, |_| panic!("nothing is loaded"));
            assert_eq!(load, None);
            self.holding.retain(|&held| held != place);
            self.running.push(place);
        }
        let mut loads: VecDeque<&Value> = rows(&of_step["loads_started"]).iter().collect();
        for lookup in rows(&of_step["lookups"]) {
            let place = self.place(&lookup[0]);
            let owner = SlotId::at(place);
            let known = self.all[place].known;
            let full = (known - 1) / self.block;
            let keys: Vec<BlockKey> = (0..full).map(|block| self.key(place, block)).collect();
            let hit = self.pool.lookup(keys.iter().copied(), false);
            let local = hit.blocks * self.block;
            let answer = {
                let chunks: Vec<BlockKey> =
                    (0..known / self.chunk).map(|chunk| self.chunk_key(place, chunk)).collect();
                self.tier.lookup(RequestId::at(place), local, known, |chunk| chunks[chunk as usize])
            };
            self.all[place].settled = 0;
            let said = match answer {
                Lookup::Tokens(tokens) => json!([self.all[place].id, local, tokens]),
                Lookup::Later => json!([self.all[place].id, local, null]),
            };
            assert_eq!(said, *lookup, "{} step {turn}: lookup", self.name);
            let Lookup::Tokens(external) = answer else { continue };
            let loads_now = loads.front().is_some_and(|load| load["id"] == lookup[0]);
            let tokens = tokens_of(place);
            if !loads_now && tokens.is_none() {
                // There was no room for it.
                break;
            }
            self.pool.take_hit(owner, hit, keys.into_iter());
            let done = local + external;
            assert!(self.grow(place, done + if loads_now { 0 } else { tokens.unwrap_or(0) }));
            if !loads_now {
                self.register(place, done + tokens.unwrap_or(0));
            }
            let table = self.table(place).to_vec();
            let chunks: Vec<BlockKey> =
                (0..known / self.chunk).map(|chunk| self.chunk_key(place, chunk)).collect();
            let load =
                self.tier.allocated(RequestId::at(place), &table, local, external, |chunk| {
                    chunks[chunk as usize]
                });
            self.all[place].done = done;
            if let Some(load) = load {
                let golden = loads.pop_front().expect("it was decided to load");
                let ours =
                    json!({"job": load.job.0, "id": self.all[place].id, "blocks": load.blocks});
                assert_eq!(ours, *golden, "{} step {turn}: load", self.name);
                self.ends.insert(load.job, turn + u64::from(load.blocks).div_ceil(self.load) - 1);
                self.all[place].loading = true;
                self.all[place].settled = done.div_ceil(self.chunk);
                self.holding.push(place);
            } else {
                self.running.push(place);
            }
        }
    }

    fn settle(&mut self, turn: u64, scheduled: &[(usize, u32)], preempted: &[usize], step: &Value) {
        let preempted: Vec<RequestId> =
            preempted.iter().map(|&place| RequestId::at(place)).collect();
        let tables: Vec<Vec<u32>> =
            scheduled.iter().map(|&(place, _)| self.table(place).to_vec()).collect();
        let entries: Vec<Scheduled<'_>> = scheduled
            .iter()
            .zip(&tables)
            .map(|(&(place, tokens), table)| Scheduled {
                request: RequestId::at(place),
                table,
                computed: self.all[place].done + tokens,
                known: self.known(place),
            })
            .collect();
        let mut tier = self.tier.clone();
        let key = |request: RequestId, chunk: u32| self.chunk_key(request.index(), chunk);
        let orders = tier.settle(entries.iter().copied(), &preempted, key);
        self.tier = tier;
        for (entry, table) in entries.iter().zip(&tables) {
            let place = entry.request.index();
            let refused = orders.refused.contains(&entry.request);
            self.name_chunks(place, entry.computed, table.len() as u32, refused);
        }
        let id = |request: RequestId| self.all[request.index()].id.clone();
        let stores: Vec<Value> = orders
            .stores
            .iter()
            .map(|store| {
                json!({"job": store.job.0, "id": id(store.request), "blocks": store.blocks,
                    "first_block": store.first_block})
            })
            .collect();
        let evicted: Vec<Value> =
            orders.evicted.iter().map(|key| json!(self.namers[key])).collect();
        let refused: Vec<String> = orders.refused.iter().map(|&request| id(request)).collect();
        let flush: Vec<u64> = orders.flush.iter().map(|job| job.0).collect();
        let ours = [json!(stores), json!(evicted), json!(refused), json!(flush)];
        let names = ["stores_started", "evicted", "store_refused", "flushed"];
        for (ours, name) in ours.iter().zip(names) {
            let golden = step.get(name).cloned().unwrap_or(json!([]));
            assert_eq!(*ours, golden, "{} step {turn}: {name}", self.name);
        }
        for store in &orders.stores {
            let steps = u64::from(store.blocks).div_ceil(self.store);
            self.ends.insert(store.job, turn + steps);
        }
        for job in &orders.flush {
            let end = self.ends.get_mut(job).expect("it is going on");
            *end = (*end).min(turn);
        }
        assert_eq!(self.tier.used(), number(step, "cpu_chunks_used"), "{} step {turn}", self.name);
    }

    /// Who offers a chunk names all that it has, as the record does.
    fn name_chunks(&mut self, place: usize, computed: u32, held: u32, refused: bool) {
        let live = &self.all[place];
        let tokens = computed.min(live.known);
        let tokens = if self.prompt_only { tokens.min(live.prompt) } else { tokens };
        let end = (tokens / self.chunk).min(held / (self.chunk / self.block));
        if live.settled >= end {
            return;
        }
        for chunk in 0..live.known / self.chunk {
            let name = (live.id.clone(), chunk);
            self.namers.entry(self.chunk_key(place, chunk)).or_insert(name);
        }
        if !refused {
            self.all[place].settled = end;
        }
    }

    /// The output of a step comes, in the turn that is recorded as `golden`.
    fn outputs(&mut self, step: u64, golden: &Value) {
        let entries = self.out.remove(&step).expect("a step that is out");
        self.known += u64::from(!entries.is_empty());
        while let Some(&(batch, place)) = self.late.front() {
            if batch > self.known {
                break;
            }
            self.late.pop_front();
            self.release(place);
        }
        for &(place, tokens, emits) in &entries {
            let live = &mut self.all[place];
            live.in_flight -= tokens;
            live.known += emits;
            // What the token makes known is found from now on.
            if self.ahead && emits > 0 && !live.ended {
                let computed = live.done - live.in_flight;
                self.register(place, computed);
            }
        }
        for id in texts(&golden["finished"]) {
            let place = self.places[&id];
            self.all[place].ended = true;
            let known = self.known(place);
            let mut tier = self.tier.clone();
            tier.finished(RequestId::at(place), known, |chunk| self.chunk_key(place, chunk));
            self.tier = tier;
            let computed = known.prompt.max(known.tokens - 1);
            self.name_chunks(place, computed, self.table(place).len() as u32, false);
            if self.ahead && self.all[place].last_batch > self.known {
                self.late.push_back((self.planned, place));
            } else {
                self.release(place);
            }
            self.running.retain(|&running| running != place);
        }
        let over: Vec<JobId> =
            self.ends.iter().filter(|&(_, &end)| end <= step).map(|(&job, _)| job).collect();
        let mut landed = Vec::new();
        for job in &over {
            self.ends.remove(job);
            let done = self.tier.done(*job);
            if done.loaded {
                self.landed.insert(done.request.index());
                landed.push(self.all[done.request.index()].id.clone());
            }
        }
        let numbers: Vec<u64> = over.iter().map(|job| job.0).collect();
        let golden_of = |value: Option<&Value>| value.cloned().unwrap_or(json!([]));
        assert_eq!(json!(numbers), golden_of(golden["offload"].get("done")), "{}", self.name);
        assert_eq!(json!(landed), golden_of(golden.get("recv_done")), "{}", self.name);
    }
}

#[test]
fn the_host_tier_orders_what_vllms_did() {
    let Some(cases) = raw_cases_of("offload") else { return };
    follow(&cases, "host tier");
}

#[test]
fn the_host_tier_orders_what_vllms_did_in_the_checkout() {
    follow(&small_raw_cases_of("offload"), "host tier (compact)");
}

fn follow(cases: &[(String, Value)], what: &str) {
    let (mut followed, mut steps) = (0, 0);
    for (name, case) in cases {
        let mut follower = Follower::new(name, case);
        for golden in rows(&case["steps"]) {
            follower.step(golden);
            steps += 1;
        }
        // An extract says where it is from, and ends in the middle.
        if case.get("source").is_none() {
            let all_ended = !follower.tier.is_busy() && follower.running.is_empty();
            assert!(all_ended, "{name}: all have ended");
        }
        followed += 1;
    }
    assert!(followed > 0);
    say(&format!("{what}: {followed} cases, {steps} steps, all orders equal"));
}
