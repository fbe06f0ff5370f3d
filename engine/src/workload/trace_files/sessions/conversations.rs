//! Conversations as text: ShareGPT's `conversations`, or `messages` as in vLLM's multi-turn benchmark and in
//! OpenAI's API; a JSON list of them, or an object a line. Nothing of a text is kept but its length.

use std::fmt;
use std::io::BufRead as _;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{ReadSession, ReadSessions, ReadStep};
use crate::workload::trace_files::lines;
use crate::workload::{MAX_REQUESTS, WorkloadError};

/// Characters that a token stands for, about, in English text.
const CHARACTERS_A_TOKEN: u64 = 4;

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<ReadSessions, WorkloadError> {
    let mut reader = lines::open(path)?;
    let head = reader.fill_buf().map_err(|error| WorkloadError::io(path, &error))?;
    let mark = if head.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let list = head[mark..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    reader.consume(mark);
    let mut all = All::default();
    let mut json = serde_json::Deserializer::from_reader(reader);
    let read = match list {
        true => serde::Deserializer::deserialize_seq(&mut json, ListOf(&mut all))
            .and_then(|()| json.end()),
        false => {
            let mut each = json.into_iter::<Conversation>();
            each.try_for_each(|one| one.and_then(|one| all.add(one)))
        }
    };
    read.map_err(|error| wrong(path, &error))?;
    let mut notes = vec![format!(
        "tokens are estimated: one for {CHARACTERS_A_TOKEN} characters of text; each turn follows the answer \
         before it at once"
    )];
    for (count, what) in [
        (all.silent, "conversations without an answer are left out"),
        (all.unanswered, "conversations end with a message that has no answer: it is left out"),
    ] {
        if count > 0 {
            notes.push(format!("{count} {what}"));
        }
    }
    Ok(ReadSessions { sessions: all.sessions, id_tokens: 1, notes })
}

fn wrong(path: &Path, error: &serde_json::Error) -> WorkloadError {
    let text = error.to_string();
    let message = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
    let line = (error.line() > 0).then_some(error.line() as u64);
    let found = WorkloadError::content(path, line, format!("expected conversations: {message}"));
    let found =
        if line.is_some() { found.with_column(error.column().max(1) as u64) } else { found };
    if error.is_eof() { found.with_help("is the file cut off here?") } else { found }
}

#[derive(Default)]
struct All {
    sessions: Vec<ReadSession>,
    requests: u32,
    /// Conversations in which nobody answers.
    silent: u64,
    /// Those that end with a question.
    unanswered: u64,
}

impl All {
    fn add(&mut self, one: Conversation) -> serde_json::Result<()> {
        let mut steps: Vec<ReadStep> = Vec::new();
        // What was said, and what is new since the last answer.
        let (mut context, mut new) = (0_u64, 0_u64);
        let mut asked = false;
        for message in one.messages {
            let tokens = message.characters.div_ceil(CHARACTERS_A_TOKEN);
            // An answer to nobody, or the rest of one, is a part of what is said next.
            if !message.answers || !asked {
                new += tokens;
                asked |= !message.answers;
                continue;
            }
            let prompt = u32::try_from((context + new).max(1));
            let output = u32::try_from(tokens.max(1));
            let (Ok(prompt_tokens), Ok(output_tokens)) = (prompt, output) else {
                return Err(serde_json::Error::custom("a conversation of over 4 billion tokens"));
            };
            let before = (steps.len() as u32).checked_sub(1);
            context = u64::from(prompt_tokens) + u64::from(output_tokens);
            (new, asked) = (0, false);
            steps.push(ReadStep {
                prompt_tokens,
                output_tokens,
                waits: before.into_iter().collect(),
                before,
                turn: steps.len() as u32,
                goes_on: before.is_some(),
                ..ReadStep::default()
            });
        }
        if steps.is_empty() {
            self.silent += 1;
            return Ok(());
        }
        self.unanswered += u64::from(asked);
        self.requests = self.requests.saturating_add(steps.len() as u32);
        if self.requests > MAX_REQUESTS {
            let message = crate::workload::arrivals::too_many_requests();
            return Err(serde_json::Error::custom(message.message()));
        }
        self.sessions.push(ReadSession { start_ns: None, steps });
        Ok(())
    }
}

/// A list of conversations, each added as it comes.
struct ListOf<'a>(&'a mut All);

impl<'de> Visitor<'de> for ListOf<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of conversations")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while let Some(one) = seq.next_element::<Conversation>()? {
            self.0.add(one).map_err(S::Error::custom)?;
        }
        Ok(())
    }
}

struct Conversation {
    messages: Vec<Message>,
}

impl<'de> Deserialize<'de> for Conversation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Conversation, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Conversation;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object with `messages` or `conversations`")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Conversation, M::Error> {
                let mut messages = None;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "messages" | "conversations" => messages = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                let missing =
                    || M::Error::custom("expected `messages` or `conversations`, found neither");
                Ok(Conversation { messages: messages.ok_or_else(missing)? })
            }
        }
        deserializer.deserialize_map(Of)
    }
}

struct Message {
    answers: bool,
    characters: u64,
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Message, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Message;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a message with `role` and `content`, or `from` and `value`")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Message, M::Error> {
                let (mut answers, mut length) = (None, Length(0));
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "role" | "from" => answers = Some(speaks(&map.next_value::<String>()?)?),
                        "content" | "value" => length = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                let missing =
                    || M::Error::custom("expected `role` or `from` in a message, found neither");
                Ok(Message { answers: answers.ok_or_else(missing)?, characters: length.0 })
            }
        }
        deserializer.deserialize_map(Of)
    }
}

/// Whether it is the model who speaks.
fn speaks<E: Error>(role: &str) -> Result<bool, E> {
    match role {
        "assistant" | "gpt" | "chatgpt" | "bing" | "bard" | "model" => Ok(true),
        "user" | "human" | "system" | "developer" | "tool" | "function" | "observation" => {
            Ok(false)
        }
        other => {
            let shown = crate::trace::numbers::shown(other);
            Err(E::custom(format!(
                "expected a role such as `user` or `assistant`, found `{shown}`"
            )))
        }
    }
}

/// Characters of a text, or of the texts of a list of parts.
struct Length(u64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Length, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Length;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Length, E> {
                Ok(Length(text.chars().count() as u64))
            }
            fn visit_unit<E: Error>(self) -> Result<Length, E> {
                Ok(Length(0))
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut parts: S) -> Result<Length, S::Error> {
                let mut all = 0;
                while let Some(Length(one)) = parts.next_element()? {
                    all += one;
                }
                Ok(Length(all))
            }
            fn visit_map<M: MapAccess<'de>>(self, mut part: M) -> Result<Length, M::Error> {
                let mut length = Length(0);
                while let Some(key) = part.next_key::<String>()? {
                    if key == "text" {
                        length = part.next_value()?;
                    } else {
                        part.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(length)
            }
        }
        deserializer.deserialize_any(Of)
    }
}
