//! Random scenarios through every path, and proof that the checks can fail.

use metron_sim::swarm::swarm;

/// `METRON_SWARM_RUNS`, or what a test run has time for.
fn runs() -> u64 {
    std::env::var("METRON_SWARM_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}

#[test]
fn ten_thousand_random_scenarios_hold() {
    let report = swarm(1, runs(), None);
    let broken: Vec<String> =
        report.failures.iter().map(|f| format!("{}\n  {}", f.what, f.replay)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(report.iterations > report.runs, "something was played");
    // A draw that never switches a feature on checks nothing of it.
    if report.runs >= 1000 {
        for (feature, cases) in &report.features {
            assert!(*cases * 200 > report.runs, "{feature} was on in {cases} cases only");
        }
    }
}
