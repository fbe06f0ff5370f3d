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

/// What a search has found out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bracket {
    /// The highest value at which it was seen to hold.
    pub holds: Option<f64>,
    /// The lowest value above at which it was not seen to hold.
    pub fails: Option<f64>,
    /// Whether the search came to its end: the two are as close as was asked, or one is open up to
    /// the end of the range.
    pub complete: bool,
}

impl Bracket {
    /// Both ends, where there are both.
    pub fn ends(&self) -> Option<(f64, f64)> {
        self.holds.zip(self.fails)
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
            let above = (value * 2.0).min(range.most);
            if above > value {
                value = above;
                continue;
            }
        }
        let held = shown == Shown::Holds;
        if !held && way.is_none() && value > range.from {
            // Nothing up to here: the way is down from where it began.
            (bracket.fails, way, value) = (Some(range.from), Some(false), range.from);
        } else {
            *if held { &mut bracket.holds } else { &mut bracket.fails } = Some(value);
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
        let held = shown == Shown::Holds;
        *if held { &mut bracket.holds } else { &mut bracket.fails } = Some(middle);
    }
    Ok(Bracket { complete: true, ..bracket })
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
        let open = |holds, fails| Bracket { holds, fails, complete: true };
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
        let cut = |holds, fails| Bracket { holds, fails, complete: false };
        assert_eq!(of(0), cut(None, None));
        assert_eq!(of(2), cut(Some(2.0), None));
        assert_eq!(of(3), cut(Some(2.0), Some(4.0)));
        assert_eq!(of(4), cut(Some(3.0), Some(4.0)));
    }
}
