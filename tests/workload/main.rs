//! Workloads, drawn and read.

mod closed_loop;
mod draw;
#[path = "../common/shared.rs"]
mod shared;
mod support;
mod traces;
