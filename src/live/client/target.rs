//! Where a server is.

use std::str::FromStr;

use hyper::Uri;
use hyper::http::uri::Scheme;

/// A server's address, and the path before `/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether the connection is to be encrypted.
    pub tls: bool,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What comes before `/v1`, without a slash at its end.
    pub prefix: String,
}

/// Why a text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {why}; expected a URL such as http://127.0.0.1:8000")]
pub struct TargetError {
    url: String,
    why: String,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Target, TargetError> {
        let wrong = |why: &str| TargetError { url: url.to_owned(), why: why.to_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong("this is no URL"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(_) => return Err(wrong("only http and https are spoken")),
            None => return Err(wrong("http:// or https:// is missing")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("there is no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("keys come from an environment variable, not from the URL"));
        }
        if uri.query().is_some() {
            return Err(wrong("a query has no place here"));
        }
        let path = uri.path().trim_end_matches('/');
        // Whoever copies it from a client's settings has one of these at its end.
        let ends = ["/chat/completions", "/completions", "/models", "/v1"];
        let path = ends.iter().fold(path, |path, end| path.strip_suffix(end).unwrap_or(path));
        Ok(Target {
            tls,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            prefix: path.to_owned(),
        })
    }
}

impl Target {
    /// The `Host` header.
    pub(super) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(out, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_end_where_its_owner_found_it() {
        for (url, said) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
            ("http://localhost:8000/v1", "http://localhost:8000"),
            ("http://localhost:8000/v1/", "http://localhost:8000"),
            ("http://h/v1/chat/completions", "http://h"),
            ("https://api.example.com/openai/v1", "https://api.example.com/openai"),
            ("http://[::1]:9/v1", "http://[::1]:9"),
        ] {
            assert_eq!(url.parse::<Target>().map(|target| target.to_string()), Ok(said.to_owned()));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_in_words() {
        for url in ["127.0.0.1:8000", "ftp://h", "http://key@h", "http://h?x=1", "", "http://"] {
            assert!(url.parse::<Target>().is_err(), "{url}");
        }
    }
}
