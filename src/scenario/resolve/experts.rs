//! How tokens get to experts, and how evenly they choose them.

use super::check::Check;
use super::owner::Owner;
use crate::catalog::Model;
use crate::cost::{ExpertChoice, ExpertLoad};
use crate::scenario::raw::{ExpertShares, ExpertTraffic, Imbalance};
use crate::yaml::Path;

/// Longest file of experts' shares.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the scenario or its pool says of the way to experts; the default where something is wrong (and reported).
pub(super) fn experts(
    check: &mut Check<'_>,
    owner: &Owner,
    given: Option<&ExpertTraffic>,
    model: Option<&Model>,
) -> ExpertLoad {
    let Some(given) = given else { return ExpertLoad::default() };
    let path = owner.path(check, &["experts", "imbalance"]);
    let choice = match &given.imbalance {
        None => ExpertChoice::default(),
        Some(Imbalance::Ratio(ratio)) => {
            if !(1.0..=1024.0).contains(ratio) {
                check.expected(&path, "the busiest rank's load over the mean, 1 to 1024", ratio);
            }
            ExpertChoice::Imbalance(*ratio)
        }
        Some(Imbalance::Shares(given)) => shares(check, &path, given, model).unwrap_or_default(),
    };
    ExpertLoad { exchange: given.exchange.unwrap_or_default(), choice }
}

fn shares(
    check: &mut Check<'_>,
    path: &Path,
    given: &ExpertShares,
    model: Option<&Model>,
) -> Option<ExpertChoice> {
    let of_model = model.and_then(Model::experts);
    let experts = of_model.map(|experts| experts.count);
    match (given.cv, given.zipf, &given.file) {
        (Some(cv), None, None) => {
            if !(0.0..=4.0).contains(&cv) {
                let range = "a standard deviation over the mean, 0 to 4";
                check.expected(&path.key("cv"), range, cv);
                return None;
            }
            Some(ExpertChoice::Varied(cv))
        }
        (None, Some(exponent), None) => {
            let path = path.key("zipf");
            if !(0.0..=8.0).contains(&exponent) {
                check.expected(&path, "a power from 0 to 8", exponent);
                return None;
            }
            Some(ExpertChoice::zipf(experts?, exponent))
        }
        (None, None, Some(file)) => {
            let path = path.key("file");
            let text = check.read_file(&path, file, FILE_BYTES_MAX)?;
            match read_shares(&text, experts) {
                Ok(shares) => {
                    let chosen = shares.iter().filter(|share| **share > 0.0).count();
                    let each = of_model.map_or(0, |experts| experts.per_token) as usize;
                    if chosen < each {
                        let message = format!(
                            "`{file}`: {chosen} experts are ever chosen, and a token goes to {each}"
                        );
                        check.report(&path, message, "give every expert that is chosen its share");
                        return None;
                    }
                    Some(ExpertChoice::Shares(shares))
                }
                Err(problem) => {
                    let help = "a JSON list of numbers, or one number a line";
                    check.report(&path, format!("`{file}`: {problem}"), help);
                    None
                }
            }
        }
        _ => {
            let message = "expected exactly one of `cv`, `zipf` and `file`";
            check.report(
                path,
                message,
                "such as `{cv: 0.84}`, `{zipf: 0.5}` or `{file: loads.json}`",
            );
            None
        }
    }
}

/// The shares in a file, one for each of a model's experts.
fn read_shares(text: &str, experts: Option<u32>) -> Result<Vec<f64>, String> {
    let shares: Vec<f64> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        let number = |(line, text): (usize, &str)| {
            text.parse().map_err(|_| format!("line {}: `{text}` is not a number", line + 1))
        };
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
        lines.map(number).collect::<Result<_, String>>()?
    };
    if let Some(at) = shares.iter().position(|share| !(share.is_finite() && *share >= 0.0)) {
        return Err(format!("share {} is {}, not a number from 0", at + 1, shares[at]));
    }
    if shares.iter().sum::<f64>() <= 0.0 {
        return Err("no expert is ever chosen".to_owned());
    }
    match experts {
        Some(experts) if experts as usize != shares.len() => {
            Err(format!("it has {} shares, and the model {experts} experts", shares.len()))
        }
        _ => Ok(shares),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_from_lists_and_lines() {
        assert_eq!(read_shares("[1, 2.5]", Some(2)), Ok(vec![1.0, 2.5]));
        assert_eq!(read_shares("1\n\n2\n", None), Ok(vec![1.0, 2.0]));
        for (text, said) in [
            ("[1, 2, 3]", "it has 3 shares, and the model 2 experts"),
            ("1\nx\n", "line 2: `x` is not a number"),
            ("[1, -1]", "share 2 is -1"),
            ("[0, 0]", "no expert is ever chosen"),
        ] {
            let error = read_shares(text, Some(2)).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
