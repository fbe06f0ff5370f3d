//! What a file tells of one request in two ways: each is held against the other.

use super::builder::Builder;
use super::sense::seconds;
use crate::shown::duration;

impl Builder {
    /// Notes where a file tells one number of tokens of the request under way in two ways that no way of
    /// counting explains.
    pub(super) fn two_counts(&mut self, one: Option<u32>, other: Option<u32>) {
        let (Some(one), Some(other)) = (one, other) else { return };
        // Another tokenizer may make half as many more.
        if one.max(other) > one.min(other).saturating_mul(2).saturating_add(2) {
            self.odd("tell two numbers of the same tokens", || format!("{one} and {other}"));
        }
    }

    /// Notes where the mean gap that a client tells of the request under way is not that of `tokens`
    /// which came within `decode` after the first, all in nanoseconds. Clients round, and count otherwise by a
    /// token.
    pub(super) fn mean_gap(&mut self, told: Option<u64>, decode: Option<u64>, tokens: Option<u32>) {
        let (Some(told), Some(decode), Some(tokens @ 4..)) = (told, decode, tokens) else { return };
        let told = u128::from(told);
        let least = u128::from(decode) * 3 / 4 / u128::from(tokens);
        let most = u128::from(decode) * 5 / 4 / u128::from(tokens - 2) + 1_000_000;
        if told < least || told > most {
            self.odd("tell a mean gap that their tokens do not have", || {
                format!("{} between {tokens} tokens", duration(told as f64 / 1e9))
            });
        }
    }

    /// Notes where a mean time of a token of the request under way is in another unit than its `tokens`,
    /// which took `total` in all and `decode` after the first, in nanoseconds. Versions of a client take
    /// other instants for it.
    pub(super) fn in_unit(
        &mut self,
        told: Option<u64>,
        decode: Option<u64>,
        total: Option<u64>,
        tokens: Option<u32>,
    ) {
        const FACTOR: u128 = 8;
        let (Some(told), Some(decode), Some(total)) = (told, decode, total) else { return };
        let Some(tokens @ 4..) = tokens else { return };
        let mean = |took: u64, tokens: u32| u128::from(took) / u128::from(tokens);
        let (least, most) = (mean(decode, tokens) / FACTOR, mean(total, tokens - 1) * FACTOR);
        let slack = 1_000_000;
        if u128::from(told) > most + slack || u128::from(told) + slack < least {
            self.odd("tell a mean time of a token that their tokens do not have", || {
                let total = seconds(total);
                format!("{} for {tokens} tokens in {total} s", duration(told as f64 / 1e9))
            });
        }
    }

    /// Notes where a rate that a client tells of the request under way is not that of so many tokens in that
    /// time, in nanoseconds. Clients count from the beginning or from the first token.
    pub(super) fn rate(&mut self, told: Option<f64>, tokens: Option<u32>, took: Option<u64>) {
        let (Some(told), Some(tokens @ 4..), Some(took @ 1..)) = (told, tokens, took) else {
            return;
        };
        let own = f64::from(tokens) * 1e9 / took as f64;
        if told > own * 2.5 || told < own / 2.5 {
            self.odd("tell a rate that their tokens do not have", || {
                format!("{told} tokens a second, and {tokens} in {} s", seconds(took))
            });
        }
    }

    /// Notes where two lengths of the prompt under way have nothing to do with each other: the client counts
    /// its text, the server what its template makes of that, with pictures, or what it cut off.
    pub(super) fn two_prompts(&mut self, servers: Option<u32>, clients: Option<u32>) {
        let (Some(servers), Some(clients)) = (servers, clients) else { return };
        if clients > servers.saturating_mul(8).saturating_add(100) {
            self.odd("tell two lengths of the same prompt", || {
                format!("{servers} by the server and {clients} by the client")
            });
        }
    }

    /// Notes where two clocks of the file tell the same instant otherwise, beyond what setting one
    /// explains.
    pub(super) fn same_time(&mut self, one: Option<u64>, other: Option<u64>, within: u64) {
        let (Some(one), Some(other)) = (one, other) else { return };
        if one.abs_diff(other) > within / 2 + 100_000_000 {
            self.odd("tell two times of the same token", || {
                format!("{} s and {} s", seconds(one), seconds(other))
            });
        }
    }

    /// Notes where a part of the request under way took longer than all of it.
    pub(super) fn part_of(&mut self, part: Option<u64>, whole: Option<u64>) {
        let (Some(part), Some(whole)) = (part, whole) else { return };
        if part > whole.saturating_add(whole / 2).saturating_add(100_000_000) {
            self.odd("have a part that took longer than all of it", || {
                format!("{} s of {} s", seconds(part), seconds(whole))
            });
        }
    }
}
