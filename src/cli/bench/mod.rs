//! `metron-sim bench`: a scenario's requests, sent to a live server.

mod capacity;
mod curve;
mod said;
mod scrape;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::cli::args::{
    BenchArgs, Endpoint, EvaluateArgs, Format, GlobalFlags, JudgeFlags, Metrics, PromptForm,
};
use crate::cli::backend::{Backend, Loaded, ScenarioRequest};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::mock::row_file;
use crate::cli::progress::shown_of;
use crate::cli::{evaluate, interrupt, measured_tokens};
use crate::live::client::{
    Dialect, Form, Http, Limits, Ran, Speaker, Target, Watch, Wish, drive, learn, outcome, runtime,
};
use crate::runner::Requests;
use crate::shown::count;

/// Tokens of a prompt that warms the server up.
const WARMUP_PROMPT: u32 = 64;

/// A server that has been asked how to speak with it.
struct Server {
    runtime: Runtime,
    http: Arc<Http>,
    dialect: Dialect,
    speaker: Speaker,
    /// What makes the same prompts again.
    prompts_seed: u64,
    /// Requests and tokens that learning and warming up took.
    spent: (u64, u64),
}

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be read, the server not be measured, or a file not be written.
pub(super) fn run(
    args: &BenchArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    if global.format == Format::Quiet && global.output.is_some() {
        return Err(Error::Usage("--format quiet has nothing to write: leave out -o".to_owned()));
    }
    if args.capacity || args.prefill_curve.is_some() {
        refuse_formats(args, global)?;
    }
    let target: Target =
        args.url.parse().map_err(|error| Error::Usage(format!("--url {error}")))?;
    let loaded = console.load(backend, &ScenarioRequest::new(args.scenario.clone(), global))?;
    for warning in &loaded.warnings {
        console.warn(warning);
    }
    loaded.serves_one_model()?;
    if args.capacity || args.prefill_curve.is_some() {
        let server = meet(args, target, &loaded, console)?;
        return match &args.prefill_curve {
            Some(path) => curve::run(path, args, &loaded, server, console),
            None => capacity::run(args, &loaded, &server, global, console),
        };
    }
    let path = args.tokens.clone().unwrap_or_else(|| default_file(&args.scenario));
    console.outputs().spare_all([path.as_path()])?;
    let tokens = row_file("--tokens", &path)?;
    let requests = args.requests.as_ref().map(|path| row_file("--requests", path)).transpose()?;
    let server = meet(args, target, &loaded, console)?;
    interrupt::listen();
    let scraping = args.metrics_url.as_deref().map(|url| scrape::start(&server.runtime, url));
    let scraping = scraping.transpose()?;
    let ran = measure(args, &loaded, &loaded.requests, (&server, &server.speaker), console);
    if let Some(scraping) = scraping {
        scraping.say(console);
    }
    if ran.exchanges.is_empty() {
        let why = ran.cut.map_or_else(String::new, |flag| format!(", {flag} was reached"));
        return Err(Error::NoSense(format!("no request was sent{why}: there is nothing to judge")));
    }
    let asked = |exchange: &crate::live::client::Exchange| {
        let request = &ran.asked[exchange.index as usize];
        (request.prompt_tokens, request.class)
    };
    let outcome = outcome(&ran.exchanges, asked);
    let input = (&loaded.experiment, &loaded.resolved);
    let label = &server.dialect.model;
    let live = said::stated(&ran, Some(server.prompts_seed));
    measured_tokens::write(tokens, input, &loaded.requests, label, &outcome, Some(live))?;
    if let Some(file) = requests {
        said::write_requests(file, &ran, args.keep_text)?;
    }
    said::how_it_was_measured(&ran, &server.dialect, console);
    console.note(&format!("token times: {}", path.display()));
    let judged = EvaluateArgs {
        files: vec![path],
        judge: own_promise(),
        explain: false,
        assert: Vec::new(),
        report: args.report.clone(),
    };
    let (exit, result) = evaluate::evaluated(&judged, global, console)?;
    if exit != Exit::Fine || ran.interrupted {
        return Ok(if ran.interrupted { Exit::Interrupted } else { exit });
    }
    let met = result.runs.iter().all(|run| run.slo.met == Some(true));
    let holds = ran.no_measurement().is_none() && met;
    Ok(if args.check && !holds { Exit::NotMet } else { Exit::Fine })
}

/// Says no to a form of the result that there is none of.
fn refuse_formats(args: &BenchArgs, global: &GlobalFlags) -> Result<(), Error> {
    let flag = if args.capacity { "--capacity" } else { "--prefill-curve" };
    let usage = |why: String| Err(Error::Usage(why));
    if matches!(global.format, Format::Json | Format::Csv) {
        let format = global.format.name();
        return usage(format!("{flag} has no result as {format}: leave out --format {format}"));
    }
    if args.prefill_curve.is_some() && global.output.is_some() {
        return usage("--prefill-curve FILE is the result: leave out -o".to_owned());
    }
    Ok(())
}

/// The promise that the tokens file states.
fn own_promise() -> JudgeFlags {
    JudgeFlags {
        from: None,
        ttft: None,
        ttft_curve: None,
        ttft_fit: false,
        ttft_slack: None,
        tbt: None,
        fluidity: None,
        skip_bad: false,
        metrics: Metrics::Auto,
    }
}

/// `chat-bench.csv` for `scenarios/chat.yaml`, in the folder where the program was started.
fn default_file(scenario: &str) -> PathBuf {
    let stem = std::path::Path::new(scenario).file_stem().filter(|stem| *stem != "-");
    let stem = stem.map_or("scenario".to_owned(), |stem| stem.to_string_lossy().into_owned());
    PathBuf::from(format!("{stem}-bench.csv"))
}

/// Learns how to speak with the server, and warms it up.
fn meet(
    args: &BenchArgs,
    target: Target,
    loaded: &Loaded,
    console: &Console,
) -> Result<Server, Error> {
    // The variable may hold a key for another server; it need not hold one.
    let key = std::env::var(&args.api_key_env).ok().filter(|key| !key.is_empty());
    let http = Http::new(target, key.as_deref())
        .map_err(|error| Error::Usage(format!("--url {}: {error}", args.url)))?;
    let runtime =
        runtime().map_err(|error| Error::NoSense(format!("cannot start threads: {error}")))?;
    let experiment = &loaded.experiment;
    let block_tokens = match &loaded.requests {
        Requests::Open(workload) => workload.block_tokens,
        Requests::Closed(_) => experiment.engine.kv_block_tokens,
    };
    let pricing = experiment.hardware.pricing.as_ref();
    let vocabulary = pricing.map(|pricing| pricing.model.vocab_size);
    // A server may keep what it has read: a run of the same scenario shall not find it there.
    let prompts_seed = args.prompts_seed.unwrap_or_else(new_seed);
    let mut speaker = Speaker::new(experiment.seed, block_tokens, vocabulary).anew(prompts_seed);
    let wish = Wish {
        model: args.model.clone(),
        chat: args.endpoint == Endpoint::Chat,
        ids: args.prompts.map(|form| form == PromptForm::Ids),
        most: (args.max_requests, args.max_tokens),
    };
    let dialect = runtime
        .block_on(learn(&http, &wish, &mut speaker))
        .map_err(|error| Error::NoSense(error.to_string()))?;
    let form = match dialect.form {
        Form::Ids => "prompts as token ids",
        Form::Text => "prompts as text",
        Form::Chat => "prompts as chat messages",
    };
    console.note(&format!(
        "{} at {}: {form}; learning that took {} requests and {} tokens",
        dialect.model,
        http.target,
        count(dialect.cost.0),
        count(dialect.cost.1)
    ));
    console.note(&format!(
        "prompts that this server has not seen; --prompts-seed {prompts_seed} sends them again"
    ));
    let spent = dialect.cost;
    let mut server = Server { runtime, http, dialect, speaker, prompts_seed, spent };
    server.warm_up(args)?;
    Ok(server)
}

/// A number that the system draws; short, as people may type it.
fn new_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}

impl Server {
    fn warm_up(&mut self, args: &BenchArgs) -> Result<(), Error> {
        for number in 0..args.warmup {
            let cost = (self.spent.0 + 1, self.spent.1 + u64::from(WARMUP_PROMPT) + 1);
            let over = |most: Option<u64>, cost| most.is_some_and(|most| cost > most);
            if over(args.max_requests, cost.0) || over(args.max_tokens, cost.1) {
                return Err(Error::NoSense(format!(
                    "learning and warming up need more than the {} requests and {} tokens that were \
                     sent: raise --max-requests or --max-tokens",
                    self.spent.0, self.spent.1
                )));
            }
            self.spent = cost;
            let key = 1 << 30 | u64::from(number);
            let asked = self.dialect.ttft(&self.http, &self.speaker, key, WARMUP_PROMPT);
            let answered = self.runtime.block_on(asked);
            answered.map_err(|why| Error::NoSense(format!("warming up: {why}")))?;
        }
        Ok(())
    }

    /// What is left of the most requests, and of the most tokens.
    fn left(&self, args: &BenchArgs) -> (Option<u64>, Option<u64>) {
        let left = |most: Option<u64>, spent| most.map(|most| most.saturating_sub(spent));
        (left(args.max_requests, self.spent.0), left(args.max_tokens, self.spent.1))
    }
}

/// Sends the requests and shows how far it is.
fn measure(
    args: &BenchArgs,
    loaded: &Loaded,
    requests: &Requests,
    (server, speaker): (&Server, &Speaker),
    console: &Console,
) -> Ran {
    use std::sync::atomic::{AtomicU64, Ordering};
    let (requests_max, tokens_max) = server.left(args);
    let limits = Limits {
        request_timeout: args.request_timeout,
        horizon: loaded.experiment.horizon,
        requests: requests_max,
        tokens: tokens_max,
        keeps_text: args.keep_text,
    };
    let (done, of) = (AtomicU64::new(0), AtomicU64::new(0));
    let totals = || (done.load(Ordering::Relaxed), of.load(Ordering::Relaxed));
    let mut watch = |watch: &Watch| {
        done.store(watch.done + watch.failed, Ordering::Relaxed);
        of.store(watch.of.unwrap_or(watch.sent).max(watch.sent), Ordering::Relaxed);
        !interrupt::came() && !console.is_stopped()
    };
    shown_of("requests", &totals, console.shows(false), || {
        let voice = (&server.dialect, speaker);
        drive(&server.runtime, &server.http, voice, requests, limits, &mut watch)
    })
}

/// A time for people, in milliseconds.
fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
