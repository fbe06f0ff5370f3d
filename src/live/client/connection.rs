//! Connections to a server, kept open between requests and opened ahead of them.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::target::Target;

/// How long a connection may take to come about.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// How long what follows the end of an answer may take, before the connection is given up.
const REST_PATIENCE: Duration = Duration::from_secs(1);
/// The longest answer to a question that is no measurement, bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke, or what came is no HTTP.
    #[error("{0}")]
    Transport(String),
    /// The server said no; its words.
    #[error("HTTP {0}: {1}")]
    Status(u16, String),
    /// It took too long.
    #[error("timed out")]
    TimedOut,
}

/// What is sent.
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// A server, and the connections to it that are free.
pub struct Http {
    /// Where it is.
    pub target: Target,
    key: Option<HeaderValue>,
    free: Mutex<Vec<Sender>>,
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsConnector>,
}

impl Http {
    /// A server; `key` goes along with every request, and is said nowhere.
    ///
    /// # Errors
    /// When the key cannot be sent, or encryption is asked for and not to be had.
    pub fn new(target: Target, key: Option<&str>) -> Result<Arc<Http>, Failure> {
        let header = |key: &str| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
                Failure::Connect("the API key has characters that no header takes".into())
            })?;
            value.set_sensitive(true);
            Ok::<_, Failure>(value)
        };
        #[cfg(not(feature = "tls"))]
        if target.tls {
            return Err(Failure::Connect(
                "this program was built without TLS; build it with `cargo build --release \
                 --features tls`"
                    .into(),
            ));
        }
        Ok(Arc::new(Http {
            #[cfg(feature = "tls")]
            tls: if target.tls { Some(tls::connector()?) } else { None },
            target,
            key: key.map(header).transpose()?,
            free: Mutex::default(),
        }))
    }

    /// Opens connections until `count` are free, as far as the server takes them.
    pub async fn open_ahead(&self, count: usize) {
        while self.lock().len() < count {
            match self.connect().await {
                Ok(sender) => self.give_back(sender),
                Err(_) => break,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Sender>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection, and whether it was used before.
    pub(super) async fn connection(self: &Arc<Http>) -> Result<(Sender, bool), Failure> {
        let free = {
            let mut free = self.lock();
            std::iter::from_fn(|| free.pop())
                .find(|sender| sender.is_ready() && !sender.is_closed())
        };
        match free {
            Some(sender) => {
                if self.lock().is_empty() {
                    // The next one shall not wait for a handshake.
                    let own = Arc::clone(self);
                    tokio::spawn(async move { own.open_ahead(2).await });
                }
                Ok((sender, true))
            }
            None => Ok((self.connect().await?, false)),
        }
    }

    /// A connection is free again.
    pub(super) fn give_back(&self, sender: Sender) {
        if !sender.is_closed() {
            self.lock().push(sender);
        }
    }

    /// A connection is free again once the rest of its answer is there, which is mostly at once.
    pub(super) async fn give_back_after(self: &Arc<Http>, sender: Sender, mut body: Incoming) {
        match unless(ends(&mut body), std::future::ready(())).await {
            Some(true) => self.give_back(sender),
            Some(false) => {}
            None => {
                let own = Arc::clone(self);
                tokio::spawn(async move {
                    let rest = tokio::time::timeout(REST_PATIENCE, ends(&mut body));
                    if rest.await == Ok(true) {
                        own.give_back(sender);
                    }
                });
            }
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Sender, Failure> {
        let Target { host, port, .. } = &self.target;
        let opened = TcpStream::connect((host.as_str(), *port));
        let stream = tokio::time::timeout(CONNECT_PATIENCE, opened)
            .await
            .map_err(|_| Failure::Connect("nobody answers there".to_owned()))?
            .map_err(|error| Failure::Connect(plain(&error)))?;
        let _ = stream.set_nodelay(true);
        #[cfg(feature = "tls")]
        if let Some(connector) = &self.tls {
            let stream = tls::wrap(connector, host, stream).await?;
            return spoken(stream).await;
        }
        spoken(stream).await
    }

    /// The headers of a request.
    pub(super) fn headers(&self, streams: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::from_str(&self.target.authority()) {
            headers.insert(HOST, host);
        }
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("metron-sim/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accepted = if streams { "text/event-stream" } else { "*/*" };
        headers.insert(ACCEPT, HeaderValue::from_static(accepted));
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, key.clone());
        }
        headers
    }

    /// Asks something that is no measurement, `path` counted from the server's root; the answer's text.
    ///
    /// # Errors
    /// When no good answer comes in time.
    pub async fn ask(
        self: &Arc<Http>,
        method: Method,
        path: &str,
        body: Option<String>,
        patience: Duration,
    ) -> Result<String, Failure> {
        let asked = async {
            let (mut sender, _) = self.connection().await?;
            let body = Full::new(Bytes::from(body.unwrap_or_default()));
            let mut request = Request::new(body);
            *request.method_mut() = method;
            let path = format!("{}{path}", self.target.prefix);
            *request.uri_mut() =
                path.parse().map_err(|_| Failure::Transport(format!("no path: {path}")))?;
            *request.headers_mut() = self.headers(false);
            let response = sender.send_request(request).await.map_err(transport)?;
            let status = response.status().as_u16();
            let text = whole(response).await?;
            self.give_back(sender);
            match status {
                200..=299 => Ok(text),
                _ => Err(Failure::Status(status, said(&text))),
            }
        };
        tokio::time::timeout(patience, asked).await.unwrap_or(Err(Failure::TimedOut))
    }
}

/// Speaks HTTP on a stream.
async fn spoken<S>(stream: S) -> Result<Sender, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(transport)?;
    tokio::spawn(async move {
        // Whoever waits for an answer is told.
        let _ = connection.await;
    });
    Ok(sender)
}

/// The whole text of an answer that is not streamed.
pub(super) async fn whole(response: Response<Incoming>) -> Result<String, Failure> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let bytes = body.map_err(|error| Failure::Transport(error.to_string()))?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What an error's body says, in a line.
pub(super) fn said(body: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let message = value.as_ref().and_then(|value| {
        let error = value.get("error").unwrap_or(value);
        let text = error.get("message").or_else(|| error.get("detail")).unwrap_or(error);
        text.as_str().map(str::to_owned)
    });
    let line: String = message.unwrap_or_else(|| body.trim().to_owned());
    let line: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Waits for the end of an answer; whether it came.
async fn ends(body: &mut Incoming) -> bool {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return false;
        }
    }
    true
}

/// Why no answer began.
pub(super) fn unanswered(error: hyper::Error) -> Failure {
    match transport(error) {
        Failure::Transport(why) if why == BROKE_OFF => {
            Failure::Transport("the connection closed without an answer".to_owned())
        }
        failure => failure,
    }
}

const BROKE_OFF: &str = "the connection closed in the middle of the answer";

pub(super) fn transport(error: hyper::Error) -> Failure {
    if error.is_canceled() {
        return Failure::Transport("the connection closed before the request was sent".to_owned());
    }
    if error.is_incomplete_message() {
        return Failure::Transport(BROKE_OFF.to_owned());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        let kind = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if let Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) = kind {
            return Failure::Transport(BROKE_OFF.to_owned());
        }
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    Failure::Transport(text)
}

/// An I/O error without the number that the system gives it.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_ascii_lowercase()
}

/// The result of `work`, or nothing where `stop` came first.
pub(super) async fn unless<T>(
    work: impl Future<Output = T>,
    stop: impl Future<Output = ()>,
) -> Option<T> {
    let (mut work, mut stop) = (pin!(work), pin!(stop));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => stop.as_mut().poll(cx).map(|()| None),
    })
    .await
}

#[cfg(feature = "tls")]
mod tls {
    use std::sync::Arc;

    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::Failure;

    /// Trusts whom the system trusts.
    pub(super) fn connector() -> Result<TlsConnector, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Failure::Connect("the system trusts no certificate authority".into()));
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    pub(super) async fn wrap(
        connector: &TlsConnector,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::Connect(format!("{host} is no name of a server")))?;
        connector.connect(name, stream).await.map_err(|error| Failure::Connect(error.to_string()))
    }
}
