//! The playground: its answers, its server, and the same engine as WebAssembly.

mod blocks;
#[path = "../common/cpu.rs"]
mod cpu;
mod plan;
mod playground;
mod serve;
mod wasm_same;
