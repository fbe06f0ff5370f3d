//! Who ended a request, as far as its client says.
//!
//! The rule, the same for every format: what the server turned away (429, 503, any other 4xx), what
//! failed (5xx, a broken connection, no text at all) and what took too long (408, 504, a client's
//! timeout) counts against the server. What the client itself ended (499, "cancelled") does not:
//! it stays out of every share. What was under way when the measurement ended is unfinished.

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ended {
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

/// Why a request did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) ended: Ended,
    /// Whether an HTTP status code says so, which is the server's word; a text may be the client's.
    pub(super) by_code: bool,
}

impl Failure {
    /// What a text says.
    pub(super) fn by_text(text: &str) -> Failure {
        Failure { ended: Ended::by_text(text), by_code: false }
    }
}

impl Ended {
    /// What an HTTP status code says of a request that it ended; `None` for one that ends none.
    pub(super) fn by_http_status(code: u32) -> Option<Ended> {
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
    pub(super) fn by_text(text: &str) -> Ended {
        let line = text.trim_end().lines().next_back().unwrap_or("").to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
        let status = codes(&line).find_map(Ended::by_http_status);
        let servers = has(&["server", "engine"]) || has(REJECTED);
        if let Some(of_server) = status.filter(|ended| *ended != Ended::Cancelled) {
            // A client that gives up too is no matter: a timeout is one on either side.
            if has(TIMED_OUT) { Ended::TimedOut } else { of_server }
        } else if status.is_some() || has(BY_CLIENT) && !servers {
            Ended::Cancelled
        } else if has(TIMED_OUT) {
            Ended::TimedOut
        } else if has(&["cancel"]) && !servers {
            Ended::Cancelled
        } else if has(REJECTED) {
            Ended::Rejected
        } else {
            Ended::Failed
        }
    }
}

/// What took too long says so.
const TIMED_OUT: &[&str] = &["timeout", "timed out", "time-out", "deadline exceeded"];

/// What clients say of requests that they ended themselves.
const BY_CLIENT: &[&str] = &[
    "client closed",
    "cancellederror",
    "cancellationerror",
    "by the client",
    "by client",
    "by the user",
    "by user",
];

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

/// The status codes in a text: numbers of three digits that begin it or follow a word that says so.
/// Another number may count anything.
fn codes(text: &str) -> impl Iterator<Item = u32> + '_ {
    const BEFORE: &[&str] = &["http", "status", "code", "error", "response", "exception"];
    let mut before = "status";
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .filter_map(move |word| {
            // `HTTP/1.1 429`: the version stands between.
            let says = BEFORE.iter().any(|end| before.ends_with(end));
            let version = says && word.len() == 1;
            if !version {
                before = word;
            }
            (says && word.len() == 3).then(|| word.parse().ok()).flatten()
        })
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
            ("ValueError: the prompt has 499 tokens and only 256 fit", Ended::Failed),
            ("prompt of 450 tokens: at most 512", Ended::Failed),
            ("HTTP/1.1 499", Ended::Cancelled),
            ("ClientResponseError: 429, message='slow down'", Ended::Rejected),
            ("HTTP 503 Service Unavailable: request cancelled by the server", Ended::Rejected),
            (
                "Internal Server Error: engine cancelled all requests after CUDA out of memory",
                Ended::Failed,
            ),
            ("request cancelled", Ended::Cancelled),
            ("CancelledError() while server returned status 503", Ended::Rejected),
            ("concurrent.futures._base.CancelledError: server queue is full", Ended::Rejected),
            ("Bad Request: cancelled", Ended::Rejected),
            ("", Ended::Failed),
        ] {
            assert_eq!(Ended::by_text(text), ended, "{text}");
        }
        assert_eq!(Ended::by_http_status(200), None);
        assert_eq!(Ended::by_http_status(499), Some(Ended::Cancelled));
    }
}
