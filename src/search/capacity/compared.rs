//! Which of several schedulers carries most, as far as the intervals tell.

use super::file::Capacity;
use crate::search::interval::Border;
use crate::shown::join;

/// A sentence on the schedulers that have a capacity, for each of the `groups` of those that can be
/// compared; `None` where none of them has two.
pub(super) fn comparison(all: &[Capacity], groups: &[Vec<usize>]) -> Option<String> {
    let said: Vec<String> = groups.iter().filter_map(|group| of_group(all, group)).collect();
    (!said.is_empty()).then(|| said.join(" "))
}

fn of_group(all: &[Capacity], group: &[usize]) -> Option<String> {
    let group = group.iter().filter_map(|&place| all.get(place));
    let known: Vec<(&str, Border)> =
        group.filter_map(|one| Some((one.label.as_str(), one.border()?))).collect();
    if known.len() < 2 {
        return None;
    }
    let best = known.iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
    let (tied, less): (Vec<_>, Vec<_>) =
        known.iter().partition(|(_, border)| border.overlaps(&best.1));
    let names = |of: &[&(&str, Border)]| {
        join(&of.iter().map(|(label, _)| (*label).to_owned()).collect::<Vec<_>>())
    };
    let rest = match less.len() {
        0 => String::new(),
        1 => format!("; {} carries less", names(&less)),
        _ => format!("; {} carry less", names(&less)),
    };
    if tied.len() > 1 && tied.iter().any(|(_, border)| border.upper.is_none()) {
        let names = names(&tied);
        return Some(format!(
            "In what order {names} come is not known: above what is shown to hold, runs end too \
             soon to tell{rest}."
        ));
    }
    // One seed is one sample of the workload, whatever its bracket.
    let alone = match best.1.count {
        1 => ", for the requests of this one seed",
        _ => "",
    };
    Some(match tied.len() {
        1 => format!("{} carries more than {}{alone}.", best.0, names(&less)),
        _ => format!("A tie between {}: their intervals overlap{rest}.", names(&tied)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::full_capacity;
    use super::*;

    /// No end.
    const OPEN: f64 = f64::INFINITY;

    fn said(all: &[(&str, f64, f64)]) -> Option<String> {
        let of = |&(label, low, high): &(&str, f64, f64)| Capacity {
            label: label.to_owned(),
            requests_per_s: Border::of(&[(low, (high < OPEN).then_some(high))], false),
            ..full_capacity()
        };
        let whole: Vec<usize> = (0..all.len()).collect();
        comparison(&all.iter().map(of).collect::<Vec<_>>(), &[whole])
    }

    #[test]
    fn what_cannot_be_compared_is_not() {
        let of = |label: &str, at: f64| Capacity {
            label: label.to_owned(),
            requests_per_s: Border::of(&[(at, Some(at + 0.1))], false),
            ..full_capacity()
        };
        let all = [of("a", 1.0), of("b", 2.0), of("c", 3.0), of("d", 4.0)];
        assert_eq!(comparison(&all, &[vec![0], vec![1], vec![2], vec![3]]), None);
        let said = comparison(&all, &[vec![0, 2], vec![1], vec![3]]).expect("a pair");
        assert_eq!(said, "c carries more than a, for the requests of this one seed.");
    }

    #[test]
    fn more_is_said_only_of_intervals_that_are_apart() {
        assert_eq!(said(&[("a", 1.0, 1.1)]), None);
        let two = said(&[("a", 1.0, 1.1), ("b", 2.0, 2.1)]).expect("two");
        assert_eq!(two, "b carries more than a, for the requests of this one seed.");
        let tie = said(&[("a", 1.0, 1.1), ("b", 1.05, 1.2), ("c", 0.1, 0.2)]).expect("three");
        assert_eq!(tie, "A tie between a and b: their intervals overlap; c carries less.");
    }

    #[test]
    fn what_is_open_above_is_neither_less_nor_a_tie() {
        let open = said(&[("a", 1.0, OPEN), ("b", 2.0, 2.1), ("c", 0.1, 0.2)]).expect("three");
        assert_eq!(
            open,
            "In what order a and b come is not known: above what is shown to hold, runs end too \
             soon to tell; c carries less."
        );
        let above = said(&[("a", 3.0, OPEN), ("b", 2.0, 2.1)]).expect("two");
        assert_eq!(above, "a carries more than b, for the requests of this one seed.");
    }
}
