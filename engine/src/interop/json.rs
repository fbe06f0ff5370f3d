//! A pull parser for JSON files of any size.
//!
//! Made for result files: it hands out numbers as their decimal text, so that times are rounded
//! once and exactly; it skips prompts and answers without keeping them, in bounded memory; it knows
//! the line, column and byte of every fault; it reads several documents one after another
//! (JSON Lines, appended objects); and it takes the `NaN` and `Infinity` that Python writes for
//! aggregates of nothing, where they are skipped. `serde_json` does none of the first, fourth and
//! last of these. Objects, lists and places are here; texts and numbers in `values`. No recursion: a nested file cannot exhaust the stack.

mod values;

use std::cell::Cell;
use std::io::{ErrorKind, Read};

use super::fault::{Fault, Position};
pub(super) use values::SECONDS;
use values::TEXT_MAX;

/// Bytes read at once.
const BUFFER: usize = 1 << 16;
/// Deepest nesting of a skipped value.
const DEPTH_MAX: usize = 4096;

/// What some programs put before text in UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads JSON from `R`.
pub(super) struct Json<R> {
    input: R,
    buffer: Vec<u8>,
    next: usize,
    /// Offset in the file of the buffer's first byte, and where its line is and began.
    base: u64,
    line: u64,
    line_start: u64,
    /// How far the buffer's lines were counted, and what that gave: the place of each value is asked
    /// for, one after another.
    counted: Cell<Counted>,
    text: Vec<u8>,
    /// Longest text or number that is kept, and whether the last one was longer.
    text_max: usize,
    cut: bool,
}

/// Line ends before a byte of the buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Bytes of the buffer that were looked at.
    bytes: usize,
    /// Line ends among them.
    lines: u64,
    /// After the last of these, as an index into the buffer.
    line_start: Option<usize>,
}

impl<R: Read> Json<R> {
    /// A parser at the beginning of `input`.
    pub(super) fn new(input: R) -> Json<R> {
        let (buffer, text) = (Vec::with_capacity(BUFFER), Vec::new());
        let (text_max, cut) = (TEXT_MAX, false);
        let counted = Cell::default();
        let (next, base, line, line_start) = (0, 0, 1, 0);
        Json { input, buffer, next, base, line, line_start, counted, text, text_max, cut }
    }

    /// The same parser, which keeps texts of up to so many bytes.
    pub(super) fn with_texts_up_to(self, text_max: usize) -> Json<R> {
        Json { text_max, ..self }
    }

    /// The next byte, if any, without taking it.
    fn peek(&mut self) -> Result<Option<u8>, Fault> {
        if let Some(&byte) = self.buffer.get(self.next) {
            return Ok(Some(byte));
        }
        let here = self.position();
        (self.line, self.line_start) = (here.line, here.byte + 1 - here.column);
        self.counted.set(Counted::default());
        self.base += self.buffer.len() as u64;
        self.next = 0;
        self.buffer.resize(BUFFER, 0);
        let read = loop {
            match self.input.read(&mut self.buffer) {
                Ok(read) => break read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.clear();
                    return Err(Fault::at(here, format!("cannot be read: {error}")));
                }
            }
        };
        self.buffer.truncate(read);
        if self.base == 0 && self.buffer.starts_with(BOM) {
            self.next = BOM.len();
        }
        Ok(self.buffer.get(self.next).copied())
    }

    /// Where the next byte is.
    pub(super) fn position(&self) -> Position {
        self.position_of(self.base + self.next as u64)
    }

    /// The place of a byte of the buffer, or of one before it on the buffer's first line.
    fn position_of(&self, byte: u64) -> Position {
        let end = byte.saturating_sub(self.base) as usize;
        let mut counted = self.counted.get();
        if counted.bytes > end {
            counted = Counted::default();
        }
        for (index, &byte) in self.buffer[..end].iter().enumerate().skip(counted.bytes) {
            if byte == b'\n' {
                (counted.lines, counted.line_start) = (counted.lines + 1, Some(index + 1));
            }
        }
        counted.bytes = end;
        self.counted.set(counted);
        let line_start = match counted.line_start {
            Some(index) => self.base + index as u64,
            None => self.line_start.min(byte),
        };
        let lines = counted.lines;
        Position { line: self.line + lines, column: byte - line_start + 1, byte }
    }

    /// A fault at the next byte.
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::at(self.position(), message)
    }

    /// The next byte after white space, without taking it; 0 at the end of the file.
    fn token(&mut self) -> Result<u8, Fault> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.next += 1,
                Some(byte) => return Ok(byte),
                None => return Ok(0),
            }
        }
    }

    /// Whether another document follows.
    pub(super) fn another(&mut self) -> Result<bool, Fault> {
        self.token()?;
        Ok(self.peek()?.is_some())
    }

    /// Whether the next value begins with this byte.
    pub(super) fn next_is(&mut self, byte: u8) -> Result<bool, Fault> {
        Ok(self.token()? == byte)
    }

    /// A fault: `what` was expected, and something else is next.
    fn expected(&mut self, what: &str) -> Fault {
        let found = match self.token() {
            Err(fault) => return fault,
            Ok(0) if matches!(self.peek(), Ok(None)) => {
                return self.fault(format!("the file ends where {what} was expected"));
            }
            Ok(b'"') => "a text",
            Ok(b'{') => "an object",
            Ok(b'[') => "a list",
            Ok(b't' | b'f') => "true or false",
            Ok(b'n') => "null",
            Ok(b'N' | b'I') => "a value that is not finite",
            Ok(b'-' | b'0'..=b'9') => "a number",
            Ok(_) => "something else",
        };
        self.fault(format!("expected {what}, found {found}"))
    }

    fn take(&mut self, byte: u8, what: &str) -> Result<(), Fault> {
        if self.token()? != byte {
            return Err(self.expected(what));
        }
        self.next += 1;
        Ok(())
    }

    /// Reads an object: `member` is called at the value of each key in `known` and must read it;
    /// the values of other keys are skipped.
    pub(super) fn object(
        &mut self,
        known: &[&'static str],
        mut member: impl FnMut(&mut Self, &'static str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.take(b'{', "an object")?;
        if self.token()? == b'}' {
            self.next += 1;
            return Ok(());
        }
        let mut seen = 0u128;
        loop {
            self.key()?;
            match known.iter().position(|key| key.as_bytes() == self.text) {
                Some(place) => {
                    let bit = 1u128 << place;
                    if seen & bit != 0 {
                        let twice = format!("`{}` stands twice in one object", known[place]);
                        return Err(self.fault(twice));
                    }
                    seen |= bit;
                    member(self, known[place])?;
                }
                None => self.skip()?,
            }
            if !self.more(b'}', "`,` or `}`")? {
                return Ok(());
            }
        }
    }

    /// Reads a list: `element` is called at each value and must read it.
    pub(super) fn list(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.take(b'[', "a list")?;
        if self.token()? == b']' {
            self.next += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.more(b']', "`,` or `]`")? {
                return Ok(());
            }
        }
    }

    /// Takes what follows a value: whether it is a comma rather than the end.
    fn more(&mut self, end: u8, what: &str) -> Result<bool, Fault> {
        let byte = self.token()?;
        if byte != b',' && byte != end {
            return Err(self.expected(what));
        }
        self.next += 1;
        Ok(byte == b',')
    }

    /// Takes a key, into `text`, and the colon.
    fn key(&mut self) -> Result<(), Fault> {
        if self.token()? != b'"' {
            return Err(self.expected("a key"));
        }
        self.read_text(true)?;
        self.take(b':', "`:`")
    }

    /// The keys of the next object, each told to `see` until that says stop. The object is left
    /// half read then.
    pub(super) fn keys(&mut self, mut see: impl FnMut(&str) -> bool) -> Result<(), Fault> {
        self.take(b'{', "an object")?;
        if self.token()? == b'}' {
            return Ok(());
        }
        loop {
            self.key()?;
            if see(&String::from_utf8_lossy(&self.text)) {
                return Ok(());
            }
            self.skip()?;
            if !self.more(b'}', "`,` or `}`")? {
                return Ok(());
            }
        }
    }

    /// Takes the bracket that begins a list, to look at its first element.
    pub(super) fn enter_list(&mut self) -> Result<(), Fault> {
        self.take(b'[', "a list")
    }

    /// Reads over a value of any kind.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            let byte = self.token()?;
            match byte {
                b'{' | b'[' => {
                    if open.len() == DEPTH_MAX {
                        return Err(self.fault("nested too deeply"));
                    }
                    self.next += 1;
                    let end = if byte == b'{' { b'}' } else { b']' };
                    if self.token()? == end {
                        self.next += 1;
                    } else {
                        open.push(end);
                        if byte == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => self.read_text(false)?,
                _ => self.scalar()?,
            }
            loop {
                let Some(&end) = open.last() else { return Ok(()) };
                let what = if end == b'}' { "`,` or `}`" } else { "`,` or `]`" };
                if self.more(end, what)? {
                    if end == b'}' {
                        self.key()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }
}
