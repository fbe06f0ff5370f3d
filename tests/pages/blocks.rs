//! Whose KV blocks are: what requests hold adds up to the simulator's own count of used blocks.

use metron_sim::explain::Index;
use metron_sim::ids::{IterationNo, LaneId};
use metron_sim::progress::Progress;
use metron_sim::runner::{
    RunInput, RunOptions, Simulator, prepare::draw, recording, run_experiment,
};
use metron_sim::scenario::{Document, Files, bundled};

#[test]
fn probe() {
    for scenario in bundled() {
        if scenario.name == "azure-conv" || scenario.name == "mooncake" {
            continue;
        }
        let document =
            Document::from_text("scenario.yaml", scenario.text, Files::none()).expect("bundled");
        let Ok(resolved) = document.resolve(None) else {
            println!("{}: unresolved", scenario.name);
            continue;
        };
        let Ok(prepared) = draw(&document, resolved, 1) else {
            println!("{}: not drawn", scenario.name);
            continue;
        };
        let input = RunInput { experiment: &prepared.experiment, requests: &prepared.requests };
        let options = RunOptions { jobs: 2, keep_log: true, ..RunOptions::default() };
        let progress = Progress::new(prepared.experiment.schedulers.len());
        let outputs = run_experiment(input, options, &Simulator, &progress).expect("runs");
        for (output, scheduler) in outputs.iter().zip(&prepared.experiment.schedulers) {
            let index = Index::new(recording(&prepared.experiment, scheduler, &output.outcome));
            for (lane, log) in (0..).map(LaneId).zip(output.outcome.log.iter().flatten()) {
                let each = (log.len() / 80).max(1);
                let (mut n, mut bad, mut first) = (0, 0, None);
                let mut worst = 0i64;
                for at in (0..log.len()).step_by(each) {
                    let number = IterationNo(at as u32);
                    let held = index.held(lane, number..number.next()).remove(0);
                    let used = i64::from(log.at(number).kv_used);
                    let all: i64 = held.iter().map(|h| i64::from(h.blocks)).sum();
                    let found: i64 = held.iter().map(|h| i64::from(h.found)).sum();
                    n += 1;
                    // own <= used <= all
                    let off = if used > all {
                        used - all
                    } else if used < all - found {
                        used - (all - found)
                    } else {
                        0
                    };
                    if off != 0 {
                        bad += 1;
                        if first.is_none() {
                            first = Some((at, used, all, found));
                        }
                    }
                    if off.abs() > worst.abs() {
                        worst = off;
                    }
                }
                println!(
                    "{} {} lane {}: {n} seen, {bad} bad, worst {worst}, first {first:?}",
                    scenario.name, scheduler.label, lane.0
                );
            }
        }
    }
}
