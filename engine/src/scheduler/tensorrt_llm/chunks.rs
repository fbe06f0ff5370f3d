//! How prompts that do not fit a step together share it.

use super::ContextChunkingPolicy;

/// Chunks of prompts that have `lefts` tokens to compute, within `cap` tokens. A chunk that does
/// not end its prompt is a multiple of `unit`.
pub(super) fn chunks(
    policy: ContextChunkingPolicy,
    lefts: &[u32],
    cap: u32,
    unit: u32,
) -> Vec<u32> {
    let all: u64 = lefts.iter().map(|&left| u64::from(left)).sum();
    if all <= u64::from(cap) {
        return lefts.to_vec();
    }
    let mut cap = cap;
    match policy {
        ContextChunkingPolicy::FirstComeFirstServed => {
            let chunk = |&left: &u32| {
                let chunk = if left <= cap { left } else { cap / unit * unit };
                cap -= chunk;
                chunk
            };
            lefts.iter().map(chunk).collect()
        }
        ContextChunkingPolicy::EqualProgress => {
            let mut chunks = vec![0; lefts.len()];
            loop {
                let before = cap;
                for (chunk, &left) in chunks.iter_mut().zip(lefts) {
                    let more = unit.min(left - *chunk);
                    if more <= cap {
                        *chunk += more;
                        cap -= more;
                    }
                }
                if cap == 0 || cap == before {
                    return chunks;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served_cuts_to_a_multiple_of_the_unit() {
        // 100 of 130 fit: the first whole, the second 36 of 60 cut to 32, and 4 are left over, which
        // just fit the third.
        let policy = ContextChunkingPolicy::FirstComeFirstServed;
        assert_eq!(chunks(policy, &[64, 60, 4, 2], 100, 32), [64, 32, 4, 0]);
        assert_eq!(chunks(policy, &[64, 36], 100, 32), [64, 36]);
    }

    #[test]
    fn equal_progress_deals_a_unit_to_each_in_turn() {
        // Rounds of 32: 32+32+10, then 26 are left, too few for another 32 of either.
        let policy = ContextChunkingPolicy::EqualProgress;
        assert_eq!(chunks(policy, &[100, 100, 10], 100, 32), [32, 32, 10]);
        assert_eq!(chunks(policy, &[100, 40], 128, 32), [64, 40]);
    }
}
