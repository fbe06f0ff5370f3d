//! vLLM's internal data-parallel balancer, decision by decision as its own code made them: every
//! API server's choices, and what its coordinator published and when.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use metron_sim::fleet::{DpClient, DpCoordinator, EngineLoad};
use metron_sim::time::{Span, Time};
use serde::Deserialize;

use crate::shared::{say, shared};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

/// A case of an API server has events, one of the coordinator messages.
#[derive(Deserialize)]
#[serde(untagged)]
enum Case {
    Client {
        case: String,
        engines: usize,
        client_count: u32,
        client_index: u32,
        events: Vec<Event>,
    },
    Coordinator {
        case: String,
        engines: usize,
        lockstep: bool,
        until_ms: u64,
        messages: Vec<Message>,
        published: Vec<Publication>,
    },
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Event {
    Route {
        id: String,
        rank: Option<usize>,
        start: usize,
        engine: usize,
        waiting_after: Vec<u32>,
        inflight_after: Vec<u32>,
    },
    Snapshot {
        counts: Vec<Counts>,
    },
    Finish {
        id: String,
    },
}

#[derive(Deserialize)]
struct Message {
    ms: u64,
    engine: usize,
    waiting: u32,
    running: u32,
    kv: f64,
    step: Option<u64>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Publication {
    ms: u64,
    counts: Vec<Counts>,
}

/// Waiting, running, KV use.
type Counts = (u32, u32, f64);

fn load(&(waiting, running, kv_use): &Counts) -> EngineLoad {
    EngineLoad { waiting, running, kv_use }
}

fn at(ms: u64) -> Time {
    Time::ZERO + Span::from_millis(ms)
}

/// Compares every choice; says how many events there were.
fn replay_client(name: &str, mut client: DpClient, events: &[Event]) -> usize {
    let mut sent: HashMap<&str, usize> = HashMap::new();
    for event in events {
        match event {
            Event::Snapshot { counts } => {
                client.hear(&counts.iter().map(load).collect::<Vec<_>>());
            }
            // What has ended before, or was never sent, ends without effect.
            Event::Finish { id } => {
                if let Some(engine) = sent.remove(id.as_str()) {
                    client.ended(engine);
                }
            }
            Event::Route { id, rank, start, engine, waiting_after, inflight_after } => {
                assert_eq!(client.start(), *start, "{name}: {id}");
                let chosen = match (sent.get(id.as_str()), rank) {
                    (Some(&engine), _) => engine,
                    (None, Some(rank)) => {
                        client.sent(*rank);
                        *rank
                    }
                    (None, None) => client.choose(),
                };
                sent.insert(id, chosen);
                assert_eq!(chosen, *engine, "{name}: {id}");
                assert_eq!(client.waiting().collect::<Vec<_>>(), *waiting_after, "{name}: {id}");
                assert_eq!(client.own(), inflight_after, "{name}: {id}");
            }
        }
    }
    events.len()
}

fn replay_coordinator(
    mut coordinator: DpCoordinator,
    messages: &[Message],
    until: Time,
) -> Vec<Publication> {
    let mut said = Vec::new();
    let mut speak = |coordinator: &mut DpCoordinator, before: Time| {
        while coordinator.next() < before {
            let ms = coordinator.publish().as_nanos() / 1_000_000;
            let counts = |load: &EngineLoad| (load.waiting, load.running, load.kv_use);
            let counts = coordinator.published().iter().map(counts).collect();
            said.push(Publication { ms, counts });
        }
    };
    for Message { ms, engine, waiting, running, kv, step } in messages {
        speak(&mut coordinator, at(*ms));
        let load = load(&(*waiting, *running, *kv));
        coordinator.hear(at(*ms), *engine, load, *step);
    }
    speak(&mut coordinator, until + Span::from_nanos(1));
    said
}

#[test]
fn every_choice_and_publication_of_the_data_parallel_balancer_is_the_recorded_one() {
    let given = std::env::var_os("METRON_GOLDEN").map(PathBuf::from);
    let own = given.is_some();
    let Some(golden) = given.or_else(|| shared("golden")) else { return };
    let inner = golden.join("routing");
    let folder = if inner.is_dir() { inner } else { golden };
    let files = files(&folder);
    if files.is_empty() {
        assert!(own, "the golden folder holds no routing case");
        say("SKIPPED: golden routing: METRON_GOLDEN holds no routing case");
        return;
    }
    let (mut cases, mut steps) = (0, 0);
    for path in files {
        let text = std::fs::read_to_string(&path).expect("it is there");
        let file: File =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for case in &file.cases {
            cases += 1;
            steps += match case {
                Case::Client { case, engines, client_count, client_index, events } => {
                    let client = DpClient::new(*engines, *client_count, *client_index);
                    replay_client(case, client, events)
                }
                Case::Coordinator { case, engines, lockstep, until_ms, messages, published } => {
                    let group = lockstep.then_some(0);
                    let coordinator = DpCoordinator::of(vec![group; *engines]);
                    let said = replay_coordinator(coordinator, messages, at(*until_ms));
                    assert_eq!(said, *published, "{case}");
                    said.len() + messages.len()
                }
            };
        }
    }
    assert!(cases > 0, "the routing files hold no case");
    say(&format!("golden routing: {cases} cases, {steps} steps, all equal"));
}

/// Those that are routing cases: a folder given may hold others.
fn files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("readable").path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".json") && (name.contains("_dplb") || name.contains("_dp_coordinator"))
    });
    paths.sort();
    paths
}

/// To say the same thing every 5 s for years takes no time, and falls on the same instants.
#[test]
fn a_long_silence_is_passed_over_at_once() {
    let quiet = |lockstep: bool| {
        let mut coordinator = DpCoordinator::of(vec![lockstep.then_some(0); 2]);
        coordinator.hear(at(30), 1, load(&(1, 2, 0.25)), Some(1));
        coordinator
    };
    for lockstep in [false, true] {
        for until in [0, 1, 99, 100, 101, 5_099, 5_100, 5_101, 5_150, 47_123, 60_100, 60_101] {
            let (mut slow, mut fast) = (quiet(lockstep), quiet(lockstep));
            while slow.next() < at(until) {
                slow.publish();
            }
            fast.publish_before(at(until));
            assert_eq!(fast.next(), slow.next(), "{until}");
            assert_eq!(fast.publications(), slow.publications(), "{until}");
            assert_eq!(fast.published(), slow.published(), "{until}");
        }
        let mut years = quiet(lockstep);
        years.publish_before(at(200 * 365 * 86_400_000));
        assert!(years.publications() > 1_000_000_000);
    }
}
