//! The capacity for people: the answer in a sentence, then the table.

use super::file::{Capacity, CapacityFile, SizingPrice};
use crate::report::header;
use crate::report::table::{Align, Cell, WIDTH, lay_out, wrap};
use crate::report::units::{duration, percent, three_digits};
use crate::search::interval::Interval;

/// Renders a result for 100 columns.
pub fn to_text(file: &CapacityFile) -> String {
    let mut text = String::new();
    for answer in capacity_answers(file) {
        text.push_str(&wrap(&answer, WIDTH, "  "));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&table(file));
    let seeds: Vec<String> = file.seeds.iter().map(u64::to_string).collect();
    let method = format!(
        "each rate: the highest that held, bracketed to {}; seeds {}{}",
        percent(file.precision),
        seeds.join(", "),
        if file.seeds.len() > 1 { "; +- is the 95 % interval over the seeds" } else { "" }
    );
    text.push_str(&format!("\n{}\n", wrap(&method, WIDTH, "  ")));
    let labelled = file
        .schedulers
        .iter()
        .flat_map(|c| c.notes.iter().map(move |note| format!("note: {}: {note}", c.label)));
    for note in file.notes.iter().map(|note| format!("note: {note}")).chain(labelled) {
        text.push_str(&format!("{}\n", wrap(&note, WIDTH, "  ")));
    }
    text
}

/// The answer for each scheduler, in a sentence.
pub fn capacity_answers(file: &CapacityFile) -> Vec<String> {
    file.schedulers.iter().map(|capacity| answer(file, capacity)).collect()
}

fn answer(file: &CapacityFile, capacity: &Capacity) -> String {
    let name = |key: &str| {
        let value = file.scenario.get(key)?;
        let name = value.as_str().or_else(|| value.get("base")?.as_str());
        name.map(str::to_owned)
    };
    let pools = file.scenario.get("pools").is_some();
    let system = match (name("model"), header::fleet(&file.scenario)) {
        (Some(model), Some(gpu)) => format!("{model} on {gpu}, "),
        _ => String::new(),
    };
    let subject = format!("{system}{}", capacity.label);
    // The GPUs of pools do not do the same.
    let (rate, of) = match pools {
        true => (capacity.requests_per_s, "in all"),
        false => (capacity.requests_per_s_per_gpu, "per GPU"),
    };
    let Some(rate) = rate else {
        let why = capacity.notes.first().map_or("no number was found", String::as_str);
        return format!("{subject}: {} {why}", within(file));
    };
    let mut text = format!("{subject}: {} requests/s {of} {}", plus_minus(rate), within(file));
    match &capacity.for_rate {
        Some(asked) => {
            let rate = three_digits(asked.requests_per_s);
            let rate = rate.strip_suffix(".0").unwrap_or(&rate);
            match (asked.gpus, asked.share_of_capacity) {
                (Some(gpus), Some(share)) => {
                    let plural = if gpus == 1 { "" } else { "s" };
                    text.push_str(&format!(
                        "; for {rate} requests/s take {gpus} GPU{plural} ({:.0} % of their capacity)",
                        100.0 * share
                    ));
                }
                _ => text.push_str(&format!(
                    "; for {rate} requests/s no number of replicas was found that holds"
                )),
            }
            text.push_str(&money(asked.price));
        }
        None => text.push_str(&money(capacity.price)),
    }
    text
}

fn within(file: &CapacityFile) -> String {
    format!("within {}", file.promise)
}

fn money(price: Option<SizingPrice>) -> String {
    let Some(price) = price else { return String::new() };
    let per_token = price
        .usd_per_million_output_tokens
        .map(|usd| format!(", ${usd:.2} per million output tokens"));
    format!(", ${:.2}/h{}", price.usd_per_hour, per_token.unwrap_or_default())
}

/// Both numbers with the decimals that suit the mean.
fn plus_minus(value: Interval) -> String {
    let decimals = match value.mean {
        mean if mean >= 99.95 => 0,
        mean if mean >= 9.995 => 1,
        mean if mean >= 0.9995 => 2,
        _ => 3,
    };
    let mean = format!("{:.decimals$}", value.mean);
    value.half_width.map_or_else(|| mean.clone(), |half| format!("{mean} +- {half:.decimals$}"))
}

fn table(file: &CapacityFile) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for mut row in capacity_rows(file) {
        let limited_by = row.pop().unwrap_or_default();
        let mut cells: Vec<Cell> = row.into_iter().map(Cell::from).collect();
        cells.push(Cell::from(short(&limited_by, 40)));
        rows.push(cells);
    }
    let right = Align::Right;
    lay_out(&rows, &[Align::Left, right, right, right, right, right, Align::Left])
}

/// The table, its head first.
pub fn capacity_rows(file: &CapacityFile) -> Vec<Vec<String>> {
    let mut rows = vec![
        ["scheduler", "requests/s", "per GPU", "fluid", "P99 TTFT", "P99 TBT", "limited by"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for capacity in &file.schedulers {
        let at = capacity.at_capacity.filter(|_| capacity.requests_per_s.is_some());
        rows.push(vec![
            capacity.label.clone(),
            or_dash(capacity.requests_per_s.map(plus_minus)),
            or_dash(capacity.requests_per_s_per_gpu.map(plus_minus)),
            or_dash(at.and_then(|at| at.fluid_request_share).map(percent)),
            or_dash(at.and_then(|at| at.ttft_p99_s).map(duration)),
            or_dash(at.and_then(|at| at.tbt_p99_s).map(duration)),
            capacity.limited_by.join(", "),
        ]);
    }
    rows
}

fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
