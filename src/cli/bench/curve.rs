//! `--prefill-curve`: the TTFT of an idle server over prompt lengths, as Etalon's prefill profiler measures
//! it (`etalon/prefill_profiler.py`): one request at a time, an answer of one token.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::Server;
use crate::cli::args::BenchArgs;
use crate::cli::backend::Loaded;
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::interrupt;
use crate::report::OutputFile;
use crate::runner::Requests;
use crate::shown::{count, duration};

/// The shortest prompt, and how much longer each is than the one before.
const SHORTEST: u32 = 16;
const STEP: f64 = std::f64::consts::SQRT_2;
/// Requests of each length, of which the middling time counts.
const REPEATS: u64 = 3;

/// Measures the curve and writes it.
///
/// # Errors
/// When the server fails, or the file cannot be written.
pub(super) fn run(
    path: &Path,
    args: &BenchArgs,
    loaded: &Loaded,
    server: Server,
    console: &Console,
) -> Result<Exit, Error> {
    let mut file = OutputFile::create(path)?;
    let lengths = lengths(longest(loaded, &server));
    let own: u64 = lengths.iter().map(|&tokens| (u64::from(tokens) + 1) * REPEATS).sum();
    let requests = lengths.len() as u64 * REPEATS + server.spent.0;
    let cost = own + server.spent.1;
    console.note(&format!(
        "{} requests one after the other, {} tokens in all, with learning and warming up: prompts of {} to {} tokens, {REPEATS} of each",
        count(requests),
        count(cost),
        count(SHORTEST.min(lengths[0]).into()),
        count(lengths[lengths.len() - 1].into())
    ));
    let over = |limit: Option<u64>, cost| limit.is_some_and(|most| cost > most);
    if over(args.max_requests, requests) || over(args.max_tokens, cost) {
        return Err(Error::NoSense(
            "that is more than --max-requests or --max-tokens allow: raise them, or lower \
             engine.max_model_len"
                .to_owned(),
        ));
    }
    interrupt::listen();
    let mut rows = vec!["prompt_tokens,seconds".to_owned()];
    for (place, &tokens) in lengths.iter().enumerate() {
        let mut times: Vec<Duration> = Vec::new();
        for repeat in 0..REPEATS {
            if interrupt::came() {
                return Ok(Exit::Interrupted);
            }
            let key = 1 << 31 | (place as u64 * REPEATS + repeat);
            let asked = server.dialect.ttft(&server.http, &server.speaker, key, tokens);
            let (stated, time) = server
                .runtime
                .block_on(asked)
                .map_err(|why| Error::NoSense(format!("a prompt of {tokens} tokens: {why}")))?;
            if stated.is_some_and(|stated| stated != tokens) && repeat == 0 {
                console.warn(&format!(
                    "a prompt of {tokens} tokens counts as {} at the server",
                    stated.unwrap_or(0)
                ));
            }
            times.push(time);
        }
        times.sort();
        let time = times[times.len() / 2].as_secs_f64();
        rows.push(format!("{tokens},{time:.9}"));
        console.note(&format!("{} tokens: {}", count(tokens.into()), duration(time)));
    }
    if let Err(source) = writeln!(file, "{}", rows.join("\n")) {
        return Err(file.error(source).into());
    }
    file.commit()?;
    console.note(&format!(
        "for deadlines by this curve: metron-sim evaluate FILE --ttft-curve {}",
        path.display()
    ));
    Ok(Exit::Fine)
}

/// The longest prompt of the scenario, or what the server has room for.
fn longest(loaded: &Loaded, server: &Server) -> u32 {
    let context = server.dialect.max_model_len.unwrap_or(loaded.experiment.engine.max_model_len);
    let asked = match &loaded.requests {
        Requests::Open(workload) => workload.requests.iter().map(|r| r.prompt_tokens).max(),
        Requests::Closed(_) => None,
    };
    asked.unwrap_or(context).min(context.saturating_sub(2)).max(1)
}

fn lengths(longest: u32) -> Vec<u32> {
    let all = (0_i32..)
        .map(|step| (f64::from(SHORTEST) * libm::pow(STEP, f64::from(step))).round() as u32);
    let mut lengths: Vec<u32> = all.take_while(|&tokens| tokens < longest).collect();
    lengths.push(longest);
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_rise_to_the_longest() {
        assert_eq!(lengths(100), [16, 23, 32, 45, 64, 91, 100]);
        assert_eq!(lengths(9), [9]);
    }
}
