//! "Did you mean".

use std::cmp::Reverse;

mod meant;
mod parts;

/// A name as it is compared: without the signs that people leave out, and in lower case.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' ' | '.' | '+'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// The name in `valid` that was probably meant by `given`: another word for it, one made of the same
/// parts, or one that is spelt nearly so.
pub fn nearest<'a>(given: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names are short; a long text is no misspelling of one.
    if given.len() > 120 {
        return None;
    }
    let valid: Vec<&str> = valid.into_iter().collect();
    meant::by_another_word(given, &valid)
        .or_else(|| parts::made_of_the_same(given, &valid))
        .or_else(|| misspelt(given, &valid))
}

/// Whether one of these names is the same but for dashes, dots and capitals.
pub fn is_spelt_otherwise(given: &str, valid: &[&str]) -> bool {
    valid.iter().any(|name| plain(name) == plain(given))
}

/// The name among these that is said in another word.
pub fn in_another_word<'a>(given: &str, valid: &[&'a str]) -> Option<&'a str> {
    meant::by_another_word(given, valid)
}

fn misspelt<'a>(given: &str, valid: &[&'a str]) -> Option<&'a str> {
    let given = plain(given);
    valid
        .iter()
        .copied()
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
    fn other_words_are_understood() {
        let schedulers = ["vllm-v1", "vllm-v0", "sarathi", "tensorrt-llm", "tgi"];
        assert_eq!(nearest("vllm", schedulers), Some("vllm-v1"));
        assert_eq!(nearest("TRT-LLM", schedulers), Some("tensorrt-llm"));
        assert_eq!(nearest("chunked-prefill", schedulers), Some("sarathi"));
        assert_eq!(nearest("bfloat16", ["auto", "bf16", "fp16"]), Some("bf16"));
        assert_eq!(nearest("isl", ["prompt", "output"]), Some("prompt"));
        assert_eq!(nearest("rr", ["random", "round-robin"]), Some("round-robin"));
    }

    #[test]
    fn gpus_and_models_go_by_their_parts() {
        let gpus = [
            "a100-pcie-80gb",
            "a100-sxm-40gb",
            "a100-sxm-80gb",
            "h100-nvl",
            "h100-pcie",
            "h100-sxm",
            "h200-sxm",
            "l4",
            "l40s",
            "rtx-4090",
            "rtx-6000-ada",
            "rtx-pro-6000",
            "t4",
        ];
        let meant = |given: &str| nearest(given, gpus);
        assert_eq!(meant("H100"), Some("h100-sxm"));
        assert_eq!(meant("nvidia h100 80gb hbm3"), Some("h100-sxm"));
        assert_eq!(meant("NVIDIA H100 PCIe"), Some("h100-pcie"));
        assert_eq!(meant("A100-80GB"), Some("a100-sxm-80gb"));
        assert_eq!(meant("A100-SXM4-40GB"), Some("a100-sxm-40gb"));
        assert_eq!(meant("NVIDIA A100 80GB PCIe"), Some("a100-pcie-80gb"));
        assert_eq!(meant("4090"), Some("rtx-4090"));
        assert_eq!(meant("NVIDIA GeForce RTX 4090"), Some("rtx-4090"));
        assert_eq!(meant("RTX PRO 6000 Blackwell"), Some("rtx-pro-6000"));
        assert_eq!(meant("Tesla T4"), Some("t4"));
        assert_eq!(meant("V100"), None);
        let models = ["llama-3.1-8b", "llama-3.1-70b", "qwen3-32b", "qwen3-30b-a3b", "gemma-3-27b"];
        let meant = |given: &str| nearest(given, models);
        assert_eq!(meant("meta-llama/Llama-3.1-8B-Instruct"), Some("llama-3.1-8b"));
        assert_eq!(meant("meta-llama/Meta-Llama-3.1-70B-Instruct"), Some("llama-3.1-70b"));
        assert_eq!(meant("neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8"), Some("llama-3.1-8b"));
        assert_eq!(meant("Qwen/Qwen3-30B-A3B-Instruct-2507"), Some("qwen3-30b-a3b"));
        assert_eq!(meant("google/gemma-3-27b-it"), Some("gemma-3-27b"));
        assert_eq!(meant("Llama3.1 8B"), Some("llama-3.1-8b"));
        assert_eq!(meant("llama 8b"), Some("llama-3.1-8b"));
    }

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
