//! The coordinator: hears engines whose counts changed, and tells all API servers now and then.

use super::client::EngineLoad;
use crate::time::{Span, Time};

/// Changes are published so long after the last publication, or at once where that is over.
const CHANGED: Span = Span::from_millis(100);
/// What has not changed is published so long after the last publication.
const UNCHANGED: Span = Span::from_millis(5000);
/// Engines in lockstep, between two of their steps: only when nobody said anything for so long.
const STEP_COMPLETE: Span = Span::from_millis(50);

/// What the coordinator has heard, and when it says so
/// (vLLM 0.33.0, `DPCoordinatorProc.process_input_socket`).
///
/// It speaks for the first time when the run begins; engines in lockstep 50 ms later. At one
/// instant it hears first and speaks then.
#[derive(Clone, Debug)]
pub struct DpCoordinator {
    loads: Vec<EngineLoad>,
    published: Vec<EngineLoad>,
    publications: u64,
    /// The counts of a whole step, put aside when the first word of the next one came.
    held: Option<Vec<EngineLoad>>,
    changed: bool,
    /// When it last heard or spoke.
    now: Time,
    /// When it last spoke.
    spoke: Option<Time>,
    /// By engine: the newest step heard of by it, or by whom it steps with.
    newest: Vec<Option<u64>>,
    /// By engine: the first engine of those that it steps with.
    group: Vec<usize>,
    lockstep: bool,
}

impl DpCoordinator {
    /// Of engines that know nothing of each other's steps (dense models).
    pub fn dense(engines: usize) -> DpCoordinator {
        DpCoordinator::of(vec![None; engines])
    }

    /// Of engines some of which step together (mixtures of experts): those of one number do.
    pub fn of(groups: Vec<Option<u32>>) -> DpCoordinator {
        let engines = groups.len();
        let first = |(engine, group): (usize, &Option<u32>)| match group {
            None => engine,
            Some(_) => groups.iter().position(|other| other == group).unwrap_or(engine),
        };
        DpCoordinator {
            loads: vec![EngineLoad::default(); engines],
            published: vec![EngineLoad::default(); engines],
            publications: 0,
            held: None,
            changed: false,
            now: Time::ZERO,
            spoke: None,
            newest: vec![None; engines],
            group: groups.iter().enumerate().map(first).collect(),
            lockstep: groups.iter().any(Option::is_some),
        }
    }

    /// When it speaks next, if nobody says anything until then.
    pub fn next(&self) -> Time {
        let least = match self.lockstep && self.held.is_none() {
            true => STEP_COMPLETE,
            false => Span::ZERO,
        };
        let Some(spoke) = self.spoke else { return self.now + least };
        let every = if self.changed { CHANGED } else { UNCHANGED };
        (spoke + every).max(self.now + least)
    }

    /// Speaks, and says when that was.
    pub fn publish(&mut self) -> Time {
        self.now = self.next();
        self.spoke = Some(self.now);
        self.publications += 1;
        match self.held.take() {
            Some(held) => self.published = held,
            None => {
                self.published.copy_from_slice(&self.loads);
                self.changed = false;
            }
        }
        self.now
    }

    /// Speaks as often as it does before an instant.
    pub fn publish_before(&mut self, at: Time) {
        while self.next() < at {
            self.publish();
            if !self.changed && self.held.is_none() {
                // The same again and again, until somebody says something.
                let again = at.since(self.now).as_nanos().saturating_sub(1) / UNCHANGED.as_nanos();
                self.now += Span::from_nanos(again * UNCHANGED.as_nanos());
                self.spoke = Some(self.now);
                self.publications += again;
            }
        }
    }

    /// Hears an engine, after what it said before that instant; `step` is the number of the step
    /// that the engine is in with others.
    pub fn hear(&mut self, at: Time, engine: usize, load: EngineLoad, step: Option<u64>) {
        self.publish_before(at);
        self.now = self.now.max(at);
        let newest = &mut self.newest[self.group[engine]];
        if step.is_some() && step > *newest {
            if self.changed {
                self.held = Some(self.loads.clone());
            }
            *newest = step;
        }
        self.loads[engine] = load;
        self.changed = true;
    }

    /// What it said last.
    pub fn published(&self) -> &[EngineLoad] {
        &self.published
    }

    /// How often it has spoken.
    pub fn publications(&self) -> u64 {
        self.publications
    }
}
