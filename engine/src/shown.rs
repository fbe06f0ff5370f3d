//! Numbers and lists as people read them. How people write them is [`units`](crate::units).

/// A length of time in seconds, in the unit that suits it: `812 µs`, `25.3 ms`, `1.92 s`.
pub fn duration(seconds: f64) -> String {
    let unit = TimeUnit::for_value(seconds);
    format!("{} {}", unit.number(seconds), unit.name())
}

/// Units of time on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

impl TimeUnit {
    /// The unit in which `seconds` is at least 1, microseconds at the least.
    pub fn for_value(seconds: f64) -> TimeUnit {
        // Compared as rounded to three digits, so that 0.9999 s is 1.00 s and not 1000 ms.
        if seconds >= 0.9995 {
            TimeUnit::Seconds
        } else if seconds >= 0.000_999_5 || seconds == 0.0 {
            TimeUnit::Millis
        } else {
            TimeUnit::Micros
        }
    }

    /// `seconds` in this unit, with three significant digits.
    pub fn number(self, seconds: f64) -> String {
        match self {
            TimeUnit::Micros => three_digits(seconds * 1e6),
            TimeUnit::Millis => three_digits(seconds * 1e3),
            TimeUnit::Seconds => three_digits(seconds),
        }
    }

    /// Its symbol.
    pub fn name(self) -> &'static str {
        match self {
            TimeUnit::Micros => "µs",
            TimeUnit::Millis => "ms",
            TimeUnit::Seconds => "s",
        }
    }
}

/// Three significant digits, at most three decimals; whole numbers from 100 on, grouped.
pub fn three_digits(value: f64) -> String {
    let size = value.abs();
    if size >= 99.95 {
        grouped(value)
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 0.9995 {
        format!("{value:.2}")
    } else if value == 0.0 {
        "0".to_owned()
    } else if size >= 0.000_995 {
        format!("{value:.3}")
    } else {
        // Never rounded to nothing.
        let places = (2.0 - libm::log10(size).floor()).clamp(0.0, 18.0) as usize;
        format!("{value:.places$}")
    }
}

/// From here on a number is shown by its power of ten: its digits say nothing.
const DIGITS_UP_TO: f64 = 1e15;

/// The nearest whole number with a comma between thousands: `12,345`; a huge one as `1.00e300`.
pub fn grouped(value: f64) -> String {
    if value.is_finite() && value.abs() >= DIGITS_UP_TO {
        return format!("{value:.2e}");
    }
    let digits = format!("{:.0}", value.abs());
    let sign = if value < 0.0 && digits != "0" { "-" } else { "" };
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with a comma between thousands.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as a percentage with one decimal. Never rounded up to `100.0 %` or down to `0.0 %`:
/// those two say that nothing was missing.
pub fn percent(share: f64) -> String {
    let text = format!("{:.1} %", share * 100.0);
    if text == "100.0 %" && share < 1.0 {
        return "> 99.9 %".to_owned();
    }
    if text == "0.0 %" && share > 0.0 {
        return "< 0.1 %".to_owned();
    }
    text
}

/// A list as people write it: `a, b and c`.
pub fn join(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_numbers_are_short() {
        assert_eq!(duration(1e300), "1.00e300 s");
        assert_eq!(three_digits(-1e18), "-1.00e18");
        assert_eq!(grouped(9.99e14), "999,000,000,000,000");
    }

    #[test]
    fn times_keep_three_digits_and_a_fitting_unit() {
        let cases = [
            (0.0, "0 ms"),
            (0.000_05, "50.0 µs"),
            (0.000_999_6, "1.00 ms"),
            (0.025_34, "25.3 ms"),
            (0.412, "412 ms"),
            (0.9996, "1.00 s"),
            (1.919, "1.92 s"),
            (99.96, "100 s"),
            (12_345.6, "12,346 s"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn shares_never_round_to_all_or_nothing() {
        assert_eq!(percent(1.0), "100.0 %");
        assert_eq!(percent(0.9999), "> 99.9 %");
        assert_eq!(percent(0.0), "0.0 %");
        assert_eq!(percent(0.0001), "< 0.1 %");
        assert_eq!(percent(0.614), "61.4 %");
    }

    #[test]
    fn small_numbers_never_round_to_nothing() {
        for (number, text) in
            [(0.5, "0.500"), (0.012_34, "0.012"), (0.000_12, "0.000120"), (-3e-7, "-0.000000300")]
        {
            assert_eq!(three_digits(number), text);
        }
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(grouped(999.6), "1,000");
        assert_eq!(grouped(-1234.0), "-1,234");
    }
}
