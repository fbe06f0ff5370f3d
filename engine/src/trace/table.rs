//! Tables in memory, column by column: what row files hold, for programs that take whole columns.

use std::collections::HashMap;
use std::io;

use super::row_file::{Cell, Rows};

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TableColumn {
    /// Its name, with the unit at the end where it has one.
    pub name: &'static str,
    /// Its values.
    pub values: TableValues,
    /// Which of them are known; all are where this is `None`.
    pub known: Option<Vec<bool>>,
}

/// Values of a column; what stands where nothing is known means nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TableValues {
    /// Indices and small counts.
    Small(Vec<u32>),
    /// Counts.
    Counts(Vec<u64>),
    /// Seconds, shares and means.
    Numbers(Vec<f64>),
    /// Names, each kept once: which of `names` stands in each row.
    Names {
        /// Each name.
        names: Vec<String>,
        /// Which of them, row by row.
        rows: Vec<i16>,
    },
    /// Texts.
    Texts(Vec<String>),
}

impl TableColumn {
    /// A column of which all values are known.
    pub fn new(name: &'static str, values: TableValues) -> TableColumn {
        TableColumn { name, values, known: None }
    }

    /// A column of which some values are known.
    pub fn known(name: &'static str, values: TableValues, known: Vec<bool>) -> TableColumn {
        let known = known.contains(&false).then_some(known);
        TableColumn { name, values, known }
    }
}

/// Takes the rows of a row file as columns.
pub struct TableRows {
    columns: Vec<Growing>,
    rows: usize,
}

/// A column that grows; what it holds is known when the first value comes.
struct Growing {
    name: &'static str,
    kind: Option<Kind>,
    counts: Vec<u64>,
    numbers: Vec<f64>,
    names: HashMap<String, i16>,
    texts: Vec<String>,
    places: Vec<i16>,
    known: Vec<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counts,
    Numbers,
    Texts,
}

impl TableRows {
    /// A table of these columns without rows.
    pub fn new(columns: &'static [&'static str]) -> TableRows {
        let column = |&name| Growing {
            name,
            kind: None,
            counts: Vec::new(),
            numbers: Vec::new(),
            names: HashMap::new(),
            texts: Vec::new(),
            places: Vec::new(),
            known: Vec::new(),
        };
        TableRows { columns: columns.iter().map(column).collect(), rows: 0 }
    }

    /// The columns, in their order.
    pub fn finish(self) -> Vec<TableColumn> {
        self.columns.into_iter().map(Growing::finish).collect()
    }
}

impl Rows for TableRows {
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows += 1;
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(*cell)?;
        }
        Ok(())
    }

    /// A run without a row has none in a table.
    fn only(&mut self, _: Cell<'_>, _: Cell<'_>) -> io::Result<()> {
        Ok(())
    }
}

impl Growing {
    fn push(&mut self, cell: Cell<'_>) -> io::Result<()> {
        let kind = match cell {
            Cell::Empty | Cell::Absent | Cell::Text("") => {
                self.known.push(false);
                return Ok(());
            }
            Cell::Count(_) => Kind::Counts,
            Cell::Seconds(_) | Cell::Number(_) => Kind::Numbers,
            Cell::Text(_) => Kind::Texts,
        };
        assert!(self.kind.is_none_or(|before| before == kind), "one kind of values a column");
        self.kind = Some(kind);
        // Rows before that held nothing.
        let before = self.known.len();
        match cell {
            Cell::Count(count) => {
                self.counts.resize(before, 0);
                self.counts.push(count);
            }
            Cell::Seconds(time) => {
                self.numbers.resize(before, 0.0);
                self.numbers.push(time.as_secs_f64());
            }
            Cell::Number(number) => {
                self.numbers.resize(before, 0.0);
                self.numbers.push(number);
            }
            Cell::Text(text) => {
                self.places.resize(before, 0);
                let place = match self.names.get(text) {
                    Some(&place) => place,
                    None => {
                        let place = i16::try_from(self.texts.len());
                        let place = place.map_err(|_| io::Error::other("too many names"))?;
                        self.names.insert(text.to_owned(), place);
                        self.texts.push(text.to_owned());
                        place
                    }
                };
                self.places.push(place);
            }
            Cell::Empty | Cell::Absent => {}
        }
        self.known.push(true);
        Ok(())
    }

    fn finish(mut self) -> TableColumn {
        let rows = self.known.len();
        // What nobody knows of any row is of the kind that its name says.
        let unsaid = if self.name.ends_with("_s") { Kind::Numbers } else { Kind::Counts };
        let values = match self.kind.unwrap_or(unsaid) {
            Kind::Counts => {
                self.counts.resize(rows, 0);
                TableValues::Counts(self.counts)
            }
            Kind::Numbers => {
                self.numbers.resize(rows, 0.0);
                TableValues::Numbers(self.numbers)
            }
            Kind::Texts => {
                self.places.resize(rows, 0);
                TableValues::Names { names: self.texts, rows: self.places }
            }
        };
        TableColumn::known(self.name, values, self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    #[test]
    fn rows_become_columns() {
        let mut rows = TableRows::new(&["name", "at_s", "tokens", "left_s"]);
        let time = |ns| Cell::seconds(Some(Time::from_nanos(ns)));
        rows.row(&[Cell::Text("a"), Cell::Empty, Cell::Count(3), Cell::Empty]).expect("taken");
        rows.row(&[Cell::Text("b"), time(5), Cell::Absent, Cell::Empty]).expect("taken");
        rows.row(&[Cell::Text("a"), time(7), Cell::Count(4), Cell::Empty]).expect("taken");
        let names = vec!["a".to_owned(), "b".to_owned()];
        let expected = [
            TableColumn::new("name", TableValues::Names { names, rows: vec![0, 1, 0] }),
            TableColumn::known(
                "at_s",
                TableValues::Numbers(vec![0.0, 5e-9, 7e-9]),
                vec![false, true, true],
            ),
            TableColumn::known(
                "tokens",
                TableValues::Counts(vec![3, 0, 4]),
                vec![true, false, true],
            ),
            TableColumn::known("left_s", TableValues::Numbers(vec![0.0; 3]), vec![false; 3]),
        ];
        assert_eq!(rows.finish(), expected);
    }
}
