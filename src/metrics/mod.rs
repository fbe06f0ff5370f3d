//! Fluidity and the conventional latency metrics, for simulated and measured traces alike.
