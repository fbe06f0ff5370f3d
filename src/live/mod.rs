//! Live servers: a [`client`] that sends a scenario's requests to one and writes down when tokens came,
//! and the simulator posing as one ([`mock`]).
//!
//! Both speak HTTP/1.1 by hyper on tokio. Instants that matter are kept by threads of their own, which
//! sleep to the microsecond; tasks read and write.

pub mod client;
mod lateness;
pub mod mock;
mod words;

pub use lateness::Lateness;
