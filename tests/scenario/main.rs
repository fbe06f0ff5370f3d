//! What a scenario says: read, refused with its place, and drawn as requests.

mod broken;
#[path = "../common/cpu.rs"]
mod cpu;
mod defaults;
mod fuzz;
mod load;
mod proofs;
mod reference;
#[path = "../common/shared.rs"]
mod shared;
mod speculative;
mod workload;
