//! The promise that flags state, and measured files judged by it: shared by `evaluate` and
//! `compare`.

use std::path::Path;
use std::sync::Arc;

use crate::cli::args::{JudgeFlags, Metrics};
use crate::cli::error::Error;
use crate::interop::{self, Format, GivenPromise, GivenTtft, Imported, judge};
use crate::promise::DEFAULT_SLACK;
use crate::result::{Assertion, MeasuredResult, RunResult};
use crate::search::check;
use crate::time::Span;

/// What files are read as and judged by.
pub(super) struct Judging {
    from: Option<Format>,
    /// The promise.
    pub promise: GivenPromise,
    full: bool,
    skip_bad: bool,
}

impl Judging {
    /// Reads the flags.
    ///
    /// # Errors
    /// When a flag has a bad value or the curve's file cannot be read.
    pub(super) fn new(flags: &JudgeFlags, assertions: &[Assertion]) -> Result<Judging, Error> {
        let from = flags.from.as_deref().map(format).transpose()?;
        let slack =
            flags.ttft_slack.as_deref().map(|text| time("--ttft-slack", text)).transpose()?;
        let ttft = if let Some(text) = &flags.ttft {
            GivenTtft::Fixed(time("--ttft", text)?)
        } else if let Some(path) = &flags.ttft_curve {
            let curve = Arc::new(interop::read_curve(path)?);
            let from = path.display().to_string();
            GivenTtft::Curve { curve, slack: slack.unwrap_or(DEFAULT_SLACK), from }
        } else if flags.ttft_fit {
            GivenTtft::Fit { slack: slack.unwrap_or(DEFAULT_SLACK) }
        } else {
            GivenTtft::Own
        };
        if slack.is_some() && matches!(ttft, GivenTtft::Fixed(_) | GivenTtft::Own) {
            return Err(Error::Usage(
                "--ttft-slack is added to a curve: give --ttft-curve or --ttft-fit too".to_owned(),
            ));
        }
        let tbt = flags.tbt.as_deref().map(|text| time("--tbt", text)).transpose()?;
        if tbt == Some(Span::ZERO) {
            return Err(Error::Usage("--tbt must be at least 1ns".to_owned()));
        }
        let fluidity = flags.fluidity.as_deref().map(fluidity).transpose()?;
        let full =
            flags.metrics == Metrics::Full || assertions.iter().any(Assertion::needs_full_metrics);
        Ok(Judging {
            from,
            promise: GivenPromise { ttft, tbt, fluidity },
            full,
            skip_bad: flags.skip_bad,
        })
    }

    /// Whether flags state a promise, or a part of one.
    pub(super) fn is_given(&self) -> bool {
        let GivenPromise { ttft, tbt, fluidity } = &self.promise;
        !matches!(ttft, GivenTtft::Own) || tbt.is_some() || fluidity.is_some()
    }

    /// The runs of a file of a server's own histograms; `None` for another file.
    ///
    /// # Errors
    /// When it is one that cannot be read.
    pub(super) fn histograms(&self, path: &Path) -> Result<Option<Vec<RunResult>>, Error> {
        if self.from.is_some() {
            return Ok(None);
        }
        Ok(interop::histograms(path).transpose()?)
    }

    /// Reads a file and judges each of its runs.
    ///
    /// # Errors
    /// When it cannot be read or judged.
    pub(super) fn runs(&self, path: &Path) -> Result<(Imported, Vec<RunResult>), Error> {
        let imported = interop::import_with(path, self.from, self.skip_bad)?;
        let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let mut runs: Vec<RunResult> = Vec::new();
        for measured in &imported.runs {
            let mut label = match (imported.runs.len(), imported.format) {
                (_, Format::Tokens | Format::Requests) if !measured.name.is_empty() => {
                    measured.name.clone()
                }
                (1, _) => stem.clone(),
                _ => format!("{stem}: {}", measured.name),
            };
            let same = runs.iter().filter(|run| run.label == label).count();
            if same > 0 {
                label = format!("{label} #{}", runs.len() + 1);
            }
            let of = MeasuredResult {
                file: path.display().to_string(),
                format: imported.format.name().to_owned(),
                ..MeasuredResult::default()
            };
            let run = judge(measured, of, label, &self.promise, self.full)
                .map_err(|error| Error::Judge { file: path.display().to_string(), error })?;
            runs.push(run);
        }
        Ok((imported, runs))
    }
}

fn format(name: &str) -> Result<Format, Error> {
    Format::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        Error::Usage(format!("--from {name}: known formats are {}", names.join(", ")))
    })
}

/// A time that a flag states.
///
/// # Errors
/// When it is none.
pub(super) fn time(flag: &str, text: &str) -> Result<Span, Error> {
    check::time(text).map_err(|why| Error::Usage(format!("{flag}: {why}")))
}

/// `INDEX:SHARE`, both within 0 to 1.
fn fluidity(text: &str) -> Result<(f64, f64), Error> {
    let part =
        |text: &str| text.trim().parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value));
    let both = text.split_once(':').and_then(|(index, share)| Some((part(index)?, part(share)?)));
    both.ok_or_else(|| {
        Error::Usage(format!(
            "--fluidity {text}: write INDEX:SHARE, both within 0 to 1, such as 0.9:0.99"
        ))
    })
}

/// Reads assertions.
///
/// # Errors
/// When one is none.
pub(super) fn assertions(texts: &[String]) -> Result<Vec<Assertion>, Error> {
    texts.iter().map(|text| Ok(Assertion::parse(text)?)).collect()
}
