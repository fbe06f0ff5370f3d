//! A pull parser for JSON files of any size.
//!
//! Made for result files: it hands out numbers as their decimal text, so that times are rounded
//! once and exactly; it skips prompts and answers without keeping them, in bounded memory; it knows
//! the line, column and byte of every fault; it reads several documents one after another
//! (JSON Lines, appended objects); and it takes the `NaN` and `Infinity` that Python writes for
//! aggregates of nothing, where they are skipped. `serde_json` does none of the first, fourth and
//! last of these. No recursion: a nested file cannot exhaust the stack.

use std::io::{ErrorKind, Read};

use super::fault::{Fault, Position};
use crate::trace::numbers::{self, NumberError};

/// Bytes read at once.
const BUFFER: usize = 1 << 16;
/// Longest text or number that is kept; the rest of a longer one is read over.
const TEXT_MAX: usize = 1 << 16;
/// Deepest nesting of a skipped value.
const DEPTH_MAX: usize = 4096;

/// What some programs put before text in UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Nanoseconds of a second as a power of ten.
pub const SECONDS: i32 = 9;

/// Reads JSON from `R`.
pub struct Json<R> {
    input: R,
    buffer: Vec<u8>,
    next: usize,
    /// Offset in the file of the buffer's first byte, and where its line is and began.
    base: u64,
    line: u64,
    line_start: u64,
    text: Vec<u8>,
}

impl<R: Read> Json<R> {
    /// A parser at the beginning of `input`.
    pub fn new(input: R) -> Json<R> {
        let (buffer, text) = (Vec::with_capacity(BUFFER), Vec::new());
        Json { input, buffer, next: 0, base: 0, line: 1, line_start: 0, text }
    }

    /// The next byte, if any, without taking it.
    fn peek(&mut self) -> Result<Option<u8>, Fault> {
        if let Some(&byte) = self.buffer.get(self.next) {
            return Ok(Some(byte));
        }
        let here = self.position();
        (self.line, self.line_start) = (here.line, here.byte + 1 - here.column);
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
    pub fn position(&self) -> Position {
        self.position_of(self.base + self.next as u64)
    }

    /// The place of a byte of the buffer, or of one before it on the buffer's first line.
    fn position_of(&self, byte: u64) -> Position {
        let before = &self.buffer[..byte.saturating_sub(self.base) as usize];
        let lines = before.iter().filter(|&&b| b == b'\n').count() as u64;
        let line_start = match before.iter().rposition(|&b| b == b'\n') {
            Some(index) => self.base + index as u64 + 1,
            None => self.line_start.min(byte),
        };
        Position { line: self.line + lines, column: byte - line_start + 1, byte }
    }

    /// A fault at the next byte.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
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
    pub fn another(&mut self) -> Result<bool, Fault> {
        self.token()?;
        Ok(self.peek()?.is_some())
    }

    /// Whether the next value begins with this byte.
    pub fn next_is(&mut self, byte: u8) -> Result<bool, Fault> {
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
    pub fn object(
        &mut self,
        known: &[&'static str],
        mut member: impl FnMut(&mut Self, &'static str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.take(b'{', "an object")?;
        if self.token()? == b'}' {
            self.next += 1;
            return Ok(());
        }
        loop {
            self.key()?;
            match known.iter().find(|key| key.as_bytes() == self.text) {
                Some(key) => member(self, key)?,
                None => self.skip()?,
            }
            if !self.more(b'}', "`,` or `}`")? {
                return Ok(());
            }
        }
    }

    /// Reads a list: `element` is called at each value and must read it.
    pub fn list(
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
    pub fn keys(&mut self, mut see: impl FnMut(&str) -> bool) -> Result<(), Fault> {
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
    pub fn enter_list(&mut self) -> Result<(), Fault> {
        self.take(b'[', "a list")
    }

    /// Takes a text; into `text` when it is to be kept.
    fn read_text(&mut self, keep: bool) -> Result<(), Fault> {
        self.text.clear();
        self.next += 1;
        loop {
            let Some(byte) = self.peek()? else {
                return Err(self.fault("the file ends inside a text"));
            };
            match byte {
                b'"' => {
                    self.next += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.next += 1;
                    self.escape(keep)?;
                }
                0..0x20 => return Err(self.fault("a text holds a control character")),
                _ if keep => {
                    self.keep(&[byte]);
                    self.next += 1;
                }
                _ => {
                    // Prompts and answers are long: run over them.
                    let rest = &self.buffer[self.next..];
                    let plain = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20);
                    self.next += plain.unwrap_or(rest.len());
                }
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.text.len() + bytes.len() <= TEXT_MAX {
            self.text.extend_from_slice(bytes);
        }
    }

    fn escape(&mut self, keep: bool) -> Result<(), Fault> {
        let Some(byte) = self.peek()? else {
            return Err(self.fault("the file ends inside a text"));
        };
        self.next += 1;
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = 0u32;
                for _ in 0..4 {
                    let digit = self.peek()?.and_then(|b| char::from(b).to_digit(16));
                    let Some(digit) = digit else {
                        return Err(self.fault("expected four hexadecimal digits after `\\u`"));
                    };
                    unit = unit * 16 + digit;
                    self.next += 1;
                }
                // Halves of a pair become replacement characters: such text is never shown whole.
                let shown = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                if keep {
                    self.keep(shown.encode_utf8(&mut [0; 4]).as_bytes());
                }
                return Ok(());
            }
            _ => return Err(self.fault("a text holds an unknown escape")),
        };
        if keep {
            self.keep(&[plain]);
        }
        Ok(())
    }

    /// Reads over a value of any kind.
    pub fn skip(&mut self) -> Result<(), Fault> {
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

    /// Takes a number or a word.
    fn scalar(&mut self) -> Result<(), Fault> {
        let at = self.position();
        match self.token()? {
            b'-' | b'0'..=b'9' => {
                self.number_text()?;
                let sound = matches!(self.text.as_slice(), b"-Infinity")
                    || std::str::from_utf8(&self.text)
                        .is_ok_and(|text| text.parse::<f64>().is_ok());
                if sound { Ok(()) } else { Err(Fault::at(at, "not a number")) }
            }
            b'a'..=b'z' | b'A'..=b'Z' => {
                self.word()?;
                let words: [&[u8]; 5] = [b"null", b"true", b"false", b"NaN", b"Infinity"];
                if words.contains(&self.text.as_slice()) {
                    Ok(())
                } else {
                    Err(Fault::at(at, "expected a value, found a bare word"))
                }
            }
            _ => Err(self.expected("a value")),
        }
    }

    fn collect(&mut self, belongs: impl Fn(u8) -> bool) -> Result<(), Fault> {
        self.text.clear();
        while let Some(byte) = self.peek()?.filter(|&byte| belongs(byte)) {
            self.keep(&[byte]);
            self.next += 1;
        }
        Ok(())
    }

    fn number_text(&mut self) -> Result<(), Fault> {
        self.collect(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    }

    fn word(&mut self) -> Result<(), Fault> {
        self.collect(|b| b.is_ascii_alphanumeric())
    }

    /// Takes `null` if it is next.
    pub fn null(&mut self) -> Result<bool, Fault> {
        if self.token()? != b'n' {
            return Ok(false);
        }
        self.scalar()?;
        Ok(true)
    }

    /// Takes true or false.
    pub fn truth(&mut self) -> Result<bool, Fault> {
        match self.token()? {
            b't' | b'f' => {
                self.scalar()?;
                Ok(self.text == b"true")
            }
            _ => Err(self.expected("true or false")),
        }
    }

    /// Takes a number and hands its text to `read`. `what` names what is expected.
    fn number<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(&str) -> Result<T, NumberError>,
    ) -> Result<T, Fault> {
        let byte = self.token()?;
        if !matches!(byte, b'-' | b'0'..=b'9') {
            return Err(self.expected(what));
        }
        let from = self.base + self.next as u64;
        self.number_text()?;
        // Numbers are ASCII by how they were collected.
        let text = std::str::from_utf8(&self.text).unwrap_or("");
        read(text).map_err(|error| {
            // What is no number may be anybody's text.
            let found = match error {
                NumberError::NotANumber(_) => "found something else".to_owned(),
                error => error.to_string(),
            };
            Fault::at(self.position_of(from), format!("expected {what}, {found}"))
        })
    }

    /// Takes a length of time or an instant, as nanoseconds rounded once. `unit_power` is the
    /// unit's power of ten in nanoseconds.
    pub fn nanos(&mut self, unit_power: i32) -> Result<u64, Fault> {
        self.number("a time", |text| numbers::nanos(text, unit_power))
    }

    /// Takes a count.
    pub fn count(&mut self) -> Result<u32, Fault> {
        self.number("a count", numbers::tokens)
    }

    /// Takes a count where there is one, and null where not.
    pub fn count_or_null(&mut self) -> Result<Option<u32>, Fault> {
        if self.null()? { Ok(None) } else { self.count().map(Some) }
    }

    /// Takes a time where there is one, and null where not.
    pub fn nanos_or_null(&mut self, unit_power: i32) -> Result<Option<u64>, Fault> {
        if self.null()? { Ok(None) } else { self.nanos(unit_power).map(Some) }
    }

    /// Takes a delay where there is one; one below 0 (two clocks) is none.
    pub fn delay_or_null(&mut self, unit_power: i32) -> Result<Option<u64>, Fault> {
        if self.null()? {
            return Ok(None);
        }
        self.number("a time", |text| match text.strip_prefix('-') {
            Some(positive) => numbers::nanos(positive, unit_power).map(|_| Some(0)),
            None => numbers::nanos(text, unit_power).map(Some),
        })
    }

    /// Takes a figure for information: anything else is read over.
    pub fn figure_or_skip(&mut self) -> Result<Option<f64>, Fault> {
        match self.token()? {
            b'n' | b'N' | b'I' | b'-' | b'0'..=b'9' => self.figure(),
            _ => self.skip().map(|()| None),
        }
    }

    /// Takes a number of any kind; `None` when it is null or not finite.
    pub fn figure(&mut self) -> Result<Option<f64>, Fault> {
        match self.token()? {
            b'n' | b'N' | b'I' | b'-' | b'0'..=b'9' => {
                self.scalar()?;
                let text = std::str::from_utf8(&self.text).unwrap_or("");
                Ok(text.parse::<f64>().ok().filter(|value| value.is_finite()))
            }
            _ => Err(self.expected("a number")),
        }
    }

    /// Takes a number as its text, unread.
    pub fn raw_number(&mut self) -> Result<String, Fault> {
        self.number("a number", |text| Ok(text.to_owned()))
    }

    /// Takes a text.
    pub fn string(&mut self) -> Result<String, Fault> {
        if self.token()? != b'"' {
            return Err(self.expected("a text"));
        }
        self.read_text(true)?;
        Ok(String::from_utf8_lossy(&self.text).into_owned())
    }

    /// Takes any value: a text as such, nothing of another.
    pub fn string_or_skip(&mut self) -> Result<Option<String>, Fault> {
        if self.token()? == b'"' { self.string().map(Some) } else { self.skip().map(|()| None) }
    }
}
