//! What a run writes down as it goes: a row a request, the decode steps of each lane, and counts.

use std::collections::BTreeSet;

use super::own_tokens::OwnTokens;
use super::told::Telling;
use super::{IterationCounts, Rejection};
use crate::ids::{ColumnId, LaneId, PoolId};
use crate::replica::{Brought, Emission, Plan, Replica};
use crate::request::{Request, RequestId};
use crate::time::Time;
use crate::trace::{Column, ColumnKind, Lane, NO_RUN, RequestRow, Run, Status, ToCome, TokenTrace};

#[derive(Debug)]
pub(super) struct Tally {
    pub trace: TokenTrace,
    /// By lane.
    columns_of: Vec<ColumnsOf>,
    /// By request: its tokens after the first, where drafts bring them.
    own: Vec<OwnTokens>,
    /// Index of each request's last further run, or `NO_RUN`.
    last_run: Vec<u32>,
    pub counts: IterationCounts,
    pub rejections: Vec<(RequestId, Rejection)>,
    /// Requests that have come to their end.
    pub done: u64,
    /// Output tokens of each request's whole answer, where observation may end before it does.
    wanted: Option<Vec<u32>>,
    /// Whose first tokens came with their KV and have not gone out.
    carried: BTreeSet<RequestId>,
    /// What is told as it comes, where anybody listens.
    pub telling: Option<Telling>,
    /// When requests get their first tokens, where a router wants to know.
    pub first_tokens: Option<Vec<(Time, RequestId)>>,
}

/// The times of a lane's decode steps.
pub(super) struct Steps<'t>(&'t mut Vec<Time>);

impl Steps<'_> {
    /// One more.
    pub(super) fn push(&mut self, at: Time) {
        debug_assert!(self.0.last().is_none_or(|&last| last < at), "steps move forward");
        self.0.push(at);
    }

    /// The last so many.
    pub(super) fn last_ones(&self, count: u32) -> &[Time] {
        &self.0[self.0.len() - count as usize..]
    }

    /// The number of the last.
    pub(super) fn last(&self) -> u32 {
        (self.0.len() - 1) as u32
    }
}

/// Where the columns of a lane are in the trace.
#[derive(Clone, Copy, Debug)]
struct ColumnsOf {
    /// Its decode steps.
    steps: ColumnId,
    /// Tokens that a recomputed prefill emits between them.
    between: ColumnId,
    /// Where drafts bring each request its own number of tokens: those of its replica's requests.
    own: Option<ColumnId>,
}

/// The row of a request that has arrived at the replica whose first lane is `lane`, of which
/// nothing else is known yet.
fn arrived(request: &Request, lane: LaneId) -> RequestRow {
    RequestRow {
        arrival: request.arrival,
        scheduled: Time::NEVER,
        first_token: Time::NEVER,
        run: Run::EMPTY,
        prompt_tokens: request.prompt_tokens,
        tokens: 0,
        hit_tokens: 0,
        preemptions: 0,
        lane,
        class: request.class,
        status: Status::Unfinished,
    }
}

impl Tally {
    /// `ends` says whether observation may end before the requests do, `drafts` whether drafts bring
    /// tokens in a pool.
    pub(super) fn new(lanes: Vec<Lane>, ends: bool, drafts: impl Fn(PoolId) -> bool) -> Tally {
        let mut columns = Vec::new();
        let mut add = |kind| {
            columns.push(Column::of(kind));
            ColumnId((columns.len() - 1) as u32)
        };
        let mut columns_of: Vec<ColumnsOf> = Vec::with_capacity(lanes.len());
        for (number, lane) in lanes.iter().enumerate() {
            let id = LaneId::at(number);
            let (steps, between) = (add(ColumnKind::Steps(id)), add(ColumnKind::Between(id)));
            let beside = lane.part.is_some_and(|part| part.0 > 0);
            let own = match columns_of.last() {
                Some(before) if beside => before.own,
                _ => drafts(lane.pool).then(|| add(ColumnKind::Own)),
            };
            columns_of.push(ColumnsOf { steps, between, own });
        }
        Tally {
            columns_of,
            own: Vec::new(),
            trace: TokenTrace { columns, lanes, ..TokenTrace::default() },
            last_run: Vec::new(),
            counts: IterationCounts::default(),
            rejections: Vec::new(),
            done: 0,
            wanted: ends.then(Vec::new),
            telling: None,
            carried: BTreeSet::new(),
            first_tokens: None,
        }
    }

    /// A request has arrived at the replica whose first lane is `lane`; its id is the number of
    /// those before it.
    pub(super) fn arrive(&mut self, request: &Request, lane: LaneId) -> RequestId {
        let id = RequestId::at(self.trace.requests.len());
        self.trace.requests.push(arrived(request, lane));
        self.last_run.push(NO_RUN);
        if self.columns_of.get(lane.index()).is_some_and(|columns| columns.own.is_some()) {
            self.own.resize(id.index() + 1, OwnTokens::NONE);
        }
        if let Some(wanted) = &mut self.wanted {
            wanted.push(request.output_tokens);
        }
        if let Some(telling) = &mut self.telling {
            telling.arrive(request.output_tokens);
        }
        id
    }

    /// A request goes on at the replica whose first lane is `lane`, where its answer has so many tokens.
    pub(super) fn hand_over(&mut self, request: RequestId, lane: LaneId, output_tokens: u32) {
        if let Some(wanted) = &mut self.wanted {
            wanted[request.index()] = output_tokens;
        }
        if let Some(telling) = &mut self.telling {
            telling.hand_over(request, output_tokens);
        }
        self.row(request).lane = lane;
        let drafts = self.columns_of[lane.index()].own.is_some();
        if drafts && self.own.len() <= request.index() {
            self.own.resize(request.index() + 1, OwnTokens::NONE);
        }
    }

    pub(super) fn reject(&mut self, request: RequestId, at: Time, why: Rejection) {
        if let Some(telling) = &mut self.telling {
            telling.reject(request, at, why);
        }
        self.row(request).status = Status::Rejected;
        self.rejections.push((request, why));
        self.done += 1;
    }

    pub(super) fn complete(&mut self, request: RequestId) {
        self.row(request).status = Status::Completed;
        self.done += 1;
    }

    pub(super) fn preempt(&mut self, request: RequestId) {
        self.row(request).preemptions += 1;
    }

    /// A lane has admitted a request for the first time: it stays that lane's.
    pub(super) fn schedule(&mut self, lane: LaneId, request: RequestId, at: Time, hit_tokens: u32) {
        if self.carried.remove(&request) {
            self.first_token(request, at);
        }
        let row = self.row(request);
        row.lane = lane;
        // One that was handed over has been in a batch before.
        if row.scheduled == Time::NEVER {
            row.scheduled = at;
            row.hit_tokens = hit_tokens;
        }
    }

    /// The decode steps of a lane, to which more may be added.
    pub(super) fn steps(&mut self, lane: LaneId) -> Steps<'_> {
        Steps(&mut self.trace.columns[self.columns_of[lane.index()].steps.index()].times)
    }

    /// A request's first token came with its KV: it goes out when a batch is formed with it.
    pub(super) fn carries(&mut self, request: RequestId) {
        self.carried.insert(request);
    }

    /// A request's first token goes out, which no step of its lane brought.
    pub(super) fn first_token(&mut self, request: RequestId, at: Time) {
        let row = self.row(request);
        assert_eq!(row.first_token, Time::NEVER, "a first token comes once");
        row.first_token = at;
        row.tokens = 1;
        self.note_first_token(request, at);
        if let Some(telling) = &mut self.telling {
            telling.bring(request, at, 1);
        }
    }

    /// A completed prefill emits a token: the first, or after a preemption the next.
    pub(super) fn emit(&mut self, lane: LaneId, emission: Emission, at: Time) {
        if emission.first {
            let row = self.row(emission.request);
            assert_eq!(row.first_token, Time::NEVER, "a first token comes once");
            row.first_token = at;
            row.tokens = 1;
            self.note_first_token(emission.request, at);
            return;
        }
        let column = self.columns_of[lane.index()].between;
        let times = &mut self.trace.columns[column.index()].times;
        times.push(at);
        let first = (times.len() - 1) as u32;
        self.append(emission.request, Run { column, first, len: 1, next: NO_RUN });
    }

    fn note_first_token(&mut self, request: RequestId, at: Time) {
        if let Some(first_tokens) = &mut self.first_tokens {
            first_tokens.push((at, request));
        }
    }

    /// A request's last token, which was written down when its step began, is thrown away.
    pub(super) fn recall(&mut self, request: RequestId) {
        let row = &mut self.trace.requests[request.index()];
        row.tokens -= 1;
        if row.tokens == 0 {
            row.first_token = Time::NEVER;
            return;
        }
        let runs = &mut self.trace.more_runs;
        let last = self.last_run[request.index()];
        let run = if last == NO_RUN { &mut row.run } else { &mut runs[last as usize] };
        run.len -= 1;
        if run.len > 0 {
            return;
        }
        self.last_run[request.index()] = NO_RUN;
        if last == NO_RUN {
            row.run = Run::EMPTY;
            return;
        }
        let mut at = row.run.next;
        if at == last {
            row.run.next = NO_RUN;
            return;
        }
        while runs[at as usize].next != last {
            at = runs[at as usize].next;
        }
        runs[at as usize].next = NO_RUN;
        self.last_run[request.index()] = at;
    }

    pub(super) fn run(&mut self, lane: LaneId, request: RequestId, first: u32, len: u32) {
        let column = self.columns_of[lane.index()].steps;
        self.append(request, Run { column, first, len, next: NO_RUN });
    }

    /// Tells what a batch brings whom `at` that instant, once, where anybody listens.
    #[inline]
    pub(super) fn tell(&mut self, plan: &mut Plan, at: Time, replica: &Replica) {
        if let Some(telling) = &mut self.telling
            && !std::mem::replace(&mut plan.told, true)
        {
            for brought in &plan.brought {
                telling.bring(brought.request, at, replica.foreseen(brought));
            }
            if plan.brought.is_empty() {
                let completed = plan.emissions.iter().map(|emission| emission.request);
                let all = plan.decoding.iter().copied().chain(completed);
                all.for_each(|request| telling.bring(request, at, 1));
            }
        }
    }

    /// What a batch brought requests that are counted by themselves: `step` is its decode step, and the
    /// tokens came `at` that instant.
    pub(super) fn bring(&mut self, lane: LaneId, all: &[Brought], step: u32, at: Time) {
        let own = self.columns_of[lane.index()].own.is_some();
        for brought in all.iter().filter(|brought| brought.emits > 0) {
            // Whose prompt is yet to be done does not decode.
            if own && brought.decode {
                debug_assert_ne!(self.row(brought.request).first_token, Time::NEVER);
                self.own[brought.request.index()].step(lane, step, brought.emits);
            } else {
                self.bring_one(lane, brought, step, at);
            }
        }
    }

    fn bring_one(&mut self, lane: LaneId, brought: &Brought, step: u32, at: Time) {
        let request = brought.request;
        let row = self.row(request);
        if row.first_token == Time::NEVER {
            assert_eq!(brought.emits, 1, "a prompt ends with one token");
            row.first_token = at;
            row.tokens = 1;
            self.note_first_token(request, at);
        } else if self.columns_of[lane.index()].own.is_some() {
            assert_eq!(brought.emits, 1, "a prompt ends with one token");
            self.own[request.index()].instant(at);
        } else if brought.decode {
            self.go_on(lane, request, step);
        } else {
            self.emit(lane, Emission { request, first: false }, at);
        }
    }

    /// Writes down the tokens of drafts, request by request: each has times of its own.
    pub(super) fn write_own(&mut self) {
        let all = std::mem::take(&mut self.own);
        let mut written: Vec<Vec<Time>> = vec![Vec::new(); self.trace.columns.len()];
        let column_of = |tally: &Tally, request: RequestId| {
            let lane = tally.trace.requests[request.index()].lane;
            tally.columns_of[lane.index()].own
        };
        let mut tokens = vec![0; written.len()];
        for (own, request) in all.iter().zip(RequestId::FIRST.onwards()) {
            if let Some(column) = column_of(self, request) {
                tokens[column.index()] += own.len() as usize;
            }
        }
        for (times, tokens) in written.iter_mut().zip(tokens) {
            times.reserve_exact(tokens + OwnTokens::BESIDE);
        }
        for (own, request) in all.iter().zip(RequestId::FIRST.onwards()) {
            let Some(column) = column_of(self, request).filter(|_| own.len() > 0) else { continue };
            let out = &mut written[column.index()];
            let first = out.len() as u32;
            let steps = |lane: LaneId| {
                let steps = self.columns_of[lane.index()].steps;
                self.trace.columns[steps.index()].times.as_slice()
            };
            own.write(steps, out);
            self.append(request, Run { column, first, len: own.len(), next: NO_RUN });
        }
        for (column, times) in self.trace.columns.iter_mut().zip(written) {
            if !times.is_empty() {
                column.times = times;
            }
        }
    }

    /// One more decode step of a request.
    fn go_on(&mut self, lane: LaneId, request: RequestId, step: u32) {
        let column = self.columns_of[lane.index()].steps;
        let row = &mut self.trace.requests[request.index()];
        let last = match self.last_run[request.index()] {
            NO_RUN => &mut row.run,
            more => &mut self.trace.more_runs[more as usize],
        };
        if last.len > 0 && last.column == column && last.first + last.len == step {
            last.len += 1;
            row.tokens += 1;
        } else {
            self.append(request, Run { column, first: step, len: 1, next: NO_RUN });
        }
    }

    fn append(&mut self, request: RequestId, run: Run) {
        let row = &mut self.trace.requests[request.index()];
        row.tokens += run.len;
        if row.run.len == 0 {
            row.run = run;
            return;
        }
        let index = self.trace.more_runs.len() as u32;
        self.trace.more_runs.push(run);
        match std::mem::replace(&mut self.last_run[request.index()], index) {
            NO_RUN => self.trace.requests[request.index()].run.next = index,
            before => self.trace.more_runs[before as usize].next = index,
        }
    }

    /// Counts `decode_steps` more iterations of decodes alone.
    pub(super) fn count_repeats(&mut self, plan: &Plan, decode_steps: u64) {
        self.counts.decode_only += decode_steps;
        self.counts.sequences += decode_steps * u64::from(plan.decodes);
        self.counts.most_decodes = self.counts.most_decodes.max(plan.decodes);
    }

    pub(super) fn count(&mut self, plan: &Plan) {
        match (plan.chunks.is_empty(), plan.decodes) {
            (false, 0) => self.counts.prefill_only += 1,
            (false, _) => self.counts.mixed += 1,
            (true, _) => self.counts.decode_only += 1,
        }
        self.counts.sequences += u64::from(plan.decodes) + plan.chunks.len() as u64;
        let tokens = plan.chunks.iter().map(|chunk| u64::from(chunk.tokens)).sum();
        self.counts.most_prefill_tokens = self.counts.most_prefill_tokens.max(tokens);
        self.counts.most_decodes = self.counts.most_decodes.max(plan.decodes);
    }

    /// Forgets tokens of steps that were still in flight when observation ended at `end`, and notes
    /// what requests were still to get.
    pub(super) fn cut_at(&mut self, end: Time) {
        debug_assert!(self.own.is_empty(), "they are written before");
        let TokenTrace { columns, requests, more_runs, to_come, .. } = &mut self.trace;
        let kept = |run: &Run| {
            // Steps planned ahead that never started have no time at all.
            let times = columns[run.column.index()].times.iter().skip(run.first as usize);
            let len = times.take(run.len as usize).take_while(|&&at| at <= end).count() as u32;
            // Where a token would have come that nobody saw is not kept.
            if len > 0 { Run { len, ..*run } } else { Run { next: run.next, ..Run::EMPTY } }
        };
        for row in requests.iter_mut().filter(|row| row.status != Status::Completed) {
            if row.first_token != Time::NEVER && row.first_token > end {
                row.first_token = Time::NEVER;
                row.tokens -= 1;
            }
            row.tokens -= row.run.len;
            row.run = kept(&row.run);
            row.tokens += row.run.len;
            let mut next = row.run.next;
            while next != NO_RUN {
                let run = &mut more_runs[next as usize];
                row.tokens -= run.len;
                *run = kept(run);
                row.tokens += run.len;
                next = run.next;
            }
            // Nor what a step found in the cache that never started.
            if row.scheduled != Time::NEVER && row.scheduled > end {
                row.scheduled = Time::NEVER;
                row.hit_tokens = 0;
            }
        }
        // Nor are such times, which are written down when a batch begins or when it is over.
        for column in columns.iter_mut() {
            if matches!(column.kind, ColumnKind::Between(_)) {
                column.times.retain(|&at| at <= end);
            }
        }
        let wanted = self.wanted.iter().flatten();
        for ((row, wanted), number) in
            requests.iter_mut().zip(wanted).zip(RequestId::FIRST.onwards())
        {
            match (row.status, wanted - row.tokens) {
                // The step that brought its last token was not over yet.
                (Status::Unfinished, 0) => row.status = Status::Completed,
                (Status::Unfinished, tokens) => to_come.push(ToCome { row: number, tokens }),
                _ => {}
            }
        }
    }

    fn row(&mut self, request: RequestId) -> &mut RequestRow {
        &mut self.trace.requests[request.index()]
    }
}
