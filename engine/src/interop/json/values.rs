//! Texts, numbers and words of JSON.

use std::io::Read;

use super::Json;
use crate::interop::fault::Fault;
use crate::trace::numbers::{self, NumberError};

/// Longest text or number that is kept unless more is asked for; the rest of a longer one is read
/// over.
pub(super) const TEXT_MAX: usize = 1 << 16;

/// Nanoseconds of a second as a power of ten.
pub(crate) const SECONDS: i32 = 9;

impl<R: Read> Json<R> {
    /// Takes a text; into `text` when it is to be kept.
    pub(super) fn read_text(&mut self, keep: bool) -> Result<(), Fault> {
        self.text.clear();
        self.cut = false;
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
        if self.text.len() + bytes.len() <= self.text_max {
            self.text.extend_from_slice(bytes);
        } else {
            self.cut = true;
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

    /// Takes a number or a word.
    pub(super) fn scalar(&mut self) -> Result<(), Fault> {
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
    pub(crate) fn null(&mut self) -> Result<bool, Fault> {
        if self.token()? != b'n' {
            return Ok(false);
        }
        self.scalar()?;
        Ok(true)
    }

    /// Takes true or false.
    pub(crate) fn truth(&mut self) -> Result<bool, Fault> {
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
    pub(crate) fn nanos(&mut self, unit_power: i32) -> Result<u64, Fault> {
        self.number("a time", |text| numbers::nanos(text, unit_power))
    }

    /// Takes a count.
    pub(crate) fn count(&mut self) -> Result<u32, Fault> {
        self.number("a count", numbers::tokens)
    }

    /// Takes a count where there is one, and null where not.
    pub(crate) fn count_or_null(&mut self) -> Result<Option<u32>, Fault> {
        if self.null()? { Ok(None) } else { self.count().map(Some) }
    }

    /// Takes a time where there is one, and null where not.
    pub(crate) fn nanos_or_null(&mut self, unit_power: i32) -> Result<Option<u64>, Fault> {
        if self.null()? { Ok(None) } else { self.nanos(unit_power).map(Some) }
    }

    /// Takes a delay where there is one; one below 0 (two clocks) is none.
    pub(crate) fn delay_or_null(&mut self, unit_power: i32) -> Result<Option<u64>, Fault> {
        if self.null()? {
            return Ok(None);
        }
        self.number("a time", |text| match text.strip_prefix('-') {
            Some(positive) => numbers::nanos(positive, unit_power).map(|_| Some(0)),
            None => numbers::nanos(text, unit_power).map(Some),
        })
    }

    /// Takes a figure for information: anything else is read over.
    pub(crate) fn figure_or_skip(&mut self) -> Result<Option<f64>, Fault> {
        match self.token()? {
            b'n' | b'N' | b'I' | b'-' | b'0'..=b'9' => self.figure(),
            _ => self.skip().map(|()| None),
        }
    }

    /// Takes a number of any kind; `None` when it is null or not finite.
    pub(crate) fn figure(&mut self) -> Result<Option<f64>, Fault> {
        match self.token()? {
            b'n' | b'N' | b'I' | b'-' | b'0'..=b'9' => {
                self.scalar()?;
                let text = std::str::from_utf8(&self.text).unwrap_or("");
                Ok(text.parse::<f64>().ok().filter(|value| value.is_finite()))
            }
            _ => Err(self.expected("a number")),
        }
    }

    /// Takes a number of any kind, or the text of one; NaN when it is not finite, `None` when it is null
    /// or another text, as a user may have put one in its place.
    pub(crate) fn figure_or_nan(&mut self) -> Result<Option<f64>, Fault> {
        match self.token()? {
            b'n' => self.figure(),
            b'"' => {
                let value = self.string()?.trim().parse::<f64>().ok();
                Ok(value.map(|value| if value.is_finite() { value } else { f64::NAN }))
            }
            _ => Ok(Some(self.figure()?.unwrap_or(f64::NAN))),
        }
    }

    /// Takes a number as its text, unread.
    pub(crate) fn raw_number(&mut self) -> Result<String, Fault> {
        self.number("a number", |text| Ok(text.to_owned()))
    }

    /// Takes a text.
    pub(crate) fn string(&mut self) -> Result<String, Fault> {
        if self.token()? != b'"' {
            return Err(self.expected("a text"));
        }
        self.read_text(true)?;
        Ok(String::from_utf8_lossy(&self.text).into_owned())
    }

    /// Takes a text as it is.
    ///
    /// # Errors
    /// When it is longer than texts that are kept.
    pub(crate) fn whole_string(&mut self) -> Result<String, Fault> {
        let at = self.position();
        let text = self.string()?;
        if self.cut {
            return Err(Fault::at(at, format!("a text of more than {} bytes", self.text_max)));
        }
        Ok(text)
    }

    /// Takes any value: a text as such, nothing of another.
    pub(crate) fn string_or_skip(&mut self) -> Result<Option<String>, Fault> {
        if self.token()? == b'"' { self.string().map(Some) } else { self.skip().map(|()| None) }
    }
}
