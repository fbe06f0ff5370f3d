//! Each replica has its own memory and price.

use metron_sim::trace::Status;
use serde_json::json;

use crate::pools::support::*;

#[test]
fn what_fits_is_asked_of_the_replica_that_the_router_picked() {
    // 16 + 3 - 1 tokens are 2 blocks; sarathi keeps 1 % free.
    let output = played(TWO_PACES, &["pools.slow.engine.kv_blocks=1"]);
    let (done, away) = (Status::Completed, Status::Rejected);
    assert_eq!(statuses(&output), [(0, done), (1, away), (0, done), (1, away)]);
    let pools = output.result.pools.unwrap();
    assert_eq!((pools["slow"].rejected, pools["quick"].rejected), (2, 0));
    assert_eq!((pools["slow"].kv.blocks, pools["quick"].kv.blocks), (1, 1000));
    // Where no pool can take any, it is a mistake of the scenario.
    let told = refused(TWO_PACES, &["engine.kv_blocks=1"]);
    assert!(told.contains("no request can run under sarathi"), "{told}");
}

#[test]
fn without_a_given_length_all_pools_hold_what_the_smallest_does() {
    let set = ["pools.fast.engine.kv_blocks=20000", "pools.cheap.engine.kv_blocks=300"];
    let one = resolved(TWO_GPUS, &set);
    let lengths: Vec<u32> =
        one.experiment.pools.iter().map(|pool| pool.engine.max_model_len).collect();
    assert_eq!(lengths, [4800, 4800]);
    let from = &one.scenario.to_json()["derived"]["pools"][0]["max_model_len"];
    assert_eq!(*from, json!({"value": 4800, "from": "the smallest over the pools"}));
    // A length that a pool gives holds for it alone, with a warning.
    let own = resolved(TWO_GPUS, &[set[0], set[1], "pools.fast.engine.max_model_len=9000"]);
    let lengths: Vec<u32> =
        own.experiment.pools.iter().map(|pool| pool.engine.max_model_len).collect();
    assert_eq!((lengths, own.experiment.engine.max_model_len), (vec![9000, 4800], 9000));
    assert!(own.warnings.iter().any(|told| told.contains("fast 9000, cheap 4800")));
}

#[test]
fn a_shorter_context_cuts_the_answers_that_are_sent_to_it() {
    let set = ["pools.slow.engine.max_model_len=18", "workload.lengths.output={fixed: 9}"];
    for reference in [false, true] {
        let output = play(&resolved(TWO_PACES, &set).experiment, reference);
        assert_eq!(token_times_ms(&output, 0).len(), 9);
        assert_eq!(token_times_ms(&output, 1), [40.0, 80.0], "16 + 2 tokens are all there is");
    }
    let set = ["pools.slow.engine.max_model_len=16"];
    let output = played(TWO_PACES, &set);
    assert_eq!(statuses(&output)[1], (1, Status::Rejected), "a prompt leaves no room");
}

#[test]
fn money_and_energy_are_those_of_all_pools_and_unknown_where_one_is() {
    let mut experiment = resolved(TWO_GPUS, &[]).experiment;
    let result = play(&experiment, false).result;
    let (cost, energy) = (result.cost.unwrap(), result.energy.unwrap());
    let prices: Vec<f64> =
        experiment.pools.iter().map(|p| p.hardware.price_usd_per_gpu_hour.unwrap()).collect();
    // Two GPUs of one, four of the other.
    let hours = cost.gpu_hours / 6.0;
    let usd = hours * (2.0 * prices[0] + 4.0 * prices[1]);
    assert!((cost.usd - usd).abs() < 1e-9, "{cost:?}");
    let pools = result.pools.unwrap();
    // Of what is above idling, the same part is drawn by all while they are busy.
    let power = |place: usize, name: &str, drawn: f64| {
        let power = experiment.pools[place].hardware.power.unwrap();
        power.idle_w + drawn * (power.max_w - power.idle_w) * pools[name].gpu_utilization
    };
    let watts = |drawn: f64| 2.0 * power(0, "fast", drawn) + 4.0 * power(1, "cheap", drawn);
    let drawn = (energy.mean_power_w - watts(0.0)) / (watts(1.0) - watts(0.0));
    assert!((0.5..0.9).contains(&drawn), "{energy:?} {drawn}");
    assert!((energy.mean_power_w - watts(drawn)).abs() < 1e-6);
    let joules = energy.busy_joules + energy.idle_joules;
    assert!((energy.joules / joules - 1.0).abs() < 1e-12, "{energy:?}");

    experiment.pools[1].hardware.price_usd_per_gpu_hour = None;
    let result = play(&experiment, false).result;
    assert!(result.cost.is_none() && result.energy.is_some());
    experiment.pools[0].hardware.power = None;
    assert!(play(&experiment, false).result.energy.is_none());
}
