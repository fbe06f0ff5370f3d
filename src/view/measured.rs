//! A measured run, as far as its file tells.

use super::Room;
use super::cdf::Cdf;
use super::curve::{CurveView, LateToken, Place};
use super::page::Absent;
use super::run::{Line, RunView, bound_lines};
use crate::result::{MeasuredResult, Plots, RequestProgress, RunResult};
use crate::shown::duration;

/// Late tokens told of one request.
const LATE_MAX: usize = 60;

/// What can be drawn of a measured run.
pub(crate) fn measured_run(result: &RunResult, room: Room) -> RunView {
    let mut view = RunView::of_figures(result);
    let Some(measured) = &result.measured else { return view };
    view.lines = lines(result, measured);
    let absent = |part, why: &str| Absent { part, why: why.to_owned() };
    match &measured.plots {
        Some(plots) => distributions(&mut view, result, plots, room),
        None => {
            let why = if matches!(measured.granularity.as_str(), "token" | "chunk") {
                "the file has more than 1,000,000 token times; --metrics full draws them"
            } else {
                "the file does not tell when single tokens came"
            };
            view.absent.push(absent("distributions", why));
            view.absent.push(absent("curves", why));
        }
    }
    let unseen = "a measured file tells when tokens came, not what the GPU ran";
    view.absent.push(absent("timeline", unseen));
    view.absent.push(absent("causes", unseen));
    view
}

fn distributions(view: &mut RunView, result: &RunResult, plots: &Plots, room: Room) {
    let summary = &result.summary;
    view.ttft = Cdf::of_points(summary.ttft_s.count, &plots.ttft_cdf_s);
    view.tpot = Cdf::of_points(summary.tpot_s.count, &plots.tpot_cdf_s);
    let gaps = summary.tbt_s.as_ref().map_or(0, |tbt| tbt.count);
    view.tbt = Cdf::of_points(gaps, &plots.tbt_cdf_s);
    view.fluidity = Cdf::of_points(summary.requests.judged(), &plots.fluidity_cdf);
    let places = [Place::Worst, Place::Median, Place::Best];
    view.curves = plots
        .progress
        .iter()
        .zip(places)
        .map(|(progress, place)| curve(progress, place, room.curve_tokens))
        .collect();
}

fn curve(progress: &RequestProgress, place: Place, most: usize) -> CurveView {
    let us: Vec<u64> =
        progress.token_times_s.iter().map(|s| (s.max(0.0) * 1e6).round() as u64).collect();
    let mut by_gap: Vec<usize> = progress
        .late_tokens
        .iter()
        .map(|&token| token as usize)
        .filter(|&t| t < us.len())
        .collect();
    let gap = |token: usize| us[token].saturating_sub(token.checked_sub(1).map_or(0, |b| us[b]));
    let late_count = by_gap.len() as u32;
    by_gap.sort_by_key(|&token| (std::cmp::Reverse(gap(token)), token));
    by_gap.truncate(LATE_MAX);
    by_gap.sort_unstable();
    let late = by_gap.into_iter().map(|token| LateToken {
        number: token as u32 + 1,
        from_us: token.checked_sub(1).map_or(0, |before| us[before]),
        to_us: us[token],
        cause: None,
        causes_ns: Vec::new(),
    });
    let mut view = CurveView {
        place,
        request: progress.request,
        arrival_us: 0,
        prompt_tokens: None,
        tokens: us.len() as u32,
        index: progress.fluidity_index,
        number: Vec::new(),
        at_us: Vec::new(),
        due_us: Vec::new(),
        late: late.collect(),
        late_count,
    };
    let (mut number, mut at) = (0, 0);
    for token in super::curve::kept(&us, most) {
        view.number.push(token as u32 + 1 - number);
        view.at_us.push(us[token].saturating_sub(at));
        (number, at) = (token as u32 + 1, us[token]);
    }
    view
}

fn lines(result: &RunResult, measured: &MeasuredResult) -> Vec<Line> {
    let deadlines = &measured.deadlines;
    let mut lines = Vec::new();
    let due = format!("a token due every {}", duration(deadlines.tbt_s));
    for of in ["tbt", "tpot"] {
        lines.push(Line { of, value: deadlines.tbt_s, label: due.clone() });
    }
    if let Some(ttft) = deadlines.ttft_s {
        let label = format!("first token due after {}", duration(ttft));
        lines.push(Line { of: "ttft", value: ttft, label });
    }
    let index = deadlines.fluid_index;
    lines.push(Line { of: "fluidity", value: index, label: format!("fluid from {index} on") });
    lines.extend(bound_lines(result));
    lines
}
