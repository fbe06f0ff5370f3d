//! Random scenarios, every invariant checked: what breaks the simulator before a user does.
//!
//! A case and the files that it names are drawn from its seed alone, so one number replays a failure. Each is played by the fast
//! path and by the slow one that specifies it; besides, a damaged copy of its text must give clear
//! errors or a scenario, never a panic.

mod attribution;
mod check;
mod draw;
mod live;
mod text;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

pub use draw::{Case, draw};

use crate::progress::RunProgress;
use crate::scenario::{Document, Files};
use crate::threads;

/// What a swarm came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Seed of the first case; the others follow one by one.
    pub seed: u64,
    /// Cases played.
    pub runs: u64,
    /// Iterations checked.
    pub iterations: u64,
    /// Cases by the features that were on.
    pub features: BTreeMap<String, u64>,
    /// Those that broke, by seed.
    pub failures: Vec<Failure>,
}

/// A case that broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What did not hold.
    pub what: String,
    /// The command that plays it again.
    pub replay: String,
}

/// Plays `runs` cases, from `seed` on, on the threads of the calling pool.
pub fn swarm(seed: u64, runs: u64, progress: Option<&RunProgress>) -> Report {
    let done = AtomicU64::new(0);
    let cases: Vec<(Case, Result<u64, Failure>)> = threads::spread_up_to(runs as usize, |place| {
        let seed = seed.wrapping_add(place as u64);
        let case = draw(seed);
        let played = play(seed, &case);
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(progress) = progress {
            progress.set(done, runs);
        }
        (case, played)
    });
    let mut report = Report { seed, runs, ..Report::default() };
    for (case, played) in cases {
        for feature in case.features {
            *report.features.entry(feature.to_owned()).or_default() += 1;
        }
        match played {
            Ok(iterations) => report.iterations += iterations,
            Err(failure) => report.failures.push(failure),
        }
    }
    report
}

/// Plays one case; the number of iterations, or what did not hold.
fn play(seed: u64, case: &Case) -> Result<u64, Failure> {
    let text = case.scenario.to_string();
    let played = catch_unwind(AssertUnwindSafe(|| {
        text::damage(seed, &text);
        let folder = Folder::with(&case.files);
        let named = case.files.iter().map(|(name, _)| name).chain(&case.missing);
        let files = Files::only(&folder.0, &named.cloned().collect::<Vec<_>>());
        let document = Document::from_text("swarm.yaml", &text, files);
        let resolved = match document.and_then(|document| document.resolve(None)) {
            Ok(resolved) => resolved,
            // Memory may be drawn so small that the scenario alone proves it.
            Err(error) if error.to_string().contains("no request can run") => return 0,
            Err(error) => panic!("a drawn scenario is valid: {error}"),
        };
        let experiment = &resolved.experiment;
        experiment.schedulers.iter().map(|scheduler| check::check(experiment, scheduler)).sum()
    }));
    played.map_err(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Failure {
            seed,
            what: what.unwrap_or_else(|| "a panic without words".to_owned()),
            replay: format!("metron-sim swarm --seed {seed} --runs 1"),
        }
    })
}

/// The files of a case, in a folder of their own while it is played.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(String, String)]) -> Folder {
        static CASES: AtomicU64 = AtomicU64::new(0);
        let case = CASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("metron-sim-swarm-{}-{case}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        if !files.is_empty() {
            std::fs::create_dir_all(&folder.0).expect("a folder for the case's files");
        }
        for (name, text) in files {
            std::fs::write(folder.0.join(name), text).expect("the case's files are written");
        }
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is there only where the case had files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
