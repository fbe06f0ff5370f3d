//! The capacity for people: the answer in a sentence, then the table.

use super::file::{Capacity, CapacityFile, ForLoad, Searched, SizingPrice};
use super::ratios::ratio_lines;
use crate::metrics::Bounds;
use crate::promise::KEPT_SHARE;
use crate::report::header;
use crate::report::table::{Align, Cell, lay_out, width, wrap};
use crate::search::interval::{Border, Estimate};
use crate::shown::{duration, grouped, percent, three_digits};

/// Renders a result for 100 columns.
pub fn to_text(file: &CapacityFile) -> String {
    let mut text = String::new();
    for answer in capacity_answers(file) {
        text.push_str(&wrap(&answer, width(), "  "));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&table(file));
    if file.schedulers.iter().any(|capacity| capacity.border().is_some()) {
        text.push_str(&format!("\n{}\n", wrap(&method(file), width(), "  ")));
    } else {
        text.push('\n');
    }
    for line in ratio_lines(&file.ratios, file.searched.unit()) {
        text.push_str(&format!("{}\n", wrap(&line, width(), "  ")));
    }
    let labelled = file
        .schedulers
        .iter()
        .flat_map(|c| c.notes.iter().map(move |note| format!("note: {}: {note}", c.label)));
    for note in file.notes.iter().map(|note| format!("note: {note}")).chain(labelled) {
        text.push_str(&format!("{}\n", wrap(&note, width(), "  ")));
    }
    text
}

/// What the numbers of the table are.
fn method(file: &CapacityFile) -> String {
    let seeds: Vec<String> = file.seeds.iter().map(u64::to_string).collect();
    let (amount, precision) = (file.searched.amount(), percent(file.precision));
    let open = file.schedulers.iter().any(unknown_above);
    let seeds = seeds.join(", ");
    match (file.seeds.len(), open) {
        (1, false) => format!(
            "each {amount}: the highest that held, and the lowest tried that did not, at most \
             {precision} apart; seed {seeds}"
        ),
        (1, true) => format!(
            "each {amount}: the highest shown to hold, and the lowest tried that is known not to \
             (`>=`: none is); of some between, runs end too soon to tell; seed {seeds}"
        ),
        (_, false) => format!(
            "each {amount}: the mean over seeds {seeds} of the highest that held, each bracketed to \
             {precision}; in brackets its 95 % interval, with the brackets"
        ),
        (_, true) => format!(
            "each {amount}: the mean over seeds {seeds} of the highest shown to hold; in brackets its \
             95 % interval, up to the lowest tried that is known not to (`>=`: none is); of some \
             between, runs end too soon to tell"
        ),
    }
}

/// Whether nothing is shown just above what held.
fn unknown_above(capacity: &Capacity) -> bool {
    capacity.seeds.iter().any(|seed| seed.unknown().is_some())
}

/// The answer for each scheduler, in a sentence, and which of them carries most.
pub fn capacity_answers(file: &CapacityFile) -> Vec<String> {
    let each = file.schedulers.iter().map(|capacity| answer(file, capacity));
    each.chain(file.comparison.clone()).collect()
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
    let users = file.searched == Searched::Users;
    let per_gpu = match file.searched {
        Searched::Users => capacity.users_per_gpu,
        Searched::SessionsPerS => capacity.sessions_per_s_per_gpu,
        Searched::RequestsPerS => capacity.requests_per_s_per_gpu,
    };
    let Some(border) = capacity.border() else {
        let why = capacity.notes.first().map_or("no number was found", String::as_str);
        return format!("{subject}, {}: {why}", file.promise);
    };
    let unit = file.searched.unit();
    // The GPUs of pools do not do the same, and users are those of the whole fleet.
    let mut text = match (pools, users, per_gpu) {
        (false, false, Some(one)) => {
            format!("{subject}: {} {unit} per GPU ({})", figure(one), what(capacity, one, unit))
        }
        (false, true, Some(one)) if capacity.gpus > 1 => format!(
            "{subject}: {} {unit} in all ({}), {} per GPU,",
            figure(border),
            what(capacity, border, unit),
            figure(one)
        ),
        (false, true, _) => {
            format!(
                "{subject}: {} {unit} per GPU ({})",
                figure(border),
                what(capacity, border, unit)
            )
        }
        _ => format!(
            "{subject}: {} {unit} in all ({})",
            figure(border),
            what(capacity, border, unit)
        ),
    };
    text.push_str(&format!(" {}", within(file)));
    let at = capacity.at_capacity;
    if let Some(late) = at.and_then(|at| at.ttft_in_time_share).filter(|share| *share < IN_TIME) {
        text.push_str(&format!(", first tokens in time: {}", percent(late)));
    }
    match capacity.sized() {
        Some(asked) => {
            text.push_str(&sized(asked, unit));
            text.push_str(&money(asked.price));
        }
        None => text.push_str(&money(capacity.price)),
    }
    if capacity.seeds.iter().any(|seed| !seed.complete) {
        text.push_str("; time ran out, so this is what was known by then");
    }
    text
}

/// From this share of first tokens in time on, the answer need not say it.
const IN_TIME: f64 = 0.99;

/// The fleet for a load.
fn sized(asked: &ForLoad, unit: &str) -> String {
    let load = match (asked.requests_per_s, asked.users) {
        (Some(rate), _) => {
            let rate = three_digits(rate);
            format!("{} {unit}", rate.strip_suffix(".0").unwrap_or(&rate))
        }
        (None, users) => format!("{} users", users.unwrap_or_default()),
    };
    let Some(gpus) = asked.gpus else {
        let why = asked.why.as_deref().unwrap_or("no number of replicas was found that holds");
        return format!("; for {load} {why}");
    };
    let plural = if gpus == 1 { "" } else { "s" };
    let pools = asked.pools.as_ref().map_or(String::new(), |pools| {
        let each = pools.iter().map(|(name, replicas)| format!("{name} {replicas}"));
        format!(", replicas: {}", each.collect::<Vec<_>>().join(", "))
    });
    let share = asked
        .share_of_capacity
        .map_or(String::new(), |share| format!(" ({:.0} % of their capacity)", 100.0 * share));
    let fewer = if asked.fewer_not_known { ", whether fewer do is not known" } else { "" };
    format!("; for {load} take {gpus} GPU{plural}{pools}{share}{fewer}")
}

/// What a figure is, with its interval.
fn what(capacity: &Capacity, border: Border, unit: &str) -> String {
    let amount = if unit == Searched::Users.unit() { "number" } else { "rate" };
    let unknown = unknown_above(capacity);
    match (border.is, ends(border)) {
        (Estimate::HighestThatHeld, None) => {
            format!("the highest {amount} shown to hold; of more it is not known")
        }
        (Estimate::HighestThatHeld, Some((_, upper))) if unknown => format!(
            "the highest {amount} shown to hold; {upper} did not, and between them it is not known"
        ),
        (Estimate::HighestThatHeld, Some((_, upper))) => {
            format!("the highest {amount} that held; {upper} did not")
        }
        (Estimate::MeanOverSeeds, None) => {
            format!("shown to hold, mean of {} seeds; above that it is not known", border.count)
        }
        (Estimate::MeanOverSeeds, Some((lower, upper))) if unknown => {
            format!("shown to hold, mean of {} seeds; {lower} to {upper}", border.count)
        }
        (Estimate::MeanOverSeeds, Some((lower, upper))) => {
            format!("mean of {} seeds, {lower} to {upper}", border.count)
        }
    }
}

fn within(file: &CapacityFile) -> String {
    let word = if file.promise.starts_with("first token") { "with the" } else { "within" };
    format!("{word} {}", file.promise)
}

fn money(price: Option<SizingPrice>) -> String {
    let Some(price) = price else { return String::new() };
    let per_token = price
        .usd_per_million_output_tokens
        .map(|usd| format!(", ${usd:.2} per million output tokens"));
    let session = price.usd_per_session.map(|usd| format!(", ${} a session", three_digits(usd)));
    format!(
        ", ${:.2}/h{}{}",
        price.usd_per_hour,
        session.unwrap_or_default(),
        per_token.unwrap_or_default()
    )
}

/// With the decimals that suit it, and a sign where nothing is known above.
fn figure(border: Border) -> String {
    let sign = if border.upper.is_none() { ">= " } else { "" };
    format!("{sign}{}", with(decimals(border), border.mean))
}

/// The ends of its interval, where it has both, with as many decimals, or more where they would look
/// alike.
fn ends(border: Border) -> Option<(String, String)> {
    let (few, upper) = (decimals(border), border.upper?);
    let pair = |decimals: usize| (with(decimals, border.lower), with(decimals, upper));
    let apart = (few..few + 6).map(pair).find(|(lower, upper)| lower != upper);
    Some(apart.unwrap_or_else(|| pair(few)))
}

fn with(decimals: usize, value: f64) -> String {
    match decimals {
        0 => grouped(value),
        _ => format!("{value:.decimals$}"),
    }
}

fn decimals(border: Border) -> usize {
    let upper = border.upper.unwrap_or(border.lower);
    let whole = [border.mean, border.lower, upper].iter().all(|one| one.fract() == 0.0);
    match border.mean {
        _ if whole => 0,
        mean if mean >= 99.95 => 0,
        mean if mean >= 9.995 => 1,
        mean if mean >= 0.9995 => 2,
        _ => 3,
    }
}

/// A figure and its interval, for a cell.
fn cell(border: Border) -> String {
    let ends = ends(border).map(|(lower, upper)| format!(" ({lower} to {upper})"));
    format!("{}{}", figure(border), ends.unwrap_or_default())
}

/// What limits, and labels, are cut where the table would be too wide.
fn table(file: &CapacityFile) -> String {
    let fits = |text: &String| text.lines().all(|line| line.chars().count() <= width());
    let widths = [(usize::MAX, 30), (usize::MAX, 16), (34, 16), (24, 16), (16, 16)];
    let mut tables = widths.into_iter().map(|(label, limit)| table_of(file, label, limit));
    tables.find(fits).unwrap_or_else(|| table_of(file, 10, 10))
}

fn table_of(file: &CapacityFile, label: usize, limit: usize) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for mut row in capacity_rows(file) {
        let limited_by = row.pop().unwrap_or_default();
        let limited_by = limited_by.replace("fluid_request_share", "fluidity");
        let limited_by = limited_by.replace("the queue keeps growing", "a growing queue");
        let limited_by = limited_by.replace(KEPT_SHARE, "the promise");
        row[0] = short(&row[0], label);
        let mut cells: Vec<Cell> = row.into_iter().map(Cell::from).collect();
        cells.push(Cell::from(short(&limited_by, limit)));
        rows.push(cells);
    }
    let columns = rows.first().map_or(0, Vec::len);
    let mut align = vec![Align::Right; columns];
    for end in [0, columns.saturating_sub(1)] {
        align[end] = Align::Left;
    }
    lay_out(&rows, &align)
}

/// The column that is left out where it says nothing new.
const PER_GPU: usize = 2;

/// The table, its head first.
pub fn capacity_rows(file: &CapacityFile) -> Vec<Vec<String>> {
    let unit = file.searched.unit();
    // Of the GPUs of pools, that of one means little; of one GPU, it is that of all.
    let pools = file.scenario.get("pools").is_some();
    let by_gpu = !pools && file.schedulers.iter().any(|capacity| capacity.gpus > 1);
    let head =
        ["scheduler", unit, "per GPU", "fluid", "in time", "P99 TTFT", "P99 TBT", "limited by"];
    let shown = |row: [String; 8]| -> Vec<String> {
        let cells = row.into_iter().enumerate();
        cells.filter(|(place, _)| by_gpu || *place != PER_GPU).map(|(_, cell)| cell).collect()
    };
    let mut rows = vec![shown(head.map(str::to_owned))];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for capacity in &file.schedulers {
        let at = capacity.at_capacity.filter(|_| capacity.border().is_some());
        let rates = capacity.requests_per_s_per_gpu.or(capacity.sessions_per_s_per_gpu);
        let per_gpu = rates.or(capacity.users_per_gpu);
        rows.push(shown([
            capacity.label.clone(),
            or_dash(capacity.border().map(cell)),
            or_dash(per_gpu.map(figure)),
            or_dash(at.and_then(|at| share(at.fluid_request_share, at.fluid_request_bounds))),
            or_dash(at.and_then(|at| share(at.ttft_in_time_share, at.ttft_in_time_bounds))),
            or_dash(at.and_then(|at| at.ttft_p99_s).map(duration)),
            or_dash(at.and_then(|at| at.tbt_p99_s).map(duration)),
            capacity.limited_by.join(", "),
        ]));
    }
    rows
}

/// A share, or what is known of it.
fn share(value: Option<f64>, bounds: Option<Bounds>) -> Option<String> {
    let within = || bounds.map(|of| format!("{} to {}", percent(of.lower), percent(of.upper)));
    value.map(percent).or_else(within)
}

fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => format!("{}..", text.chars().take(most - 2).collect::<String>()),
        None => text.to_owned(),
    }
}
