//! Rows of named columns, from CSV with a header line or from JSON Lines.

use std::cell::Cell;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

use super::fault::{Fault, Position};
use super::json::{BOM, Json};
use crate::trace::formula::restored;
use crate::trace::numbers::{self, NumberError};

/// Longest row that is read, and longest text of one; an open quote does not take in the rest of the
/// file.
const ROW_MAX: usize = 4 << 20;

/// What the reader of a CSV file has seen, told to both sides.
#[derive(Default)]
struct Watch {
    since_row: Cell<usize>,
    last_byte: Cell<u8>,
}

struct Watched {
    input: Box<dyn Read>,
    watch: Rc<Watch>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.watch.since_row.get() > ROW_MAX {
            return Err(io::Error::other("a row of more than 4 MiB (is a quote left open?)"));
        }
        let read = self.input.read(buffer)?;
        self.watch.since_row.set(self.watch.since_row.get() + read);
        if let Some(&last) = buffer[..read].last() {
            self.watch.last_byte.set(last);
        }
        Ok(read)
    }
}

enum Source {
    Csv {
        reader: csv::Reader<Watched>,
        record: csv::ByteRecord,
        watch: Rc<Watch>,
        /// For each column wanted, where it stands in a record.
        places: Vec<Option<usize>>,
        headers: csv::ByteRecord,
    },
    Jsonl(Box<Json<Box<dyn Read>>>),
}

/// Reads rows; the cells of the current one are at hand by the column's index.
pub(super) struct Rows {
    source: Source,
    columns: &'static [&'static str],
    cells: Vec<Option<String>>,
    at: Position,
    /// Whether this program wrote them: texts are as they stand, but for what keeps spreadsheets
    /// from taking them for formulas.
    own: bool,
}

impl Rows {
    /// Begins; the format is told from the first byte.
    pub(super) fn new(mut input: Box<dyn Read>) -> Result<Rows, Fault> {
        let unreadable = |error: io::Error| Fault::whole(format!("cannot be read: {error}"));
        let mut first = Vec::new();
        (&mut input).take(BOM.len() as u64 + 1).read_to_end(&mut first).map_err(unreadable)?;
        let json = first.strip_prefix(BOM).unwrap_or(&first).starts_with(b"{");
        let input: Box<dyn Read> = Box::new(Cursor::new(first).chain(input));
        let source = if json {
            Source::Jsonl(Box::new(Json::new(input).with_texts_up_to(ROW_MAX)))
        } else {
            let watch = Rc::new(Watch::default());
            let watched = Watched { input, watch: Rc::clone(&watch) };
            let mut reader = csv::ReaderBuilder::new().from_reader(watched);
            let headers = reader.byte_headers().map_err(csv_fault)?.clone();
            let record = csv::ByteRecord::new();
            Source::Csv { reader, record, watch, places: Vec::new(), headers }
        };
        let at = Position::default();
        Ok(Rows { source, columns: &[], cells: Vec::new(), at, own: false })
    }

    /// The same, written by this program.
    pub(super) fn own(input: Box<dyn Read>) -> Result<Rows, Fault> {
        Ok(Rows { own: true, ..Rows::new(input)? })
    }

    /// Says which columns are wanted, and of these the first `needed` must be there.
    pub(super) fn want(
        &mut self,
        columns: &'static [&'static str],
        needed: usize,
    ) -> Result<(), Fault> {
        self.want_and_need(columns, &columns[..needed])
    }

    /// Says which columns are wanted, and which of them must be there.
    pub(super) fn want_and_need(
        &mut self,
        columns: &'static [&'static str],
        needed: &[&str],
    ) -> Result<(), Fault> {
        self.columns = columns;
        self.cells = vec![None; columns.len()];
        if let Source::Csv { places, headers, .. } = &mut self.source {
            let place =
                |name: &&str| headers.iter().position(|h| h.trim_ascii() == name.as_bytes());
            *places = columns.iter().map(place).collect();
            for (name, place) in columns.iter().zip(places.iter()) {
                let same = headers.iter().filter(|h| h.trim_ascii() == name.as_bytes()).count();
                if same > 1 {
                    let at = Position { line: 1, column: 0, byte: 0 };
                    return Err(Fault::at(at, format!("there are {same} columns `{name}`")));
                }
                if place.is_none() && needed.contains(name) {
                    let at = Position { line: 1, column: 0, byte: 0 };
                    return Err(Fault::at(at, format!("there is no column `{name}`")));
                }
            }
        }
        Ok(())
    }

    /// Goes to the next row; false after the last one. `whole_lines` asks that the file ends with
    /// a line end, as those of this program do: one that was cut off is told that way.
    pub(super) fn next(&mut self, whole_lines: bool) -> Result<bool, Fault> {
        match &mut self.source {
            Source::Csv { reader, record, watch, places, .. } => {
                watch.since_row.set(0);
                if !reader.read_byte_record(record).map_err(csv_fault)? {
                    let here = reader.position();
                    let at = Position { line: here.line(), column: 0, byte: here.byte() };
                    if whole_lines && watch.last_byte.get() != b'\n' {
                        return Err(Fault::at(at, "the file ends in the middle of a line"));
                    }
                    return Ok(false);
                }
                if let Some(position) = record.position() {
                    self.at = Position { line: position.line(), column: 0, byte: position.byte() };
                }
                for (cell, place) in self.cells.iter_mut().zip(places) {
                    let bytes = place.and_then(|place| record.get(place)).unwrap_or(b"");
                    fill(cell, if self.own { bytes } else { bytes.trim_ascii() });
                    if self.own
                        && let Some(text) = cell
                        && restored(text) != text
                    {
                        text.remove(0);
                    }
                }
                Ok(true)
            }
            Source::Jsonl(json) => {
                if !json.another()? {
                    return Ok(false);
                }
                self.at = json.position();
                self.cells.iter_mut().for_each(|cell| *cell = None);
                let (columns, cells) = (self.columns, &mut self.cells);
                json.object(columns, |json, key| {
                    let index = columns.iter().position(|column| *column == key);
                    let cell = &mut cells[index.expect("one of the columns")];
                    *cell = if json.null()? {
                        None
                    } else if json.next_is(b'"')? {
                        Some(json.whole_string()?).filter(|text| !text.is_empty())
                    } else if json.next_is(b't')? || json.next_is(b'f')? {
                        Some(json.truth()?.to_string())
                    } else {
                        Some(json.raw_number()?)
                    };
                    Ok(())
                })?;
                Ok(true)
            }
        }
    }

    /// A fault of the current row.
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::at(self.at, message)
    }

    /// Where the current row begins.
    pub(super) fn position(&self) -> Position {
        self.at
    }

    /// A cell's text; `None` when it is empty, null or not there.
    pub(super) fn text(&self, column: usize) -> Option<&str> {
        self.cells[column].as_deref()
    }

    /// Whether the file has a column. Of JSON Lines each row is its own: it may.
    pub(super) fn has(&self, column: usize) -> bool {
        match &self.source {
            Source::Csv { places, .. } => places.get(column).is_some_and(Option::is_some),
            Source::Jsonl(_) => self.cells[column].is_some(),
        }
    }

    /// A cell as nanoseconds.
    pub(super) fn nanos(&self, column: usize, unit_power: i32) -> Result<Option<u64>, Fault> {
        self.read(column, "a time", |text| numbers::nanos(text, unit_power))
    }

    /// A cell as a count.
    pub(super) fn count(&self, column: usize) -> Result<Option<u32>, Fault> {
        self.read(column, "a count", numbers::tokens)
    }

    /// A cell as a number of any kind.
    pub(super) fn figure(&self, column: usize) -> Result<Option<f64>, Fault> {
        self.read(column, "a number", |text| {
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
            value.ok_or_else(|| NumberError::NotANumber(text.to_owned()))
        })
    }

    /// The value of a cell that must be there.
    pub(super) fn needed<T>(&self, column: usize, value: Option<T>) -> Result<T, Fault> {
        value.ok_or_else(|| self.fault(format!("`{}` is empty", self.columns[column])))
    }

    fn read<T>(
        &self,
        column: usize,
        what: &str,
        read: impl FnOnce(&str) -> Result<T, NumberError>,
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(column) else { return Ok(None) };
        read(text).map(Some).map_err(|error| {
            let name = self.columns[column];
            // What is no number may be anybody's text.
            match error {
                NumberError::NotANumber(_) => {
                    self.fault(format!("`{name}`: expected {what}, found something else"))
                }
                error => self.fault(format!("`{name}`: expected {what}, {error}")),
            }
        })
    }
}

fn fill(cell: &mut Option<String>, bytes: &[u8]) {
    if bytes.is_empty() {
        *cell = None;
        return;
    }
    let text = cell.get_or_insert_with(String::new);
    text.clear();
    text.push_str(&String::from_utf8_lossy(bytes));
}

fn csv_fault(error: csv::Error) -> Fault {
    let place = error.position().map(|position| Position {
        line: position.line(),
        column: 0,
        byte: position.byte(),
    });
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("a row of {len} fields where the header has {expected_len}")
        }
        csv::ErrorKind::Io(error) => format!("cannot be read: {error}"),
        _ => "not a row of a CSV file".to_owned(),
    };
    Fault { at: place, message, read: None }
}
