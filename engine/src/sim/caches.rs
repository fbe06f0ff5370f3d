//! What the prefix caches of replicas hold, for routers that know it and for the note that is made of it
//! (`fleet::Caches`). A look changes nothing.

use super::server::Server;
use crate::fleet::{Caches, Prompt};
use crate::ids::ReplicaId;

/// Replicas that are all up to date.
pub(super) struct CachesOf<'s, 'a>(pub &'s mut [Server<'a>]);

impl Caches for CachesOf<'_, '_> {
    fn held(&mut self, replica: ReplicaId, prompt: &Prompt) -> u32 {
        self.0[replica.index()].held(prompt)
    }
}

impl Server<'_> {
    /// Tokens of a prompt that a request would find here if it were looked for now.
    pub(super) fn held(&mut self, prompt: &Prompt) -> u32 {
        let decode_steps = self.replica().decode_steps();
        if let Server::Whole(lane) = self
            && let Some(held) =
                lane.planner.scheduler.cached_tokens(&prompt.content, prompt.tokens, decode_steps)
        {
            return held;
        }
        if prompt.reach == 0 {
            return 0;
        }
        self.replica_mut().found_of(prompt.tokens, |block, ahead| prompt.chain(block, ahead))
    }
}
