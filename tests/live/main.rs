//! A client and a server of our own, and what goes wrong between them.
//!
//! Tokens on the wire have wall-clock times, and the machine may be busy. So what is exact is compared by
//! simulated times, which the mock server writes down; what is measured by a clock is tried several times,
//! and the quietest try counts.
#![cfg(feature = "live")]

mod circle;
mod commands;
mod endings;
mod fresh;
mod misbehaving;
mod replayed;
mod routes;
mod support;
mod told;
