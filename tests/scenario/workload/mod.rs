//! Workloads, drawn and read.

mod closed_loop;
mod draw;
mod support;
mod traces;
