//! Numbers in text, exactly: times to whole nanoseconds without a detour through binary floating
//! point, which is off by some 200 ns for seconds since 1970.

use std::fmt;

/// Why a text is not the number wanted. Its `Display` ends a sentence that says what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NumberError {
    Missing,
    NotANumber(String),
    Negative(String),
    NotWhole(String),
    TooLarge(String),
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NumberError::Missing => write!(f, "found nothing"),
            NumberError::NotANumber(text) => write!(f, "found `{text}`"),
            NumberError::Negative(text) => write!(f, "found {text}, which is negative"),
            NumberError::NotWhole(text) => write!(f, "found {text}, which is not whole"),
            NumberError::TooLarge(text) => write!(f, "found {text}, which is too large"),
        }
    }
}

/// At most this much of a bad text is shown.
const SHOWN_CHARS: usize = 40;

pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A token count: digits, or a decimal number without a fraction such as `374.0`.
#[inline]
pub(crate) fn tokens(text: &str) -> Result<u32, NumberError> {
    let text = text.trim();
    let digits = text.as_bytes();
    if !digits.is_empty() && digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit) {
        return Ok(digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')));
    }
    let decimal = Decimal::parse(text)?;
    let (value, exact) = decimal.scaled(0).ok_or_else(|| NumberError::TooLarge(shown(text)))?;
    if !exact {
        return Err(NumberError::NotWhole(shown(text)));
    }
    u32::try_from(value).map_err(|_| NumberError::TooLarge(shown(text)))
}

/// A length of time as nanoseconds, rounded to the nearest once. `unit_power` is the power of ten
/// of the unit in nanoseconds: 9 for seconds, 6 for milliseconds.
pub(crate) fn nanos(text: &str, unit_power: i32) -> Result<u64, NumberError> {
    let text = text.trim();
    match Decimal::parse(text)?.scaled(unit_power) {
        // i64::MAX is 292 years.
        Some((ns, _)) if ns <= i64::MAX as u64 => Ok(ns),
        _ => Err(NumberError::TooLarge(shown(text))),
    }
}

/// `mantissa * 10^exponent`, not negative.
struct Decimal {
    mantissa: u128,
    exponent: i32,
}

/// Digits of a mantissa that are kept; those after them change no nanosecond within 292 years.
const DIGITS_MAX: u32 = 30;

impl Decimal {
    fn parse(text: &str) -> Result<Decimal, NumberError> {
        if text.is_empty() {
            return Err(NumberError::Missing);
        }
        let not_a_number = || NumberError::NotANumber(shown(text));
        let (negative, unsigned) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (number, exponent) = match unsigned.find(['e', 'E']) {
            // An exponent beyond i32 would only ever mean nothing or too much.
            Some(at) => {
                (&unsigned[..at], unsigned[at + 1..].parse::<i32>().map_err(|_| not_a_number())?)
            }
            None => (unsigned, 0),
        };
        let mut mantissa = 0u128;
        let (mut kept, mut dropped, mut fraction) = (0u32, 0i32, 0i32);
        let (mut any, mut point) = (false, false);
        for byte in number.bytes() {
            match byte {
                b'.' if !point => point = true,
                b'0'..=b'9' => {
                    any = true;
                    if kept < DIGITS_MAX {
                        mantissa = mantissa * 10 + u128::from(byte - b'0');
                        kept += u32::from(mantissa > 0);
                        fraction += i32::from(point);
                    } else {
                        dropped += i32::from(!point);
                    }
                }
                _ => return Err(not_a_number()),
            }
        }
        if !any {
            return Err(not_a_number());
        }
        if negative && mantissa > 0 {
            return Err(NumberError::Negative(shown(text)));
        }
        Ok(Decimal {
            mantissa,
            exponent: exponent.saturating_add(dropped).saturating_sub(fraction),
        })
    }

    /// Nearest whole number to the value times `10^power`, and whether it is exact; `None` when it
    /// is over `u64::MAX`.
    fn scaled(&self, power: i32) -> Option<(u64, bool)> {
        let exponent = self.exponent.saturating_add(power);
        if self.mantissa == 0 {
            return Some((0, true));
        }
        if exponent >= 0 {
            let factor = 10u128.checked_pow(exponent as u32)?;
            let value = self.mantissa.checked_mul(factor)?;
            return Some((u64::try_from(value).ok()?, true));
        }
        let Some(divisor) = 10u128.checked_pow(exponent.unsigned_abs()) else {
            return Some((0, false));
        };
        let (whole, rest) = (self.mantissa / divisor, self.mantissa % divisor);
        let rounded = whole + u128::from(rest >= divisor - rest);
        Some((u64::try_from(rounded).ok()?, rest == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        assert_eq!(nanos("0.052", 9), Ok(52_000_000));
        assert_eq!(nanos("1700158546.680590123", 9), Ok(1_700_158_546_680_590_123));
        assert_eq!(nanos(" 27 ", 6), Ok(27_000_000));
        assert_eq!(nanos("1e3", 9), Ok(1_000_000_000_000));
        assert_eq!(nanos("2.5E-9", 9), Ok(3));
        assert_eq!(nanos("0.0000000004", 9), Ok(0));
        assert_eq!(nanos("+4.", 9), Ok(4_000_000_000));
        assert_eq!(nanos(".5", 9), Ok(500_000_000));
        assert_eq!(nanos("-0.0", 9), Ok(0));
        assert_eq!(nanos("1e-999999999", 9), Ok(0));
        assert_eq!(nanos(&format!("1.{}", "0".repeat(200)), 9), Ok(1_000_000_000));
    }

    #[test]
    fn what_is_not_a_time_is_told() {
        assert_eq!(nanos("", 9), Err(NumberError::Missing));
        for text in ["abc", "nan", "inf", "-", "1.2.3", "1e", "1e5.5", "0x10", "1_000", "1,5", "."]
        {
            assert_eq!(nanos(text, 9), Err(NumberError::NotANumber(text.to_owned())), "{text}");
        }
        assert_eq!(nanos("-1", 9), Err(NumberError::Negative("-1".to_owned())));
        for text in ["1e300", "99999999999", "1e2147483647"] {
            assert_eq!(nanos(text, 9), Err(NumberError::TooLarge(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn token_counts_are_whole() {
        assert_eq!(tokens("374"), Ok(374));
        assert_eq!(tokens(" 374.0"), Ok(374));
        assert_eq!(tokens("4294967295"), Ok(u32::MAX));
        assert_eq!(tokens("0"), Ok(0));
        assert_eq!(tokens("4294967296"), Err(NumberError::TooLarge("4294967296".to_owned())));
        assert_eq!(tokens("1.5"), Err(NumberError::NotWhole("1.5".to_owned())));
        assert_eq!(tokens("-3"), Err(NumberError::Negative("-3".to_owned())));
        assert_eq!(tokens("NaN"), Err(NumberError::NotANumber("NaN".to_owned())));
    }
}
