//! `metron-sim capacity`: the highest load that meets the SLO; replicas for a load.

use serde_json::json;

use crate::cli::args::{CapacityArgs, CountedTerms, Format, GlobalFlags, SearchFlags};
use crate::cli::backend::{Backend, ScenarioRequest};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::host_range;
use crate::cli::judging::{assertions, time};
use crate::cli::kept::{cache_of, put_away};
use crate::cli::progress;
use crate::cli::report_file::{ReportFile, page_of_capacity};
use crate::cli::shard::shard;
use crate::inert::sentence;
use crate::report::csv_text::CsvText;
use crate::runner::uneven;
use crate::search::{
    CapacityFile, CapacityOptions, FileDigests, ForLoad, Goal, Kept, Study, Terms, check,
    find_capacity, ratios, to_text,
};
use crate::time::Span;

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be run or has no rate to scale and no users to count.
pub(super) fn run(
    args: &CapacityArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let (mut options, goal) = search_options(&args.search, global)?;
    options.shard = args.shard.as_deref().map(shard).transpose()?;
    let watch = console.watch(max_time(&args.search)?);
    let report = ReportFile::open(args.report.as_ref())?;
    let sink = console.open_result(global.output.as_ref())?;
    let request = ScenarioRequest::new(args.scenario.clone(), global);
    let loaded = console.load(backend, &request)?;
    for warning in &loaded.warnings {
        console.warn(warning);
    }
    let cache = cache_of(args.search.cache.as_deref(), &sink, global)?;
    let depends_on = json!({
        "scenario": loaded.resolved, "files": FileDigests::default().of(&loaded.files),
    });
    let kept = cache.as_ref().map(|cache| Kept { cache, scenario: &depends_on });
    let inert = loaded.inert(None).everywhere;
    for one in &inert {
        console.warn(&sentence(one));
    }
    let uneven = uneven(&loaded.experiment, &loaded.requests);
    let experiment = &loaded.experiment;
    let at_once = experiment.schedulers.len() * options.seeds.max(1) as usize;
    let (goal, watch) = (&goal, &watch);
    let study = Study { experiment, simulate: backend, goal, kept, watch, at_once };
    let began = std::time::Instant::now();
    let shows = console.shows(args.search.progress);
    let file = progress::shown_of("requests", &|| watch.totals(), shows, || {
        find_capacity(study, loaded.resolved.to_json(), &options)
    });
    let mut file = file?;
    if let Some(gpus) = args.gpus {
        file.ratios = ratios(study, &loaded.resolved.to_json(), &options, gpus.get())?;
    }
    if args.host_range {
        let of_range =
            host_range::capacities(study, &loaded.resolved.to_json(), &options, &file.schedulers)?;
        file.notes.extend(of_range);
    } else {
        file.notes.extend(host_range::of_one_machine(study.experiment));
    }
    for warning in &file.warnings {
        console.warn(warning);
    }
    file.warnings.splice(0..0, loaded.warnings.iter().cloned());
    file.notes.extend(inert.iter().map(sentence));
    file.notes.extend(uneven);
    file.inert = inert;
    if let Some(report) = report {
        report.capacity(&file)?;
    }
    let bytes = match global.format {
        Format::Text => to_text(&file).into_bytes(),
        Format::Json => crate::json::indented(&file).into_bytes(),
        Format::Csv => to_csv(&file).into_bytes(),
        Format::Quiet => Vec::new(),
    };
    console.for_people(|| to_text(&file));
    console.page(|| page_of_capacity(&file));
    sink.finish(&bytes)?;
    put_away(cache, console);
    let tried = file.schedulers.iter().flat_map(|c| &c.seeds).map(|s| s.tried.len()).sum::<usize>();
    console.note(&format!(
        "{tried} simulations in {}",
        crate::shown::duration(began.elapsed().as_secs_f64())
    ));
    let found = file.schedulers.iter().all(|capacity| {
        capacity.border().is_some()
            && capacity.seeds.iter().all(|seed| seed.unknown().is_none())
            && capacity.sized().is_none_or(|of| of.replicas.is_some() && !of.fewer_not_known)
    });
    if !file.complete && options.shard.is_none() {
        console.note("time ran out (--max-time): the result is what was known by then");
    }
    Ok(if options.shard.is_some() || found && file.complete { Exit::Fine } else { Exit::NotMet })
}

/// When to end, if at all.
///
/// # Errors
/// When it is no time above 0.
pub(super) fn max_time(args: &SearchFlags) -> Result<Option<std::time::Duration>, Error> {
    max_time_of(args.max_time.as_deref())
}

/// The same of a flag's text.
///
/// # Errors
/// When it is no time above 0.
pub(super) fn max_time_of(text: Option<&str>) -> Result<Option<std::time::Duration>, Error> {
    let Some(text) = text else { return Ok(None) };
    let time = time("--max-time", text)?;
    if time == Span::ZERO {
        return Err(Error::Usage("--max-time: expected a time above 0, such as 10min".to_owned()));
    }
    Ok(Some(std::time::Duration::from_nanos(time.as_nanos())))
}

/// How to search, checked.
pub(super) fn search_options(
    args: &SearchFlags,
    global: &GlobalFlags,
) -> Result<(CapacityOptions, Goal), Error> {
    Ok((options(args, global)?, goal(args)?))
}

/// More requests a second are a slip.
const RATE_MAX: f64 = 1e9;

fn options(args: &SearchFlags, global: &GlobalFlags) -> Result<CapacityOptions, Error> {
    let precision = check::parse_share(&args.precision)
        .filter(|p| (1e-4..=0.5).contains(p))
        .ok_or_else(|| {
            Error::Usage(format!(
                "--precision: expected 0.01 % to 50 %, such as 1%, found `{}`",
                args.precision
            ))
        })?;
    if let Some(rate) = args.for_rate
        && !(rate > 0.0 && rate <= RATE_MAX)
    {
        let found = if rate.abs() < RATE_MAX { rate.to_string() } else { format!("{rate:e}") };
        return Err(Error::Usage(format!(
            "--for-rate: expected requests/s above 0 and up to {RATE_MAX:e}, found {found}"
        )));
    }
    Ok(CapacityOptions {
        precision,
        seeds: args.seeds,
        shard: None,
        for_rate: args.for_rate,
        for_users: args.for_users.map(std::num::NonZeroU32::get),
        pool: args.pool.clone(),
        max_replicas: args.max_replicas,
        jobs: global.threads(),
    })
}

fn goal(args: &SearchFlags) -> Result<Goal, Error> {
    let terms = match args.slo {
        CountedTerms::All => Terms::All,
        CountedTerms::Fluidity => Terms::Fluidity,
        CountedTerms::Bounds => Terms::Bounds,
    };
    Ok(Goal { terms, assertions: assertions(&args.assert)? })
}

/// Columns of a capacity.
const COLUMNS: [&str; 17] = [
    "scheduler",
    "label",
    "replicas",
    "gpus",
    "requests_per_s",
    "requests_per_s_half_width",
    "requests_per_s_per_gpu",
    "limited_by",
    "usd_per_million_output_tokens",
    "replicas_for_rate",
    "requests_per_s_lower",
    "requests_per_s_upper",
    "users",
    "users_lower",
    "users_upper",
    "replicas_for_users",
    "ttft_in_time_share",
];

fn to_csv(file: &CapacityFile) -> String {
    let mut csv = CsvText::new(COLUMNS);
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for capacity in &file.schedulers {
        let (rate, users) = (capacity.requests_per_s, capacity.users);
        let replicas = |asked: &Option<ForLoad>| {
            number(asked.as_ref().and_then(|asked| asked.replicas).map(f64::from))
        };
        let record: [String; COLUMNS.len()] = [
            capacity.scheduler.clone(),
            capacity.label.clone(),
            capacity.replicas.to_string(),
            capacity.gpus.to_string(),
            number(rate.map(|all| all.mean)),
            number(rate.and_then(|all| all.half_width)),
            number(capacity.requests_per_s_per_gpu.map(|one| one.mean)),
            capacity.limited_by.join("; "),
            number(capacity.price.and_then(|price| price.usd_per_million_output_tokens)),
            replicas(&capacity.for_rate),
            number(rate.map(|all| all.lower)),
            number(rate.and_then(|all| all.upper)),
            number(users.map(|all| all.mean)),
            number(users.map(|all| all.lower)),
            number(users.and_then(|all| all.upper)),
            replicas(&capacity.for_users),
            number(capacity.at_capacity.and_then(|at| at.ttft_in_time_share)),
        ];
        csv.row(record);
    }
    csv.into_string()
}
