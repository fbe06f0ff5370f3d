//! Commands that read what was measured.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Metrics;

/// `metron-sim evaluate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// Result files of vLLM, SGLang, AIPerf, GuideLLM, inference-perf, Etalon, BLIS or metron-sim
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How to read and judge them.
    #[command(flatten)]
    pub judge: JudgeFlags,
    /// Find stalls in the token times, and say what they look like
    #[arg(long)]
    pub explain: bool,
    /// Exit with 3 unless this holds for every run, such as 'ttft_s.p99 < 0.5' (repeatable)
    #[arg(long, value_name = "PATH<NUMBER")]
    pub assert: Vec<String>,
    /// Write a page with plots, all in one file (.html)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `metron-sim compare`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArgs {
    /// A JSON result of run or evaluate, a measured file, or a scenario (which is run)
    pub a: PathBuf,
    /// Another
    pub b: PathBuf,
    /// Which run of A, by its label, where it holds several
    #[arg(long, value_name = "LABEL")]
    pub run_a: Option<String>,
    /// Which run of B
    #[arg(long, value_name = "LABEL")]
    pub run_b: Option<String>,
    /// How to read and judge measured files.
    #[command(flatten)]
    pub judge: JudgeFlags,
}

/// How to read measured files, and the promise to judge them by.
#[derive(Clone, Debug, Args)]
pub(crate) struct JudgeFlags {
    /// Format of the files, in place of telling it from their content
    #[arg(long, value_name = "FORMAT")]
    pub from: Option<String>,
    /// Deadline of every first token, such as 500ms [default: what the file states; else first
    /// tokens are left out of fluidity]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["ttft_curve", "ttft_fit"])]
    pub ttft: Option<String>,
    /// Deadlines of first tokens from a prefill curve (prompt_tokens, seconds; .csv or .json)
    #[arg(long, value_name = "FILE", conflicts_with = "ttft_fit")]
    pub ttft_curve: Option<PathBuf>,
    /// Deadlines of first tokens from a curve fitted to each file's own unqueued requests
    #[arg(long)]
    pub ttft_fit: bool,
    /// What is added to a prefill curve [default: 300ms]
    #[arg(long, value_name = "TIME")]
    pub ttft_slack: Option<String>,
    /// Deadline of each later token [default: what the file states; else 25ms]
    #[arg(long, value_name = "TIME")]
    pub tbt: Option<String>,
    /// Fluidity-index of a fluid request, and the share of requests that must be fluid [default:
    /// what the file states; else 0.9:0.99]
    #[arg(long, value_name = "INDEX:SHARE")]
    pub fluidity: Option<String>,
    /// Leave out requests whose times go backwards, with a note; they are an error otherwise
    #[arg(long)]
    pub skip_bad: bool,
    /// Which figures to work out
    #[arg(long, value_enum, default_value_t = Metrics::Auto)]
    pub metrics: Metrics,
}

/// `metron-sim validate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ValidateArgs {
    /// A scenario: a file (YAML), a name of `list scenarios`, or - for stdin
    pub scenario: String,
    /// The real run: a row a request (CSV), or any file that `evaluate` reads
    #[arg(long, value_name = "FILE")]
    pub observed: PathBuf,
    /// Which run of the file, where it holds several
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
}

/// `metron-sim calibrate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// A scenario: a file (YAML), a name of `list scenarios`, or - for stdin. With --iterations it may be
    /// left out
    #[arg(required_unless_present = "iterations")]
    pub scenario: Option<String>,
    /// The real run: a row a request (CSV), or any file that `evaluate` reads
    #[arg(long, value_name = "FILE", required_unless_present = "iterations")]
    pub observed: Option<PathBuf>,
    /// Fit a step-time law to the engine's own iteration log instead: a scheduler's steps or
    /// llama_decode calls (a JSON line each, gzip or plain), or a vLLM server's log with
    /// --enable-logging-iteration-details; may be given several times
    #[arg(long, value_name = "LOG", conflicts_with_all = ["observed", "run", "fit"])]
    pub iterations: Vec<PathBuf>,
    /// Which run of the file, where it holds several
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
    /// Constants to fit: host (time a step and a sequence), kernels (a factor on all kernels),
    /// gpu (effective FLOP/s and bandwidth of matrix products and attention), link (a factor on
    /// all that GPUs exchange)
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', default_value = "host,kernels")]
    pub fit: Vec<Fit>,
}

/// Constants that can be fitted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fit {
    /// What the engine adds to a step
    Host,
    /// A factor on all kernels
    Kernels,
    /// Effective FLOP/s and bandwidth
    Gpu,
    /// A factor on all that GPUs exchange
    Link,
}
