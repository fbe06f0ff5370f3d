//! The files that a command writes: each is another one, and none is one that the command reads.

use std::path::{Path, PathBuf};

use crate::cli::args::{Cli, Command, JudgeFlags, RunFlags};
use crate::cli::error::Error;

/// Files to be written, each with the flag that names it.
pub(super) struct Outputs(Vec<(&'static str, PathBuf)>);

impl Outputs {
    /// What the arguments ask for. Pipes and devices may be shared, and are left out.
    pub(super) fn of(cli: &Cli) -> Outputs {
        let mut named = vec![("-o", cli.global.output.as_ref())];
        let run = |flags: &'_ RunFlags| {
            [
                ("--requests", flags.requests.clone()),
                ("--tokens", flags.tokens.clone()),
                ("--timeline", flags.timeline.clone()),
                ("--report", flags.report.clone()),
            ]
        };
        let of_run = match &cli.command {
            Some(Command::Run(args)) => run(&args.flags),
            #[cfg(feature = "live")]
            Some(Command::Bench(args)) => [
                ("--requests", args.requests.clone()),
                ("--tokens", args.tokens.clone()),
                ("--prefill-curve", args.prefill_curve.clone()),
                ("--report", args.report.clone()),
            ],
            #[cfg(feature = "live")]
            Some(Command::Mock(args)) => [
                ("--trace", args.trace.clone()),
                ("--tokens", args.tokens.clone()),
                ("--timeline", None),
                ("--report", None),
            ],
            _ => run(&cli.run),
        };
        named.extend(of_run.iter().map(|(flag, path)| (*flag, path.as_ref())));
        named.push(match &cli.command {
            Some(Command::Evaluate(args)) => ("--report", args.report.as_ref()),
            Some(Command::Explain(args)) => ("--report", args.flags.report.as_ref()),
            Some(Command::Capacity(args)) => ("--report", args.report.as_ref()),
            Some(Command::Plan(args)) => ("--report", args.report.as_ref()),
            Some(Command::Sweep(args)) => ("--report", args.report.as_ref()),
            Some(Command::Merge(args)) => ("--report", args.report.as_ref()),
            _ => ("--report", None),
        });
        if let Some(Command::Plan(args)) = &cli.command {
            named.push(("--write-scenario", args.write_scenario.as_ref()));
        }
        let files = named.into_iter().filter_map(|(flag, path)| Some((flag, path?)));
        let regular = |path: &Path| path != Path::new("-") && (!path.exists() || path.is_file());
        let files = files.filter(|(_, path)| regular(path));
        Outputs(files.map(|(flag, path)| (flag, path.clone())).collect())
    }

    /// Refuses two flags that name one file, and one that names a file of the arguments that is read.
    ///
    /// # Errors
    /// When there is such a flag.
    pub(super) fn check(&self, cli: &Cli) -> Result<(), Error> {
        for (place, (flag, path)) in self.0.iter().enumerate() {
            let other = self.0[..place].iter().find(|(_, other)| same_file(other, path));
            if let Some((other, _)) = other {
                return Err(Error::Usage(format!(
                    "{other} and {flag} name the same file, {}",
                    path.display()
                )));
            }
        }
        inputs(cli).iter().try_for_each(|input| self.spare(input))
    }

    /// Refuses flags that name a file which is written without one.
    ///
    /// # Errors
    /// When there is one.
    #[cfg(feature = "live")]
    pub(super) fn spare_all<'p>(
        &self,
        inputs: impl IntoIterator<Item = &'p Path>,
    ) -> Result<(), Error> {
        let named =
            |path: &Path| self.0.iter().any(|(flag, own)| *flag == "--tokens" && own == path);
        inputs.into_iter().filter(|path| !named(path)).try_for_each(|path| self.spare(path))
    }

    /// Refuses a flag that names a file that is read.
    ///
    /// # Errors
    /// When there is one.
    pub(super) fn spare(&self, input: &Path) -> Result<(), Error> {
        match self.0.iter().find(|(_, output)| same_file(output, input)) {
            Some((flag, output)) => Err(Error::Usage(format!(
                "{flag} names the input {}: it would be overwritten; name another file",
                output.display()
            ))),
            None => Ok(()),
        }
    }
}

/// The files that the arguments name to be read.
fn inputs(cli: &Cli) -> Vec<PathBuf> {
    let scenario = |name: &String| vec![PathBuf::from(name)];
    let judged = |files: &[&PathBuf], judge: &JudgeFlags| -> Vec<PathBuf> {
        files.iter().copied().chain(&judge.ttft_curve).cloned().collect()
    };
    match &cli.command {
        Some(Command::Run(args)) => scenario(&args.scenario),
        #[cfg(feature = "live")]
        Some(Command::Bench(args)) => scenario(&args.scenario),
        #[cfg(feature = "live")]
        Some(Command::Mock(args)) => scenario(&args.scenario),
        Some(Command::Explain(args)) => {
            scenario(&args.scenario).into_iter().chain(args.flags.observed.clone()).collect()
        }
        Some(Command::Capacity(args)) => scenario(&args.scenario),
        Some(Command::Sweep(args)) => scenario(&args.scenario),
        Some(Command::Plan(args)) => {
            args.scenario.iter().chain(&args.trace).map(PathBuf::from).collect()
        }
        Some(Command::Validate(args)) => vec![(&args.scenario).into(), args.observed.clone()],
        Some(Command::Calibrate(args)) => {
            let scenario = args.scenario.iter().map(Into::into);
            let files = scenario.chain(args.observed.clone());
            files.chain(args.iterations.iter().cloned()).collect()
        }
        Some(Command::Evaluate(args)) => {
            judged(&args.files.iter().collect::<Vec<_>>(), &args.judge)
        }
        Some(Command::Compare(args)) => judged(&[&args.a, &args.b], &args.judge),
        Some(Command::Merge(args)) => args.shards.clone(),
        Some(_) => Vec::new(),
        None => cli.scenario.iter().map(PathBuf::from).collect(),
    }
}

/// Whether two paths name one file, which need not be there yet.
fn same_file(a: &Path, b: &Path) -> bool {
    let full = |path: &Path| {
        std::fs::canonicalize(path).ok().or_else(|| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let folder = std::fs::canonicalize(parent.unwrap_or(Path::new("."))).ok()?;
            Some(folder.join(path.file_name()?))
        })
    };
    match (full(a), full(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
