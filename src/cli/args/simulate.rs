//! Commands that simulate a scenario as it stands.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `metron-sim run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// A scenario: a file (YAML), a name of `list scenarios`, or - for stdin
    pub scenario: String,
    /// The rest.
    #[command(flatten)]
    pub flags: RunFlags,
}

/// Flags of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunFlags {
    /// Write a row for each request (.csv or .jsonl)
    #[arg(long, value_name = "FILE")]
    pub requests: Option<PathBuf>,
    /// Write a row for each output token (.csv or .jsonl)
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Write every iteration as a Chrome trace, which Perfetto opens (.json)
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// Say where the time went, by cause, however many tokens there are (JSON member `stalls`)
    #[arg(long)]
    pub stalls: bool,
    /// Write a page with plots, all in one file (.html)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Exit with 3 when a scheduler does not meet the SLO
    #[arg(long)]
    pub check: bool,
    /// Say whether verdicts hold on machines on which the engine's own time is shorter or longer
    #[arg(long)]
    pub host_range: bool,
    /// Take the simulator's slow, obvious path
    #[arg(long)]
    pub reference: bool,
    /// Run everything twice, on different numbers of threads, and compare
    #[arg(long)]
    pub check_determinism: bool,
    /// Which figures to work out
    #[arg(long, value_enum, default_value_t = Metrics::Auto)]
    pub metrics: Metrics,
    /// Exit with 3 unless this holds for every run, such as 'ttft_s.p99 < 0.5' (repeatable)
    #[arg(long, value_name = "PATH<NUMBER")]
    pub assert: Vec<String>,
}

/// Which figures to work out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Metrics {
    /// The full figures up to a million output tokens; those of a sweep never
    Auto,
    /// The full figures always
    Full,
}

/// `metron-sim explain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A scenario: a file (YAML), a name of `list scenarios`, or - for stdin
    pub scenario: String,
    /// The rest.
    #[command(flatten)]
    pub flags: ExplainFlags,
}

/// Flags of `explain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainFlags {
    /// Explain one request, numbered from 0 in order of arrival
    #[arg(long, value_name = "ID")]
    pub request: Option<u32>,
    /// How many stalls, and how many culprits
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub top: u16,
    /// Explain the gap before this token of the request; 0 is the first
    #[arg(long, value_name = "N", requires = "request")]
    pub token: Option<u32>,
    /// Write a page with plots, all in one file (.html)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Explain the stalls of this real run (any file that `evaluate` reads, with token times) by a
    /// simulation of the same requests
    #[arg(long, value_name = "FILE", conflicts_with_all = ["request", "report"])]
    pub observed: Option<PathBuf>,
    /// Which run of that file, where it holds several
    #[arg(long, value_name = "NAME", requires = "observed")]
    pub run: Option<String>,
    /// Take the simulator's slow, obvious path, for the cures that are tried too
    #[arg(long)]
    pub reference: bool,
}

/// `metron-sim swarm`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SwarmArgs {
    /// How many scenarios; each has a seed of its own, one after another
    #[arg(long, value_name = "K", default_value_t = 1000)]
    pub runs: u64,
}

/// `metron-sim serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// The scenario to begin with: a file (YAML), or a name of `list scenarios`
    pub scenario: Option<String>,
    /// Port; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,
    /// Address to listen on; others than this machine's own can then use it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub listen: String,
    /// Write the page into this folder instead, with the engine inside: it needs no server
    #[arg(long, value_name = "DIR", requires = "wasm")]
    pub export: Option<PathBuf>,
    /// The engine as WebAssembly, for --export
    #[arg(long, value_name = "FILE", requires = "export")]
    pub wasm: Option<PathBuf>,
    /// The address that the page will have, for --export: links that are shared begin with it
    #[arg(long, value_name = "URL", requires = "export")]
    pub address: Option<String>,
}
