//! When requests arrive.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::units::Duration;

/// An arrival process; rates are requests a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = name_alone)]
pub enum Arrivals {
    /// Exponential gaps.
    Poisson(Rate),
    /// Gamma gaps: burstier than Poisson for cv > 1.
    Gamma(RateAndCv),
    /// Weibull gaps: burstier than Poisson for cv > 1.
    Weibull(RateAndCv),
    /// Equal gaps; the first request comes at time 0.
    Constant(Rate),
    /// Everything at time 0.
    AllAtOnce(AllAtOnce),
    /// Poisson with a rate that changes over time.
    Piecewise(Vec<Piece>),
    /// Poisson with a rate that goes up and down over a day.
    Day(Day),
    /// Each user sends the next request some time after the last answer.
    ClosedLoop(ClosedLoop),
}

impl Arrivals {
    /// The name that a scenario gives the process.
    pub fn name(&self) -> &'static str {
        match self {
            Arrivals::Poisson(_) => "poisson",
            Arrivals::Gamma(_) => "gamma",
            Arrivals::Weibull(_) => "weibull",
            Arrivals::Constant(_) => "constant",
            Arrivals::AllAtOnce(_) => "all_at_once",
            Arrivals::Piecewise(_) => "piecewise",
            Arrivals::Day(_) => "day",
            Arrivals::ClosedLoop(_) => "closed_loop",
        }
    }

    /// Requests a second, where that is one number.
    pub fn rate(&self) -> Option<f64> {
        match self {
            Arrivals::Poisson(of) | Arrivals::Constant(of) => Some(of.rate),
            Arrivals::Gamma(of) | Arrivals::Weibull(of) => Some(of.rate),
            Arrivals::AllAtOnce(_)
            | Arrivals::Piecewise(_)
            | Arrivals::Day(_)
            | Arrivals::ClosedLoop(_) => None,
        }
    }
}

/// `all_at_once` has no figures: its name alone will do.
fn name_alone(schema: &mut Schema) {
    if let Some(Json::Array(choices)) = schema.get_mut("oneOf") {
        choices.push(serde_json::json!({"const": "all_at_once"}));
    }
}

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{rate: 2.0}`")]
pub struct Rate {
    /// Requests a second.
    pub rate: f64,
}

/// A rate and how uneven the gaps are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{rate: 2.0, cv: 1.5}`")]
pub struct RateAndCv {
    /// Requests a second.
    pub rate: f64,
    /// Standard deviation of the gaps over their mean; 1 is Poisson.
    pub cv: f64,
}

/// Has no figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`{}`")]
pub struct AllAtOnce {}

/// A stretch of a rate that changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{for: 60s, rate: 2.0}`")]
pub struct Piece {
    /// How long it lasts.
    #[serde(rename = "for")]
    pub length: Duration,
    /// Requests a second at its beginning.
    pub rate: f64,
    /// Requests a second at its end, the rate changing linearly; `rate` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp_to: Option<f64>,
}

/// A day of arrivals from midnight on: `peak` and `trough`, or a file of rates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{peak: 40, trough: 4, shape: office}`")]
pub struct Day {
    /// Requests a second at the busiest time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<f64>,
    /// Requests a second at the quietest time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trough: Option<f64>,
    /// How the rate goes between the two; `sine` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<DayShape>,
    /// In place of these a CSV file with the columns `time_s` (or `hour`) and `requests_per_s`, relative
    /// to the scenario's file: straight lines between its rows, and the last one ends the arrivals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// How a day's rate goes between its trough and its peak. Both are assumptions, not measured: a file has
/// the rates of a real day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DayShape {
    /// A wave with its peak at 14:00 and its trough at 02:00.
    #[default]
    Sine,
    /// Working hours: the trough from 21:00 to 06:00, nine tenths of the way to the peak by 09:00, the
    /// peak at 11:00 and 14:00, and a dip at 12:30 between them.
    Office,
}

/// Users who wait for their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{users: 32, think_time: 2s}`")]
pub struct ClosedLoop {
    /// How many.
    pub users: u32,
    /// From the last token of an answer to the next request; 0s unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think_time: Option<Duration>,
}
