//! The highest value at which something holds: double or halve until it changes, then bisect.

/// Where a search looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// What is tried first.
    pub from: f64,
    /// Nothing below is tried.
    pub least: f64,
    /// Nothing above is tried.
    pub most: f64,
    /// Whether only whole numbers make sense.
    pub whole: bool,
}

/// What a run at a value shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It holds there.
    Holds,
    /// It does not.
    Fails,
    /// Neither.
    Nothing,
}

impl Shown {
    /// Whether it holds, where that is shown.
    pub fn held(self) -> Option<bool> {
        match self {
            Shown::Holds => Some(true),
            Shown::Fails => Some(false),
            Shown::Nothing => None,
        }
    }
}

/// What a search has found out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bracket {
    /// The highest value at which it was seen to hold.
    pub holds: Option<f64>,
    /// The lowest value above at which it was seen not to hold.
    pub fails: Option<f64>,
    /// The lowest value above, and below `fails`, that showed neither.
    pub open: Option<f64>,
    /// Whether the search came to its end: the two are as close as was asked, or one is open up to
    /// the end of the range.
    pub complete: bool,
}

impl Bracket {
    /// The highest value that held and the lowest above that was not seen to, where there are both.
    pub fn ends(&self) -> Option<(f64, f64)> {
        self.holds.zip(self.open.or(self.fails))
    }

    /// Takes in what a value showed.
    fn learn(&mut self, value: f64, shown: Shown) {
        let lowest = |end: Option<f64>| Some(end.map_or(value, |other| other.min(value)));
        match shown {
            Shown::Holds => {
                self.holds = Some(self.holds.map_or(value, |other| other.max(value)));
            }
            Shown::Fails => self.fails = lowest(self.fails),
            Shown::Nothing => self.open = lowest(self.open),
        }
        let above = |end: Option<f64>| end.filter(|end| self.holds.is_none_or(|held| held < *end));
        (self.fails, self.open) = (above(self.fails), above(self.open));
        self.open = self.open.filter(|open| self.fails.is_none_or(|fails| *open < fails));
    }

    /// What to try next between the ends; none where they are close enough: by `precision` (0.01 is
    /// 1 %), or neighbours where only whole numbers make sense.
    fn middle(&self, precision: f64, whole: bool) -> Option<f64> {
        let (low, high) = self.ends()?;
        if high <= low * (1.0 + precision) || whole && high - low <= 1.0 {
            return None;
        }
        let middle = 0.5 * (low + high);
        Some(if whole { middle.floor() } else { middle })
    }
}

/// Searches for the highest value at which `holds` is shown, until the two ends differ by
/// `precision` (0.01 is 1 %) at most. Where `holds` gives no answer, the search ends with what is
/// known by then.
///
/// The values tried do not depend on anything but the answers, so searches on the same requests
/// try the same values as long as they agree. A promise need not be monotone in the load (a
/// percentile of few samples is not): then this is one border among several.
///
/// # Errors
/// The first error of `holds`.
pub fn bracket_and_bisect<E>(
    precision: f64,
    range: Range,
    mut holds: impl FnMut(f64) -> Result<Option<Shown>, E>,
) -> Result<Bracket, E> {
    assert!(precision > 0.0, "the ends never meet");
    let mut bracket = Bracket::default();
    let mut value = range.from;
    let mut way: Option<bool> = None;
    loop {
        let Some(shown) = holds(value)? else { return Ok(bracket) };
        // Where the first value shows nothing, one above may: more load can end sooner.
        if shown == Shown::Nothing && way.is_none() {
            bracket.learn(value, shown);
            let above = (value * 2.0).min(range.most);
            if above > value {
                value = above;
                continue;
            }
        }
        let held = shown == Shown::Holds;
        bracket.learn(value, shown);
        if !held && way.is_none() && value > range.from {
            // Nothing up to here: the way is down from where it began.
            (way, value) = (Some(false), range.from);
        }
        let up = *way.get_or_insert(held);
        if held != up {
            break;
        }
        let next = match up {
            true => (value * 2.0).min(range.most),
            false if range.whole => (value * 0.5).floor().max(range.least),
            false => (value * 0.5).max(range.least),
        };
        if next == value {
            return Ok(Bracket { complete: true, ..bracket });
        }
        value = next;
    }
    while let Some(middle) = bracket.middle(precision, range.whole) {
        let Some(shown) = holds(middle)? else { return Ok(bracket) };
        bracket.learn(middle, shown);
    }
    Ok(Bracket { complete: true, ..bracket })
}

/// The same from a guess at the border: the values around it are tried first, and what they show spares
/// those that the plain search would try on its way. Where what holds at a value holds at all below, the
/// ends are those of the plain search; otherwise they may be another border.
///
/// # Errors
/// The first error of `holds`.
pub fn bracket_from<E>(
    precision: f64,
    range: Range,
    guess: Option<f64>,
    mut holds: impl FnMut(f64) -> Result<Option<Shown>, E>,
) -> Result<Bracket, E> {
    let (mut held, mut failed) = (None::<f64>, None::<f64>);
    let mut next = guess;
    let mut step = precision.max(1e-4);
    while let Some(guess) = next {
        // The plain search's own values on both sides.
        let cell = ends_around(precision, range, guess);
        let above = |end: Option<f64>| end.filter(|end| held.is_none_or(|held| *end > held));
        let value = match (failed, held) {
            (Some(_), Some(_)) => None,
            (Some(_), None) => cell.holds,
            (None, _) => above(cell.holds).or(above(cell.fails)),
        };
        let Some(value) = value.filter(|value| failed.is_none_or(|failed| *value < failed)) else {
            break;
        };
        let Some(shown) = holds(value)? else {
            return Ok(Bracket { holds: held, fails: failed, ..Bracket::default() });
        };
        match shown {
            Shown::Holds => held = Some(value),
            Shown::Fails => failed = Some(value),
            Shown::Nothing => break,
        }
        // Close by first, then further and further away.
        next = match (held, failed) {
            (Some(held), None) if cell.holds == Some(held) => Some(guess),
            (Some(held), None) => Some(held * (1.0 + step)),
            (None, Some(failed)) => Some(failed / (1.0 + step)),
            _ => None,
        };
        step = (step * 2.0).min(3.0);
    }
    bracket_and_bisect(precision, range, |value| {
        if held.is_some_and(|held| value <= held) {
            return Ok(Some(Shown::Holds));
        }
        if failed.is_some_and(|failed| value >= failed) {
            return Ok(Some(Shown::Fails));
        }
        let shown = holds(value)?;
        match shown {
            Some(Shown::Holds) => held = Some(value),
            Some(Shown::Fails) => failed = Some(value),
            _ => {}
        }
        Ok(shown)
    })
}

/// Where the plain search would end if the border were there.
fn ends_around(precision: f64, range: Range, border: f64) -> Bracket {
    let shown = |value: f64| if value <= border { Shown::Holds } else { Shown::Fails };
    let found: Result<Bracket, std::convert::Infallible> =
        bracket_and_bisect(precision, range, |value| Ok(Some(shown(value))));
    match found {
        Ok(found) => found,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range { from: 1.0, least: 1.0 / 1024.0, most: 1024.0, whole: false };

    fn search(border: f64, precision: f64, range: Range) -> (Bracket, u32) {
        let mut tries = 0;
        let found = bracket_and_bisect::<()>(precision, range, |value| {
            tries += 1;
            Ok(Some(if value <= border { Shown::Holds } else { Shown::Fails }))
        });
        (found.expect("no error"), tries)
    }

    #[test]
    fn the_border_lies_between_the_ends_to_the_precision_asked() {
        for border in [0.0123, 0.5, 0.99, 1.0, 1.01, 3.3, 777.7] {
            let (found, tries) = search(border, 0.01, RANGE);
            let (low, high) = found.ends().expect("both");
            assert!(low <= border && border < high, "{border}: {found:?}");
            assert!(high <= low * 1.01 && found.complete, "{border}: {found:?}");
            assert!(tries <= 20, "{border}: {tries} tries");
        }
    }

    #[test]
    fn without_a_border_one_end_is_open() {
        let open = |holds, fails| Bracket { holds, fails, open: None, complete: true };
        assert_eq!(search(1e9, 0.01, RANGE).0, open(Some(1024.0), None));
        assert_eq!(search(0.0, 0.01, RANGE).0, open(None, Some(1.0 / 1024.0)));
    }

    #[test]
    fn whole_numbers_are_searched_to_the_neighbour() {
        for from in [1.0, 7.0, 64.0] {
            let range = Range { from, least: 1.0, most: 1e5, whole: true };
            for border in [1.0, 2.0, 3.0, 31.0, 63.0, 64.0, 90.0] {
                let (found, _) = search(border, 0.001, range);
                assert_eq!(found.ends(), Some((border, border + 1.0)), "from {from}");
            }
            assert_eq!(search(0.0, 0.01, range).0.fails, Some(1.0));
            // A thousandth of many users is more than one.
            let (found, _) = search(50_000.0, 0.01, range);
            let (low, high) = found.ends().expect("both");
            assert!(low <= 50_000.0 && 50_000.0 < high && high <= low * 1.01, "{found:?}");
            assert_eq!((low.fract(), high.fract()), (0.0, 0.0));
        }
    }

    #[test]
    fn a_value_that_shows_nothing_sends_the_search_up_first() {
        // Nothing is shown below 8; it holds from there to 40.
        let shown = |value: f64| match value {
            _ if value < 8.0 => Shown::Nothing,
            _ if value <= 40.0 => Shown::Holds,
            _ => Shown::Fails,
        };
        let search = |from: f64, shown: &dyn Fn(f64) -> Shown| {
            let range = Range { from, ..RANGE };
            bracket_and_bisect::<()>(0.01, range, |value| Ok(Some(shown(value)))).expect("fine")
        };
        let (low, high) = search(1.0, &shown).ends().expect("both");
        assert!(low <= 40.0 && 40.0 < high && high <= low * 1.01, "{low} {high}");
        // Where nothing above holds, the way is down.
        let below = |value: f64| if value <= 0.3 { Shown::Holds } else { Shown::Nothing };
        let (low, high) = search(1.0, &below).ends().expect("both");
        assert!(low <= 0.3 && 0.3 < high && high <= low * 1.01, "{low} {high}");
        assert_eq!(search(1.0, &|_| Shown::Nothing).holds, None);
    }

    #[test]
    fn from_any_guess_the_ends_are_those_of_the_plain_search() {
        let users = Range { from: 64.0, least: 1.0, most: 1e5, whole: true };
        for (range, borders) in [
            (RANGE, vec![0.0, 0.0005, 0.0123, 0.5, 0.731, 1.0, 3.3, 777.7, 1e9]),
            (users, vec![0.0, 1.0, 2.0, 31.0, 64.0, 90.0, 50_000.0, 1e9]),
        ] {
            for border in borders {
                let shown = |value: f64| if value <= border { Shown::Holds } else { Shown::Fails };
                let plain = bracket_and_bisect::<()>(0.01, range, |value| Ok(Some(shown(value))));
                for off in [0.0, 0.01, 0.5, 0.97, 0.999, 1.0, 1.004, 1.03, 1.6, 50.0] {
                    let mut tried = Vec::new();
                    let found = bracket_from::<()>(0.01, range, Some(border * off), |value| {
                        assert!(!tried.contains(&value), "{value} was tried before: {tried:?}");
                        tried.push(value);
                        Ok(Some(shown(value)))
                    });
                    assert_eq!(found, plain, "{border} from {off} of it: {tried:?}");
                    let (holds, fails) = (found.expect("fine").holds, plain.expect("fine").fails);
                    for end in [holds, fails].into_iter().flatten() {
                        assert!(
                            tried.contains(&end),
                            "{end} is an end and was not tried: {tried:?}"
                        );
                    }
                    let few = if off == 1.0 || off == 1.004 { 4 } else { 40 };
                    assert!(tried.len() <= few || border == 0.0, "{border} {off}: {tried:?}");
                }
            }
        }
    }

    #[test]
    fn what_shows_nothing_is_not_what_fails() {
        let search = |shown: &dyn Fn(f64) -> Shown| {
            bracket_and_bisect::<()>(0.01, RANGE, |value| Ok(Some(shown(value)))).expect("fine")
        };
        // Nothing is shown above 5, up to the end of the range.
        let found = search(&|value| if value <= 5.0 { Shown::Holds } else { Shown::Nothing });
        assert_eq!(found.fails, None, "{found:?}");
        assert!(found.open.is_some_and(|open| 5.0 < open && open < 5.1), "{found:?}");
        // It fails from 7 on: that is the upper end, however little is shown from 5 to there.
        let found = search(&|value| match value {
            _ if value <= 5.0 => Shown::Holds,
            _ if value < 7.0 => Shown::Nothing,
            _ => Shown::Fails,
        });
        assert_eq!(found.fails, Some(8.0), "{found:?}");
        assert!(found.open.is_some_and(|open| 5.0 < open && open < 5.1), "{found:?}");
        // Nothing is shown where the search begins, and it fails above; what holds is below.
        let found = search(&|value| match value {
            _ if value <= 0.3 => Shown::Holds,
            _ if value < 3.0 => Shown::Nothing,
            _ => Shown::Fails,
        });
        assert_eq!(found.fails, Some(4.0), "{found:?}");
        assert!(found.open.is_some_and(|open| 0.3 < open && open < 0.304), "{found:?}");
        // What showed nothing lies below what held: it is no end.
        let found = search(&|value| match value {
            _ if value < 3.0 => Shown::Nothing,
            _ if value <= 9.0 => Shown::Holds,
            _ => Shown::Fails,
        });
        assert_eq!(found.open, None, "{found:?}");
    }

    #[test]
    fn what_is_cut_short_says_what_it_knows() {
        let of = |most: u32| {
            let mut tries = 0;
            let found = bracket_and_bisect::<()>(0.01, RANGE, |value| {
                tries += 1;
                let shown = if value <= 3.0 { Shown::Holds } else { Shown::Fails };
                Ok((tries <= most).then_some(shown))
            });
            found.expect("no error")
        };
        let cut = |holds, fails| Bracket { holds, fails, open: None, complete: false };
        assert_eq!(of(0), cut(None, None));
        assert_eq!(of(2), cut(Some(2.0), None));
        assert_eq!(of(3), cut(Some(2.0), Some(4.0)));
        assert_eq!(of(4), cut(Some(3.0), Some(4.0)));
    }
}
