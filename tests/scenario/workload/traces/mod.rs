//! Trace files: every format, what is wrong with a file, and the published traces where they are.

mod formats;
mod published;
mod random;
mod refused;
mod scenario;
mod sessions;

use std::io::Write as _;

use crate::workload::support::*;
use metron_sim::request::Request;
use metron_sim::workload::*;

fn rows(workload: &Workload) -> Vec<(u64, u32, u32)> {
    let row = |r: &Request| (r.arrival.as_nanos(), r.prompt_tokens, r.output_tokens);
    workload.requests.iter().map(row).collect()
}

fn read(spec: &WorkloadSpec) -> (Workload, Vec<String>) {
    let drawn = draw(spec, 42, LIMITS).unwrap();
    (drawn.workload, drawn.warnings.into_iter().map(|w| w.message).collect())
}

/// A trace read from text.
fn read_text(text: impl AsRef<[u8]>, format: Option<TraceFormat>) -> Result<Drawn, WorkloadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    let mut spec = trace(file.path());
    set(&mut spec, |trace| trace.format = format);
    draw(&spec, 42, LIMITS)
}

fn set(spec: &mut WorkloadSpec, change: impl FnOnce(&mut TraceSpec)) {
    let Source::Trace(trace) = &mut spec.source else { unreachable!() };
    change(trace);
}
