//! The result for people: what was simulated, one table, and the answer in plain sentences.

use owo_colors::OwoColorize;

use crate::inert::sentence;
use crate::report::comparison;
use crate::report::handed::handed;
use crate::report::header::header;
use crate::report::provenance::provenance;
use crate::report::table::{width, wrap};
use crate::report::tiers::tiers;
use crate::report::verdict::verdict;
use crate::result::ResultFile;

/// Renders `result` for 100 columns whatever the terminal, with colour or without.
pub fn to_text(result: &ResultFile, color: bool) -> String {
    let mut text = String::new();
    for (index, line) in header(result).iter().enumerate() {
        let line = wrap(line, width(), "  ");
        if index == 0 {
            text.push_str(&line.bold().to_string());
        } else {
            text.push_str(&line);
        }
        text.push('\n');
    }
    text.push('\n');
    let table = comparison::table(&result.runs);
    text.push_str(&table);
    if result.runs.len() > 1 && table.contains(comparison::BEST) {
        text.push_str("\n* best of its row\n");
    }
    let sentences = verdict(&result.runs);
    if !sentences.is_empty() {
        text.push('\n');
        for sentence in sentences {
            text.push_str(&wrap(&sentence, width(), ""));
            text.push('\n');
        }
    }
    for run in &result.runs {
        for line in handed(run).into_iter().chain(tiers(run)).chain(provenance(run)) {
            text.push_str(&wrap(&line, width(), "  "));
            text.push('\n');
        }
    }
    for warning in &result.warnings {
        text.push('\n');
        text.push_str(&wrap(&format!("warning: {warning}"), width(), "  "));
        text.push('\n');
    }
    for note in notes(result) {
        text.push('\n');
        text.push_str(&wrap(&note, width(), "  "));
        text.push('\n');
    }
    if color { text } else { anstream::adapter::strip_str(&text).to_string() }
}

/// What was set and changes nothing, and how to get what is not shown.
fn notes(result: &ResultFile) -> Vec<String> {
    let mut notes: Vec<String> =
        result.inert.iter().map(|one| format!("note: {}.", sentence(one))).collect();
    for run in &result.runs {
        let of_run = |one| format!("note: {}: {}.", run.label, sentence(one));
        notes.extend(run.inert.iter().map(of_run));
    }
    for run in &result.runs {
        let simulated = run.measured.is_none();
        if simulated && run.summary.tbt_s.as_ref().is_some_and(|tbt| tbt.p50 == Some(0.0)) {
            notes.push(format!(
                "note: {}: tokens that one step brings come together (speculative decoding): half of \
                 the gaps between tokens are 0, and TPOT says more than the median TBT.",
                run.label
            ));
        }
    }
    let lacks_full = result.runs.iter().any(|run| {
        let fluidity = run.summary.fluidity.as_ref();
        // What an unfinished answer needs is not known, nor what chunks of several tokens hide.
        let tells = |granularity: &str| matches!(granularity, "token" | "chunk");
        run.measured.as_ref().is_none_or(|measured| tells(&measured.granularity))
            && run.summary.requests.completed > 0
            && run.summary.requests.unfinished == 0
            && fluidity.is_some_and(|f| f.p99_miss_rate_by_tbt_ms.is_none())
    });
    if lacks_full {
        notes.push(
            "note: the fluid token rate and the miss-rate curve are worked out up to 1,000,000 \
             output tokens; --metrics full gives them here."
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::fixture;

    #[test]
    fn two_schedulers_side_by_side() {
        let mut sarathi = fixture::run("sarathi");
        sarathi.label = "sarathi(chunk_size=512)".to_owned();
        let result = fixture::result(vec![fixture::stalling_run("vllm-v0"), sarathi]);
        insta::assert_snapshot!(to_text(&result, false));
    }

    #[test]
    fn one_scheduler() {
        let result = fixture::result(vec![fixture::stalling_run("vllm-v0")]);
        insta::assert_snapshot!(to_text(&result, false));
    }

    #[test]
    fn color_changes_nothing_but_color() {
        let result =
            fixture::result(vec![fixture::stalling_run("vllm-v0"), fixture::run("sarathi")]);
        let colored = to_text(&result, true);
        assert!(colored.contains("\u{1b}["));
        let plain = to_text(&result, false);
        assert!(!plain.contains('\u{1b}'));
        assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
    }

    #[test]
    fn a_page_that_is_passed_on_keeps_its_warnings() {
        let mut result = fixture::result(vec![fixture::run("sarathi")]);
        result.warnings = vec!["it is simplified".to_owned()];
        assert!(to_text(&result, false).contains("\nwarning: it is simplified\n"));
    }

    #[test]
    fn figures_left_out_are_named_with_the_way_to_get_them() {
        let mut run = fixture::run("sarathi");
        let fluidity = run.summary.fluidity.as_mut().expect("the fixture has it");
        fluidity.fluid_tokens_per_s = None;
        fluidity.p99_miss_rate_by_tbt_ms = None;
        let text = to_text(&fixture::result(vec![run]), false);
        assert!(text.contains("--metrics full"), "{text}");
    }
}
