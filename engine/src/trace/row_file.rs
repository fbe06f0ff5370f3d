//! Tables written row by row, as CSV or as JSON Lines, without holding them in memory.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use crate::trace::decimal::ExactSeconds;
use crate::trace::formula::defused;

/// The two formats of row files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// A header line, then comma-separated values; an unknown value is an empty field, and a text
    /// that a spreadsheet would take for a formula has an apostrophe before it.
    Csv,
    /// One JSON object a line; an unknown value is null.
    Jsonl,
}

impl RowFormat {
    /// The format that a file's extension asks for: `.csv`, or `.jsonl` (also `.ndjson`).
    pub fn from_path(path: &Path) -> Option<RowFormat> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(RowFormat::Csv),
            "jsonl" | "ndjson" => Some(RowFormat::Jsonl),
            _ => None,
        }
    }
}

/// One value of a row.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// Not known, or without meaning for this row.
    Empty,
    /// Said once a run, in another row: an empty field, and no member at all in JSON Lines.
    Absent,
    /// A count or an index.
    Count(u64),
    /// A time in seconds, nine decimals, exact.
    Seconds(ExactSeconds),
    /// A ratio or a mean: the shortest text that reads back as the same number.
    Number(f64),
    /// A name.
    Text(&'a str),
}

impl Cell<'_> {
    /// A number where there is one.
    pub fn number(value: Option<f64>) -> Cell<'static> {
        value.filter(|v| v.is_finite()).map_or(Cell::Empty, Cell::Number)
    }

    /// A time where there is one.
    pub fn seconds<T: Into<ExactSeconds>>(value: Option<T>) -> Cell<'static> {
        value.map_or(Cell::Empty, |time| Cell::Seconds(time.into()))
    }
}

/// Takes the rows of a table.
pub trait Rows {
    /// Takes one row, a cell for each column.
    ///
    /// # Errors
    /// When it cannot be written or held.
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()>;

    /// Takes a row of its first and its last cell alone: of a run that has no other.
    ///
    /// # Errors
    /// When it cannot be written or held.
    fn only(&mut self, first: Cell<'_>, last: Cell<'_>) -> io::Result<()>;
}

impl<W: Write> Rows for RowWriter<W> {
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        RowWriter::row(self, cells)
    }

    fn only(&mut self, first: Cell<'_>, last: Cell<'_>) -> io::Result<()> {
        RowWriter::only(self, first, last)
    }
}

/// Writes rows of named columns.
pub struct RowWriter<W: Write> {
    columns: &'static [&'static str],
    sink: Sink<W>,
    /// Reused for every field.
    text: String,
}

enum Sink<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Jsonl(W),
}

impl<W: Write> RowWriter<W> {
    /// Begins a table; CSV gets its header line.
    ///
    /// # Errors
    /// When `writer` fails.
    pub fn new(
        writer: W,
        format: RowFormat,
        columns: &'static [&'static str],
    ) -> io::Result<RowWriter<W>> {
        let sink = match format {
            RowFormat::Csv => {
                let mut csv = csv::Writer::from_writer(writer);
                csv.write_record(columns)?;
                Sink::Csv(Box::new(csv))
            }
            RowFormat::Jsonl => Sink::Jsonl(writer),
        };
        Ok(RowWriter { columns, sink, text: String::new() })
    }

    /// Writes one row, a cell for each column.
    ///
    /// # Errors
    /// When the writer underneath fails.
    pub fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        match &mut self.sink {
            Sink::Csv(csv) => {
                for cell in cells {
                    self.text.clear();
                    let field = match *cell {
                        Cell::Text(text) => defused(text),
                        Cell::Empty | Cell::Absent => "".into(),
                        other => plain(&mut self.text, other).into(),
                    };
                    csv.write_field(&*field)?;
                }
                csv.write_record(None::<&[u8]>)?;
            }
            Sink::Jsonl(writer) => {
                for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
                    if matches!(cell, Cell::Absent) {
                        continue;
                    }
                    let before = if index == 0 { "{" } else { "," };
                    write!(writer, "{before}\"{column}\":")?;
                    self.text.clear();
                    match *cell {
                        Cell::Text(text) => serde_json::to_writer(&mut *writer, text)?,
                        Cell::Empty => writer.write_all(b"null")?,
                        other => writer.write_all(plain(&mut self.text, other).as_bytes())?,
                    }
                }
                writer.write_all(b"}\n")?;
            }
        }
        Ok(())
    }

    /// Writes a row of its first and its last cell alone.
    ///
    /// # Errors
    /// When the writer underneath fails.
    pub fn only(&mut self, first: Cell<'_>, last: Cell<'_>) -> io::Result<()> {
        let mut cells = vec![Cell::Empty; self.columns.len()];
        if let [begin, .., end] = &mut cells[..] {
            (*begin, *end) = (first, last);
        }
        self.row(&cells)
    }

    /// Flushes what is buffered and hands the writer back.
    ///
    /// # Errors
    /// When the writer underneath fails.
    pub fn finish(self) -> io::Result<W> {
        match self.sink {
            Sink::Csv(csv) => csv.into_inner().map_err(|e| io::Error::from(e.error().kind())),
            Sink::Jsonl(mut writer) => {
                writer.flush()?;
                Ok(writer)
            }
        }
    }
}

fn plain<'a>(text: &'a mut String, cell: Cell<'_>) -> &'a str {
    let written = match cell {
        Cell::Count(n) => write!(text, "{n}"),
        Cell::Seconds(s) => write!(text, "{s}"),
        Cell::Number(x) => write!(text, "{x:?}"),
        Cell::Empty | Cell::Absent | Cell::Text(_) => Ok(()),
    };
    written.expect("writing to a String cannot fail");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn written(format: RowFormat) -> String {
        let columns = &["name", "time_s", "ratio", "count", "left_out"];
        let mut rows = RowWriter::new(Vec::new(), format, columns).expect("in memory");
        rows.row(&[
            Cell::Text("a(b=1, \"c\")"),
            Cell::seconds(Some(Time::from_nanos(5))),
            Cell::number(Some(0.625)),
            Cell::Count(3),
            Cell::number(Some(f64::NAN)),
        ])
        .expect("in memory");
        String::from_utf8(rows.finish().expect("in memory")).expect("text")
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(
            written(RowFormat::Csv),
            "name,time_s,ratio,count,left_out\n\"a(b=1, \"\"c\"\")\",0.000000005,0.625,3,\n"
        );
    }

    #[test]
    fn jsonl_is_json() {
        let text = written(RowFormat::Jsonl);
        let value: serde_json::Value = serde_json::from_str(&text).expect("one object");
        assert_eq!(value["name"], "a(b=1, \"c\")");
        assert_eq!(value["time_s"], 5e-9);
        assert!(value["left_out"].is_null());
        assert!(text.contains("\"time_s\":0.000000005"), "{text}");
    }

    #[test]
    fn the_extension_picks_the_format() {
        let format = |name: &str| RowFormat::from_path(Path::new(name));
        assert_eq!(format("a.CSV"), Some(RowFormat::Csv));
        assert_eq!(format("a.b.jsonl"), Some(RowFormat::Jsonl));
        assert_eq!(format("a.json"), None);
        assert_eq!(format("csv"), None);
    }
}
