//! Prompts that share beginnings, and what replicas have of them.

use super::*;
use crate::content::{Content, Ids, Origin as Known};
use crate::request::RequestId;

/// A prompt of named pages of ten tokens, and more of its own.
fn prompt(id: u32, ids: &[u64], tokens: u32) -> Prompt {
    let covers = 10 * ids.len() as u32;
    let content = Content::of(RequestId(id), 10, |_| Known {
        ids: Ids::all(ids.to_vec()),
        covers,
        ..Known::default()
    });
    Prompt::of(RequestId(id), content, tokens, 1)
}

/// Numbers below what is asked for.
fn draws(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    }
}

/// Names of so many pages, each of which tells those before it.
fn branch(pages: u64, mut draw: impl FnMut(u64) -> u64) -> Vec<u64> {
    let below = |name: &u64| Some(2 * name + draw(2));
    std::iter::successors(Some(1), below).skip(1).take(pages as usize).collect()
}

fn replicas(tree: &PrefixTree, prompt: &Prompt) -> Vec<(u32, u32, Vec<u32>)> {
    let mut steps = Vec::new();
    tree.walk(prompt, prompt.tokens, &mut steps);
    let held = |step: &Step| tree.holders(step.node).map(|one| one.0).collect();
    steps.iter().map(|step| (step.from, step.to, held(step))).collect()
}

#[test]
fn a_prompt_is_found_as_far_as_it_was_sent_somewhere() {
    let mut tree = PrefixTree::new(5, 3, Goes::Never);
    let [one, two, three] =
        [prompt(0, &[1, 2, 3], 42), prompt(1, &[1, 2, 9], 33), prompt(2, &[1], 90)];
    tree.insert(&one, 42, ReplicaId(2), 1);
    assert_eq!(replicas(&tree, &two), [(0, 20, vec![2])]);
    tree.insert(&two, 33, ReplicaId(0), 2);
    assert_eq!(replicas(&tree, &one), [(0, 20, vec![0, 2]), (20, 30, vec![2])]);
    assert_eq!(replicas(&tree, &three), [(0, 10, vec![0, 2])]);
    // What is a request's own counts, in whole pages.
    assert_eq!([0, 1, 2].map(|one| tree.size(ReplicaId(one))), [30, 0, 40]);
}

#[test]
fn the_longest_unused_leaf_goes_first_and_shared_parts_last() {
    let mut tree = PrefixTree::new(10, 1, Goes::TailFirst);
    let replica = ReplicaId(0);
    let [one, two] = [prompt(0, &[1, 2, 3], 30), prompt(1, &[1, 8], 40)];
    tree.insert(&one, 30, replica, 1);
    tree.insert(&two, 40, replica, 2);
    assert_eq!(tree.size(replica), 60);
    tree.forget_beyond(replica, 59, false);
    assert_eq!(tree.size(replica), 40, "[2, 3] of the first");
    assert_eq!(replicas(&tree, &one), [(0, 10, vec![0])]);
    tree.forget_beyond(replica, 39, false);
    assert_eq!(tree.size(replica), 20, "what was the second's own");
    tree.forget_beyond(replica, 19, false);
    assert_eq!(replicas(&tree, &two), [(0, 10, vec![0])]);
    tree.forget_beyond(replica, 0, false);
    assert_eq!((tree.size(replica), tree.kids.len()), (0, 0));
}

#[test]
fn a_list_of_blocks_loses_the_heads_of_prompts() {
    let mut tree = PrefixTree::new(10, 1, Goes::HeadFirst);
    let replica = ReplicaId(0);
    let one = prompt(0, &[1, 2, 3], 60);
    tree.insert(&one, 60, replica, 1);
    tree.forget_beyond(replica, 45, false);
    assert_eq!(tree.size(replica), 40);
    assert_eq!(replicas(&tree, &one), [(0, 20, vec![]), (20, 30, vec![0])]);
    tree.forget_beyond(replica, 20, false);
    assert_eq!(tree.size(replica), 20, "of its own tail");
}

#[test]
fn what_is_held_is_the_longest_of_what_each_request_holds() {
    let mut draw = draws(0x1234_5678_9ABC_DEF1);
    let mut tree = PrefixTree::new(5, 3, Goes::Never);
    let mut held: Vec<(ReplicaId, Vec<u64>, Prompt)> = Vec::new();
    for id in 0..2000 {
        if held.len() > 12 || !held.is_empty() && draw(2) == 0 {
            let (replica, _, prompt) = held.swap_remove(draw(held.len() as u64) as usize);
            tree.release(&prompt, prompt.tokens, replica);
        } else {
            let ids = branch(1 + draw(5), &mut draw);
            let tokens = (1 + draw(60)) as u32;
            let replica = ReplicaId(draw(3) as u32);
            let prompt = prompt(id, &ids, tokens);
            tree.hold(&prompt, tokens, replica);
            held.push((replica, ids, prompt));
        }
        // Pages of 5 tokens by what they hold: a block of a name, or of one request alone.
        for replica in (0..3).map(ReplicaId) {
            let mut pages = std::collections::BTreeSet::new();
            for (owner, (_, ids, prompt)) in
                held.iter().enumerate().filter(|(_, (at, ..))| *at == replica)
            {
                for page in 0..prompt.tokens / 5 {
                    let shared = (page + 1) * 5 <= prompt.reach;
                    let name = ids.get(..=page as usize / 2).filter(|_| shared);
                    let own = if name.is_none() { owner } else { usize::MAX };
                    pages.insert((page, name.map(<[u64]>::to_vec), own));
                }
            }
            assert_eq!(tree.size(replica), 5 * pages.len() as u64, "step {id}");
        }
        for (_, ids, prompt) in &held {
            let mut steps = Vec::new();
            tree.walk(prompt, prompt.tokens, &mut steps);
            let mut reach = [0; 3];
            for step in &steps {
                for (replica, to) in tree.reaches(step.node) {
                    reach[replica.index()] = to.min(step.to);
                }
            }
            let mut expected = [0; 3];
            for (replica, others, other) in &held {
                let alike = ids.iter().zip(others).take_while(|(a, b)| a == b).count() as u32;
                let whole = tree.floor(prompt.tokens.min(other.tokens));
                let there = &mut expected[replica.index()];
                *there = (10 * alike).min(whole).max(*there);
            }
            assert_eq!(reach, expected, "step {id}");
        }
    }
    held.drain(..).for_each(|(replica, _, prompt)| tree.release(&prompt, prompt.tokens, replica));
    assert!(tree.kids.is_empty() && tree.sizes == [0; 3]);
}

#[test]
fn what_several_hold_counts_once_until_the_last_is_gone() {
    let mut tree = PrefixTree::new(10, 2, Goes::Never);
    let [one, two] = [prompt(0, &[1, 2, 3], 45), prompt(1, &[1, 2], 25)];
    let sizes = |tree: &PrefixTree| [0, 1].map(|one| tree.size(ReplicaId(one)));
    tree.hold(&one, 45, ReplicaId(0));
    tree.hold(&two, 25, ReplicaId(0));
    tree.hold(&two, 25, ReplicaId(1));
    assert_eq!(sizes(&tree), [40, 20]);
    tree.release(&one, 45, ReplicaId(0));
    assert_eq!(sizes(&tree), [20, 20]);
    tree.hold(&two, 25, ReplicaId(0));
    tree.release(&two, 25, ReplicaId(0));
    tree.release(&two, 25, ReplicaId(1));
    assert_eq!(sizes(&tree), [20, 0]);
    tree.release(&two, 25, ReplicaId(0));
    assert_eq!((sizes(&tree), tree.kids.len()), ([0, 0], 0));
}

#[test]
fn a_tree_that_is_not_split_at_ends_says_the_same() {
    let mut draw = draws(0x9E37_79B9_7F4A_7C15);
    for page in [1, 5, 10] {
        let mut split = PrefixTree::new(page, 4, Goes::Never);
        let mut whole = PrefixTree::new(page, 4, Goes::Never);
        for id in 0..300 {
            let ids = branch(1 + draw(6), &mut draw);
            let prompt = prompt(id, &ids, 1 + draw(70) as u32);
            let replica = ReplicaId(draw(4) as u32);
            let asked = prompt.tokens;
            let held = |tree: &PrefixTree| {
                let mut steps = Vec::new();
                tree.walk(&prompt, asked, &mut steps);
                let mut held = [0; 4];
                for step in &steps {
                    for (holder, to) in tree.reaches(step.node) {
                        held[holder.index()] = to.min(step.to);
                    }
                }
                held
            };
            assert_eq!(held(&split), held(&whole), "page {page}, prompt {id}");
            split.insert(&prompt, prompt.reach, replica, 0);
            whole.reach(&prompt, prompt.reach, replica);
            assert!(whole.nodes.len() <= split.nodes.len());
            assert_eq!(split.sizes, whole.sizes, "page {page}, prompt {id}");
        }
        assert!(whole.nodes.len() < split.nodes.len(), "page {page}: nothing ends in a node");
    }
}

#[test]
fn what_was_used_at_one_time_can_go_together() {
    let mut tree = PrefixTree::new(1, 1, Goes::TailFirst);
    let replica = ReplicaId(0);
    tree.insert(&prompt(0, &[1, 2], 50), 50, replica, 1);
    tree.insert(&prompt(1, &[7], 20), 20, replica, 2);
    tree.forget_beyond(replica, 60, true);
    assert_eq!(tree.size(replica), 20);
    tree.forget_before(replica, 3);
    assert_eq!(tree.size(replica), 0);
}
