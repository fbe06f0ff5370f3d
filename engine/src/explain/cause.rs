//! Where time goes: the causes, and an exact split of a length of time over them.

use std::ops::{Add, AddAssign, Index, IndexMut, Sub};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Span;

macro_rules! causes {
    ($($variant:ident $name:literal $text:literal,)+) => {
        /// A cause of delay. Each nanosecond of a gap has one.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum Cause {
            $(#[doc = $text] $variant,)+
        }

        impl Cause {
            /// Every cause, in the order of the table in the documentation.
            pub const ALL: &'static [Cause] = &[$(Cause::$variant),+];

            /// Its name in files.
            pub fn name(self) -> &'static str {
                match self { $(Cause::$variant => $name,)+ }
            }

            /// What it means, in a few words.
            pub fn meaning(self) -> &'static str {
                match self { $(Cause::$variant => $text,)+ }
            }
        }
    };
}

causes! {
    Own "own" "its own work: one decode alone, or its own prefill alone",
    BatchGrowth "batch_growth" "decoding in a batch instead of alone",
    PrefillInterference "prefill_interference" "others' prefill in the same iteration",
    PrefillOnly "prefill_only" "iterations that only prefilled others",
    DecodesAlongside "decodes_alongside" "its prefill slowed by decodes in the same iteration",
    Communication "communication" "communication between GPUs",
    PipelineBubble "pipeline_bubble" "waiting for other micro-batches in the pipeline",
    LockstepWait "lockstep_wait" "waiting for the slowest of the ranks that share experts",
    Host "host" "host work that the GPU waited for",
    Idle "idle" "the GPU had nothing to run",
    DraftRejected "draft_rejected" "drafting and verifying tokens that were then rejected",
    FrontEnd "front_end" "before and after the engine: HTTP, tokenising, and the front end's queue",
    StepInFlight "step_in_flight" "arrived while an iteration ran",
    ScheduledAhead "scheduled_ahead" "the next iteration was planned before it arrived",
    KvTransfer "kv_transfer" "KV on its way between replicas: its own, or what took the memory that it waited for",
    KvLoad "kv_load" "KV on its way from the host's memory or a tier below it, or to it out of blocks that were needed",
    NoSeat "no_seat" "all seats were taken",
    NoKvBlocks "no_kv_blocks" "too few free KV blocks",
    HeadOfLine "head_of_line" "stood behind the head of the queue, which lacked KV blocks",
    NoTokenBudget "no_token_budget" "the iteration's token budget was used up",
    PolicyDeferred "policy_deferred" "the policy preferred other work",
    PreemptedWaiting "preempted_waiting" "preempted, waiting to be admitted again",
    Recompute "recompute" "computing again what a preemption threw away",
    CacheEvicted "cache_evicted" "computing again what its session had said and others pushed out of the cache",
    CutOff "cut_off" "observation ended before the iteration did",
}

/// Number of causes.
pub const CAUSES: usize = Cause::ALL.len();

impl Cause {
    /// Whether it is there in every undisturbed iteration: a deadline's pace covers it first.
    pub fn is_pace(self) -> bool {
        use Cause::*;
        matches!(
            self,
            Own | BatchGrowth | DecodesAlongside | Communication | Host | Idle | DraftRejected
        )
    }
}

/// Causes that are waits for what others hold or run, with culprits by what they hold or run.
pub const SHARED: [Cause; 9] = [
    Cause::NoSeat,
    Cause::NoKvBlocks,
    Cause::PreemptedWaiting,
    Cause::Recompute,
    Cause::CacheEvicted,
    Cause::NoTokenBudget,
    Cause::StepInFlight,
    Cause::ScheduledAhead,
    Cause::PolicyDeferred,
];

/// A length of time by cause, nanoseconds each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split([u64; CAUSES]);

impl Split {
    /// Nothing.
    pub const ZERO: Split = Split([0; CAUSES]);

    /// All of it. Sums over many requests end at 584 years, the most that nanoseconds hold.
    pub fn total(&self) -> Span {
        Span::from_nanos(self.0.iter().fold(0, |sum: u64, &ns| sum.saturating_add(ns)))
    }

    /// Adds nanoseconds to a cause, up to the most that they hold.
    pub fn add(&mut self, cause: Cause, ns: u64) {
        self[cause] = self[cause].saturating_add(ns);
    }

    /// So much of its own work was to compute again what had gone from a cache.
    pub(super) fn move_to_evicted(&mut self, ns: u64) {
        self[Cause::Own] -= ns;
        self.add(Cause::CacheEvicted, ns);
    }

    /// Causes with any time, the largest first; ties in the order of [`Cause::ALL`].
    pub fn ranked(&self) -> Vec<(Cause, Span)> {
        let mut ranked: Vec<(Cause, Span)> =
            self.iter().filter(|(_, ns)| *ns > 0).map(span).collect();
        ranked.sort_by_key(|&(_, span)| std::cmp::Reverse(span));
        ranked
    }

    /// The cause with the most time that is not there in an undisturbed iteration, where there is
    /// one; otherwise the largest.
    pub fn main(&self) -> Option<Cause> {
        let ranked = self.ranked();
        let disturbed = ranked.iter().find(|(cause, _)| !cause.is_pace());
        disturbed.or(ranked.first()).map(|&(cause, _)| cause)
    }

    /// Every cause with its nanoseconds.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        Cause::ALL.iter().map(|&cause| (cause, self.0[cause as usize]))
    }
}

fn span((cause, ns): (Cause, u64)) -> (Cause, Span) {
    (cause, Span::from_nanos(ns))
}

impl Index<Cause> for Split {
    type Output = u64;
    fn index(&self, cause: Cause) -> &u64 {
        &self.0[cause as usize]
    }
}

impl IndexMut<Cause> for Split {
    fn index_mut(&mut self, cause: Cause) -> &mut u64 {
        &mut self.0[cause as usize]
    }
}

impl AddAssign for Split {
    fn add_assign(&mut self, rhs: Split) {
        for (a, b) in self.0.iter_mut().zip(rhs.0) {
            *a = a.saturating_add(b);
        }
    }
}

impl Add for Split {
    type Output = Split;
    fn add(mut self, rhs: Split) -> Split {
        self += rhs;
        self
    }
}

impl Sub for Split {
    type Output = Split;
    fn sub(mut self, rhs: Split) -> Split {
        for (a, b) in self.0.iter_mut().zip(rhs.0) {
            *a -= b;
        }
        self
    }
}

/// When a gap's causes are mostly others', the largest of theirs; otherwise the largest.
pub fn main_cause(split: &Split) -> Cause {
    split.main().unwrap_or(Cause::Own)
}
