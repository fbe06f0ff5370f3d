//! The plan for people: the answer in the first line, then what else was found.

use super::asked::NO_ANSWER;
use super::cells::spread;
use super::file::{PlanAnswer, PlanFile, PlanInfeasible, PlanSession};
use super::question::short;
use crate::report::table::{Align, Cell, WIDTH, lay_out, wrap};
use crate::search::capacity::ratio_lines;
use crate::shown::{duration, percent, three_digits};

/// The answer in a sentence.
pub fn plan_answer(file: &PlanFile) -> String {
    let Some(best) = file.answers.first() else {
        let untold = file.notes.iter().any(|note| note.starts_with(NO_ANSWER));
        let none = match file.complete {
            true if untold => "none of these GPUs is shown to hold this promise",
            true => "none of these GPUs holds this promise",
            false => "time ran out (--max-time) before an answer was found",
        };
        return format!("{}: {none}", file.question);
    };
    let session = best.usd_per_session.map(|usd| format!(", ${} a session", three_digits(usd)));
    let session = session.unwrap_or_default();
    let money = match (best.usd_per_hour, best.usd_per_million_output_tokens) {
        (Some(usd), Some(per_million)) => {
            format!(", ${usd:.2}/h{session}, ${per_million:.2} per million output tokens")
        }
        (Some(usd), None) => format!(", ${usd:.2}/h{session}"),
        _ => String::new(),
    };
    format!(
        "{}: {} x {} as {} replica{} of {} with {}{money}",
        file.question,
        best.gpus,
        best.gpu,
        best.replicas,
        if best.replicas == 1 { "" } else { "s" },
        spread(best.parallelism, &best.dtype),
        best.scheduler
    )
}

/// The table, its head first.
pub fn plan_rows(file: &PlanFile) -> Vec<Vec<String>> {
    let head = [
        "GPU",
        "replica",
        "replicas",
        "GPUs",
        "$/h",
        if file.session.is_some() { "$/session" } else { "$/M tokens" },
        "head-room",
        "carries",
        "P99 TTFT",
        "fluid",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for one in &file.answers {
        rows.push(vec![
            one.gpu.clone(),
            spread(one.parallelism, &one.dtype),
            one.replicas.to_string(),
            one.gpus.to_string(),
            or_dash(one.usd_per_hour.map(|usd| format!("{usd:.2}"))),
            or_dash(match file.session {
                Some(_) => one.usd_per_session.map(three_digits),
                None => one.usd_per_million_output_tokens.map(|usd| format!("{usd:.2}")),
            }),
            format!("{:.0} %", 100.0 * one.head_room),
            carries(one.interval),
            or_dash(one.ttft_p99_s.map(duration)),
            or_dash(one.fluid_request_share.map(percent)),
        ]);
    }
    rows
}

/// What became of an answer's GPUs with prefill and decode apart, where that was asked for: a sentence, then
/// the curve.
pub fn apart_lines(file: &PlanFile, one: &PlanAnswer) -> Vec<String> {
    let Some(apart) = &one.apart else { return Vec::new() };
    let unit = match (file.users, file.sessions_per_s) {
        (Some(_), _) => "users",
        (None, Some(_)) => "sessions/s",
        (None, None) => "requests/s",
    };
    let head = format!("prefill and decode apart, KV over {}", apart.link);
    if let Some(why) = &apart.why_not {
        return vec![format!("{head}: not possible: {why}")];
    }
    let verdict = match &apart.fewest {
        None => "no division of these GPUs holds the load".to_owned(),
        Some(fewest) => {
            let usd = apart.usd_per_hour.map_or(String::new(), |usd| format!(", ${usd:.2}/h"));
            format!(
                "{} GPUs hold the load, {} that prefill and {} that decode{usd}; colocated it takes {}",
                fewest.gpus, fewest.prefill_replicas, fewest.decode_replicas, one.gpus
            )
        }
    };
    let curve = ratio_lines(&apart.divisions, unit);
    [format!("{head}: {verdict}")].into_iter().chain(curve).collect()
}

fn carries(interval: (f64, Option<f64>)) -> String {
    match interval {
        (lower, Some(upper)) => format!("{} to {}", three_digits(lower), three_digits(upper)),
        (lower, None) => format!(">= {}", three_digits(lower)),
    }
}

/// What a session is, and how many the best answer carries.
fn session_words(session: &PlanSession, file: &PlanFile) -> String {
    let mut words = format!(
        "a session: {} turns, {} output tokens, {} from its first turn to its last token",
        three_digits(session.turns),
        crate::shown::grouped(session.output_tokens.round()),
        duration(session.stay_s)
    );
    if let Some(interval) = file.answers.first().and_then(|best| best.sessions_per_s) {
        words.push_str(&format!("; carried: {} sessions/s", carries(interval)));
    }
    words
}

/// Renders a plan for 100 columns.
pub fn plan_text(file: &PlanFile) -> String {
    let mut text = format!("{}\n", wrap(&plan_answer(file), WIDTH, "  "));
    if !file.promise.is_empty() {
        let load = match (file.requests_per_s, file.users) {
            (Some(rate), _) => format!("{} requests/s", short(rate)),
            (None, Some(users)) => format!("{users} users"),
            (None, None) => {
                format!("{} sessions/s", short(file.sessions_per_s.unwrap_or_default()))
            }
        };
        let seeds: Vec<String> = file.seeds.iter().map(u64::to_string).collect();
        text.push_str(&format!(
            "{}\n",
            wrap(
                &format!(
                    "{}: {}, at {load}, with each of seeds {}; {} of {} cells were simulated on a \
                     fleet{}",
                    if file.answers.is_empty() { "asked" } else { "held" },
                    file.promise,
                    seeds.join(", "),
                    file.cells_simulated,
                    file.cells,
                    if file.complete { ", the others cannot be cheaper" } else { "" },
                ),
                WIDTH,
                "  "
            )
        ));
    }
    if let Some(session) = &file.session {
        text.push_str(&format!("{}\n", wrap(&session_words(session, file), WIDTH, "  ")));
    }
    if !file.answers.is_empty() {
        let rows: Vec<Vec<Cell>> = plan_rows(file)
            .into_iter()
            .map(|row| row.into_iter().map(Cell::from).collect())
            .collect();
        let mut align = vec![Align::Right; rows[0].len()];
        (align[0], align[1]) = (Align::Left, Align::Left);
        text.push_str(&format!("\n{}", lay_out(&rows, &align)));
    }
    for one in &file.answers {
        let launch = one.launch.as_deref().unwrap_or(&one.scheduler);
        text.push_str(&format!("\n{}:\n  {launch}\n", one.gpu));
        for note in &one.not_in_launch {
            let said = format!("not in this line: {note}");
            text.push_str(&format!("  {}\n", wrap(&said, WIDTH - 2, "    ")));
        }
        let prices = one.usd_per_gpu_hour.zip(one.price_source.as_ref());
        if let Some((usd, source)) = prices {
            let said = format!("${usd:.2} a GPU and hour: {source}");
            text.push_str(&format!("  {}\n", wrap(&said, WIDTH - 2, "    ")));
        }
        if let Some(caution) = &one.caution {
            text.push_str(&format!("  {}\n", wrap(caution, WIDTH - 2, "    ")));
        }
        for line in apart_lines(file, one) {
            text.push_str(&format!("  {}\n", wrap(&line, WIDTH - 2, "    ")));
        }
    }
    if !file.infeasible.is_empty() {
        text.push_str("\ncannot hold it at any load:\n");
        for one in &file.infeasible {
            let change = nearest(file, one);
            let spread = spread(one.parallelism, &one.dtype);
            // Its kind stands before it.
            let tensor = format!("TP{}: ", one.parallelism.tensor);
            let reason = one.reason.strip_prefix(&tensor).unwrap_or(&one.reason);
            let said = format!("{} {spread}: {reason}{change}", one.gpu);
            text.push_str(&format!("  {}\n", wrap(&said, WIDTH - 2, "    ")));
        }
    }
    for note in &file.notes {
        text.push_str(&format!("\n{}\n", wrap(&format!("note: {note}"), WIDTH, "  ")));
    }
    text
}

/// The nearest change that was seen to hold, or that none was, to follow a reason.
pub fn nearest(file: &PlanFile, one: &PlanInfeasible) -> String {
    match &one.nearest_change {
        Some(change) => format!("; nearest: {change}"),
        // Nothing was tried where every kind is refused.
        None if file.seeds.is_empty() => String::new(),
        None => "; nothing that was tried mends it".to_owned(),
    }
}
