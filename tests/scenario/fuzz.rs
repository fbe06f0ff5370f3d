//! No input makes the scenario reader panic or hang.

use metron_sim::scenario::{Document, Files, Resolved};
use metron_sim::workload::Limits;
use proptest::prelude::*;

use crate::cpu::cpu_time;

const VALID: &[&str] = &[
    include_str!("../data/scenarios/chat.yaml"),
    include_str!("../data/scenarios/everything.yaml"),
    include_str!("../data/scenarios/closed-loop.yaml"),
    include_str!("../data/scenarios/constant-time.yaml"),
    include_str!("../data/scenarios/trace-or-stand-in.yaml"),
];

/// Pieces that mean something in YAML or in a scenario.
const PIECES: &[&str] = &[
    ":",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "? ",
    "|",
    ">",
    "#",
    "'",
    "\"",
    "\t",
    "---\n",
    "...",
    "~",
    "null",
    "true",
    "0",
    "-1",
    "1e400",
    ".nan",
    ".inf",
    "99999999999999999999",
    "0x10",
    "0.5",
    "25ms",
    "80GiB",
    "16GB/s",
    "fixed",
    "sarathi",
    "min",
    "max",
    "é",
    "\u{2028}",
    "%YAML 1.2",
    "@",
    "`",
];

/// Reads a text to the end, whatever comes; a refusal must say something.
fn read(text: &str, overrides: &[String]) {
    let before = cpu_time();
    let read = Document::from_text("x.yaml", text, Files::any("tests/data/scenarios"));
    let resolved = read.and_then(|d| d.with(overrides)).and_then(|d| d.resolve(Some(1)));
    if let Err(error) = &resolved {
        assert!(!error.problems().is_empty());
        let rendered = error.render(false);
        for report in error.reports() {
            assert!(!report.message.trim().is_empty(), "{rendered}");
            assert!(report.line != Some(0) && report.column != Some(0));
        }
    }
    if let Ok(resolved) = &resolved {
        draw(resolved);
    }
    let took = cpu_time() - before;
    assert!(took.as_secs() < 10, "{took:?} of CPU");
}

/// What is accepted can be drawn (a closed loop is drawn as it goes).
fn draw(resolved: &Resolved) {
    let e = &resolved.experiment;
    let small = e.workload.amount.requests.is_some_and(|n| n <= 2_000);
    if !small || e.workload.source.is_closed_loop() {
        return;
    }
    let limits =
        Limits { max_model_len: e.engine.max_model_len, kv_block_tokens: e.engine.kv_block_tokens };
    if let Err(error) = metron_sim::workload::draw(&e.workload, e.seed, limits) {
        panic!("accepted, but: {error}\n{:?}", e.workload);
    }
}

/// A change of a text: where (as a share of its length), how much goes, what comes.
fn change() -> impl Strategy<Value = (f64, usize, String)> {
    let piece = prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => Just(String::new()),
    ];
    (0.0..1.0f64, 0..12usize, piece)
}

fn apply(text: &str, (at, gone, piece): &(f64, usize, String)) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = (at * characters.len() as f64) as usize;
    let end = (at + gone).min(characters.len());
    let (before, after) = (&characters[..at], &characters[end..]);
    before.iter().chain(&piece.chars().collect::<Vec<_>>()).chain(after).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text(text in any::<String>()) {
        read(&text, &[]);
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        read(&pieces.concat(), &[]);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let document = Document::read(file.path().to_str().unwrap());
        let _ = document.and_then(|document| document.resolve(None)).map(|_| ());
    }

    #[test]
    fn any_change_of_a_valid_scenario(
        which in 0..VALID.len(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let text = changes.iter().fold(VALID[which].to_owned(), |text, c| apply(&text, c));
        read(&text, &[]);
    }

    #[test]
    fn any_override(
        which in 0..VALID.len(),
        path in prop::sample::select(&[
            "seed", "model", "gpu", "gpu.memory", "engine", "engine.profile", "engine.kv_blocks",
            "engine.max_model_len", "parallelism.tensor", "replicas", "router", "schedulers",
            "schedulers.0", "schedulers.sarathi", "schedulers.sarathi.chunk_size", "workload",
            "workload.requests", "workload.duration", "workload.arrivals",
            "workload.arrivals.poisson.rate", "workload.lengths", "workload.lengths.prompt",
            "workload.lengths.prompt.fixed", "workload.classes", "workload.classes.chat.share",
            "workload.max_tokens", "slo", "slo.ttft", "slo.fluidity.index", "slo.bounds.ttft.p99",
            "horizon", "measure", "a.b.c", "", ".",
        ][..]),
        value in prop_oneof![
            prop::sample::select(PIECES).prop_map(str::to_owned),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|x| x.to_string()),
            any::<String>(),
        ],
    ) {
        read(VALID[which], &[format!("{path}={value}")]);
    }
}
