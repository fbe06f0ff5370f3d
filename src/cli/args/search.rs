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
    #[arg(long, value_name = "N", default_value_t = crate::search::MAX_REPLICAS)]
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
