//! `metron-sim plan`: the cheapest GPUs for a model, its traffic and a promise.

use std::ffi::OsStr;
use std::io::Write;

use crate::catalog::{Kind, names};
use crate::cli::args::{Format, GlobalFlags, PlanArgs};
use crate::cli::backend::Backend;
use crate::cli::capacity::{max_time_of, share};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::judging::time;
use crate::cli::progress;
use crate::cli::report_file::{ReportFile, page_of_plan};
use crate::report::OutputFile;
use crate::report::csv_text::CsvText;
use crate::search::{
    PlanError, PlanFile, PlanLoad, PlanOptions, PlanQuestion, SESSION_PRESETS, Traffic,
    TrafficLengths, find_plan, plan_text,
};
use crate::suggest::advice;
use crate::time::Span;

/// Runs the command.
///
/// # Errors
/// When the question makes no sense or cannot be simulated.
pub(super) fn run(
    args: &PlanArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let watch = console.watch(max_time_of(args.max_time.as_deref())?);
    let (question, words) = question(args, global, backend)?;
    let report = ReportFile::open(args.report.as_ref())?;
    let scenario = args.write_scenario.as_ref().map(|path| OutputFile::create(path)).transpose()?;
    let sink = console.open_result(global.output.as_ref())?;
    let options = PlanOptions {
        seeds: args.seeds,
        max_replicas: args.max_replicas,
        seed: global.seed,
        jobs: global.threads(),
        exhaustive: args.exhaustive,
    };
    let began = std::time::Instant::now();
    let totals = || watch.totals();
    let file = progress::shown_of("requests", &totals, console.shows(false), || {
        find_plan(&question, words, &options, backend, &watch)
    });
    let file = file.map_err(|error| match error {
        PlanError::Search(error) => Error::from(error),
        PlanError::NoSense(message) => Error::NoSense(message),
    })?;
    if let Some(report) = report {
        report.plan(&file)?;
    }
    if let Some(mut to) = scenario {
        let text = file.scenario.clone().unwrap_or_default();
        if let Err(source) = to.write_all(text.as_bytes()) {
            return Err(to.error(source).into());
        }
        if file.scenario.is_some() {
            to.commit()?;
        }
    }
    let extension = global.output.as_ref().and_then(|path| path.extension());
    let yaml = extension.is_some_and(|one| one == OsStr::new("yaml") || one == OsStr::new("yml"));
    let json = extension.is_some_and(|one| one == OsStr::new("json"));
    let text = match global.format {
        Format::Text if yaml => file.scenario.clone().unwrap_or_default(),
        Format::Text if json => crate::json::indented(&file),
        Format::Text => plan_text(&file),
        Format::Json => crate::json::indented(&file),
        Format::Csv => to_csv(&file),
        Format::Quiet => String::new(),
    };
    console.for_people(|| plan_text(&file));
    console.page(|| page_of_plan(&file));
    sink.finish(text.as_bytes())?;
    console.note(&format!(
        "{} of {} cells simulated in {}",
        file.cells_simulated,
        file.cells,
        crate::shown::duration(began.elapsed().as_secs_f64())
    ));
    if !file.complete {
        console.note("time ran out (--max-time): the result is what was known by then");
    }
    Ok(if file.complete && !file.answers.is_empty() { Exit::Fine } else { Exit::NotMet })
}

/// A link that there is.
fn link(name: &str) -> Result<String, String> {
    let known = names(Kind::Link);
    if known.iter().any(|one| one == name) {
        return Ok(name.to_owned());
    }
    let help = advice(name, known.iter().map(String::as_str));
    Err(format!("--apart: there is no link `{name}`; {help}; `metron-sim list links` has all"))
}

/// What was asked, and the traffic in words.
fn question(
    args: &PlanArgs,
    global: &GlobalFlags,
    backend: &dyn Backend,
) -> Result<(PlanQuestion, String), Error> {
    let gpus = PlanQuestion::gpus_of(&args.gpus).map_err(Error::Usage)?;
    let positive = |flag: &str, value: Option<f64>| match value {
        Some(value) if !(value > 0.0 && value <= 1e9) => {
            Err(Error::Usage(format!("{flag}: expected a number above 0, found {value}")))
        }
        value => Ok(value),
    };
    let rate = positive("--rate", args.rate)?;
    let broken = |error| Error::Scenario(Box::new(error));
    let (document, words, own_schedulers) = match &args.scenario {
        Some(path) => {
            let document =
                backend.document(path).and_then(|one| one.with(&global.set)).map_err(broken)?;
            if document.gives("pools") {
                return Err(Error::NoSense(
                    "the scenario has `pools`, and plan chooses the GPUs itself: leave `pools` out, or size \
                     them with `metron-sim capacity --for-rate`"
                        .to_owned(),
                ));
            }
            let at = rate.map_or(String::new(), |rate| format!(" at {rate} requests/s"));
            let own = document.gives("schedulers");
            (document, format!("{path}{at}"), own)
        }
        None => {
            let traffic = traffic(args, rate)?;
            let model = args.model.as_deref().unwrap_or_default();
            let words = format!("{model}, {}", traffic.words());
            let document =
                traffic.document().and_then(|one| one.with(&global.set)).map_err(broken)?;
            (document, words, false)
        }
    };
    let prices = args.price.iter().map(|text| price(text, &gpus)).collect::<Result<_, _>>()?;
    let question = PlanQuestion {
        document,
        own_schedulers,
        // Of traffic in flags the rate stands in the scenario.
        rate: rate.filter(|_| args.scenario.is_some() || args.trace.is_some()),
        // Whoever sets their number has said how many are played.
        counts_sessions: args.sessions.is_some()
            && !global.set.iter().any(|set| set.starts_with("workload.sessions.count=")),
        gpus,
        prices,
        tensor: args.tp.iter().map(|ranks| ranks.get()).collect(),
        dtypes: args.dtype.clone(),
        apart: args.apart.as_deref().map(link).transpose().map_err(Error::Usage)?,
    };
    Ok((question, words))
}

/// The preset of sessions that a flag names.
fn preset(args: &PlanArgs) -> Result<&'static str, Error> {
    let asked = args.sessions.as_deref().unwrap_or_default();
    let found = SESSION_PRESETS.into_iter().find(|name| name.eq_ignore_ascii_case(asked));
    found.ok_or_else(|| {
        let help = match asked.parse::<f64>() {
            Ok(_) => format!(
                "their number is `--rate {asked}` (sessions a second) or `--users {asked}` (at once)"
            ),
            Err(_) => advice(asked, SESSION_PRESETS),
        };
        Error::Usage(format!(
            "--sessions: expected a preset, chat or agent, found `{asked}`; {help}; others stand in a \
             --scenario with `workload.sessions`"
        ))
    })
}

/// The traffic that flags describe.
fn traffic(args: &PlanArgs, rate: Option<f64>) -> Result<Traffic, Error> {
    let missing = |what: &str| Err(Error::Usage(what.to_owned()));
    let lengths = match (&args.trace, args.prompt, args.output_tokens) {
        _ if args.sessions.is_some() => TrafficLengths::Sessions(preset(args)?),
        (Some(file), ..) => TrafficLengths::Trace(file.clone()),
        (None, Some(prompt), Some(output)) => TrafficLengths::Fixed {
            prompt: prompt.get(),
            output: output.get(),
            shared_prefix: args.shared_prefix,
        },
        _ => {
            return missing(
                "how long are the requests? give --prompt 8000 --output 400, --sessions chat, --trace FILE, \
                 or --scenario FILE",
            );
        }
    };
    let load = match (rate, args.users, &args.trace) {
        (rate, None, Some(_)) => PlanLoad::Trace(rate),
        (Some(rate), ..) => PlanLoad::Rate(rate),
        (None, Some(users), _) => {
            PlanLoad::Users(users.get(), time("--think-time", &args.think_time)?)
        }
        (None, None, None) => {
            return missing("how much traffic is there? give --rate 40 or --users 500");
        }
    };
    let Some((ttft, tokens_per_s)) = args.ttft.as_deref().zip(args.tokens_per_s) else {
        return missing(
            "what are users promised? give --ttft p99=1s and --tokens-per-s 30, or --scenario FILE \
             with an `slo`",
        );
    };
    let (stat, limit) = ttft.split_once('=').unwrap_or(("p99", ttft));
    let stat = stat.trim().to_lowercase();
    if !["mean", "p50", "p90", "p95", "p99", "p999", "max"].contains(&stat.as_str()) {
        return Err(Error::Usage(format!(
            "--ttft {ttft}: expected a figure and a time, such as p99=1s; figures are mean, p50, p90, \
             p95, p99, p999, max"
        )));
    }
    let limit = time("--ttft", limit.trim())?;
    if limit == Span::ZERO {
        return missing("--ttft: expected a time above 0, such as p99=1s");
    }
    if !(tokens_per_s > 0.0 && tokens_per_s <= 1e6) {
        return Err(Error::Usage(format!(
            "--tokens-per-s: expected a number above 0, such as 30, found {tokens_per_s}"
        )));
    }
    let share =
        share(&args.share).filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
            Error::Usage(format!(
                "--share: expected 0 % to 100 %, such as 99%, found `{}`",
                args.share
            ))
        })?;
    Ok(Traffic {
        model: args.model.clone().unwrap_or_default(),
        load,
        lengths,
        ttft: (stat, limit),
        tokens_per_s,
        share,
    })
}

/// `h100-sxm=2.5`, of a GPU that is asked about.
fn price(text: &str, gpus: &[String]) -> Result<(String, f64), Error> {
    let wrong = || {
        Error::Usage(format!(
            "--price {text}: expected one of the GPUs that are asked about and dollars an hour, such as \
             {}=2.5",
            gpus.first().map_or("h100-sxm", String::as_str)
        ))
    };
    let (gpu, usd) = text.split_once('=').ok_or_else(wrong)?;
    let usd: f64 = usd.trim().trim_start_matches('$').parse().map_err(|_| wrong())?;
    let gpu = PlanQuestion::gpus_of(&[gpu.to_owned()]).map_err(Error::Usage)?.pop();
    let gpu = gpu.filter(|gpu| gpus.contains(gpu) && usd >= 0.0 && usd.is_finite());
    Ok((gpu.ok_or_else(wrong)?, usd))
}

const COLUMNS: [&str; 17] = [
    "gpu",
    "tensor",
    "pipeline",
    "expert",
    "dtype",
    "scheduler",
    "replicas",
    "gpus",
    "usd_per_hour",
    "usd_per_million_output_tokens",
    "interval_lower",
    "interval_upper",
    "head_room",
    "launch",
    "sessions_per_s_lower",
    "sessions_per_s_upper",
    "usd_per_session",
];

fn to_csv(file: &PlanFile) -> String {
    let mut csv = CsvText::new(COLUMNS);
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for one in &file.answers {
        let record: [String; COLUMNS.len()] = [
            one.gpu.clone(),
            one.parallelism.tensor.to_string(),
            one.parallelism.pipeline.to_string(),
            one.parallelism.expert.to_string(),
            one.dtype.clone(),
            one.scheduler.clone(),
            one.replicas.to_string(),
            one.gpus.to_string(),
            number(one.usd_per_hour),
            number(one.usd_per_million_output_tokens),
            one.interval.0.to_string(),
            number(one.interval.1),
            one.head_room.to_string(),
            one.launch.clone().unwrap_or_default(),
            number(one.sessions_per_s.map(|carried| carried.0)),
            number(one.sessions_per_s.and_then(|carried| carried.1)),
            number(one.usd_per_session),
        ];
        csv.row(record);
    }
    csv.into_string()
}
