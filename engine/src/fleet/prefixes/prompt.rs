//! A prompt as routers see it, and what replicas really hold of one.

use std::sync::{Arc, OnceLock};

use crate::content::Content;
use crate::ids::ReplicaId;
use crate::kv::Chain;
use crate::kv::radix::Text;
use crate::request::{Request, RequestId};

/// The tokens of a request that is to be sent somewhere.
#[derive(Debug)]
pub(crate) struct Prompt {
    /// Where its tokens come from.
    pub text: Arc<Text>,
    /// The same, as prefix caches know it.
    pub content: Content,
    /// Its tokens.
    pub tokens: u32,
    /// How many tokens, of the prompt and then of its answer, another request can have.
    pub reach: u32,
    /// Its blocks, and how wide these are.
    chain: OnceLock<((u32, u32), Chain)>,
}

impl Prompt {
    /// The prompt of a request, `tokens` long, whose answer has up to `max_tokens`.
    pub(crate) fn of(id: RequestId, content: Content, tokens: u32, max_tokens: u32) -> Prompt {
        let reach = content.shared_tokens().min(tokens.saturating_add(max_tokens));
        let text = Arc::new(Text::of(&content, id));
        Prompt { text, content, tokens, reach, chain: OnceLock::new() }
    }

    /// The same of a request, where anybody looks at what its tokens are.
    pub(crate) fn of_request(
        id: RequestId,
        request: &Request,
        content: Option<Content>,
    ) -> Option<Arc<Prompt>> {
        let (tokens, answer) = (request.prompt_tokens, request.max_tokens);
        content.map(|content| Arc::new(Prompt::of(id, content, tokens, answer)))
    }

    /// What its blocks of this width contain, where `ahead` tokens behind a block belong to what it is.
    pub(crate) fn chain(&self, block_tokens: u32, ahead: u32) -> Chain {
        let widths = (block_tokens, ahead);
        let make = || (widths, self.content.chain(block_tokens, ahead));
        match self.chain.get_or_init(make) {
            (known, chain) if *known == widths => chain.clone(),
            _ => make().1,
        }
    }
}

/// The prefix caches of the replicas as they are.
pub(crate) trait Caches {
    /// Tokens of a prompt that a replica would find in its cache if it looked now.
    fn held(&mut self, replica: ReplicaId, prompt: &Prompt) -> u32;
}

/// Where nobody asks.
pub(crate) struct NoCaches;

impl Caches for NoCaches {
    fn held(&mut self, _: ReplicaId, _: &Prompt) -> u32 {
        0
    }
}
