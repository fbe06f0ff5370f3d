//! What a scenario makes of a trace: its classes, its pace, its prefixes.

use metron_sim::ids::ClassId;
use metron_sim::workload::*;

use super::{read, rows, set};
use crate::workload::support::*;

#[test]
fn the_scenarios_classes_give_priorities_to_a_trace() {
    let class =
        |name: &str, priority| ClassSpec { name: name.into(), share: 1.0, priority, lengths: None };
    let mut spec = trace(&data("ours.jsonl"));
    spec.classes = vec![class("batch", 9), class("default", 4)];
    let (workload, warnings) = read(&spec);
    assert_eq!(workload.classes, ["batch", "default", "chat"]);
    let told: Vec<_> = workload.requests.iter().map(|r| (r.class.0, r.priority)).collect();
    assert_eq!(told, [(0, 9), (2, -1), (1, 4)]);
    assert!(warnings.contains(&"the class `chat` is not one of the scenario's".to_owned()));

    // A trace without classes gets them by share.
    let mut spec = trace(&data("plain.csv"));
    spec.classes = vec![class("batch", 9), class("chat", 0)];
    let (workload, _) = read(&spec);
    assert!(
        workload.requests.iter().all(|r| r.priority == if r.class == ClassId(0) { 9 } else { 0 })
    );
}

#[test]
fn a_time_scale_divides_and_an_amount_cuts() {
    let mut spec = trace(&data("plain.csv"));
    set(&mut spec, |trace| trace.time_scale = 2.0);
    assert_eq!(rows(&read(&spec).0)[1..], [(29_950_000, 796, 269), (750_000_000, 10, 1)]);
    spec.amount = requests(2);
    assert_eq!(read(&spec).0.requests.len(), 2);
    spec.amount = Amount { requests: None, duration: Some(seconds(0.02995)) };
    assert_eq!(read(&spec).0.requests.len(), 1);
    set(&mut spec, |trace| trace.time_scale = 0.0);
    assert_eq!(draw(&spec, 1, LIMITS).unwrap_err().field(), Some("trace.time_scale"));
}

#[test]
fn lengths_without_arrivals_need_a_process() {
    let mut spec = trace(&data("lengths.csv"));
    let error = draw(&spec, 1, LIMITS).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("expected arrival times (`arrival_s` or `timestamp`), found none")
    );
    assert!(error.help().unwrap().contains("arrivals"));
    set(&mut spec, |trace| trace.arrivals = Some(Arrivals::Constant { rate: 2.0 }));
    let (workload, _) = read(&spec);
    assert_eq!(rows(&workload), [(0, 3772, 54), (500_000_000, 2015, 156), (1_000_000_000, 88, 7)]);
    assert_eq!(workload.nominal_rate_per_s, Some(2.0));
    // A trace with its own gives them up, and says so.
    let mut spec = trace(&data("ours.jsonl"));
    set(&mut spec, |trace| trace.arrivals = Some(Arrivals::AllAtOnce));
    let (workload, warnings) = read(&spec);
    assert_eq!(rows(&workload), [(0, 100, 20), (0, 1034, 769), (0, 70, 5)]);
    assert!(warnings.contains(&"its arrival times give way to the scenario's".to_owned()));
}

#[test]
fn prefix_groups_fit_a_trace_without_ids_only() {
    let mut spec = trace(&data("plain.csv"));
    spec.prefix_groups = Some(PrefixGroups { count: 1, tokens: 64, share: 1.0 });
    let (workload, _) = read(&spec);
    let lens: Vec<u32> = workload.blocks.iter().map(|blocks| blocks.len).collect();
    assert_eq!(lens, [4, 4, 0]);
    assert_eq!(*workload.block_ids, [0, 1, 2, 3]);
    let mut spec = trace(&data("mooncake.jsonl"));
    spec.prefix_groups = Some(PrefixGroups { count: 1, tokens: 64, share: 1.0 });
    assert_eq!(draw(&spec, 1, LIMITS).unwrap_err().field(), Some("prefix_groups"));
}

/// A block that must hold a state of a model has a width of its own (528 tokens with Qwen3.5-9B).
#[test]
fn block_ids_need_not_fit_the_engines_blocks() {
    let spec = trace(&data("mooncake.jsonl"));
    let [narrow, wide] = [16, 528].map(|kv_block_tokens| {
        draw(&spec, 1, Limits { kv_block_tokens, ..LIMITS }).unwrap().workload
    });
    assert_eq!(wide.block_tokens, 512);
    assert_eq!((&wide.blocks, &wide.block_ids), (&narrow.blocks, &narrow.block_ids));
}
