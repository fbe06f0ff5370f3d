//! The result as CSV: a row for each scheduler, the figures of the JSON result in flat columns.
//!
//! A column is named after the path of its figure, with dots for nesting: `ttft_s.p99`. Lists, text
//! and what only some results have (stalls, classes, the miss-rate curve, SLO terms) stay out.

use serde_json::Value;

use crate::report::csv_text::CsvText;
use crate::result::ResultFile;

/// Members of a run that have no flat form.
const LEFT_OUT: &[&str] = &["stalls", "classes", "warnings", "slo.terms"];

/// Renders `result`; the columns are those of all its runs, in order of first appearance.
pub fn to_csv(result: &ResultFile) -> String {
    let mut columns: Vec<String> = Vec::new();
    let mut rows: Vec<Vec<(String, String)>> = Vec::new();
    for run in &result.runs {
        let mut row = Vec::new();
        let value = serde_json::to_value(run).expect("a run is plain data");
        flatten("", &value, &mut row);
        for (column, _) in &row {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        rows.push(row);
    }
    // A figure that is null in one run is an object in another (energy): the parts win.
    let parents: Vec<String> = columns.clone();
    columns.retain(|column| {
        let prefix = format!("{column}.");
        !parents.iter().any(|other| other.starts_with(&prefix))
    });
    let mut csv = CsvText::new(&columns);
    for row in &rows {
        let cell = |column: &String| row.iter().find(|(name, _)| name == column);
        csv.row(columns.iter().map(|c| cell(c).map_or("", |(_, text)| text.as_str())));
    }
    csv.into_string()
}

/// Appends every number, truth and text of a run, by its dotted path.
pub(crate) fn flatten(path: &str, value: &Value, row: &mut Vec<(String, String)>) {
    if LEFT_OUT.contains(&path) {
        return;
    }
    let text = match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, member, row);
            }
            return;
        }
        Value::Array(_) => return,
        Value::Null => String::new(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
    };
    row.push((path.to_owned(), text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::fixture;

    #[test]
    fn a_row_a_scheduler_with_dotted_columns() {
        let mut second = fixture::run("sarathi");
        second.label = "sarathi(chunk_size=512,x=1)".to_owned();
        let mut first = fixture::run("vllm-v0");
        first.energy = None;
        let result = fixture::result(vec![first, second]);
        let text = to_csv(&result);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let headers = reader.headers().expect("a header").clone();
        let rows: Vec<_> = reader.records().map(|r| r.expect("a record")).collect();
        assert_eq!(rows.len(), 2);
        let cell = |row: usize, name: &str| {
            let column = headers.iter().position(|h| h == name).expect(name);
            rows[row].get(column).expect("a cell").to_owned()
        };
        assert_eq!(cell(1, "label"), "sarathi(chunk_size=512,x=1)");
        assert_eq!(cell(0, "slo.met"), "true");
        let p99 = result.runs[0].summary.ttft_s.p99.expect("a figure");
        assert_eq!(cell(0, "ttft_s.p99").parse::<f64>().expect("a number"), p99);
        assert_eq!(cell(0, "energy.joules"), "");
        assert_ne!(cell(1, "energy.joules"), "");
        assert!(headers.iter().all(|h| h != "energy" && !h.starts_with("slo.terms")));
    }
}
