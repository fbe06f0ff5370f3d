//! LLMPerf's `*_individual_responses.json`: a list of objects, one a request, seconds.
//!
//! There are no instants: neither sending times nor those of tokens after the first. What it calls the
//! inter-token latency is a request's mean, the first token's time included, and is not read.

use std::io::Read;

use super::Progress;
use super::builder::{Builder, Sent};
use super::ended::{Ended, Failure};
use super::fault::Fault;
use super::json::{Json, SECONDS};
use super::measured::{Granularity, Measured};

/// Reads the requests of a file, which are one run.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    const KEYS: &[&str] = &[
        "error_code",
        "error_msg",
        "ttft_s",
        "end_to_end_latency_s",
        "number_input_tokens",
        "number_output_tokens",
    ];
    let mut builder = Builder::new(progress);
    json.list(|json| {
        let begin = json.position();
        let (mut code, mut words) = (None, None);
        let (mut ttft, mut total, mut prompt, mut output) = (None, None, None, None);
        json.object(KEYS, |json, key| {
            match key {
                "error_code" => code = json.figure_or_skip()?.filter(|code| *code != 0.0),
                "error_msg" => {
                    words = json.string_or_skip()?.filter(|text| !text.trim().is_empty())
                }
                "ttft_s" => ttft = json.nanos_or_null(SECONDS)?,
                "end_to_end_latency_s" => total = json.nanos_or_null(SECONDS)?,
                "number_input_tokens" => prompt = json.count_or_null()?,
                _ => output = json.count_or_null()?,
            }
            Ok(())
        })?;
        let by_code = code.map(|code| Ended::by_http_status(code as u32).unwrap_or(Ended::Failed));
        let by_words = words.map(|words| Failure::by_text(&words).ended);
        let mut ended = by_code.or(by_words).unwrap_or(Ended::Completed);
        if ended == Ended::Completed && output == Some(0) {
            ended = Ended::Failed;
        }
        let done = ended == Ended::Completed;
        if done && total.is_none() {
            return Err(Fault::at(begin, "`end_to_end_latency_s` is missing"));
        }
        let first = ttft.filter(|&ttft| done && ttft > 0);
        if let (Some(_), Some(total), true) = (first, total, output != Some(1)) {
            builder.token(total);
        }
        builder.observed_until(total.unwrap_or(0));
        let row = Sent {
            first,
            prompt_tokens: prompt.unwrap_or(0),
            output_tokens: output,
            ended,
            total,
            ..Sent::default()
        };
        builder.request(row).map_err(|fault| fault.or_at(begin))?;
        progress.requests += 1;
        Ok(())
    })?;
    if json.another()? {
        return Err(json.fault("something follows the list"));
    }
    let mut measured = builder.finish(Granularity::FirstLast)?;
    measured.knows.arrivals = false;
    measured.notes.push("the file has no sending times: no rates, no makespan".to_owned());
    Ok(vec![measured])
}
