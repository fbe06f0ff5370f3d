//! A controller sees the fleet at its times, and one that does nothing changes nothing.

use std::sync::{Arc, Mutex};

use crate::alike::Setup;
use crate::small::{ENGINE, request, workload};
use metron_sim::cost::{BatchShape, CostModel, IterationTime, Parts};
use metron_sim::fleet::{Action, Controller, FleetSetup, FleetView, RouterKind, Routing};
use metron_sim::ids::ReplicaId;
use metron_sim::scheduler::SchedulerConfig;
use metron_sim::sim::{Outcome, SimOptions, play_fleet};
use metron_sim::time::{Span, Time};

/// Every iteration takes 5 ms.
struct FiveMs;

impl CostModel for FiveMs {
    fn time(&self, _: &BatchShape<'_>) -> IterationTime {
        IterationTime { gpu: Span::from_millis(5), host: Span::ZERO }
    }

    fn parts(&self, _: &BatchShape<'_>) -> Parts {
        Parts::default()
    }
}

/// When it was asked, and what was outstanding at each replica then: requests and tokens.
type Seen = Vec<(u64, Vec<(u32, u64)>)>;

/// Writes down every 4 ms what it sees.
struct Watch {
    next: Time,
    seen: Arc<Mutex<Seen>>,
}

impl Controller for Watch {
    fn next(&self) -> Option<Time> {
        Some(self.next)
    }

    fn tick(&mut self, now: Time, fleet: &FleetView<'_>) -> Vec<Action> {
        let of = |&replica: &ReplicaId| (fleet.requests(replica), fleet.tokens(replica));
        let load = fleet.replicas().iter().map(of).collect();
        self.seen.lock().expect("nobody panicked").push((now.as_nanos() / 1_000_000, load));
        self.next = now + Span::from_millis(4);
        Vec::new()
    }
}

fn played(router: RouterKind, seen: Option<&Arc<Mutex<Seen>>>, reference: bool) -> Outcome {
    let setup = Setup {
        luck: None,
        cost: &FiveMs,
        engine: ENGINE,
        replicas: 2,
        routing: Routing { router, seed: 1, notes_held: false },
        async_scheduling: false,
        horizon: None,
    };
    let config = SchedulerConfig::by_name("sarathi").expect("it is built in");
    let make = || config.build(&ENGINE);
    let controllers = || -> Vec<Box<dyn Controller>> {
        let next = Time::ZERO + Span::from_millis(4);
        let watch = |seen: &Arc<Mutex<Seen>>| Watch { next, seen: Arc::clone(seen) };
        seen.iter().map(|seen| Box::new(watch(seen)) as Box<dyn Controller>).collect()
    };
    let fleet = FleetSetup { controllers: &controllers, ..setup.fleet(&make) };
    let sent = [(0, 3), (0, 5), (9, 2)];
    let requests = sent.map(|(ms, tokens)| request(Span::from_millis(ms), 16, tokens));
    let workload = workload(requests.to_vec());
    let options = SimOptions { reference, keep_log: true, ..SimOptions::default() };
    play_fleet(&fleet, &mut workload.arriving(), options).expect("nobody is stuck")
}

#[test]
fn a_controller_sees_the_fleet_at_its_times_and_changes_nothing_by_looking() {
    for router in [RouterKind::RoundRobin, RouterKind::LeastRequests] {
        let alone = played(router.clone(), None, false);
        for reference in [false, true] {
            let seen = Arc::new(Mutex::new(Seen::new()));
            assert_eq!(played(router.clone(), Some(&seen), reference), alone);
            // The answers at the first replica end at 15 ms, or with the third request at 20; that
            // at the second at 25. Nothing is asked once all is over.
            let third_at_first = vec![(2, 37), (1, 21)];
            let expected: Seen = vec![
                (4, vec![(1, 19), (1, 21)]),
                (8, vec![(1, 19), (1, 21)]),
                (12, third_at_first),
                (16, vec![(1, 18), (1, 21)]),
                (20, vec![(0, 0), (1, 21)]),
                (24, vec![(0, 0), (1, 21)]),
            ];
            assert_eq!(*seen.lock().expect("nobody panicked"), expected);
        }
    }
}
