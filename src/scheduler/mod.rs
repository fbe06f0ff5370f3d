//! Schedulers: the seam that people use most.

/// Placeholder until policies land.
#[derive(Clone, Debug)]
pub struct SchedulerConfig;

/// What a policy may see of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestView;
