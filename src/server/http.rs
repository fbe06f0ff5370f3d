//! Answers of the playground's server, and what it asks of requests.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, REFERRER_POLICY, RETRY_AFTER, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::PATIENCE;
use super::lines::Lines;

/// Longest request line and headers together, bytes.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most headers.
pub(super) const HEADERS_MAX: usize = 100;
/// Longest body, bytes: a scenario of a megabyte with every character escaped.
pub(super) const BODY_BYTES_MAX: usize = 2 << 20;
/// How long the server takes in what a refused client is still sending, so that it gets to read why.
const LINGER: Duration = Duration::from_millis(300);

/// What is sent back.
pub(super) type Answer = Response<Either<Full<Bytes>, Lines>>;

/// An answer of a few words.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    status: StatusCode,
    message: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Refused {
        Refused { status, message: message.into(), header: None }
    }

    /// Everything is taken: to be asked again in a moment.
    pub(super) fn busy(why: &str) -> Refused {
        Refused {
            header: Some((RETRY_AFTER, "2")),
            ..Refused::new(StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }

    /// Of a method that is none of these.
    pub(super) fn method(allowed: &'static str) -> Refused {
        let header = Some((ALLOW, allowed));
        Refused { header, ..Refused::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method") }
    }

    pub(super) fn answer(self) -> Answer {
        let text = format!("{}\n", self.message);
        let mut answer = answer(self.status, "text/plain; charset=utf-8", text, None);
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}

/// An answer with the headers that keep a page to itself; `policy` says what it may load.
pub(super) fn answer(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
    policy: Option<&str>,
) -> Answer {
    of_body(status, kind, Either::Left(Full::new(body.into())), policy)
}

/// An answer that comes line by line, each of them JSON.
pub(super) fn by_line(lines: Lines) -> Answer {
    of_body(StatusCode::OK, "application/x-ndjson", Either::Right(lines), None)
}

fn of_body(
    status: StatusCode,
    kind: &'static str,
    body: Either<Full<Bytes>, Lines>,
    policy: Option<&str>,
) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    let policy = policy.and_then(|policy| HeaderValue::from_str(policy).ok());
    headers.insert(CONTENT_SECURITY_POLICY, policy.unwrap_or(nothing));
    answer
}

/// The values of a header; one that is no text is empty.
pub(super) fn all<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or(""))
}

/// Whether a request says once that its body is JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut types = all(headers, "content-type");
    let essence = |value: &str| value.split(';').next().unwrap_or_default().trim().to_owned();
    let first = types.next().map(essence);
    types.next().is_none() && first.is_some_and(|t| t.eq_ignore_ascii_case("application/json"))
}

/// Whether a request says once how long its body is, and that is not too long.
///
/// # Errors
/// What to answer to another.
pub(super) fn check_length(method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    let none = || Refused::new(StatusCode::LENGTH_REQUIRED, "expected a Content-Length");
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(none());
    }
    let mut given = all(headers, "content-length");
    match (given.next(), given.next()) {
        (None, _) if method == Method::POST => Err(none()),
        (None, _) => Ok(()),
        (Some(length), None) => match length.parse::<usize>() {
            Ok(length) if length <= BODY_BYTES_MAX => Ok(()),
            _ => Err(too_large()),
        },
        _ => Err(Refused::new(StatusCode::BAD_REQUEST, "expected one Content-Length")),
    }
}

fn too_large() -> Refused {
    let message = format!("a question has at most {BODY_BYTES_MAX} bytes");
    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// The body of a request, in time.
///
/// # Errors
/// What to answer where it does not come.
pub(super) async fn body(request: Request<Incoming>) -> Result<Bytes, Refused> {
    let whole = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refused::new(StatusCode::BAD_REQUEST, "the body did not come whole")),
        Err(_) => {
            let message = "the request took too long to arrive";
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}

/// Takes what a refused client is still sending, for a moment, so that it gets to read why.
pub(super) async fn linger(request: Request<Incoming>) {
    let mut body = request.into_body();
    let mut taken = 0;
    while taken < 4 * BODY_BYTES_MAX {
        match tokio::time::timeout(LINGER, body.frame()).await {
            Ok(Some(Ok(frame))) => taken += frame.data_ref().map_or(0, Bytes::len),
            _ => break,
        }
    }
}

/// For services that always answer.
pub(super) fn sent(answer: Answer) -> Result<Answer, Infallible> {
    Ok(answer)
}
