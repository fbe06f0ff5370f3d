//! Orderings that papers published, on the scenarios of `scenarios/published`. Figures differ, as hardware and engines of
//! that time do; who is ahead must not.

use metron_sim::metrics::{Deadlines, FirstToken, Options, Summary, evaluate};
use metron_sim::runner::{PlayOptions, Requests, Simulate, Simulator};
use metron_sim::scenario::Document;
use metron_sim::time::Span;

use crate::shared::say;

/// Each scheduler's figures.
fn run(name: &str, sets: &[&str]) -> Vec<(String, Summary)> {
    let path = format!("{}/scenarios/published/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let document = Document::read(&path).expect("YAML").with(&sets).expect("there");
    let experiment = document.resolve(None).unwrap_or_else(|e| panic!("{name}: {e}")).experiment;
    let (requests, _) = Requests::of(&experiment).expect("drawn");
    let deadlines =
        Deadlines::new(FirstToken::Fixed(Span::from_millis(5000)), Span::from_millis(200), 0.9);
    let options = Options::new(deadlines.expect("deadlines"));
    let play = |scheduler: &metron_sim::scenario::SchedulerRun| {
        let outcome = Simulator.simulate(&experiment, scheduler, &requests, PlayOptions::default());
        (scheduler.label.clone(), evaluate(&outcome.expect("it runs").trace, &options))
    };
    experiment.schedulers.iter().map(play).collect()
}

/// Holds docs/published.md and the scenario's own head to what the program says.
pub(crate) fn documented(name: &str, figures: &str) {
    for file in ["docs/published.md".to_owned(), format!("scenarios/published/{name}.yaml")] {
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("there").replace("\n#", "\n");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(figures), "{file} should say `{figures}`");
    }
}

/// As the documents write it: without a leading nought.
pub(crate) fn short(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    text.strip_prefix('0').filter(|rest| rest.starts_with('.')).unwrap_or(&text).to_owned()
}

fn p99_tbt(summary: &Summary) -> f64 {
    summary.tbt_s.as_ref().and_then(|tbt| tbt.p99).expect("tokens")
}

/// The highest load, in steps of 10 %, with this P99 TBT and a median scheduling delay below 2 s.
fn capacity(name: &str, scheduler: &str, tbt_s: f64, from: f64) -> f64 {
    let mut best = 0.0;
    let mut rate = from;
    for _ in 0..32 {
        let arrivals = format!("workload.arrivals.poisson.rate={rate}");
        let found = run(name, &[&arrivals, &format!("schedulers=[{scheduler}]")]);
        let summary = &found[0].1;
        let delay = summary.scheduling_delay_s.as_ref().and_then(|delay| delay.p50);
        if p99_tbt(summary) > tbt_s || delay.expect("scheduled") > 2.0 {
            break;
        }
        best = rate;
        rate *= 1.1;
    }
    best
}

#[test]
fn sarathi_table_4() {
    let found = run("sarathi-table-4", &[]);
    let [(_, whole), (_, chunks)] = &found[..] else { panic!("two schedulers") };
    say("\nSarathi-Serve, Table 4: median TTFT and P99 TBT, s");
    for (label, summary) in &found {
        say(&format!("{label:<26} {:>6.2} {:>6.3}", summary.ttft_s.p50.unwrap(), p99_tbt(summary)));
    }
    assert!(whole.ttft_s.p50 < chunks.ttft_s.p50, "whole prompts have the earlier first token");
    assert!(p99_tbt(whole) > 2.0 * p99_tbt(chunks), "chunks have the smoother text");
    let ttft = |summary: &Summary| short(summary.ttft_s.p50.expect("first tokens"), 2);
    let tbt = |summary: &Summary| format!("{:.0}", p99_tbt(summary) * 1e3);
    documented(
        "sarathi-table-4",
        &format!(
            "median TTFT {} against {} s, P99 TBT {} against {} ms",
            ttft(whole),
            ttft(chunks),
            tbt(whole),
            tbt(chunks)
        ),
    );
}

#[test]
fn sarathi_figure_10() {
    say("\nSarathi-Serve, Figure 10: capacity, requests/s: vLLM, Sarathi, times");
    for (name, strict_s, relaxed_s, from) in
        [("sarathi-figure-10-yi", 0.2, 1.0, 0.1), ("sarathi-figure-10-mistral", 0.1, 0.5, 0.3)]
    {
        let mut gains = Vec::new();
        for (promise, tbt_s, chunk) in [("strict", strict_s, 512), ("relaxed", relaxed_s, 2048)] {
            let vllm = [
                "vllm-v0: {max_num_seqs: 32}",
                "vllm-v0: {max_num_seqs: 64}",
                "vllm-v0: {max_num_seqs: 128}",
            ]
            .map(|vllm| capacity(name, vllm, tbt_s, from))
            .into_iter()
            .fold(0.0, f64::max);
            let sarathi = capacity(name, &format!("sarathi: {{chunk_size: {chunk}}}"), tbt_s, from);
            let gain = if vllm > 0.0 { sarathi / vllm } else { f64::INFINITY };
            say(&format!("{name:<26} {promise:<8} {vllm:>6.2} {sarathi:>6.2} {gain:>6.2}"));
            assert!(sarathi > 0.0, "{name} {promise}");
            gains.push(gain);
        }
        assert!(gains[0] > 1.3 && gains[0] > gains[1], "{name}: {gains:?}");
        documented(name, &format!("{:.2} and {:.2} times", gains[0], gains[1]));
    }
}

#[test]
fn sarathi_figure_12() {
    // 100 Gb/s Ethernet without RDMA; both figures are assumed.
    let slow = "gpu={base: a100-sxm-80gb, interconnect: {bandwidth: 5GB/s, latency: 250us}}";
    let pipeline = run("sarathi-figure-12", &[]);
    let tensor = run("sarathi-figure-12", &[slow, "parallelism={tensor: 8, pipeline: 1}"]);
    let median = |found: &[(String, Summary)]| {
        found[0].1.tbt_s.as_ref().and_then(|tbt| tbt.p50).expect("tokens") * 1e3
    };
    // Over a faster link TP8 has the lower median TBT, and the higher P99.
    let fast = slow.replace("5GB/s, latency: 250us", "10GB/s, latency: 50us");
    let rdma = run("sarathi-figure-12", &[&fast, "parallelism={tensor: 8, pipeline: 1}"]);
    let high = |found: &[(String, Summary)]| p99_tbt(&found[0].1) * 1e3;
    documented(
        "sarathi-figure-12",
        &format!(
            "TP8 has the *lower* median TBT, {:.0} ms against {:.0}, and the higher P99, {:.0} ms against {:.0}",
            median(&rdma),
            median(&pipeline),
            high(&rdma),
            high(&pipeline)
        ),
    );
    let (pipeline, tensor) = (median(&pipeline), median(&tensor));
    documented("sarathi-figure-12", &format!("{pipeline:.0} against {tensor:.0} ms"));
    say(&format!(
        "\nSarathi-Serve, Figure 12: median TBT of TP8 over a slow link {tensor:.1} ms, of TP4-PP2 {pipeline:.1} ms"
    ));
    assert!(tensor > pipeline, "{tensor} {pipeline}");
}

#[test]
fn etalon_yi_34b() {
    say("\nEtalon, Yi-34B on two H100: prefill, s: published, simulated alone on an idle server");
    let (mut before, mut all) = (0.0, Vec::new());
    for (tokens, published) in [(4096, 0.27), (8192, 0.58), (16_384, 1.34), (32_768, 4.05)] {
        let one = [
            "workload.requests=1".to_owned(),
            format!("workload.lengths={{prompt: {{fixed: {tokens}}}, output: {{fixed: 2}}}}"),
            "schedulers=[vllm-v0]".to_owned(),
        ];
        let one: Vec<&str> = one.iter().map(String::as_str).collect();
        let ttft = run("etalon-yi-34b", &one)[0].1.ttft_s.mean.expect("a first token");
        say(&format!("{tokens:>6} {published:>6.2} {ttft:>6.2}"));
        // More than twice as long for twice the prompt, from 8K on: no fixed TTFT suits all.
        if tokens > 8192 {
            assert!(ttft > 2.0 * before, "{tokens}: {ttft} {before}");
        }
        before = ttft;
        all.push(short(ttft, 2));
    }
    documented("etalon-yi-34b", &format!("{} s", all.join(", ")));
}
