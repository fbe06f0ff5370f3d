//! Content ids are chained: whoever has one has all tokens before it. In a file where an id follows
//! two different ones it cannot stand for both, and becomes another id behind the second.

use std::collections::HashMap;

use rustc_hash::FxHashMap;

/// Which id each follows.
#[derive(Debug, Default)]
pub(super) struct Chained {
    /// By id: the id that it follows where it first stands; `None` at the head of a prompt.
    follows: FxHashMap<u64, Option<u64>>,
    /// Ids given in the place of others, by the one before and the one in the file.
    others: HashMap<(Option<u64>, u64), u64>,
}

impl Chained {
    /// Makes the ids of one request chained.
    pub(super) fn chain(&mut self, ids: &mut [u64]) {
        let mut before = None;
        for id in ids {
            let first = *self.follows.entry(*id).or_insert(before);
            if first != before {
                *id = self.other(before, *id);
            }
            before = Some(*id);
        }
    }

    fn other(&mut self, before: Option<u64>, id: u64) -> u64 {
        if let Some(&other) = self.others.get(&(before, id)) {
            return other;
        }
        // Counted down from the largest, where files have none.
        let mut other = u64::MAX - self.others.len() as u64;
        while self.follows.contains_key(&other) {
            other -= 1;
        }
        self.follows.insert(other, before);
        self.others.insert((before, id), other);
        other
    }

    /// What a user should know of a file that calls its ids this.
    pub(super) fn note(&self, name: &str) -> Option<String> {
        let others = self.others.len();
        (others > 0).then(|| {
            format!(
                "`{name}` are chained, whoever has one has all tokens before it: {others} that stand \
                 behind different ones are taken for different content"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_behind_two_different_ones_is_two() {
        let mut chained = Chained::default();
        let mut all = [vec![1, 2, 3], vec![1, 2, 4], vec![9, 2, 3], vec![9, 2, 5], vec![2, 3]];
        all.iter_mut().for_each(|ids| chained.chain(ids));
        assert_eq!(all[0], [1, 2, 3]);
        assert_eq!(all[1], [1, 2, 4]);
        assert_ne!(all[2][1], 2, "2 follows 1");
        assert_ne!(all[2][2], 3);
        assert_eq!(all[2][..2], all[3][..2], "but these two begin alike");
        assert!(all[4][0] != 2 && all[4][0] != all[2][1]);
        assert!(chained.note("hash_ids").expect("it says so").contains("`hash_ids`"));
        let mut again = vec![1, 2, 3];
        chained.chain(&mut again);
        assert_eq!(again, [1, 2, 3]);
    }
}
