//! What a scenario says: read, refused with its place, and drawn as requests.

mod broken;
#[path = "../common/cpu.rs"]
mod cpu;
mod fuzz;
mod load;
#[path = "../common/shared.rs"]
mod shared;
mod speculative;
mod workload;
