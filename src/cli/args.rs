//! The command line as it is typed.

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

/// Simulates how GPUs serve large language models, and explains why a user's text stalled.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "metron-sim",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 fine, 1 I/O or internal error, 2 bad usage or input, \
                  3 SLO (--check) or assertion (--assert) not met.\n`metron-sim --scenario FILE` is short for \
                  `metron-sim run FILE`."
)]
pub struct Cli {
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
    /// Set a field of the scenario, such as engine.kv_blocks=512 (repeatable)
    #[arg(long, value_name = "PATH=VALUE", global = true)]
    pub set: Vec<String>,
    /// Threads to use; the result does not depend on it [default: all cores]
    #[arg(long, value_name = "N", global = true)]
    pub jobs: Option<NonZeroUsize>,
    /// When to use colour (NO_COLOR is respected)
    #[arg(long, value_enum, default_value_t = ColorWhen::Auto, global = true)]
    pub color: ColorWhen,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on stderr
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// Forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs; see `metron-sim schema result`
    Json,
    /// A row a scheduler
    Csv,
    /// Nothing; the exit code tells
    Quiet,
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
pub enum Command {
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
    /// Run every combination of some fields' values
    Sweep(SweepArgs),
    /// Put the shards of a sweep together
    Merge(MergeArgs),
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
    /// Print a JSON Schema, for editors and checks
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

/// `metron-sim serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Scenario file to begin with (YAML)
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
}

/// `metron-sim run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Scenario file (YAML); `-` is stdin
    pub scenario: String,
    /// The rest.
    #[command(flatten)]
    pub flags: RunFlags,
}

/// `metron-sim explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// Scenario file (YAML); `-` is stdin
    pub scenario: String,
    /// The rest.
    #[command(flatten)]
    pub flags: ExplainFlags,
}

/// Flags of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainFlags {
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
}

/// `metron-sim capacity`.
#[derive(Clone, Debug, Args)]
pub struct CapacityArgs {
    /// Scenario file (YAML); `-` is stdin
    pub scenario: String,
    /// How to search.
    #[command(flatten)]
    pub search: SearchFlags,
    /// Write a page with plots, all in one file (.html)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Flags of a capacity search.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Capacity search")]
pub struct SearchFlags {
    /// Find the fewest replicas for this many requests a second, too
    #[arg(long, value_name = "R")]
    pub for_rate: Option<f64>,
    /// Runs with seeds of their own, for the confidence interval
    #[arg(long, value_name = "N", default_value = "3")]
    pub seeds: NonZeroU32,
    /// How closely to bracket the highest rate
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    pub precision: String,
    /// Which terms of the scenario's SLO count
    #[arg(long, value_enum, default_value_t = CountedTerms::All)]
    pub slo: CountedTerms,
    /// A figure of the result that must hold too, such as tbt_s.p99<=0.05 (repeatable)
    #[arg(long, value_name = "PATH<=X")]
    pub assert: Vec<String>,
    /// Keep finished simulations in this folder, and take those that are there
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
}

/// `metron-sim sweep`.
#[derive(Clone, Debug, Args)]
pub struct SweepArgs {
    /// Scenario file (YAML); `-` is stdin
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
    /// Write a page with plots, all in one file (.html)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `metron-sim merge`.
#[derive(Clone, Debug, Args)]
pub struct MergeArgs {
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

/// `metron-sim swarm`.
#[derive(Clone, Debug, Args)]
pub struct SwarmArgs {
    /// How many scenarios; each has a seed of its own, one after another
    #[arg(long, value_name = "K", default_value_t = 1000)]
    pub runs: u64,
}

/// Which terms of an SLO count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CountedTerms {
    /// Fluidity and bounds
    All,
    /// The share of fluid requests
    Fluidity,
    /// The bounds: TBT and TTFT, TTFT and TPOT, or whatever is bounded
    Bounds,
}

/// Flags of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunFlags {
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

/// `metron-sim evaluate`.
#[derive(Clone, Debug, Args)]
pub struct EvaluateArgs {
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
pub struct CompareArgs {
    /// A JSON result of run or evaluate, or a measured file
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
pub struct JudgeFlags {
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
pub struct ValidateArgs {
    /// Scenario file (YAML); `-` is stdin
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
pub struct CalibrateArgs {
    /// Scenario file (YAML); `-` is stdin
    pub scenario: String,
    /// The real run: a row a request (CSV), or any file that `evaluate` reads
    #[arg(long, value_name = "FILE")]
    pub observed: PathBuf,
    /// Which run of the file, where it holds several
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
    /// Constants to fit: host (time a step and a sequence), kernels (a factor on all kernels),
    /// gpu (effective FLOP/s and bandwidth of matrix products and attention)
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', default_value = "host,kernels")]
    pub fit: Vec<Fit>,
}

/// Constants that can be fitted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fit {
    /// What the engine adds to a step
    Host,
    /// A factor on all kernels
    Kernels,
    /// Effective FLOP/s and bandwidth
    Gpu,
}

/// Which figures to work out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Metrics {
    /// The full figures up to a million output tokens
    Auto,
    /// The full figures always
    Full,
}

/// What has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// GPUs of the catalog
    Gpus,
    /// Models of the catalog
    Models,
    /// Schedulers
    Schedulers,
    /// Scenarios that come with the program
    Scenarios,
    /// Engine profiles of the catalog
    Profiles,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Described {
    /// A scenario file
    Scenario,
    /// The JSON result
    Result,
    /// The JSON of `explain`
    Explanation,
    /// The JSON of `compare`
    Comparison,
    /// The JSON of `capacity`
    Capacity,
    /// The JSON of `sweep` and `merge`
    Sweep,
}

/// The command line's definition, with the flags that `--scenario` shares with `run` hidden from
/// the top level's help.
pub fn command() -> clap::Command {
    run_flag_ids()
        .iter()
        .fold(Cli::command(), |command, id| command.mut_arg(id, |arg| arg.hide(true)))
}

/// Parses what was typed.
///
/// # Errors
/// When it makes no sense, and for `--help` and `--version`.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches =
        command.try_get_matches_from_mut(args).map_err(|error| match file_as_command(&error) {
            Some(message) => command.error(clap::error::ErrorKind::InvalidSubcommand, message),
            None => error,
        })?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let conflict = |message: &str| {
        Err(command.clone().error(clap::error::ErrorKind::ArgumentConflict, message))
    };
    let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let run_flag = run_flag_ids().into_iter().find(|id| typed(id));
    match (&cli.command, &cli.scenario, run_flag) {
        (Some(_), Some(_), _) => conflict(
            "--scenario FILE stands alone, in place of a command; `run` takes the file as its \
             argument",
        ),
        (Some(_), None, Some(id)) => {
            conflict(&format!("--{} belongs behind the command", id.replace('_', "-")))
        }
        (None, None, _) => Err(command.error(
            clap::error::ErrorKind::MissingSubcommand,
            "a command or --scenario FILE is needed",
        )),
        _ => Ok(cli),
    }
}

/// What to say when a file stands where a command was expected.
fn file_as_command(error: &clap::Error) -> Option<String> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let path = std::path::Path::new(word);
    let scenario = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let (is, command) = match scenario {
        true => ("a scenario", "run"),
        false if path.is_file() => ("a file", "evaluate"),
        false => return None,
    };
    Some(format!("`{word}` is {is}, not a command: try `metron-sim {command} {word}`"))
}

fn run_flag_ids() -> Vec<String> {
    let flags = RunFlags::augment_args(clap::Command::new("run"));
    flags.get_arguments().map(|arg| arg.get_id().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_behind_the_command() {
        for line in ["m --format json run x.yaml", "m run x.yaml --format json"] {
            let cli = parsed(line).expect(line);
            assert_eq!(cli.global.format, Format::Json, "{line}");
        }
    }

    #[test]
    fn the_short_form_takes_the_flags_of_run() {
        let cli = parsed("m --scenario x.yaml --check --requests r.csv").expect("fine");
        assert!(cli.run.check);
        assert_eq!(cli.run.requests, Some(PathBuf::from("r.csv")));
        assert!(cli.command.is_none());
    }

    #[test]
    fn a_file_in_place_of_a_command_is_told_what_to_do() {
        let error = parsed("m chat.yaml --check").expect_err("not a command");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("metron-sim run chat.yaml"), "{error}");
        let error = parsed("m Cargo.toml").expect_err("not a command");
        assert!(error.to_string().contains("metron-sim evaluate Cargo.toml"), "{error}");
        let error = parsed("m rum").expect_err("not a command");
        assert!(error.to_string().contains("run"), "{error}");
        assert!(!error.to_string().contains("metron-sim run rum"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "m --format json",
            "m --check run x.yaml",
            "m --scenario x.yaml run y.yaml",
            "m run",
            "m run x.yaml --jobs 0",
            "m run x.yaml --seed -1",
            "m run x.yaml -q -v",
            "m list planets",
            "m explain",
            "m explain x.yaml --token 3",
        ] {
            let error = parsed(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
