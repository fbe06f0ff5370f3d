//! How many tokens each chunk of an answer held.

use super::exchange::Exchange;

/// By what the tokens of an answer were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenCount {
    /// Every chunk lists the ids of its tokens, or says how many there are so far.
    #[default]
    Exact,
    /// One a chunk, which agrees with the total that the server states.
    Total,
    /// The server states another total: which chunks hold more tokens than one, or none, is a guess.
    Spread,
    /// One a chunk; the server states no total.
    OneEach,
}

/// A chunk with content: when it came, its tokens where the server counts them, and bytes of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) at_ns: u64,
    pub(super) tokens: Option<u32>,
    pub(super) bytes: usize,
}

/// Says how many tokens each piece brought.
pub(super) fn settle(exchange: &mut Exchange, pieces: &[Piece]) {
    let stated = exchange.usage.map(|usage| usage.completion).filter(|&total| total > 0);
    let exact = !pieces.is_empty() && pieces.iter().all(|piece| piece.tokens.is_some());
    let mut tokens: Vec<u32> = pieces.iter().map(|piece| piece.tokens.unwrap_or(1)).collect();
    let total: u32 = tokens.iter().sum();
    exchange.counted = match stated {
        _ if exact => TokenCount::Exact,
        None => TokenCount::OneEach,
        Some(stated) if stated == total => TokenCount::Total,
        Some(stated) => {
            spread(&mut tokens, pieces, stated);
            TokenCount::Spread
        }
    };
    let guessed = exchange.counted == TokenCount::Spread;
    let held = pieces.iter().zip(tokens).filter(|(_, tokens)| guessed || *tokens > 0);
    exchange.tokens = held.map(|(piece, tokens)| (piece.at_ns, tokens)).collect();
}

/// Makes the counts of all pieces come to `stated`: by their text where there are more tokens than
/// pieces, evenly where there are fewer, the last piece with the last token. A single one too many is the
/// last piece's, which ended the answer.
fn spread(tokens: &mut [u32], pieces: &[Piece], stated: u32) {
    let count = tokens.len() as u32;
    let Some(last) = tokens.len().checked_sub(1) else { return };
    tokens.fill(1);
    if stated <= count {
        tokens.fill(0);
        let gaps = u64::from(stated - 1).max(1);
        for token in 0..u64::from(stated - 1) {
            tokens[(token * last as u64 / gaps) as usize] = 1;
        }
        tokens[last] = 1;
        return;
    }
    if stated == count + 1 {
        tokens[last] += 1;
        return;
    }
    let bytes: u64 = pieces.iter().map(|piece| piece.bytes as u64).sum();
    let (mut given, mut seen, mut rest) = (0, 0, count);
    for (tokens, piece) in tokens.iter_mut().zip(pieces) {
        seen += piece.bytes as u64;
        rest -= 1;
        // All so far, by their text; each has one, and leaves one for each that follows.
        let due = (2 * u64::from(stated) * seen + bytes).checked_div(2 * bytes).unwrap_or(0) as u32;
        let due = due.clamp(given + 1, stated - rest);
        (*tokens, given) = (due - given, due);
    }
    tokens[last] += stated - given;
}

#[cfg(test)]
mod tests {
    use super::super::exchange::Usage;
    use super::*;

    fn settled(pieces: &[(Option<u32>, usize)], stated: Option<u32>) -> (Vec<u32>, TokenCount) {
        let pieces: Vec<Piece> = pieces
            .iter()
            .zip(1..)
            .map(|(&(tokens, bytes), at_ns)| Piece { at_ns, tokens, bytes })
            .collect();
        let usage = stated.map(|completion| Usage { completion, ..Usage::default() });
        let mut exchange = Exchange { usage, ..Exchange::default() };
        settle(&mut exchange, &pieces);
        (exchange.tokens.iter().map(|(_, count)| *count).collect(), exchange.counted)
    }

    #[test]
    fn tokens_are_counted_by_the_best_that_is_known() {
        let plain = [(None, 4), (None, 4), (None, 8)];
        assert_eq!(
            settled(&[(Some(1), 4), (Some(3), 9)], Some(4)),
            (vec![1, 3], TokenCount::Exact)
        );
        assert_eq!(settled(&plain, Some(3)), (vec![1, 1, 1], TokenCount::Total));
        assert_eq!(settled(&plain, None), (vec![1, 1, 1], TokenCount::OneEach));
        assert_eq!(settled(&plain, Some(4)), (vec![1, 1, 2], TokenCount::Spread));
        assert_eq!(settled(&plain, Some(7)), (vec![2, 2, 3], TokenCount::Spread));
        assert_eq!(settled(&plain, Some(2)), (vec![1, 0, 1], TokenCount::Spread));
        assert_eq!(settled(&plain, Some(1)), (vec![0, 0, 1], TokenCount::Spread));
        let six = [(None, 4); 6];
        assert_eq!(settled(&six, Some(3)), (vec![1, 0, 1, 0, 0, 1], TokenCount::Spread));
        assert_eq!(settled(&[], Some(2)).0, Vec::<u32>::new());
    }
}
