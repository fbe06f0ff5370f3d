//! What is asked: traffic and a promise, as a scenario whose GPU is yet to be chosen.

use crate::catalog::{Kind, names};
use crate::scenario::{Document, Files, ScenarioError};
use crate::shown::three_digits;
use crate::suggest::advice;
use crate::time::Span;
use crate::units::Duration;

/// A question to plan for.
#[derive(Clone, Debug)]
pub struct PlanQuestion {
    /// The scenario: its GPU, parallelism, number format and replicas are chosen.
    pub document: Document,
    /// Whether its schedulers are those of a file, to be taken as they are.
    pub own_schedulers: bool,
    /// Load in place of the scenario's, requests (or sessions) a second.
    pub rate: Option<f64>,
    /// Whether how many sessions begin is for the search to say: as many as it takes until as many end.
    pub counts_sessions: bool,
    /// GPUs to choose from, by their names in the catalogue.
    pub gpus: Vec<String>,
    /// Dollars an hour for one GPU, in place of the catalogue's.
    pub prices: Vec<(String, f64)>,
    /// Sizes of tensor parallelism to choose from.
    pub tensor: Vec<u32>,
    /// Number formats to choose from; the model's own and fp8 where the GPU has it, if none is given.
    pub dtypes: Vec<String>,
    /// The link over which the KV of answers with prefill and decode apart would go: they are tried, too.
    pub apart: Option<String>,
}

/// Traffic in flags.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The model's name or the path of its config.
    pub model: String,
    /// How much there is.
    pub load: Load,
    /// How long the requests are.
    pub lengths: TrafficLengths,
    /// P-th percentile of TTFT, such as `p99`, and its bound.
    pub ttft: (String, Span),
    /// Tokens a second that a user is promised.
    pub tokens_per_s: f64,
    /// The share of requests that must be fluid.
    pub share: f64,
}

/// How much traffic there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Poisson arrivals, requests (or sessions) a second.
    Rate(f64),
    /// Users who think for so long between an answer and their next request, or between two sessions.
    Users(u32, Span),
    /// The arrivals of a trace, or so many a second.
    Trace(Option<f64>),
}

/// How long requests are.
#[derive(Clone, Debug, PartialEq)]
pub enum TrafficLengths {
    /// Tokens of each prompt and answer, and of the beginning that all prompts share.
    Fixed {
        /// Tokens of a prompt.
        prompt: u32,
        /// Tokens of an answer.
        output: u32,
        /// Tokens that all prompts begin with.
        shared_prefix: u32,
    },
    /// Those of a file.
    Trace(String),
    /// Sessions of several turns, by the name of a preset.
    Sessions(&'static str),
}

/// Presets of sessions, as a scenario names them.
pub const SESSION_PRESETS: [&str; 2] = ["chat", "agent"];

/// Until it is known how long sessions are, so many of them.
const SESSIONS: u32 = 100;

/// Arrivals last so many times as long as a request may stay, so that the start and the end weigh little.
const STAYS: f64 = 10.0;
/// So many requests at least: the worst percent is twenty.
const REQUESTS: (f64, f64) = (2_000.0, 20_000.0);
/// Of each user, so many requests.
const TURNS: f64 = 10.0;

impl Traffic {
    /// Requests of a run, where they are not those of a file: arrivals for so long that the start and
    /// the end weigh little.
    pub fn requests(&self) -> Option<u32> {
        let TrafficLengths::Fixed { output, .. } = &self.lengths else { return None };
        let requests = match self.load {
            Load::Users(users, _) => f64::from(users) * TURNS,
            Load::Rate(rate) | Load::Trace(Some(rate)) => {
                let stay_s = self.ttft.1.as_secs_f64() + f64::from(*output) / self.tokens_per_s;
                STAYS * stay_s * rate
            }
            Load::Trace(None) => 0.0,
        };
        Some(requests.clamp(REQUESTS.0, REQUESTS.1) as u32)
    }

    /// The scenario in YAML, with a GPU that stands for the one to be chosen.
    pub fn scenario(&self) -> String {
        let (stat, ttft) = &self.ttft;
        let ttft = Duration(*ttft);
        let tbt = Duration(Span::from_nanos((1e9 / self.tokens_per_s).round() as u64));
        let mut text = format!(
            "name: plan\nmodel: {}\ngpu: h100-sxm\nschedulers: [vllm-v1]\nworkload:\n",
            yaml_text(&self.model)
        );
        match &self.lengths {
            TrafficLengths::Trace(file) => {
                text.push_str(&format!("  trace: {{file: {}}}\n", yaml_text(file)));
            }
            TrafficLengths::Sessions(preset) => {
                let begin = match self.load {
                    Load::Users(users, think) => {
                        format!("concurrency: {{users: {users}, think_time: {}}}", Duration(think))
                    }
                    Load::Rate(rate) | Load::Trace(Some(rate)) => {
                        format!("arrivals: {{poisson: {{rate: {rate}}}}}")
                    }
                    Load::Trace(None) => "arrivals: all_at_once".to_owned(),
                };
                text.push_str(&format!(
                    "  sessions:\n    preset: {preset}\n    count: {SESSIONS}\n    {begin}\nrouter: \
                     session-affinity\n"
                ));
            }
            TrafficLengths::Fixed { prompt, output, shared_prefix } => {
                let arrivals = match self.load {
                    Load::Users(users, think) => {
                        format!("closed_loop: {{users: {users}, think_time: {}}}", Duration(think))
                    }
                    Load::Rate(rate) | Load::Trace(Some(rate)) => {
                        format!("poisson: {{rate: {rate}}}")
                    }
                    Load::Trace(None) => "poisson: {rate: 1}".to_owned(),
                };
                let requests = self.requests().unwrap_or(REQUESTS.0 as u32);
                text.push_str(&format!(
                    "  requests: {requests}\n  arrivals: {{{arrivals}}}\n  lengths: {{prompt: {{fixed: \
                     {prompt}}}, output: {{fixed: {output}}}}}\n"
                ));
                if *shared_prefix > 0 {
                    text.push_str(&format!(
                        "  prefix_groups: {{count: 1, tokens: {shared_prefix}}}\n"
                    ));
                }
            }
        }
        text.push_str(&format!(
            "slo:\n  ttft: {ttft}\n  tbt: {tbt}\n  fluidity: {{index: 0.9, share: {}}}\n  bounds: {{ttft: \
             {{{stat}: {ttft}}}}}\n",
            self.share
        ));
        text
    }

    /// The scenario, read; it may name these files.
    ///
    /// # Errors
    /// When it is not YAML, as a model's name might make it.
    pub fn document(&self, files: Files) -> Result<Document, ScenarioError> {
        Document::from_text("<plan>", &self.scenario(), files)
    }

    /// The model and its traffic in words: what a plan calls the question.
    pub fn question(&self) -> String {
        format!("{}, {}", self.model, self.words())
    }

    /// The traffic in words.
    pub fn words(&self) -> String {
        let unit = match self.lengths {
            TrafficLengths::Sessions(_) => "sessions/s",
            _ => "requests/s",
        };
        let load = match self.load {
            Load::Rate(rate) | Load::Trace(Some(rate)) => format!("{} {unit}", short(rate)),
            Load::Users(users, _) => format!("{users} users"),
            Load::Trace(None) => "its own rate".to_owned(),
        };
        match &self.lengths {
            TrafficLengths::Trace(file) => format!("the requests of {file} at {load}"),
            TrafficLengths::Sessions(preset) => match self.load {
                Load::Users(..) => format!("{load} with a session each, preset {preset}"),
                Load::Rate(_) | Load::Trace(_) => format!("{load}, preset {preset}"),
            },
            TrafficLengths::Fixed { prompt, output, shared_prefix } => {
                let shared = match shared_prefix {
                    0 => String::new(),
                    tokens => format!(" ({tokens} of them shared)"),
                };
                format!("{load} of {prompt} prompt tokens{shared} and {output} output tokens")
            }
        }
    }
}

/// A text as YAML takes it, whatever is in it.
fn yaml_text(text: &str) -> String {
    serde_json::to_string(text).expect("text is plain data")
}

/// A rate with no needless zeros.
pub(super) fn short(rate: f64) -> String {
    if rate.fract() == 0.0 && rate < 1e9 { format!("{rate:.0}") } else { three_digits(rate) }
}

impl PlanQuestion {
    /// The GPUs that a list names: names of the catalogue, or `all`.
    ///
    /// # Errors
    /// When one is not known, in words.
    pub fn gpus_of(list: &[String]) -> Result<Vec<String>, String> {
        let known = names(Kind::Gpu);
        if list.len() == 1 && list[0] == "all" {
            return Ok(known);
        }
        let mut gpus: Vec<String> = Vec::new();
        for name in list {
            let full = bare(name, &known).ok_or_else(|| {
                let help = advice(name, known.iter().map(String::as_str));
                format!("there is no GPU `{name}`; {help}; `metron-sim list gpus` has all")
            })?;
            if !gpus.contains(&full) {
                gpus.push(full);
            }
        }
        Ok(gpus)
    }
}

/// A name as the catalogue has it: itself, or a bare one such as `h100`, which is the SXM board, or the
/// only one that begins so.
fn bare(name: &str, known: &[String]) -> Option<String> {
    let name = name.trim().to_lowercase();
    let begins: Vec<&String> =
        known.iter().filter(|one| one.starts_with(&format!("{name}-"))).collect();
    let sxm = begins.iter().rev().find(|one| one.contains("-sxm"));
    known
        .iter()
        .find(|one| **one == name)
        .or(sxm.copied())
        .or(begins.first().copied().filter(|_| begins.len() == 1))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_the_board_that_people_mean() {
        let of = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|&one| one.to_owned()).collect();
            PlanQuestion::gpus_of(&list)
        };
        assert_eq!(of(&["h100", "L40S"]), Ok(vec!["h100-sxm".to_owned(), "l40s".to_owned()]));
        assert!(of(&["a100"]).is_ok_and(|found| found[0].starts_with("a100-sxm")));
        assert!(of(&["all"]).is_ok_and(|found| found.len() > 20));
        let said = of(&["h1000-sxm"]).unwrap_err();
        assert!(said.contains("h100-sxm"), "{said}");
    }

    #[test]
    fn sessions_become_a_scenario_that_resolves() {
        for (preset, load, words) in [
            ("chat", Load::Rate(2.5), "2.50 sessions/s, preset chat"),
            ("agent", Load::Users(40, Span::ZERO), "40 users with a session each, preset agent"),
        ] {
            let traffic = Traffic {
                model: "llama-3.1-8b".to_owned(),
                load,
                lengths: TrafficLengths::Sessions(preset),
                ttft: ("p95".to_owned(), Span::from_millis(2_000)),
                tokens_per_s: 20.0,
                share: 0.95,
            };
            let resolved =
                traffic.document(Files::any("")).expect("YAML").resolve(None).expect("a scenario");
            assert!(resolved.experiment.workload.source.has_turns());
            assert_eq!(resolved.experiment.workload.users().is_some(), preset == "agent");
            assert_eq!(traffic.words(), words);
        }
    }

    #[test]
    fn traffic_becomes_a_scenario_that_resolves() {
        let traffic = Traffic {
            model: "llama-3.1-8b".to_owned(),
            load: Load::Rate(40.0),
            lengths: TrafficLengths::Fixed { prompt: 8_000, output: 400, shared_prefix: 3_000 },
            ttft: ("p99".to_owned(), Span::from_millis(1_000)),
            tokens_per_s: 30.0,
            share: 0.99,
        };
        let document = traffic.document(Files::none()).expect("YAML");
        let resolved = document.resolve(None).expect("a scenario");
        assert_eq!(resolved.experiment.promises.common.tbt, Span::from_nanos(33_333_333));
        assert_eq!(resolved.experiment.promises.common.bounds.len(), 1);
        assert!(traffic.words().contains("40 requests/s of 8000 prompt tokens (3000"));
    }
}
