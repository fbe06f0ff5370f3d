//! What a calibration found, as text, as CSV, and as a profile's file.

use crate::catalog::EngineProfile;
use crate::report::table::{Align, Cell, lay_out, width, wrap};
use crate::validation::{Calibration, Constant, Errors, Flat};

/// For people.
pub fn to_text(found: &Calibration) -> String {
    use Align::{Left, Right};
    let mut rows = vec![["", "before", "fitted", "within", ""].map(Cell::from).to_vec()];
    rows.extend(found.constants.iter().map(constant));
    let mut text = lay_out(&rows, &[Left, Right, Right, Right, Left]);
    text.push_str(
        "\n\"within\": how far a constant can go, the others following, until the fit is 10 % worse, or\n\
         worse by what a change of schedule alone makes of it.\n\n",
    );
    let head = ["Mean errors", "requests", "TTFT", "TPOT", "end to end", "each request's"];
    let mut rows = vec![head.map(Cell::from).to_vec()];
    for (name, errors) in [
        ("before the fit", &found.before),
        ("fitted to the first half: in sample", &found.in_sample),
        ("the second half, not seen: out of sample", &found.out_of_sample),
        ("fitted to all (the profile)", &found.after),
    ] {
        rows.push(error_row(name, errors));
    }
    text.push_str(&lay_out(&rows, &[Left, Right, Right, Right, Right, Right]));
    text.push('\n');
    if found.undetermined.is_empty() {
        text.push_str("Every constant is determined by the data.\n");
    }
    for flat in &found.undetermined {
        text.push_str(&wrap(&undetermined(flat), width(), "  "));
        text.push('\n');
    }
    for constant in found.constants.iter().filter(|constant| constant.at_bound) {
        let line = format!(
            "{} ended at the edge of what is allowed: the data ask for a constant that is not \
             among those fitted, or for none of this kind.",
            constant.name
        );
        text.push_str(&wrap(&line, width(), "  "));
        text.push('\n');
    }
    text
}

/// A row a constant: `constant,unit,before,after,plus_minus,at_bound`.
pub fn to_csv(found: &Calibration) -> String {
    let mut text = String::from("constant,unit,before,after,plus_minus,at_bound\n");
    for c in &found.constants {
        let within = c.plus_minus.map(|far| far.to_string()).unwrap_or_default();
        text.push_str(&format!(
            "{},{},{},{},{within},{}\n",
            c.name, c.unit, c.before, c.after, c.at_bound
        ));
    }
    text
}

/// A profile's file, as [`EngineProfile::from_yaml`] reads it.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn profile_yaml(profile: &EngineProfile) -> Result<String, String> {
    serde_saphyr::to_string(profile).map_err(|error| error.to_string())
}

fn constant(c: &Constant) -> Vec<Cell> {
    let figure = |value: f64| format!("{} {}", digits(value), c.unit);
    let within =
        c.plus_minus.map_or("not determined".to_owned(), |far| format!("± {}", figure(far)));
    let edge = if c.at_bound { "at its bound" } else { "" };
    vec![
        Cell::from(c.name),
        Cell::from(figure(c.before)),
        Cell::from(figure(c.after)),
        Cell::from(within),
        Cell::from(edge),
    ]
}

fn error_row(name: &str, errors: &Errors) -> Vec<Cell> {
    let percent = |error: Option<f64>| {
        Cell::from(error.map_or("-".to_owned(), |e| format!("{:+.2} %", e * 100.0)))
    };
    let mape = errors.per_request_e2e_mape;
    vec![
        Cell::from(name),
        Cell::from(errors.requests.to_string()),
        percent(errors.mean_ttft),
        percent(errors.mean_tpot),
        percent(errors.mean_e2e),
        Cell::from(mape.map_or("-".to_owned(), |e| format!("{:.2} %", e * 100.0))),
    ]
}

fn undetermined(flat: &Flat) -> String {
    let moves: Vec<String> = flat
        .moves
        .iter()
        .map(|part| {
            let sign = if part.by < 0.0 { "-" } else { "+" };
            let figure = format!("{} {sign}{} {}", part.name, digits(part.by.abs()), part.unit);
            figure.trim_end().to_owned()
        })
        .collect();
    let apart = match flat.moves.len() {
        0 | 1 => "",
        _ => " Only what they make together is determined.",
    };
    format!(
        "The data do not determine {}: this change, or its reverse, makes the fit no worse than \"within\" \
         allows.{apart}",
        moves.join(" together with ")
    )
}

/// Four significant digits, at most four decimals.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        size if size >= 1.0 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}
