//! `metron-sim mock`: the simulator posing as a server.

use std::io::Write;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::args::{GlobalFlags, MockArgs};
use crate::cli::backend::{Backend, Loaded, ScenarioRequest};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::{interrupt, measured_tokens};
use crate::live::Lateness;
use crate::live::mock::{Faults, Mock, Played, Pose};
use crate::report::OutputFile;
use crate::scenario::SchedulerRun;
use crate::shown;
use crate::trace::row_file::RowFormat;

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be read, the address is not to be had, or a file cannot be written.
pub(super) fn run(
    args: &MockArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let tokens = args.tokens.as_ref().map(|path| row_file("--tokens", path)).transpose()?;
    let trace = args.trace.as_deref().map(OutputFile::create).transpose()?;
    let loaded = console.load(backend, &ScenarioRequest::new(args.scenario.clone(), global))?;
    for warning in &loaded.warnings {
        console.warn(warning);
    }
    loaded.serves_one_model()?;
    let scheduler = chosen(&loaded, args.scheduler.as_deref())?;
    let listener = listener(&args.listen, args.port)?;
    let api_key = args.api_key_env.as_deref().map(key_of).transpose()?;
    let model = args.model.clone().or_else(|| loaded.experiment.hardware.model.clone());
    let pose = Pose {
        model: model.unwrap_or_else(|| "mock".to_owned()),
        speed: args.speed,
        faults: Faults {
            error_rate: args.error_rate,
            stall: args.stall,
            disconnect_rate: args.disconnect,
            slow_start: args.slow_start.unwrap_or_default(),
            queue_limit: args.queue_limit,
            chunk_tokens: args.chunk_tokens,
        },
        api_key,
    };
    let Loaded { experiment, requests, resolved, .. } = loaded;
    let experiment = Arc::new(experiment);
    let model = pose.model.clone();
    let cannot = |error| Error::Usage(format!("the server cannot start: {error}"));
    interrupt::listen();
    let mock = Mock::start(listener, Arc::clone(&experiment), scheduler.clone(), &requests, pose)
        .map_err(cannot)?;
    let mut stdout = std::io::stdout();
    // A closed pipe is no reason not to serve.
    let _ = writeln!(stdout, "http://{}/v1", mock.address()).and_then(|()| stdout.flush());
    let replicas = experiment.replicas;
    let fleet = if replicas == 1 { "1 replica".to_owned() } else { format!("{replicas} replicas") };
    console.note(&format!(
        "{model} at the address above, {} on {fleet}, {}x; Ctrl-C ends it",
        scheduler.label, args.speed
    ));
    while !interrupt::came() && !mock.has_ended() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (played, lateness) = mock.stop();
    say(console, &played, &lateness);
    if let Some(file) = tokens {
        let input = (&*experiment, &resolved);
        measured_tokens::write(file, input, &requests, &scheduler.label, &played.outcome, None)?;
    }
    if let Some(file) = trace {
        write_trace(file, &played, experiment.engine.kv_block_tokens, requests.classes())?;
    }
    match played.broken {
        Some(why) => Err(Error::NoSense(format!("the simulated engine stopped: {why}"))),
        None => Ok(Exit::Fine),
    }
}

/// A file whose extension says its form, open.
pub(super) fn row_file(flag: &str, path: &Path) -> Result<(OutputFile, RowFormat), Error> {
    let format = RowFormat::from_path(path).ok_or_else(|| {
        let path = path.display();
        Error::Usage(format!("{flag}: {path} must end in .csv or .jsonl, which picks its format"))
    })?;
    Ok((OutputFile::create(path)?, format))
}

/// The API key in an environment variable. It is said nowhere.
pub(super) fn key_of(variable: &str) -> Result<String, Error> {
    match std::env::var(variable) {
        Ok(key) if !key.is_empty() => Ok(key),
        _ => Err(Error::Usage(format!("the environment variable {variable} holds no API key"))),
    }
}

fn chosen(loaded: &Loaded, label: Option<&str>) -> Result<SchedulerRun, Error> {
    let all = &loaded.experiment.schedulers;
    let Some(label) = label else { return Ok(all[0].clone()) };
    let found = all.iter().find(|run| run.label == label || run.name == label);
    found.cloned().ok_or_else(|| {
        let labels: Vec<String> = all.iter().map(|run| run.label.clone()).collect();
        let labels = shown::join(&labels);
        Error::Usage(format!("--scheduler {label}: the scenario has {labels}"))
    })
}

fn listener(listen: &str, port: u16) -> Result<TcpListener, Error> {
    let unusable = |error: std::io::Error| {
        Error::Usage(format!(
            "cannot listen on {listen} port {port}: {error}; choose another --listen or --port"
        ))
    };
    let bare = listen.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = (bare, port).to_socket_addrs().map_err(unusable)?.collect();
    TcpListener::bind(addresses.as_slice()).map_err(unusable)
}

fn say(console: &Console, played: &Played, lateness: &Lateness) {
    let ms = |q: f64| format!("{:.2} ms", lateness.quantile(q).as_secs_f64() * 1e3);
    console.note(&format!(
        "{} requests; {} chunks written, late by {} (P50), {} (P99), {:.2} ms (most)",
        shown::count(played.requests.len() as u64),
        shown::count(lateness.count()),
        ms(0.5),
        ms(0.99),
        lateness.max().as_secs_f64() * 1e3
    ));
}

/// The requests that came, as a trace that `run` takes.
fn write_trace(
    mut file: OutputFile,
    played: &Played,
    block_tokens: u32,
    classes: &[String],
) -> Result<(), Error> {
    let has_ids = played.ids.iter().any(|ids| !ids.is_empty());
    let mut write = || -> std::io::Result<()> {
        if has_ids {
            writeln!(file, "{}", serde_json::json!({"block_tokens": block_tokens}))?;
        }
        for ((request, ids), session) in
            played.requests.iter().zip(&played.ids).zip(&played.sessions)
        {
            let ns = request.arrival.as_nanos();
            let arrival = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
            let mut row = serde_json::json!({
                "prompt_tokens": request.prompt_tokens, "output_tokens": request.output_tokens,
                "max_tokens": request.max_tokens, "priority": request.priority
            });
            let class = classes.get(request.class.index()).filter(|class| !class.is_empty());
            class.inspect(|class| row["class"] = class.as_str().into());
            if has_ids {
                row["block_hash_ids"] = ids.clone().into();
            } else if let Some(session) = session {
                row["session"] = session.to_string().into();
            }
            let row = row.to_string();
            writeln!(file, "{{\"arrival_s\":{arrival},{}", &row[1..])?;
        }
        Ok(())
    };
    if let Err(source) = write() {
        return Err(file.error(source).into());
    }
    file.commit()?;
    Ok(())
}
