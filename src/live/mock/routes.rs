//! What a client of the mock server can ask for, and how connections are kept.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;

use super::answer::{Broken, Events, Form};
use super::ask::{Asked, Kind, Refusal};
use super::clockwork::{Ask, Engine, Said};
use super::socket::{Due, Timed};
use super::{Pose, refusal};
use crate::ids::ClassId;
use crate::live::{Lateness, words};
use crate::request::Request;
use crate::scenario::{Experiment, SchedulerRun};
use crate::time::Time;

/// The longest body, bytes: a prompt of some millions of tokens.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How long a request's headers may take to come.
const HEADERS_PATIENCE: Duration = Duration::from_secs(30);
/// A request's class, by name.
const CLASS_HEADER: &str = "x-metron-class";
/// A request's session, any text; `user` in the body says it too.
const SESSION_HEADER: &str = "x-session-id";

type Sent = BoxBody<Bytes, Broken>;

/// All that connections share.
pub(super) struct Shop {
    pose: Pose,
    engine: Engine,
    began: Instant,
    created: u64,
    seed: u64,
    max_model_len: u32,
    block_tokens: u32,
    /// Whether a replica looks at what prompts contain.
    looks_at_contents: bool,
    classes: Vec<String>,
    priorities: Vec<i32>,
    natural: Vec<u32>,
    numbers: AtomicU64,
    open: AtomicUsize,
}

/// A place among the requests that are open.
struct Place(Arc<Shop>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shop {
    pub(super) fn new(
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        classes: Vec<String>,
        natural: Vec<u32>,
        pose: Pose,
        engine: Engine,
    ) -> Shop {
        let caches = experiment.fleet().iter().any(|pool| {
            let info = pool.engine_info(&scheduler.config);
            scheduler.config.build(&info).needs().caches_on(&info)
        });
        let of_class = |name: &String| {
            let classes = &experiment.workload.classes;
            classes.iter().find(|class| class.name == *name).map_or(0, |class| class.priority)
        };
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Shop {
            pose,
            engine,
            began: Instant::now(),
            created,
            seed: experiment.seed,
            max_model_len: experiment.engine.max_model_len,
            block_tokens: experiment.engine.kv_block_tokens,
            looks_at_contents: caches,
            priorities: classes.iter().map(of_class).collect(),
            classes,
            natural,
            numbers: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        }
    }

    /// The answer of the request with this number, and why it ends.
    fn answer(&self, number: u64, asked: &Asked, room: u32) -> (Vec<u32>, u32, bool) {
        let most = asked.max_tokens.unwrap_or(room).min(room).max(1);
        let natural = self.natural[(number % self.natural.len() as u64) as usize];
        let length = match asked.ignore_eos {
            true => most,
            false => natural.max(asked.min_tokens).clamp(1, most),
        };
        let word = |place: u32| {
            let mixed =
                (self.seed ^ number << 32 ^ u64::from(place)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed >> 40) % u64::from(words::WORDS)) as u32
        };
        ((0..length).map(word).collect(), most, length == most)
    }

    /// Chained ids of the blocks that these tokens fill.
    fn block_ids(&self, tokens: impl Iterator<Item = u32>) -> (Vec<u64>, u32) {
        if !self.looks_at_contents {
            return (Vec::new(), 0);
        }
        let (mut ids, mut hash, mut filled) = (Vec::new(), 0x243f_6a88_85a3_08d3_u64, 0);
        for token in tokens {
            hash = (hash ^ u64::from(token)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
            filled += 1;
            if filled % self.block_tokens == 0 {
                ids.push(hash);
            }
        }
        let covers = ids.len() as u32 * self.block_tokens;
        (ids, covers)
    }
}

/// Takes connections until the runtime ends.
pub(super) async fn accept(listener: TcpListener, shop: Arc<Shop>, lateness: Arc<Lateness>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file handles, most likely: some will come free.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let due = Arc::new(Due::default());
        let timed = Timed { stream, due: Arc::clone(&due), lateness: Arc::clone(&lateness) };
        let shop = Arc::clone(&shop);
        tokio::spawn(async move {
            let service = service_fn(|request| serve(request, Arc::clone(&shop), Arc::clone(&due)));
            let mut http = hyper::server::conn::http1::Builder::new();
            // Chunks are small: one buffer is less work than a list of them.
            http.writev(false).timer(TokioTimer::new()).header_read_timeout(HEADERS_PATIENCE);
            // A client that goes away is no error of ours.
            let _ = http.serve_connection(TokioIo::new(timed), service).await;
        });
    }
}

async fn serve(
    request: HttpRequest<Incoming>,
    shop: Arc<Shop>,
    due: Arc<Due>,
) -> Result<Response<Sent>, Infallible> {
    let answered = route(request, shop, due).await;
    Ok(answered.unwrap_or_else(|refused| refused_response(&refused)))
}

async fn route(
    request: HttpRequest<Incoming>,
    shop: Arc<Shop>,
    due: Arc<Due>,
) -> Result<Response<Sent>, Refusal> {
    let path = request.uri().path().to_owned();
    let starting = shop.began.elapsed() < shop.pose.faults.slow_start;
    if path.starts_with("/v1")
        && let Some(key) = &shop.pose.api_key
    {
        let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given.and_then(|value| value.strip_prefix("Bearer ")) != Some(key) {
            return Err(Refusal::new(401, "Unauthorized: expected another API key"));
        }
    }
    let expected = match path.as_str() {
        "/v1/completions" | "/v1/chat/completions" | "/tokenize" | "/detokenize" => Method::POST,
        "/v1/models" | "/health" | "/ping" | "/metrics" | "/version" => Method::GET,
        _ => {
            let message = format!(
                "there is no {path}: /v1/completions, /v1/chat/completions, /v1/models, /tokenize, \
                 /detokenize, /health, /metrics and /version are here"
            );
            return Err(Refusal::new(404, message));
        }
    };
    if request.method() != expected
        && !(expected == Method::GET && request.method() == Method::HEAD)
    {
        return Err(Refusal::new(405, format!("{path} takes {expected}")));
    }
    if starting {
        return Err(Refusal::new(503, "the server is starting"));
    }
    match path.as_str() {
        "/v1/completions" => complete(request, Kind::Completion, shop, due).await,
        "/v1/chat/completions" => complete(request, Kind::Chat, shop, due).await,
        "/tokenize" => tokenize(request, &shop).await,
        "/detokenize" => detokenize(request).await,
        "/v1/models" => {
            let model = serde_json::json!({
                "id": shop.pose.model, "object": "model", "created": shop.created,
                "owned_by": "metron-sim", "root": shop.pose.model,
                "max_model_len": shop.max_model_len
            });
            Ok(json(&serde_json::json!({"object": "list", "data": [model]})))
        }
        "/metrics" => {
            let page = shop.engine.metrics().await.ok_or_else(stopped)?;
            Ok(text(page, "text/plain; version=0.0.4; charset=utf-8"))
        }
        "/version" => Ok(json(&serde_json::json!({"version": env!("CARGO_PKG_VERSION")}))),
        _ => Ok(text(String::new(), "text/plain")),
    }
}

fn stopped() -> Refusal {
    Refusal::new(500, "the simulated engine has stopped; its terminal says why")
}

async fn read(request: HttpRequest<Incoming>) -> Result<Bytes, Refusal> {
    match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Refusal::new(413, format!("a body has at most {BODY_BYTES_MAX} bytes")))
        }
        Err(_) => Err(Refusal::new(400, "the body did not come whole")),
    }
}

async fn tokenize(request: HttpRequest<Incoming>, shop: &Shop) -> Result<Response<Sent>, Refusal> {
    let body = read(request).await?;
    let value: serde_json::Value = serde_json::from_slice(&body)
        .map_err(|error| Refusal::new(400, format!("the body is not JSON: {error}")))?;
    let kind = if value.get("messages").is_some() { Kind::Chat } else { Kind::Completion };
    let tokens = Asked::read(kind, &body, &shop.pose.model)?.prompt;
    Ok(json(&serde_json::json!({
        "count": tokens.len(), "max_model_len": shop.max_model_len, "tokens": tokens,
        "token_strs": null
    })))
}

async fn detokenize(request: HttpRequest<Incoming>) -> Result<Response<Sent>, Refusal> {
    let body = read(request).await?;
    let value: serde_json::Value = serde_json::from_slice(&body)
        .map_err(|error| Refusal::new(400, format!("the body is not JSON: {error}")))?;
    let ids: Option<Vec<u32>> = value["tokens"].as_array().and_then(|ids| {
        ids.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
    });
    let ids = ids.ok_or_else(|| Refusal::new(400, "expected `tokens`, a list of ids"))?;
    Ok(json(&serde_json::json!({"prompt": words::text(&ids)})))
}

async fn complete(
    request: HttpRequest<Incoming>,
    kind: Kind,
    shop: Arc<Shop>,
    due: Arc<Due>,
) -> Result<Response<Sent>, Refusal> {
    let header = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let (class, session) = (header(CLASS_HEADER), header(SESSION_HEADER));
    let body = read(request).await?;
    let asked = Asked::read(kind, &body, &shop.pose.model)?;
    let came = Instant::now();
    let class = match class {
        None => 0,
        Some(name) => shop.classes.iter().position(|own| *own == name).ok_or_else(|| {
            Refusal::new(400, format!("the scenario has no class {name:?}: {:?}", shop.classes))
        })?,
    };
    let number = shop.numbers.fetch_add(1, Ordering::Relaxed);
    let faults = &shop.pose.faults;
    if faults.queue_limit.is_some_and(|most| shop.open.load(Ordering::Relaxed) >= most) {
        return Err(Refusal::new(429, "too many requests are open; come again"));
    }
    if faults.fails(shop.seed, number) {
        return Err(Refusal::new(500, "a fault that was asked for (--error-rate)"));
    }
    let prompt_tokens = asked.prompt.len() as u32;
    let room = shop.max_model_len.saturating_sub(prompt_tokens);
    if room == 0 || asked.max_tokens.is_some_and(|most| most > room) {
        let completion = asked.max_tokens.unwrap_or(1);
        return Err(Refusal::new(
            400,
            format!(
                "This model's maximum context length is {} tokens. However, you requested {} tokens \
                 ({prompt_tokens} in the messages, {completion} in the completion). Please reduce \
                 the length of the messages or completion.",
                shop.max_model_len,
                u64::from(prompt_tokens) + u64::from(completion)
            ),
        ));
    }
    let (tokens, max_tokens, ends_by_length) = shop.answer(number, &asked, room);
    let (ids, covers) = shop.block_ids(asked.prompt.iter().copied().chain(tokens.iter().copied()));
    shop.open.fetch_add(1, Ordering::Relaxed);
    let place = Place(Arc::clone(&shop));
    let said = shop.engine.ask(|reply| Ask {
        came,
        request: Request {
            arrival: Time::ZERO,
            prompt_tokens,
            output_tokens: tokens.len() as u32,
            max_tokens,
            priority: asked.priority.unwrap_or(shop.priorities[class]),
            class: ClassId::at(class),
        },
        ids,
        covers,
        session: session.or(asked.user).map(|name| session_number(&name)),
        reply,
    });
    let trouble = faults.trouble(shop.seed, number, tokens.len() as u32);
    let form = Form {
        kind,
        id: number,
        created: shop.created + shop.began.elapsed().as_secs(),
        model: shop.pose.model.as_str().into(),
        prompt_tokens,
        tokens,
        ends_by_length,
        usage: asked.usage,
        usage_in_chunks: asked.usage_in_chunks,
        token_ids: asked.token_ids,
    };
    let mut said = said;
    match said.recv().await {
        Some(Said::Rejected(why)) => return Err(refusal(why)),
        Some(Said::Entered) => {}
        Some(Said::Tokens { .. }) => unreachable!("a request enters before it gets a token"),
        None => return Err(stopped()),
    }
    if asked.stream {
        let events = Events::new(said, form, faults.chunk_tokens.max(1), trouble, due);
        let events = events.map_frame(move |frame| {
            let _ = &place;
            frame
        });
        let mut response = Response::new(BoxBody::new(events));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        return Ok(response);
    }
    whole(said, &form, &due).await
}

/// Waits for the end of an answer and gives it in one piece.
async fn whole(
    mut said: UnboundedReceiver<Said>,
    form: &Form,
    due: &Due,
) -> Result<Response<Sent>, Refusal> {
    loop {
        match said.recv().await {
            Some(Said::Tokens { due: at, last: true, cached, .. }) => {
                due.set(at);
                return Ok(text(form.whole(cached), "application/json"));
            }
            Some(Said::Tokens { .. } | Said::Entered) => {}
            Some(Said::Rejected(why)) => return Err(refusal(why)),
            None => return Err(stopped()),
        }
    }
}

/// A number for a session's name.
fn session_number(name: &str) -> u32 {
    name.bytes()
        .fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn text(text: String, kind: &'static str) -> Response<Sent> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut response = Response::new(BoxBody::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn json(value: &serde_json::Value) -> Response<Sent> {
    text(value.to_string(), "application/json")
}

fn refused_response(refused: &Refusal) -> Response<Sent> {
    let mut response = text(refused.body(), "application/json");
    *response.status_mut() =
        StatusCode::from_u16(refused.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if matches!(refused.status, 429 | 503) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
