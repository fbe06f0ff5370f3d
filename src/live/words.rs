//! Text whose tokens can be counted without a model: the tokenizer of the mock server.
//!
//! A token is a word of the vocabulary, two or three syllables long, or up to eight bytes of any other
//! word. Words stand for ids and ids for words, so a text and its ids say the same.

const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 5] = b"aeiou";
const SYLLABLES: u32 = 80;
/// Words of two syllables, which have the first ids.
pub(super) const WORDS: u32 = SYLLABLES * SYLLABLES;
/// Words of three syllables, which have the next.
const LONG_WORDS: u32 = WORDS * SYLLABLES;
/// Ids of all other pieces begin here.
const OTHERS: u32 = WORDS + LONG_WORDS;
/// The longest piece of another word, bytes.
const PIECE_BYTES: usize = 8;

/// Appends the word that an id stands for.
pub(super) fn push_word(id: u32, out: &mut String) {
    let (mut rest, syllables) = match id {
        _ if id < WORDS => (id, 2),
        _ => ((id - WORDS) % LONG_WORDS, 3),
    };
    let mut digits = [0; 3];
    for digit in digits[..syllables].iter_mut().rev() {
        *digit = rest % SYLLABLES;
        rest /= SYLLABLES;
    }
    for digit in &digits[..syllables] {
        out.push(CONSONANTS[(digit / 5) as usize].into());
        out.push(VOWELS[(digit % 5) as usize].into());
    }
}

/// The text of these ids.
pub(super) fn text(ids: &[u32]) -> String {
    let mut text = String::with_capacity(ids.len() * 5);
    for (place, &id) in ids.iter().enumerate() {
        if place > 0 {
            text.push(' ');
        }
        push_word(id, &mut text);
    }
    text
}

/// Appends the ids of a text.
pub(super) fn push_ids(text: &str, out: &mut Vec<u32>) {
    for word in text.split_whitespace() {
        match id_of(word.as_bytes()) {
            Some(id) => out.push(id),
            None => {
                out.extend(pieces(word).map(|piece| OTHERS + hash(piece.as_bytes()) % (1 << 20)))
            }
        }
    }
}

fn id_of(word: &[u8]) -> Option<u32> {
    let base = match word.len() {
        4 => 0,
        6 => WORDS,
        _ => return None,
    };
    let syllable = |pair: &[u8]| {
        let consonant = CONSONANTS.iter().position(|letter| *letter == pair[0])?;
        let vowel = VOWELS.iter().position(|letter| *letter == pair[1])?;
        Some((consonant * 5 + vowel) as u32)
    };
    word.chunks(2)
        .try_fold(0, |id, pair| Some(id * SYLLABLES + syllable(pair)?))
        .map(|id| base + id)
}

fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut end = rest.len().min(PIECE_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let piece;
        (piece, rest) = rest.split_at(end);
        (!piece.is_empty()).then_some(piece)
    })
}

fn hash(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0x811c_9dc5, |hash: u32, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        push_ids(text, &mut out);
        out
    }

    #[test]
    fn words_and_ids_say_the_same() {
        let all: Vec<u32> = (0..WORDS).chain((WORDS..OTHERS).step_by(997)).collect();
        assert_eq!(ids(&text(&all)), all);
    }

    #[test]
    fn every_text_has_tokens() {
        assert_eq!(ids("  baba  dede\n").len(), 2);
        assert_eq!(ids("Hello, internationalisation!").len(), 1 + 3);
        assert_eq!(ids("日本語の文章").len(), 3, "pieces end where characters do");
        assert_eq!(ids("").len(), 0);
    }
}
