//! The command line as it is typed.

mod form;
#[cfg(feature = "live")]
mod live;
mod meant;
mod measured;
mod parse;
mod search;
mod simulate;

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

#[cfg(feature = "live")]
pub(super) use live::{BenchArgs, Endpoint, MockArgs, PromptForm};
pub(super) use measured::{
    CalibrateArgs, CompareArgs, EvaluateArgs, Fit, JudgeFlags, ValidateArgs,
};
pub use parse::command;
pub(super) use parse::parse;
pub(super) use search::{CapacityArgs, CountedTerms, MergeArgs, PlanArgs, SearchFlags, SweepArgs};
pub(super) use simulate::{
    ExplainArgs, ExplainFlags, Metrics, RunArgs, RunFlags, ServeArgs, SwarmArgs,
};

/// So many threads are more than any machine has cores, and few enough for it to start.
const THREADS_MAX: u64 = 1_024;

fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=THREADS_MAX)
}

/// Simulates how GPUs serve large language models, and explains why a user's text stalled.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "metron-sim",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Begin with `metron-sim run chat`. A SCENARIO is a file (YAML) or a name of `metron-sim list \
                  scenarios`; `metron-sim schema keys` explains every key of one.\n\n\
                  Exit codes: 0 fine, 1 I/O or internal error, 2 bad usage or input, \
                  3 SLO (--check) or assertion (--assert) not met.\n`metron-sim --scenario FILE` is short for \
                  `metron-sim run FILE`."
)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Simulate this scenario file, as `run` does; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<String>,
    /// Flags of `run`, for `metron-sim --scenario FILE`.
    #[command(flatten)]
    pub run: RunFlags,
    /// Flags of every command.
    #[command(flatten)]
    pub global: GlobalFlags,
    /// The command's name; none for the short form.
    #[arg(skip)]
    pub typed: Option<String>,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct GlobalFlags {
    /// Form of the result
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub format: Format,
    /// Write the result to a file; `-` is stdout
    #[arg(short, long, value_name = "FILE", global = true)]
    pub output: Option<PathBuf>,
    /// Seed of every random stream, in place of the scenario's
    #[arg(long, value_name = "N", global = true)]
    pub seed: Option<u64>,
    /// Set a field of the scenario, such as engine.kv_blocks=512 (repeatable; the last counts)
    #[arg(long, value_name = "PATH=VALUE", global = true)]
    pub set: Vec<String>,
    /// Threads to use; the result does not depend on it [default: as many cores as help]
    #[arg(long, value_name = "N", global = true, value_parser = threads())]
    pub jobs: Option<usize>,
    /// When to use colour (NO_COLOR is respected)
    #[arg(long, value_enum, default_value_t = ColorWhen::Auto, global = true)]
    pub color: ColorWhen,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more: the whole table, and more on stderr
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Whether JSON is to be written a line a run: `-o x.jsonl`.
    #[arg(skip)]
    pub json_lines: bool,
}

impl GlobalFlags {
    /// Threads to use: those asked for, or one a core.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.unwrap_or_else(cores)
    }
}

/// Forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[value(alias = "txt")]
    Text,
    /// For programs; see `metron-sim schema result`
    Json,
    /// A row a scheduler
    Csv,
    /// Nothing; the exit code tells
    Quiet,
}

impl Format {
    /// Its name, as `--format` takes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Quiet => "quiet",
        }
    }
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// When writing to a terminal
    Auto,
    /// Even into files and pipes
    Always,
    /// Not at all
    Never,
}

/// Commands.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Simulate a scenario; each scheduler listed faces the same requests
    Run(RunArgs),
    /// The same metrics on measured result files
    Evaluate(EvaluateArgs),
    /// Compare two results, simulated or measured, metric by metric
    Compare(CompareArgs),
    /// Set a simulation against a real run of the same requests
    Validate(ValidateArgs),
    /// Fit the cost model's constants to a real run, and write them as an engine profile (-o)
    Calibrate(CalibrateArgs),
    /// Say why tokens were late: causes, culprits, and what would have helped
    Explain(ExplainArgs),
    /// Find the highest load that meets the SLO, and the replicas for a load
    Capacity(CapacityArgs),
    /// Find the cheapest GPUs for a model, its traffic and a promise
    Plan(Box<PlanArgs>),
    /// Run every combination of some fields' values
    Sweep(SweepArgs),
    /// Put the shards of a sweep together
    Merge(MergeArgs),
    /// Send a scenario's requests to a live server, OpenAI-compatible, and judge the tokens that come
    #[cfg(feature = "live")]
    Bench(BenchArgs),
    /// Pose as a server, OpenAI-compatible, whose tokens appear when the simulated engine emits them
    #[cfg(feature = "live")]
    Mock(MockArgs),
    /// Serve the playground: a page on this machine where every setting can be turned
    Serve(ServeArgs),
    /// Play random scenarios and check every invariant; --seed picks the first
    Swarm(SwarmArgs),
    /// List what is known by name
    List {
        /// What to list
        #[arg(value_enum)]
        what: Listed,
    },
    /// Print what a name stands for, to read, or with -o to copy and change
    Show {
        /// A name of `metron-sim list`: a scenario, GPU, model, profile or acceptance
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Print a JSON Schema for editors, or every key of a scenario with examples (`schema keys`)
    Schema {
        /// Of what
        #[arg(value_enum)]
        what: Described,
    },
    /// Print a shell's completion script
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page of all commands, or of one (roff)
    Man {
        /// A command, such as `run`
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
    },
}

/// What has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// GPUs of the catalog
    #[value(alias = "gpu")]
    Gpus,
    /// Models of the catalog
    #[value(alias = "model")]
    Models,
    /// Schedulers
    #[value(alias = "scheduler")]
    Schedulers,
    /// Scenarios that come with the program
    #[value(alias = "scenario")]
    Scenarios,
    /// Engine profiles of the catalog
    #[value(alias = "profile")]
    Profiles,
    /// Published acceptance of drafts
    Acceptance,
    /// Links that KV goes over between replicas
    #[value(alias = "link")]
    Links,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Described {
    /// A scenario file
    Scenario,
    /// Every key of a scenario file with an example, for people (Markdown)
    Keys,
    /// The JSON result
    Result,
    /// The JSON of `explain`
    Explanation,
    /// The JSON of `compare`
    Comparison,
    /// The JSON of `capacity`
    Capacity,
    /// The JSON of `plan`
    Plan,
    /// The JSON of `sweep` and `merge`
    Sweep,
}
