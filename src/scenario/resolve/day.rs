//! A day's arrivals: a rate that goes up and down with the hours.

use super::check::Check;
use super::workload::RATE_RANGE;
use crate::scenario::raw::{self, DayShape};
use crate::time::Span;
use crate::workload::Piece;
use crate::yaml::Path;

/// Straight pieces of a day.
const PIECES: u64 = 96;
const DAY_S: u64 = 86_400;
/// A file of rates is no longer.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The rate of a day in straight lines.
pub(super) fn day(check: &mut Check<'_>, path: &Path, given: &raw::Day) -> Vec<Piece> {
    match &given.file {
        Some(file) => of_file(check, path, given, file),
        None => of_shape(check, path, given),
    }
}

fn of_shape(check: &mut Check<'_>, path: &Path, given: &raw::Day) -> Vec<Piece> {
    for (name, there) in [("peak", given.peak.is_some()), ("trough", given.trough.is_some())] {
        if !there {
            let help = "such as `{peak: 40, trough: 4}`, or a CSV of rates: `{file: rates.csv}`";
            check.missing(path, &[name, "file"], format!("`{name}` is missing"), help);
        }
    }
    let (Some(peak), Some(trough)) = (given.peak, given.trough) else { return Vec::new() };
    let peak = check.positive(&path.key("peak"), peak, RATE_RANGE.0, RATE_RANGE.1);
    let trough = check.number(&path.key("trough"), trough, 0.0, RATE_RANGE.1);
    if trough > peak {
        check.expected(&path.key("trough"), &format!("at most the peak, {peak}"), trough);
        return Vec::new();
    }
    let shape = given.shape.unwrap_or_default();
    let rate = |piece: u64| {
        let hour = (piece * 24) as f64 / PIECES as f64;
        trough + (peak - trough) * height(shape, hour)
    };
    let length = Span::from_nanos(DAY_S / PIECES * 1_000_000_000);
    (0..PIECES).map(|piece| Piece { length, rate: rate(piece), ramp_to: rate(piece + 1) }).collect()
}

/// How high the rate stands at an hour, from 0 (the trough) to 1 (the peak).
fn height(shape: DayShape, hour: f64) -> f64 {
    match shape {
        DayShape::Sine => {
            0.5 * (1.0 + libm::cos((hour - 14.0) / 24.0 * 2.0 * std::f64::consts::PI))
        }
        DayShape::Office => {
            const POINTS: [(f64, f64); 8] = [
                (0.0, 0.0),
                (6.0, 0.0),
                (9.0, 0.9),
                (11.0, 1.0),
                (12.5, 0.8),
                (14.0, 1.0),
                (17.0, 0.9),
                (21.0, 0.0),
            ];
            let after = POINTS.iter().position(|point| point.0 > hour);
            match after {
                None | Some(0) => 0.0,
                Some(place) => {
                    let ((from, low), (to, high)) = (POINTS[place - 1], POINTS[place]);
                    low + (high - low) * (hour - from) / (to - from)
                }
            }
        }
    }
}

fn of_file(check: &mut Check<'_>, path: &Path, given: &raw::Day, file: &str) -> Vec<Piece> {
    for (name, there) in [
        ("peak", given.peak.is_some()),
        ("trough", given.trough.is_some()),
        ("shape", given.shape.is_some()),
    ] {
        if there {
            let message = format!("expected either `file` or `{name}`, found both");
            check.report(&path.key(name), message, "the file has all rates: keep one of the two");
        }
    }
    let at = path.key("file");
    let Some(text) = check.read_file(&at, file, FILE_BYTES_MAX) else { return Vec::new() };
    match points(&text) {
        Ok(points) => points
            .windows(2)
            .map(|two| Piece {
                length: Span::from_nanos(((two[1].0 - two[0].0) * 1e9).round() as u64),
                rate: two[0].1,
                ramp_to: two[1].1,
            })
            .collect(),
        Err((line, message)) => {
            let help = "a header `time_s,requests_per_s`, then a row a point, times rising from 0; between \
                        two rows the rate is a straight line, and the last row ends the arrivals";
            check.report(&at, format!("`{file}` line {line}: {message}"), help);
            Vec::new()
        }
    }
}

/// Times in seconds and rates; or the line that is wrong, and why.
fn points(text: &str) -> Result<Vec<(f64, f64)>, (usize, String)> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let head = lines.next().map(|(_, line)| line.to_lowercase()).unwrap_or_default();
    let columns: Vec<&str> =
        head.trim_start_matches('\u{feff}').split(',').map(str::trim).collect();
    let column = |names: &[&str]| columns.iter().position(|column| names.contains(column));
    let time = column(&["time_s", "hour"]);
    let rate = column(&["requests_per_s", "rate"]);
    let (Some(time), Some(rate)) = (time, rate) else {
        let found = head.trim();
        return Err((
            1,
            format!("expected the columns time_s (or hour) and requests_per_s, found `{found}`"),
        ));
    };
    let unit = if columns[time] == "hour" { 3_600.0 } else { 1.0 };
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (number, line) in lines {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let number = number + 1;
        let value = |place: usize| {
            let cell = cells.get(place).copied().unwrap_or_default();
            let parsed =
                cell.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
            parsed
                .ok_or_else(|| (number, format!("expected a number of 0 or more, found `{cell}`")))
        };
        let (at, requests) = (value(time)? * unit, value(rate)?);
        if requests > RATE_RANGE.1 {
            return Err((
                number,
                format!("expected at most {} requests/s, found {requests}", RATE_RANGE.1),
            ));
        }
        let after = points.last().map(|last| last.0);
        match after {
            None if at > 0.0 => {
                return Err((number, format!("expected time 0 first, found {at} s")));
            }
            Some(before) if at <= before => {
                return Err((number, format!("expected a time after {before} s, found {at} s")));
            }
            _ => points.push((at, requests)),
        }
    }
    if points.len() < 2 {
        return Err((1, "expected two rows at least, of 0 s and of the end".to_owned()));
    }
    if points.iter().all(|point| point.1 == 0.0) {
        return Err((2, "no request would ever arrive: every rate is 0".to_owned()));
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_reach_both_ends_and_stay_between_them() {
        for shape in [DayShape::Sine, DayShape::Office] {
            let all: Vec<f64> = (0..=96).map(|at| height(shape, f64::from(at) / 4.0)).collect();
            assert!(all.iter().all(|height| (0.0..=1.0).contains(height)), "{shape:?}: {all:?}");
            assert!(all.iter().any(|height| *height > 0.999) && all.contains(&all[96]));
            assert!(all.iter().any(|height| *height < 0.001), "{shape:?}");
            assert!((all[0] - all[96]).abs() < 1e-12, "a day ends as it begins: {shape:?}");
        }
    }

    #[test]
    fn a_file_of_rates_is_refused_with_its_line() {
        assert_eq!(points("hour,rate\n0,1\n24,3\n"), Ok(vec![(0.0, 1.0), (86_400.0, 3.0)]));
        let wrong = |text: &str| points(text).expect_err(text);
        assert_eq!(wrong("when,rate\n0,1\n").0, 1);
        assert_eq!(wrong("time_s,rate\n0,1\n5,x\n").0, 3);
        assert_eq!(wrong("time_s,rate\n0,1\n5,2\n5,3\n").0, 4);
        assert_eq!(wrong("time_s,rate\n9,1\n").0, 2);
        assert!(wrong("time_s,rate\n0,1\n").1.contains("two rows"));
        assert!(wrong("time_s,rate\n0,0\n9,0\n").1.contains("every rate is 0"));
    }
}
