//! A term of a promise, as text and tables say it.

use super::verdict::{KEPT_SHARE, Sense, Term};
use crate::shown::{duration, percent};

impl Term {
    /// The term with its value: `99.2 % of requests are fluid (99.0 % asked)`.
    pub fn in_words(&self) -> String {
        let show = |value: f64| match self.sense {
            Sense::AtLeast => percent(value),
            Sense::AtMost => duration(value),
        };
        let whose = match (&self.class, &self.pool) {
            (Some(class), _) => format!("{class}: "),
            (None, Some(pool)) => format!("pool {pool}: "),
            (None, None) => String::new(),
        };
        let at_least = self.sense == Sense::AtLeast;
        // Of two bounds the one that decides is enough.
        let value = match (self.value, self.lower, self.upper) {
            (Some(value), _, _) => show(value),
            (None, Some(lower), _) if self.met.is_some_and(|met| met == at_least) => {
                format!("at least {}", show(lower))
            }
            (None, _, Some(upper)) if self.met.is_some() => format!("at most {}", show(upper)),
            (None, Some(lower), Some(upper)) if !at_least && lower == 0.0 => {
                format!("at most {}", show(upper))
            }
            (None, Some(lower), Some(upper)) => format!("{} to {}", show(lower), show(upper)),
            (None, Some(lower), None) => format!("at least {}", show(lower)),
            _ => "unknown (no sample)".to_owned(),
        };
        let bound = show(self.bound);
        match self.sense {
            Sense::AtLeast if self.metric == KEPT_SHARE => format!(
                "{whose}{value} of requests get their first token in time and fluid text ({bound} \
                 asked)"
            ),
            Sense::AtLeast if self.value.is_none() && self.upper.is_some() => {
                format!("{whose}{value} fluid, {bound} asked")
            }
            Sense::AtLeast => format!("{whose}{value} of requests are fluid ({bound} asked)"),
            Sense::AtMost => {
                format!("{whose}{} is {value} ({bound} allowed)", self.figure().to_uppercase())
            }
        }
    }

    /// A share with its value or its bounds; a latency by its name, for it has a column of its own.
    pub(super) fn in_short(&self) -> String {
        if self.stat.is_some() {
            return self.figure();
        }
        match (self.value, self.lower, self.upper) {
            (Some(value), ..) => percent(value),
            (None, Some(lower), _) if lower > 0.0 && self.met == Some(true) => {
                format!(">= {}", percent(lower))
            }
            (None, _, Some(upper)) if upper < 1.0 => format!("<= {}", percent(upper)),
            _ => String::new(),
        }
    }

    /// The term with its figure, for a sentence: `P99 TTFT is 2.3 s (1 s asked)`.
    pub fn sentence(&self) -> String {
        let whose = self.class.as_ref().or(self.pool.as_ref());
        let whose = whose.map_or(String::new(), |name| format!("of {name}, "));
        match self.stat {
            None => {
                let share = self.value.map_or("an unknown share".to_owned(), percent);
                let what = match self.metric == KEPT_SHARE {
                    true => "get their first token in time and fluid text",
                    false => "are fluid",
                };
                format!("{whose}{share} of requests {what} ({} asked)", percent(self.bound))
            }
            Some(_) => {
                let value = self.value.map_or("not known".to_owned(), duration);
                let figure = self.figure();
                format!("{whose}{figure} is {value} ({} asked)", duration(self.bound))
            }
        }
    }

    /// Its figure by its path in a result, and the value: `ttft_s.p99 = 0.5123`.
    pub fn by_path(&self) -> String {
        let value = match (self.value, self.lower, self.upper) {
            (Some(value), ..) => format!("{value:.4}"),
            (None, Some(lower), Some(upper)) => format!("{lower:.4} to {upper:.4}"),
            _ => "no value".to_owned(),
        };
        let whose = self.class.as_ref().or(self.pool.as_ref());
        let whose = whose.map_or(String::new(), |name| format!("{name}: "));
        let stat = self.stat.as_ref().map_or(String::new(), |stat| format!(".{stat}"));
        format!("{whose}{}{stat} = {value}", self.metric)
    }

    /// The latency that it bounds, by its name: `P99 TTFT`, `mean TPOT`.
    fn figure(&self) -> String {
        let metric = self.metric.trim_end_matches("_s").to_uppercase();
        let stat = self.stat.as_deref().unwrap_or_default();
        let stat = stat.replace("p999", "p99.9").replace('p', "P");
        format!("{stat} {metric}")
    }
}
