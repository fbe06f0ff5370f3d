//! As much of HTTP/1.1 as one page needs: a request a connection, with limits on everything.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::memory::try_to;

/// Longest request line and headers together, bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most headers.
const HEADERS_MAX: usize = 100;
/// Longest body, bytes: a scenario of a megabyte with every character escaped.
pub(super) const BODY_BYTES_MAX: usize = 2 << 20;

/// Code and phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub u16, &'static str);

impl Status {
    pub(super) const OK: Status = Status(200, "OK");
    pub(super) const BAD: Status = Status(400, "Bad Request");
    pub(super) const FORBIDDEN: Status = Status(403, "Forbidden");
    pub(super) const NOT_FOUND: Status = Status(404, "Not Found");
    pub(super) const WRONG_METHOD: Status = Status(405, "Method Not Allowed");
    pub(super) const TOO_SLOW: Status = Status(408, "Request Timeout");
    pub(super) const NO_LENGTH: Status = Status(411, "Length Required");
    pub(super) const TOO_LARGE: Status = Status(413, "Content Too Large");
    pub(super) const WRONG_TYPE: Status = Status(415, "Unsupported Media Type");
    pub(super) const HEAD_TOO_LARGE: Status = Status(431, "Request Header Fields Too Large");
    pub(super) const FAILED: Status = Status(500, "Internal Server Error");
    pub(super) const BUSY: Status = Status(503, "Service Unavailable");
}

/// An answer of a few words.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    status: Status,
    message: String,
    headers: Vec<(String, String)>,
    /// Whether the client may still be sending.
    pub unread: bool,
}

impl Refused {
    pub(super) fn new(status: Status, message: &str) -> Refused {
        Refused { status, message: message.to_owned(), headers: Vec::new(), unread: true }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Refused {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn response(&self) -> String {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let text = format!("{}\n", self.message);
        response_head(self.status, "text/plain; charset=utf-8", text.len(), &headers) + &text
    }
}

/// Status line and headers, up to the empty line.
pub(super) fn response_head(
    status: Status,
    content_type: &str,
    length: usize,
    headers: &[(&str, &str)],
) -> String {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
         Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\nConnection: close\r\n",
        status.0, status.1
    );
    if headers.iter().all(|(name, _)| *name != "Content-Security-Policy") {
        head.push_str("Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n");
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head + "\r\n"
}

/// A request's first line and headers.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub method: String,
    target: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Head {
    /// What is asked for, without a query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Every value of a header.
    pub(super) fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.headers.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn is_json(&self) -> bool {
        let mut types = self.all("content-type");
        let essence = |value: &str| value.split(';').next().unwrap_or_default().trim().to_owned();
        let first = types.next().map(essence);
        types.next().is_none() && first.is_some_and(|t| t.eq_ignore_ascii_case("application/json"))
    }

    /// The head that these bytes are, its empty line included; `None` where they are anything else.
    fn parse(bytes: &[u8]) -> Option<Head> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(bytes) != Ok(httparse::Status::Complete(bytes.len())) {
            return None;
        }
        let (method, target) = (request.method?, request.path?);
        if !target.starts_with('/') || !target.is_ascii() {
            return None;
        }
        let own = |header: &httparse::Header<'_>| {
            let value = std::str::from_utf8(header.value).ok()?;
            Some((header.name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers = request.headers.iter().map(own).collect::<Option<Vec<_>>>()?;
        Some(Head { method: method.to_owned(), target: target.to_owned(), headers })
    }

    /// The length of the body.
    fn length(&self) -> Result<usize, Refused> {
        if self.all("transfer-encoding").next().is_some() {
            return Err(Refused::new(Status::NO_LENGTH, "expected a Content-Length"));
        }
        let mut given = self.all("content-length");
        let length = match (given.next(), given.next()) {
            (Some(length), None) => length,
            (None, _) if self.method == "POST" => {
                return Err(Refused::new(Status::NO_LENGTH, "expected a Content-Length"));
            }
            (None, _) => "0",
            _ => return Err(Refused::new(Status::BAD, "expected one Content-Length")),
        };
        if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Refused::new(Status::BAD, "a Content-Length is a number"));
        }
        match length.parse::<usize>() {
            Ok(length) if length <= BODY_BYTES_MAX => Ok(length),
            _ => {
                let message = format!("a question has at most {BODY_BYTES_MAX} bytes");
                Err(Refused::new(Status::TOO_LARGE, &message))
            }
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Request {
    /// Reads one request until `deadline`, the body only once `check` lets the head pass.
    ///
    /// # Errors
    /// What to answer instead; `None` where the client went away.
    pub(super) fn read(
        stream: &TcpStream,
        deadline: Instant,
        check: impl FnOnce(&Head) -> Result<(), Refused>,
    ) -> Result<Request, Option<Refused>> {
        let mut bytes = Vec::new();
        let mut looked = 0;
        let end = loop {
            let from = usize::saturating_sub(looked, 3);
            if let Some(at) = bytes[from..].windows(4).position(|four| four == b"\r\n\r\n") {
                break from + at;
            }
            looked = bytes.len();
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(Some(Refused::new(Status::HEAD_TOO_LARGE, "headers too long")));
            }
            if !more(stream, deadline, &mut bytes)? {
                return Err(None);
            }
        };
        if end > HEAD_BYTES_MAX {
            return Err(Some(Refused::new(Status::HEAD_TOO_LARGE, "headers too long")));
        }
        let Some(head) = Head::parse(&bytes[..end + 4]) else {
            return Err(Some(Refused::new(Status::BAD, "not an HTTP request")));
        };
        check(&head)?;
        let length = head.length()?;
        let mut body = bytes.split_off(end + 4);
        let waits = head.all("expect").any(|value| value.eq_ignore_ascii_case("100-continue"));
        if waits && body.len() < length {
            let mut stream = stream;
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| None)?;
        }
        while body.len() < length {
            if !more(stream, deadline, &mut body)? {
                return Err(None);
            }
        }
        body.truncate(length);
        Ok(Request { head, body })
    }
}

/// Reads what has arrived; false at the end.
fn more(
    stream: &TcpStream,
    deadline: Instant,
    bytes: &mut Vec<u8>,
) -> Result<bool, Option<Refused>> {
    let mut stream = stream;
    let left = deadline.saturating_duration_since(Instant::now());
    let slow = || Some(Refused::new(Status::TOO_SLOW, "the request took too long to arrive"));
    if left.is_zero() {
        return Err(slow());
    }
    stream.set_read_timeout(Some(left)).map_err(|_| None)?;
    let mut buffer = [0; 16 << 10];
    match stream.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(read) => {
            let busy = || Some(Refused::new(Status::BUSY, "out of memory"));
            try_to(|| bytes.try_reserve(read)).map_err(|_| busy())?;
            bytes.extend_from_slice(&buffer[..read]);
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ) =>
        {
            Err(slow())
        }
        Err(_) => Err(None),
    }
}

/// Whether the client closed its side.
pub(super) fn gone(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let gone = matches!(stream.peek(&mut [0]), Ok(0));
    stream.set_nonblocking(false).is_err() || gone
}

/// Takes what a refused client is still sending, for a moment, so that it gets to read why.
pub(super) fn linger(stream: &TcpStream) {
    let mut reader = stream;
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut buffer = [0; 16 << 10];
    let mut taken = 0;
    while let Ok(read) = reader.read(&mut buffer) {
        taken += read;
        if read == 0 || taken > 4 * BODY_BYTES_MAX || Instant::now() > deadline {
            break;
        }
    }
}
