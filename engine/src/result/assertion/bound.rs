//! The number of an assertion: bare in the figure's own unit, or a time or a share with a unit.

use crate::units::Duration;

/// The bound on the figure at `path` that `given` says, in the figure's unit.
///
/// # Errors
/// When it is no number; with words where its unit is not one of this figure.
pub(super) fn read(path: &str, given: &str) -> Result<f64, Option<String>> {
    if let Ok(number) = given.parse() {
        return Ok(number);
    }
    if let Some(percent) = given.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().map_err(|_| None)?;
        return match is_share(path) {
            true => Ok(percent / 100.0),
            false => Err(Some(format!("`{path}` is no share, so `{given}` says nothing of it"))),
        };
    }
    if !given.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-')) {
        return Err(None);
    }
    if !is_time(path) {
        return Err(Some(format!("`{path}` is no time: write a number without a unit")));
    }
    let time: Duration = given.parse().map_err(|error: crate::units::UnitError| {
        let help = error.help.map(|help| format!(": {help}")).unwrap_or_default();
        Some(format!("{}{help}", error.message))
    })?;
    Ok(time.0.as_secs_f64())
}

/// Whether the figure is in seconds: its name says so.
fn is_time(path: &str) -> bool {
    let mut parts = path.split('.');
    let counts = path.ends_with(".count");
    !counts && parts.any(|part| part.ends_with("_s") && !part.ends_with("per_s"))
}

/// Whether the figure is a part of something, from 0 to 1.
fn is_share(path: &str) -> bool {
    let shares = ["_share", "_rate", "share", "utilization"];
    let last = path.rsplit('.').next().unwrap_or_default();
    shares.iter().any(|end| last.ends_with(end)) || path.contains("fluidity.index")
}
