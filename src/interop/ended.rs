//! Who ended a request, as far as its client says.
//!
//! The rule, the same for every format: what the server turned away (429, 503, any other 4xx), what
//! failed (5xx, a broken connection, no text at all) and what took too long (408, 504, a client's
//! timeout) counts against the server. What the client itself ended (499, "cancelled") does not:
//! it stays out of every share. What was under way when the measurement ended is unfinished.

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// Answered to the end.
    #[default]
    Completed,
    /// Cut off by the end of the measurement.
    Unfinished,
    /// Turned away by the server.
    Rejected,
    /// Failed on the server's side, or for a reason that the client does not tell.
    Failed,
    /// Given up because it took too long.
    TimedOut,
    /// Ended by the client.
    Cancelled,
}

impl Ended {
    /// What an HTTP status code says of a request that it ended; `None` for one that ends none.
    pub fn by_http_status(code: u32) -> Option<Ended> {
        match code {
            408 | 504 => Some(Ended::TimedOut),
            499 => Some(Ended::Cancelled),
            429 | 503 => Some(Ended::Rejected),
            400..=499 => Some(Ended::Rejected),
            500.. => Some(Ended::Failed),
            _ => None,
        }
    }

    /// What a client's error text says: an exception's name, a reason phrase, a status code. Of a
    /// traceback only the last line counts; the ones above are the client's own source text.
    pub fn by_text(text: &str) -> Ended {
        let line = text.trim_end().lines().next_back().unwrap_or("").to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
        if has(&["cancel", "client closed"]) {
            Ended::Cancelled
        } else if has(&["timeout", "timed out", "time-out", "deadline exceeded"]) {
            Ended::TimedOut
        } else if let Some(ended) = codes(&line).find_map(Ended::by_http_status) {
            ended
        } else if has(REJECTED) {
            Ended::Rejected
        } else {
            Ended::Failed
        }
    }
}

/// Reason phrases and words of servers that turn a request away.
const REJECTED: &[&str] = &[
    "too many requests",
    "service unavailable",
    "rate limit",
    "overloaded",
    "queue is full",
    "rejected",
    "bad request",
    "unprocessable",
    "payload too large",
    "content too large",
    "unauthorized",
    "forbidden",
    "not found",
];

/// The numbers of three digits in a text that can be status codes.
fn codes(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() == 3)
        .filter_map(|word| word.parse().ok())
        .filter(|code| (400..600).contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_tell_who_ended_a_request() {
        for (text, ended) in [
            ("Too Many Requests", Ended::Rejected),
            ("Service Unavailable", Ended::Rejected),
            ("HTTP 429: slow down", Ended::Rejected),
            ("Internal Server Error", Ended::Failed),
            ("Error 502", Ended::Failed),
            ("Gateway Timeout", Ended::TimedOut),
            ("ServerDisconnectedError", Ended::Failed),
            (
                "Traceback (most recent call last):\n  async with timeout(9):\nValueError: x\n",
                Ended::Failed,
            ),
            ("Traceback (most recent call last):\n  await x\nTimeoutError\n", Ended::TimedOut),
            ("asyncio.exceptions.CancelledError", Ended::Cancelled),
            ("the prompt has 4290 tokens", Ended::Failed),
            ("", Ended::Failed),
        ] {
            assert_eq!(Ended::by_text(text), ended, "{text}");
        }
        assert_eq!(Ended::by_http_status(200), None);
        assert_eq!(Ended::by_http_status(499), Some(Ended::Cancelled));
    }
}
