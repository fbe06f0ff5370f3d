//! "Did you mean".

use std::cmp::Reverse;

/// The name in `valid` that was probably meant by `given`.
pub fn nearest<'a>(given: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| -> String {
        name.chars()
            .filter(|c| !matches!(c, '-' | '_' | ' ' | '.'))
            .flat_map(char::to_lowercase)
            .collect()
    };
    // Names are short; a long text is no misspelling of one.
    if given.len() > 80 {
        return None;
    }
    let given = plain(given);
    valid
        .into_iter()
        .map(|name| {
            let candidate = plain(name);
            let edits = strsim::damerau_levenshtein(&given, &candidate);
            let longest = given.chars().count().max(candidate.chars().count());
            // A third of the letters may be wrong; a beginning may be all that was typed.
            let near = edits * 3 <= longest.max(3)
                || (given.chars().count() >= 3
                    && (candidate.starts_with(&given) || given.starts_with(&candidate)))
                || strsim::jaro_winkler(&given, &candidate) > 0.9;
            let lengths_apart = candidate.chars().count().abs_diff(given.chars().count());
            // Who types a beginning has left out the end, and misspelt nothing.
            let is_beginning = given.chars().count() >= 3 && candidate.starts_with(&given);
            (near, (!is_beginning, edits, lengths_apart), name)
        })
        .filter(|&(near, ..)| near)
        .max_by_key(|&(_, distance, _)| Reverse(distance))
        .map(|(.., name)| name)
}

/// "did you mean `x`?" with the valid names, or the valid names alone.
pub fn advice<'a>(given: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    let valid: Vec<&str> = valid.into_iter().collect();
    let list = list(&valid);
    match nearest(given, valid.iter().copied()) {
        Some(name) if valid.len() == 1 => format!("did you mean `{name}`?"),
        Some(name) => format!("did you mean `{name}`? {list}"),
        None => list,
    }
}

fn list(valid: &[&str]) -> String {
    let names: Vec<String> = valid.iter().map(|n| format!("`{n}`")).collect();
    match names.as_slice() {
        [] => "nothing is expected here".to_owned(),
        [only] => format!("expected {only}"),
        [first @ .., last] => format!("expected one of {} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn misspellings_are_recognised() {
        let names = ["poisson", "gamma", "weibull", "constant", "all_at_once", "closed_loop"];
        let meant = |given: &str| nearest(given, names);
        assert_eq!(meant("poison"), Some("poisson"));
        assert_eq!(meant("Poisson"), Some("poisson"));
        assert_eq!(meant("all-at-once"), Some("all_at_once"));
        assert_eq!(meant("const"), Some("constant"));
        assert_eq!(meant("closedloop"), Some("closed_loop"));
        assert_eq!(meant("weibul"), Some("weibull"));
        assert_eq!(meant("fibonacci"), None);
        assert_eq!(meant("x"), None);
        assert_eq!(meant(""), None);
        assert_eq!(nearest("vllm-0.20", ["vllm-0.4", "vllm-0.19"]), Some("vllm-0.19"));
        assert_eq!(nearest("h100", ["a100-sxm-80gb", "h100-sxm", "h200-sxm"]), Some("h100-sxm"));
        // The last of those that are as near.
        let hopper = ["h100-nvl", "h100-pcie", "h100-sxm", "h800"];
        assert_eq!(nearest("h100", hopper), Some("h100-sxm"));
        assert_eq!(nearest("llama3.1-8b", ["llama-3.1-8b", "llama-3.1-70b"]), Some("llama-3.1-8b"));
    }
}
