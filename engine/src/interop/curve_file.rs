//! Prefill curves from files: prompt tokens and seconds.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::fault::{Fault, InteropError};
use super::json::{Json, SECONDS};
use super::rows::Rows;
use crate::metrics::PrefillCurve;
use crate::time::Span;

/// Most points that are read.
const POINTS_MAX: usize = 1_000_000;

/// Reads a curve: CSV with the columns `prompt_tokens` and `seconds`, JSON Lines of objects with
/// those members, or a JSON list of such objects or of `[prompt_tokens, seconds]` pairs.
///
/// # Errors
/// When the file cannot be read or its points make no curve.
pub fn read_curve(path: &Path) -> Result<PrefillCurve, Box<InteropError>> {
    read(path).map_err(|fault| {
        Box::new(InteropError {
            path: path.to_owned(),
            format: Some("prefill curve"),
            fault,
            read_so_far: None,
            help: Some(
                "a curve is CSV with the columns prompt_tokens,seconds, or JSON: \
                 [[prompt_tokens, seconds], ...]"
                    .to_owned(),
            ),
        })
    })
}

fn read(path: &Path) -> Result<PrefillCurve, Fault> {
    let file =
        File::open(path).map_err(|error| Fault::whole(format!("cannot be opened: {error}")))?;
    let mut input = BufReader::new(file);
    let head =
        input.fill_buf().map_err(|error| Fault::whole(format!("cannot be read: {error}")))?;
    let list = head.trim_ascii_start().first() == Some(&b'[');
    let mut points = Vec::new();
    let mut add = |point| {
        points.push(point);
        if points.len() > POINTS_MAX {
            return Err(Fault::whole("more than 1,000,000 points"));
        }
        Ok(())
    };
    if list {
        let mut json = Json::new(input);
        json.list(|json| {
            let begin = json.position();
            let (mut prompt, mut time) = (None, None);
            if json.next_is(b'{')? {
                json.object(&["prompt_tokens", "seconds"], |json, key| {
                    match key {
                        "prompt_tokens" => prompt = Some(json.count()?),
                        _ => time = Some(json.nanos(SECONDS)?),
                    }
                    Ok(())
                })?;
            } else {
                json.list(|json| {
                    match (prompt, time) {
                        (None, _) => prompt = Some(json.count()?),
                        (Some(_), None) => time = Some(json.nanos(SECONDS)?),
                        _ => return Err(json.fault("a point has two numbers")),
                    }
                    Ok(())
                })?;
            }
            match (prompt, time) {
                (Some(prompt), Some(time)) => add((prompt, Span::from_nanos(time))),
                _ => Err(Fault::at(begin, "a point has prompt_tokens and seconds")),
            }
        })?;
        if json.another()? {
            return Err(json.fault("something follows the list"));
        }
    } else {
        let mut rows = Rows::new(Box::new(input))?;
        rows.want(&["prompt_tokens", "seconds"], 2)?;
        while rows.next(false)? {
            let prompt = rows.needed(0, rows.count(0)?)?;
            let time = rows.needed(1, rows.nanos(1, SECONDS)?)?;
            add((prompt, Span::from_nanos(time)))?;
        }
    }
    PrefillCurve::new(points).map_err(|error| Fault::whole(error.to_string()))
}
