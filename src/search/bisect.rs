//! The highest value at which something holds: double or halve until it changes, then bisect.

/// What a search has found out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    /// The highest value at which it was seen to hold.
    pub holds: Option<f64>,
    /// The lowest value above at which it was seen not to.
    pub fails: Option<f64>,
}

/// Searches from 1 for the highest factor at which `holds` says yes, between `2^-octaves` and
/// `2^octaves`, until the two ends differ by `precision` (0.01 is 1 %) at most.
///
/// The factors tried do not depend on anything but the answers, so searches on the same requests
/// try the same factors as long as they agree. A promise need not be monotone in the load (a
/// percentile of few samples is not): then this is one border among several.
///
/// # Errors
/// The first error of `holds`.
pub fn bracket_and_bisect<E>(
    precision: f64,
    octaves: u32,
    mut holds: impl FnMut(f64) -> Result<bool, E>,
) -> Result<Bracket, E> {
    assert!(precision > 0.0, "the ends never meet");
    let mut factor = 1.0;
    let up = holds(factor)?;
    let mut bracket = Bracket { holds: up.then_some(factor), fails: (!up).then_some(factor) };
    for _ in 0..octaves {
        factor *= if up { 2.0 } else { 0.5 };
        let held = holds(factor)?;
        if held {
            bracket.holds = Some(factor);
        } else {
            bracket.fails = Some(factor);
        }
        if held != up {
            break;
        }
    }
    let (Some(mut low), Some(mut high)) = (bracket.holds, bracket.fails) else {
        return Ok(bracket);
    };
    while high > low * (1.0 + precision) {
        let middle = 0.5 * (low + high);
        if holds(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(Bracket { holds: Some(low), fails: Some(high) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(border: f64, precision: f64) -> (Bracket, u32) {
        let mut tries = 0;
        let found = bracket_and_bisect::<()>(precision, 10, |factor| {
            tries += 1;
            Ok(factor <= border)
        });
        (found.expect("no error"), tries)
    }

    #[test]
    fn the_border_lies_between_the_ends_to_the_precision_asked() {
        for border in [0.0123, 0.5, 0.99, 1.0, 1.01, 3.3, 777.7] {
            let (found, tries) = search(border, 0.01);
            let (low, high) = (found.holds.expect("holds"), found.fails.expect("fails"));
            assert!(low <= border && border < high, "{border}: {found:?}");
            assert!(high <= low * 1.01, "{border}: {found:?}");
            assert!(tries <= 20, "{border}: {tries} tries");
        }
    }

    #[test]
    fn without_a_border_one_end_is_open() {
        assert_eq!(search(1e9, 0.01).0, Bracket { holds: Some(1024.0), fails: None });
        assert_eq!(search(0.0, 0.01).0, Bracket { holds: None, fails: Some(1.0 / 1024.0) });
    }
}
