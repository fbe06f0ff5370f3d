//! What things are numbered by. Each number is a type of its own, so that a lane's cannot stand
//! for a replica's; in files they are plain numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// Its place in a table of them.
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// The one at this place.
            ///
            /// # Panics
            /// Beyond `u32`.
            pub fn at(index: usize) -> $name {
                $name(u32::try_from(index).expect("fewer than 2^32 of them"))
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
    LaneId;
    /// A replica. Counted over the whole fleet, pool after pool.
    ReplicaId;
    /// A pool of identical replicas, in the order in which a scenario names them.
    PoolId;
}
