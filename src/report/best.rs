//! Which values of a row of runs are the best, as far as it is known.

use crate::report::known::Known;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    Higher,
    Lower,
}

/// Which values of a row, which read as `shown`, are its best: none where all that are known read the same. What is not known,
/// is known within bounds that leave it open, or is contradicted by its own file is neither best nor
/// worse. A best value is no worse than any other: surely better, or exact and reading the same. Each
/// value is looked at a few times, however many there are.
pub(super) fn best(
    values: &[Option<Known>],
    shown: &[String],
    better: Option<Better>,
) -> Vec<bool> {
    let mut marked = vec![false; values.len()];
    let Some(better) = better else { return marked };
    let sound = values.iter().zip(shown).enumerate();
    let sound: Vec<Rival<'_>> = sound
        .filter_map(|(place, (value, text))| Some(Rival::of(place, (*value)?, text, better)))
        .filter(|rival| values[rival.place].is_some_and(|value| value.sound))
        .collect();
    if sound.windows(2).all(|pair| pair[0].text == pair[1].text) {
        return marked;
    }
    let Some(top) = sound.iter().map(|one| one.low).reduce(f64::max) else { return marked };
    let at_top = || sound.iter().filter(|one| one.low == top);
    // All that read like an exact one at the top are as good as it, or none is.
    if let Some(first) = at_top().find(|one| one.exact) {
        let alike = |one: &&Rival<'_>| one.exact && one.text == first.text;
        let rest: Vec<&Rival<'_>> = sound.iter().filter(|one| !alike(one)).collect();
        let high = rest.iter().map(|one| one.high).fold(f64::NEG_INFINITY, f64::max);
        let tie = rest.iter().filter(|one| one.high == high).all(|one| one.exact);
        for one in sound.iter().filter(alike) {
            marked[one.place] = one.low > high || one.low == high && tie;
        }
    }
    // Bounds that touch may hide a tie.
    for one in at_top().filter(|one| !one.exact && one.low > f64::NEG_INFINITY) {
        let others = || sound.iter().filter(|other| other.place != one.place);
        marked[one.place] =
            others().all(|other| one.low > other.high || one.low == other.high && other.exact);
    }
    marked
}

/// A value among the others of its row, as if more were better.
struct Rival<'a> {
    place: usize,
    /// The worst that it can be.
    low: f64,
    /// The best.
    high: f64,
    exact: bool,
    text: &'a str,
}

impl Rival<'_> {
    fn of(place: usize, value: Known, text: &str, better: Better) -> Rival<'_> {
        let (low, high) = match better {
            Better::Higher => (value.least, value.most),
            Better::Lower => (value.most.map(|most| -most), value.least.map(|least| -least)),
        };
        let (low, high) = (low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY));
        Rival { place, low, high, exact: value.is_exact(), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::three_digits;

    /// Whether a value is the best of its row, by a look at every other: the specification.
    fn is_best(values: &[Option<Known>], shown: &[String], better: Better, run: usize) -> bool {
        let Some(own) = values[run] else { return false };
        let others = || {
            let all = values.iter().zip(shown).enumerate();
            let known =
                all.filter(|(other, (value, _))| *other != run && value.is_some_and(|v| v.sound));
            known.filter_map(|(_, (value, text))| Some(((*value)?, text)))
        };
        let no_worse = |(other, text): (Known, &String)| {
            let certain = match better {
                Better::Higher => own
                    .least
                    .zip(other.most)
                    .is_some_and(|(own, most)| own > most || own == most && other.is_exact()),
                Better::Lower => own
                    .most
                    .zip(other.least)
                    .is_some_and(|(own, least)| own < least || own == least && other.is_exact()),
            };
            certain || (own.is_exact() && other.is_exact() && *text == shown[run])
        };
        let tells_apart = others().any(|(_, text)| *text != shown[run]);
        own.sound && tells_apart && others().all(no_worse)
    }

    proptest::proptest! {
        #[test]
        fn the_best_of_a_row_is_that_of_the_specification(
            values in proptest::collection::vec(
                (0u8..5, 0u8..6, 0u8..6, proptest::bool::weighted(0.9)), 1..7),
            higher: bool,
        ) {
            let known = |(kind, a, b, sound): (u8, u8, u8, bool)| {
                // Some differ by less than is shown.
                let of = |n: u8| f64::from(n / 2) + 0.0001 * f64::from(n % 2);
                let (a, b) = (of(a.min(b)), of(a.max(b)));
                let (least, most) = match kind {
                    0 => return None,
                    1 => (Some(a), Some(b)),
                    2 => (Some(a), None),
                    _ => (Some(a), Some(a)),
                };
                Some(Known { least, most, sound })
            };
            let values: Vec<Option<Known>> = values.into_iter().map(known).collect();
            let shown: Vec<String> = values
                .iter()
                .map(|value| value.map_or("-".to_owned(), |known| {
                    let three = |end: Option<f64>| end.map(three_digits);
                    format!("{:?} {:?}", three(known.least), three(known.most))
                }))
                .collect();
            let better = if higher { Better::Higher } else { Better::Lower };
            let plain: Vec<bool> =
                (0..shown.len()).map(|run| is_best(&values, &shown, better, run)).collect();
            proptest::prop_assert_eq!(best(&values, &shown, Some(better)), plain, "{:?}", shown);
        }
    }
}
