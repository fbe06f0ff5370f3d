//! Names that are made of parts: `meta-llama/Llama-3.1-8B-Instruct` has all of `llama-3.1-8b`, and
//! `NVIDIA H100 80GB HBM3` has what tells `h100-sxm` from others.

/// The name whose parts are those of `given`: all of them stand there, or, of a GPU, the one that is
/// its own.
pub(super) fn made_of_the_same<'a>(given: &str, valid: &[&'a str]) -> Option<&'a str> {
    let all = parts_of(given);
    // `Qwen/Qwen3-32B`: the owner's name says nothing of the model.
    let own = parts_of(given.rsplit('/').next().unwrap_or(given));
    let whole = valid
        .iter()
        .copied()
        .map(|name| (parts_of(name), name))
        .filter(|(parts, _)| parts.len() > 1 && parts.iter().all(|part| own.contains(part)))
        .max_by_key(|(parts, name)| (parts.len(), name.len()))
        .map(|(_, name)| name);
    whole.or_else(|| gpu(&all, valid))
}

/// A GPU by its model number, and by memory and form as far as they are said.
fn gpu<'a>(given: &[String], valid: &[&'a str]) -> Option<&'a str> {
    let numbers: Vec<&String> = given.iter().filter(|part| is_number(part)).collect();
    let fits = |name: &str| {
        let parts = parts_of(name);
        let shared = parts.iter().filter(|part| given.contains(part)).count();
        let own = parts.iter().find(|part| is_number(part))?;
        numbers.contains(&own).then(|| {
            let others_memory = parts
                .iter()
                .any(|part| is_memory(part) && given.iter().any(|g| is_memory(g) && g != part));
            let usual = parts.iter().any(|part| part == "sxm");
            (!others_memory, shared, usual, std::cmp::Reverse(parts.len()))
        })
    };
    valid
        .iter()
        .copied()
        .filter_map(|name| Some((fits(name)?, name)))
        .max_by_key(|(fit, _)| *fit)
        .map(|(_, name)| name)
}

/// Whether this part is what a GPU is told by: `h100`, `4090`, `6000`.
fn is_number(part: &str) -> bool {
    !is_memory(part)
        && part.len() >= 2
        && part.len() <= 6
        && !part.ends_with('b')
        && part.bytes().any(|c| c.is_ascii_digit())
        && !part.contains('.')
        && !part.starts_with("sxm")
        && !part.starts_with("hbm")
        && !part.starts_with("gddr")
}

fn is_memory(part: &str) -> bool {
    let digits = part.trim_end_matches("gib").trim_end_matches("gb");
    digits.len() < part.len() && !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit())
}

/// The parts in lower case; `SXM5` is `sxm`, and `llama3.1` is `llama` and `3.1`.
fn parts_of(name: &str) -> Vec<String> {
    const SPLIT: [&str; 3] = ["llama", "gemma", "phi"];
    let lower = name.to_lowercase();
    let mut parts = Vec::new();
    for part in
        lower.split(['-', '_', ' ', '/', ':', ',', '(', ')']).filter(|part| !part.is_empty())
    {
        let digits = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        let stuck = SPLIT.iter().find(|word| part.strip_prefix(**word).is_some_and(digits));
        match stuck {
            Some(word) => parts.extend([(*word).to_owned(), part[word.len()..].to_owned()]),
            None if part.starts_with("sxm") => parts.push("sxm".to_owned()),
            None => parts.push(part.to_owned()),
        }
    }
    parts
}
