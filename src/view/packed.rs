//! Every iteration of a replica, packed: a few bytes each, for a page that zooms to any of them.
//!
//! Iterations are cut into blocks, so that a page unpacks only what is looked at. A block is
//! deflated (RFC 1951, zlib's wrapping, RFC 1950) and written as base64 on a line of its own.
//! Unpacked it holds whole numbers, seven bits a byte, least first, the eighth bit set on all bytes
//! but a number's last. Signed numbers are folded: 0, -1, 1, -2 are 0, 1, 2, 3. First come the
//! number of iterations, then one list after the other, a number an iteration:
//!
//! 1. from the end of the iteration before to the start, microseconds, signed (the first from 0);
//! 2. how long it lasted, microseconds, less that of the one before, signed;
//! 3. requests that decoded, less that of the one before, signed;
//! 4. KV blocks in use, likewise;
//! 5. requests waiting, likewise;
//! 6. requests that prefilled;
//! 7. prompt tokens prefilled, without those of the chunks listed;
//!
//! then the chunks listed of each iteration, its first few: the request, less that of the chunk
//! before, signed, and its tokens.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::Serialize;

use super::iterations::CHUNKS_LISTED;
use crate::report::html::base64;
use crate::request::RequestId;
use crate::threads;

/// Iterations of a block: few enough to be unpacked between two frames.
const BLOCK: usize = 32_768;

/// What is packed of an iteration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    /// Its start, microseconds.
    pub start_us: u64,
    /// When it left the GPU free, microseconds.
    pub end_us: u64,
    /// Requests that decoded.
    pub decodes: u32,
    /// KV blocks in use.
    pub kv: u32,
    /// Requests waiting.
    pub waiting: u32,
    /// Who prefilled, and how many tokens.
    pub chunks: Vec<(RequestId, u32)>,
}

/// A replica's iterations, packed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Packed {
    /// Which of the page's packed texts it is.
    pub id: usize,
    /// Iterations of a block; the last one may have fewer.
    pub block: usize,
    /// The blocks, a line each.
    #[serde(skip)]
    pub text: String,
}

impl Packed {
    /// Packs iterations in order of their start.
    pub fn of(iterations: impl Iterator<Item = Plain>) -> Packed {
        let mut blocks = Vec::new();
        let mut block = Block::default();
        for iteration in iterations {
            block.push(&iteration);
            if block.count == BLOCK {
                blocks.push(std::mem::take(&mut block));
            }
        }
        if block.count > 0 {
            blocks.push(block);
        }
        let lines: Vec<String> =
            threads::spread_map(blocks.iter().collect(), |b| base64(&deflated(&b.bytes())));
        Packed { id: 0, block: BLOCK, text: lines.join("\n") }
    }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// A block in the making: its lists.
#[derive(Default)]
struct Block {
    count: usize,
    before: Plain,
    request: RequestId,
    lists: [Vec<u8>; 7],
    chunks: Vec<u8>,
}

impl Block {
    fn push(&mut self, now: &Plain) {
        let before = &self.before;
        let lasted = |of: &Plain| of.end_us.saturating_sub(of.start_us);
        let changed = |now: u32, before: u32| folded(i64::from(now) - i64::from(before));
        let listed = &now.chunks[..now.chunks.len().min(CHUNKS_LISTED)];
        let rest = now.chunks[listed.len()..].iter().map(|chunk| u64::from(chunk.1)).sum();
        let numbers = [
            folded(now.start_us as i64 - before.end_us as i64),
            folded(lasted(now) as i64 - lasted(before) as i64),
            changed(now.decodes, before.decodes),
            changed(now.kv, before.kv),
            changed(now.waiting, before.waiting),
            now.chunks.len() as u64,
            rest,
        ];
        for (list, number) in self.lists.iter_mut().zip(numbers) {
            put(list, number);
        }
        for &(request, tokens) in listed {
            put(&mut self.chunks, changed(request.0, self.request.0));
            put(&mut self.chunks, u64::from(tokens));
            self.request = request;
        }
        self.count += 1;
        self.before = Plain { chunks: Vec::new(), ..*now };
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, self.count as u64);
        for list in self.lists.iter().chain([&self.chunks]) {
            bytes.extend_from_slice(list);
        }
        bytes
    }
}

/// Small numbers of both signs as small numbers.
fn folded(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    /// Reads what [`Packed::of`] wrote, as a page does.
    fn unpacked(packed: &Packed) -> Vec<Plain> {
        packed.text.lines().flat_map(block).collect()
    }

    fn block(line: &str) -> Vec<Plain> {
        const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut deflated, mut bits, mut have) = (Vec::new(), 0u32, 0);
        for digit in line.chars().filter(|&c| c != '=') {
            bits = bits << 6 | DIGITS.find(digit).expect("a digit") as u32;
            have += 6;
            if have >= 8 {
                have -= 8;
                deflated.push((bits >> have) as u8);
            }
        }
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(&deflated[..]).read_to_end(&mut bytes).expect("a block");
        let mut at = bytes.into_iter();
        let mut next = || {
            let (mut number, mut shift) = (0u64, 0);
            loop {
                let byte = at.next().expect("more");
                number |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return number;
                }
            }
        };
        let unfolded = |number: u64| (number >> 1) as i64 ^ -((number & 1) as i64);
        let count = next() as usize;
        let lists: Vec<Vec<u64>> = (0..7).map(|_| (0..count).map(|_| next()).collect()).collect();
        let (mut end, mut last) = (0i64, [0i64; 5]);
        let mut plain = Vec::new();
        for k in 0..count {
            for (sum, list) in last.iter_mut().zip(&lists[1..5]) {
                *sum += unfolded(list[k]);
            }
            let start = end + unfolded(lists[0][k]);
            end = start + last[0];
            let listed = (lists[5][k] as usize).min(CHUNKS_LISTED);
            let mut chunks: Vec<(RequestId, u32)> = (0..listed)
                .map(|_| {
                    last[4] += unfolded(next());
                    (RequestId(last[4] as u32), next() as u32)
                })
                .collect();
            // Of the rest only the number and the sum are known.
            let rest = lists[5][k] as usize - listed;
            chunks.extend(
                (0..rest).map(|n| (RequestId(0), if n == 0 { lists[6][k] as u32 } else { 0 })),
            );
            plain.push(Plain {
                start_us: start as u64,
                end_us: end as u64,
                decodes: last[1] as u32,
                kv: last[2] as u32,
                waiting: last[3] as u32,
                chunks,
            });
        }
        plain
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            parts in prop::collection::vec(
                (0u64..1 << 33, 0u64..1 << 22, 0u32..5_000, 0u32..u32::MAX, 0u32..9_000,
                 prop::collection::vec(((0u32..u32::MAX).prop_map(RequestId), 0u32..9_000), 0..9)),
                0..200,
            ),
        ) {
            let mut at = 0;
            let given: Vec<Plain> = parts
                .into_iter()
                .map(|(idle, took, decodes, kv, waiting, mut chunks)| {
                    let start_us = at + idle;
                    at = start_us + took;
                    if chunks.len() > CHUNKS_LISTED {
                        let rest: u32 = chunks[CHUNKS_LISTED..].iter().map(|chunk| chunk.1).sum();
                        chunks[CHUNKS_LISTED..].fill((RequestId(0), 0));
                        chunks[CHUNKS_LISTED].1 = rest;
                    }
                    Plain { start_us, end_us: at, decodes, kv, waiting, chunks }
                })
                .collect();
            prop_assert_eq!(unpacked(&Packed::of(given.iter().cloned())), given);
        }
    }

    #[test]
    fn blocks_stand_alone_and_steady_decoding_takes_little() {
        let steady = |k: u64| Plain {
            start_us: 15_000 * k,
            end_us: 15_000 * k + 14_900 + k % 7,
            decodes: 30 + (k % 90 / 30) as u32,
            kv: 10_000 + (k % 50) as u32,
            ..Plain::default()
        };
        let count = 2 * BLOCK as u64 + 5;
        let packed = Packed::of((0..count).map(steady));
        assert_eq!(packed.text.lines().count(), 3);
        assert_eq!(block(packed.text.lines().nth(2).expect("three")).len(), 5);
        let back = unpacked(&packed);
        assert!((0..count).all(|k| back[k as usize] == steady(k)));
        assert!(packed.text.len() < 2 * count as usize, "{} bytes", packed.text.len());
    }
}
