//! The blocks that the router sent to each replica, as a list of the last ones
//! (`approximateprefix/indexer.go`).

use super::super::known::Mine;
use crate::fleet::Member;
use crate::fleet::prefixes::{Goes, PrefixTree, Prompt, Step};
use crate::ids::ReplicaId;

#[derive(Debug)]
pub(super) struct SentBlocks {
    tree: PrefixTree,
    /// By replica, in tokens.
    most: Vec<u64>,
    uses: u64,
    steps: Vec<Step>,
}

/// Beyond so many tokens prompts are taken as alike (`defaultMaxPrefixTokens`).
const PREFIX_TOKENS_MAX: u32 = 131_072;

impl SentBlocks {
    pub(super) fn new(
        block_tokens: u32,
        capacity: Option<u32>,
        mine: &Mine,
        members: &[Member],
    ) -> SentBlocks {
        let mut most = vec![0; mine.numbers()];
        for member in members {
            let blocks = capacity.unwrap_or(member.kv_blocks);
            most[member.id.index()] = u64::from(blocks) * u64::from(block_tokens);
        }
        let tree = PrefixTree::new(block_tokens, mine.numbers(), Goes::HeadFirst);
        SentBlocks { tree, most, uses: 0, steps: Vec::new() }
    }

    /// Tokens by place of the blocks of a prompt that each replica was sent, as far as every block was
    /// sent to somebody.
    pub(super) fn look(&mut self, prompt: &Prompt, mine: &Mine, tokens: &mut [u32]) {
        self.tree.walk(prompt, prompt.tokens.min(PREFIX_TOKENS_MAX), &mut self.steps);
        for step in &self.steps {
            let holders = self.tree.holders(step.node);
            if holders.len() == 0 {
                break;
            }
            for holder in holders {
                let place = mine.place(holder).expect("it was sent there");
                tokens[place] += step.to - step.from;
            }
        }
    }

    pub(super) fn insert(&mut self, prompt: &Prompt, replica: ReplicaId) {
        self.uses += 1;
        self.tree.insert(prompt, prompt.tokens.min(PREFIX_TOKENS_MAX), replica, self.uses);
        self.tree.forget_beyond(replica, self.most[replica.index()], false);
    }
}
