//! A text file, line by line, in bounded memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::workload::WorkloadError;

/// The longest line that is read, bytes. A trace row with a content id for each block of a
/// million-token prompt stays under 1 MiB.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 20;

/// The lines of a file that are not blank. Takes LF and CRLF, with or without a byte order mark.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    buffer: Vec<u8>,
    number: u64,
    /// Whether `buffer` is to be given out once more.
    again: bool,
}

/// One line.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) path: &'a Path,
    /// From 1.
    pub(super) number: u64,
}

impl Line<'_> {
    /// Something wrong with this line.
    pub(super) fn error(&self, message: impl Into<String>) -> WorkloadError {
        WorkloadError::content(self.path, Some(self.number), message)
    }

    /// The character, from 1, that begins at a byte of the text.
    pub(super) fn column_of(&self, byte: usize) -> u64 {
        let before = self.text.char_indices().take_while(|&(at, _)| at < byte).count();
        before as u64 + 1
    }
}

/// The bytes of a file, unpacked where it is compressed.
pub(super) fn open(path: &Path) -> Result<BufReader<Box<dyn Read + Send>>, WorkloadError> {
    let file = File::open(path).map_err(|error| WorkloadError::io(path, &error))?;
    let metadata = file.metadata().map_err(|error| WorkloadError::io(path, &error))?;
    if metadata.is_dir() {
        return Err(WorkloadError::content(path, None, "expected a file, found a directory"));
    }
    let mut file = BufReader::with_capacity(1 << 16, file);
    let head = file.fill_buf().map_err(|error| WorkloadError::io(path, &error))?;
    let gzip = head.starts_with(&[0x1F, 0x8B]);
    let reader: Box<dyn Read + Send> = match gzip {
        true => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    Ok(BufReader::with_capacity(1 << 16, reader))
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Lines, WorkloadError> {
        Ok(Lines {
            path: path.to_owned(),
            reader: open(path)?,
            buffer: Vec::new(),
            number: 0,
            again: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next line that is not blank, without its end.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, WorkloadError> {
        if !std::mem::take(&mut self.again) && !self.fill()? {
            return Ok(None);
        }
        let text = match std::str::from_utf8(&self.buffer) {
            Ok(text) => text,
            Err(error) => {
                let good = String::from_utf8_lossy(&self.buffer[..error.valid_up_to()]);
                return Err(self
                    .wrong("expected UTF-8 text, found other bytes")
                    .with_column(good.chars().count() as u64 + 1)
                    .with_help(encoding_help(&self.buffer)));
            }
        };
        if let Some(at) = text.find('\0') {
            return Err(self
                .wrong("expected text, found a NUL byte")
                .with_column(text[..at].chars().count() as u64 + 1)
                .with_help("the file is cut off, or not a text file"));
        }
        Ok(Some(Line { text, path: &self.path, number: self.number }))
    }

    /// Makes [`next`](Self::next) give the last line once more.
    pub(super) fn unread(&mut self) {
        self.again = true;
    }

    fn wrong(&self, message: &str) -> WorkloadError {
        WorkloadError::content(&self.path, Some(self.number), message)
    }

    /// Reads lines into the buffer until one is not blank; `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, WorkloadError> {
        loop {
            self.buffer.clear();
            let limit = LINE_BYTES_MAX as u64 + 2;
            let read = (&mut self.reader)
                .take(limit)
                .read_until(b'\n', &mut self.buffer)
                .map_err(|error| WorkloadError::io(&self.path, &error))?;
            if read == 0 {
                return Ok(false);
            }
            self.number += 1;
            for end in [b'\n', b'\r'] {
                if self.buffer.last() == Some(&end) {
                    self.buffer.pop();
                }
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(self
                    .wrong(&format!("expected lines of at most {LINE_BYTES_MAX} bytes"))
                    .with_help("is this a file of one request a line?"));
            }
            if self.number == 1 && self.buffer.starts_with(b"\xEF\xBB\xBF") {
                self.buffer.drain(..3);
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }
}

fn encoding_help(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x28, 0xB5, 0x2F, 0xFD, ..] | [b'P', b'K', ..] => {
            "the file is compressed: unpack it first"
        }
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "the file is UTF-16: save it as UTF-8",
        _ => "save the file as UTF-8",
    }
}
