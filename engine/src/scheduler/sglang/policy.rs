//! SGLang's scheduler at work in a replica: its own turns, told to the replica step by step.

use std::sync::Arc;

use super::super::{CacheRules, Handle, Held, Needs, QueueOrder, Scheduler, Step};
use super::batch::Kind;
use super::machine::Machine;
use super::request::Arrival;
use super::settings::{SgLangPolicy, SgLangSettings};
use crate::content::Content;
use crate::kv::radix::Text;
use crate::kv::{Hit, Told};
use crate::time::Time;

/// The policy of one replica.
#[derive(Debug)]
pub(super) struct SgLang {
    machine: Machine,
    /// What all requests do about stop tokens.
    ignore_eos: bool,
    /// Whether turns may overlap.
    overlaps: bool,
    /// Decode steps that the machine knows of.
    decode_steps: u32,
    /// Whether the last turn had no batch, and when it was if nothing was in flight either.
    empty: bool,
    stood_at: Option<Time>,
    arrivals: u64,
    /// The queue is looked at once in so many decode turns, and after every other turn.
    recv_interval: u32,
    /// Decode turns since it was looked at.
    unreceived: u32,
    /// Whether the last turn decoded and did nothing else.
    decoded: bool,
}

impl SgLang {
    pub(super) fn new(
        set: SgLangSettings,
        recv_interval: u32,
        ignore_eos: bool,
        overlaps: bool,
    ) -> SgLang {
        SgLang {
            machine: Machine::new(set, false),
            recv_interval,
            unreceived: 0,
            decoded: false,
            ignore_eos,
            overlaps,
            decode_steps: 0,
            empty: false,
            stood_at: None,
            arrivals: 0,
        }
    }
}

impl Scheduler for SgLang {
    fn needs(&self) -> Needs {
        let set = &self.machine.set;
        Needs {
            queue: QueueOrder::FcfsPreemptedLast,
            // The rules are the tree's own; this says only that there is a cache.
            cache: (!set.disable_radix_cache).then_some(CacheRules {
                keyless_first: false,
                newest_wins: false,
                hash_at_schedule: false,
                keeps_states: false,
            }),
            plans_ahead: self.overlaps,
            one_lane: true,
            own_pages: Some(set.page_size),
            priorities: set.enable_priority_scheduling,
            ends_unforeseen: !self.machine.rules.foresees_ends,
            ..Needs::default()
        }
    }

    fn longest_answer(&self, prompt_tokens: u32, max_tokens: u32) -> u32 {
        let longest = self.machine.set.longest_answer(prompt_tokens, max_tokens);
        u32::try_from(longest).unwrap_or(0)
    }

    fn processed(&mut self, ended: &[Handle], decode_steps: u32) {
        self.catch_up(decode_steps);
        self.machine.process(|req| ended.contains(&req.handle));
    }

    fn memory_at_end(&mut self, decode_steps: u32) -> Option<Told> {
        self.catch_up(decode_steps);
        Some(told(&self.machine, self.machine.set.page_size))
    }

    fn cached_tokens(&mut self, prompt: &Content, tokens: u32, decode_steps: u32) -> Option<u32> {
        self.catch_up(decode_steps);
        let memory = &self.machine.memory;
        let text = Text::of(prompt, prompt.owner());
        let most = tokens.saturating_sub(1);
        Some(if memory.caches { memory.tree.peek(&text, most) } else { 0 })
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        self.catch_up(step.decode_steps());
        let machine = &mut self.machine;
        machine.overlap = step.plans_ahead();
        // A turn without a batch lasts until the result of the one before is there.
        if self.empty && !machine.in_flight.is_empty() {
            step.hold(machine.full_for);
            return;
        }
        let receives = receives(&mut self.unreceived, self.recv_interval, self.decoded);
        let unseen = !receives && step.has_newcomers();
        if receives {
            for handle in step.newcomers() {
                let arrival = arrival(step, handle, self.ignore_eos);
                self.arrivals += 1;
                machine.arrive(arrival);
            }
        }
        // Further turns at the same instant: the rounds without a prefill that are left take no
        // time while nobody decodes.
        let stood = self.stood_at == Some(step.now());
        if stood {
            machine.deferred = 0;
        }
        let kind = machine.turn();
        self.decoded = kind == Some(Kind::Decode);
        self.empty = kind.is_none();
        let stands = self.empty && machine.in_flight.is_empty();
        self.stood_at = stands.then(|| step.now());
        // A turn without a batch takes no time; the next one looks for requests, and finds the seats
        // and tokens that this one took from somebody.
        let changed = !stood && !machine.waiting.is_empty();
        if stands && (machine.unsettled || unseen || changed) {
            step.ask_again();
        }
        self.tell(step, kind, unseen);
        self.decode_steps = step.decode_steps() + u32::from(self.decodes(kind));
    }
}

impl SgLang {
    /// Skipped decode steps are turns like the last one.
    fn catch_up(&mut self, decode_steps: u32) {
        let skipped = decode_steps - self.decode_steps;
        self.machine.repeat(skipped);
        // Whenever the count was full nobody was there.
        self.unreceived = (self.unreceived + skipped % self.recv_interval) % self.recv_interval;
        self.decode_steps = decode_steps;
    }

    /// Whether the batch advances those who decode.
    fn decodes(&self, kind: Option<Kind>) -> bool {
        matches!(kind, Some(Kind::Decode | Kind::Mixed))
    }

    /// Does in the replica what the turn decided. `unseen`: there are requests that the turn did not
    /// look for.
    fn tell(&mut self, step: &mut Step<'_>, kind: Option<Kind>, unseen: bool) {
        let machine = &self.machine;
        for &rid in machine.preempted.iter().chain(&machine.retracted) {
            let req = machine.req(rid);
            step.retract(req.handle, req.in_flight > 0);
        }
        let page = machine.set.page_size;
        let batch = machine.in_flight.back().filter(|_| kind.is_some());
        let mut all_at_once = false;
        for entry in batch.iter().flat_map(|batch| &batch.entries) {
            let handle = machine.handle(entry.req);
            let done = match (entry.prefill, entry.fresh) {
                (true, true) => {
                    let hit = Hit { blocks: entry.before / page, ..Hit::default() };
                    step.admit(handle, entry.tokens, 0, hit)
                }
                (false, _) if step.may_decode_all() => {
                    if !all_at_once {
                        step.decode_all();
                    }
                    all_at_once = true;
                    true
                }
                _ => step.run(handle, entry.tokens),
            };
            assert!(done, "the machine has the memory");
        }
        let sorts = machine.set.schedule_policy == SgLangPolicy::Lpm
            || machine.set.enable_priority_scheduling;
        // The machine does not know those it has not looked for.
        if sorts && !unseen {
            step.order_queue(machine.waiting.iter().map(|&rid| machine.handle(rid)));
        }
        step.tell_memory(told(machine, page));
        if let Some(reason) = machine.held {
            step.hold(reason);
        } else if unseen && machine.waiting.is_empty() {
            step.hold(Held::Deferred);
        }
        if all_at_once && !unseen && kind == Some(Kind::Decode) && machine.is_settled() {
            step.repeats(0);
        }
        if !step.may_decode_all() {
            machine.check();
        }
    }
}

/// Whether a turn looks for requests: `--scheduler-recv-interval` counts turns after a decode, and any
/// other turn fills the count.
fn receives(unreceived: &mut u32, interval: u32, decoded: bool) -> bool {
    *unreceived = if decoded { *unreceived + 1 } else { interval };
    let full = *unreceived >= interval;
    if full {
        *unreceived = 0;
    }
    full
}

/// How its memory stands, in pages.
fn told(machine: &Machine, page: u32) -> Told {
    let memory = &machine.memory;
    let free = memory.available().max(0) as u64 / u64::from(page);
    Told {
        free: u32::try_from(free).unwrap_or(u32::MAX),
        evicted: memory.tree.evicted() / u64::from(page),
        overdrawn: memory.overdrawn,
    }
}

fn arrival(step: &Step<'_>, handle: Handle, ignore_eos: bool) -> Arrival {
    let view = step.view(handle);
    let text = Text::of(step.content(handle), view.id);
    let arrival = Arrival::new(handle, view.prompt_tokens, view.max_tokens, Arc::new(text));
    // The larger number is the more urgent one there.
    Arrival { priority: Some(-i64::from(view.priority)), ignore_eos, ..arrival }
}
