//! What a server takes: its model, how prompts can be sent, and by what tokens can be counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use tokio::sync::watch;

use super::connection::{Failure, Http};
use super::exchange::{Ended, Exchange, Outgoing, Stop, exchange};
use super::prompts::{Speaker, WORDS};

/// How long a probe may take: a server may load its model first.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tokens of a probe's prompt and of its answer.
const PROBE_PROMPT: u32 = 24;
const PROBE_ANSWER: u32 = 3;
/// Words that are tried together.
const WORDS_TOGETHER: usize = 16;
/// Fewer words than these would make prompts alike.
const WORDS_MIN: usize = 32;

/// How prompts are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As token ids.
    Ids,
    /// As text.
    Text,
    /// As the text of a message.
    Chat,
}

/// Which parameters go along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extras {
    /// Those of vLLM and SGLang: `ignore_eos`, `min_tokens`, `return_token_ids`.
    Engine,
    /// OpenAI's alone.
    Plain,
    /// Not even `stream_options`.
    Bare,
}

/// How to speak with a server.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// The model's name.
    pub model: String,
    /// How prompts are sent.
    pub form: Form,
    /// Which parameters go along.
    pub extras: Extras,
    /// Tokens of a prompt that the server adds: those of a chat's template, or one at the beginning.
    pub overhead: i64,
    /// Whether prompts have the asked lengths by the server's own count; `None` where it states none.
    pub exact: Option<bool>,
    /// Whether chunks list their tokens' ids.
    pub lists_ids: bool,
    /// The longest prompt and answer, where the server says so.
    pub max_model_len: Option<u32>,
    /// Requests and tokens that learning took.
    pub cost: (u64, u64),
}

/// What is wished of a dialect.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The model's name.
    pub model: Option<String>,
    /// Whether chats are to be measured.
    pub chat: bool,
    /// Whether prompts are to be ids, or text; whatever the server takes where nothing is said.
    pub ids: Option<bool>,
    /// The most requests and tokens that learning may take.
    pub most: (Option<u64>, Option<u64>),
}

/// Why a server cannot be measured, and what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProbeError {
    message: String,
}

fn wrong(message: impl Into<String>) -> ProbeError {
    ProbeError { message: message.into() }
}

/// Learns how to speak with a server; what `speaker` says is fitted to it.
///
/// # Errors
/// When it cannot be reached, wants another key, has no such model, or takes no request.
pub async fn learn(
    http: &Arc<Http>,
    wish: &Wish,
    speaker: &mut Speaker,
) -> Result<Dialect, ProbeError> {
    let (model, max_model_len) = model(http, wish.model.as_deref()).await?;
    let forms: &[Form] = match (wish.chat, wish.ids) {
        (true, Some(true)) => {
            return Err(wrong("chats are text: leave out --prompts ids, or measure completions"));
        }
        (true, _) => &[Form::Chat],
        (false, None) => &[Form::Ids, Form::Text],
        (false, Some(true)) => &[Form::Ids],
        (false, Some(false)) => &[Form::Text],
    };
    let mut dialect = Dialect {
        model,
        form: forms[0],
        extras: Extras::Engine,
        overhead: 0,
        exact: None,
        lists_ids: false,
        max_model_len,
        cost: (0, 0),
    };
    let mut probe = Probe { http, key: 0, most: wish.most };
    let first = 'found: {
        let mut refused = None;
        for &form in forms {
            for extras in [Extras::Engine, Extras::Plain, Extras::Bare] {
                (dialect.form, dialect.extras) = (form, extras);
                let answer = probe.send(&mut dialect, speaker, PROBE_PROMPT, PROBE_ANSWER).await?;
                match (answer.ended, answer.status) {
                    (Ended::Completed, _) => break 'found answer,
                    // It may take the next form.
                    (_, Some(400 | 422)) => refused = refused.or(answer.error),
                    _ => return Err(refusal(http, &dialect, &answer)),
                }
            }
        }
        let what = refused.unwrap_or_default();
        return Err(wrong(format!("{} takes none of our requests: {what}", http.target)));
    };
    dialect.lists_ids = first.counted == super::TokenCount::Exact && !first.ids.is_empty();
    let Some(usage) = first.usage.filter(|usage| usage.prompt > 0) else { return Ok(dialect) };
    dialect.overhead = i64::from(usage.prompt) - i64::from(PROBE_PROMPT);
    if dialect.form != Form::Ids {
        probe.words(&mut dialect, speaker).await?;
    }
    // Held against two lengths that are neither the probe's nor each other's.
    let mut exact = true;
    for tokens in [PROBE_PROMPT + 40, PROBE_PROMPT + 165] {
        let longest = dialect.max_model_len.unwrap_or(u32::MAX);
        if tokens + PROBE_ANSWER >= longest {
            continue;
        }
        let answer = probe.send(&mut dialect, speaker, tokens, 1).await?;
        exact &= answer.usage.is_some_and(|usage| usage.prompt == tokens);
    }
    dialect.exact = Some(exact);
    Ok(dialect)
}

/// The model's name as the server has it, and its context.
async fn model(
    http: &Arc<Http>,
    wished: Option<&str>,
) -> Result<(String, Option<u32>), ProbeError> {
    let target = &http.target;
    let listed = http.ask(Method::GET, "/v1/models", None, PATIENCE).await;
    let text = match listed {
        Ok(text) => text,
        Err(Failure::Connect(why)) => {
            return Err(wrong(format!(
                "no server at {target}: {why}; start one, or look at host and port of --url"
            )));
        }
        Err(Failure::Status(401 | 403, why)) => return Err(wrong(key_wanted(http, &why))),
        Err(error) => match wished {
            // Not all list their models.
            Some(name) => return Ok((name.to_owned(), None)),
            None if matches!(error, Failure::Status(404, _)) => {
                return Err(wrong(format!(
                    "{target}/v1/models is not there: --url is what comes before /v1; where the \
                     server lists no models, name one by --model"
                )));
            }
            None => return Err(wrong(format!("{target}/v1/models: {error}"))),
        },
    };
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let models: Vec<&Value> = value["data"].as_array().into_iter().flatten().collect();
    let names: Vec<&str> = models.iter().filter_map(|model| model["id"].as_str()).collect();
    let name = match (wished, names.as_slice()) {
        (Some(name), []) => name,
        (Some(name), names) if names.contains(&name) => name,
        (Some(name), names) => {
            let listed = some_of(names);
            return Err(wrong(format!("{target} has no model {name:?}; --model: {listed}")));
        }
        (None, [name]) => name,
        (None, []) => return Err(wrong(format!("{target} lists no model; name one by --model"))),
        (None, names) => {
            let listed = some_of(names);
            return Err(wrong(format!("{target} has several models; --model: {listed}")));
        }
    };
    let own = models.iter().find(|model| model["id"].as_str() == Some(name));
    let context = own.and_then(|model| {
        let context = model["max_model_len"].as_u64().or(model["meta"]["n_ctx"].as_u64());
        context.and_then(|tokens| u32::try_from(tokens).ok())
    });
    Ok((name.to_owned(), context))
}

fn some_of(names: &[&str]) -> String {
    let shown = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 8 { format!("{shown}, ...") } else { shown }
}

fn key_wanted(http: &Http, why: &str) -> String {
    format!(
        "{} wants another API key ({why}): put it into the environment variable that --api-key-env \
         names",
        http.target
    )
}

fn refusal(http: &Http, dialect: &Dialect, answer: &Exchange) -> ProbeError {
    let target = &http.target;
    let why = answer.error.clone().unwrap_or_default();
    wrong(match answer.status {
        Some(401 | 403) => key_wanted(http, &why),
        Some(404) if dialect.form == Form::Chat => format!(
            "{target}/v1/chat/completions: {why}; is the model {:?} there, and made for chats? \
             --endpoint completions measures the other endpoint",
            dialect.model
        ),
        Some(404 | 405) => format!(
            "{target}/v1/completions: {why}; is the model {:?} there? --endpoint chat measures the \
             other endpoint",
            dialect.model
        ),
        Some(429) => format!("{target} turns us away before we began: {why}"),
        _ => format!("{target}: {why}"),
    })
}

struct Probe<'a> {
    http: &'a Arc<Http>,
    key: u64,
    most: (Option<u64>, Option<u64>),
}

impl Probe<'_> {
    /// Sends a prompt of so many tokens, as far as is known, and waits for an answer.
    async fn send(
        &mut self,
        dialect: &mut Dialect,
        speaker: &Speaker,
        prompt: u32,
        answer: u32,
    ) -> Result<Exchange, ProbeError> {
        self.key += 1;
        let body =
            dialect.body(speaker, &speaker.fresh(self.key, dialect.units(prompt)), answer, None);
        self.pay(dialect, u64::from(prompt + answer))?;
        Ok(send(self.http, dialect, body).await)
    }

    fn pay(&self, dialect: &mut Dialect, tokens: u64) -> Result<(), ProbeError> {
        let cost = (dialect.cost.0 + 1, dialect.cost.1 + tokens);
        let over = |most: Option<u64>, cost| most.is_some_and(|most| cost > most);
        if over(self.most.0, cost.0) || over(self.most.1, cost.1) {
            let (requests, tokens) = dialect.cost;
            return Err(wrong(format!(
                "to learn what the server takes needs more than the {requests} requests and {tokens} \
                 tokens that were sent: raise --max-requests or --max-tokens"
            )));
        }
        dialect.cost = cost;
        Ok(())
    }

    /// Leaves words out that the server's model has no token of their own for.
    async fn words(
        &mut self,
        dialect: &mut Dialect,
        speaker: &mut Speaker,
    ) -> Result<(), ProbeError> {
        let count = |answer: &Exchange| answer.usage.map(|usage| i64::from(usage.prompt));
        let all = WORDS.to_vec();
        // What the server adds, from two prompts of the same word.
        speaker.words = vec![all[0]];
        dialect.overhead = 0;
        let few = count(&self.send(dialect, speaker, 8, 1).await?);
        let more = count(&self.send(dialect, speaker, 16, 1).await?);
        if let (Some(few), Some(more)) = (few, more)
            && more - few == 8
        {
            dialect.overhead = few - 8;
        }
        let mut good = Vec::new();
        for words in all.chunks(WORDS_TOGETHER) {
            speaker.words = words.to_vec();
            // All of them in a row, so that each is there.
            let tokens = (words.len() as i64 + dialect.overhead).max(1);
            let answer = self.send_row(dialect, speaker, words).await?;
            if count(&answer) == Some(tokens) {
                good.extend_from_slice(words);
            }
        }
        speaker.words = if good.len() >= WORDS_MIN { good } else { all };
        Ok(())
    }

    async fn send_row(
        &mut self,
        dialect: &mut Dialect,
        speaker: &Speaker,
        words: &[&'static str],
    ) -> Result<Exchange, ProbeError> {
        let row: Vec<u64> = (0..words.len() as u64).collect();
        let body = dialect.body(speaker, &row, 1, None);
        self.pay(dialect, words.len() as u64 + 1)?;
        Ok(send(self.http, dialect, body).await)
    }
}

/// Sends a body and waits for the answer.
async fn send(http: &Arc<Http>, dialect: &Dialect, body: String) -> Exchange {
    let began = Instant::now();
    let outgoing = Outgoing {
        index: 0,
        path: dialect.path(&http.target.prefix).into(),
        body: body.into(),
        due: began,
        until: began + PATIENCE,
        headers: Vec::new(),
        keeps: true,
    };
    let (_keep, stop) = watch::channel(Stop::No);
    exchange(Arc::clone(http), outgoing, began, stop).await
}

impl Dialect {
    /// Sends one prompt that is nobody else's (`key` says whose) and waits for a token: the prompt's length
    /// as the server states it, and the time from sending to the token.
    ///
    /// # Errors
    /// Why none came, in words.
    pub async fn ttft(
        &self,
        http: &Arc<Http>,
        speaker: &Speaker,
        key: u64,
        prompt_tokens: u32,
    ) -> Result<(Option<u32>, Duration), String> {
        let units = speaker.fresh(key, self.units(prompt_tokens));
        let body = self.body(speaker, &units, 1, None);
        let answer = send(http, self, body).await;
        match answer.tokens.first() {
            Some(&(at, _)) => {
                let stated = answer.usage.map(|usage| usage.prompt).filter(|&tokens| tokens > 0);
                Ok((stated, Duration::from_nanos(at - answer.sent_ns)))
            }
            None => Err(answer.error.unwrap_or_else(|| "no token came".to_owned())),
        }
    }

    /// Units of a prompt that the server counts as so many tokens.
    pub(super) fn units(&self, prompt_tokens: u32) -> u32 {
        (i64::from(prompt_tokens) - self.overhead).clamp(1, i64::from(u32::MAX)) as u32
    }

    /// What is called, on a server with this prefix.
    pub(super) fn path(&self, prefix: &str) -> String {
        match self.form {
            Form::Chat => format!("{prefix}/v1/chat/completions"),
            Form::Ids | Form::Text => format!("{prefix}/v1/completions"),
        }
    }

    /// The body of a request.
    pub(super) fn body(
        &self,
        speaker: &Speaker,
        units: &[u64],
        output_tokens: u32,
        priority: Option<i32>,
    ) -> String {
        let mut body = String::with_capacity(units.len() * 7 + 300);
        body.push_str("{\"model\":");
        body.push_str(&Value::from(self.model.as_str()).to_string());
        match self.form {
            Form::Ids => {
                body.push_str(",\"prompt\":");
                speaker.push_ids(units, &mut body);
            }
            Form::Text | Form::Chat => {
                let mut text = String::with_capacity(units.len() * 7);
                speaker.push_words(units, &mut text);
                // Words need no escapes.
                match self.form {
                    Form::Chat => {
                        body.push_str(",\"messages\":[{\"role\":\"user\",\"content\":\"");
                        body.push_str(&text);
                        body.push_str("\"}]");
                    }
                    _ => {
                        body.push_str(",\"prompt\":\"");
                        body.push_str(&text);
                        body.push('"');
                    }
                }
            }
        }
        body.push_str(&format!(",\"max_tokens\":{output_tokens},\"stream\":true"));
        if self.extras != Extras::Bare {
            body.push_str(",\"stream_options\":{\"include_usage\":true}");
        }
        if self.extras == Extras::Engine {
            body.push_str(&format!(
                ",\"ignore_eos\":true,\"min_tokens\":{output_tokens},\"return_token_ids\":true"
            ));
        }
        if let Some(priority) = priority {
            body.push_str(&format!(",\"priority\":{priority}"));
        }
        body.push('}');
        body
    }
}
