//! A mock server of a scenario, and a client of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use metron_sim::live::client::{
    Dialect, Exchange, Http, Limits, Ran, Speaker, Wish, drive, learn, runtime,
};
use metron_sim::live::mock::{Faults, Mock, Pose};
use metron_sim::runner::{Prepared, prepare};
use metron_sim::scenario::{Document, Files};

pub(crate) fn prepared(text: &str) -> Prepared {
    let document = Document::from_text("live.yaml", text, Files::none()).expect("YAML");
    prepare(&document, None, 1).expect("a scenario")
}

pub(crate) fn pose() -> Pose {
    Pose { model: "m".to_owned(), speed: 1.0, faults: Faults::default(), api_key: None }
}

/// A mock server on a free port of this machine.
pub(crate) fn mock(prepared: &Prepared, pose: Pose) -> Mock {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let scheduler = prepared.experiment.schedulers[0].clone();
    let experiment = Arc::new(prepared.experiment.clone());
    Mock::start(listener, experiment, scheduler, &prepared.requests, pose).expect("it starts")
}

/// Everything that a client got of a scenario's requests from a server there.
pub(crate) struct Got {
    pub(crate) ran: Ran,
    pub(crate) dialect: Dialect,
}

impl Got {
    pub(crate) fn exchange(&self, index: u32) -> &Exchange {
        self.ran.exchanges.iter().find(|exchange| exchange.index == index).expect("it was sent")
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        request_timeout: Duration::from_secs(60),
        horizon: None,
        requests: None,
        tokens: None,
        keeps_text: true,
    }
}

pub(crate) fn bench(prepared: &Prepared, address: SocketAddr, wish: &Wish) -> Got {
    bench_within(prepared, address, wish, limits())
}

pub(crate) fn bench_within(
    prepared: &Prepared,
    address: SocketAddr,
    wish: &Wish,
    limits: Limits,
) -> Got {
    let runtime = runtime().expect("threads");
    let target = format!("http://{address}").parse().expect("a URL");
    let http = Http::new(target, None).expect("no key, no TLS");
    let block_tokens = prepared.experiment.engine.kv_block_tokens;
    let mut speaker = Speaker::new(prepared.experiment.seed, block_tokens, None);
    let dialect =
        runtime.block_on(learn(&http, wish, &mut speaker)).expect("it can be spoken with");
    let voice = (&dialect, &speaker);
    let ran = drive(&runtime, &http, voice, &prepared.requests, limits, &mut |_| true);
    Got { ran, dialect }
}

/// One HTTP request by hand; the whole answer.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    stream.write_all(body.as_bytes()).expect("it reads");
    let mut answer = String::new();
    // A connection that breaks is a part of what is looked at.
    let _ = stream.read_to_string(&mut answer);
    answer
}
