//! Runs on identical replicas that no scenario describes.

use std::sync::{Arc, LazyLock};

use metron_sim::cost::{CostModel, FixedCost};
use metron_sim::fleet::{FleetSetup, MakeScheduler, PoolSetup, Role, Routing};
use metron_sim::replica::{Accepts, FirstDeadline, Outlook, Predictor, Promise};
use metron_sim::scheduler::EngineInfo;
use metron_sim::sim::{Outcome, SimError, SimOptions, play_fleet};
use metron_sim::time::Span;
use metron_sim::workload::Arriving;

/// A fleet of identical replicas.
pub(crate) struct Setup<'a> {
    /// Prices iterations.
    pub cost: &'a dyn CostModel,
    /// Limits of each replica's engine.
    pub engine: EngineInfo,
    /// Identical replicas.
    pub replicas: u32,
    /// Which of them gets a request.
    pub routing: Routing,
    /// Whether the engine plans steps ahead, for policies that can.
    pub async_scheduling: bool,
    /// Whose drafts are accepted, where the engine drafts.
    pub luck: Option<&'a Arc<dyn Accepts>>,
    /// Observation ends this long after the beginning; otherwise the run drains.
    pub horizon: Option<Span>,
}

/// What policies that look at deadlines are told here: a second for the first token, 25 ms for each later
/// one, and 10 ms for an iteration, whatever it takes.
static OUTLOOK: LazyLock<Arc<Outlook>> = LazyLock::new(|| {
    let ms = |ms: u64| Span::from_nanos(ms * 1_000_000);
    let first: FirstDeadline = Arc::new(move |_| ms(1000));
    let common = Promise { first, tbt: ms(25), fluid_index: 0.9 };
    let cost = Arc::new(FixedCost { iteration: ms(10) });
    Arc::new(Outlook { common, of_classes: Vec::new(), cost, predictor: Predictor::default() })
});

impl<'a> Setup<'a> {
    /// The same as a fleet of one pool, whose policies `make` makes.
    pub(crate) fn fleet(&self, make: &'a MakeScheduler<'a>) -> FleetSetup<'a> {
        let pool = PoolSetup {
            lockstep: 1,
            cost: self.cost,
            engine: self.engine,
            replicas: self.replicas,
            role: Role::Both,
            async_scheduling: self.async_scheduling,
            luck: self.luck,
            answers_end_at: None,
            outlook: Some(&*OUTLOOK),
            tiers: None,
            make,
        };
        FleetSetup {
            pools: vec![pool],
            routing: self.routing.clone(),
            controllers: &Vec::new,
            disaggregation: None,
            horizon: self.horizon,
        }
    }
}

/// Plays `arriving` on identical replicas whose policies `make` makes.
pub(crate) fn play(
    setup: &Setup<'_>,
    make: &MakeScheduler<'_>,
    arriving: &mut dyn Arriving,
    options: SimOptions<'_>,
) -> Result<Outcome, SimError> {
    play_fleet(&setup.fleet(make), arriving, options)
}
