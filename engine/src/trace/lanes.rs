//! Whose lanes are, and where requests were when.

use std::ops::Range;

use super::{RequestRow, Status, TokenTrace};
use crate::ids::{LaneId, LaneOfReplica, PoolId, ReplicaId};
use crate::time::Time;

/// Whose a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The replica.
    pub replica: ReplicaId,
    /// Its pool.
    pub pool: PoolId,
    /// Its number within the replica, where that has several.
    pub part: Option<LaneOfReplica>,
}

/// The time that a request spent with one replica. So far a request has one stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The replica.
    pub replica: ReplicaId,
    /// The lane of it that ran the request; the replica's first before any did.
    pub lane: LaneId,
    /// When it came there.
    pub from: Time,
    /// Its last sign: the last token, or of one that was lost without a token its admission, or its
    /// arrival. [`Time::NEVER`] while it is there.
    pub to: Time,
    /// How it ended; [`Status::Unfinished`] where it was there when observation ended.
    pub ended: Status,
}

impl TokenTrace {
    /// Whose a lane is. Where [`lanes`](TokenTrace::lanes) does not say, each is a replica's only one.
    pub fn lane(&self, lane: LaneId) -> Lane {
        let alone = Lane { replica: ReplicaId(lane.0), pool: PoolId(0), part: None };
        self.lanes.get(lane.index()).copied().unwrap_or(alone)
    }

    /// The lanes of a lane's replica.
    pub fn lanes_beside(&self, lane: LaneId) -> Range<LaneId> {
        let Lane { replica, part, .. } = self.lane(lane);
        let first = lane.index() - part.map_or(0, LaneOfReplica::index);
        let rest = self.lanes.get(first..).unwrap_or_default();
        let count = rest.iter().take_while(|one| one.replica == replica).count().max(1);
        LaneId::at(first)..LaneId::at(first + count)
    }

    /// The lanes of a pool, from the first up to before the second.
    pub fn lanes_of_pool(&self, pool: PoolId) -> (LaneId, LaneId) {
        let before = |limit: PoolId| self.lanes.partition_point(|lane| lane.pool < limit);
        (LaneId::at(before(pool)), LaneId::at(before(PoolId(pool.0 + 1))))
    }

    /// The replica that served a request.
    pub fn replica_of(&self, row: &RequestRow) -> ReplicaId {
        self.lane(row.lane).replica
    }

    /// Where a request was and when. Finds its last token: where only the place is asked for,
    /// [`replica_of`](TokenTrace::replica_of) costs less.
    pub fn stay(&self, row: &RequestRow) -> Stay {
        let to = match row.status {
            Status::Unfinished => Time::NEVER,
            _ => self.last_token(row).unwrap_or(match row.scheduled {
                Time::NEVER => row.arrival,
                scheduled => scheduled,
            }),
        };
        let lane = row.lane;
        Stay { replica: self.lane(lane).replica, lane, from: row.arrival, to, ended: row.status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClassId, ColumnId};
    use crate::trace::{Column, ColumnKind, NO_RUN, Run};

    /// Three replicas in two pools, the first of two lanes.
    fn trace() -> TokenTrace {
        let lane = |replica, pool, part: Option<u32>| Lane {
            replica: ReplicaId(replica),
            pool: PoolId(pool),
            part: part.map(LaneOfReplica),
        };
        let times = vec![Time::from_nanos(30), Time::from_nanos(40)];
        TokenTrace {
            columns: vec![Column { kind: ColumnKind::Steps(LaneId(1)), times }],
            lanes: vec![
                lane(0, 0, Some(0)),
                lane(0, 0, Some(1)),
                lane(1, 1, None),
                lane(2, 1, None),
            ],
            ..TokenTrace::default()
        }
    }

    #[test]
    fn lanes_stand_beside_those_of_their_replica() {
        let trace = trace();
        let lanes = |from, to| LaneId(from)..LaneId(to);
        assert_eq!(
            [0, 1, 2, 3].map(|lane| trace.lanes_beside(LaneId(lane))),
            [lanes(0, 2), lanes(0, 2), lanes(2, 3), lanes(3, 4)]
        );
        assert_eq!(trace.lanes_of_pool(PoolId(0)), (LaneId(0), LaneId(2)));
        assert_eq!(trace.lanes_of_pool(PoolId(1)), (LaneId(2), LaneId(4)));
        let unknown = TokenTrace::default();
        assert_eq!(unknown.lane(LaneId(3)).replica, ReplicaId(3));
        assert_eq!(unknown.lanes_beside(LaneId(3)), lanes(3, 4));
    }

    #[test]
    fn a_request_stays_until_its_last_sign() {
        let at = Time::from_nanos;
        let row = RequestRow {
            arrival: at(5),
            scheduled: at(10),
            first_token: at(20),
            run: Run { column: ColumnId(0), first: 0, len: 2, next: NO_RUN },
            prompt_tokens: 1,
            tokens: 3,
            hit_tokens: 0,
            preemptions: 0,
            lane: LaneId(1),
            class: ClassId(0),
            status: Status::Completed,
        };
        let lost = RequestRow {
            first_token: Time::NEVER,
            run: Run::EMPTY,
            tokens: 0,
            status: Status::Rejected,
            ..row
        };
        let trace = trace();
        let stay = trace.stay(&row);
        assert_eq!((stay.replica, stay.lane, stay.from), (ReplicaId(0), LaneId(1), at(5)));
        let to = |row: RequestRow| trace.stay(&row).to;
        assert_eq!(to(row), at(40));
        assert_eq!(to(RequestRow { status: Status::Unfinished, ..row }), Time::NEVER);
        assert_eq!(to(lost), at(10));
        assert_eq!(to(RequestRow { scheduled: Time::NEVER, ..lost }), at(5));
    }
}
