//! One event of a streamed answer, as servers write it.

use serde::Deserialize;
use serde_json::Value;

use super::connection::{Failure, said};

/// What a chunk brings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk {
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<RawUsage>,
    error: Option<Value>,
    /// `error` where the whole event is one (vLLM, SGLang).
    object: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    pub(super) text: Option<String>,
    pub(super) delta: Option<Delta>,
    pub(super) finish_reason: Option<String>,
    pub(super) token_ids: Option<Vec<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta {
    pub(super) content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawUsage {
    pub(super) prompt_tokens: Option<u32>,
    pub(super) completion_tokens: Option<u32>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u32>,
}

impl Delta {
    /// What the model thinks, under either name.
    pub(super) fn thought(&mut self) -> String {
        self.reasoning_content.take().or(self.reasoning.take()).unwrap_or_default()
    }

    pub(super) fn calls_tools(&self) -> bool {
        self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
    }
}

impl RawUsage {
    /// Tokens of the prompt that were cached.
    pub(super) fn cached(&self) -> Option<u32> {
        self.prompt_tokens_details.as_ref()?.cached_tokens
    }
}

impl Chunk {
    /// Reads an event.
    ///
    /// # Errors
    /// When it is no chunk, or tells of an error.
    pub(super) fn read(data: &[u8]) -> Result<Chunk, Failure> {
        let chunk: Chunk = serde_json::from_slice(data)
            .map_err(|error| Failure::Transport(format!("a chunk is not as expected: {error}")))?;
        let whole = || serde_json::from_slice(data).unwrap_or_default();
        let error = match &chunk.error {
            Some(Value::Null) | None if chunk.object.as_deref() == Some("error") => whole(),
            Some(Value::Null) | None => return Ok(chunk),
            Some(error) => error.clone(),
        };
        Err(Failure::Status(code(&error), said(&error.to_string())))
    }
}

/// The status that an error states, where it is one of an error; 500 otherwise.
fn code(error: &Value) -> u16 {
    let code = &error["code"];
    let number = code.as_u64().or_else(|| code.as_str()?.parse().ok());
    let number = number.and_then(|code| u16::try_from(code).ok());
    number.filter(|code| (400..600).contains(code)).unwrap_or(500)
}

/// Whether a server ended an answer itself, and not because it was whole.
pub(super) fn gave_up(finish_reason: &str) -> bool {
    matches!(finish_reason, "abort" | "error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_a_stream_are_told_from_chunks() {
        let error = |text: &str| Chunk::read(text.as_bytes()).map(drop).unwrap_err();
        let status = |code, text: &str| Failure::Status(code, text.to_owned());
        for (text, expected) in [
            (r#"{"error": {"message": "no", "code": 429}}"#, status(429, "no")),
            (r#"{"error": {"message": "no", "code": "503"}}"#, status(503, "no")),
            (r#"{"error": {"message": "no", "code": 65936}}"#, status(500, "no")),
            (r#"{"error": {"message": "no", "code": "rate_limit"}}"#, status(500, "no")),
            (r#"{"error": "no"}"#, status(500, "no")),
            (r#"{"object": "error", "message": "no", "code": 500}"#, status(500, "no")),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
        assert!(Chunk::read(br#"{"object": "text_completion", "error": null}"#).is_ok());
    }
}
