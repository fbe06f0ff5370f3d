//! What some replicas of a fleet leave behind, and how the parts of a fleet are put together.

use super::tally::Tally;
use super::{IterationCounts, KvUse, LinkUse, Outcome, PoolUse, TierUse};
use crate::fleet::{FleetSetup, RouteDecision};
use crate::ids::{ColumnId, LaneId, ReplicaId};
use crate::request::RequestId;
use crate::threads;
use crate::time::Span;
use crate::trace::{KvLoad, Log, NO_RUN, Run, TokenTrace};

/// What some replicas leave behind.
pub(super) struct Part {
    pub tally: Tally,
    /// What each replica used, in order.
    pub replicas: Vec<ReplicaUse>,
    /// What links between replicas carried.
    pub links: Vec<LinkUse>,
    /// Lane by lane, when it was kept.
    pub log: Option<Vec<Log>>,
}

/// What one replica used.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplicaUse {
    pub kv: KvUse,
    /// Of all its stages together.
    pub gpu_busy: Span,
    /// What its tiers' paths carried.
    pub tiers: TierUse,
}

impl Part {
    /// The outcome of a whole fleet.
    pub(super) fn into_outcome(
        self,
        setup: &FleetSetup<'_>,
        routes: Option<Vec<RouteDecision>>,
    ) -> Outcome {
        let mut rest = self.replicas.as_slice();
        let pools: Vec<PoolUse> = setup
            .pools
            .iter()
            .map(|pool| {
                let (own, others) = rest.split_at(pool.replicas as usize);
                rest = others;
                pool_use(own, pool.cost.stages())
            })
            .collect();
        let Tally { mut trace, mut rejections, counts, .. } = self.tally;
        if setup.replicas() > 1 || !trace.more_runs.is_empty() {
            // No order may tell in which order the replicas were played, or runs ended.
            in_order_of_requests(&mut trace);
            rejections.sort_by_key(|&(request, _)| request);
        }
        trace.kv_loads.sort_by_key(|load| load.request);
        // Those of replicas that were played alone count from 0 each.
        trace.lanes = setup.lanes();
        Outcome {
            entered: Vec::new(),
            turns: Vec::new(),
            links: self.links,
            trace,
            iterations: counts,
            kv: PoolUse::kv_of_all(&pools),
            gpu_busy: pools.iter().fold(Span::ZERO, |sum, pool| sum + pool.gpu_busy),
            pools,
            log: self.log,
            routes,
            held: Vec::new(),
            rejections,
        }
    }

    /// Gives the requests of a replica that was played alone the ids that they have in the fleet,
    /// except for their rows.
    pub(super) fn rename(&mut self, ids: &[RequestId]) {
        let of_fleet = |id: RequestId| ids[id.index()];
        self.tally.rejections.iter_mut().for_each(|(id, _)| *id = of_fleet(*id));
        self.log.iter_mut().flatten().for_each(|lane| lane.rename(of_fleet));
        self.tally.trace.to_come.iter_mut().for_each(|one| one.row = of_fleet(one.row));
        let loads = self.tally.trace.kv_loads.iter_mut();
        loads.for_each(|load| load.request = of_fleet(load.request));
    }

    /// The parts of a fleet of `requests` requests, each a replica that was played alone and
    /// [renamed](Part::rename). `origin` tells a request's replica and its place among the
    /// requests of that.
    pub(super) fn put_together(
        parts: Vec<Part>,
        origin: impl Fn(usize) -> (ReplicaId, u32) + Sync,
        requests: usize,
    ) -> Part {
        let (mut lanes, mut columns, mut runs) = (0, 0, 0);
        let mut offsets = Vec::with_capacity(parts.len());
        for Part { tally: Tally { trace, .. }, .. } in &parts {
            offsets.push(Offset { lanes, columns, runs });
            lanes += trace.steps().count() as u32;
            columns += trace.columns.len() as u32;
            runs += trace.more_runs.len() as u32;
        }
        let mut whole = Part {
            tally: Tally::new(Vec::new(), false, |_| false),
            replicas: Vec::new(),
            links: Vec::new(),
            log: None,
        };
        whole.tally.trace.requests = threads::up_to(requests, |id| {
            let (replica, place) = origin(id);
            let mut row = parts[replica.index()].tally.trace.requests[place as usize];
            let offset = offsets[replica.index()];
            row.lane.0 += offset.lanes;
            row.run = offset.moved(row.run);
            row
        });
        for (mut part, offset) in parts.into_iter().zip(offsets) {
            part.tally.trace.requests = Vec::new();
            whole.add(part, offset);
        }
        whole.tally.trace.to_come.sort_unstable_by_key(|one| one.row);
        whole
    }

    /// Adds a part but for its rows.
    fn add(&mut self, part: Part, offset: Offset) {
        let Part { tally, replicas, links: _, log } = part;
        let whole = &mut self.tally;
        let columns = tally.trace.columns.into_iter();
        whole.trace.columns.extend(columns.map(|column| column.after(offset.lanes)));
        let runs = tally.trace.more_runs.into_iter();
        whole.trace.more_runs.extend(runs.map(|run| offset.moved(run)));
        whole.trace.end = whole.trace.end.max(tally.trace.end);
        whole.trace.to_come.extend(tally.trace.to_come);
        let loads = tally.trace.kv_loads.into_iter();
        whole
            .trace
            .kv_loads
            .extend(loads.map(|load| KvLoad { lane: LaneId(load.lane.0 + offset.lanes), ..load }));
        whole.rejections.extend(tally.rejections);
        let IterationCounts {
            prefill_only,
            mixed,
            decode_only,
            sequences,
            most_prefill_tokens,
            most_decodes,
        } = tally.counts;
        whole.counts.prefill_only += prefill_only;
        whole.counts.mixed += mixed;
        whole.counts.decode_only += decode_only;
        whole.counts.sequences += sequences;
        let most = &mut whole.counts;
        most.most_prefill_tokens = most.most_prefill_tokens.max(most_prefill_tokens);
        most.most_decodes = most.most_decodes.max(most_decodes);
        whole.done += tally.done;
        self.replicas.extend(replicas);
        if let Some(lanes) = log {
            self.log.get_or_insert_default().extend(lanes);
        }
    }
}

/// How many lanes, columns and further runs come before those of a part.
#[derive(Clone, Copy)]
struct Offset {
    lanes: u32,
    columns: u32,
    runs: u32,
}

impl Offset {
    fn moved(self, mut run: Run) -> Run {
        run.column = ColumnId(run.column.0 + self.columns);
        if run.next != NO_RUN {
            run.next += self.runs;
        }
        run
    }
}

/// What replicas of a pool used together.
fn pool_use(replicas: &[ReplicaUse], stages: u32) -> PoolUse {
    let mut whole = PoolUse {
        replicas: replicas.len() as u32,
        lanes_per_replica: stages,
        ..PoolUse::default()
    };
    let mut busy = Span::ZERO;
    for ReplicaUse { kv, gpu_busy, tiers } in replicas {
        busy += *gpu_busy;
        whole.tiers.add(*tiers);
        whole.kv.blocks = kv.blocks;
        whole.kv.peak_used = whole.kv.peak_used.max(kv.peak_used);
        whole.kv.preemptions += kv.preemptions;
        whole.kv.prefix_hit_tokens += kv.prefix_hit_tokens;
        whole.kv.evicted_blocks += kv.evicted_blocks;
        whole.kv.overdrawn += kv.overdrawn;
    }
    whole.gpu_busy = Span::from_nanos(busy.as_nanos() / u64::from(stages));
    whole
}

/// Lays the further runs of requests out request by request.
fn in_order_of_requests(trace: &mut TokenTrace) {
    let before = std::mem::take(&mut trace.more_runs);
    trace.more_runs.reserve(before.len());
    for row in &mut trace.requests {
        let mut rest = std::iter::successors(Some(row.run), |run| {
            (run.next != NO_RUN).then(|| before[run.next as usize])
        })
        // Of runs that observation cut off nothing is left.
        .filter(|run| run.len > 0);
        row.run = rest.next().map_or(Run::EMPTY, |first| Run { next: NO_RUN, ..first });
        for run in rest {
            let place = trace.more_runs.len() as u32;
            match row.run.next {
                NO_RUN => row.run.next = place,
                _ => trace.more_runs[place as usize - 1].next = place,
            }
            trace.more_runs.push(Run { next: NO_RUN, ..run });
        }
    }
}
