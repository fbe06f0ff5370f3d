//! One request, put together from its draws.

use crate::ids::ClassId;
use crate::request::{BlockIds, Request};
use crate::threads;
use crate::time::Time;

use super::classes::Classes;
use super::lengths::LengthSampler;
use super::prefixes::Prefixes;
use super::{Lengths, Limits, MaxTokens, Warning, WorkloadError, WorkloadSpec};

/// Requests that one thread draws at once.
const CHUNK: usize = 1 << 14;

/// All that a synthetic request is made of, save its arrival.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) classes: Classes,
    samplers: Vec<LengthSampler>,
    sampler_of_class: Vec<usize>,
    pub(crate) prefixes: Option<Prefixes>,
    declaration: Declaration,
}

impl Recipe {
    pub(crate) fn new(
        spec: &WorkloadSpec,
        lengths: &Lengths,
        seed: u64,
        limits: Limits,
        warnings: &mut Vec<Warning>,
    ) -> Result<Recipe, WorkloadError> {
        let mut samplers = Vec::new();
        let mut sampler_of_class = Vec::with_capacity(spec.classes.len().max(1));
        // Classes without lengths of their own share one sampler, so that a file of pairs is used
        // in the order of the requests, whatever their class.
        if spec.classes.is_empty() || spec.classes.iter().any(|class| class.lengths.is_none()) {
            samplers.push(LengthSampler::new(lengths, "lengths", seed, warnings)?);
        }
        for class in &spec.classes {
            sampler_of_class.push(match &class.lengths {
                None => 0,
                Some(own) => {
                    let field = format!("classes.{}.lengths", class.name);
                    samplers.push(LengthSampler::new(own, &field, seed, warnings)?);
                    samplers.len() - 1
                }
            });
        }
        if spec.classes.is_empty() {
            sampler_of_class.push(0);
        }
        Ok(Recipe {
            classes: Classes::new(&spec.classes, seed)?,
            samplers,
            sampler_of_class,
            prefixes: prefixes(spec, seed, limits, warnings)?,
            declaration: Declaration::new(spec.max_tokens, limits)?,
        })
    }

    /// The request with this key of all streams.
    #[inline]
    pub(crate) fn request(&mut self, key: u64, arrival: Time) -> Request {
        let class = self.classes.draw(key);
        let sampler = self.sampler_of_class[class.index()];
        let (prompt_tokens, output_tokens) = self.samplers[sampler].draw(key);
        let (output_tokens, max_tokens) =
            self.declaration.declare(prompt_tokens, output_tokens, None);
        Request {
            arrival,
            prompt_tokens,
            output_tokens,
            max_tokens,
            priority: self.classes.priority(class),
            class,
        }
    }

    /// A request of which only the arrival is known.
    pub(crate) fn not_yet_drawn(arrival: Time) -> Request {
        Request {
            arrival,
            prompt_tokens: 1,
            output_tokens: 1,
            max_tokens: 1,
            priority: 0,
            class: ClassId(0),
        }
    }

    /// Draws these requests, whose arrivals are known; the first one has key 0.
    pub(crate) fn fill(&self, requests: &mut [Request]) {
        // Pairs of a file are taken in turn.
        let in_turn = self.samplers.iter().any(LengthSampler::takes_turns);
        let most = if in_turn { requests.len().max(1) } else { CHUNK };
        let chunks = requests.chunks_mut(most).enumerate().collect();
        threads::map(chunks, |(index, requests): (usize, &mut [Request])| {
            let mut recipe = self.clone();
            for (key, request) in ((index * most) as u64..).zip(requests) {
                *request = recipe.request(key, request.arrival);
            }
        });
    }

    /// The content ids of the request with this key, where the description has any.
    #[inline]
    pub(crate) fn blocks(&self, key: u64, request: &Request) -> Option<BlockIds> {
        Some(self.prefixes.as_ref()?.draw(key, request.prompt_tokens))
    }
}

/// The prefix groups of a description, where it has any.
pub(crate) fn prefixes(
    spec: &WorkloadSpec,
    seed: u64,
    limits: Limits,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Prefixes>, WorkloadError> {
    let Some(groups) = spec.prefix_groups else { return Ok(None) };
    if groups.tokens < limits.kv_block_tokens {
        warnings.push(Warning {
            path: None,
            message: format!(
                "prefix_groups: {} tokens fill no KV block of {}, so nothing is shared",
                groups.tokens, limits.kv_block_tokens
            ),
        });
    }
    Prefixes::new(groups, limits.kv_block_tokens, seed).map(Some)
}

/// Cuts outputs and says what clients declare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declaration {
    rule: MaxTokens,
    max_model_len: u32,
}

impl Declaration {
    pub(crate) fn new(rule: MaxTokens, limits: Limits) -> Result<Declaration, WorkloadError> {
        let wrong = |expected: String| Err(WorkloadError::spec("max_tokens", expected));
        match rule {
            MaxTokens::Fixed(0) => wrong("expected a token at least, found fixed: 0".to_owned()),
            MaxTokens::Factor(factor) if !(factor > 0.0 && factor.is_finite()) => {
                wrong(format!("expected a factor above 0, found {factor}"))
            }
            _ => Ok(Declaration { rule, max_model_len: limits.max_model_len }),
        }
    }

    /// The output as it will really be, and the declared `max_tokens`, which it never exceeds.
    ///
    /// An output ends at the declared length (`own` is a trace row's, and goes before the rule) and
    /// where prompt and output fill the model's context; one token is always left, also for a
    /// prompt that the engine will reject. The declared length is what the client says: only
    /// `model` looks at the context.
    #[inline]
    pub(crate) fn declare(&self, prompt: u32, output: u32, own: Option<u32>) -> (u32, u32) {
        let room = self.max_model_len.saturating_sub(prompt).max(1);
        let output = output.min(room).max(1);
        let declared = match (own, self.rule) {
            (Some(own), _) => own,
            (None, MaxTokens::Exact) => output,
            (None, MaxTokens::Fixed(tokens)) => tokens,
            // Less a hair, since 50 * 1.1 is a little over 55 in binary. The cast ends at u32::MAX.
            (None, MaxTokens::Factor(factor)) => {
                libm::ceil(f64::from(output) * factor * (1.0 - 1e-12)) as u32
            }
            (None, MaxTokens::Model) => room,
        };
        (output.min(declared), declared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declare(rule: MaxTokens, prompt: u32, output: u32, own: Option<u32>) -> (u32, u32) {
        let limits = Limits { max_model_len: 1000, kv_block_tokens: 16 };
        Declaration::new(rule, limits).unwrap().declare(prompt, output, own)
    }

    #[test]
    fn outputs_are_cut_where_the_rules_say() {
        assert_eq!(declare(MaxTokens::Exact, 100, 50, None), (50, 50));
        assert_eq!(declare(MaxTokens::Exact, 980, 50, None), (20, 20));
        assert_eq!(declare(MaxTokens::Exact, 1000, 50, None), (1, 1));
        assert_eq!(declare(MaxTokens::Exact, 5000, 50, None), (1, 1));
        assert_eq!(declare(MaxTokens::Fixed(30), 100, 50, None), (30, 30));
        assert_eq!(declare(MaxTokens::Fixed(80), 980, 50, None), (20, 80));
        assert_eq!(declare(MaxTokens::Factor(1.5), 100, 51, None), (51, 77));
        assert_eq!(declare(MaxTokens::Factor(1.1), 100, 50, None), (50, 55));
        assert_eq!(declare(MaxTokens::Factor(0.5), 100, 51, None), (26, 26));
        assert_eq!(declare(MaxTokens::Model, 100, 50, None), (50, 900));
        assert_eq!(declare(MaxTokens::Model, 999, 50, None), (1, 1));
        assert_eq!(declare(MaxTokens::Exact, 100, 50, Some(200)), (50, 200));
        assert_eq!(declare(MaxTokens::Exact, 100, 50, Some(20)), (20, 20));
    }

    #[test]
    fn impossible_rules_are_errors() {
        let limits = Limits { max_model_len: 1000, kv_block_tokens: 16 };
        for rule in [MaxTokens::Fixed(0), MaxTokens::Factor(f64::NAN), MaxTokens::Factor(0.0)] {
            let error = Declaration::new(rule, limits).unwrap_err();
            assert_eq!(error.field(), Some("max_tokens"));
        }
    }
}
