//! One request, from its first byte to the last of its answer.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request};
use tokio::sync::watch;

use super::chunk::{Chunk, gave_up};
use super::connection::{Failure, Http, said, transport, unanswered, unless, whole};
use super::counting::{Piece, TokenCount, settle};
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

/// What a server says of the lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Tokens of the answer.
    pub completion: u32,
    /// Tokens of the prompt that were cached, where it says so.
    pub cached: Option<u32>,
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
    /// Instants at which chunks came, and how many tokens each held, or is taken to have held.
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
    // Whoever began to answer took the request.
    if exchange.ended == Ended::Rejected && !exchange.tokens.is_empty() {
        exchange.ended = Ended::Failed;
    }
    exchange
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
        // The server had closed it meanwhile, and nobody has seen the request. Whatever else goes wrong, the
        // server may have begun: then a second request would hide that the first one failed.
        if used && response.as_ref().is_err_and(hyper::Error::is_canceled) {
            sender = http.connect().await?;
            response = sender.send_request(request(http, outgoing)?).await;
        }
        let response = response.map_err(unanswered)?;
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
        let answered = self.answer(&mut body).await;
        // A server that broke off may have left anything on the connection.
        if self.done || answered.is_ok() {
            http.give_back_after(sender, body).await;
        }
        answered?;
        match self.exchange.finish.as_deref() {
            Some(why) if gave_up(why) => {
                Err(Failure::Transport(format!("the server gave the answer up: {why}")))
            }
            None if !self.done => {
                Err(Failure::Transport("the answer broke off without an end".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Reads an answer to its end, which is where the server says so; the connection may stay open.
    async fn answer(&mut self, body: &mut Incoming) -> Result<(), Failure> {
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
            if failed.is_some() || self.done {
                return failed.map_or(Ok(()), Err);
            }
        }
        let at = self.now();
        events.end(|data| failed = failed.take().or(self.event(data, at).err()));
        failed.map_or(Ok(()), Err)
    }

    fn event(&mut self, data: &[u8], at_ns: u64) -> Result<(), Failure> {
        if data == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let chunk = Chunk::read(data)?;
        let before = self.exchange.usage.map_or(0, |usage| usage.completion);
        if let Some(usage) = chunk.usage {
            self.exchange.usage = Some(Usage {
                prompt: usage.prompt_tokens.unwrap_or(0),
                completion: usage.completion_tokens.unwrap_or(0),
                cached: usage.cached(),
            });
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(()) };
        let so_far = self.exchange.usage.map_or(0, |usage| usage.completion);
        // A count that first comes after other chunks is the whole answer's, and not this chunk's.
        let runs = before > 0 || self.pieces.is_empty();
        let told = match (&choice.token_ids, so_far.checked_sub(before)) {
            (Some(ids), _) => Some(ids.len() as u32),
            (None, Some(more)) if more > 0 && runs => Some(more),
            _ => None,
        };
        let exchange = &mut self.exchange;
        exchange.finish = choice.finish_reason.or(exchange.finish.take());
        let mut delta = choice.delta.unwrap_or_default();
        let (reasoning, tools) = (delta.thought(), delta.calls_tools());
        let content = choice.text.or(delta.content).unwrap_or_default();
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
