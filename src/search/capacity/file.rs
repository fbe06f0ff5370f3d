//! The published result of a capacity search.

use super::ratios::RatioCapacity;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metrics::{Bounds, Latency};
use crate::promise::JudgedBy;
use crate::result::{Inert, RunResult, Tool};
use crate::search::interval::{Border, Estimate, whole};

/// What a search is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Searched {
    /// Arrivals a second.
    RequestsPerS,
    /// Sessions of several turns that begin a second.
    SessionsPerS,
    /// Users of a closed loop.
    Users,
}

impl Searched {
    /// What one of it is called.
    pub fn unit(self) -> &'static str {
        match self {
            Searched::RequestsPerS => "requests/s",
            Searched::SessionsPerS => "sessions/s",
            Searched::Users => "users",
        }
    }

    /// How a number of it is called: `rate` or `number of users`.
    pub fn amount(self) -> &'static str {
        match self {
            Searched::RequestsPerS | Searched::SessionsPerS => "rate",
            Searched::Users => "number of users",
        }
    }
}

/// The published result of a capacity search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityFile {
    /// Version of this layout.
    pub schema_version: u32,
    /// `capacity`.
    pub kind: String,
    /// What made it.
    pub tool: Tool,
    /// A digest of the sources that the program was built from.
    #[serde(default)]
    pub build: String,
    /// The scenario as resolved.
    pub scenario: Value,
    /// What was searched over: the users of a closed loop, the rate of any other workload, in sessions a second
    /// where it has sessions.
    pub searched: Searched,
    /// What had to hold, in words.
    pub promise: String,
    /// Relative distance between the loads of each bracket.
    pub precision: f64,
    /// Seeds of the runs.
    pub seeds: Vec<u64>,
    /// The scenario's own rate as it is stated; null where users are searched.
    pub scenario_requests_per_s: Option<f64>,
    /// The scenario's own users; null where the rate is searched.
    pub scenario_users: Option<u32>,
    /// Whether every search came to its end. Where time ran out (`--max-time`), intervals are as
    /// wide as what was known by then.
    pub complete: bool,
    /// One for each scheduler.
    pub schedulers: Vec<Capacity>,
    /// Which scheduler carries most, or that it is a tie; null where there is nothing to compare.
    pub comparison: Option<String>,
    /// With prefill and decode apart, where it was asked for: what each division of a number of GPUs can
    /// carry, and what they can colocated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratios: Vec<RatioCapacity>,
    /// What a reader should know of the scenario, its workload and the runs.
    pub warnings: Vec<String>,
    /// What a reader should know of the search.
    pub notes: Vec<String>,
    /// Settings of the scenario that change nothing in any of its runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inert: Vec<Inert>,
}

/// What one scheduler can carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Registered name.
    pub scheduler: String,
    /// Name and parameters.
    pub label: String,
    /// Replicas that were simulated.
    pub replicas: u32,
    /// Their GPUs.
    pub gpus: u32,
    /// Highest rate that holds on all of them, as a scenario states it; as the arrivals came about
    /// where nothing but growth of the backlog limits it. Null when none does, or none fails, or
    /// users were searched.
    pub requests_per_s: Option<Border>,
    /// The same for one GPU.
    pub requests_per_s_per_gpu: Option<Border>,
    /// Most sessions that begin a second and hold; null when none does, or none fails, or requests or users
    /// were searched.
    #[serde(default)]
    pub sessions_per_s: Option<Border>,
    /// The same for one GPU.
    #[serde(default)]
    pub sessions_per_s_per_gpu: Option<Border>,
    /// Most users of a closed loop that hold; null when not even one does, or no number fails, or
    /// the rate was searched.
    #[serde(serialize_with = "whole")]
    pub users: Option<Border>,
    /// The same for one GPU.
    #[serde(serialize_with = "whole")]
    pub users_per_gpu: Option<Border>,
    /// What gives way just above: figures of the promise, or `the queue keeps growing`.
    pub limited_by: Vec<String>,
    /// Seed by seed.
    pub seeds: Vec<SeedCapacity>,
    /// What users get at the highest load that held, for the first seed.
    pub at_capacity: Option<AtCapacity>,
    /// The deadlines that the run at capacity was judged by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judged_by: Vec<JudgedBy>,
    /// What requests get that have the system to themselves.
    pub alone: Option<Alone>,
    /// Money at the highest load; null where no price is known.
    pub price: Option<SizingPrice>,
    /// Replicas for the rate asked for.
    pub for_rate: Option<ForLoad>,
    /// Replicas for the users asked for.
    pub for_users: Option<ForLoad>,
    /// How to start an engine like this, where its command line is known and all replicas are alike.
    #[serde(default)]
    pub launch: Option<String>,
    /// What was simulated and that command does not say, each with what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_in_launch: Vec<String>,
    /// What the runs warn of.
    pub warnings: Vec<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

impl Capacity {
    /// The border that was searched for.
    pub fn border(&self) -> Option<Border> {
        self.requests_per_s.or(self.sessions_per_s).or(self.users)
    }

    /// The fleet that was asked for.
    pub fn sized(&self) -> Option<&ForLoad> {
        self.for_rate.as_ref().or(self.for_users.as_ref())
    }

    /// Whether every search came to its end.
    pub fn complete(&self) -> bool {
        self.seeds.iter().all(|seed| seed.complete)
            && self.sized().is_none_or(|sized| sized.complete)
    }
}

/// What one seed's search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeedCapacity {
    /// The seed.
    pub seed: u64,
    /// Highest rate that held, of sessions where these were searched; null when none did, or users were
    /// searched.
    pub holds_requests_per_s: Option<f64>,
    /// Lowest rate above it that was shown not to; null when none was, or users were searched.
    pub fails_requests_per_s: Option<f64>,
    /// Lowest rate between the two of which it is not known, since observation ended too soon; null
    /// when there is none, or users were searched.
    #[serde(default)]
    pub open_requests_per_s: Option<f64>,
    /// Arrivals a second as they came about in the run at the highest rate that held.
    #[serde(default)]
    pub holds_realised_requests_per_s: Option<f64>,
    /// The same at the lowest above that was shown not to.
    #[serde(default)]
    pub fails_realised_requests_per_s: Option<f64>,
    /// Most users that held; null when none did, or the rate was searched.
    pub holds_users: Option<u32>,
    /// Fewest users above that were shown not to; null when none were, or the rate was searched.
    pub fails_users: Option<u32>,
    /// Fewest users between the two of which it is not known; null when there are none, or the rate
    /// was searched.
    #[serde(default)]
    pub open_users: Option<u32>,
    /// Whether the search came to its end before time ran out.
    pub complete: bool,
    /// What was not kept at the lowest load above that was shown not to hold.
    pub broken: Vec<String>,
    /// What was not known at the lowest load above that was not shown to hold: observation ended
    /// before it was decided.
    pub open: Vec<String>,
    /// Whether the backlog was growing at the lowest load above that was shown not to hold.
    pub growing: bool,
    /// Every rate, or number of users, tried, and whether it held; null where that is not known.
    pub tried: Vec<(f64, Option<bool>)>,
    /// Share of fluid requests at each of those.
    #[serde(default)]
    pub tried_fluid_request_share: Vec<Option<f64>>,
}

impl SeedCapacity {
    /// The lowest load above the highest that held of which nothing is shown: the run ends too soon.
    pub fn unknown(&self) -> Option<f64> {
        self.open_requests_per_s.or(self.open_users.map(f64::from))
    }

    /// The highest load that held.
    pub fn holds(&self) -> Option<f64> {
        self.holds_requests_per_s.or(self.holds_users.map(f64::from))
    }

    /// The lowest above it that was shown not to.
    pub fn fails(&self) -> Option<f64> {
        self.fails_requests_per_s.or(self.fails_users.map(f64::from))
    }

    /// Whether nothing but growth of the backlog limits.
    pub fn only_grows(&self) -> bool {
        self.growing && self.broken.is_empty() && self.open.is_empty()
    }

    /// The highest load that held and the lowest above that was shown not to, where something was
    /// not shown to hold: as stated, or, where nothing but growth limits, as the arrivals came
    /// about. Whether a backlog grows depends on those.
    pub fn ends(&self) -> Option<(f64, Option<f64>)> {
        let (held, failed) = (self.holds()?, self.fails());
        failed.or(self.unknown())?;
        let came = self.holds_realised_requests_per_s.zip(self.fails_realised_requests_per_s);
        let came = came.filter(|_| self.only_grows());
        Some(came.map_or((held, failed), |(held, failed)| (held, Some(failed))))
    }
}

/// Figures of the run at the highest load that held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AtCapacity {
    /// Share of fluid requests.
    pub fluid_request_share: Option<f64>,
    /// Bounds of that share where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fluid_request_bounds: Option<Bounds>,
    /// Share of first tokens that came by their deadline, `slo.ttft`.
    #[serde(default)]
    pub ttft_in_time_share: Option<f64>,
    /// Bounds of that share where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_in_time_bounds: Option<Bounds>,
    /// P99 of the time to first token.
    pub ttft_p99_s: Option<f64>,
    /// P99 of the time between tokens.
    pub tbt_p99_s: Option<f64>,
    /// Requests answered a second.
    #[serde(default)]
    pub requests_per_s: Option<f64>,
    /// Output tokens of a request, on average.
    pub output_tokens_per_request: Option<f64>,
    /// Requests of a session, on average; null where they belong to none.
    #[serde(default)]
    pub requests_per_session: Option<f64>,
    /// From a session's first request to its last token, on average; null likewise.
    #[serde(default)]
    pub session_s: Option<f64>,
}

/// What requests get that have the system to themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alone {
    /// Requests that were played one at a time.
    pub requests: u64,
    /// Of these, how many were rejected.
    #[serde(default)]
    pub rejected: u64,
    /// Share of them that are fluid.
    pub fluid_request_share: Option<f64>,
    /// Share of their first tokens that came by their deadline.
    pub ttft_in_time_share: Option<f64>,
    /// P99 of their time to first token.
    pub ttft_p99_s: Option<f64>,
    /// What of the promise they break.
    pub broken: Vec<String>,
    /// Whether that decides: no load keeps the promise, and no search was made.
    pub decides: bool,
    /// What they break, for sentences.
    #[serde(skip)]
    pub(super) in_words: Vec<String>,
    /// What the run warns of.
    #[serde(skip)]
    pub(super) warnings: Vec<String>,
}

/// Money for a steady load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SizingPrice {
    /// Of all GPUs.
    pub usd_per_hour: f64,
    /// At the load in question.
    pub usd_per_million_output_tokens: Option<f64>,
    /// At the load in question, for each request that is fluid.
    #[serde(default)]
    pub usd_per_fluid_request: Option<f64>,
    /// At the load in question, for each session; null where requests belong to none.
    #[serde(default)]
    pub usd_per_session: Option<f64>,
}

/// The fewest replicas for a load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForLoad {
    /// The rate; null where users were asked for.
    pub requests_per_s: Option<f64>,
    /// The users; null where a rate was asked for.
    pub users: Option<u32>,
    /// The fewest replicas that hold it with every seed, a multiple of the data-parallel ranks of a
    /// deployment; null when none do.
    pub replicas: Option<u32>,
    /// Of these, those of each pool; null where all replicas are alike.
    pub pools: Option<BTreeMap<String, u32>>,
    /// Their GPUs.
    pub gpus: Option<u32>,
    /// The load over the highest one that as many replicas carry, to 2 %; null where that is not
    /// known.
    pub share_of_capacity: Option<f64>,
    /// Money for it.
    pub price: Option<SizingPrice>,
    /// Replicas that the capacity of the scenario's own fleet suggests: where that is more than are
    /// simulated (`--max-replicas`), all that is known.
    pub estimate: Option<u64>,
    /// Whether it is not known of one step fewer, since runs end too soon: then `replicas` are those
    /// that are shown to hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fewer_not_known: bool,
    /// Whether the search came to its end before time ran out.
    pub complete: bool,
    /// Why there is no number; null where there is one.
    pub why: Option<String>,
    /// Replicas tried, and the number of seeds that held.
    pub tried: Vec<(u32, u32)>,
}

/// JSON Schema (2020-12) of [`CapacityFile`].
pub fn capacity_schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(CapacityFile);
    schema.insert("title".into(), "metron-sim capacity".into());
    schema
}

impl AtCapacity {
    /// The figures of a run.
    pub(super) fn of(run: &RunResult) -> AtCapacity {
        let summary = &run.summary;
        let offered = summary.requests.offered;
        let fluidity = summary.fluidity.as_ref();
        let fluid = fluidity.and_then(|of| of.fluid_request_share);
        let bounds = fluidity.and_then(|of| of.bounds?.fluid_request_share);
        let sessions = run.sessions.as_deref().filter(|sessions| sessions.begun > 0);
        AtCapacity {
            fluid_request_share: fluid,
            fluid_request_bounds: bounds.filter(|_| fluid.is_none()),
            ttft_in_time_share: summary.ttft_in_time_share,
            ttft_in_time_bounds: summary.ttft_in_time_bounds,
            ttft_p99_s: summary.known(Latency::Ttft, |of| of.p99),
            tbt_p99_s: summary.known(Latency::Tbt, |of| of.p99),
            requests_per_s: summary.throughput.and_then(|all| all.requests_per_s),
            output_tokens_per_request: (offered > 0)
                .then(|| summary.tokens.output as f64 / offered as f64),
            requests_per_session: sessions.map(|of| of.turns as f64 / of.begun as f64),
            session_s: sessions.and_then(|of| of.completion_s.mean),
        }
    }
}

impl SizingPrice {
    /// Money for `rate` requests, and so many sessions, a second that look like those `at` the capacity.
    pub(super) fn of(
        usd_per_hour: f64,
        rate: Option<f64>,
        sessions: Option<f64>,
        at: Option<AtCapacity>,
    ) -> SizingPrice {
        let tokens = at.and_then(|at| at.output_tokens_per_request);
        let per_hour = rate.zip(tokens).map(|(rate, tokens)| rate * tokens * 3600.0);
        let share = at.and_then(|at| at.fluid_request_share);
        let fluid_per_hour = rate.zip(share).map(|(rate, share)| rate * share * 3600.0);
        SizingPrice {
            usd_per_hour,
            usd_per_million_output_tokens: per_hour
                .filter(|tokens| *tokens > 0.0)
                .map(|tokens| usd_per_hour / tokens * 1e6),
            usd_per_fluid_request: fluid_per_hour
                .filter(|requests| *requests > 0.0)
                .map(|requests| usd_per_hour / requests),
            usd_per_session: sessions
                .filter(|sessions| *sessions > 0.0)
                .map(|sessions| usd_per_hour / 3600.0 / sessions),
        }
    }
}

/// A capacity in which every figure is there, so that the paths of all of them can be told.
pub(crate) fn full_capacity() -> Capacity {
    let border = Border {
        mean: 0.0,
        half_width: Some(0.0),
        count: 0,
        is: Estimate::MeanOverSeeds,
        lower: 0.0,
        upper: Some(0.0),
    };
    let price = SizingPrice {
        usd_per_hour: 0.0,
        usd_per_million_output_tokens: Some(0.0),
        usd_per_fluid_request: Some(0.0),
        usd_per_session: Some(0.0),
    };
    let sized = ForLoad {
        requests_per_s: Some(0.0),
        users: Some(0),
        replicas: Some(0),
        pools: None,
        gpus: Some(0),
        share_of_capacity: Some(0.0),
        price: Some(price),
        estimate: Some(0),
        fewer_not_known: false,
        complete: true,
        why: Some(String::new()),
        tried: Vec::new(),
    };
    Capacity {
        scheduler: String::new(),
        label: String::new(),
        replicas: 0,
        gpus: 0,
        requests_per_s: Some(border),
        requests_per_s_per_gpu: Some(border),
        sessions_per_s: Some(border),
        sessions_per_s_per_gpu: Some(border),
        users: Some(border),
        users_per_gpu: Some(border),
        limited_by: Vec::new(),
        seeds: Vec::new(),
        at_capacity: Some(AtCapacity {
            fluid_request_share: Some(0.0),
            ttft_in_time_bounds: None,
            fluid_request_bounds: None,
            ttft_in_time_share: Some(0.0),
            ttft_p99_s: Some(0.0),
            tbt_p99_s: Some(0.0),
            requests_per_s: Some(0.0),
            output_tokens_per_request: Some(0.0),
            requests_per_session: Some(0.0),
            session_s: Some(0.0),
        }),
        judged_by: Vec::new(),
        alone: Some(Alone {
            requests: 0,
            rejected: 0,
            fluid_request_share: Some(0.0),
            ttft_in_time_share: Some(0.0),
            ttft_p99_s: Some(0.0),
            broken: Vec::new(),
            decides: false,
            in_words: Vec::new(),
            warnings: Vec::new(),
        }),
        price: Some(price),
        for_rate: Some(sized.clone()),
        for_users: Some(sized),
        launch: None,
        not_in_launch: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
    }
}
