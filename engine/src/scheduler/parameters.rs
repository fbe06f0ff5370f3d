//! What a policy says of itself and of its parameters.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::Facts;
use super::proofs::Proof;
use super::{EngineInfo, Scheduler};

/// A policy's parameters, as a scenario gives them: a plain struct with a default for each, whose
/// doc comments `metron-sim list schedulers` and the JSON Schema show. Those of a policy that models a
/// real system have that system's names and defaults.
///
/// [`register`](super::register) makes a policy known by a name.
pub trait Parameters:
    Default + Clone + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static
{
    /// The system whose rules these are, with the version they were read from.
    const SYSTEM: &'static str = "a policy of its own";
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// What the likeness to the real system rests on.
    const EVIDENCE: Evidence = Evidence::Own;
    /// Where it is [proven](Evidence::Proven): by what, for which version. A line for each capability
    /// that the golden files of a version have on.
    const PROOFS: &'static [Proof] = &[];

    /// What it has of what not every system has.
    const FEATURES: &'static [Feature] = &[];

    /// Which of its features the system has on, in this version, where nobody says: all of them, unless
    /// said otherwise.
    fn on_by_default(&self) -> &'static [Feature] {
        Self::FEATURES
    }

    /// What is wrong with these values; empty when nothing is.
    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        Vec::new()
    }

    /// The parameters that cannot have an effect beside the others in this setting, whatever their
    /// value, so that nobody who gives one waits for its effect.
    fn idle(&self, _setting: &Setting) -> Vec<Idle> {
        Vec::new()
    }

    /// The same parameters with defaults that depend on the engine filled in.
    fn resolved(&self, _engine: &EngineInfo) -> Self {
        self.clone()
    }

    /// Random values for tests: every parameter away from its default now and then.
    fn draw(_draws: &mut Draws<'_>) -> Self {
        Self::default()
    }

    /// The policy for one replica. Call it only when there are no [`problems`](Self::problems).
    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler>;

    /// What these parameters bound, and how the policy goes about prompts and memory.
    fn facts(&self, engine: &EngineInfo) -> Facts;
}

/// What a policy's likeness to the real system rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Evidence {
    /// Equal to the system's own code in every step of the golden files.
    Proven,
    /// Written from a description of the system.
    Modelled,
    /// It is like no system: a policy of its own.
    Own,
}

impl Evidence {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Evidence::Proven => "proven",
            Evidence::Modelled => "modelled",
            Evidence::Own => "own",
        }
    }

    /// What the name means.
    pub fn meaning(self) -> &'static str {
        match self {
            Evidence::Proven => "equal to the system's own code in every golden step",
            Evidence::Modelled => "written from a description of the system",
            Evidence::Own => "it stands for no real system",
        }
    }
}

/// What a system has and another may lack: two of them are not compared across it without a word.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// KV blocks are kept and found again by content.
    PrefixCaching,
    /// A step is planned while the one before runs.
    AsyncScheduling,
    /// Requests have priorities.
    Priorities,
    /// The declared `max_tokens` of a request is looked at.
    DeclaredLengths,
}

/// What a policy's parameters may depend on besides each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The engine.
    pub engine: EngineInfo,
    /// Whether two prompts begin with the same whole KV block.
    pub shares_prefixes: bool,
    /// Whether requests differ in priority.
    pub priorities_differ: bool,
    /// Whether some request belongs to a session.
    pub has_sessions: bool,
    /// Tokens of the longest prompt with its answer, where they are known.
    pub longest_request: Option<u32>,
    /// Whether replicas are ranks that step together.
    pub steps_together: bool,
}

/// A parameter that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Its name.
    pub parameter: &'static str,
    /// Why.
    pub why: String,
}

impl Idle {
    /// Collects a parameter that is idle `when`, with the reason.
    pub fn when(idle: bool, parameter: &'static str, why: &str) -> Option<Idle> {
        idle.then(|| Idle { parameter, why: why.to_owned() })
    }

    /// The watermark, where its share of the KV blocks is less than one of them.
    pub fn watermark(watermark: f64, engine: &EngineInfo) -> Option<Idle> {
        let blocks = engine.kv_blocks;
        let none = watermark > 0.0 && ((watermark * f64::from(blocks)) as u32) == 0;
        none.then(|| Idle {
            parameter: "watermark",
            why: format!("it is less than one of {blocks} KV blocks"),
        })
    }
}

/// A parameter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The parameter's name.
    pub parameter: &'static str,
    /// What was expected of it.
    pub expected: String,
}

impl Problem {
    /// Collects a problem when `wrong`.
    pub fn when(wrong: bool, parameter: &'static str, expected: &str) -> Option<Problem> {
        wrong.then(|| Problem { parameter, expected: expected.to_owned() })
    }

    /// Collects a problem where `tokens` are less than a KV block's, and says how many those are and
    /// why so many. `besides` follows the number.
    pub fn below_a_block(
        tokens: u32,
        engine: &EngineInfo,
        parameter: &'static str,
        besides: &str,
    ) -> Option<Problem> {
        let block = engine.kv_block_tokens;
        let wide = match engine.kv_groups.states() > 0 {
            true => ", so wide that it holds a state of the model",
            false => "",
        };
        let expected = format!("at least {block}{besides} (the tokens of a KV block{wide})");
        (tokens < block).then_some(Problem { parameter, expected })
    }
}
