//! The deadlines that a run was judged by, so that no two runs are compared across others in silence.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::ClassId;
use crate::metrics::Options;
use crate::shown::duration;
use crate::trace::RequestRow;

/// The deadlines of all requests, or of those of a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JudgedBy {
    /// The class; absent where all requests have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Shortest and longest prompt of these requests, tokens; null without any.
    pub prompt_tokens: Option<(u32, u32)>,
    /// When the first tokens of those two are due, seconds; null where first tokens are not judged.
    pub ttft_s: Option<(f64, f64)>,
    /// The deadline of each later token, seconds.
    pub tbt_s: f64,
    /// The fluidity-index from which on a request is fluid.
    pub fluid_index: f64,
}

/// What two runs' deadlines are to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// The same.
    Same,
    /// Others: in words.
    Differ(String),
    /// Neither is shown: they grow with prompts, and the two have prompts of other lengths.
    Open,
}

impl JudgedBy {
    /// What `options` judge these requests by.
    pub fn of(options: &Options, classes: &[String], rows: &[RequestRow]) -> Vec<JudgedBy> {
        let one = |class: Option<ClassId>| {
            let those = || {
                let rows = rows.iter().filter(|row| class.is_none_or(|class| row.class == class));
                rows.map(|row| row.prompt_tokens)
            };
            let deadlines = options.deadlines_of(class.unwrap_or_default());
            let prompt_tokens = those().min().zip(those().max());
            let due = |prompt: u32| deadlines.ttft(prompt).as_secs_f64();
            let judged = prompt_tokens.filter(|_| options.judge_first_token);
            JudgedBy {
                class: class.and_then(|class| classes.get(class.index()).cloned()),
                prompt_tokens,
                ttft_s: judged.map(|(short, long)| (due(short), due(long))),
                tbt_s: deadlines.tbt().as_secs_f64(),
                fluid_index: deadlines.fluid_index(),
            }
        };
        if options.per_class.len() < 2 {
            return vec![one(None)];
        }
        // A class without requests is judged by nothing.
        let each = (0..options.per_class.len()).map(|place| one(Some(ClassId::at(place))));
        each.filter(|one| one.prompt_tokens.is_some()).collect()
    }

    fn against(&self, other: &JudgedBy) -> Agreement {
        let of = self.class.as_ref().map_or(String::new(), |class| format!(" of {class}"));
        if self.tbt_s != other.tbt_s {
            let (a, b) = (duration(self.tbt_s), duration(other.tbt_s));
            return Agreement::Differ(format!("TBT deadline{of} {a} in A, {b} in B"));
        }
        if self.fluid_index != other.fluid_index {
            let (a, b) = (self.fluid_index, other.fluid_index);
            return Agreement::Differ(format!(
                "fluidity-index of a fluid request{of} {a} in A, {b} in B"
            ));
        }
        let (a, b) = match (self.ttft_s, other.ttft_s) {
            _ if self.prompt_tokens.is_none() || other.prompt_tokens.is_none() => {
                return Agreement::Same;
            }
            (None, None) => return Agreement::Same,
            (Some(a), Some(b)) if a == b => return Agreement::Same,
            (Some(a), Some(b)) => (a, b),
            (a, _) => {
                let judged = if a.is_some() { "A" } else { "B" };
                return Agreement::Differ(format!("first tokens{of} are judged in {judged} alone"));
            }
        };
        let fixed = |(short, long): (f64, f64)| short == long;
        if !(fixed(a) && fixed(b)) && self.prompt_tokens != other.prompt_tokens {
            return Agreement::Open;
        }
        let words = |(short, long): (f64, f64)| match short == long {
            true => duration(short),
            false => format!("{} to {}", duration(short), duration(long)),
        };
        Agreement::Differ(format!("TTFT deadline{of} {} in A, {} in B", words(a), words(b)))
    }
}

/// Compares the deadlines of two runs, class by class; a run without classes has one promise to all.
pub fn compared(a: &[JudgedBy], b: &[JudgedBy]) -> Agreement {
    let (Some(first), false) = (a.first(), b.is_empty()) else { return Agreement::Open };
    let common = |side: &[JudgedBy]| side.iter().all(|one| one.class.is_none());
    let pairs: Vec<(&JudgedBy, &JudgedBy)> = match (common(a), common(b)) {
        (true, _) => b.iter().map(|other| (first, other)).collect(),
        (false, true) => a.iter().map(|one| (one, &b[0])).collect(),
        (false, false) => a
            .iter()
            .filter_map(|one| Some((one, b.iter().find(|other| other.class == one.class)?)))
            .collect(),
    };
    let mut open = false;
    for (one, other) in pairs {
        match one.against(other) {
            Agreement::Same => {}
            Agreement::Open => open = true,
            differ @ Agreement::Differ(_) => return differ,
        }
    }
    if open { Agreement::Open } else { Agreement::Same }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(class: Option<&str>, prompts: (u32, u32), ttft: (f64, f64)) -> JudgedBy {
        JudgedBy {
            class: class.map(str::to_owned),
            prompt_tokens: Some(prompts),
            ttft_s: Some(ttft),
            tbt_s: 0.025,
            fluid_index: 0.9,
        }
    }

    #[test]
    fn deadlines_are_the_same_where_the_same_prompts_have_the_same() {
        let fixed = |s: f64| vec![by(None, (10, 500), (s, s))];
        assert_eq!(compared(&fixed(1.0), &fixed(1.0)), Agreement::Same);
        let Agreement::Differ(words) = compared(&fixed(0.5), &fixed(1.0)) else { panic!("differ") };
        assert_eq!(words, "TTFT deadline 500 ms in A, 1.00 s in B");
        let curve = |prompts, ttft| vec![by(None, prompts, ttft)];
        let here = curve((10, 500), (0.3, 0.4));
        assert_eq!(compared(&here, &curve((10, 900), (0.3, 0.5))), Agreement::Open);
        let there = compared(&here, &curve((10, 500), (0.3, 0.7)));
        assert!(matches!(there, Agreement::Differ(_)), "{there:?}");
        assert_eq!(compared(&here, &[]), Agreement::Open);
    }

    #[test]
    fn classes_are_compared_with_their_own_or_with_the_promise_to_all() {
        let classes =
            |y: f64| vec![by(Some("x"), (1, 9), (1.0, 1.0)), by(Some("y"), (1, 9), (y, y))];
        assert_eq!(compared(&classes(2.0), &classes(2.0)), Agreement::Same);
        assert!(matches!(compared(&classes(2.0), &classes(3.0)), Agreement::Differ(_)));
        let all = vec![by(None, (1, 9), (1.0, 1.0))];
        assert!(matches!(compared(&all, &classes(2.0)), Agreement::Differ(_)));
        assert_eq!(compared(&classes(1.0), &all), Agreement::Same);
    }
}
