//! One request, from its first byte to the last of its answer.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request};
use serde::Deserialize;
use tokio::sync::watch;

use super::connection::{Failure, Http, said, transport, unless, whole};
use super::sse::Events;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// The answer came to its end.
    Completed,
    /// The server said no: a status of 400 to 499, or 503.
    Rejected,
    /// The server, or the connection, failed.
    #[default]
    Failed,
    /// It took longer than the client waits.
    TimedOut,
    /// The client gave it up, because it was interrupted.
    Cancelled,
    /// Observation ended before it did.
    Unfinished,
}

/// By what the tokens of an answer were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenCount {
    /// Every chunk lists the ids of its tokens, or says how many there are so far.
    #[default]
    Exact,
    /// One a chunk, which agrees with the total that the server states.
    Total,
    /// The server states another total: the rest is spread over the chunks by their text.
    Spread,
    /// One a chunk; the server states no total.
    OneEach,
}

/// What a server says of the lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Tokens of the answer.
    pub completion: u32,
    /// Tokens of the prompt that were cached.
    pub cached: u32,
}

/// What is sent, and what it is to be told by.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// Its number in the scenario.
    pub index: u32,
    pub path: Arc<str>,
    pub body: Bytes,
    /// When it is to be sent.
    pub due: Instant,
    /// When it is given up.
    pub until: Instant,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the answer's text and ids are kept.
    pub keeps: bool,
}

/// One request and what came of it. Instants count from the beginning of the run, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// Its number in the scenario.
    pub index: u32,
    /// When it was to be sent.
    pub due_ns: u64,
    /// When it was.
    pub sent_ns: u64,
    /// When the answer's headers were there.
    pub headers_ns: Option<u64>,
    /// When the answer, or the attempt, was over.
    pub end_ns: u64,
    /// Instants at which tokens came, and how many.
    pub tokens: Vec<(u64, u32)>,
    /// When the first token came that is not of the model's reasoning.
    pub first_content_ns: Option<u64>,
    /// Chunks with text of the answer, of its reasoning, of a call of a tool, and with none.
    pub content_chunks: u32,
    /// Chunks with text of the model's reasoning.
    pub reasoning_chunks: u32,
    /// Chunks with a part of a tool's call.
    pub tool_chunks: u32,
    /// Chunks with nothing in them.
    pub empty_chunks: u32,
    /// By what tokens were counted.
    pub counted: TokenCount,
    /// Lengths as the server states them.
    pub usage: Option<Usage>,
    /// Why the answer ended, in the server's word.
    pub finish: Option<String>,
    /// HTTP status.
    pub status: Option<u16>,
    /// How it ended.
    pub ended: Ended,
    /// What went wrong, in a line.
    pub error: Option<String>,
    /// The answer's text, where it is kept.
    pub text: String,
    /// The answer's ids, where they came and are kept.
    pub ids: Vec<u32>,
}

impl Exchange {
    /// Tokens of the answer.
    pub fn output_tokens(&self) -> u32 {
        self.tokens.iter().map(|(_, count)| count).sum()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    choices: Vec<Choice>,
    usage: Option<RawUsage>,
    error: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    text: Option<String>,
    delta: Option<Delta>,
    finish_reason: Option<String>,
    token_ids: Option<Vec<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<serde_json::Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawUsage {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u32>,
}

/// Why everything is given up, for all exchanges at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing of the kind.
    No,
    /// The client is interrupted.
    Interrupted,
    /// Observation is over.
    Over,
}

/// Sends a request and reads its answer. `began` is the beginning of the run.
pub(super) async fn exchange(
    http: Arc<Http>,
    outgoing: Outgoing,
    began: Instant,
    stop: watch::Receiver<Stop>,
) -> Exchange {
    let since = |at: Instant| at.saturating_duration_since(began).as_nanos() as u64;
    let mut reading = Reading {
        exchange: Exchange {
            index: outgoing.index,
            due_ns: since(outgoing.due),
            ..Exchange::default()
        },
        pieces: Vec::new(),
        began,
        keeps: outgoing.keeps,
        done: false,
    };
    let over = async {
        let timeout = tokio::time::sleep_until(outgoing.until.into());
        let mut stop = stop.clone();
        let stopped = async move {
            // An error means that nobody will ever say so.
            if stop.wait_for(|stop| *stop != Stop::No).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        unless(timeout, stopped).await;
    };
    let ended = unless(reading.read(&http, &outgoing), over).await;
    let mut exchange = reading.exchange;
    let now = since(Instant::now());
    exchange.end_ns = now;
    exchange.ended = match ended {
        Some(Ok(())) => Ended::Completed,
        Some(Err(failure)) => {
            let ended = match failure {
                Failure::Status(503 | 400..=407 | 409..=498, _) => Ended::Rejected,
                Failure::Status(408 | 504, _) | Failure::TimedOut => Ended::TimedOut,
                Failure::Status(..) | Failure::Connect(_) | Failure::Transport(_) => Ended::Failed,
            };
            exchange.error = Some(failure.to_string());
            ended
        }
        None => match *stop.borrow() {
            Stop::Interrupted => Ended::Cancelled,
            Stop::Over => Ended::Unfinished,
            Stop::No => {
                exchange.error = Some("timed out".to_owned());
                Ended::TimedOut
            }
        },
    };
    exchange.sent_ns = exchange.sent_ns.max(exchange.due_ns.min(now));
    settle(&mut exchange, &reading.pieces);
    if exchange.ended == Ended::Completed && exchange.tokens.is_empty() {
        exchange.ended = Ended::Failed;
        exchange.error = Some("the answer has no token".to_owned());
    }
    if exchange.ended == Ended::Rejected {
        exchange.tokens.clear();
    }
    exchange
}

/// A chunk that brought something: when, how many tokens where that is said, and bytes of text.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at_ns: u64,
    tokens: Option<u32>,
    bytes: usize,
}

struct Reading {
    exchange: Exchange,
    pieces: Vec<Piece>,
    began: Instant,
    keeps: bool,
    /// Whether the server said that the answer is whole.
    done: bool,
}

impl Reading {
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    async fn read(&mut self, http: &Arc<Http>, outgoing: &Outgoing) -> Result<(), Failure> {
        self.exchange.sent_ns = self.now();
        let (mut sender, used) = http.connection().await?;
        // What a new connection takes is the client's to pay, as it is for every user.
        if used {
            self.exchange.sent_ns = self.now();
        }
        let mut response = sender.send_request(request(http, outgoing)?).await;
        if used && response.is_err() {
            // The server had closed it meanwhile; nobody has seen the request.
            let fresh = http.connection().await?;
            sender = fresh.0;
            self.exchange.sent_ns = self.now();
            response = sender.send_request(request(http, outgoing)?).await;
        }
        let response = response.map_err(transport)?;
        self.exchange.headers_ns = Some(self.now());
        let status = response.status().as_u16();
        self.exchange.status = Some(status);
        if !(200..300).contains(&status) {
            let text = whole(response).await?;
            http.give_back(sender);
            return Err(Failure::Status(status, said(&text)));
        }
        let streams = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_none_or(|kind| kind.contains("event-stream"));
        if !streams {
            return Err(Failure::Transport("the server does not stream its answers".to_owned()));
        }
        let mut body = response.into_body();
        let mut events = Events::default();
        let mut failed = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(transport)?;
            let at = self.now();
            let Some(bytes) = frame.data_ref() else { continue };
            let sound = events.feed(bytes, |data| {
                failed = failed.take().or(self.event(data, at).err());
            });
            if !sound {
                return Err(Failure::Transport("an event of more than 16 MiB".to_owned()));
            }
            if let Some(failure) = failed {
                return Err(failure);
            }
        }
        let at = self.now();
        events.end(|data| failed = failed.take().or(self.event(data, at).err()));
        if let Some(failure) = failed {
            return Err(failure);
        }
        if !self.done && self.exchange.finish.is_none() {
            return Err(Failure::Transport("the answer broke off without an end".to_owned()));
        }
        http.give_back(sender);
        Ok(())
    }

    fn event(&mut self, data: &[u8], at_ns: u64) -> Result<(), Failure> {
        if data == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_slice(data)
            .map_err(|error| Failure::Transport(format!("a chunk is not as expected: {error}")))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let code = error.get("code").and_then(serde_json::Value::as_u64).unwrap_or(500);
            return Err(Failure::Status(code as u16, said(&error.to_string())));
        }
        let before = self.exchange.usage.map_or(0, |usage| usage.completion);
        if let Some(RawUsage { prompt_tokens, completion_tokens, prompt_tokens_details }) =
            chunk.usage
        {
            let cached = prompt_tokens_details.and_then(|details| details.cached_tokens);
            self.exchange.usage = Some(Usage {
                prompt: prompt_tokens.unwrap_or(0),
                completion: completion_tokens.unwrap_or(0),
                cached: cached.unwrap_or(0),
            });
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(()) };
        let so_far = self.exchange.usage.map_or(0, |usage| usage.completion);
        // Some servers state a total of zero in every chunk, and the true one at the end.
        let told = match (&choice.token_ids, so_far.checked_sub(before)) {
            (Some(ids), _) => Some(ids.len() as u32),
            (None, Some(more)) if more > 0 => Some(more),
            _ => None,
        };
        let exchange = &mut self.exchange;
        exchange.finish = choice.finish_reason.or(exchange.finish.take());
        let delta = choice.delta.unwrap_or_default();
        let content = choice.text.or(delta.content).unwrap_or_default();
        let reasoning = delta.reasoning_content.or(delta.reasoning).unwrap_or_default();
        let tools = delta.tool_calls.is_some_and(|calls| !calls.is_empty());
        let bytes = content.len() + reasoning.len();
        if !content.is_empty() {
            exchange.content_chunks += 1;
            exchange.first_content_ns.get_or_insert(at_ns);
        } else if !reasoning.is_empty() {
            exchange.reasoning_chunks += 1;
        } else if tools {
            exchange.tool_chunks += 1;
        } else {
            exchange.empty_chunks += 1;
        }
        if self.keeps {
            exchange.text.push_str(&content);
            exchange.ids.extend(choice.token_ids.iter().flatten());
        }
        if bytes > 0 || tools || told.is_some_and(|tokens| tokens > 0) {
            self.pieces.push(Piece { at_ns, tokens: told, bytes });
        }
        Ok(())
    }
}

fn request(http: &Http, outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, Failure> {
    let mut request = Request::new(Full::new(outgoing.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = outgoing
        .path
        .parse()
        .map_err(|_| Failure::Transport(format!("no path: {}", outgoing.path)))?;
    *request.headers_mut() = http.headers(true);
    for (name, value) in &outgoing.headers {
        request.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(request)
}

/// Says how many tokens each piece brought.
fn settle(exchange: &mut Exchange, pieces: &[Piece]) {
    let stated = exchange.usage.map(|usage| usage.completion).filter(|&total| total > 0);
    let exact = !pieces.is_empty() && pieces.iter().all(|piece| piece.tokens.is_some());
    let mut tokens: Vec<u32> = pieces.iter().map(|piece| piece.tokens.unwrap_or(1)).collect();
    let total: u32 = tokens.iter().sum();
    exchange.counted = match stated {
        _ if exact => TokenCount::Exact,
        None => TokenCount::OneEach,
        Some(stated) if stated == total => TokenCount::Total,
        Some(stated) => {
            spread(&mut tokens, pieces, stated);
            TokenCount::Spread
        }
    };
    let all = pieces.iter().zip(tokens).filter(|(_, tokens)| *tokens > 0);
    exchange.tokens = all.map(|(piece, tokens)| (piece.at_ns, tokens)).collect();
}

/// Makes the counts of all pieces come to `stated`: by their text where there are more tokens than
/// pieces, from the last where there are fewer. A single one too many is the last piece's, which ended
/// the answer.
fn spread(tokens: &mut [u32], pieces: &[Piece], stated: u32) {
    let count = tokens.len() as u32;
    let Some(last) = tokens.len().checked_sub(1) else { return };
    tokens.fill(1);
    if stated <= count {
        tokens[stated as usize..].fill(0);
        return;
    }
    if stated == count + 1 {
        tokens[last] += 1;
        return;
    }
    let bytes: u64 = pieces.iter().map(|piece| piece.bytes as u64).sum();
    let (mut given, mut seen, mut rest) = (0, 0, count);
    for (tokens, piece) in tokens.iter_mut().zip(pieces) {
        seen += piece.bytes as u64;
        rest -= 1;
        // All so far, by their text; each has one, and leaves one for each that follows.
        let due = (2 * u64::from(stated) * seen + bytes).checked_div(2 * bytes).unwrap_or(0) as u32;
        let due = due.clamp(given + 1, stated - rest);
        (*tokens, given) = (due - given, due);
    }
    tokens[last] += stated - given;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(pieces: &[(Option<u32>, usize)], stated: Option<u32>) -> (Vec<u32>, TokenCount) {
        let pieces: Vec<Piece> = pieces
            .iter()
            .zip(1..)
            .map(|(&(tokens, bytes), at_ns)| Piece { at_ns, tokens, bytes })
            .collect();
        let usage = stated.map(|completion| Usage { completion, ..Usage::default() });
        let mut exchange = Exchange { usage, ..Exchange::default() };
        settle(&mut exchange, &pieces);
        (exchange.tokens.iter().map(|(_, count)| *count).collect(), exchange.counted)
    }

    #[test]
    fn tokens_are_counted_by_the_best_that_is_known() {
        let plain = [(None, 4), (None, 4), (None, 8)];
        assert_eq!(
            settled(&[(Some(1), 4), (Some(3), 9)], Some(4)),
            (vec![1, 3], TokenCount::Exact)
        );
        assert_eq!(settled(&plain, Some(3)), (vec![1, 1, 1], TokenCount::Total));
        assert_eq!(settled(&plain, None), (vec![1, 1, 1], TokenCount::OneEach));
        assert_eq!(settled(&plain, Some(4)), (vec![1, 1, 2], TokenCount::Spread));
        assert_eq!(settled(&plain, Some(7)), (vec![2, 2, 3], TokenCount::Spread));
        assert_eq!(settled(&plain, Some(2)), (vec![1, 1], TokenCount::Spread));
        assert_eq!(settled(&[], Some(2)).0, Vec::<u32>::new());
    }
}
