//! Is the price of an iteration sane: its limits, its shape, what makes it dearer, what fits.

mod batch;
mod eager;
mod every_gpu;
mod expert_parallel;
mod gpu;
mod kernel_accuracy;
mod links;
mod memory;
mod model;
mod properties;
mod published;
mod random;
mod ranks;
#[path = "../common/shared.rs"]
mod shared;
mod speculative;
mod support;
