//! Commands that speak with live servers.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// `metron-sim mock`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MockArgs {
    /// A scenario: a file (YAML), a name of `list scenarios`, or - for stdin
    pub scenario: String,
    /// Port; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 8000)]
    pub port: u16,
    /// Address to listen on; others than this machine's own can then use it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub listen: String,
    /// How much faster than the wall clock simulated time passes, such as 10x
    #[arg(long, value_name = "FACTOR", default_value = "1x", value_parser = speed)]
    pub speed: f64,
    /// Which scheduler of the scenario, by its label [default: the first]
    #[arg(long, value_name = "LABEL")]
    pub scheduler: Option<String>,
    /// Name of the model [default: the scenario's]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Environment variable with the API key that clients must have [default: none is asked for]
    #[arg(long, value_name = "VAR")]
    pub api_key_env: Option<String>,
    /// Write a row for each token sent when it ends (.csv or .jsonl)
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Write the requests that came as a trace when it ends (.jsonl), for `run`
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Share of the requests that are answered with status 500
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, help_heading = "Faults")]
    pub error_rate: f64,
    /// Share of the answers that pause in the middle, and for how long, such as 0.05:2s
    #[arg(long, value_name = "SHARE:TIME", value_parser = stall, help_heading = "Faults")]
    pub stall: Option<(f64, Duration)>,
    /// Share of the answers whose connection breaks in the middle
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, help_heading = "Faults")]
    pub disconnect: f64,
    /// Answer with 503 for so long after the start, /health too
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Faults")]
    pub slow_start: Option<Duration>,
    /// Answer with 429 while so many requests are open
    #[arg(long, value_name = "N", help_heading = "Faults")]
    pub queue_limit: Option<usize>,
    /// Send so many tokens in a chunk
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Faults")]
    pub chunk_tokens: u32,
}

/// `metron-sim bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    /// A scenario: a file (YAML), a name of `list scenarios`, or - for stdin
    pub scenario: String,
    /// The server, with or without /v1, such as http://127.0.0.1:8000
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// Name of the model [default: the only one that the server lists]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// What to call
    #[arg(long, value_enum, default_value_t = Endpoint::Completions)]
    pub endpoint: Endpoint,
    /// How prompts are sent: token ids, or text of that many tokens [default: ids where the server
    /// takes them]
    #[arg(long, value_enum)]
    pub prompts: Option<PromptForm>,
    /// Send the prompts of an earlier run again, which the server may have cached [default: other ones in
    /// each run]
    #[arg(long, value_name = "N")]
    pub prompts_seed: Option<u64>,
    /// Environment variable with the API key
    #[arg(long, value_name = "VAR", default_value = "OPENAI_API_KEY")]
    pub api_key_env: String,
    /// Requests sent before the measurement, one after the other
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub warmup: u32,
    /// Give a request up after this time
    #[arg(long, value_name = "TIME", default_value = "600s", value_parser = time)]
    pub request_timeout: Duration,
    /// Read this metrics page each second, and say how many requests waited and ran
    #[arg(long, value_name = "URL")]
    pub metrics_url: Option<String>,
    /// Write a row for each token received (.csv or .jsonl) [default: NAME-bench.csv]
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Write a row for each request: status, error, usage, lateness (.csv or .jsonl)
    #[arg(long, value_name = "FILE")]
    pub requests: Option<PathBuf>,
    /// Keep the answers' text in the file of --requests
    #[arg(long, requires = "requests")]
    pub keep_text: bool,
    /// Write a page with plots, all in one file (.html)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Exit with 3 when the SLO is not met, or the client could not keep up
    #[arg(long)]
    pub check: bool,
    /// Measure the TTFT of an idle server over prompt lengths, and write the curve (.csv)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["capacity", "tokens", "requests", "report", "metrics_url", "check"])]
    pub prefill_curve: Option<PathBuf>,
    /// Find the highest rate at which the server keeps the SLO
    #[arg(long, conflicts_with_all = ["tokens", "requests", "report", "metrics_url"])]
    pub capacity: bool,
    /// Send no more requests than this in all, those that learn and warm up included
    #[arg(long, value_name = "N")]
    pub max_requests: Option<u64>,
    /// Send and ask for no more tokens than this in all
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u64>,
    /// Go on without asking where --capacity says what it will cost
    #[arg(short, long)]
    pub yes: bool,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Endpoint {
    /// /v1/completions
    Completions,
    /// /v1/chat/completions
    Chat,
}

/// How prompts are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PromptForm {
    /// As lists of token ids
    Ids,
    /// As text
    Text,
}

fn speed(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix(['x', 'X']).unwrap_or(text).parse::<f64>();
    let speed = number.ok().filter(|speed| (1e-3..=1e6).contains(speed));
    speed.ok_or_else(|| "expected a factor such as 1x, 0.5x or 20x".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0 to 1".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let span = text.parse::<crate::units::Duration>().map_err(|error| error.to_string())?;
    Ok(Duration::from_nanos(span.0.as_nanos()))
}

fn stall(text: &str) -> Result<(f64, Duration), String> {
    let (part, pause) = text.split_once(':').ok_or("expected SHARE:TIME, such as 0.05:2s")?;
    Ok((share(part)?, time(pause)?))
}
