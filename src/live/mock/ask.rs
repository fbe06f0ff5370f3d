//! What a client may ask: bodies of `/v1/completions` and `/v1/chat/completions`, as vLLM reads them.

use serde::Deserialize;
use serde_json::Value;

use crate::live::words::push_ids;

/// `max_tokens` of a completion that names none (OpenAI's default).
const COMPLETION_TOKENS: u32 = 16;
/// Tokens of the chat template: around each message, and before the answer.
const AROUND_MESSAGE: u32 = 2;
const BEFORE_ANSWER: u32 = 1;
/// Ids of the template's tokens.
const TEMPLATE: [u32; 3] = [u32::MAX - 2, u32::MAX - 1, u32::MAX];

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Completion,
    Chat,
}

/// An answer of a status code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub message: String,
    pub param: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), param: None }
    }

    fn of(param: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { param: Some(param), ..Refusal::new(400, message) }
    }

    /// In OpenAI's form.
    pub(super) fn body(&self) -> String {
        let kind = match self.status {
            401 => "AuthenticationError",
            404 => "NotFoundError",
            429 => "RateLimitError",
            500 => "InternalServerError",
            503 => "ServiceUnavailableError",
            _ => "BadRequestError",
        };
        let error = serde_json::json!({
            "message": self.message, "type": kind, "param": self.param, "code": self.status
        });
        serde_json::json!({ "error": error }).to_string()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    model: Option<String>,
    prompt: Option<Value>,
    messages: Option<Vec<Value>>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    min_tokens: Option<u64>,
    ignore_eos: Option<bool>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<u64>,
    best_of: Option<u64>,
    echo: Option<bool>,
    logprobs: Option<Value>,
    prompt_logprobs: Option<Value>,
    top_logprobs: Option<Value>,
    stop: Option<Value>,
    stop_token_ids: Option<Value>,
    return_token_ids: Option<bool>,
    priority: Option<i64>,
    user: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: Option<bool>,
    continuous_usage_stats: Option<bool>,
}

/// A body, read.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub prompt: Vec<u32>,
    /// The most tokens of the answer, where it says so.
    pub max_tokens: Option<u32>,
    pub min_tokens: u32,
    pub ignore_eos: bool,
    pub stream: bool,
    pub usage: bool,
    pub usage_in_chunks: bool,
    pub token_ids: bool,
    pub priority: Option<i32>,
    pub user: Option<String>,
}

impl Asked {
    /// Reads a body for a server of `model`.
    ///
    /// # Errors
    /// What to answer to one that it cannot follow.
    pub(super) fn read(kind: Kind, body: &[u8], model: &str) -> Result<Asked, Refusal> {
        let body: Body = serde_json::from_slice(body)
            .map_err(|error| Refusal::new(400, format!("the body is not as expected: {error}")))?;
        if let Some(other) = body.model.as_deref().filter(|name| *name != model) {
            let message = format!("The model `{other}` does not exist; this server has `{model}`.");
            return Err(Refusal { param: Some("model"), ..Refusal::new(404, message) });
        }
        if body.n.unwrap_or(1) != 1 || body.best_of.unwrap_or(1) != 1 {
            return Err(Refusal::of("n", "the mock gives one answer a request: n = 1"));
        }
        let off = |value: &Option<Value>| {
            value.as_ref().is_none_or(|v| matches!(v, Value::Null | Value::Bool(false)))
        };
        if !(off(&body.logprobs) && off(&body.prompt_logprobs) && off(&body.top_logprobs)) {
            return Err(Refusal::of("logprobs", "the mock has no probabilities of tokens"));
        }
        let none = |value: &Option<Value>| match value {
            Some(Value::Array(all)) => all.is_empty(),
            Some(Value::String(text)) => text.is_empty(),
            other => off(other),
        };
        for (param, value) in [("stop", &body.stop), ("stop_token_ids", &body.stop_token_ids)] {
            if !none(value) {
                return Err(Refusal::of(param, "the mock ends answers by their length alone"));
            }
        }
        if body.echo == Some(true) {
            return Err(Refusal::of("echo", "the mock does not echo prompts"));
        }
        let prompt = match kind {
            Kind::Completion => completion_prompt(body.prompt.as_ref())?,
            Kind::Chat => chat_prompt(body.messages.as_deref())?,
        };
        if prompt.is_empty() {
            return Err(Refusal::of("prompt", "the prompt is empty"));
        }
        let longest = body.max_completion_tokens.or(body.max_tokens);
        let longest = longest.or((kind == Kind::Completion).then_some(COMPLETION_TOKENS.into()));
        let tokens = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        if longest == Some(0) {
            return Err(Refusal::of("max_tokens", "max_tokens must be at least 1, got 0."));
        }
        let (min_tokens, max_tokens) = (tokens(body.min_tokens.unwrap_or(0)), longest.map(tokens));
        if max_tokens.is_some_and(|most| min_tokens > most) {
            let message = "min_tokens must be less than or equal to max_tokens.";
            return Err(Refusal::of("min_tokens", message));
        }
        let options = body.stream_options.unwrap_or_default();
        let in_chunks = options.continuous_usage_stats == Some(true);
        let usage = options.include_usage == Some(true);
        Ok(Asked {
            prompt,
            max_tokens,
            min_tokens,
            ignore_eos: body.ignore_eos == Some(true),
            stream: body.stream == Some(true),
            usage,
            usage_in_chunks: usage && in_chunks,
            token_ids: body.return_token_ids == Some(true),
            priority: body.priority.map(|p| p.clamp(i32::MIN.into(), i32::MAX.into()) as i32),
            user: body.user,
        })
    }
}

fn completion_prompt(prompt: Option<&Value>) -> Result<Vec<u32>, Refusal> {
    let wrong = || {
        Refusal::of("prompt", "expected a text or a list of token ids, or a list with one of those")
    };
    let prompt = prompt.ok_or_else(|| Refusal::of("prompt", "`prompt` is missing"))?;
    let mut ids = Vec::new();
    match prompt {
        Value::String(text) => push_ids(text, &mut ids),
        Value::Array(all) if all.iter().all(Value::is_number) => {
            let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
            ids = all.iter().map(id).collect::<Option<_>>().ok_or_else(wrong)?;
        }
        Value::Array(all) => match all.as_slice() {
            [one] => return completion_prompt(Some(one)),
            _ => return Err(Refusal::of("prompt", "the mock takes one prompt a request")),
        },
        _ => return Err(wrong()),
    }
    Ok(ids)
}

fn chat_prompt(messages: Option<&[Value]>) -> Result<Vec<u32>, Refusal> {
    let messages = messages.ok_or_else(|| Refusal::of("messages", "`messages` is missing"))?;
    let mut ids = Vec::new();
    for message in messages {
        let [open, close, _] = TEMPLATE;
        let role = message.get("role").and_then(Value::as_str).unwrap_or("");
        // Whose answer begins with the same token that stood before it when it was given.
        ids.push(if role == "assistant" { TEMPLATE[2] } else { open });
        match message.get("content") {
            Some(Value::String(text)) => push_ids(text, &mut ids),
            Some(Value::Array(parts)) => {
                for part in parts {
                    match part.get("text").and_then(Value::as_str) {
                        Some(text) => push_ids(text, &mut ids),
                        None => return Err(Refusal::of("messages", "the mock reads text alone")),
                    }
                }
            }
            Some(Value::Null) | None => {}
            Some(_) => return Err(Refusal::of("messages", "`content` is a text")),
        }
        ids.push(close);
    }
    if !messages.is_empty() {
        ids.push(TEMPLATE[2]);
    }
    debug_assert!(ids.len() >= (AROUND_MESSAGE + BEFORE_ANSWER) as usize || messages.is_empty());
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, body: &str) -> Result<Asked, Refusal> {
        Asked::read(kind, body.as_bytes(), "m")
    }

    #[test]
    fn prompts_are_texts_or_ids() {
        let prompt = |body: &str| read(Kind::Completion, body).map(|asked| asked.prompt);
        assert_eq!(prompt(r#"{"prompt": [7, 8, 9]}"#), Ok(vec![7, 8, 9]));
        assert_eq!(prompt(r#"{"prompt": [[7, 8]]}"#), Ok(vec![7, 8]));
        assert_eq!(prompt(r#"{"prompt": ["baba babe"]}"#), Ok(vec![0, 1]));
        for wrong in
            [r#"{}"#, r#"{"prompt": ""}"#, r#"{"prompt": ["a", "b"]}"#, r#"{"prompt": [-1]}"#]
        {
            assert_eq!(prompt(wrong).unwrap_err().status, 400, "{wrong}");
        }
        assert_eq!(prompt(r#"{"model": "x", "prompt": "a"}"#).unwrap_err().status, 404);
    }

    #[test]
    fn a_turn_begins_with_the_turn_before_and_its_answer() {
        let first = read(Kind::Chat, r#"{"messages": [{"role": "user", "content": "baba babe"}]}"#);
        let mut before = first.expect("a chat").prompt;
        assert_eq!(before.len(), 2 + 3);
        before.extend([5, 6]);
        let next = r#"{"messages": [{"role": "user", "content": "baba babe"},
            {"role": "assistant", "content": "bada bade"}, {"role": "user", "content": "bi"}]}"#;
        let next = read(Kind::Chat, next).expect("a chat").prompt;
        assert_eq!(next[..before.len()], before[..]);
    }

    #[test]
    fn what_the_mock_cannot_do_is_refused_by_name() {
        for (more, param) in [
            (r#""n": 2"#, "n"),
            (r#""logprobs": 3"#, "logprobs"),
            (r#""echo": true"#, "echo"),
            (r#""stop": ["a"]"#, "stop"),
            (r#""stop": "a""#, "stop"),
            (r#""stop_token_ids": [7]"#, "stop_token_ids"),
            (r#""max_tokens": 0"#, "max_tokens"),
            (r#""max_tokens": 3, "min_tokens": 4"#, "min_tokens"),
        ] {
            let body = format!(r#"{{"prompt": "a", {more}}}"#);
            assert_eq!(read(Kind::Completion, &body).unwrap_err().param, Some(param));
        }
        for off in [r#""stop": null"#, r#""stop": []"#, r#""stop_token_ids": []"#] {
            let body = format!(r#"{{"prompt": "a", {off}}}"#);
            assert!(read(Kind::Completion, &body).is_ok(), "{off}");
        }
    }
}
