//! Quantities with units, as scenario files write them: `25ms`, `80GiB`, `16GB/s`.
//!
//! Parsed exactly: decimal digits are scaled in whole numbers, never through floating point.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::excerpt::quoted;
use crate::time::Span;

/// A length of time, such as `25ms`, `2s` or `10min`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub Span);

/// A size in bytes, such as `80GiB` or `16GB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A bandwidth in bytes a second, such as `16GB/s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bandwidth(pub u64);

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// A kind of quantity: its name, its units in the smallest unit, and an example.
struct Dimension {
    what: &'static str,
    units: &'static [(&'static str, u64)],
    /// What people write for a unit that is spelled otherwise here.
    meant: &'static [(&'static str, &'static str)],
    smallest: &'static str,
    example: &'static str,
    /// The units to suggest for a bare number.
    usual: &'static [&'static str],
}

const TIME: Dimension = Dimension {
    what: "a length of time",
    units: &[
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("min", 60_000_000_000),
        ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
    ],
    meant: &[
        ("m", "min"),
        ("mins", "min"),
        ("minute", "min"),
        ("minutes", "min"),
        ("sec", "s"),
        ("secs", "s"),
        ("second", "s"),
        ("seconds", "s"),
        ("msec", "ms"),
        ("millis", "ms"),
        ("milliseconds", "ms"),
        ("usec", "us"),
        ("hr", "h"),
        ("hour", "h"),
        ("hours", "h"),
        ("day", "d"),
        ("days", "d"),
    ],
    smallest: "nanosecond",
    example: "25ms",
    usual: &["ms", "s"],
};

const SIZE: Dimension = Dimension {
    what: "a size",
    units: &[
        ("B", 1),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ],
    meant: &[
        ("G", "GiB"),
        ("Gi", "GiB"),
        ("M", "MiB"),
        ("Mi", "MiB"),
        ("K", "KiB"),
        ("Ki", "KiB"),
        ("T", "TiB"),
    ],
    smallest: "byte",
    example: "80GiB",
    usual: &["GiB"],
};

const BANDWIDTH: Dimension = Dimension {
    what: "a bandwidth",
    units: &[
        ("B/s", 1),
        ("kB/s", 1_000),
        ("KB/s", 1_000),
        ("MB/s", 1_000_000),
        ("GB/s", 1_000_000_000),
        ("TB/s", 1_000_000_000_000),
        ("KiB/s", 1 << 10),
        ("MiB/s", 1 << 20),
        ("GiB/s", 1 << 30),
        ("TiB/s", 1 << 40),
    ],
    meant: &[
        ("GB", "GB/s"),
        ("GBps", "GB/s"),
        ("GiB", "GiB/s"),
        ("MB", "MB/s"),
        ("MBps", "MB/s"),
        ("TB", "TB/s"),
        ("TBps", "TB/s"),
    ],
    smallest: "byte a second",
    example: "16GB/s",
    usual: &["GB/s"],
};

impl Dimension {
    fn parse(&self, text: &str) -> Result<u64, UnitError> {
        let text = text.trim();
        let (unsigned, negative) = match text.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (text.strip_prefix('+').unwrap_or(text), false),
        };
        let end = unsigned
            .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))
            .unwrap_or(unsigned.len());
        let (number, unit) = unsigned.split_at(end);
        let unit = unit.trim_start();
        let number = number.replace('_', "");
        let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
        let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
        if number.is_empty() || !digits(whole) || !digits(fraction) || number == "." {
            return Err(UnitError {
                message: format!(
                    "expected {} such as `{}`, found `{}`",
                    self.what,
                    self.example,
                    quoted(text)
                ),
                help: Some(format!("a number and one of the units {}", self.list())),
            });
        }
        if unit.is_empty() {
            return Err(self.bare(text));
        }
        let Some(&(_, scale)) = self.units.iter().find(|(name, _)| *name == unit) else {
            return Err(self.unknown_unit(&number, unit));
        };
        let fail = |problem: &str| UnitError {
            message: format!(
                "expected {} such as `{}`, found `{}`, {problem}",
                self.what,
                self.example,
                quoted(text)
            ),
            help: None,
        };
        // Zeros at the end of a fraction say nothing.
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 15 {
            return Err(fail(&format!("which is finer than a {}", self.smallest)));
        }
        let value = || -> Option<u128> {
            let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
            let power = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
            whole.checked_mul(power)?.checked_add(part)?.checked_mul(u128::from(scale))
        };
        let power = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
        let scaled = value().ok_or_else(|| fail("which is too large"))?;
        if !scaled.is_multiple_of(power) {
            return Err(fail(&format!("which is finer than a {}", self.smallest)));
        }
        let scaled = u64::try_from(scaled / power).map_err(|_| fail("which is too large"))?;
        if negative && scaled > 0 {
            return Err(fail("which is negative"));
        }
        Ok(scaled)
    }

    fn bare(&self, number: &str) -> UnitError {
        let positive = number.trim_start_matches('-');
        let examples: Vec<String> =
            self.usual.iter().map(|unit| format!("`{positive}{unit}`")).collect();
        UnitError {
            message: format!("expected {} with a unit, found the bare number {number}", self.what),
            help: Some(format!(
                "write the unit, such as {}; units are {}",
                examples.join(" or "),
                self.list()
            )),
        }
    }

    fn unknown_unit(&self, number: &str, unit: &str) -> UnitError {
        let lower = unit.to_lowercase();
        let meant = self
            .meant
            .iter()
            .find(|(wrong, _)| *wrong == unit)
            .map(|&(_, right)| right)
            .or_else(|| self.units.iter().map(|u| u.0).find(|name| name.to_lowercase() == lower))
            .or_else(|| {
                self.meant.iter().find(|(wrong, _)| wrong.to_lowercase() == lower).map(|&(_, r)| r)
            });
        UnitError {
            message: format!("unknown unit `{}` in {}", quoted(unit), self.what),
            help: Some(match meant {
                Some(name) => {
                    format!(
                        "did you mean `{name}`, as in `{number}{name}`? units are {}",
                        self.list()
                    )
                }
                None => format!("units are {}", self.list()),
            }),
        }
    }

    fn list(&self) -> String {
        let shown: Vec<_> = self
            .units
            .iter()
            .map(|u| u.0)
            .filter(|n| n.is_ascii() && *n != "KB" && *n != "KB/s")
            .collect();
        shown.join(", ")
    }

    /// The value in the largest unit that divides it.
    fn show(&self, value: u64, names: &[&str], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = |name: &str| self.units.iter().find(|u| u.0 == name).map_or(1, |u| u.1);
        let best = names
            .iter()
            .copied()
            .filter(|name| value != 0 && value.is_multiple_of(scale(name)))
            .max_by_key(|name| scale(name))
            .unwrap_or(names[0]);
        write!(f, "{}{best}", value / scale(best))
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        // The scenario's decoder takes the two apart again.
        if let Some(help) = &self.help {
            write!(f, "\nhelp: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UnitError {}

/// Parsing, showing, serde and JSON Schema of one quantity.
macro_rules! quantity {
    ($name:ident, $dimension:ident, $inner:expr, $raw:expr, $shown:expr, $pattern:literal) => {
        impl FromStr for $name {
            type Err = UnitError;
            fn from_str(text: &str) -> Result<Self, UnitError> {
                $dimension.parse(text).map($inner)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $dimension.show($raw(self), &$shown, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} such as `{}`", $dimension.what, $dimension.example)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, n: u64) -> Result<$name, E> {
                        Err(E::custom($dimension.bare(&n.to_string())))
                    }
                    fn visit_i64<E: de::Error>(self, n: i64) -> Result<$name, E> {
                        Err(E::custom($dimension.bare(&n.to_string())))
                    }
                    fn visit_f64<E: de::Error>(self, n: f64) -> Result<$name, E> {
                        Err(E::custom($dimension.bare(&n.to_string())))
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "examples": [$dimension.example],
                })
            }
        }
    };
}

quantity!(
    Duration,
    TIME,
    |ns| Duration(Span::from_nanos(ns)),
    |d: &Duration| d.0.as_nanos(),
    ["s", "ns", "us", "ms", "min", "h"],
    r"^\+?[0-9_]*\.?[0-9_]+ *(ns|us|µs|μs|ms|s|min|h|d)$"
);
quantity!(
    Bytes,
    SIZE,
    Bytes,
    |b: &Bytes| b.0,
    ["B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"],
    r"^\+?[0-9_]*\.?[0-9_]+ *([kKMGT]?B|[KMGT]iB)$"
);
quantity!(
    Bandwidth,
    BANDWIDTH,
    Bandwidth,
    |b: &Bandwidth| b.0,
    ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"],
    r"^\+?[0-9_]*\.?[0-9_]+ *([kKMGT]?B|[KMGT]iB)/s$"
);

impl From<Duration> for Span {
    fn from(duration: Duration) -> Span {
        duration.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(text: &str) -> u64 {
        text.parse::<Duration>().unwrap().0.as_nanos()
    }

    fn problem(text: &str) -> String {
        text.parse::<Duration>().unwrap_err().to_string()
    }

    #[test]
    fn times_are_exact() {
        assert_eq!(ns("25ms"), 25_000_000);
        assert_eq!(ns("0.1s"), 100_000_000);
        assert_eq!(ns("2 s"), 2_000_000_000);
        assert_eq!(ns("10min"), 600_000_000_000);
        assert_eq!(ns("1h"), 3_600_000_000_000);
        assert_eq!(ns("1.5us"), 1_500);
        assert_eq!(ns("0.000000001s"), 1);
        assert_eq!(ns("1.10000000000000000000s"), 1_100_000_000);
        assert_eq!(ns("18446744073709551615ns"), u64::MAX);
        assert_eq!(ns("1_000ms"), 1_000_000_000);
        assert_eq!(ns("-0s"), 0);
    }

    #[test]
    fn sizes_tell_decimal_from_binary() {
        assert_eq!("80GiB".parse::<Bytes>().unwrap().0, 80 << 30);
        assert_eq!("16GB".parse::<Bytes>().unwrap().0, 16_000_000_000);
        assert_eq!("0.5KiB".parse::<Bytes>().unwrap().0, 512);
        assert_eq!("16GB/s".parse::<Bandwidth>().unwrap().0, 16_000_000_000);
    }

    #[test]
    fn shown_in_the_largest_unit_that_divides() {
        for text in ["25ms", "90s", "2h", "1500us", "0s", "100ns", "80GiB", "16GB", "1B"] {
            let shown = match text.parse::<Duration>() {
                Ok(d) => d.to_string(),
                Err(_) => text.parse::<Bytes>().unwrap().to_string(),
            };
            assert_eq!(shown, text);
        }
        assert_eq!("0.3s".parse::<Duration>().unwrap().to_string(), "300ms");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(problem("25").contains("bare number 25"));
        assert!(problem("25").contains("`25ms`"));
        assert!(problem("25 m").contains("did you mean `min`"));
        assert!(problem("25MS").contains("did you mean `ms`"));
        assert!(problem("25 parsecs").contains("unknown unit `parsecs`"));
        assert!(problem("-3s").contains("negative"));
        assert!(problem("0.5ns").contains("finer than a nanosecond"));
        assert!(problem("99999999999h").contains("too large"));
        assert!(problem("999999999999999999999999999999999999999999h").contains("too large"));
        assert!(problem("fast").contains("expected a length of time such as `25ms`"));
        assert!(problem("").contains("expected a length of time"));
        assert!(problem(".s").contains("expected a length of time"));
        assert!(problem("1.2.3s").contains("expected a length of time"));
        let size = "80gib".parse::<Bytes>().unwrap_err().to_string();
        assert!(size.contains("did you mean `GiB`"), "{size}");
        let bandwidth = "16GB".parse::<Bandwidth>().unwrap_err().to_string();
        assert!(bandwidth.contains("did you mean `GB/s`"), "{bandwidth}");
    }
}
