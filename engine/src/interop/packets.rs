//! Server-sent packets of an OpenAI-like API, as clients keep them.
//!
//! Packets hold the answer's text. Of each it is only told whether it holds any, of what kind, and how
//! many tokens the server counted; a packet without text (a role, the usage, `[DONE]`) is no token.

use std::io::Read;

use super::fault::Fault;
use super::json::Json;

/// What one packet says.
#[derive(Debug, Default)]
pub(super) struct Packet {
    /// Whether it holds text, an answer's or what was thought before it.
    pub(super) text: bool,
    /// Whether some of that is the answer's.
    pub(super) answer: bool,
    pub(super) prompt_tokens: Option<u32>,
    pub(super) output_tokens: Option<u32>,
}

impl Packet {
    /// Looks into a packet. One that is no JSON (`[DONE]`, or longer than is kept) holds text if it is
    /// long.
    pub(super) fn of(value: &str) -> Packet {
        let mut packet = Packet::default();
        let mut json = Json::new(value.as_bytes());
        let (mut answer, mut thought) = (false, false);
        const KEYS: &[&str] = &["choices", "usage", "content", "text", "text_output"];
        let read = json.object(KEYS, |json, key| match key {
            "choices" => json.list(|json| {
                json.object(&["delta", "message", "text"], |json, key| match key {
                    "text" => says(json, &mut answer),
                    _ if json.null()? => Ok(()),
                    _ => {
                        json.object(&["content", "reasoning_content", "reasoning"], |json, key| {
                            says(json, if key == "content" { &mut answer } else { &mut thought })
                        })
                    }
                })
            }),
            "usage" => {
                if json.null()? {
                    return Ok(());
                }
                json.object(&["prompt_tokens", "completion_tokens"], |json, key| {
                    let count = json.count_or_null()?;
                    match key {
                        "prompt_tokens" => packet.prompt_tokens = count,
                        _ => packet.output_tokens = count,
                    }
                    Ok(())
                })
            }
            _ => says(json, &mut answer),
        });
        answer |= read.is_err() && !thought && value.len() > 64;
        packet.answer = answer;
        packet.text = answer || thought;
        packet
    }

    /// The packets of a text of events, `data: {...}` a line.
    pub(super) fn of_events(text: &str) -> Packet {
        let mut all = Packet::default();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        for line in lines.filter(|line| !line.starts_with("event:") && !line.starts_with(':')) {
            let one = Packet::of(line.strip_prefix("data:").unwrap_or(line).trim());
            all.text |= one.text;
            all.answer |= one.answer;
            all.prompt_tokens = one.prompt_tokens.or(all.prompt_tokens);
            all.output_tokens = one.output_tokens.or(all.output_tokens);
        }
        all
    }
}

fn says<R: Read>(json: &mut Json<R>, text: &mut bool) -> Result<(), Fault> {
    *text |= json.string_or_skip()?.is_some_and(|said| !said.is_empty());
    Ok(())
}
