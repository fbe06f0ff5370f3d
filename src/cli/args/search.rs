//! Commands that simulate many variants of a scenario.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum, value_parser};

use super::Metrics;

/// More seeds than this make no interval narrower that anyone reads.
const SEEDS_MAX: i64 = 10_000;

/// `metron-sim capacity`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CapacityArgs {
    /// A scenario: a file (YAML), a name of `list scenarios`, or - for stdin
    pub scenario: String,
    /// How to search.
    #[command(flatten)]
    pub search: SearchFlags,
    /// Search with a part of the seeds alone, for batch systems: a search of all seeds with the same --cache
    /// goes on from it
    #[arg(long, value_name = "I/N", requires = "cache", conflicts_with = "host_range")]
    pub shard: Option<String>,
    /// Search too on machines on which the engine's own time is shorter or longer
    #[arg(long)]
    pub host_range: bool,
    /// With pools that prefill and decode: search each division of so many GPUs between the two, too, and
    /// the same GPUs colocated
    #[arg(long, value_name = "N")]
    pub gpus: Option<NonZeroU32>,
    /// Write a page with plots, all in one file (.html)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `metron-sim sweep`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SweepArgs {
    /// A scenario: a file (YAML), a name of `list scenarios`, or - for stdin
    pub scenario: String,
    /// A field and its values, such as replicas=1,2,4 (repeatable: all combinations)
    #[arg(long, value_name = "PATH=A,B", required = true)]
    pub vary: Vec<String>,
    /// Search for the capacity of each combination instead of running it once
    #[arg(long)]
    pub capacity: bool,
    /// How to search, with --capacity.
    #[command(flatten)]
    pub search: SearchFlags,
    /// Only a part of the combinations, for batch systems; see `merge`
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// Mark what nothing beats in both of two figures (add :min or :max to a path)
    #[arg(long, value_name = "PATH,PATH")]
    pub pareto: Option<String>,
    /// Which figures to work out; `full` ones also where --pareto or --assert asks for one
    #[arg(long, value_enum, default_value_t = Metrics::Auto, conflicts_with = "capacity")]
    pub metrics: Metrics,
    /// Write a page with plots, all in one file (.html)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `metron-sim merge`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MergeArgs {
    /// JSON results of `sweep --shard`
    #[arg(required = true)]
    pub shards: Vec<PathBuf>,
    /// Mark what nothing beats in both of two figures (add :min or :max to a path)
    #[arg(long, value_name = "PATH,PATH")]
    pub pareto: Option<String>,
    /// Write a page with plots, all in one file (.html)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Flags of a capacity search.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Capacity search")]
pub(crate) struct SearchFlags {
    /// Find the fewest replicas for this many requests a second, too
    #[arg(long, value_name = "R")]
    pub for_rate: Option<f64>,
    /// Find the fewest replicas for this many users of a closed loop, too
    #[arg(long, value_name = "N", conflicts_with = "for_rate")]
    pub for_users: Option<NonZeroU32>,
    /// Which pool's replicas to count for that [default: all pools grow in proportion]
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
    /// Simulate no fleet of more replicas than these
    #[arg(long, value_name = "N", default_value_t = crate::search::MAX_REPLICAS, value_parser = value_parser!(u32).range(1..))]
    pub max_replicas: u32,
    /// End after this time with what is known by then, such as 10min (exit code 3)
    #[arg(long, value_name = "DURATION")]
    pub max_time: Option<String>,
    /// Say on stderr how far it is, even where that is no terminal
    #[arg(long)]
    pub progress: bool,
    /// Runs with seeds of their own, for the confidence interval
    #[arg(long, value_name = "N", default_value = "3", value_parser = value_parser!(u32).range(1..=SEEDS_MAX))]
    pub seeds: u32,
    /// How closely to bracket the highest rate
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    pub precision: String,
    /// Which terms of the scenario's SLO count
    #[arg(long, value_enum, default_value_t = CountedTerms::All)]
    pub slo: CountedTerms,
    /// A figure of the result that must hold too, such as tbt_s.p99<=0.05 (repeatable). In a sweep
    /// without --capacity: exit with 3 unless it holds for every run
    #[arg(long, value_name = "PATH<=X")]
    pub assert: Vec<String>,
    /// Keep finished simulations in this folder, and take those that are there
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
}

/// Which terms of an SLO count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CountedTerms {
    /// Fluidity and bounds
    All,
    /// The share of fluid requests
    Fluidity,
    /// The bounds: TBT and TTFT, TTFT and TPOT, or whatever is bounded
    Bounds,
}

/// `metron-sim plan`.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanArgs {
    /// The model: a name of the catalogue
    #[arg(long, value_name = "NAME", required_unless_present = "scenario")]
    pub model: Option<String>,
    /// GPUs to choose from, such as h100-sxm,l40s, or `all`
    #[arg(long, alias = "gpu", value_name = "A,B", value_delimiter = ',', required = true)]
    pub gpus: Vec<String>,
    /// Tokens of a prompt
    #[arg(long, value_name = "N", conflicts_with_all = ["scenario", "trace"])]
    pub prompt: Option<NonZeroU32>,
    /// Tokens of an answer; `--output 400` says the same
    #[arg(long, value_name = "N", conflicts_with_all = ["scenario", "trace"])]
    pub output_tokens: Option<NonZeroU32>,
    /// Of each prompt, so many tokens are the same for all
    #[arg(long, value_name = "N", default_value = "0")]
    pub shared_prefix: u32,
    /// The longest time to the first token, such as p99=1s
    #[arg(long, value_name = "P99=TIME", conflicts_with = "scenario")]
    pub ttft: Option<String>,
    /// Tokens a second that a user is to see
    #[arg(long, alias = "tokens-per-sec", value_name = "N", conflicts_with = "scenario")]
    pub tokens_per_s: Option<f64>,
    /// The share of requests whose text must flow
    #[arg(long, value_name = "SHARE", default_value = "99%", conflicts_with = "scenario")]
    pub share: String,
    /// Requests a second; with --sessions, sessions that begin a second
    #[arg(long, alias = "qps", value_name = "R")]
    pub rate: Option<f64>,
    /// Users who wait for their answers; with --sessions, each has one session at a time
    #[arg(long, alias = "concurrency", value_name = "N", conflicts_with_all = ["rate", "scenario", "trace"])]
    pub users: Option<NonZeroU32>,
    /// What a user thinks between an answer and the next request; with --sessions, between two sessions
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub think_time: String,
    /// Sessions of several turns, in place of --prompt and --output: `chat` (conversations) or `agent` (coding
    /// agents)
    #[arg(long, value_name = "PRESET", conflicts_with_all = ["scenario", "trace", "prompt", "output_tokens", "shared_prefix"])]
    pub sessions: Option<String>,
    /// A scenario file with the traffic and the promise; its GPU is chosen
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub scenario: Option<String>,
    /// A file of requests, in place of --prompt and --output
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    pub trace: Option<String>,
    /// What a GPU costs an hour, such as h100-sxm=2.5 (repeatable)
    #[arg(long, value_name = "GPU=USD")]
    pub price: Vec<String>,
    /// Sizes of tensor parallelism to choose from [default: 1,2,4,8 within a node]
    #[arg(long, alias = "tensor-parallel-size", value_name = "N,M", value_delimiter = ',')]
    pub tp: Vec<NonZeroU32>,
    /// Number formats to choose from [default: the model's own, and fp8 where the GPU has it]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub dtype: Vec<String>,
    /// Try prefill and decode apart as well, with KV over this link of `list links`, such as ib-400g
    #[arg(long, value_name = "LINK")]
    pub apart: Option<String>,
    /// Runs with seeds of their own, all of which must hold
    #[arg(long, value_name = "N", default_value = "3", value_parser = value_parser!(u32).range(1..=100))]
    pub seeds: u32,
    /// Simulate no fleet of more replicas than these
    #[arg(long, value_name = "N", default_value_t = crate::search::MAX_REPLICAS, value_parser = value_parser!(u32).range(1..))]
    pub max_replicas: u32,
    /// End after this time with what is known by then, such as 1min (exit code 3)
    #[arg(long, value_name = "DURATION")]
    pub max_time: Option<String>,
    /// Try everything in its turn, to check the search by: takes long
    #[arg(long)]
    pub exhaustive: bool,
    /// Write the best answer as a scenario (.yaml)
    #[arg(long, value_name = "FILE")]
    pub write_scenario: Option<PathBuf>,
    /// Write a page (.html)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}
