//! What things are numbered by. Each number is a type of its own, so that a lane's cannot stand
//! for a replica's; in files they are plain numbers.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($number:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $number);

        impl $name {
            /// Its place in a table of them.
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// The one at this place.
            ///
            /// # Panics
            /// Where there cannot be so many.
            pub fn at(index: usize) -> $name {
                $name(<$number>::try_from(index).expect("so many can be numbered"))
            }
        }

        // A schema says of a number what bounds it, not what it numbers.
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                <$number>::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                <$number>::json_schema(generator)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// A lane: the iterations of a replica one after the other; of a replica in pipeline stages
    /// those of one micro-batch in flight. Counted over the whole fleet, replica after replica.
    LaneId(u32);
    /// A lane of one replica, by its order there: in pipeline stages a replica has several.
    LaneOfReplica(u32);
    /// A replica. Counted over the whole fleet, pool after pool.
    ReplicaId(u32);
    /// A pool of identical replicas, in the order in which a scenario names them.
    PoolId(u32);
    /// A controller of the fleet, in the order in which they were given.
    ControllerId(u32);
    /// A request, by the order of arrival: its row in every table of a run.
    RequestId(u32);
    /// A request's place in the tables of its replica while it is there; another may get it later.
    SlotId(u32);
    /// A class of requests: its place among the workload's class names.
    ClassId(u16);
    /// An iteration of one lane, by its order there.
    IterationNo(u32);
    /// A decode step of one lane, by its order among these: its entry in their column of times.
    DecodeStepNo(u32);
    /// A prefill chunk, by its place in the batch of its iteration.
    ChunkPlace(u32);
    /// A column of times of a trace, by its place there.
    ColumnId(u32);
}

/// Numbers of things that come one after the other.
macro_rules! in_order {
    ($($name:ident)*) => {$(
        impl $name {
            /// The first.
            pub const FIRST: $name = $name(0);

            /// The one after it.
            pub const fn next(self) -> $name {
                $name(self.0 + 1)
            }

            /// The one before it; `None` of the first.
            pub fn before(self) -> Option<$name> {
                self.0.checked_sub(1).map($name)
            }

            /// The one so many later.
            pub const fn after(self, steps: u32) -> $name {
                $name(self.0 + steps)
            }

            /// The one so many earlier, or the first where there are not so many.
            pub const fn back(self, steps: u32) -> $name {
                $name(self.0.saturating_sub(steps))
            }

            /// How many later it is than an earlier one.
            pub const fn since(self, earlier: $name) -> u32 {
                self.0 - earlier.0
            }

            /// Each of a range.
            pub fn each(
                range: Range<$name>,
            ) -> impl DoubleEndedIterator<Item = $name> + ExactSizeIterator + Clone {
                (range.start.0..range.end.0).map($name)
            }

            /// It, and all after it.
            pub fn onwards(self) -> impl Iterator<Item = $name> + Clone {
                (self.0..).map($name)
            }
        }
    )*};
}

in_order! { IterationNo DecodeStepNo LaneId RequestId }
