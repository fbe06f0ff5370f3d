//! One scenario simulated, and measured on the simulator that poses as a server: the same figures.

use metron_sim::live::client::{Wish, outcome};
use metron_sim::metrics::evaluate;
use metron_sim::runner::{PlayOptions, Prepared, Simulate, Simulator, judged_by};

use crate::support::{Got, bench, mock, pose, prepared};

/// A step takes 10 ms and a prompt little more, so that the machine's own noise is small beside it.
const CALM: &str = "
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 4000, max_model_len: 2048}
schedulers: [vllm-v1]
workload:
  requests: 40
  arrivals: {poisson: {rate: 10}}
  lengths: {prompt: {uniform: {min: 10, max: 300}}, output: {uniform: {min: 5, max: 60}}}
slo: {ttft: 100ms, tbt: 15ms, fluidity: {index: 0.9, share: 0.99}}
";

/// TTFT and TBT in the middle, and the fluid tokens' share: simulated, and measured.
fn figures(prepared: &Prepared, got: &Got) -> [(f64, f64); 3] {
    let scheduler = &prepared.experiment.schedulers[0];
    let simulated = Simulator
        .simulate(&prepared.experiment, scheduler, &prepared.requests, PlayOptions::default())
        .expect("it runs");
    let measured = outcome(&got.ran.exchanges, |exchange| {
        let request = &got.ran.asked[exchange.index as usize];
        (request.prompt_tokens, request.class)
    });
    let [simulated, measured] = [simulated, measured].map(|outcome| {
        let options =
            judged_by(&prepared.experiment, &prepared.requests, &outcome).expect("an SLO");
        evaluate(&outcome.trace, &options)
    });
    let fluid = |summary: &metron_sim::metrics::Summary| {
        summary.fluidity.as_ref().and_then(|fluidity| fluidity.index.mean).unwrap_or(0.0)
    };
    let tbt = |summary: &metron_sim::metrics::Summary| {
        summary.tbt_s.as_ref().and_then(|tbt| tbt.p50).expect("gaps")
    };
    [
        (simulated.ttft_s.p50.expect("tokens"), measured.ttft_s.p50.expect("tokens")),
        (tbt(&simulated), tbt(&measured)),
        (fluid(&simulated), fluid(&measured)),
    ]
}

#[test]
fn measured_on_the_mock_is_as_simulated() {
    let mut tries = Vec::new();
    for chat in [false, true] {
        // The machine may be busy for a while: the quietest of several tries counts.
        let close = (0..6).any(|_| {
            let prepared = prepared(CALM);
            let mock = mock(&prepared, pose());
            let wish = Wish { chat, ..Wish::default() };
            let got = bench(&prepared, mock.address(), &wish);
            let (_, late) = mock.stop();
            for exchange in &got.ran.exchanges {
                let asked = &got.ran.asked[exchange.index as usize];
                assert_eq!(exchange.error, None);
                assert_eq!(exchange.usage.map(|usage| usage.prompt), Some(asked.prompt_tokens));
                assert_eq!(exchange.output_tokens(), asked.output_tokens);
            }
            assert_eq!(got.dialect.exact, Some(true));
            let [ttft, tbt, fluid] = figures(&prepared, &got);
            // What both ends know of their own lateness: little, unless the machine is busy.
            let noise = [&got.ran.lateness, &got.ran.beats, &*late].map(|late| late.quantile(0.99));
            let noise = noise.iter().sum::<std::time::Duration>().as_secs_f64();
            tries.push((ttft, tbt, fluid, noise));
            let within =
                |(simulated, measured): (f64, f64), most| (measured - simulated).abs() <= most;
            let quiet = within(ttft, 1e-3) && within(tbt, 1e-3) && within(fluid, 5e-3);
            let explained = within(ttft, 1e-3 + noise) && within(tbt, 1e-3 + noise);
            assert!(explained, "the difference is not the client's, nor the server's: {tries:?}");
            quiet
        });
        let busy = tries.iter().all(|(.., noise)| *noise > 1e-3);
        assert!(close || busy, "simulated and measured: {tries:?}");
    }
}
