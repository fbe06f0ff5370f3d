//! The playground: its answers, its server, and the same engine as WebAssembly.

mod playground;
mod serve;
mod wasm_same;
