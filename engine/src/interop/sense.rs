//! What of one request's times cannot be.

use super::builder::Sent;
use super::ended::Ended;
use crate::time::Time;
use crate::trace::decimal::ExactSeconds;

/// Longest time that a request can take, and most tokens that it can have: ten days and ten million.
/// What is beyond is in another unit, or damaged.
const LONGEST: u64 = 864_000_000_000_000;
const MOST_TOKENS: u32 = 10_000_000;

pub(super) fn seconds(at: u64) -> ExactSeconds {
    ExactSeconds::from(Time::from_nanos(at))
}

/// What of a request cannot be.
pub(super) fn impossible(sent: &Sent, later: &[Time], own: bool) -> Option<String> {
    let last = later.last().map(|time| time.as_nanos()).or(sent.first).unwrap_or(sent.sent);
    let took = last.saturating_sub(sent.sent);
    for tokens in [Some(sent.prompt_tokens), sent.output_tokens].into_iter().flatten() {
        if tokens > MOST_TOKENS && !own {
            return Some(format!("it has {tokens} tokens"));
        }
    }
    if let Some(waited) = sent.waited.filter(|&waited| waited > LONGEST && !own) {
        let waited = seconds(waited);
        return Some(format!("it waited {waited} s in the client: is the file in another unit?"));
    }
    let longest = took.max(sent.total.unwrap_or(0));
    if longest > LONGEST && !own {
        let took = seconds(longest);
        return Some(format!("it took {took} s: is the file in another unit?"));
    }
    let total = sent.total.filter(|_| sent.ended == Ended::Completed)?;
    if took <= total.saturating_add(total / 50).saturating_add(1_000_000) {
        return None;
    }
    let thousand = (500..2000).contains(&(took / total.max(1)));
    let unit =
        if thousand { ": are some of its times in milliseconds, others in seconds?" } else { "" };
    Some(format!(
        "its last token came {} s after it was sent, and it took {} s in all{unit}",
        seconds(took),
        seconds(total)
    ))
}

/// What is out of order in a request's times.
pub(super) fn disorder(sent: &Sent, later: &[Time]) -> Option<String> {
    let mut before = sent.sent;
    let times = sent.first.iter().copied().chain(later.iter().map(|time| time.as_nanos()));
    for (token, at) in times.enumerate() {
        if at < before {
            let (now, then) = (seconds(at), seconds(before));
            return Some(match token {
                0 => format!("its first token ({now} s) came before it was sent ({then} s)"),
                _ => format!(
                    "time goes backwards: token {token} came at {now} s, the one before at {then} s"
                ),
            });
        }
        before = at;
    }
    if sent.scheduled.is_some_and(|at| at < sent.sent) {
        return Some("scheduled before it arrived".to_owned());
    }
    if let Some((scheduled, first)) = sent.scheduled.zip(sent.first)
        && scheduled > first
    {
        let (scheduled, first) = (seconds(scheduled), seconds(first));
        return Some(format!(
            "its first token ({first} s) came before it was scheduled ({scheduled} s)"
        ));
    }
    if sent.first.is_none() && !later.is_empty() {
        return Some("later tokens without a first one".to_owned());
    }
    None
}

/// How a request took much longer in all than its tokens tell. `exact` says that its client's total
/// times end with the last token.
pub(super) fn longer(sent: &Sent, later: &[Time], exact: bool) -> Option<String> {
    let (total, first) = (sent.total?, sent.first?);
    let last = later.last().map_or(first, |time| time.as_nanos());
    let tokens = last - sent.sent;
    let most = match exact {
        true => tokens.saturating_add(tokens / 50).saturating_add(2_000_000),
        // A usage report may follow, or a call of a tool.
        false => tokens.saturating_add(tokens / 2).saturating_add(100_000_000),
    };
    let long = sent.ended == Ended::Completed && total > most;
    long.then(|| {
        let (tokens, total) = (seconds(tokens), seconds(total));
        format!("its last token came after {tokens} s, and it took {total} s")
    })
}

/// How a request has many more times of tokens than tokens; a role, an end and a report of usage may
/// each come alone, and another tokenizer counts half as many.
pub(super) fn crowded(sent: &Sent, later: usize) -> Option<String> {
    let tokens = sent.output_tokens.filter(|_| sent.ended == Ended::Completed)?;
    let times = later + usize::from(sent.first.is_some());
    let crowded = times > (tokens as usize).saturating_mul(2).saturating_add(2);
    crowded.then(|| format!("{times} times of {tokens} tokens"))
}
