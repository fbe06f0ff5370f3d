//! What engines say of themselves to a router that listens: before and after each of their steps.
//!
//! Both looks are at instants at which steps end or batches are decided on. In between, while a
//! decision repeats, nobody comes or goes, so nothing would be said; both paths say the same.

use super::engine::Engine;
use super::server::Server;
use crate::fleet::{EngineLoad, Report};
use crate::ids::ReplicaId;

impl Engine<'_> {
    /// What there is to say before a step of a replica, if somebody listens.
    pub(super) fn before_step(&self, replica: ReplicaId) -> Option<Report> {
        self.fleet.listens().then(|| self.report_of(replica, 1))
    }

    /// Says what there is to say after a step of a replica.
    pub(super) fn after_step(&mut self, replica: ReplicaId) {
        if self.fleet.listens() {
            let report = self.report_of(replica, 0);
            self.fleet.report(&report);
        }
    }

    fn report_of(&self, replica: ReplicaId, more: u64) -> Report {
        let server = &self.servers[replica.index()];
        let steps_with = self.fleet.member(replica).steps_with;
        Report {
            at: self.calendar.now(),
            replica,
            load: load(server),
            step: steps_with.map(|first| self.steps_together[first.index()] + more),
        }
    }
}

/// What a replica holds now.
pub(super) fn load(server: &Server<'_>) -> EngineLoad {
    let replica = server.replica();
    let pool = replica.pool();
    // As vLLM's block pool counts: blocks that are kept for others alone are free.
    let kv_use = match pool.total() {
        0 => 0.0,
        total => 1.0 - f64::from(pool.free()) / f64::from(total),
    };
    EngineLoad { waiting: replica.waiting() as u32, running: replica.running() as u32, kv_use }
}
