//! Sessions as they were measured, for the keys that a scenario leaves out.

use crate::scenario::raw;
use crate::time::Span;
use crate::units::Duration;

/// Fills in what the preset says and the scenario does not.
pub(super) fn fill_in(sessions: &mut raw::Sessions) {
    let Some(preset) = sessions.preset.take() else { return };
    let of = match preset {
        raw::SessionPreset::Chat => chat(),
        raw::SessionPreset::Agent => agent(),
    };
    sessions.shared_prefix = sessions.shared_prefix.or(of.shared_prefix);
    for (own, figures) in [
        (&mut sessions.first_prompt, of.first_prompt),
        (&mut sessions.turns, of.turns),
        (&mut sessions.new_tokens, of.new_tokens),
        (&mut sessions.output, of.output),
    ] {
        if own.is_none() {
            *own = figures;
        }
    }
    if sessions.gap.is_none() {
        sessions.gap = of.gap;
    }
}

/// Conversations with an assistant. Turns and tokens: WildChat (Zhao et al., ICLR 2024, table of its
/// statistics): 2.54 turns, 295.58 tokens of a user with a standard deviation of 1609, 441.34 of an answer
/// with one of 411. Nobody publishes how long people read and type there: a median of a minute is assumed.
fn chat() -> raw::Sessions {
    let tokens = || lognormal(295.58, 1.85);
    raw::Sessions {
        first_prompt: tokens(),
        turns: Some(raw::Dist { geometric: geometric(2.54), ..raw::Dist::default() }),
        new_tokens: tokens(),
        output: lognormal(441.34, 0.79),
        gap: Some(gap(99_000, 1.0, raw::GapKind::User)),
        ..raw::Sessions::default()
    }
}

/// Coding agents. Turns, new tokens, answers and gaps: quantiles of 710 sessions with 48,658 requests
/// (callanjfox/kv-cache-tester, Apache-2.0, our count); the 95th and 98th of the new tokens from 49 of
/// them. The two kinds of gaps are those with which 10 % are below 4 s, half below 10 s, 90 % below 166 s
/// and 99 % below 3,027 s, four of five being tools. The prefix and the first prompt behind it: the
/// conversation replay of kubernetes-sigs/inference-perf (Apache-2.0), since what sessions of different
/// people share cannot be read from that trace.
fn agent() -> raw::Sessions {
    let tool = raw::Gap { share: Some(0.8), ..gap(10_200, 0.63, raw::GapKind::Tool) };
    let user = raw::Gap {
        share: Some(0.2),
        max: Some(Duration(Span::from_millis(7_200_000))),
        ..gap(788_000, 1.765, raw::GapKind::User)
    };
    raw::Sessions {
        shared_prefix: Some(raw::SharedPrefix { count: Some(1), tokens: 8359 }),
        first_prompt: lognormal(14_000.0, 0.8),
        turns: quantiles(&[
            ("0", 1.0),
            ("0.1", 7.0),
            ("0.5", 45.0),
            ("0.9", 155.0),
            ("0.99", 324.0),
        ]),
        new_tokens: quantiles(&[
            ("0", 16.0),
            ("0.1", 231.0),
            ("0.5", 720.0),
            ("0.9", 4662.0),
            ("0.95", 9519.0),
            ("0.98", 30_000.0),
            ("0.99", 94_800.0),
        ]),
        output: quantiles(&[
            ("0", 16.0),
            ("0.1", 105.0),
            ("0.5", 216.0),
            ("0.9", 899.0),
            ("0.99", 3663.0),
        ]),
        gap: Some(raw::Gap { mixture: Some(vec![tool, user]), ..raw::Gap::default() }),
        ..raw::Sessions::default()
    }
}

fn lognormal(mean: f64, sigma: f64) -> Option<raw::Dist> {
    let of = raw::Lognormal { mean, sigma, min: None, max: None };
    Some(raw::Dist { lognormal: Some(of), ..raw::Dist::default() })
}

fn geometric(mean: f64) -> Option<raw::Geometric> {
    Some(raw::Geometric { mean, min: None, max: None })
}

fn quantiles(points: &[(&str, f64)]) -> Option<raw::Dist> {
    let points = points.iter().map(|&(p, tokens)| (p.to_owned(), tokens)).collect();
    Some(raw::Dist { quantiles: Some(raw::Quantiles(points)), ..raw::Dist::default() })
}

fn gap(mean_ms: u64, sigma: f64, kind: raw::GapKind) -> raw::Gap {
    let mean = Duration(Span::from_millis(mean_ms));
    raw::Gap {
        lognormal: Some(raw::GapLognormal { mean, sigma }),
        kind: Some(kind),
        ..raw::Gap::default()
    }
}
