//! CSV in memory: records of one length, with cells that no spreadsheet takes for formulas.

use crate::trace::formula::defused;

/// Collects records.
pub(crate) struct CsvText(csv::Writer<Vec<u8>>);

impl CsvText {
    /// With its header.
    pub(crate) fn new<T: AsRef<str>>(header: impl IntoIterator<Item = T>) -> CsvText {
        let mut text = CsvText(csv::Writer::from_writer(Vec::new()));
        text.row(header);
        text
    }

    /// Adds a record, of as many cells as the header has.
    pub(crate) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let expected = "records of one length, in memory";
        for cell in cells {
            self.0.write_field(&*defused(cell.as_ref())).expect(expected);
        }
        self.0.write_record(None::<&[u8]>).expect(expected);
    }

    /// All of it.
    pub(crate) fn into_string(self) -> String {
        let bytes = self.0.into_inner().expect("writing to memory cannot fail");
        String::from_utf8(bytes).expect("text in, text out")
    }
}
