//! Damaged scenario texts: bytes lost, doubled, swapped, cut off, or replaced by what parsers
//! stumble over. Reading one gives a scenario or errors that say where.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::scenario::{Document, Files};

/// Pieces that parsers stumble over.
const PIECES: [&str; 16] = [
    "\0",
    "\u{feff}",
    "&a [*a]",
    "1e999",
    "-1",
    "18446744073709551616",
    "{",
    "]",
    ": ",
    "\t",
    "\n- ",
    "'",
    "null",
    "ms",
    "!!binary",
    "0.1e-400",
];

/// Damages `text` a few times and reads each copy.
///
/// # Panics
/// When an error has no place, or the reader panics.
pub(super) fn damage(seed: u64, text: &str) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x0DA3_A6ED);
    for _ in 0..3 {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..rng.random_range(1..=3) {
            wound(&mut bytes, &mut rng);
        }
        let damaged = String::from_utf8_lossy(&bytes);
        let read = Document::from_text("damaged.yaml", &damaged, Files::none());
        if let Err(error) = read.and_then(|document| document.resolve(None)) {
            let told = error.to_string();
            assert!(told.contains("damaged.yaml"), "an error says where: {told}");
        }
    }
}

fn wound(bytes: &mut Vec<u8>, rng: &mut Xoshiro256PlusPlus) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.random_range(0..bytes.len());
    match rng.random_range(0..5) {
        0 => {
            bytes.remove(at);
        }
        1 => bytes.insert(at, bytes[at]),
        2 => {
            let other = rng.random_range(0..bytes.len());
            bytes.swap(at, other);
        }
        3 => bytes.truncate(at),
        _ => {
            let piece = PIECES[rng.random_range(0..PIECES.len())];
            bytes.splice(at..at, piece.bytes());
        }
    }
}
