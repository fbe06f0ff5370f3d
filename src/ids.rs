//! What things are numbered by. Each number is a type of its own, so that a lane's cannot stand
//! for a replica's; in files they are plain numbers.

use std::borrow::Cow;
use std::fmt;

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
    /// A lane: the iterations of a replica one after the other; of a replica in pipeline stages those
    /// of one micro-batch in flight. Counted over the whole fleet, replica after replica.
    LaneId(u32);
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
}
