//! The engine: takes what is due from the calendar, lets arrivals in and idle replicas decide.

use thiserror::Error;

use super::balance::Balance;
use super::caches::CachesOf;
use super::calendar::{Calendar, Touch, What};
use super::capacity::Capacity;
use super::hand_over::{self, HandOvers};
use super::host_copies::SharedBelow;
use super::lane::{Lane, Limit};
use super::lockstep::Group;
use super::part::{Part, ReplicaUse};
use super::pipeline::Pipeline;
use super::planner::Planner;
use super::server::Server;
use super::tally::Tally;
use super::turns::{Next, Turns};
use super::{KvUse, Outcome, Rejection, apart, watched};
use crate::fleet::{Fleet, FleetSetup, PoolSetup, Role, RouteDecision};
use crate::ids::{ControllerId, LaneId, PoolId, ReplicaId};
use crate::replica::{BatchesOut, Held, KvShortage, Replica, ReplicaOptions};
use crate::request::{Request, RequestId};
use crate::shown;
use crate::time::{Span, Time};
use crate::trace::TokenTrace;
use crate::workload::Arriving;

/// What is told of a request that has come to its end; says whether the run goes on.
pub type ToldOfTheEnded<'a> = dyn Fn(&TokenTrace, RequestId) -> bool + Sync + 'a;

/// How to play.
#[derive(Clone, Copy, Default)]
pub struct SimOptions<'a> {
    /// The slow, obvious path: every request visited at every iteration, invariants checked.
    pub reference: bool,
    /// Keep every iteration.
    pub keep_log: bool,
    /// Called now and then with the number of requests that have come to their end and that of the
    /// iterations so far. The run ends with [`SimError::Stopped`] where it says no.
    pub progress: Option<&'a (dyn Fn(u64, u64) -> bool + Sync)>,
    /// Told of each request that has come to its end, with what is written down so far: a fleet's
    /// replicas may each have a trace of their own. The run ends with [`SimError::Stopped`] where it says
    /// no. Where drafts bring tokens, those after a request's first are not written down yet.
    pub ended: Option<&'a ToldOfTheEnded<'a>>,
}

/// Why a simulation cannot go on. Nothing of the run is kept.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SimError {
    /// A policy schedules nothing although requests are there and nothing is in flight, and no
    /// arrival changed that before the run, or its observation, ended. Of several replicas the one
    /// that stood still first; of equals the first.
    #[error(
        "stuck at {} on replica {replica}: from then on the scheduler runs nothing although \
         requests are there ({count}; the first is request {first}), none is in flight and no \
         arrival changes that{}",
        shown::duration(.at.as_secs_f64()),
        advice(*.held, *.short)
    )]
    Stuck {
        /// Since when it stands still.
        at: Time,
        /// Which replica.
        replica: ReplicaId,
        /// Requests that it holds in the end.
        count: usize,
        /// The first of them.
        first: RequestId,
        /// The reason that the policy gave.
        held: Option<Held>,
        /// How KV blocks stand, where their want is the reason.
        short: Option<KvShortage>,
    },
    /// Whoever watched the run's progress ended it.
    #[error("stopped before its end")]
    Stopped,
    /// A policy preempts and computes anew without end, and nobody gets a token.
    #[error(
        "stuck at {} on replica {replica}: the scheduler preempts requests again and again and none of \
         the {count} that are there (the first is request {first}) gets a token; give it more KV \
         memory, or a token budget that holds its prompts",
        shown::duration(.at.as_secs_f64())
    )]
    Thrashing {
        /// When that was noticed.
        at: Time,
        /// Which replica.
        replica: ReplicaId,
        /// Requests that it holds.
        count: usize,
        /// The first of them.
        first: RequestId,
    },
}

/// Why a policy stands still, as far as it is known, and what to do.
fn advice(held: Option<Held>, short: Option<KvShortage>) -> String {
    let known = short.map(KvShortage::words);
    let held = held.or(short.map(|_| Held::NoKvBlocks)).map(|held| held.advice().to_owned());
    known.into_iter().chain(held).map(|part| format!("; {part}")).collect()
}

impl SimError {
    /// The error of a replica that was played alone, as its fleet has it: `ids` are those of its
    /// requests.
    pub(super) fn on(self, replica: ReplicaId, ids: &[RequestId]) -> SimError {
        match self {
            SimError::Stuck { at, count, first, held, short, .. } => {
                SimError::Stuck { at, replica, count, first: ids[first.index()], held, short }
            }
            SimError::Stopped => SimError::Stopped,
            SimError::Thrashing { at, count, first, .. } => {
                SimError::Thrashing { at, replica, count, first: ids[first.index()] }
            }
        }
    }

    /// Of the errors of two replicas the one that a fleet ends with: thrashing ends it at once,
    /// standing still only when all else is done.
    pub(super) fn first(one: Option<SimError>, other: SimError) -> Option<SimError> {
        let key = |error: &SimError| match *error {
            SimError::Stopped => (0, Time::ZERO, ReplicaId(0)),
            SimError::Thrashing { at, replica, .. } => (1, at, replica),
            SimError::Stuck { at, replica, .. } => (2, at, replica),
        };
        match one {
            Some(one) if key(&one) <= key(&other) => Some(one),
            _ => Some(other),
        }
    }
}

/// Plays `arriving` on a fleet. Where no answer brings an arrival, each replica has a clock of its own:
/// those that the router does not look at are played in parallel on the threads of whoever calls, and
/// those whose outstanding requests it counts are brought up to date when it has to know. The outcome
/// is the same.
///
/// # Errors
/// When a policy gets stuck.
pub fn play_fleet(
    setup: &FleetSetup<'_>,
    arriving: &mut dyn Arriving,
    options: SimOptions<'_>,
) -> Result<Outcome, SimError> {
    if apart::can_be(setup, arriving, &options) {
        return apart::play(setup, arriving, options);
    }
    if watched::can_be(setup, arriving, &options) {
        return watched::play(setup, arriving, options);
    }
    together(setup, arriving, options)
}

/// All replicas on one clock.
fn together(
    setup: &FleetSetup<'_>,
    arriving: &mut dyn Arriving,
    options: SimOptions<'_>,
) -> Result<Outcome, SimError> {
    let mut engine = Engine::new(setup, arriving, options);
    engine.run(arriving)?;
    let (routes, held) = (engine.routes.take(), engine.fleet.take_held());
    Ok(Outcome { held, ..engine.close().into_outcome(setup, routes) })
}

/// One part of a fleet on a clock of its own.
pub(super) fn part(
    setup: &FleetSetup<'_>,
    arriving: &mut dyn Arriving,
    options: SimOptions<'_>,
) -> Result<Part, SimError> {
    let mut engine = Engine::new(setup, arriving, options);
    engine.run(arriving)?;
    Ok(engine.close())
}

pub(super) struct Engine<'a> {
    pub(super) servers: Vec<Server<'a>>,
    /// By replica: who steps with it.
    groups: Vec<Group>,
    /// By replica: since when it has requests and runs nothing; `NEVER` while it runs or is empty.
    pub(super) stands_since: Vec<Time>,
    /// By the first replica of those that step together: their steps so far.
    pub(super) steps_together: Vec<u64>,
    /// How long prompts of its ranks have waited, by the first of a group.
    pub(super) balances: Vec<Balance>,
    pub(super) calendar: Calendar,
    pub(super) tally: Tally,
    pub(super) fleet: Fleet,
    /// What goes from replica to replica, where requests do.
    pub(super) handing: Option<Box<HandOvers<'a>>>,
    /// Where each request went, when there is a choice or the log is kept.
    pub(super) routes: Option<Vec<RouteDecision>>,
    pools: Vec<PoolLimits>,
    horizon: Time,
    ends_by_horizon: bool,
    /// When a step last ended or a request arrived: copies to tiers may go on after that, and nobody waits.
    worked_until: Time,
    options: SimOptions<'a>,
    reported: (u64, u64),
    /// Requests that ended and nobody was told of yet, where somebody wants to know.
    ended: Vec<RequestId>,
}

/// How many endings, or iterations, lie between two reports of progress.
const REPORT_EVERY: (u64, u64) = (256, 1024);

/// What replicas of a pool can serve.
struct PoolLimits {
    capacity: Capacity,
    answers_end_at: Option<u32>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(
        setup: &FleetSetup<'a>,
        arriving: &dyn Arriving,
        options: SimOptions<'a>,
    ) -> Engine<'a> {
        let replicas = setup.replicas();
        let mut lanes = 0;
        let (mut servers, mut pools) = (Vec::new(), Vec::new());
        let mut groups = Vec::new();
        for pool in &setup.pools {
            groups.extend(Group::of_pool(groups.len() as u32, pool.replicas, pool.lockstep));
            pools.push(add_pool(pool, &mut servers, &mut lanes, &options));
        }
        let touch = match arriving.answers_bring_arrivals() {
            _ if options.reference => Touch::Anything,
            true => Touch::Answers,
            // A prompt that is computed elsewhere comes as an arrival does.
            false if setup.disaggregation.is_some() => Touch::Answers,
            false => Touch::Arrivals,
        };
        let controllers = (setup.controllers)();
        let classes = arriving.classes();
        let fleet = Fleet::new(&setup.routing, setup.members(), classes, controllers);
        let fleet = fleet.handing_over(&setup.routing, setup.disaggregation, classes);
        let mut calendar = Calendar::new(touch);
        fleet.ticks().for_each(|(controller, at)| calendar.ask(controller, at));
        let mut tally = Tally::new(setup.lanes(), setup.horizon.is_some(), |pool: PoolId| {
            setup.pools[pool.index()].engine.speculative.is_some()
        });
        tally.first_tokens = fleet.hears_of_first_tokens().then(Vec::new);
        let mut engine = Engine {
            stands_since: vec![Time::NEVER; servers.len()],
            steps_together: vec![0; servers.len()],
            balances: vec![Balance::default(); servers.len()],
            servers,
            groups,
            calendar,
            tally,
            fleet,
            handing: setup.disaggregation.map(|one| Box::new(HandOvers::new(one, setup))),
            routes: (options.keep_log || replicas > 1).then(Vec::new),
            pools,
            horizon: setup.horizon.map_or(Time::NEVER, |span| Time::ZERO + span),
            ends_by_horizon: setup.horizon.is_some(),
            worked_until: Time::ZERO,
            options,
            reported: (0, 0),
            ended: Vec::new(),
        };
        if engine.handing.is_some() {
            hand_over::prepare(&mut engine);
        }
        engine
    }

    fn run(&mut self, arriving: &mut dyn Arriving) -> Result<(), SimError> {
        while let Some(now) = self.calendar.next(arriving.next_arrival()) {
            if now > self.horizon {
                break;
            }
            self.play_instant(now, arriving)?;
            self.tell_of_the_ended()?;
            self.report_progress()?;
        }
        self.nobody_is_stuck()
    }

    /// Plays all that is due at `now`, which is the next instant at which anything is.
    #[inline]
    pub(super) fn play_instant(
        &mut self,
        now: Time,
        arriving: &mut dyn Arriving,
    ) -> Result<(), SimError> {
        self.calendar.turn_to(now);
        while let Some(what) = self.calendar.due(arriving.next_arrival()) {
            match what {
                What::StepEnds(server) => self.end_step(server, arriving),
                What::StageFree(server) => self.calendar.wake(server),
                What::Transfers => self.turn_transfers(arriving),
                What::Arrives => self.let_in(arriving),
                What::Tick(controller) => self.ask(controller),
            }
        }
        self.let_decide(arriving)
    }

    /// Lets all decide who were woken.
    #[inline]
    fn let_decide(&mut self, arriving: &mut dyn Arriving) -> Result<(), SimError> {
        self.calendar.order_awake();
        while let Some(server) = self.calendar.decides() {
            self.decide(server, arriving);
            if self.servers[server.index()].thrashes() {
                return Err(self.thrashing(server));
            }
        }
        Ok(())
    }

    /// Does all that happens before `until`, and ends what is over then: what is to be decided at that
    /// instant waits for its arrivals. Nobody arrives before. Tells whether something was decided.
    ///
    /// # Errors
    /// When a policy preempts without end.
    pub(super) fn bring_to(
        &mut self,
        until: Time,
        arriving: &mut dyn Arriving,
    ) -> Result<bool, SimError> {
        let mut decides = false;
        while self.calendar.now() < until {
            decides |= self.calendar.is_anybody_awake();
            self.let_decide(arriving)?;
            self.tell_of_the_ended()?;
            self.report_progress()?;
            let Some(next) = self.calendar.next(None).filter(|&at| at <= until.min(self.horizon))
            else {
                break;
            };
            self.calendar.turn_to(next);
            while let Some(what) = self.calendar.due(None) {
                match what {
                    What::StepEnds(server) => self.end_step(server, arriving),
                    What::StageFree(server) => self.calendar.wake(server),
                    What::Arrives | What::Tick(_) | What::Transfers => {
                        unreachable!("none of them is in the calendar")
                    }
                }
            }
        }
        Ok(decides)
    }

    /// Goes on with a decision that repeats, up to `until`: nobody has arrived since it was made.
    pub(super) fn go_on_to(&mut self, until: Time) {
        let limit = Limit { before: until, horizon: self.horizon };
        if let [Server::Whole(lane)] = &mut self.servers[..]
            && !self.calendar.is_anybody_awake()
            && let Some(before) = lane.end()
        {
            lane.run_ahead(limit, &mut self.tally);
            let end = lane.end().expect("a step is in flight");
            if end != before {
                self.calendar.put_off(What::StepEnds(ReplicaId(0)), end);
            }
        }
    }

    /// Tells the tokens of a replica's step in flight, which are there before it is over.
    pub(super) fn tell_early(&mut self, index: ReplicaId) {
        self.servers[index.index()].tell_early(&mut self.tally);
    }

    /// Lets the next request in, `now`: all that happened before has been [done](Engine::bring_to).
    pub(super) fn let_in_at(&mut self, now: Time, arriving: &mut dyn Arriving) {
        self.calendar.turn_to(now);
        self.let_in(arriving);
    }

    /// When something happens next, if nobody arrives: until then no request leaves. `NEVER` where
    /// nothing is left to do.
    pub(super) fn next_event(&self) -> Time {
        match self.calendar.is_anybody_awake() {
            true => self.calendar.now() + Span::from_nanos(1),
            false => self.calendar.next(None).unwrap_or(Time::NEVER),
        }
    }

    /// Until when surely no request leaves, if nobody arrives, and nobody has since the last decision.
    pub(super) fn nobody_leaves_before(&self) -> Time {
        match &self.servers[..] {
            [Server::Whole(lane)] if !self.calendar.is_anybody_awake() => lane.repeats_until(),
            _ => None,
        }
        .unwrap_or_else(|| self.next_event())
    }

    fn end_step(&mut self, index: ReplicaId, arriving: &mut dyn Arriving) {
        self.worked_until = self.calendar.now();
        let server = &mut self.servers[index.index()];
        let fleet = &mut self.fleet;
        let (told, ended) = (self.options.ended.is_some(), &mut self.ended);
        let role = fleet.member(index).role;
        let mut handing = self.handing.as_mut().filter(|_| role == Role::Prefill);
        server.end_step(self.calendar.now(), &mut self.tally, |request, at| {
            if let Some(handing) = &mut handing {
                return handing.computed(request);
            }
            if told {
                ended.push(request);
            }
            fleet.leave(request);
            arriving.finished(request, at);
        });
        if self.options.reference {
            server.replica().check();
        }
        self.after_step(index);
        self.calendar.wake(index);
        self.send_chunks(index);
        self.hand_over(index, arriving);
    }

    fn ask(&mut self, controller: ControllerId) {
        let now = self.calendar.now();
        if let Some(next) = self.fleet.tick(controller, now) {
            assert!(next > now, "a controller is asked later than before");
            self.calendar.ask(controller, next);
        }
    }

    fn let_in(&mut self, arriving: &mut dyn Arriving) {
        self.worked_until = self.calendar.now();
        let mut request = arriving.take();
        let id = RequestId::at(self.tally.trace.requests.len());
        let content = self.fleet.reads_prompts().then(|| arriving.content(id));
        self.hand_over_first_tokens();
        let stays = self.stays(id, &request, (arriving.session(id), content.as_ref()));
        let hands_over = self.handing.is_some() && stays.is_none();
        let route = stays.unwrap_or_else(|| {
            let mut caches = CachesOf(&mut self.servers);
            self.fleet.route(id, &request, arriving.session(id), content.clone(), &mut caches)
        });
        let index = route.replica;
        // One that is handed over is answered elsewhere, and its answer cut there.
        if !hands_over {
            self.limit_answer(&mut request, index);
        }
        let id = self.tally.arrive(&request, self.servers[index.index()].first_lane());
        if let Some(routes) = &mut self.routes {
            routes.push(route);
        }
        let asked = request;
        if let Some(handing) = &mut self.handing {
            handing.asked.push(asked);
        }
        if hands_over {
            request = HandOvers::prompt_of(&request);
        }
        let refused = self.rejects(id, &request, index);
        let refused = refused.or_else(|| self.no_decoder(id, &asked).filter(|_| hands_over));
        if let Some(why) = refused {
            self.tally.reject(id, request.arrival, why);
            if self.options.ended.is_some() {
                self.ended.push(id);
            }
            self.fleet.leave(id);
            arriving.turned_away(id, request.arrival);
            return;
        }
        let waits = self.handing.as_ref().is_some_and(|handing| handing.is_destination_first());
        match hands_over && waits {
            true => self.goes_to_decoder(id, index, arriving),
            false => self.enters(id, &request, index, arriving, content),
        }
    }

    /// Tells the fleet of first tokens that were written down since.
    fn hand_over_first_tokens(&mut self) {
        if let Some(first_tokens) = &mut self.tally.first_tokens {
            self.fleet.first_tokens(first_tokens.drain(..));
        }
    }

    /// Cuts an answer where the replica that decodes it would end it.
    pub(super) fn limit_answer(&self, request: &mut Request, replica: ReplicaId) {
        if let Some(longest) = self.limits(replica).answers_end_at {
            let room = longest.saturating_sub(request.prompt_tokens).max(1);
            request.output_tokens = request.output_tokens.min(room);
        }
        let policy = self.servers[replica.index()].policy();
        let longest = policy.longest_answer(request.prompt_tokens, request.max_tokens).max(1);
        request.max_tokens = request.max_tokens.min(longest);
        request.output_tokens = request.output_tokens.min(longest);
    }

    /// Why a replica to which a request may be handed over could never serve it, where that is so.
    fn no_decoder(&self, id: RequestId, request: &Request) -> Option<Rejection> {
        let decode = self.handing.iter().flat_map(|handing| &handing.decode);
        decode.copied().find_map(|replica| {
            let mut request = *request;
            self.limit_answer(&mut request, replica);
            self.rejects(id, &request, replica).or_else(|| self.never_loads(&request, replica))
        })
    }

    /// A request has come to its end, for whoever wants to know.
    pub(super) fn ends(&mut self, request: RequestId) {
        if self.options.ended.is_some() {
            self.ended.push(request);
        }
    }

    fn decide(&mut self, index: ReplicaId, arriving: &mut dyn Arriving) {
        let group = self.groups[index.index()];
        if group.is_several() {
            self.decide_together(group, arriving);
            return group.members().for_each(|rank| self.begin_loads(rank, arriving));
        }
        let said = self.before_step(index);
        let now = self.calendar.now();
        let before = self.calendar.lookahead(arriving.next_arrival());
        let limit = Limit { before, horizon: self.horizon };
        let fleet = &mut self.fleet;
        let server = &mut self.servers[index.index()];
        let begun = server.decide(now, limit, &mut self.tally, |request, at| {
            fleet.leave(request);
            arriving.turned_away(request, at);
        });
        let since = &mut self.stands_since[index.index()];
        if begun != Next::default() {
            *since = Time::NEVER;
            if let Some(end) = begun.end {
                self.calendar.add(end, What::StepEnds(index));
            }
            if let Some(turn) = begun.turn {
                self.calendar.add(turn, What::StageFree(index));
            }
        } else if server.runs_nothing() {
            *since = if server.replica().is_empty() { Time::NEVER } else { now.min(*since) };
        }
        self.begin_loads(index, arriving);
        // A replica that is in the middle of a step does not look.
        if let Some(report) = said
            && (begun != Next::default() || self.servers[index.index()].runs_nothing())
        {
            self.fleet.report(&report);
        }
    }

    /// Why the replica that it was sent to could never serve a request, where that is so.
    fn rejects(&self, id: RequestId, request: &Request, replica: ReplicaId) -> Option<Rejection> {
        let policy = self.servers[replica.index()].policy();
        self.limits(replica).capacity.rejects(id, request, policy)
    }

    fn limits(&self, replica: ReplicaId) -> &PoolLimits {
        &self.pools[self.fleet.member(replica).pool.index()]
    }

    fn thrashing(&self, replica: ReplicaId) -> SimError {
        let present = self.servers[replica.index()].replica().present();
        let first = present.first().copied().unwrap_or_default();
        SimError::Thrashing { at: self.calendar.now(), replica, count: present.len(), first }
    }

    /// # Errors
    /// Where replicas stand still although requests are there: the one that did so first.
    pub(super) fn nobody_is_stuck(&self) -> Result<(), SimError> {
        // Where requests go from replica to replica, what is still due elsewhere may free a replica.
        if self.handing.is_some() && self.calendar.next(None).is_some() {
            return Ok(());
        }
        let since = self.stands_since.iter().zip((0..).map(ReplicaId));
        let Some((&at, replica)) = since.min().filter(|(since, _)| **since != Time::NEVER) else {
            return Ok(());
        };
        let stuck = self.servers[replica.index()].replica();
        let present = stuck.present();
        let (count, first) = (present.len(), present[0]);
        let (held, short) = (stuck.held_back(), stuck.shortage());
        Err(SimError::Stuck { at, replica, count, first, held, short })
    }

    fn tell_of_the_ended(&mut self) -> Result<(), SimError> {
        let Some(told) = self.options.ended else { return Ok(()) };
        let goes_on = self.ended.iter().all(|&request| told(&self.tally.trace, request));
        self.ended.clear();
        if goes_on { Ok(()) } else { Err(SimError::Stopped) }
    }

    fn report_progress(&mut self) -> Result<(), SimError> {
        let Some(progress) = self.options.progress else { return Ok(()) };
        let (done, iterations) = (self.tally.done, self.tally.counts.total());
        if done < self.reported.0 + REPORT_EVERY.0 && iterations < self.reported.1 + REPORT_EVERY.1
        {
            return Ok(());
        }
        self.reported = (done, iterations);
        if progress(done, iterations) { Ok(()) } else { Err(SimError::Stopped) }
    }

    /// What each replica has used of its KV memory so far.
    pub(super) fn kv_uses(&self) -> impl Iterator<Item = KvUse> {
        let servers = self.servers.iter().zip((0..).map(ReplicaId));
        servers.map(|(server, id)| {
            let pool = self.fleet.member(id).pool;
            let replica = server.replica();
            KvUse {
                blocks: self.pools[pool.index()].capacity.usable_blocks,
                peak_used: replica.pool().peak_used(),
                preemptions: replica.preemptions(),
                prefix_hit_tokens: replica.hit_tokens(),
                evicted_blocks: replica.pool().evicted(),
                overdrawn: replica.pool().overdrawn(),
            }
        })
    }

    pub(super) fn close(mut self) -> Part {
        let mut log = self.options.keep_log.then(Vec::new);
        let mut replicas = Vec::with_capacity(self.servers.len());
        for server in &mut self.servers {
            let logs = server.close(self.horizon, &mut self.tally);
            if let Some(log) = &mut log {
                log.extend(logs.into_iter().flatten());
            }
        }
        let has_tiers = self.servers.iter().any(Server::has_tiers);
        let copied: Vec<_> = self.servers.iter_mut().map(Server::take_copied).collect();
        let mut kv_loads = Vec::new();
        for ((kv, server), (loads, tiers)) in self.kv_uses().zip(&self.servers).zip(copied) {
            replicas.push(ReplicaUse { kv, gpu_busy: server.gpu_busy(), tiers });
            kv_loads.extend(loads);
        }
        self.tally.trace.kv_loads = kv_loads;
        self.tally.write_own();
        if self.ends_by_horizon {
            self.tally.cut_at(self.horizon);
        }
        self.tally.trace.end = match (self.ends_by_horizon, has_tiers) {
            (true, _) => self.horizon,
            (false, true) => self.worked_until,
            (false, false) => self.calendar.now(),
        };
        if let Some(progress) = self.options.progress {
            progress(self.tally.done, self.tally.counts.total());
        }
        let handed = self.handing.map(|handing| handing.close(self.tally.trace.end));
        let (hand_overs, links) = handed.unwrap_or_default();
        self.tally.trace.hand_overs = hand_overs;
        Part { tally: self.tally, replicas, links, log }
    }
}

/// Adds the replicas of a pool to the servers, and their lanes to those there are.
fn add_pool<'a>(
    pool: &PoolSetup<'a>,
    servers: &mut Vec<Server<'a>>,
    lanes: &mut u32,
    options: &SimOptions<'_>,
) -> PoolLimits {
    let needs = (pool.make)().needs();
    let stages = pool.cost.stages();
    assert!(stages > 0, "at least one pipeline stage");
    assert!(stages == 1 || pool.lockstep <= 1, "ranks that step together have no stages");
    assert!(
        pool.tiers.is_none() || stages == 1 && pool.lockstep <= 1 && needs.transfers,
        "tiers stand behind replicas of one lane"
    );
    assert!(
        !(needs.deadlines && needs.by_request),
        "who looks at deadlines counts decodes together"
    );
    assert!(stages == 1 || !needs.one_lane, "the policy cannot share its queue between lanes");
    let asynchronous = pool.async_scheduling && needs.plans_ahead;
    let turns = stages > 1 && needs.by_request;
    // Where lanes of a pipeline have requests of their own, those in flight are the steps ahead.
    let out = match turns {
        true => BatchesOut { stages, ahead: asynchronous },
        false => BatchesOut { stages: 1, ahead: asynchronous && stages == 1 },
    };
    let replica = ReplicaOptions {
        reaches: pool.cost.reaches(),
        ..ReplicaOptions::of(&pool.engine, &needs, out, options.reference)
    };
    let tiers = pool.tiers.map(SharedBelow::of);
    for _ in 0..pool.replicas {
        let first = *lanes;
        *lanes += stages;
        let planner = |lane| Planner::new(LaneId(first + lane), (pool.make)(), options);
        let mut replica = Replica::new(replica);
        if let Some(luck) = pool.luck {
            replica.draft_with(luck.clone());
        }
        if needs.deadlines {
            let outlook =
                pool.outlook.expect("the pool's `outlook`: its policy looks at deadlines");
            replica.keep_deadlines(outlook.clone());
        }
        let copies = tiers.as_ref().map(|tiers| tiers.give(&mut replica, LaneId(first)));
        servers.push(if stages == 1 {
            let mut lane = Lane::new(replica, planner(0), out.ahead, pool.cost);
            lane.copies = copies.map(Box::new);
            Server::Whole(Box::new(lane))
        } else if turns {
            let planners = (0..stages).map(planner).collect();
            Server::Turns(Box::new(Turns::new(replica, planners, out, pool.cost)))
        } else {
            let planners = (0..stages).map(planner).collect();
            let pipeline = Pipeline::new(replica, planners, asynchronous, pool.cost);
            Server::Staged(Box::new(pipeline))
        });
    }
    let usable_blocks = replica.usable_blocks;
    PoolLimits {
        capacity: Capacity {
            info: needs.engine(&pool.engine),
            needs,
            usable_blocks,
            batches: stages.max(out.most()),
        },
        answers_end_at: pool.answers_end_at,
    }
}
