//! The two ends of KV transfers between replicas, as the scheduler of vLLM 0.33.0 sees them with a
//! connector that pulls, such as NIXL's (`v1/core/sched/scheduler.py`, `_update_waiting_for_remote_kv`,
//! `_update_requests_with_invalid_blocks`, `_connector_finished`): which requests are loading, which
//! have landed or failed, and which hold blocks for another replica.
//!
//! This is a state machine without time. What a replica calls, and when:
//!
//! | when | call |
//! |---|---|
//! | admission looks at a waiting request whose KV is elsewhere, of which nothing is computed and the prefix cache gave `local` tokens | [`Receiver::pulls`]; where it does, all of its prompt's blocks are taken *now* (no lookahead slots; [`Receiver::is_loading`] requests hold blocks, no seat and no tokens), then [`Receiver::begin`], and the scan goes on behind it |
//! | the output of a step reports the transfer | [`Receiver::reported`] |
//! | admission begins: before the waiting queue, those that hold blocks are looked at in the order in which their loads began | [`Receiver::holding`]; those that load are passed over; of the others [`Receiver::take`], once, gives what counts, and the first without room ends the scan |
//! | one of them has a seat | [`Receiver::seated`] |
//! | a request is aborted | [`Receiver::abort`]: the blocks of one that loads stay until its transfer is reported |
//! | a request has ended | [`Receiver::forget`] |
//! | a request that others wait for has ended by length or by a stop token | [`Sender::hold`]: its seat is free at once, its blocks are not |
//! | the output of a step reports that they have been sent | [`Sender::sent`] |
//!
//! Blocks of a load are registered with the prefix cache when it has landed and is taken, not before. The last
//! prompt token is computed in any case, which emits the first token. A pull happens once in
//! a request's life: one that is preempted later computes prompt and answer itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::request::RequestId;

/// What becomes of a request whose load failed (`kv_load_failure_policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It ends with an error: vLLM's default.
    #[default]
    Fail,
    /// The tokens before the first bad block count, and the rest is computed here.
    Recompute,
}

/// What a reported transfer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// The request may be taken from the next step on, all of it or what came of it.
    Ready,
    /// It failed, and the request ends with an error; its blocks come back now.
    Error,
    /// The request is gone: its blocks come back now.
    Gone,
}

/// A load that is over, as the next step takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Tokens whose blocks are registered with the prefix cache, where there is one. 0: nothing came,
    /// all blocks are given back, and the request begins anew with a lookup and a prefill of its own,
    /// before those that wait.
    pub registered: u32,
    /// Tokens that count as computed.
    pub computed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Loading {
        tokens: u32,
    },
    /// The load is over, and brought so many tokens.
    Over {
        tokens: u32,
    },
    /// What it brought has been taken, and there was no room to go on.
    Taken,
    /// Aborted while it was loading.
    Aborted,
}

/// The replica to which KV comes.
#[derive(Clone, Debug)]
pub struct Receiver {
    block_tokens: u32,
    on_failure: OnFailure,
    /// By the order in which loads began.
    states: BTreeMap<u64, (RequestId, State)>,
    orders: HashMap<RequestId, u64>,
    /// Who has pulled, of those that are here.
    pulled: BTreeSet<RequestId>,
    begun: u64,
}

impl Receiver {
    /// A replica that nothing comes to yet, with blocks of so many tokens.
    pub fn new(block_tokens: u32, on_failure: OnFailure) -> Receiver {
        Receiver {
            block_tokens,
            on_failure,
            states: BTreeMap::new(),
            orders: HashMap::new(),
            pulled: BTreeSet::new(),
            begun: 0,
        }
    }

    /// Tokens of a request that come from elsewhere, beyond `local` ones that this replica has; 0 where it
    /// has all, or where it has pulled before.
    pub fn pulls(&self, request: RequestId, prompt: u32, local: u32) -> u32 {
        if self.pulled.contains(&request) { 0 } else { prompt.saturating_sub(local) }
    }

    /// A load begins, for which blocks have been taken: with it `tokens` tokens are there. (Where
    /// nothing has to come, [`pulled`](Self::pulled) says that this was the request's chance.)
    pub fn begin(&mut self, request: RequestId, tokens: u32) {
        let first = self.pulled.insert(request);
        assert!(first, "a request pulls once");
        self.begun += 1;
        self.states.insert(self.begun, (request, State::Loading { tokens }));
        self.orders.insert(request, self.begun);
    }

    /// A request whose KV is elsewhere was admitted without a load.
    pub fn pulled(&mut self, request: RequestId) {
        self.pulled.insert(request);
    }

    /// Whether blocks of a request wait for what comes.
    pub fn is_loading(&self, request: RequestId) -> bool {
        self.state(request).is_some_and(|state| matches!(state, State::Loading { .. }))
    }

    /// Requests whose load goes on, or is over and not yet taken: what vLLM counts as waiting for KV from
    /// elsewhere. Those that are gone are not among them.
    pub fn loading(&self) -> usize {
        let all = self.states.values();
        let waits = |state: &State| matches!(state, State::Loading { .. } | State::Over { .. });
        all.filter(|(_, state)| waits(state)).count()
    }

    /// Requests that hold blocks and no seat, in the order in which their loads began.
    pub fn holding(&self) -> impl Iterator<Item = RequestId> + '_ {
        let here = self.states.values().filter(|(_, state)| *state != State::Aborted);
        here.map(|&(request, _)| request)
    }

    /// A transfer is over; where it failed, so many blocks from the first one on are good.
    ///
    /// # Panics
    /// When the request was not loading.
    pub fn reported(&mut self, request: RequestId, good_blocks: Option<u32>) -> Reported {
        let order = self.orders[&request];
        match (self.states[&order].1, good_blocks) {
            (State::Aborted, _) => {
                self.remove(request);
                self.pulled.remove(&request);
                Reported::Gone
            }
            (State::Loading { .. }, Some(_)) if self.on_failure == OnFailure::Fail => {
                self.remove(request);
                self.pulled.remove(&request);
                Reported::Error
            }
            (State::Loading { tokens }, good_blocks) => {
                let good = good_blocks.map_or(tokens, |blocks| blocks * self.block_tokens);
                let over = State::Over { tokens: good.min(tokens) };
                self.states.insert(order, (request, over));
                Reported::Ready
            }
            (State::Over { .. } | State::Taken, _) => panic!("a transfer is over once"),
        }
    }

    /// What a load that is over comes to, of a request of which `known` tokens are known; `None` while
    /// it goes on, and once it has been taken.
    pub fn take(&mut self, request: RequestId, known: u32) -> Option<Landed> {
        let order = *self.orders.get(&request)?;
        let (_, State::Over { tokens }) = self.states[&order] else { return None };
        self.states.insert(order, (request, State::Taken));
        Some(Landed { registered: tokens, computed: tokens.min(known.saturating_sub(1)) })
    }

    /// A request that held blocks has a seat.
    pub fn seated(&mut self, request: RequestId) {
        self.remove(request);
    }

    /// A request is aborted. Whether its blocks have to stay until its transfer is reported.
    pub fn abort(&mut self, request: RequestId) -> bool {
        if !self.is_loading(request) {
            self.forget(request);
            return false;
        }
        let order = self.orders[&request];
        self.states.insert(order, (request, State::Aborted));
        true
    }

    /// A request has ended.
    pub fn forget(&mut self, request: RequestId) {
        self.remove(request);
        self.pulled.remove(&request);
    }

    fn state(&self, request: RequestId) -> Option<State> {
        Some(self.states[self.orders.get(&request)?].1)
    }

    fn remove(&mut self, request: RequestId) {
        if let Some(order) = self.orders.remove(&request) {
            self.states.remove(&order);
        }
    }
}

/// The replica from which KV is pulled.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    held: BTreeSet<RequestId>,
}

impl Sender {
    /// A request has ended whose blocks stay until they have been sent. What lies behind a sliding
    /// window goes back at once; an aborted request holds nothing.
    pub fn hold(&mut self, request: RequestId) {
        let first = self.held.insert(request);
        assert!(first, "a request ends once");
    }

    /// The blocks of a request have been sent, and come back now.
    ///
    /// # Panics
    /// When it held none.
    pub fn sent(&mut self, request: RequestId) {
        assert!(self.held.remove(&request), "its blocks were held");
    }

    /// Requests whose blocks are held. They have neither a seat nor a place in a queue.
    pub fn holding(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RequestId = RequestId(0);
    const B: RequestId = RequestId(3);
    const C: RequestId = RequestId(4);

    fn holding(receiver: &Receiver) -> Vec<RequestId> {
        receiver.holding().collect()
    }

    #[test]
    fn the_last_token_of_what_has_landed_is_computed() {
        // golden/schedulers/pd/v1_0.33.0_pd_d_pc_kv: r000 of 106 tokens computes one, r002 of 536, of
        // which 96 are there, pulls 440.
        let mut receiver = Receiver::new(16, OnFailure::Fail);
        assert_eq!(receiver.pulls(A, 106, 0), 106);
        receiver.begin(A, 106);
        assert_eq!(receiver.pulls(C, 536, 96), 440);
        receiver.begin(C, 536);
        assert_eq!((receiver.loading(), receiver.take(A, 106)), (2, None));
        assert_eq!(receiver.reported(A, None), Reported::Ready);
        assert_eq!((receiver.loading(), holding(&receiver)), (2, vec![A, C]));
        let landed = Landed { registered: 106, computed: 105 };
        assert_eq!(receiver.take(A, 106), Some(landed));
        assert_eq!(receiver.loading(), 1);
        // No room: it keeps its place, and is not taken twice.
        assert_eq!((receiver.take(A, 106), holding(&receiver)), (None, vec![A, C]));
        receiver.seated(A);
        assert_eq!(holding(&receiver), [C]);
        assert_eq!(receiver.pulls(A, 106, 0), 0, "preempted, it computes all itself");
        receiver.forget(A);
    }

    #[test]
    fn what_came_before_a_failure_counts_where_the_rest_is_computed() {
        // golden/schedulers/pd/v1_0.33.0_pd_d_fail_recompute: r003 of 167 tokens fails at block 7 and
        // computes 55, r000 of 30 fails whole and computes 30.
        let mut receiver = Receiver::new(16, OnFailure::Recompute);
        receiver.begin(B, 167);
        receiver.begin(A, 30);
        assert_eq!(receiver.reported(A, Some(0)), Reported::Ready);
        assert_eq!(receiver.reported(B, Some(7)), Reported::Ready);
        assert_eq!(receiver.take(B, 167), Some(Landed { registered: 112, computed: 112 }));
        assert_eq!(receiver.take(A, 30), Some(Landed { registered: 0, computed: 0 }));
        assert_eq!((receiver.pulls(A, 30, 0), holding(&receiver)), (0, vec![B, A]));
    }

    #[test]
    fn who_fails_or_is_gone_gives_its_blocks_back_when_the_transfer_is_over() {
        let mut receiver = Receiver::new(16, OnFailure::Fail);
        receiver.begin(A, 30);
        receiver.begin(B, 167);
        assert!(receiver.abort(A), "its blocks are being written");
        assert_eq!((holding(&receiver), receiver.loading()), (vec![B], 1));
        assert_eq!(receiver.reported(A, None), Reported::Gone);
        assert_eq!(receiver.reported(B, Some(7)), Reported::Error);
        assert!(holding(&receiver).is_empty());
        receiver.begin(C, 30);
        receiver.reported(C, None);
        assert!(!receiver.abort(C), "nothing is written any more");
    }

    #[test]
    fn blocks_are_held_until_they_have_been_sent() {
        // golden/schedulers/pd/v1_0.33.0_pd_p_hold: r000 and r001 end in step 1, r002 in step 5, and
        // r001 has been sent in step 6.
        let mut sender = Sender::default();
        sender.hold(A);
        sender.hold(B);
        sender.hold(C);
        sender.sent(B);
        assert_eq!(sender.holding(), 2);
    }
}
