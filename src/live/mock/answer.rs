//! Answers in OpenAI's form, whole or as server-sent events, a chunk a decode step.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Sleep;

use super::ask::Kind;
use super::clockwork::Said;
use super::socket::Due;
use crate::live::words::push_word;

/// What an answer needs besides its tokens.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub kind: Kind,
    pub id: u64,
    pub created: u64,
    pub model: Arc<str>,
    pub prompt_tokens: u32,
    /// The whole answer.
    pub tokens: Vec<u32>,
    /// Whether it ends because it is as long as it may be.
    pub ends_by_length: bool,
    pub usage: bool,
    pub usage_in_chunks: bool,
    pub token_ids: bool,
}

impl Form {
    fn name(&self) -> String {
        match self.kind {
            Kind::Completion => format!("cmpl-{:016x}", self.id),
            Kind::Chat => format!("chatcmpl-{:016x}", self.id),
        }
    }

    fn finish(&self) -> &'static str {
        if self.ends_by_length { "length" } else { "stop" }
    }

    /// The text of some of its tokens.
    fn text(&self, from: usize, count: usize) -> String {
        let mut text = String::with_capacity(count * 6);
        for (place, &id) in self.tokens.iter().enumerate().skip(from).take(count) {
            if place > 0 {
                text.push(' ');
            }
            push_word(id, &mut text);
        }
        text
    }

    fn usage(&self, tokens: usize, cached: u32) -> String {
        let (prompt, total) = (self.prompt_tokens, self.prompt_tokens as usize + tokens);
        format!(
            "{{\"prompt_tokens\":{prompt},\"total_tokens\":{total},\"completion_tokens\":{tokens},\
             \"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}}}"
        )
    }

    /// The beginning of every chunk.
    fn head(&self) -> String {
        let (name, created, model) = (self.name(), self.created, json_text(&self.model));
        let object = match self.kind {
            Kind::Completion => "text_completion",
            Kind::Chat => "chat.completion.chunk",
        };
        format!(
            "data: {{\"id\":\"{name}\",\"object\":\"{object}\",\"created\":{created},\
             \"model\":{model},\"choices\":["
        )
    }

    /// The answer in one piece.
    pub(super) fn whole(&self, cached: u32) -> String {
        let text = json_text(&self.text(0, self.tokens.len()));
        let (name, created, model) = (self.name(), self.created, json_text(&self.model));
        let (finish, usage) = (self.finish(), self.usage(self.tokens.len(), cached));
        let ids = match self.token_ids {
            true => format!(",\"token_ids\":{}", list(&self.tokens)),
            false => String::new(),
        };
        let (object, choice) = match self.kind {
            Kind::Completion => ("text_completion", format!("\"text\":{text}")),
            Kind::Chat => (
                "chat.completion",
                format!("\"message\":{{\"role\":\"assistant\",\"content\":{text}}}"),
            ),
        };
        format!(
            "{{\"id\":\"{name}\",\"object\":\"{object}\",\"created\":{created},\"model\":{model},\
             \"choices\":[{{\"index\":0,{choice},\"logprobs\":null,\"finish_reason\":\"{finish}\"{ids}}}],\
             \"usage\":{usage}}}"
        )
    }
}

fn list(ids: &[u32]) -> String {
    serde_json::to_string(ids).expect("numbers are JSON")
}

fn json_text(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

/// What is to go wrong in an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    /// It pauses before this token, for so long.
    pub stall: Option<(u32, Duration)>,
    /// The connection breaks before this token.
    pub breaks_at: Option<u32>,
}

/// An answer as events.
pub(super) struct Events {
    said: UnboundedReceiver<Said>,
    form: Form,
    head: String,
    /// Tokens that go into one chunk at least, but for the last.
    at_least: u32,
    trouble: Trouble,
    due: Arc<Due>,
    /// Tokens sent, and those that wait for more.
    sent: usize,
    held: u32,
    last_frame: Option<Bytes>,
    pause: Option<Pin<Box<Sleep>>>,
    waiting: Option<Said>,
    /// Whether a pause came.
    stalled: bool,
    ended: bool,
}

impl Events {
    pub(super) fn new(
        said: UnboundedReceiver<Said>,
        form: Form,
        at_least: u32,
        trouble: Trouble,
        due: Arc<Due>,
    ) -> Events {
        let head = form.head();
        Events {
            said,
            form,
            head,
            at_least,
            trouble,
            due,
            sent: 0,
            held: 0,
            last_frame: None,
            pause: None,
            waiting: None,
            stalled: false,
            ended: false,
        }
    }

    /// The chunk of the next `count` tokens.
    fn chunk(&mut self, count: usize, last: bool, cached: u32) -> Bytes {
        let form = &self.form;
        let text = form.text(self.sent, count);
        let finish = match last {
            true => format!("\"{}\"", form.finish()),
            false => "null".to_owned(),
        };
        let ids = match form.token_ids {
            true => format!(",\"token_ids\":{}", list(&form.tokens[self.sent..self.sent + count])),
            false => String::new(),
        };
        let mut out = String::with_capacity(2 * self.head.len() + text.len() + 160);
        if self.sent == 0 && form.kind == Kind::Chat {
            let role = "\"delta\":{\"role\":\"assistant\",\"content\":\"\"}";
            let usage = match form.usage_in_chunks {
                true => format!(",\"usage\":{}", form.usage(0, cached)),
                false => String::new(),
            };
            out.push_str(&format!(
                "{}{{\"index\":0,{role},\"logprobs\":null,\"finish_reason\":null}}]{usage}}}\n\n",
                self.head
            ));
        }
        let choice = match form.kind {
            Kind::Completion => format!("\"text\":\"{text}\""),
            Kind::Chat => format!("\"delta\":{{\"content\":\"{text}\"}}"),
        };
        self.sent += count;
        let usage = match form.usage_in_chunks {
            true => format!(",\"usage\":{}", form.usage(self.sent, cached)),
            false => String::new(),
        };
        out.push_str(&format!(
            "{}{{\"index\":0,{choice},\"logprobs\":null,\"finish_reason\":{finish}{ids}}}]{usage}}}\n\n",
            self.head
        ));
        if last {
            let mut end = String::new();
            if form.usage {
                end = format!("{}],\"usage\":{}}}\n\n", self.head, form.usage(self.sent, cached));
            }
            end.push_str("data: [DONE]\n\n");
            self.last_frame = Some(end.into());
        }
        out.into()
    }

    /// What comes of the next word of the engine; `None` where nothing is to be sent yet.
    fn next(&mut self, said: Said) -> Option<Result<Bytes, Broken>> {
        match said {
            Said::Entered => None,
            Said::Tokens { due, count, last, cached } => {
                let before = self.sent as u32 + self.held;
                let reaches = |token: u32| before <= token && token < before + count;
                if self.trouble.breaks_at.is_some_and(reaches) {
                    return Some(Err(Broken));
                }
                self.held += count;
                if self.held < self.at_least && !last {
                    return None;
                }
                let held = std::mem::take(&mut self.held);
                // Behind a pause that was asked for all is late.
                if !self.stalled {
                    self.due.set(due);
                }
                Some(Ok(self.chunk(held as usize, last, cached)))
            }
            Said::Rejected(why) => {
                let error = super::refusal(why).body();
                self.last_frame = Some(Bytes::from_static(b"data: [DONE]\n\n"));
                Some(Ok(format!("data: {error}\n\n").into()))
            }
        }
    }
}

/// The connection is to break in the middle of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer breaks off")]
pub(super) struct Broken;

impl Body for Events {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let events = self.get_mut();
        if let Some(frame) = events.last_frame.take() {
            events.ended = true;
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if events.ended {
            return Poll::Ready(None);
        }
        loop {
            if let Some(pause) = &mut events.pause {
                match pause.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => events.pause = None,
                }
            }
            let said = match events.waiting.take() {
                Some(said) => said,
                None => match events.said.poll_recv(cx) {
                    Poll::Pending => return Poll::Pending,
                    // The engine has stopped.
                    Poll::Ready(None) => return Poll::Ready(Some(Err(Broken))),
                    Poll::Ready(Some(said)) => said,
                },
            };
            if let (Said::Tokens { count, .. }, Some((token, pause))) = (said, events.trouble.stall)
            {
                let before = events.sent as u32 + events.held;
                if before <= token && token < before + count {
                    (events.trouble.stall, events.stalled) = (None, true);
                    events.pause =
                        Some(Box::pin(tokio::time::sleep_until((Instant::now() + pause).into())));
                    events.waiting = Some(said);
                    continue;
                }
            }
            if let Some(sent) = events.next(said) {
                return Poll::Ready(Some(sent.map(Frame::data)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.last_frame.is_none()
    }
}
