//! A sweep for people, and as CSV.

use serde_json::Value;

use super::grid::names;
use super::{Choice, Objective, Point, SweepFile};
use crate::promise::KEPT_SHARE;
use crate::report::csv::flatten;
use crate::report::csv_text::CsvText;
use crate::report::pair::shown;
use crate::report::table::{Align, Cell, lay_out, width, wrap};
use crate::result::assertion::{bounds, figure};
use crate::shown::{duration, percent, three_digits};

/// A column: its heading, the paths where its number may stand, how it is shown, and how soon it is
/// left out where not all fit, the highest first.
struct Column<'a> {
    heading: &'a str,
    paths: Vec<&'a str>,
    show: Box<dyn Fn(f64) -> String + 'a>,
    left_out: u8,
}

type Listed = (&'static str, &'static [&'static str], fn(f64) -> String, u8);

const PROMISED: Listed = ("promise kept", &["goodput.share"], percent, 1);

const COLUMNS: [Listed; 9] = [
    ("fluid", &["fluidity.fluid_request_share", "at_capacity.fluid_request_share"], percent, 0),
    ("in time", &["ttft_in_time_share", "at_capacity.ttft_in_time_share"], percent, 8),
    ("P99 TTFT", &["ttft_s.p99", "at_capacity.ttft_p99_s"], duration, 1),
    ("P99 TBT", &["tbt_s.p99", "at_capacity.tbt_p99_s"], duration, 3),
    ("fluid tokens/s", &["fluidity.fluid_tokens_per_s"], three_digits, 7),
    ("tokens/s", &["throughput.output_tokens_per_s"], three_digits, 2),
    ("capacity/s", &["requests_per_s.mean"], three_digits, 2),
    ("users", &["users.mean"], whole, 2),
    (
        "$/M tokens",
        &["cost.usd_per_million_output_tokens", "price.usd_per_million_output_tokens"],
        three_digits,
        4,
    ),
];

fn whole(value: f64) -> String {
    crate::shown::grouped(value)
}

/// The columns of figures that these runs have; those that a front was asked of stay to the last.
fn columns(file: &SweepFile) -> Vec<Column<'_>> {
    let runs = || file.points.iter().flat_map(|point| &point.runs);
    let first_term = |run: &Value| run.pointer("/slo/terms/0/metric").cloned();
    let promised = runs().any(|run| first_term(run).is_some_and(|metric| metric == KEPT_SHARE));
    let listed = promised.then_some(&PROMISED).into_iter().chain(&COLUMNS);
    let mut columns: Vec<Column<'_>> = listed
        .map(|&(heading, paths, show, left_out)| Column {
            heading,
            paths: paths.to_vec(),
            show: Box::new(show),
            left_out,
        })
        .collect();
    for Objective { path, .. } in file.pareto.iter().flat_map(|front| &front.objectives) {
        let has = |column: &&mut Column<'_>| column.paths.contains(&path.as_str());
        if let Some(column) = columns.iter_mut().find(has) {
            column.left_out = 0;
            continue;
        }
        columns.push(Column {
            heading: path,
            paths: vec![path],
            show: Box::new(|value| shown(path, value)),
            left_out: 0,
        });
    }
    columns.retain(|column| runs().any(|run| column.cell(run).is_some()));
    columns
}

impl Column<'_> {
    fn cell(&self, run: &Value) -> Option<String> {
        let known = self.paths.iter().find_map(|path| figure(run, path)).map(&self.show);
        known.or_else(|| {
            let (least, most) = self.paths.iter().find_map(|path| bounds(run, path))?;
            Some(within(least.filter(|&least| least > 0.0), most, &self.show))
        })
    }
}

/// Renders a sweep: what changes mattered first, then the table.
pub fn sweep_to_text(file: &SweepFile) -> String {
    let mut text = String::new();
    for sentence in &file.sensitivities {
        // A number and its sign stay on one line.
        let glued = sentence.replace(" %", "\u{1}%");
        text.push_str(&format!("{}\n", wrap(&glued, width(), "  ").replace('\u{1}', " ")));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&table(file));
    if let Some(front) = &file.pareto {
        let [a, b] = &front.objectives;
        let sense = |large| if large { "large" } else { "small" };
        let best = format!(
            "* nothing else is better in both: {} ({}) and {} ({})",
            a.path,
            sense(a.maximise),
            b.path,
            sense(b.maximise)
        );
        text.push_str(&format!("\n{}\n", wrap(&best, width(), "  ")));
        if !front.ties.is_empty() {
            let ties = "~ a tie: the intervals of these overlap, so none of them is shown to be \
                        better in both";
            text.push_str(&format!("{}\n", wrap(ties, width(), "  ")));
        }
    }
    if let Some(method) = method(file) {
        text.push_str(&format!("\n{}\n", wrap(&method, width(), "  ")));
    }
    if !file.complete {
        text.push_str(&format!(
            "\ntime ran out: {} of {} combinations are finished\n",
            file.points.len(),
            file.shard.map_or(file.points_total, |shard| file.points_total.div_ceil(shard.of))
        ));
    }
    if let Some(shard) = file.shard {
        text.push_str(&format!(
            "\nshard {} of {}: {} of {} points; `merge` needs the shards as JSON\n",
            shard.index,
            shard.of,
            file.points.len(),
            file.points_total
        ));
    }
    text
}

/// What the capacities are.
fn method(file: &SweepFile) -> Option<String> {
    let capacity = file.capacity.as_ref()?;
    let precision = percent(capacity["precision"].as_f64()?);
    // Seeds that give the same requests are one.
    let runs = file.points.iter().flat_map(|point| &point.runs);
    let seeds = runs.filter_map(|run| run["seeds"].as_array()).map(Vec::len).max();
    Some(match seeds.map_or(capacity["seeds"].as_u64()?, |seeds| seeds as u64) {
        1 => format!("each capacity: the highest load that held, bracketed to {precision}"),
        seeds => format!(
            "each capacity: the mean over {seeds} seeds of the highest loads that held, each \
             bracketed to {precision}; a tie: their 95 % intervals overlap"
        ),
    })
}

/// How much of a table is shown, so that it fits.
#[derive(Clone, Copy)]
struct Fit {
    /// Columns of figures, beside those that a front was asked of.
    figures: usize,
    /// Characters of a scheduler's label.
    label: usize,
    /// Characters of a varied field's value and name.
    value: usize,
}

/// The points, a row a run: figures are left out from the right, and labels and values cut, until
/// it fits. The CSV and the JSON have all of it.
fn table(file: &SweepFile) -> String {
    let whole = Fit { figures: usize::MAX, label: usize::MAX, value: usize::MAX };
    let narrower = [
        Fit { label: 30, value: 24, ..whole },
        Fit { label: 22, value: 14, ..whole },
        Fit { label: 22, value: 14, figures: 5 },
        Fit { label: 16, value: 10, figures: 4 },
        Fit { label: 12, value: 6, figures: 3 },
        Fit { label: 12, value: 4, figures: 1 },
    ];
    let fits = |text: &String| text.lines().all(|line| line.chars().count() <= width());
    let mut last = table_of(file, whole);
    for fit in narrower {
        if fits(&last) {
            break;
        }
        last = table_of(file, fit);
    }
    last
}

fn table_of(file: &SweepFile, fit: Fit) -> String {
    let mut shown = columns(file);
    while shown.len() > fit.figures {
        let last = shown.iter().enumerate().max_by_key(|(_, column)| column.left_out);
        let Some((place, _)) = last.filter(|(_, column)| column.left_out > 0) else { break };
        shown.remove(place);
    }
    let value = |text: &str| Cell::from(cut(text, fit.value));
    let mut heading: Vec<Cell> = names(&file.vary).into_iter().map(value).collect();
    heading.push(Cell::from("scheduler"));
    heading.extend(shown.iter().map(|column| Cell::from(column.heading)));
    heading.push(Cell::from("SLO"));
    let mut rows = vec![heading];
    for point in &file.points {
        for (place, run) in point.runs.iter().enumerate() {
            let mut row: Vec<Cell> = point.values.iter().map(|text| value(text)).collect();
            row.push(Cell::from(cut(run["label"].as_str().unwrap_or_default(), fit.label)));
            let cell = |column: &Column<'_>| column.cell(run).unwrap_or_else(|| "-".to_owned());
            row.extend(shown.iter().map(|column| Cell::from(cell(column))));
            let met = match run.pointer("/slo/met") {
                None => "",
                Some(Value::Bool(true)) => "met",
                Some(Value::Bool(false)) => "not met",
                Some(_) => "no verdict",
            };
            let star = match place_on_front(file, point, place) {
                Some(Place::Front) => " *",
                Some(Place::Tie) => " ~",
                None => "",
            };
            row.push(Cell::from(format!("{met}{star}")));
            rows.push(row);
        }
    }
    let mut align = vec![Align::Left; file.vary.len() + 1];
    align.extend(vec![Align::Right; shown.len()]);
    align.push(Align::Left);
    lay_out(&rows, &align)
}

/// A figure that is known by bounds.
fn within(least: Option<f64>, most: Option<f64>, show: impl Fn(f64) -> String) -> String {
    match (least.map(&show), most.map(&show)) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!(">= {least}"),
        (None, Some(most)) => format!("<= {most}"),
        (None, None) => "-".to_owned(),
    }
}

/// A text of `most` characters at most, its end cut off where it is longer.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(2);
    format!("{}..", text.chars().take(kept).collect::<String>())
}

/// Where a run stands that nothing beats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Front,
    Tie,
}

fn place_on_front(file: &SweepFile, point: &Point, run: usize) -> Option<Place> {
    let front = file.pareto.as_ref()?;
    let is = |choice: &Choice| choice.point == point.index && choice.run == run;
    let on = |choices: &[Choice], place| choices.iter().any(is).then_some(place);
    on(&front.front, Place::Front).or(on(&front.ties, Place::Tie))
}

/// Cells of the fixed columns, and figures by column.
type Row = (Vec<String>, Vec<(String, String)>);

/// A row for each run of each point: the varied fields, then the figures in flat columns.
pub fn sweep_to_csv(file: &SweepFile) -> String {
    let mut columns: Vec<String> = vec!["point".to_owned()];
    columns.extend(file.vary.iter().map(|one| one.path.clone()));
    if file.pareto.is_some() {
        columns.push("pareto".to_owned());
    }
    let fixed = columns.len();
    let mut rows: Vec<Row> = Vec::new();
    for point in &file.points {
        for (place, run) in point.runs.iter().enumerate() {
            let mut start = vec![point.index.to_string()];
            start.extend(point.values.iter().cloned());
            if file.pareto.is_some() {
                let told = match place_on_front(file, point, place) {
                    Some(Place::Front) => "true",
                    Some(Place::Tie) => "tie",
                    None => "false",
                };
                start.push(told.to_owned());
            }
            let mut figures = Vec::new();
            flatten("", run, &mut figures);
            for (column, _) in &figures {
                if !columns[fixed..].contains(column) {
                    columns.push(column.clone());
                }
            }
            rows.push((start, figures));
        }
    }
    // A figure that is null in one run is an object in another: the parts win.
    let parents = columns.clone();
    let has_parts = |column: &String| {
        parents.iter().any(|other| other.strip_prefix(column).is_some_and(|r| r.starts_with('.')))
    };
    let mut place = 0;
    columns.retain(|column| {
        place += 1;
        place <= fixed || !has_parts(column)
    });
    let mut csv = CsvText::new(&columns);
    for (start, figures) in &rows {
        let cell = |column: &String| {
            figures.iter().find(|(name, _)| name == column).map_or("", |(_, text)| text.as_str())
        };
        let start = start.iter().map(String::as_str);
        csv.row(start.chain(columns[fixed..].iter().map(cell)));
    }
    csv.into_string()
}
