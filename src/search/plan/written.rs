//! The load as it was judged, as `path=value` settings of the scenario that was read.

use crate::scenario::Document;
use crate::units::Duration;
use crate::workload::{Arrivals, Source, WorkloadSpec};

/// What makes the workload of a document, `own`, the one that was played.
pub(super) fn load(document: &Document, own: &WorkloadSpec, played: &WorkloadSpec) -> Vec<String> {
    let mut set = Vec::new();
    let (sessions, trace) = (document.gives("workload.sessions"), document.gives("workload.trace"));
    let place = if sessions { "workload.sessions" } else { "workload" };
    set.extend(when(document, own, played, (place, trace)));
    if own.amount.requests != played.amount.requests
        && let Some(count) = played.amount.requests
    {
        let key = if sessions { "count" } else { "requests" };
        set.push(format!("{place}.{key}={count}"));
    }
    if own.amount.duration != played.amount.duration {
        let ends = played.amount.duration;
        let ends = ends.map_or("null".to_owned(), |span| Duration(span).to_string());
        set.push(format!("{place}.duration={ends}"));
    }
    set
}

/// When requests, or sessions, come, where that is another time.
fn when(
    document: &Document,
    own: &WorkloadSpec,
    played: &WorkloadSpec,
    (place, trace): (&str, bool),
) -> Option<String> {
    let scale = |scale: f64| format!("workload.trace.time_scale={scale}");
    match (&own.source, &played.source) {
        (Source::Trace(own), Source::Trace(played)) if own.time_scale != played.time_scale => {
            return Some(scale(played.time_scale));
        }
        _ => {}
    }
    let (before, after) = (own.source.arrivals()?, played.source.arrivals()?);
    if before == after {
        return None;
    }
    // Requests stand in for a file that is not there, and come at its pace.
    if trace && matches!(own.source, Source::Synthetic { .. }) {
        let times = rate(after)? / rate(before)?;
        return Some(scale(document.number("workload.trace.time_scale").unwrap_or(1.0) * times));
    }
    let place = if trace { "workload.trace" } else { place };
    // The same process keeps its other figures.
    let name = name(after)?;
    match document.gives(&format!("{place}.arrivals.{name}.rate")) && name == self::name(before)? {
        true => Some(format!("{place}.arrivals.{name}.rate={}", rate(after)?)),
        false => Some(format!("{place}.arrivals={}", process(after)?)),
    }
}

/// Requests a second, where that is one number.
fn rate(arrivals: &Arrivals) -> Option<f64> {
    match arrivals {
        Arrivals::Poisson { rate }
        | Arrivals::Constant { rate }
        | Arrivals::Gamma { rate, .. }
        | Arrivals::Weibull { rate, .. } => Some(*rate),
        Arrivals::AllAtOnce | Arrivals::Piecewise(_) | Arrivals::ClosedLoop { .. } => None,
    }
}

fn name(arrivals: &Arrivals) -> Option<&'static str> {
    match arrivals {
        Arrivals::Poisson { .. } => Some("poisson"),
        Arrivals::Constant { .. } => Some("constant"),
        Arrivals::Gamma { .. } => Some("gamma"),
        Arrivals::Weibull { .. } => Some("weibull"),
        Arrivals::Piecewise(_) => Some("piecewise"),
        // Neither has a rate to change.
        Arrivals::AllAtOnce | Arrivals::ClosedLoop { .. } => None,
    }
}

/// The process as a scenario says it.
fn process(arrivals: &Arrivals) -> Option<String> {
    let name = name(arrivals)?;
    Some(match arrivals {
        Arrivals::Gamma { rate, cv } | Arrivals::Weibull { rate, cv } => {
            format!("{{{name}: {{rate: {rate}, cv: {cv}}}}}")
        }
        Arrivals::Piecewise(pieces) => {
            let piece = |one: &crate::workload::Piece| {
                let (length, from, to) = (Duration(one.length), one.rate, one.ramp_to);
                format!("{{for: {length}, rate: {from}, ramp_to: {to}}}")
            };
            let pieces: Vec<String> = pieces.iter().map(piece).collect();
            format!("{{{name}: [{}]}}", pieces.join(", "))
        }
        other => format!("{{{name}: {{rate: {}}}}}", rate(other)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Files;

    /// Reads a scenario, plays another load, and reads what is written of that.
    fn again(
        workload: &str,
        play: &dyn Fn(&WorkloadSpec) -> WorkloadSpec,
    ) -> (String, WorkloadSpec, WorkloadSpec) {
        let text = format!(
            "model: llama-3.1-8b\ngpu: h100-sxm\nschedulers: [vllm-v1]\nslo: {{ttft: 1s, tbt: 30ms}}\n\
             workload: {workload}\n"
        );
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |text: &str| {
            let document =
                Document::from_text("t.yaml", text, Files::any(folder)).expect("it is YAML");
            let resolved = document.resolve(None).unwrap_or_else(|why| panic!("{text}: {why:?}"));
            (document, resolved.experiment.workload)
        };
        let (document, own) = read(&text);
        let played = play(&own);
        let set = load(&document, &own, &played);
        let (_, written) = read(&document.rewritten(&set).expect("they apply"));
        (set.join("; "), played, written)
    }

    const LENGTHS: &str = "lengths: {prompt: {fixed: 100}, output: {fixed: 10}}";

    #[test]
    fn what_is_written_is_what_was_played() {
        let open = |arrivals: &str| format!("{{requests: 20, arrivals: {arrivals}, {LENGTHS}}}");
        let sessions = |arrivals: &str| {
            format!("{{sessions: {{preset: chat, count: 50, arrivals: {arrivals}}}}}")
        };
        let trace = |more: &str| format!("{{trace: {{file: {more}}}}}");
        let stand_in =
            format!("stand_in: {{requests: 9, arrivals: {{poisson: {{rate: 2}}}}, {LENGTHS}}}");
        for (workload, set) in [
            (open("{poisson: {rate: 5}}"), "workload.arrivals.poisson.rate=20"),
            (open("{gamma: {rate: 5, cv: 2}}"), "workload.arrivals.gamma.rate=20"),
            (sessions("{constant: {rate: 5}}"), "workload.sessions.arrivals.constant.rate=20"),
            (
                sessions("{piecewise: [{for: 60s, rate: 1, ramp_to: 3}]}"),
                "workload.sessions.arrivals={piecewise: [{for: 1min, rate: 4, ramp_to: 12}]}",
            ),
            (trace("tests/data/traces/plain.csv"), "workload.trace.time_scale=4"),
            (trace("tests/data/traces/plain.csv, time_scale: 0.5"), "workload.trace.time_scale=2"),
            (
                trace("tests/data/traces/lengths.csv, arrivals: {poisson: {rate: 5}}"),
                "workload.trace.arrivals.poisson.rate=20",
            ),
            (
                trace(&format!("none.csv, time_scale: 0.5, {stand_in}")),
                "workload.trace.time_scale=2",
            ),
        ] {
            let (said, played, written) =
                again(&workload, &|own| own.scaled(4.0).expect("it has a rate"));
            assert_eq!(said, set, "{workload}");
            assert_eq!(written, played, "{workload}: {said}");
        }
    }

    #[test]
    fn how_much_is_played_is_written_too() {
        let day = format!("{{duration: 1h, arrivals: {{day: {{peak: 4, trough: 1}}}}, {LENGTHS}}}");
        let (said, played, written) = again(&day, &|own| {
            let mut steady = own.clone();
            if let Source::Synthetic { arrivals, .. } = &mut steady.source {
                *arrivals = Arrivals::Poisson { rate: 4.0 };
            }
            steady.amount = crate::workload::Amount { requests: Some(200), duration: None };
            steady
        });
        assert_eq!(
            said,
            "workload.arrivals={poisson: {rate: 4}}; workload.requests=200; workload.duration=null"
        );
        assert_eq!(written, played);
        let (said, played, written) =
            again("{sessions: {preset: agent, count: 40, concurrency: {users: 4}}}", &|own| {
                own.lengthened(2.0)
            });
        assert_eq!(said, "workload.sessions.count=80");
        assert_eq!(written, played);
    }
}
