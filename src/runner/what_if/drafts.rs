//! Changes to speculative decoding.

use super::change::{Change, Maker, round_seats};
use crate::scenario::raw::Speculative;

/// What is tried where nobody drafts: methods that need no model beside the model, with as many tokens
/// as vLLM's documentation has them.
const TRIED: [(&str, u32); 2] = [("eagle3", 3), ("mtp", 1)];

impl Maker<'_> {
    fn speculative(&self) -> Option<&Speculative> {
        self.replicas.engine.speculative.as_ref()
    }

    fn path(&self) -> String {
        format!("{}engine.speculative", self.at)
    }

    /// Whether the scenario can be so.
    fn resolves(&self, set: &[String]) -> bool {
        let document = self.patient.document.clone().with(set);
        document.is_ok_and(|document| document.resolve(self.patient.seed).is_ok())
    }

    /// The first of several ways to set the same that the scenario takes.
    fn first(&self, words: String, ways: Vec<String>) -> Option<Change> {
        let sets = ways.into_iter().map(|way| vec![way]);
        let set = sets.into_iter().find(|set| self.resolves(set))?;
        Some(Change::new(format!("{words}{}", self.of_pool), set))
    }

    /// The engine's drafting as `new` has it.
    fn whole(&self, new: &Speculative) -> Option<String> {
        Some(format!("{}={}", self.path(), serde_json::to_string(new).ok()?))
    }

    /// No drafts while more requests run than half, or a quarter, of the most that did.
    pub(super) fn drafts_off_above(&self) -> Vec<Change> {
        let Some(old) = self.speculative() else { return Vec::new() };
        let most = old.off_above_running.map_or(self.bound.running, |n| n.min(self.bound.running));
        let change = |above: u32| {
            let new = Speculative { off_above_running: Some(above), ..old.clone() };
            let mut ways = vec![format!("{}.off_above_running={above}", self.path())];
            ways.extend(self.whole(&new));
            let words = match old.off_above_running {
                Some(old) => format!("drafts off above {old} -> {above} running requests"),
                None => format!("drafts off above {above} running requests"),
            };
            self.first(words, ways)
        };
        let mut values = vec![round_seats(most / 2), round_seats(most / 4)];
        values.dedup();
        let smaller = values.into_iter().filter(|&above| above >= 1 && above < most);
        smaller.filter_map(change).collect()
    }

    /// Fewer tokens drafted at a time.
    pub(super) fn fewer_drafts(&self) -> Vec<Change> {
        let Some(old) = self.speculative() else { return Vec::new() };
        let Some(tokens) = old.num_speculative_tokens else { return Vec::new() };
        let change = |fewer: u32| {
            let new = Speculative { num_speculative_tokens: Some(fewer), ..old.clone() };
            let mut ways = vec![
                format!("{}.num_speculative_tokens={fewer}", self.path()),
                format!("{}.tokens={fewer}", self.path()),
            ];
            ways.extend(self.whole(&new));
            self.first(format!("drafts at a time {tokens} -> {fewer}"), ways)
        };
        let mut values = vec![tokens - 1, tokens / 2, 1];
        values.dedup();
        let fewer = values.into_iter().filter(|&fewer| fewer >= 1 && fewer < tokens);
        fewer.filter_map(change).collect()
    }

    /// No speculative decoding.
    pub(super) fn no_drafts(&self) -> Vec<Change> {
        let Some(old) = self.speculative() else { return Vec::new() };
        let words = format!("speculative decoding {} -> none", old.method.name());
        self.first(words, vec![format!("{}=null", self.path())]).into_iter().collect()
    }

    /// Speculative decoding where nobody drafts and somebody has published how it does.
    pub(super) fn draft(&self) -> Vec<Change> {
        if self.speculative().is_some() {
            return Vec::new();
        }
        let change = |(method, tokens): (&str, u32)| {
            let way = format!(
                "{}={{\"method\":\"{method}\",\"num_speculative_tokens\":{tokens}}}",
                self.path()
            );
            self.first(format!("speculative decoding none -> {method}, {tokens} drafts"), vec![way])
        };
        TRIED.into_iter().find_map(change).into_iter().collect()
    }
}
