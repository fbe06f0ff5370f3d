//! What of each scheduler is proven, for which version of its system: a row for each version, a column for
//! each capability.

use crate::kv::KvGroups;
use crate::scheduler::{
    Capability, EngineInfo, Evidence, Feature, Proof, Recorded, SchedulerConfig,
};

/// A row: a scheduler as one version of its system has it.
pub struct ProofRow {
    /// The scheduler's name.
    pub scheduler: &'static str,
    /// The version, where there are proofs.
    pub version: Option<String>,
    /// A cell for each of [`Capability::ALL`].
    pub cells: [Standing; Capability::ALL.len()],
}

/// How a scheduler stands to a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Equal to the system in every step of so many cases.
    Proven {
        /// How many.
        cases: u32,
        /// Their steps.
        steps: u32,
    },
    /// It can be used, and nothing recorded says how far it is like the system's.
    Modelled,
    /// It has none here.
    Lacking,
}

/// The rows of all schedulers that stand for a real system.
pub fn proof_table() -> Vec<ProofRow> {
    SchedulerConfig::all()
        .filter(|config| config.evidence() != Evidence::Own)
        .flat_map(|config| rows(&config))
        .collect()
}

fn rows(config: &SchedulerConfig) -> Vec<ProofRow> {
    let mut versions: Vec<(&str, Recorded)> = Vec::new();
    for proof in config.proofs() {
        let version = (proof.version, proof.recorded);
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let modelled = |capability| match can(config, capability) {
        true => Standing::Modelled,
        false => Standing::Lacking,
    };
    let scheduler = config.name();
    if versions.is_empty() {
        return vec![ProofRow { scheduler, version: None, cells: Capability::ALL.map(modelled) }];
    }
    let row = |(version, recorded): (&str, Recorded)| {
        let of_version = |proof: &&Proof| (proof.version, proof.recorded) == (version, recorded);
        let cell = |capability| {
            let mut proofs = config.proofs().iter().filter(of_version);
            match (proofs.find(|proof| proof.capability == capability), recorded) {
                (Some(&Proof { cases, steps, .. }), _) => Standing::Proven { cases, steps },
                (None, Recorded::Code) => modelled(capability),
                // A server is one more witness; what it did not do stands with the code.
                (None, Recorded::Server) => Standing::Lacking,
            }
        };
        let server = if recorded == Recorded::Server { " server" } else { "" };
        let version = Some(format!("{version}{server}"));
        ProofRow { scheduler, version, cells: Capability::ALL.map(cell) }
    };
    versions.into_iter().map(row).collect()
}

/// Whether a scheduler has a capability here.
fn can(config: &SchedulerConfig, capability: Capability) -> bool {
    let engine = EngineInfo {
        kv_block_tokens: 16,
        kv_blocks: 1 << 16,
        max_model_len: 8192,
        prefix_caching: true,
        kv_groups: KvGroups::ONE,
        large_gpu: false,
        gpu_memory_gib: None,
        speculative: None,
    };
    let needs = config.build(&engine).needs();
    match capability {
        Capability::Synchronous | Capability::HybridKv => true,
        Capability::Asynchronous => config.has(Feature::AsyncScheduling),
        Capability::Drafts => needs.drafts,
        Capability::Pipeline => !needs.one_lane,
        Capability::PrefixCaching => config.has(Feature::PrefixCaching),
        Capability::Priorities => config.has(Feature::Priorities),
        // Proven, or not there.
        _ => config.proofs().iter().any(|proof| proof.capability == capability),
    }
}

/// What the cells of the table mean, in a sentence or two.
pub const CELLS: &str = "Cases / steps of the real system, all equal (a case counts for each thing that it \
    has on; \"server\": runs of a real server). modelled: written from a description, or a rule of ours. \
    -: none here.";

/// The table in Markdown, as docs/proofs.md has it.
#[cfg(any(test, feature = "internals"))]
pub fn proof_table_markdown() -> String {
    let heads = Capability::ALL.map(|capability| capability.name().to_owned());
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> =
        ["scheduler".to_owned(), "version".to_owned()].into_iter().chain(heads).collect();
    let mut text = line(&head);
    text.push_str(&format!("|{}\n", "---|".repeat(head.len())));
    for row in proof_table() {
        let first = [format!("`{}`", row.scheduler), row.version.clone().unwrap_or("-".to_owned())];
        let cells = row.cells.iter().map(|cell| match *cell {
            Standing::Proven { cases, steps } => format!("{cases} / {}", thousands(steps)),
            Standing::Modelled => "modelled".to_owned(),
            Standing::Lacking => "-".to_owned(),
        });
        text.push_str(&line(&first.into_iter().chain(cells).collect::<Vec<_>>()));
    }
    text
}

/// The table for a terminal: steps in thousands where there are many.
pub fn proof_table_text() -> String {
    let name = |row: &ProofRow| match &row.version {
        Some(version) if proofs_of_several_versions(row.scheduler) => {
            format!("{} {version}", row.scheduler)
        }
        _ => row.scheduler.to_owned(),
    };
    let rows = proof_table();
    let width = rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
    let line = |name: &str, cells: [String; Capability::ALL.len()]| {
        let cells = cells.map(|cell| format!(" {cell:>8}")).concat();
        format!("{name:<width$}{cells}\n")
    };
    let mut text = line("", Capability::ALL.map(|capability| capability.name().to_owned()));
    for row in &rows {
        let cells = row.cells.map(|cell| match cell {
            Standing::Proven { cases, steps } => format!("{cases}/{}", short(steps)),
            Standing::Modelled => "modelled".to_owned(),
            Standing::Lacking => "-".to_owned(),
        });
        text.push_str(&line(&name(row), cells));
    }
    text
}

fn proofs_of_several_versions(scheduler: &str) -> bool {
    let config = SchedulerConfig::by_name(scheduler);
    let proofs = config.map(|config| config.proofs()).unwrap_or_default();
    let key = |proof: &Proof| (proof.version, proof.recorded);
    proofs.iter().any(|proof| key(proof) != key(&proofs[0]))
}

/// `16311` as `16,311`.
#[cfg(any(test, feature = "internals"))]
fn thousands(number: u32) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

/// `16311` as `16.3k`.
fn short(number: u32) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{:.1}k", f64::from(number) / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_proven_says_by_what() {
        for config in SchedulerConfig::all() {
            let proven = config.evidence() == Evidence::Proven;
            assert_eq!(proven, !config.proofs().is_empty(), "{}", config.name());
            for proof in config.proofs() {
                assert!(proof.cases > 0 && proof.steps >= proof.cases, "{proof:?}");
                assert!(can(&config, proof.capability), "{}: {proof:?}", config.name());
            }
        }
    }

    #[test]
    fn the_table_fits_a_terminal_and_says_what_is_proven() {
        let text = proof_table_text();
        assert!(
            text.lines().all(|line| line.chars().count() <= crate::report::table::WIDTH),
            "{text}"
        );
        let row = |name: &str| {
            let found = text.lines().find(|line| line.starts_with(name));
            found.unwrap_or_else(|| panic!("{name} in\n{text}")).to_owned()
        };
        assert!(row("vllm-v1 0.33.0").contains("28/17.9k"), "{text}");
        assert!(row("orca ").contains("1/248"), "{text}");
        assert!(row("tgi ").contains("modelled"), "{text}");
    }
}
