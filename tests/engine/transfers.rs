//! The ends of KV transfers beside vLLM 0.33.0's own scheduler: what it decided is taken from recorded
//! cases, and who loads, has landed, failed or holds blocks must be as it was there.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use crate::golden::raw_cases_of;
use crate::offload::{RULES, contents, number, rows, texts};
use crate::shared::say;
use metron_sim::content::Content;
use metron_sim::ids::SlotId;
use metron_sim::kv::ends::{Landed, OnFailure, Receiver, Reported, Sender};
use metron_sim::kv::{BlockKey, Hit, KvGroups, Pool};
use metron_sim::request::RequestId;

struct Live<'a> {
    row: &'a Value,
    id: &'a str,
    prompt: u32,
    known: u32,
    done: u32,
    /// Blocks that it holds.
    held: u32,
    content: Content,
}

/// Follows a recorded case.
struct Follower<'a> {
    name: &'a str,
    block: u32,
    seats: usize,
    budget: u32,
    fails: bool,
    pool: Pool,
    receiver: Receiver,
    sender: Sender,
    all: Vec<Live<'a>>,
    places: HashMap<&'a str, usize>,
    arrived: usize,
    waiting: VecDeque<usize>,
    running: Vec<usize>,
    /// Transfers that are going on, by the step whose output reports them, as they began.
    pulls: Vec<(u64, usize)>,
    sends: Vec<(u64, usize)>,
}

impl<'a> Follower<'a> {
    fn new(name: &'a str, case: &'a Value) -> Follower<'a> {
        let config = &case["config"];
        let block = number(config, "block_size");
        let cache = (config["enable_prefix_caching"] == true).then_some(RULES);
        let fails = config["kv_load_failure_policy"] == "fail";
        let on_failure = if fails { OnFailure::Fail } else { OnFailure::Recompute };
        let live = |(row, content): (&'a Value, Content)| Live {
            row,
            id: row["id"].as_str().expect("an id"),
            prompt: number(row, "prompt"),
            known: number(row, "prompt"),
            done: 0,
            held: 0,
            content,
        };
        let all: Vec<Live<'a>> =
            rows(&case["requests"]).iter().zip(contents(case, block)).map(live).collect();
        Follower {
            name,
            block,
            seats: number(config, "max_num_seqs") as usize,
            budget: number(config, "max_num_batched_tokens"),
            fails,
            pool: Pool::new(number(config, "num_blocks") - 1, block, KvGroups::ONE, cache, 0),
            receiver: Receiver::new(block, on_failure),
            sender: Sender::default(),
            places: all.iter().enumerate().map(|(place, live)| (live.id, place)).collect(),
            all,
            arrived: 0,
            waiting: VecDeque::new(),
            running: Vec::new(),
            pulls: Vec::new(),
            sends: Vec::new(),
        }
    }

    fn grow(&mut self, place: usize, tokens: u32) -> bool {
        let live = &mut self.all[place];
        let more = tokens.div_ceil(self.block).saturating_sub(live.held);
        if more > self.pool.free() {
            return false;
        }
        live.held += more;
        self.pool.take(SlotId::at(place), more, live.held);
        true
    }

    fn register(&mut self, place: usize, tokens: u32) {
        let (live, block) = (&self.all[place], self.block);
        let key = |index: u32| live.content.key(index, u64::from(index + 1) * u64::from(block));
        self.pool.hash(SlotId::at(place), tokens.min(live.known) / block, false, key);
    }

    fn release(&mut self, place: usize) {
        let held = std::mem::take(&mut self.all[place].held);
        self.pool.release(SlotId::at(place), held);
    }

    fn preempt(&mut self, place: usize) {
        self.release(place);
        self.all[place].done = 0;
        self.running.retain(|&running| running != place);
        self.waiting.push_front(place);
    }

    /// What the prefix cache has of a request, and its keys.
    fn lookup(&self, place: usize) -> (Hit, Vec<BlockKey>) {
        let live = &self.all[place];
        let end = |index: u32| u64::from(index + 1) * u64::from(self.block);
        let full = (live.known - 1) / self.block;
        let keys: Vec<_> = (0..full).map(|k| live.content.key(k, end(k))).collect();
        (self.pool.lookup(keys.iter().copied(), false), keys)
    }

    /// One recorded step.
    fn step(&mut self, golden: &Value) {
        let turn = golden["step"].as_u64().expect("a step");
        while let Some(live) = self.all.get(self.arrived) {
            if u64::from(number(live.row, "arrival_step")) > turn {
                break;
            }
            self.waiting.push_back(self.arrived);
            self.arrived += 1;
        }
        let place_of = |id: &Value| self.places[id.as_str().expect("an id")];
        let scheduled: Vec<(usize, u32, u32)> = rows(&golden["scheduled"])
            .iter()
            .map(|entry| {
                let before = number(entry, "computed_before");
                (place_of(&entry["id"]), number(entry, "num_tokens"), before)
            })
            .collect();
        let mut victims: VecDeque<usize> =
            rows(&golden["preempted"]).iter().map(place_of).collect();
        let nobody_lost = victims.is_empty();
        let mut spent = 0;
        for &(place, tokens, before) in &scheduled {
            if !self.running.contains(&place) {
                continue;
            }
            assert_eq!(self.all[place].done, before, "{} step {turn}", self.name);
            while !self.grow(place, before + tokens) {
                let victim = victims.pop_front().expect("memory for who was scheduled");
                self.preempt(victim);
            }
            self.register(place, before + tokens);
            spent += tokens;
        }
        victims.into_iter().for_each(|victim| self.preempt(victim));
        if nobody_lost {
            self.admit(turn, &scheduled, spent, rows(&golden["loads_started"]));
        }
        let free = golden["free_blocks_after_schedule"].as_u64();
        assert_eq!(Some(self.pool.free().into()), free, "{} step {turn}: free blocks", self.name);
        self.outputs(turn, golden);
    }

    fn admit(&mut self, turn: u64, scheduled: &[(usize, u32, u32)], spent: u32, loads: &[Value]) {
        let mut left = self.budget - spent;
        let entry = |place: usize| scheduled.iter().find(|entry| entry.0 == place).copied();
        let holding: Vec<usize> = self.receiver.holding().map(RequestId::index).collect();
        for place in holding {
            if left == 0 || self.running.len() >= self.seats {
                return;
            }
            let id = RequestId::at(place);
            if self.receiver.is_loading(id) {
                continue;
            }
            match self.receiver.take(id, self.all[place].known) {
                Some(Landed { registered: 0, .. }) => {
                    self.release(place);
                    self.all[place].done = 0;
                }
                Some(Landed { registered, computed }) => {
                    self.register(place, registered);
                    self.all[place].done = computed;
                }
                None => {}
            }
            let Some((_, tokens, before)) = entry(place) else { return };
            self.seat(turn, place, tokens, before);
            self.receiver.seated(id);
            left -= tokens;
        }
        let mut loads: VecDeque<&Value> = loads.iter().collect();
        while let Some(&place) = self.waiting.front() {
            if left == 0 || self.running.len() >= self.seats {
                break;
            }
            let id = RequestId::at(place);
            let (hit, keys) = self.lookup(place);
            let local = hit.blocks * self.block;
            let live = &self.all[place];
            let external = match live.row["remote_prefill"] == true {
                true => self.receiver.pulls(id, live.prompt, local),
                false => 0,
            };
            if loads.front().is_some_and(|load| load["id"] == live.id) {
                let steps = u64::from(number(live.row, "load_steps"));
                self.pool.take_hit(SlotId::at(place), hit, keys.into_iter());
                let live = &mut self.all[place];
                live.held = hit.blocks;
                live.done = local + external;
                assert!(self.grow(place, local + external));
                let live = &self.all[place];
                let ours = json!({"id": live.id, "external_tokens": external, "blocks": live.held});
                let golden = loads.pop_front().expect("it was looked at");
                assert_eq!(ours, *golden, "{} step {turn}: load", self.name);
                self.receiver.begin(id, local + external);
                self.pulls.push((turn + steps, place));
            } else if let Some((_, tokens, before)) = entry(place) {
                assert_eq!(external, 0, "{} step {turn}: it would load", self.name);
                if self.all[place].row["remote_prefill"] == true {
                    self.receiver.pulled(id);
                }
                self.seat(turn, place, tokens, before);
                left -= tokens;
            } else {
                break;
            }
            self.waiting.pop_front();
        }
        assert!(loads.is_empty(), "{} step {turn}: loads that nobody began", self.name);
    }

    fn seat(&mut self, turn: u64, place: usize, tokens: u32, before: u32) {
        if self.all[place].done == 0 {
            let (hit, keys) = self.lookup(place);
            self.pool.take_hit(SlotId::at(place), hit, keys.into_iter());
            self.all[place].held = hit.blocks;
            self.all[place].done = hit.blocks * self.block;
        }
        let of = (self.all[place].id, self.all[place].done);
        assert_eq!(of.1, before, "{} step {turn}: {}", self.name, of.0);
        assert!(self.grow(place, before + tokens));
        self.register(place, before + tokens);
        self.running.push(place);
    }

    fn outputs(&mut self, turn: u64, golden: &Value) {
        for entry in rows(&golden["scheduled"]) {
            let place = self.places[entry["id"].as_str().expect("an id")];
            self.all[place].done += number(entry, "num_tokens");
            self.all[place].known += number(entry, "emits");
        }
        let mut failed = Vec::new();
        for id in texts(&golden["finished"]) {
            let place = self.places[id.as_str()];
            let live = &self.all[place];
            if !self.running.contains(&place) {
                failed.push(place);
                continue;
            }
            self.running.retain(|&running| running != place);
            if live.row["remote_decode"] == true {
                self.sends.push((turn + u64::from(number(live.row, "send_steps")), place));
                self.sender.hold(RequestId::at(place));
            } else {
                self.release(place);
                self.receiver.forget(RequestId::at(place));
            }
        }
        let (mut landed, mut bad) = (Vec::new(), Vec::new());
        for place in over(&mut self.pulls, turn) {
            let live = &self.all[place];
            let good = live.row.get("fail_block").map(|at| at.as_u64().unwrap_or(0) as u32);
            landed.push(live.id);
            bad.extend(good.map(|_| live.id));
            let reported = self.receiver.reported(RequestId::at(place), good);
            let errs = good.is_some() && self.fails;
            assert_eq!(reported, if errs { Reported::Error } else { Reported::Ready });
            assert_eq!(failed.contains(&place), errs, "{} step {turn}", self.name);
            if errs {
                self.release(place);
            }
        }
        let mut sent = Vec::new();
        for place in over(&mut self.sends, turn) {
            self.sender.sent(RequestId::at(place));
            self.release(place);
            sent.push(self.all[place].id);
        }
        for (ours, name) in [(landed, "recv_done"), (bad, "load_failed"), (sent, "sent_done")] {
            let golden = golden.get(name).cloned().unwrap_or(json!([]));
            assert_eq!(json!(ours), golden, "{} step {turn}: {name}", self.name);
        }
        let waiting = self.waiting.len() + self.receiver.holding().count();
        let counts = [
            (waiting, "num_waiting"),
            (self.running.len(), "num_running"),
            (self.receiver.loading(), "num_loading"),
            (self.sender.holding(), "num_holding_for_send"),
        ];
        for (ours, name) in counts {
            assert_eq!(json!(ours), golden[name], "{} step {turn}: {name}", self.name);
        }
    }
}

/// Those whose transfer is over, in the order in which they began.
fn over(transfers: &mut Vec<(u64, usize)>, step: u64) -> Vec<usize> {
    let ended = transfers.iter().filter(|(end, _)| *end <= step).map(|&(_, place)| place).collect();
    transfers.retain(|(end, _)| *end > step);
    ended
}

#[test]
fn transfers_stand_where_vllms_did() {
    let Some(cases) = raw_cases_of("pd") else { return };
    let (mut followed, mut steps) = (0, 0);
    for (name, case) in &cases {
        let config = &case["config"];
        let beyond = [
            (config["async_scheduling"] == true, "it is planned ahead"),
            (!config["kv_groups"].is_null(), "several groups of layers"),
            (!config["spec"].is_null(), "drafts"),
        ];
        if let Some((_, why)) = beyond.into_iter().find(|(is_so, _)| *is_so) {
            say(&format!("transfers: {name} is left out: {why}"));
            continue;
        }
        let mut follower = Follower::new(name, case);
        for golden in rows(&case["steps"]) {
            follower.step(golden);
            steps += 1;
        }
        assert!(follower.running.is_empty() && follower.pulls.is_empty(), "{name}: all have ended");
        followed += 1;
    }
    assert!(followed > 0);
    say(&format!("transfers: {followed} cases, {steps} steps, all equal"));
}
