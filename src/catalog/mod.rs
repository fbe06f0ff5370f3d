//! What is known by name: GPUs, models and engine profiles, as data files.
