//! Files that were measured elsewhere: read, judged, and compared with what is simulated.

mod contradictions;
mod disaggregated_points;
mod evaluate_cli;
mod evaluate_formats;
mod evaluate_hostile;
mod evaluate_memory;
mod evaluate_reference;
mod evidence;
mod fit_profiles;
mod iteration_logs;
mod more_formats;
mod mutated;
mod points;
mod public_points;
#[path = "../common/shared.rs"]
mod shared;
mod validate_cli;
mod validate_formats;
mod validate_run;
