//! Calendar time stamps, as in Azure's traces.

use crate::trace::numbers::{NumberError, nanos, shown};

/// Nanoseconds since 1970 of `2023-11-16 18:15:46.6805900`: a `T` may stand for the space, any
/// number of decimals may follow the seconds, and a zone (`Z`, `+00:00`) may follow those.
pub(crate) fn timestamp_nanos(text: &str) -> Result<u64, NumberError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(NumberError::Missing);
    }
    parse(text).ok_or_else(|| NumberError::NotANumber(shown(text)))
}

fn parse(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if bytes.len() < 19
        || !text.is_ascii()
        || !matches!(bytes[10], b' ' | b'T' | b't')
        || marks.iter().any(|&(at, mark)| bytes[at] != mark)
    {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = &bytes[from..to];
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let rest = &text[19..];
    let fraction_end = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(fraction_end);
    let fraction_ns = match fraction.as_bytes() {
        [] => 0,
        [b'.', digits @ ..] if digits.iter().all(u8::is_ascii_digit) && !digits.is_empty() => {
            nanos(fraction, 9).ok()?
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        - zone_seconds(zone)?;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(fraction_ns)
}

/// Seconds east of Greenwich.
fn zone_seconds(zone: &str) -> Option<i64> {
    let two = |digits: &[u8]| -> Option<i64> {
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = digits else { return None };
        Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    let sign = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => 1,
        _ => -1,
    };
    let seconds = match &zone.as_bytes()[1..] {
        [h1, h2] => two(&[*h1, *h2])? * 3600,
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => {
            two(&[*h1, *h2])? * 3600 + two(&[*m1, *m2])? * 60
        }
        _ => return None,
    };
    Some(sign * seconds)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar from 1970-01-01; the year begins in March, so that the leap day
/// is its last (Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        // From GNU date: date -u -d "2023-11-16 18:15:46" +%s
        assert_eq!(timestamp_nanos("2023-11-16 18:15:46.6805900"), Ok(1_700_158_546_680_590_000));
        assert_eq!(timestamp_nanos("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(timestamp_nanos("2024-02-29 23:59:59"), Ok(1_709_251_199_000_000_000));
        assert_eq!(
            timestamp_nanos("2024-05-10 00:00:00.009930+00:00"),
            Ok(1_715_299_200_009_930_000)
        );
        assert_eq!(
            timestamp_nanos("2024-05-10 02:00:00+0200"),
            timestamp_nanos("2024-05-10 00:00:00")
        );
    }

    #[test]
    fn impossible_dates_are_not_read() {
        for text in [
            "2023-02-29 00:00:00",
            "2023-13-01 00:00:00",
            "2023-11-16",
            "2023-11-16 24:00:00",
            "2023-11-16 18:15:46.",
            "2023-11-16 18:15:46.5x",
            "2023-11-16 18:15:46+1",
            "1969-12-31 23:59:59",
            "2023-11-1é 18:15:46",
            "46.68",
        ] {
            assert!(timestamp_nanos(text).is_err(), "{text}");
        }
    }
}
