//! Numbers that are too many for memory: blocks of them in a temporary file.
//!
//! A token's time is written as its difference from the one before, in as few bytes as that takes
//! (four for gaps of some 10 ms). The file has no name from the moment on that it is open, where the
//! system allows that, so that none is left behind; only the user can read it, and only times are in
//! it. Where none can be made or written, blocks stay in memory, in the same few bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Numbers of a block: 8 MiB where it is read.
pub(super) const BLOCK: usize = 1 << 20;

/// Numbers of all runs of a file that may stay in memory as they are.
const KEPT_MAX: usize = 2 * BLOCK;

/// Where blocks are written to; a clone writes to the same file, which is made for the first one.
#[derive(Clone, Debug, Default)]
pub(super) struct Spool(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    file: Option<Temporary>,
    /// Bytes in it.
    end: u64,
    /// Whether no file can be written any more.
    full: bool,
    /// Numbers that stay in memory.
    kept: usize,
    /// Why a block could not be read back.
    lost: Option<String>,
}

/// Some numbers.
#[derive(Clone, Debug)]
pub(super) struct Block {
    count: usize,
    bytes: Bytes,
}

#[derive(Clone, Debug)]
enum Bytes {
    File { from: u64, len: usize },
    Memory(Arc<[u8]>),
}

impl Spool {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many numbers more may stay in memory as they are; if so, counts them in.
    pub(super) fn keeps(&self, numbers: usize) -> bool {
        let mut shared = self.shared();
        let kept = shared.kept.saturating_add(numbers);
        if kept <= KEPT_MAX {
            shared.kept = kept;
        }
        kept <= KEPT_MAX
    }

    /// Puts numbers away.
    pub(super) fn write(&self, numbers: impl ExactSizeIterator<Item = u64>) -> Block {
        let count = numbers.len();
        let mut bytes = Vec::with_capacity(count * 4);
        let mut before = 0;
        for number in numbers {
            encode(&mut bytes, number.wrapping_sub(before));
            before = number;
        }
        let mut shared = self.shared();
        let bytes = match shared.append(&bytes) {
            Ok(from) => Bytes::File { from, len: bytes.len() },
            Err(_) => {
                shared.full = true;
                Bytes::Memory(bytes.into())
            }
        };
        Block { count, bytes }
    }

    /// Reads a block's numbers, in their order: whether all could be read back. Where not, `visit`
    /// does not get all of them, and [`lost`](Spool::lost) says why.
    pub(super) fn read(&self, block: &Block, visit: impl FnMut(u64)) -> bool {
        let read = match &block.bytes {
            Bytes::Memory(bytes) => decode(bytes, block.count, visit),
            &Bytes::File { from, len } => {
                let bytes = self.shared().bytes(from, len);
                bytes.and_then(|bytes| decode(&bytes, block.count, visit))
            }
        };
        if let Err(error) = &read {
            self.shared().lost.get_or_insert_with(|| error.to_string());
        }
        read.is_ok()
    }

    /// Why a block could not be read back, if one could not: figures made since are wrong.
    pub(super) fn lost(&self) -> Option<String> {
        self.shared().lost.clone()
    }
}

impl Shared {
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let temporary = match &mut self.file {
            Some(temporary) => temporary,
            none => none.insert(Temporary::new()?),
        };
        temporary.file.seek(SeekFrom::Start(self.end))?;
        temporary.file.write_all(bytes)?;
        let from = self.end;
        self.end += bytes.len() as u64;
        Ok(from)
    }

    fn bytes(&mut self, from: u64, len: usize) -> io::Result<Vec<u8>> {
        let temporary = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        temporary.file.seek(SeekFrom::Start(from))?;
        let mut bytes = vec![0; len];
        temporary.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// A file that goes when it is closed.
#[derive(Debug)]
struct Temporary {
    file: File,
    /// Its name, where an open file has to keep it.
    #[cfg(not(unix))]
    path: std::path::PathBuf,
}

impl Temporary {
    fn new() -> io::Result<Temporary> {
        // A page in a browser has neither folders nor processes.
        if cfg!(target_arch = "wasm32") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // A name that is taken is left over from a process of the same number.
        let mut tries = 0..100;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("metron-sim-{}-{number}.times", std::process::id());
            let path = std::env::temp_dir().join(name);
            match options.open(&path) {
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && tries.next().is_some() => {}
                Err(error) => return Err(error),
                #[cfg(unix)]
                Ok(file) => {
                    std::fs::remove_file(&path)?;
                    return Ok(Temporary { file });
                }
                #[cfg(not(unix))]
                Ok(file) => return Ok(Temporary { file, path }),
            }
        }
    }
}

#[cfg(not(unix))]
impl Drop for Temporary {
    fn drop(&mut self) {
        // Nobody is left to tell when it stays.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes a difference, which may be below 0, seven bits a byte and the lowest first.
fn encode(bytes: &mut Vec<u8>, difference: u64) {
    let mut left = (difference << 1) ^ ((difference.cast_signed() >> 63).cast_unsigned());
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

fn decode(bytes: &[u8], count: usize, mut visit: impl FnMut(u64)) -> io::Result<()> {
    let mut rest = bytes.iter();
    let mut number = 0u64;
    for _ in 0..count {
        let (mut left, mut shift) = (0u64, 0);
        loop {
            let Some(&byte) = rest.next().filter(|_| shift < 64) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            left |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        number = number.wrapping_add((left >> 1) ^ (left & 1).wrapping_neg());
        visit(number);
    }
    Ok(())
}

/// Numbers that come one after another and are read in their order, block by block.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    spool: Spool,
    blocks: Vec<Block>,
    last: Vec<u64>,
    len: usize,
}

impl Numbers {
    /// None yet.
    pub(super) fn new(spool: Spool) -> Numbers {
        Numbers { spool, ..Numbers::default() }
    }

    /// Adds one.
    pub(super) fn push(&mut self, number: u64) {
        if self.last.len() == BLOCK {
            self.blocks.push(self.spool.write(self.last.drain(..)));
        }
        self.last.push(number);
        self.len += 1;
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Reads them from the first on.
    pub(super) fn read(self) -> Reader {
        Reader {
            spool: self.spool,
            blocks: self.blocks.into_iter(),
            last: Some(self.last),
            here: Vec::new().into_iter(),
        }
    }
}

/// Reads [`Numbers`].
pub(super) struct Reader {
    spool: Spool,
    blocks: std::vec::IntoIter<Block>,
    last: Option<Vec<u64>>,
    here: std::vec::IntoIter<u64>,
}

impl Iterator for Reader {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        loop {
            if let Some(number) = self.here.next() {
                return Some(number);
            }
            self.here = match self.blocks.next() {
                Some(block) => {
                    let mut numbers = Vec::with_capacity(block.count);
                    self.spool.read(&block, |number| numbers.push(number));
                    numbers.into_iter()
                }
                None => self.last.take()?.into_iter(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(spool: &Spool, block: &Block) -> Vec<u64> {
        let mut numbers = Vec::new();
        assert!(spool.read(block, |number| numbers.push(number)), "{:?}", spool.lost());
        numbers
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            blocks in prop::collection::vec(
                prop::collection::vec(
                    prop_oneof![Just(0), Just(u64::MAX), 0..u64::MAX, 0u64..1_000_000_000],
                    0..200,
                ),
                1..5,
            )
        ) {
            let (on_file, in_memory) = (Spool::default(), Spool::default());
            in_memory.shared().full = true;
            for spool in [on_file, in_memory] {
                let written: Vec<Block> =
                    blocks.iter().map(|block| spool.write(block.iter().copied())).collect();
                // In any order, and again.
                for (block, numbers) in written.iter().zip(&blocks).rev().chain(written.iter().zip(&blocks)) {
                    prop_assert_eq!(&back(&spool, block), numbers);
                }
                prop_assert_eq!(spool.lost(), None);
            }
        }
    }

    #[test]
    fn times_of_tokens_take_few_bytes() {
        let spool = Spool::default();
        let times: Vec<u64> = (0..1000).map(|i| i * 12_345_678).collect();
        let block = spool.write(times.into_iter());
        assert!(matches!(block.bytes, Bytes::File { len, .. } if len <= 4000), "{block:?}");
    }

    #[test]
    fn a_block_that_cannot_be_read_back_is_told() {
        let spool = Spool::default();
        let block = spool.write([1, 2, 3].into_iter());
        spool.shared().file.as_mut().expect("a file").file.set_len(1).expect("cut");
        assert!(!spool.read(&block, |_| panic!("nothing was read")));
        assert!(spool.lost().is_some());
    }

    #[test]
    fn numbers_of_many_blocks_come_in_their_order() {
        let mut numbers = Numbers::default();
        let value = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..2 * BLOCK + 5).for_each(|i| numbers.push(value(i)));
        assert_eq!((numbers.len(), numbers.blocks.len()), (2 * BLOCK + 5, 2));
        assert!(numbers.read().eq((0..2 * BLOCK + 5).map(value)));
    }

    #[test]
    fn a_bound_holds_for_all_that_stays_in_memory() {
        let spool = Spool::default();
        assert!(spool.keeps(KEPT_MAX) && spool.keeps(0) && !spool.clone().keeps(1));
    }
}
