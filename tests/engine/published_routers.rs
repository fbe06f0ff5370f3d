//! What routers that know what is cached have gained in public, on the scenarios of `scenarios/published`, and what the
//! scenarios on routers teach. Figures differ; who is ahead, and by what order, must not.

use metron_sim::metrics::{Deadlines, FirstToken, Options, Summary, evaluate};
use metron_sim::result::RoutingResult;
use metron_sim::runner::{PlayOptions, Requests, Simulate, Simulator};
use metron_sim::scenario::Document;
use metron_sim::time::Span;

use crate::published::{documented, short};
use crate::shared::say;

/// The figures of a scenario's first scheduler.
fn run(name: &str, sets: &[&str]) -> (Summary, RoutingResult) {
    let path = format!("{}/scenarios/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let document = Document::read(&path).expect("YAML").with(&sets).expect("there");
    let experiment = document.resolve(None).unwrap_or_else(|e| panic!("{name}: {e}")).experiment;
    let (requests, _) = Requests::of(&experiment).expect("drawn");
    let deadlines =
        Deadlines::new(FirstToken::Fixed(Span::from_millis(5000)), Span::from_millis(200), 0.9);
    let options = Options::new(deadlines.expect("deadlines"));
    let scheduler = &experiment.schedulers[0];
    let outcome = Simulator.simulate(&experiment, scheduler, &requests, PlayOptions::default());
    let outcome = outcome.expect("it runs");
    let routing = RoutingResult::of(&outcome, &experiment.takes_requests());
    let routing = routing.expect("several replicas");
    (evaluate(&outcome.trace, &options), routing)
}

fn tokens_per_s(summary: &Summary) -> f64 {
    summary.throughput.and_then(|rates| rates.output_tokens_per_s).expect("tokens")
}

/// Thousands of a number apart from the rest.
fn grouped(value: f64) -> String {
    let whole = value.round() as u64;
    format!("{},{:03}", whole / 1000, whole % 1000)
}

fn shown(name: &str, router: &str) -> (Summary, RoutingResult) {
    let (summary, routing) = run(name, &[router]);
    let cached = routing.cached.expect("prompts begin alike");
    say(&format!(
        "{router:<60} mean TTFT {:>7.2} s, P90 {:>7.2} s, {:>6.0} tokens/s, hits {:.2}, regret {:.2}, most/mean {:.2}",
        summary.ttft_s.mean.unwrap(),
        summary.ttft_s.p90.unwrap(),
        summary.throughput.and_then(|rates| rates.output_tokens_per_s).unwrap_or_default(),
        cached.hit_share.unwrap(),
        cached.regret_share.unwrap(),
        routing.outstanding_max_over_mean.unwrap(),
    ));
    (summary, routing)
}

fn hits(routing: &RoutingResult) -> f64 {
    routing.cached.and_then(|cached| cached.hit_share).expect("prompts begin alike")
}

fn regret(routing: &RoutingResult) -> f64 {
    routing.cached.and_then(|cached| cached.regret_share).expect("prompts begin alike")
}

const PRECISE: &str =
    "router={llm-d: {weights: {precise-prefix-cache: 2, queue: 1, kv-cache-utilization: 1}}}";

#[test]
fn llm_d_on_16_h100() {
    say("\nllm-d, Qwen3-32B on 16 H100");
    let name = "published/llm-d-16-h100";
    let (random, blind) = shown(name, "router=random");
    let (guess, _) = shown(name, "router=llm-d");
    let (precise, knows) = shown(name, PRECISE);
    let p90 = |summary: &Summary| summary.ttft_s.p90.expect("first tokens");
    assert!(p90(&random) > 10.0 * p90(&precise), "published: 92.6 against 0.54 s");
    assert!(p90(&guess) < p90(&random), "published: 31 s");
    let rates = [&random, &precise].map(tokens_per_s);
    documented(
        "llm-d-16-h100",
        &format!(
            "{:.1} against {} s, {} against {}",
            p90(&random),
            short(p90(&precise), 2),
            grouped(rates[0]),
            grouped(rates[1])
        ),
    );
    assert!(hits(&knows) > hits(&blind) + 0.2 && regret(&knows) < regret(&blind));
}

#[test]
fn llm_d_on_8_a10g() {
    say("\nllm-d, Qwen2.5-7B on 8 A10G");
    let name = "published/llm-d-8-a10g";
    let (turns, blind) = shown(name, "router=round-robin");
    let (precise, knows) = shown(name, PRECISE);
    let mean = |summary: &Summary| summary.ttft_s.mean.expect("first tokens");
    let rate = tokens_per_s;
    documented("llm-d-8-a10g", &format!("{:.1} against {:.1} s", mean(&turns), mean(&precise)));
    let rates = [&turns, &precise].map(|summary| grouped(rate(summary)));
    documented("llm-d-8-a10g", &rates.join(" against "));
    assert!(mean(&turns) > 4.0 * mean(&precise), "published: 19.0 against 0.86 s");
    assert!(rate(&precise) > 1.5 * rate(&turns), "published: 2.3 times");
    assert!(hits(&knows) > hits(&blind));
}

#[test]
fn a_hot_prefix_piles_up_until_the_balance_rule_breaks_it() {
    say("\nhot-prefix");
    let name = "hot-prefix";
    let (piled, high) = shown(name, "router={sglang-cache-aware: {balance_abs_threshold: 64}}");
    let (spread, low) = shown(name, "router={sglang-cache-aware: {balance_abs_threshold: 4}}");
    let (never, ray) = shown(name, "router={ray-prefix: {}}");
    let (broken, set) = shown(name, "router={ray-prefix: {imbalanced_threshold: 4}}");
    let uneven = |routing: &RoutingResult| routing.outstanding_max_over_mean.expect("requests");
    assert!(uneven(&high) > 1.5 * uneven(&low), "{high:?} {low:?}");
    assert!(low.decisions.balance > high.decisions.balance);
    assert!(spread.ttft_s.p90 < piled.ttft_s.p90);
    assert_eq!(ray.decisions.balance, 0, "its default never balances");
    assert!(uneven(&ray) > 1.5 * uneven(&set) && set.decisions.balance > 0);
    assert!(broken.ttft_s.p90 < never.ttft_s.p90);
}

#[test]
fn many_prefixes_are_found_where_they_were_sent() {
    say("\nmany-prefixes");
    let name = "many-prefixes";
    let (turns, blind) = shown(name, "router=round-robin");
    for router in ["router=sglang-cache-aware", "router=dynamo-kv", "router=llm-d"] {
        let (summary, routing) = shown(name, router);
        assert!(hits(&routing) > hits(&blind) + 0.2, "{router}: {routing:?}");
        assert!(regret(&routing) < 0.5 * regret(&blind), "{router}: {routing:?}");
        assert!(summary.ttft_s.p50 < turns.ttft_s.p50, "{router}");
    }
}
