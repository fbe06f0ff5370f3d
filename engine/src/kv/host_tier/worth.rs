//! Whether KV is brought from a tier, or computed again.

use std::sync::Arc;

/// When tokens are worth bringing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worth {
    /// Fewer tokens than these are computed.
    pub min_tokens: u32,
    /// What a load is compared with; without, whatever is there is brought (as vLLM does).
    pub against: Option<Arc<AgainstComputing>>,
}

/// What tells whether a load is faster than computing the same tokens, both alone.
#[derive(Clone, Debug, PartialEq)]
pub struct AgainstComputing {
    /// Nanoseconds that a prompt's first `every * n` tokens take to compute, for n from 0 on.
    pub prefill_ns: Vec<u64>,
    /// Tokens between two of them.
    pub every: u32,
    /// A load from the host.
    pub host: LoadTime,
    /// A copy to the host from the tier below.
    pub below: LoadTime,
}

/// The time that a copy takes alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadTime {
    /// Nanoseconds before its first byte.
    pub latency_ns: f64,
    /// Nanoseconds a token.
    pub token_ns: f64,
}

impl LoadTime {
    /// Nanoseconds that so many tokens take.
    pub fn of(self, tokens: u32) -> f64 {
        if tokens == 0 { 0.0 } else { self.latency_ns + self.token_ns * f64::from(tokens) }
    }
}

impl AgainstComputing {
    /// Nanoseconds to compute a prompt's first `tokens` tokens.
    pub fn prefill_ns(&self, tokens: u32) -> f64 {
        let place = (tokens / self.every) as usize;
        let at = |place: usize| {
            let last = self.prefill_ns.len().saturating_sub(1);
            self.prefill_ns.get(place.min(last)).copied().unwrap_or(0) as f64
        };
        let part = f64::from(tokens % self.every) / f64::from(self.every);
        at(place) + part * (at(place + 1) - at(place))
    }

    /// Nanoseconds that a load of `tokens` tokens takes of which `below` are in the tier below.
    pub fn load_ns(&self, tokens: u32, below: u32) -> f64 {
        self.host.of(tokens) + self.below.of(below)
    }
}

impl Worth {
    /// Whether `tokens` tokens after the first `local` are brought, of which `below` are in the tier below.
    pub(super) fn is_load(&self, local: u32, tokens: u32, below: u32) -> bool {
        tokens >= self.min_tokens
            && self.against.as_ref().is_none_or(|against| {
                let computing = against.prefill_ns(local + tokens) - against.prefill_ns(local);
                against.load_ns(tokens, below) < computing
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_taken_where_it_is_faster_than_computing() {
        // 1 us a token at first, 3 us from token 100 on.
        let against = AgainstComputing {
            prefill_ns: vec![0, 100_000, 400_000],
            every: 100,
            host: LoadTime { latency_ns: 0.0, token_ns: 2_000.0 },
            below: LoadTime { latency_ns: 50_000.0, token_ns: 1_000.0 },
        };
        assert_eq!(against.prefill_ns(150), 250_000.0);
        let worth = Worth { min_tokens: 10, against: Some(Arc::new(against)) };
        assert!(!worth.is_load(0, 100, 0), "200 us against 100");
        assert!(worth.is_load(100, 100, 0), "200 us against 300");
        assert!(!worth.is_load(100, 100, 100), "350 us against 300");
        assert!(!worth.is_load(100, 9, 0), "too few");
        assert!(Worth::default().is_load(0, 1, 1));
    }
}
