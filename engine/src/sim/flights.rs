//! KV on its way from replicas that prefill to replicas that decode: what sets out when, what has come, and
//! what that lets go on.

use super::Rejection;
use super::engine::Engine;
use super::hand_over::Handed;
use crate::ids::{ReplicaId, RequestId};
use crate::replica::Failure;
use crate::time::{Span, Time};
use crate::transfer::TransferId;
use crate::workload::Arriving;

impl Engine<'_> {
    /// KV of a request's prompt sets out, as far as its first `computed` tokens go.
    pub(super) fn send_up_to(&mut self, request: RequestId, computed: u32) {
        let now = self.calendar.now();
        let handing = self.handing.as_mut().expect("it hands over");
        let prompt = handing.asked[request.index()].prompt_tokens;
        let handed = handing.handed.get_mut(&request).expect("it was handed over");
        let blocks = handed.sends(computed.min(prompt), prompt);
        // Of what is lost nothing goes over: that is known at once.
        let blocks = if handed.told.lost { 0 } else { blocks };
        // The last transfer says that all is there, if it carries nothing else.
        if blocks == 0 && computed < prompt {
            return;
        }
        let pool = self.fleet.member(handed.to).pool;
        let block_bytes = handing.setup.ports[pool.index()].block_bytes;
        let bytes = u64::from(blocks).saturating_mul(block_bytes);
        handed.told.bytes += bytes;
        handed.told.blocks += blocks;
        handed.under_way += 1;
        let id = TransferId(handing.transfers);
        handing.transfers += 1;
        handing.under_way.insert(id, request);
        let each = handing.setup.transfer.per_block.as_nanos();
        let before = match handed.told.lost {
            true => Span::ZERO,
            false => {
                let blocks = Span::from_nanos(each.saturating_mul(u64::from(blocks)));
                handing.setup.transfer.setup + blocks
            }
        };
        let before = before.max(Span::from_nanos(1));
        let (out, into) =
            (handing.ports[handed.from.index()].0, handing.ports[handed.to.index()].1);
        let over = if out == into { vec![out] } else { vec![out, into] };
        handing.flows.begin(now, id, before, bytes, &over);
    }

    /// Says when something is due of what is on its way.
    pub(super) fn look_at_transfers(&mut self) {
        let due = self.handing.as_ref().map_or(Time::NEVER, |handing| handing.due());
        self.calendar.transfers_due(due);
    }

    /// Transfers that are over, and leases.
    pub(super) fn turn_transfers(&mut self, arriving: &mut dyn Arriving) {
        let now = self.calendar.now();
        let Some(handing) = &mut self.handing else { return };
        let over = handing.flows.turn_to(now);
        for id in over {
            let handing = self.handing.as_mut().expect("it hands over");
            let request = handing.under_way.remove(&id).expect("it was under way");
            let handed = handing.handed.get_mut(&request).expect("it was handed over");
            handed.under_way -= 1;
            if handed.under_way == 0 && handed.told.at != Time::NEVER {
                self.land(request, arriving);
            }
        }
        loop {
            let handing = self.handing.as_mut().expect("it hands over");
            let Some((&(at, request), ())) = handing.leases.first_key_value() else { break };
            if at > now {
                break;
            }
            handing.leases.remove(&(at, request));
            let handed = handing.handed.get_mut(&request).expect("it was handed over");
            handed.told.lost = true;
            handed.told.released = now;
            let from = handed.from;
            self.release(request, from);
        }
        self.look_at_transfers();
    }

    /// The KV of a request is there, or known to be lost.
    fn land(&mut self, request: RequestId, arriving: &mut dyn Arriving) {
        let now = self.calendar.now();
        let handing = self.handing.as_mut().expect("it hands over");
        let mut handed = handing.handed.remove(&request).expect("it was handed over");
        handed.told.landed = now;
        let failure = handing.setup.on_failure;
        let lost = handed.told.lost;
        if !lost {
            handed.told.released = now;
        }
        handing.over.push(handed.told);
        let replica = self.servers[handed.to.index()].replica_mut();
        if lost {
            replica.load_failed(request, 0, failure);
        }
        let fails = lost && failure == Failure::Ends;
        let first = (!fails && handed.told.carried).then_some(handed.output_tokens);
        if fails || first == Some(1) {
            replica.ends_while_it_loads(request);
        }
        replica.loaded(request);
        match first {
            Some(1) => self.tally.first_token(request, now),
            Some(_) => self.tally.carries(request),
            None => {}
        }
        if fails {
            self.tally.reject(request, now, Rejection::KvLost);
            self.ends(request);
            self.fleet.leave(request);
            arriving.turned_away(request, now);
        } else if first == Some(1) {
            self.tally.complete(request);
            self.ends(request);
            self.fleet.leave(request);
            arriving.finished(request, now);
        }
        if self.servers[handed.to.index()].can_decide() {
            self.calendar.wake(handed.to);
        }
        if !lost {
            self.release(request, handed.from);
        }
    }

    /// The blocks come free that were held where a prompt was computed.
    fn release(&mut self, request: RequestId, from: ReplicaId) {
        let server = &mut self.servers[from.index()];
        server.replica_mut().fetched(request);
        if server.can_decide() {
            self.calendar.wake(from);
        }
    }
}

impl Handed {
    /// Blocks that set out when the first `computed` tokens of a prompt of so many are there: the last are
    /// counted whole.
    fn sends(&mut self, computed: u32, prompt: u32) -> u32 {
        let (needless, sent) = self.there;
        let share = |tokens: u32| match tokens >= prompt {
            true => u64::from(self.blocks),
            false => {
                let (own, all) = (tokens.saturating_sub(needless), prompt - needless);
                u64::from(self.blocks) * u64::from(own) / u64::from(all.max(1))
            }
        };
        let blocks = share(computed.max(sent)) - share(sent);
        self.there.1 = computed.max(sent);
        blocks as u32
    }
}
