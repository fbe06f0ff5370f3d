//! Who of the replicas holds how much of a prompt: those that were never sent its beginning hold
//! nothing of it, so only the others are asked, and no more of them than matter.

use std::cmp::Reverse;

use super::prompt::{Caches, Prompt};
use super::tree::{Goes, PrefixTree, Step};
use crate::fleet::Member;
use crate::ids::ReplicaId;

/// How much of a prompt the replica that it is sent to holds, and how much the one that holds most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Tokens that the chosen replica held when it was chosen.
    pub here: u32,
    /// The most that any replica held then.
    pub most: u32,
    /// The first that held so much: the chosen one where nobody held more.
    pub at: ReplicaId,
}

/// All that was ever sent that another request can have.
#[derive(Debug)]
pub(in crate::fleet) struct Sent {
    tree: PrefixTree,
    /// What all blocks are multiples of: none finds a part of it.
    block_tokens: u32,
    steps: Vec<Step>,
    /// Who holds a node, and up to where.
    reaches: Vec<(ReplicaId, u32)>,
    /// By replica: for which prompt it was asked last, by their count.
    asked: Vec<u64>,
    prompts: u64,
}

impl Sent {
    pub(in crate::fleet) fn new(members: &[Member]) -> Sent {
        Sent {
            tree: PrefixTree::new(1, members.len(), Goes::Never),
            block_tokens: members.iter().map(|one| one.block_tokens).fold(0, gcd).max(1),
            steps: Vec::new(),
            reaches: Vec::new(),
            asked: vec![0; members.len()],
            prompts: 0,
        }
    }

    /// A prompt was sent to a replica.
    pub(in crate::fleet) fn insert(&mut self, prompt: &Prompt, replica: ReplicaId) {
        self.tree.reach(prompt, prompt.reach, replica);
    }

    /// The most tokens of a prompt that each replica of a list can hold, in their order.
    pub(in crate::fleet) fn bounds(
        &mut self,
        prompt: &Prompt,
        of: &[ReplicaId],
        bounds: &mut Vec<u32>,
    ) {
        bounds.clear();
        bounds.resize(of.len(), 0);
        self.tree.walk(prompt, prompt.tokens, &mut self.steps);
        for step in &self.steps {
            let mut places = of.iter().zip(bounds.iter_mut());
            for (holder, to) in self.tree.reaches(step.node) {
                if let Some((_, bound)) = places.find(|(replica, _)| **replica == holder) {
                    *bound = self.findable(prompt, step.to.min(to));
                }
            }
        }
    }

    /// What the chosen replica holds of a prompt beside what others do that could have been chosen.
    pub(in crate::fleet) fn held(
        &mut self,
        prompt: &Prompt,
        (chosen, could_be): (ReplicaId, impl Fn(ReplicaId) -> bool),
        caches: &mut dyn Caches,
    ) -> Held {
        self.tree.walk(prompt, prompt.tokens, &mut self.steps);
        let Some(first) = self.steps.first() else { return Held { at: chosen, ..Held::default() } };
        let here = match self.tree.holds(first.node, chosen) {
            true => caches.held(chosen, prompt),
            false => 0,
        };
        let mut held = Held { here, most: here, at: chosen };
        self.prompts += 1;
        self.asked[chosen.index()] = self.prompts;
        for place in (0..self.steps.len()).rev() {
            let step = self.steps[place];
            // Whoever used it last holds it most likely, and then nobody else is asked.
            if let Some(latest) = self.tree.latest(step.node)
                && held.most < self.findable(prompt, step.to)
            {
                self.ask(latest, prompt, &could_be, caches, &mut held);
            }
            if held.most >= self.findable(prompt, step.to) {
                break;
            }
            let mut reaches = std::mem::take(&mut self.reaches);
            reaches.clear();
            reaches.extend(self.tree.reaches(step.node));
            reaches.sort_by_key(|&(_, to)| Reverse(to.min(step.to)));
            for &(replica, to) in &reaches {
                if held.most >= self.findable(prompt, to.min(step.to)) {
                    break;
                }
                self.ask(replica, prompt, &could_be, caches, &mut held);
            }
            self.reaches = reaches;
        }
        held
    }

    /// Asks a replica that was not asked for this prompt before.
    fn ask(
        &mut self,
        replica: ReplicaId,
        prompt: &Prompt,
        could_be: &impl Fn(ReplicaId) -> bool,
        caches: &mut dyn Caches,
        held: &mut Held,
    ) {
        let asked = std::mem::replace(&mut self.asked[replica.index()], self.prompts);
        if asked == self.prompts || !could_be(replica) {
            return;
        }
        let there = caches.held(replica, prompt);
        let first_of_equals = there == held.most && there > held.here && replica < held.at;
        if there > held.most || first_of_equals {
            held.most = there;
            held.at = replica;
        }
    }

    /// The most tokens that anybody can find of a prompt whose first `tokens` were sent somewhere: whole
    /// blocks, and one token is always computed.
    fn findable(&self, prompt: &Prompt, tokens: u32) -> u32 {
        let last = prompt.tokens.saturating_sub(1);
        (tokens / self.block_tokens * self.block_tokens).min(last)
    }
}

fn gcd(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { gcd(other, one % other) }
}
