//! A law fitted to an iteration log, as text and as CSV.

use crate::metrics::Distribution;
use crate::report::csv_text::CsvText;
use crate::report::table::{Align, Cell, WIDTH, lay_out, wrap};
use crate::shown::three_digits;
use crate::validation::{LawFit, Residuals, Term};

/// For people.
pub fn to_text(fit: &LawFit) -> String {
    use Align::{Left, Right};
    let mut rows = vec![["A step takes", "", "of all time", ""].map(Cell::from).to_vec()];
    rows.extend(fit.terms.iter().map(term));
    if let Some(host) = fit.host {
        for (name, us) in
            [("host: each step", host.iteration_us), ("host: each sequence", host.sequence_us)]
        {
            rows.push(vec![
                Cell::from(name),
                Cell::from(microseconds(us)),
                Cell::from("beside"),
                Cell::from(""),
            ]);
        }
    }
    let mut text = lay_out(&rows, &[Left, Right, Right, Left]);
    text.push('\n');
    let head = ["Law against log", "steps", "time", "in sum", "median", "P10 to P90", "mean error"];
    let mut rows = vec![head.map(Cell::from).to_vec()];
    rows.extend(fit.residuals.iter().chain([&fit.held_out]).map(residuals));
    text.push_str(&lay_out(&rows, &[Left, Right, Right, Right, Right, Right, Right]));
    text.push('\n');
    if fit.outliers > 0 {
        let line = format!(
            "{} steps took more than four times what the law says: left out of the fit, not of the table.",
            fit.outliers
        );
        text.push_str(&wrap(&line, WIDTH, "  "));
        text.push('\n');
    }
    let ranges: Vec<String> = fit
        .ranges
        .iter()
        .map(|range| format!("{} to {} {}", whole(range.least), whole(range.most), range.of))
        .collect();
    let line = format!("In a step there were {}: beyond, the law is a guess.", ranges.join(", "));
    text.push_str(&wrap(&line, WIDTH, "  "));
    text.push('\n');
    for line in carried(fit) {
        text.push_str(&wrap(&line, WIDTH, "  "));
        text.push('\n');
    }
    if fit.requests > 0 {
        let line = format!(
            "Lengths of {} requests: prompts {}; answers {}.",
            fit.requests,
            lengths(&fit.prompt_tokens),
            lengths(&fit.output_tokens)
        );
        text.push_str(&wrap(&line, WIDTH, "  "));
        text.push('\n');
    }
    text
}

/// What the profile says of the engine that wrote the log.
fn carried(fit: &LawFit) -> Vec<String> {
    let planned = fit.asynchronous.map(|ahead| {
        let when = if ahead { "while the one before ran" } else { "after the one before had ended" };
        format!(
            "The engine planned a step {when}: the profile says `async_scheduling: {ahead}`, and so it is unless \
             a scenario says otherwise."
        )
    });
    let cached = fit.prefix_hits.then(|| {
        "Parts of prompts were found in the KV cache: the profile says `prefix_caching: true`."
            .to_owned()
    });
    planned.into_iter().chain(cached).collect()
}

/// A row a figure: `kind,name,steps,value`.
pub fn to_csv(fit: &LawFit) -> String {
    let mut csv = CsvText::new(["kind", "name", "steps", "value"]);
    for term in &fit.terms {
        csv.row(["us", term.name, "", &term.us.to_string()]);
        csv.row(["time_share", term.name, "", &term.time_share.to_string()]);
        csv.row(["at_bound", term.name, "", &term.at_bound.to_string()]);
    }
    if let Some(host) = fit.host {
        csv.row(["us", "host.iteration_us", "", &host.iteration_us.to_string()]);
        csv.row(["us", "host.sequence_us", "", &host.sequence_us.to_string()]);
    }
    for row in fit.residuals.iter().chain([&fit.held_out]) {
        let steps = row.steps.to_string();
        for (kind, value) in [
            ("sum_error", row.sum_error),
            ("median_error", row.median_error),
            ("p10_error", row.p10_error),
            ("p90_error", row.p90_error),
            ("mape", row.mape),
        ] {
            let value = value.map(|v| v.to_string()).unwrap_or_default();
            csv.row([kind, row.of, &steps, &value]);
        }
    }
    csv.into_string()
}

fn term(term: &Term) -> Vec<Cell> {
    let words = match term.name {
        "iteration_us" => "each step",
        "prefill_iteration_us" => "with prefill, besides",
        "chunk_us" => "each chunk",
        "prefill_token_us" => "each prefill token",
        "decode_us" => "each decode",
        "draft_token_us" => "each draft token",
        "kv_token_us" => "each KV token read",
        "attention_pair_us" => "each pair of prefill attention",
        other => other,
    };
    let note = match (term.at_bound, term.us == 0.0) {
        (true, _) => "at its bound: 0, or other constants say the same",
        (false, true) => "nothing of it in the log",
        (false, false) => "",
    };
    vec![
        Cell::from(words),
        Cell::from(microseconds(term.us)),
        Cell::from(format!("{:.1} %", term.time_share * 100.0)),
        Cell::from(note),
    ]
}

fn residuals(row: &Residuals) -> Vec<Cell> {
    let signed =
        |error: Option<f64>| error.map_or("-".to_owned(), |e| format!("{:+.1} %", e * 100.0));
    vec![
        Cell::from(row.of),
        Cell::from(row.steps.to_string()),
        Cell::from(format!("{:.2} s", row.seconds)),
        Cell::from(signed(row.sum_error)),
        Cell::from(signed(row.median_error)),
        Cell::from(format!("{} to {}", signed(row.p10_error), signed(row.p90_error))),
        Cell::from(row.mape.map_or("-".to_owned(), |e| format!("{:.1} %", e * 100.0))),
    ]
}

fn lengths(of: &Distribution) -> String {
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), whole);
    format!(
        "mean {}, P50 {}, P90 {}, max {} tokens",
        figure(of.mean),
        figure(of.p50),
        figure(of.p90),
        figure(of.max)
    )
}

fn whole(value: f64) -> String {
    crate::shown::grouped(value)
}

fn microseconds(us: f64) -> String {
    if us == 0.0 { "0 µs".to_owned() } else { format!("{} µs", three_digits(us)) }
}
