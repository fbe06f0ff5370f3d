//! Pools of replicas that differ: exact times, each replica's own price and memory, one promise, and
//! what a scenario may say of them.

mod commands;
mod models;
mod resources;
mod scenario;
mod support;
mod times;
