//! Turns of sessions, drawn. Every value is keyed by session and turn, so that a session says the same
//! whenever it comes and however fast it is answered.

use std::sync::Arc;

use super::gaps::GapSampler;
use super::spec::{GapKind, MaxContext, SessionsSpec, SharedPrefix};
use crate::content::Ids;
use crate::ids::ClassId;
use crate::request::BlockIds;
use crate::time::Span;
use crate::workload::classes::Classes;
use crate::workload::lengths::DistSampler;
use crate::workload::recipe::Declaration;
use crate::workload::streams::{Purpose, Stream};
use crate::workload::{Limits, MAX_BLOCK_IDS, WorkloadError, WorkloadSpec};

/// Most turns of a session: one a second for three years.
pub(super) const TURNS_MAX: u32 = 100_000_000;

/// All that the turns of a session are made of.
#[derive(Clone, Debug)]
pub(super) struct TurnDraws {
    pub(super) classes: Classes,
    turns: DistSampler,
    first_prompt: DistSampler,
    new_tokens: DistSampler,
    output: DistSampler,
    gaps: GapSampler,
    dropped_reasoning: f64,
    max_context: MaxContext,
    max_model_len: u32,
    declaration: Declaration,
    prefix: Option<Prefix>,
    streams: Streams,
}

#[derive(Clone, Copy, Debug)]
struct Streams {
    turns: Stream,
    first: Stream,
    prompts: Stream,
    outputs: Stream,
    groups: Stream,
}

/// Content ids of the shared prefixes: block j of prefix g has the id `g * blocks_each + j`.
#[derive(Clone, Debug)]
struct Prefix {
    of: SharedPrefix,
    blocks_each: u32,
    ids: Arc<Vec<u64>>,
}

/// What is drawn of a session before its first turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    /// Keys all its draws.
    pub(super) key: u64,
    pub(super) class: ClassId,
    /// Which shared prefix it has.
    pub(super) prefix: u32,
    /// Turns that it would have, were contexts without end.
    pub(super) turns: u32,
}

/// A turn that is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) turn: u32,
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
    pub(super) max_tokens: u32,
    /// Tokens of the turn before, prompt and then answer, that this prompt begins with.
    pub(super) inherits: u32,
    /// Tokens of the shared prefix that it begins with, where it goes on from no turn.
    pub(super) prefix_tokens: u32,
    /// From the answer before it to this turn.
    pub(super) gap: Span,
    pub(super) kind: GapKind,
}

impl Planned {
    /// Prompt and answer.
    pub(super) fn tokens(&self) -> u32 {
        self.prompt_tokens.saturating_add(self.output_tokens)
    }
}

/// Keys the draws of a turn.
pub(super) fn key_of(who: &Who, turn: u32) -> u64 {
    // Sessions are keyed by 64 bits already: mix the turn in, as a stream would.
    who.key.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23) ^ u64::from(turn)
}

impl TurnDraws {
    pub(super) fn new(
        spec: &WorkloadSpec,
        of: &SessionsSpec,
        seed: u64,
        limits: Limits,
    ) -> Result<TurnDraws, WorkloadError> {
        let dist = |dist, name: &str| DistSampler::new(dist, &format!("sessions.{name}"));
        if !(0.0..1.0).contains(&of.dropped_reasoning) {
            return Err(WorkloadError::spec(
                "sessions.reasoning",
                format!("expected a part from 0 to below 1, found {}", of.dropped_reasoning),
            ));
        }
        let stream = |purpose| Stream::new(seed, purpose);
        Ok(TurnDraws {
            classes: Classes::new(&spec.classes, seed)?,
            turns: dist(&of.turns, "turns")?,
            first_prompt: dist(&of.first_prompt, "first_prompt")?,
            new_tokens: dist(&of.new_tokens, "new_tokens")?,
            output: dist(&of.output, "output")?,
            gaps: GapSampler::new(&of.gap, stream(Purpose::Gap))?,
            dropped_reasoning: of.dropped_reasoning,
            max_context: of.max_context,
            max_model_len: limits.max_model_len,
            declaration: Declaration::new(spec.max_tokens, limits)?,
            prefix: of.shared_prefix.map(|of| Prefix::new(of, limits)).transpose()?,
            streams: Streams {
                turns: stream(Purpose::Turns),
                first: stream(Purpose::FirstPrompt),
                prompts: stream(Purpose::Prompt),
                outputs: stream(Purpose::Output),
                groups: stream(Purpose::Prefix),
            },
        })
    }

    /// The session with this key.
    pub(super) fn who(&self, key: u64) -> Who {
        let prefixes = self.prefix.as_ref().map_or(1, |prefix| u64::from(prefix.of.count));
        Who {
            key,
            class: self.classes.draw(key),
            prefix: self.streams.groups.at(key).below(prefixes) as u32,
            turns: self.turns_of(key),
        }
    }

    /// Turns of the session with this key.
    pub(super) fn turns_of(&self, key: u64) -> u32 {
        self.turns.draw(self.streams.turns, key).min(TURNS_MAX)
    }

    /// Its first turn.
    pub(super) fn first(&self, who: &Who) -> Planned {
        let shared = self.prefix.as_ref().map_or(0, |prefix| prefix.of.tokens);
        let own = self.first_prompt.draw(self.streams.first, who.key);
        let plan = Planned {
            turn: 0,
            prompt_tokens: shared.saturating_add(own),
            output_tokens: self.output.draw(self.streams.outputs, key_of(who, 0)),
            max_tokens: 0,
            inherits: 0,
            prefix_tokens: shared,
            gap: Span::ZERO,
            kind: GapKind::User,
        };
        self.declared(plan)
    }

    /// The turn after `before`; `None` where the session ends with that.
    pub(super) fn next(&self, who: &Who, before: &Planned) -> Option<Planned> {
        let turn = before.turn + 1;
        if turn >= who.turns {
            return None;
        }
        let key = key_of(who, turn);
        let dropped = libm::rint(f64::from(before.output_tokens) * self.dropped_reasoning) as u32;
        let kept = before.output_tokens - dropped;
        let said = before.prompt_tokens.saturating_add(kept);
        let new_tokens = self.new_tokens.draw(self.streams.prompts, key);
        let output_tokens = self.output.draw(self.streams.outputs, key);
        let (gap, kind) = self.gaps.draw(key);
        let mut plan = Planned {
            turn,
            prompt_tokens: said.saturating_add(new_tokens),
            output_tokens,
            max_tokens: 0,
            // Thinking comes first: behind it nothing stands where it stood.
            inherits: if dropped > 0 { before.prompt_tokens } else { before.tokens() },
            prefix_tokens: 0,
            gap,
            kind,
        };
        if plan.tokens() > self.max_model_len {
            self.fit(&mut plan, said, new_tokens)?;
        }
        Some(self.declared(plan))
    }

    /// Makes a turn fit into the context, where that is what a session does.
    fn fit(&self, plan: &mut Planned, said: u32, new_tokens: u32) -> Option<()> {
        match self.max_context {
            MaxContext::End => return None,
            MaxContext::TruncateOldest => {
                let room = self.max_model_len.saturating_sub(plan.output_tokens).max(1);
                plan.prompt_tokens = plan.prompt_tokens.min(room);
                (plan.inherits, plan.prefix_tokens) = (0, 0);
            }
            MaxContext::Compact { to } => {
                plan.prompt_tokens = to.saturating_add(new_tokens);
                if to >= said || plan.tokens() > self.max_model_len {
                    return None;
                }
                let shared = self.prefix.as_ref().map_or(0, |prefix| prefix.of.tokens);
                (plan.inherits, plan.prefix_tokens) = (0, shared.min(to));
            }
        }
        Some(())
    }

    fn declared(&self, plan: Planned) -> Planned {
        let (output_tokens, max_tokens) =
            self.declaration.declare(plan.prompt_tokens, plan.output_tokens, None);
        Planned { output_tokens, max_tokens, ..plan }
    }

    /// The content ids of shared prefix `prefix`, as far as `tokens` reach.
    pub(super) fn ids(&self, prefix: u32, tokens: u32, block_tokens: u32) -> Option<Ids> {
        let of = self.prefix.as_ref()?;
        let len = tokens.div_ceil(block_tokens).min(of.blocks_each);
        Ids::of(&of.ids, BlockIds { start: prefix * of.blocks_each, len })
    }
}

impl Prefix {
    fn new(of: SharedPrefix, limits: Limits) -> Result<Prefix, WorkloadError> {
        if of.count == 0 || of.tokens == 0 {
            return Err(WorkloadError::spec(
                "sessions.shared_prefix",
                "expected a count and tokens of 1 or more",
            ));
        }
        // The last one is named too, though only a part of its tokens is shared.
        let blocks_each = of.tokens.div_ceil(limits.kv_block_tokens);
        let ids = u64::from(of.count) * u64::from(blocks_each);
        if ids > MAX_BLOCK_IDS as u64 {
            return Err(WorkloadError::spec(
                "sessions.shared_prefix",
                format!("expected at most {MAX_BLOCK_IDS} blocks in all prefixes, found {ids}"),
            ));
        }
        Ok(Prefix { of, blocks_each, ids: Arc::new((0..ids).collect()) })
    }
}
