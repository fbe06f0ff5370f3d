//! Whom the server answers: requests that were meant for it.

use std::net::{IpAddr, SocketAddr};

use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};

use super::http::{Refused, all};

/// The hosts that a request may name.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    names: Vec<String>,
    port: u16,
    /// Whether it listens everywhere: then any address in digits will do, but no name that someone
    /// else could point here.
    any_address: bool,
}

impl Guard {
    pub(super) fn new(listen: &str, address: SocketAddr) -> Guard {
        let mut names: Vec<String> =
            ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
        let bare = listen.trim_matches(['[', ']']).to_ascii_lowercase();
        names.push(match bare.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => bare,
        });
        Guard { names, port: address.port(), any_address: address.ip().is_unspecified() }
    }

    /// The `Host`, and the `Origin` where there is one, must be this server's own.
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        let refused = |what: &str| Err(Refused::new(StatusCode::FORBIDDEN, what));
        let hosts: Vec<&str> = all(headers, "host").collect();
        let [host] = hosts.as_slice() else {
            return Err(Refused::new(StatusCode::BAD_REQUEST, "expected one Host header"));
        };
        if !self.knows(host) {
            return refused("this server answers to its own address only");
        }
        for origin in all(headers, "origin") {
            let own = origin.strip_prefix("http://").is_some_and(|o| o.eq_ignore_ascii_case(host));
            if !own {
                return refused("questions come from this server's own page only");
            }
        }
        let foreign = |site: &str| !matches!(site, "same-origin" | "none");
        if method != Method::GET && all(headers, "sec-fetch-site").any(foreign) {
            return refused("questions come from this server's own page only");
        }
        Ok(())
    }

    fn knows(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let port = format!(":{}", self.port);
        let name = match host.strip_suffix(&port) {
            Some(name) => name,
            None if self.port == 80 => &host,
            None => return false,
        };
        let digits = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        self.names.iter().any(|own| own == name) || (self.any_address && digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(listen: &str, address: &str) -> Guard {
        Guard::new(listen, address.parse().expect("an address"))
    }

    #[test]
    fn own_names_with_the_port_and_nothing_else() {
        let guard = guard("127.0.0.1", "127.0.0.1:8017");
        for host in ["localhost:8017", "LOCALHOST:8017", "127.0.0.1:8017", "[::1]:8017"] {
            assert!(guard.knows(host), "{host}");
        }
        for host in [
            "localhost",
            "localhost:80",
            "evil.example:8017",
            "localhost.evil.example:8017",
            "127.0.0.1.evil.example:8017",
            "evil@localhost:8017",
            "192.168.1.2:8017",
            "",
            ":8017",
            "127.0.0.1:8017:8017",
        ] {
            assert!(!guard.knows(host), "{host}");
        }
    }

    #[test]
    fn everywhere_means_addresses_in_digits() {
        let guard = guard("0.0.0.0", "0.0.0.0:9000");
        assert!(guard.knows("192.168.1.2:9000") && guard.knows("localhost:9000"));
        assert!(guard.knows("[fe80::1]:9000"));
        assert!(!guard.knows("evil.example:9000"));
        let named = self::guard("Desk.lan", "192.168.1.2:80");
        assert!(named.knows("desk.lan") && named.knows("desk.lan:80") && !named.knows("other.lan"));
    }
}
