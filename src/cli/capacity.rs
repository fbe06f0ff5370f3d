//! `metron-sim capacity`: the highest load that meets the SLO; replicas for a load.

use serde_json::json;

use crate::cli::args::{CapacityArgs, CountedTerms, Format, GlobalFlags, SearchFlags};
use crate::cli::backend::{Backend, ScenarioRequest};
use crate::cli::console::{Console, ResultSink};
use crate::cli::error::{Error, Exit};
use crate::cli::judging::assertions;
use crate::cli::report_file::ReportFile;
use crate::inert::sentence;
use crate::runner::uneven;
use crate::search::{
    Cache, CapacityFile, CapacityOptions, Goal, Kept, Study, Terms, find_capacity, input_files,
    to_text,
};

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be run or has no rate to scale.
pub fn run(
    args: &CapacityArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let (options, goal) = search_options(&args.search, global)?;
    let report = ReportFile::open(args.report.as_ref(), global.output.as_ref())?;
    let sink = console.open_result(global.output.as_ref())?;
    let loaded = backend.load(&ScenarioRequest::new(args.scenario.clone(), global))?;
    for warning in &loaded.warnings {
        console.warn(warning);
    }
    let cache = match (&args.search.cache, &sink, &global.output) {
        (Some(folder), ..) => Some(Cache::lasting(folder)?),
        (None, ResultSink::File(_), Some(path)) => Cache::beside(path)?,
        _ => None,
    };
    let depends_on = json!({
        "scenario": loaded.resolved, "files": input_files(&loaded.experiment),
    });
    let kept = cache.as_ref().map(|cache| Kept { cache, scenario: &depends_on });
    let uneven = uneven(&loaded.experiment, &loaded.requests);
    let study = Study { experiment: &loaded.experiment, simulate: backend, goal: &goal, kept };
    let began = std::time::Instant::now();
    let inert = loaded.inert(None).everywhere;
    for one in &inert {
        console.warn(&sentence(one));
    }
    let mut file = find_capacity(study, loaded.resolved, &options)?;
    file.notes.extend(inert.iter().map(sentence));
    file.notes.extend(uneven);
    file.inert = inert;
    if let Some(report) = report {
        report.capacity(&file)?;
    }
    let bytes = match global.format {
        Format::Text => to_text(&file).into_bytes(),
        Format::Json => {
            let mut text = serde_json::to_string_pretty(&file).expect("a result is plain data");
            text.push('\n');
            text.into_bytes()
        }
        Format::Csv => to_csv(&file).into_bytes(),
        Format::Quiet => Vec::new(),
    };
    sink.finish(&bytes)?;
    if let Some(cache) = cache {
        cache.remove();
    }
    let tried = file.schedulers.iter().flat_map(|c| &c.seeds).map(|s| s.tried.len()).sum::<usize>();
    console.note(&format!(
        "{tried} simulations in {}",
        crate::report::units::duration(began.elapsed().as_secs_f64())
    ));
    let all = file.schedulers.iter().all(|c| {
        c.requests_per_s.is_some() && c.for_rate.as_ref().is_none_or(|r| r.replicas.is_some())
    });
    Ok(if all { Exit::Fine } else { Exit::NotMet })
}

/// How to search, checked.
pub(super) fn search_options(
    args: &SearchFlags,
    global: &GlobalFlags,
) -> Result<(CapacityOptions, Goal), Error> {
    Ok((options(args, global)?, goal(args)?))
}

fn options(args: &SearchFlags, global: &GlobalFlags) -> Result<CapacityOptions, Error> {
    let precision =
        share(&args.precision).filter(|p| (1e-4..=0.5).contains(p)).ok_or_else(|| {
            Error::Usage(format!(
                "--precision: expected 0.01 % to 50 %, such as 1%, found `{}`",
                args.precision
            ))
        })?;
    if let Some(rate) = args.for_rate
        && !(rate > 0.0 && rate.is_finite())
    {
        return Err(Error::Usage(format!("--for-rate: expected requests/s above 0, found {rate}")));
    }
    Ok(CapacityOptions {
        precision,
        seeds: args.seeds.get(),
        for_rate: args.for_rate,
        jobs: global.threads(),
    })
}

/// `1%` or `0.01`.
fn share(text: &str) -> Option<f64> {
    let (number, unit) = match text.trim().strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    Some(number.trim().parse::<f64>().ok()? * unit)
}

fn goal(args: &SearchFlags) -> Result<Goal, Error> {
    let terms = match args.slo {
        CountedTerms::All => Terms::All,
        CountedTerms::Fluidity => Terms::Fluidity,
        CountedTerms::Bounds => Terms::Bounds,
    };
    Ok(Goal { terms, assertions: assertions(&args.assert)? })
}

fn to_csv(file: &CapacityFile) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |record: [String; 10]| {
        writer.write_record(record).expect("records of one length, in memory");
    };
    write(
        [
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
        ]
        .map(str::to_owned),
    );
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for capacity in &file.schedulers {
        let all = capacity.requests_per_s;
        let replicas = capacity.for_rate.as_ref().and_then(|asked| asked.replicas);
        write([
            capacity.scheduler.clone(),
            capacity.label.clone(),
            capacity.replicas.to_string(),
            capacity.gpus.to_string(),
            number(all.map(|all| all.mean)),
            number(all.and_then(|all| all.half_width)),
            number(capacity.requests_per_s_per_gpu.map(|one| one.mean)),
            capacity.limited_by.join("; "),
            number(capacity.price.and_then(|price| price.usd_per_million_output_tokens)),
            replicas.map_or(String::new(), |n| n.to_string()),
        ]);
    }
    let bytes = writer.into_inner().expect("writing to memory cannot fail");
    String::from_utf8(bytes).expect("text in, text out")
}
