//! vLLM's `--enable-logging-iteration-details`: counts of a batch, its time, how full the KV cache is.

use super::read::AllLines;
use super::{IterationLog, LogFormat, Step};
use crate::cost::{Chunk, Decodes};

/// What stands behind a line's number.
const AFTER: [&str; 5] = [
    " context requests, ",
    " context tokens, ",
    " generation requests, ",
    " generation tokens, iteration elapsed time: ",
    " ms",
];

pub(super) fn is_line(line: &str) -> bool {
    counts(line).is_some()
}

/// Context requests, context tokens, generation requests, generation tokens and milliseconds of a line.
fn counts(line: &str) -> Option<([f64; 5], &str)> {
    let start = line.find("Iteration(")?;
    let (_, mut rest) = line[start..].split_once("): ")?;
    let mut found = [0.0; 5];
    for (value, after) in found.iter_mut().zip(AFTER) {
        let (number, behind) = rest.split_once(after)?;
        *value = number.trim().parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0)?;
        rest = behind;
    }
    Some((found, rest))
}

pub(super) fn read(
    lines: &mut AllLines<'_>,
    kv_tokens: Option<u64>,
) -> Result<IterationLog, String> {
    let mut steps = Vec::new();
    let mut knows_kv = kv_tokens.is_some();
    for (number, line) in lines {
        let Some(([contexts, context_tokens, generations, tokens, ms], rest)) = counts(&line)
        else {
            // A server says other things in between.
            match line.contains("iteration elapsed time") {
                true => return Err(format!("line {number}: it is not like vLLM's other lines")),
                false => continue,
            }
        };
        let whole = |value: f64| value as u32;
        if contexts + generations == 0.0 {
            continue;
        }
        let used = usage(rest).zip(kv_tokens).map(|(share, all)| share * all as f64);
        knows_kv &= used.is_some();
        // What is in the cache and no chunk's is taken to be the decodes'.
        let kv = match generations > 0.0 {
            true => (used.unwrap_or(0.0) - context_tokens).max(0.0),
            false => 0.0,
        };
        // Of several chunks only the sum is known, and not what stands before them.
        let each = (context_tokens / contexts.max(1.0)).max(1.0);
        let chunks = vec![Chunk { context: 0, tokens: whole(each) }; whole(contexts) as usize];
        let (requests, tokens) = (whole(generations), whole(tokens).max(whole(generations)));
        steps.push(Step::new(
            &chunks,
            Decodes::verifying(requests, tokens, kv as u64),
            ms * 1e3,
            None,
        ));
    }
    let mut notes = vec![
        "vLLM's lines do not say what stands before a chunk: chunks are taken to begin a prompt"
            .to_owned(),
        "vLLM's lines do not say what the engine does between two iterations: no host time is fitted \
         (a scheduler's own log has it)"
            .to_owned(),
    ];
    if !knows_kv {
        notes.push(
            "vLLM's lines say how full the KV cache is, not what is read: give a scenario with \
             `engine.kv_blocks`, so that reading KV is fitted too"
                .to_owned(),
        );
    }
    Ok(IterationLog {
        format: LogFormat::VllmText,
        steps,
        lengths: Vec::new(),
        asynchronous: None,
        prefix_hits: false,
        notes,
    })
}

/// The share of the KV cache that is in use.
fn usage(rest: &str) -> Option<f64> {
    let (_, behind) = rest.split_once("KV cache usage: ")?;
    let (percent, _) = behind.split_once('%')?;
    percent.trim().parse::<f64>().ok().map(|p| p / 100.0).filter(|s| (0.0..=1.0).contains(s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_within_a_servers_log() {
        let line = "(EngineCore pid=7) INFO 11-29 12:00:00 [core.py:1] Iteration(7): 1 context requests, 898 \
                    context tokens, 2 generation requests, 6 generation tokens, iteration elapsed time: 95.78 ms, \
                    CPU KV cache usage: 0.5%\n";
        let (found, rest) = counts(line).expect("a line");
        assert_eq!(found, [1.0, 898.0, 2.0, 6.0, 95.78]);
        assert_eq!(usage(rest), Some(0.005));
        assert!(!is_line("INFO: 127.0.0.1 - \"POST /v1/completions HTTP/1.1\" 200 OK"));
    }
}
