//! The playground's server, attacked as a hostile neighbour would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lzma_rust2::XzReader;

const QUESTION: &str = r#"{"op":"simulate","scenario":{"text":"seed: 1\nmodel: llama-3.1-8b\ngpu: h100-sxm\nschedulers: [sarathi]\nworkload: {requests: 30, arrivals: {poisson: {rate: 3}}, lengths: {prompt: {fixed: 500}, output: {fixed: 20}}}\n"}}"#;

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
        command.arg("serve").args(args);
        Server::of(command)
    }

    /// One that has so much address space, the stacks of its threads and its own image included.
    #[cfg(target_os = "linux")]
    fn within(kilobytes: u64) -> Server {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -v {kilobytes}; exec \"$@\""), "sh"])
            .args([env!("CARGO_BIN_EXE_metron-sim"), "serve"]);
        Server::of(command)
    }

    fn of(mut command: Command) -> Server {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("says where it is");
        let port = line.trim().trim_end_matches('/').rsplit(':').next().expect("a port");
        let port = port.parse().unwrap_or_else(|_| panic!("no port in {line:?}"));
        Server { child, port }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        // Only so that a server that never answers fails the test instead of hanging it.
        stream.set_read_timeout(Some(Duration::from_secs(600))).expect("set");
        stream
    }

    /// What comes back for these bytes, read to the end.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // A server that refuses may close before all is sent.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, target: &str) -> String {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host()).as_bytes())
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn post(&self, headers: &str, body: &str) -> String {
        let head =
            format!("POST /answer HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        self.send(format!("{head}{body}").as_bytes())
    }

    fn ask(&self, body: &str) -> String {
        self.post(&format!("Host: {}\r\nContent-Type: application/json\r\n", self.host()), body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {answer:.200}"))
}

#[test]
fn the_page_and_its_answers() {
    let server = Server::start(&[]);
    let page = server.get("/");
    assert_eq!(status(&page), 200);
    let head = page.split("\r\n\r\n").next().expect("a head").to_lowercase();
    for header in [
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "connection: close",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
    assert!(!head.contains("access-control"), "{head}");
    let answer = server.ask(QUESTION);
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("{\"ok\":true"), "{answer:.300}");
    assert_eq!(status(&server.get("/?scenario=/etc/passwd")), 200);
    let head = server
        .send(format!("HEAD / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", server.port).as_bytes());
    assert!(status(&head) == 200 && head.ends_with("\r\n\r\n"), "{head}");
    // The empty body of a question is a question too.
    assert!(server.ask("").contains("\"ok\":false"));
}

#[test]
fn foreign_hosts_and_origins_are_refused() {
    let server = Server::start(&[]);
    let port = server.port;
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "localhost",
        "127.0.0.1:1",
        &format!("localhost.evil.example:{port}"),
        "",
    ] {
        let get = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(status(&server.send(get.as_bytes())), 403, "{host}");
    }
    assert_eq!(status(&server.send(b"GET / HTTP/1.1\r\n\r\n")), 400, "no host");
    let both = format!("GET / HTTP/1.1\r\nHost: evil.example\r\nHost: localhost:{port}\r\n\r\n");
    assert_eq!(status(&server.send(both.as_bytes())), 400);
    let json = "Content-Type: application/json\r\n";
    for origin in [
        "http://evil.example",
        "null",
        "https://127.0.0.1",
        &format!("http://localhost:{}", port.wrapping_add(1)),
        &format!("http://localhost:{port}"),
    ] {
        let headers = format!("Host: 127.0.0.1:{port}\r\nOrigin: {origin}\r\n{json}");
        assert_eq!(status(&server.post(&headers, QUESTION)), 403, "{origin}");
    }
    let headers = format!("Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site\r\n{json}");
    assert_eq!(status(&server.post(&headers, QUESTION)), 403);
    let headers = format!(
        "Host: [::1]:{port}\r\nOrigin: http://[::1]:{port}\r\nSec-Fetch-Site: same-origin\r\n{json}"
    );
    assert_eq!(status(&server.post(&headers, QUESTION)), 200);
}

#[test]
fn no_path_leads_to_a_file() {
    let server = Server::start(&[]);
    for target in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/answer/../../etc/passwd",
        "/.git/config",
        "/web/base.js",
        "/%00",
        "/answer%00",
    ] {
        let answer = server.get(target);
        assert_eq!(status(&answer), 404, "{target}");
        assert!(!answer.contains("root:"));
    }
    for target in ["http://127.0.0.1/", "*", "\\..\\etc", "etc/passwd"] {
        assert_eq!(status(&server.get(target)), 400, "{target}");
    }
    let passwd = QUESTION.replace("requests: 30", "trace: {file: /etc/passwd}");
    let answer = server.ask(&passwd);
    assert!(answer.contains("\"ok\":false") && !answer.contains("root:"), "{answer}");
}

#[test]
fn wrong_methods_types_and_lengths() {
    let server = Server::start(&[]);
    let host = format!("Host: {}\r\n", server.host());
    let json = "Content-Type: application/json\r\n";
    for method in ["PUT", "DELETE", "OPTIONS", "TRACE", "POST", "get"] {
        let request = format!("{method} / HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n");
        let answer = server.send(request.as_bytes());
        assert_eq!(status(&answer), 405, "{method}");
        assert!(answer.contains("Allow: GET, HEAD"));
    }
    assert_eq!(status(&server.get("/answer")), 405);
    for kind in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
    ] {
        assert_eq!(status(&server.post(&format!("{host}{kind}"), QUESTION)), 415, "{kind}");
    }
    let charset = format!("{host}Content-Type: application/json; charset=utf-8\r\n");
    assert_eq!(status(&server.post(&charset, QUESTION)), 200);
    let raw = |headers: &str| {
        server.send(format!("POST /answer HTTP/1.1\r\n{host}{json}{headers}\r\n{{}}").as_bytes())
    };
    assert_eq!(status(&raw("")), 411);
    assert_eq!(status(&raw("Transfer-Encoding: chunked\r\n")), 411);
    assert_eq!(status(&raw("Content-Length: 2\r\nContent-Length: 3\r\n")), 400);
    assert_eq!(status(&raw("Content-Length: -2\r\n")), 400);
    assert_eq!(status(&raw("Content-Length: 0x2\r\n")), 400);
    for large in ["99999999", "999999999999999999999999999"] {
        let status = status(&raw(&format!("Content-Length: {large}\r\n")));
        assert!([400, 413].contains(&status), "{large}: {status}");
    }
    let sent = server.ask(&"x".repeat(3 << 20));
    assert_eq!(status(&sent), 413);
    assert_eq!(
        status(&server.post(&format!("{host}{json}X-Long: {}\r\n", "x".repeat(20_000)), "{}")),
        431
    );
    assert_eq!(
        status(&server.post(&format!("{host}{json}{}", "X-Many: 1\r\n".repeat(200)), "{}")),
        431
    );
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1 extra\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        b"\xff\xfe\xfd\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    ] {
        assert_eq!(status(&server.send(garbage)), 400, "{garbage:?}");
    }
    let not_text = [
        b"POST /answer HTTP/1.1\r\n",
        host.as_bytes(),
        json.as_bytes(),
        b"Content-Length: 3\r\n\r\n\xff\xfe\xfd",
    ]
    .concat();
    assert_eq!(status(&server.send(&not_text)), 400);
    assert_eq!(status(&server.get("/")), 200, "still there");
}

#[test]
fn slow_clients_hold_nobody_up_and_are_cut_off() {
    let server = Server::start(&[]);
    let slow = |n: usize| {
        let mut stream = server.connect();
        let part = if n.is_multiple_of(2) {
            "GET / HT".to_owned()
        } else {
            format!(
                "POST /answer HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{",
                server.host()
            )
        };
        stream.write_all(part.as_bytes()).expect("sent");
        stream
    };
    // Answered while they are all still waited for. On a busy machine they may be cut off before.
    let answered_beside = || {
        let slow: Vec<TcpStream> = (0..40).map(slow).collect();
        assert_eq!(status(&server.ask(QUESTION)), 200);
        slow.iter().all(waited_for)
    };
    assert!((0..10).any(|_| answered_beside()), "slow clients are waited for first");
    // A byte now and then does not keep a connection open.
    let mut drip = slow(1);
    let mut byte = [0; 512];
    drip.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
    let answer = (0..1000).find_map(|_| {
        let _ = drip.write_all(b" ");
        let read = drip.read(&mut byte).ok()?;
        Some(String::from_utf8_lossy(&byte[..read]).into_owned())
    });
    let answer = answer.expect("cut off");
    assert!(answer.is_empty() || status(&answer) == 408, "{answer}");
}

/// Whether the server has neither answered on this connection nor closed it.
fn waited_for(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("set");
    let peeked = stream.peek(&mut [0]);
    peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn fifty_at_once_are_all_answered() {
    let server = Server::start(&[]);
    // A server that is too busy says to come again.
    let ask = || loop {
        match status(&server.ask(QUESTION)) {
            503 => {}
            other => return other,
        }
    };
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..50).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|one| one.join().expect("answered")).collect()
    });
    assert_eq!(answers, vec![200; 50]);
}

#[test]
fn a_scenario_names_its_own_files_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("own.csv"), "prompt_tokens,output_tokens\n100,10\n")
        .expect("written");
    std::fs::write(folder.path().join("other.csv"), "prompt_tokens,output_tokens\n200,20\n")
        .expect("written");
    let text = "seed: 1\nmodel: llama-3.1-8b\ngpu: h100-sxm\nschedulers: [sarathi]\nworkload:\n  requests: 5\n  arrivals: {all_at_once: {}}\n  lengths: {file: own.csv}\n";
    let path = folder.path().join("scenario.yaml");
    std::fs::write(&path, text).expect("written");
    let server = Server::start(&[path.to_str().expect("text")]);
    assert!(server.get("/").contains("own.csv"), "the page begins with it");
    let question =
        |text: &str| serde_json::json!({"op": "simulate", "scenario": {"text": text}}).to_string();
    assert!(server.ask(&question(text)).contains("{\"ok\":true"));
    for other in ["other.csv", "./own.csv", "/etc/passwd"] {
        let answer = server.ask(&question(&text.replace("own.csv", other)));
        assert!(answer.contains("\"ok\":false"), "{other}");
    }
}

#[test]
fn other_addresses_only_when_asked_and_with_a_warning() {
    let mut everywhere = Server::start(&["--listen", "0.0.0.0"]);
    assert_eq!(status(&everywhere.get("/")), 200);
    let evil = format!("GET / HTTP/1.1\r\nHost: evil.example:{}\r\n\r\n", everywhere.port);
    assert_eq!(status(&everywhere.send(evil.as_bytes())), 403);
    everywhere.child.kill().expect("ended");
    let mut said = String::new();
    everywhere.child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert!(said.contains("everybody who can reach this address"), "{said}");
    let taken = Server::start(&[]);
    let again = Command::new(env!("CARGO_BIN_EXE_metron-sim"))
        .args(["serve", "--port", &taken.port.to_string()])
        .output()
        .expect("runs");
    assert_eq!(again.status.code(), Some(2), "the port is taken");
    assert!(String::from_utf8_lossy(&again.stderr).contains("--port"));
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_with_130() {
    let mut server = Server::start(&[]);
    assert_eq!(status(&server.get("/")), 200);
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("sent").success());
    assert_eq!(server.child.wait().expect("ends").code(), Some(130));
}

#[test]
fn the_page_is_written_with_its_engine_inside() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = folder.path().join("engine.wasm");
    std::fs::write(&module, b"\0asm\x01\0\0\0").expect("written");
    let site = folder.path().join("site/deep");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
        command.arg("serve").args(args).output().expect("runs")
    };
    let (module, site_text) = (module.to_str().expect("text"), site.to_str().expect("text"));
    let written = run(&["--export", site_text, "--wasm", module]);
    assert_eq!(written.status.code(), Some(0), "{}", String::from_utf8_lossy(&written.stderr));
    let page = std::fs::read_to_string(site.join("index.html")).expect("there");
    let (_, rest) = page.split_once(" id=\"module\">").expect("an engine");
    let (packed, _) = rest.split_once('<').expect("its end");
    let packed = STANDARD.decode(packed.trim()).expect("base64");
    let mut unpacked = Vec::new();
    XzReader::new(&packed[..], false).read_to_end(&mut unpacked).expect("an xz file");
    assert_eq!(unpacked, std::fs::read(module).expect("there"));
    assert!(!page.contains("canonical") && !site.join("preview.png").exists());
    let address = ["--export", site_text, "--wasm", module, "--address"];
    let at = |address_of: &str| run(&[&address[..], &[address_of][..]].concat());
    assert_eq!(at("https://example.org/sim").status.code(), Some(0));
    let named = std::fs::read_to_string(site.join("index.html")).expect("there");
    assert!(named.contains("<link rel=\"canonical\" href=\"https://example.org/sim/\">"));
    let preview = std::fs::read(site.join("preview.png")).expect("there");
    assert_eq!(&preview[1..4], b"PNG");
    for none in ["example.org", "https://", "ftp://example.org", "https://example.org/a b"] {
        let refused = at(none);
        assert_eq!(refused.status.code(), Some(2), "{none}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("--address") && said.contains("such as"), "{said}");
    }
    assert!(page.contains("'wasm-unsafe-eval'") && page.contains("connect-src 'none'"));
    assert_eq!(run(&["--export", site_text]).status.code(), Some(2));
    let text = folder.path().join("no.wasm");
    std::fs::write(&text, "hello").expect("written");
    let refused = run(&["--export", site_text, "--wasm", text.to_str().expect("text")]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not a WebAssembly module"));
}

/// Questions that once took all memory, or kept everybody else out.
#[cfg(target_os = "linux")]
const GREEDY: [&str; 2] = [
    include_str!("../data/server/server-kill.json"),
    include_str!("../data/server/server-heavy.json"),
];

/// Address space of a server that is not to need more.
#[cfg(target_os = "linux")]
const MEMORY_KB: u64 = 1_800_000;

#[cfg(target_os = "linux")]
#[test]
fn greedy_questions_are_refused_before_they_take_anything() {
    let server = Server::within(MEMORY_KB);
    for question in GREEDY {
        let answer = server.ask(question);
        assert_eq!(status(&answer), 200, "{answer:.300}");
        let body = answer.split("\r\n\r\n").nth(1).expect("a body");
        let told: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(told["ok"], serde_json::json!(false));
        let problem = &told["problems"][0];
        assert_eq!(problem["path"], "engine.kv_blocks", "{problem}");
        let message = problem["message"].as_str().expect("words");
        assert!(message.contains("KV blocks") && message.contains("4000000"), "{message}");
    }
    assert!(server.ask(QUESTION).contains("{\"ok\":true"));
}

/// Figures at and beyond the ends of what is sensible, each for some field.
#[cfg(target_os = "linux")]
const EXTREMES: [(&str, &[&str]); 22] = [
    ("workload.requests", &["1", "300", "19999", "20000", "50000000"]),
    (
        "workload.arrivals",
        &[
            "all_at_once",
            "{closed_loop: {users: 99999}}",
            "{poisson: {rate: 1e6}}",
            "{piecewise: [{for: 1000000s, rate: 0.01}]}",
            "{gamma: {rate: 5, cv: 50}}",
        ],
    ),
    (
        "workload.lengths.prompt",
        &[
            "{fixed: 999999}",
            "{fixed: 1}",
            "{lognormal: {mean: 900, sigma: 9}}",
            "{zipf: {min: 1, max: 1000000, theta: 0.1}}",
        ],
    ),
    (
        "workload.lengths.output",
        &[
            "{fixed: 399999}",
            "{fixed: 1}",
            "{lognormal: {mean: 900, sigma: 9}}",
            "{geometric: {mean: 19000}}",
        ],
    ),
    (
        "workload.prefix_groups",
        &["{count: 100000, tokens: 600, share: 1}", "{count: 3, tokens: 1000000}"],
    ),
    ("workload.max_tokens", &["model", "{factor: 1e6}"]),
    ("workload.classes", &["[{name: a, share: 1e9}, {name: b, share: 1e-9}]"]),
    ("replicas", &["1", "13", "64", "65"]),
    ("router", &["round-robin", "least-requests", "least-kv"]),
    ("engine.kv_blocks", &["1", "300", "4000000", "20000000"]),
    ("engine.kv_block_tokens", &["1", "16", "65536"]),
    ("engine.max_model_len", &["2", "4096", "1000001", "1000000000"]),
    ("engine.prefix_caching", &["true", "false"]),
    ("engine.profile", &["{fixed: {iteration: 1ns}}", "{fixed: {iteration: 3600s}}", "ideal"]),
    (
        "schedulers",
        &[
            "[vllm-v1, nano-vllm]",
            "[{sarathi: {chunk_size: 1}}]",
            "[orca]",
            "[lightllm, sglang]",
            "[{llama-cpp: {n_parallel: 65536, kv_unified: true}}]",
            "[vllm-v0, tensorrt-llm, tgi]",
        ],
    ),
    ("parallelism", &["{pipeline: 8}", "{tensor: 8}", "{data: 64}", "{pipeline: 4294967295}"]),
    ("horizon", &["1ns", "10s", "300000000s"]),
    ("slo.tbt", &["1ns", "300000000s"]),
    (
        "slo.ttft",
        &["{prefill_curve_plus: 1ms}", "1ns", "{prefill_curve_plus: {slack: 1ms, of: sarathi}}"],
    ),
    ("model", &["llama-3.1-8b", "qwen3-235b-a22b"]),
    ("gpu", &["h100-sxm", "l40s"]),
    ("seed", &["0", "18446744073709551615"]),
];

/// A question with some fields at their extremes, always the same for a number.
#[cfg(target_os = "linux")]
fn mutated(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |most: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % most as u64) as usize
    };
    let mut question: serde_json::Value = match below(4) {
        0 => serde_json::from_str(GREEDY[below(2)]).expect("JSON"),
        _ => serde_json::from_str(QUESTION).expect("JSON"),
    };
    let sets: Vec<String> = (0..1 + below(4))
        .map(|_| {
            let (path, values) = EXTREMES[below(EXTREMES.len())];
            format!("{path}={}", values[below(values.len())])
        })
        .collect();
    question["scenario"]["set"] = serde_json::json!(sets);
    match below(5) {
        0 => {
            question = serde_json::json!({"op": "cures", "scenario": question["scenario"],
                                          "scheduler": below(2), "request": below(9), "token": below(9)});
        }
        1 => {
            question = serde_json::json!({"op": "steps", "scenario": question["scenario"],
                                          "scheduler": 0, "replica": below(64), "count": 400});
        }
        _ => {}
    }
    question.to_string()
}

#[cfg(target_os = "linux")]
#[test]
fn mutated_questions_leave_the_server_alive_and_quick_for_others() {
    let server = Server::within(MEMORY_KB);
    let next = std::sync::atomic::AtomicU64::new(0);
    let storm = || {
        let mut answered = Vec::new();
        loop {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if number >= 120 {
                return answered;
            }
            let answer = server.ask(&mutated(number));
            assert!(answer.starts_with("HTTP/1.1 "), "no answer to {}", mutated(number));
            answered.push((number, status(&answer)));
            // A light question beside it is answered.
            if number.is_multiple_of(16) {
                let light = server.ask(QUESTION);
                assert!(light.contains("{\"ok\":true"), "beside {}: {light:.300}", mutated(number));
            }
        }
    };
    let answered: Vec<(u64, u16)> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(storm)).collect();
        all.into_iter().flat_map(|one| one.join().expect("answered")).collect()
    });
    for &(number, status) in &answered {
        assert!([200, 503].contains(&status), "{status}: {}", mutated(number));
    }
    let busy = answered.iter().filter(|(_, status)| *status == 503).count();
    assert!(busy < answered.len() / 4, "{busy} of {} were turned away", answered.len());
    assert!(server.ask(QUESTION).contains("{\"ok\":true"), "still there");
}

const PLAN: &str = r#"{"op":"plan","asked":{"model":"llama-3.1-8b","gpus":"GPUS","prompt":"500","output":"20","ttft":"600ms","tokens_per_s":"30","rate":"4","tp":"1","seeds":"1"}}"#;

/// How far a plan has come comes before its answer, and a page that goes away ends the work on it, so
/// that the next one has its turn.
#[test]
fn a_plan_is_told_as_it_comes_and_ends_with_its_page() {
    let server = Server::start(&[]);
    let small = PLAN.replace("GPUS", "l40s");
    let answer = server.ask(&small);
    assert_eq!(status(&answer), 200);
    assert!(answer.to_lowercase().contains("content-type: application/x-ndjson"), "{answer:.400}");
    assert!(answer.matches("{\"told\":{").count() > 3, "{answer:.600}");
    let last = answer.rfind("{\"ok\":true").expect("an answer");
    assert!(answer.rfind("{\"told\":{") < Some(last), "the answer is the last line");
    // A question that cannot be taken is answered at once.
    let wrong = server.ask(&PLAN.replace("GPUS", "h1000"));
    assert!(wrong.to_lowercase().contains("content-type: application/json"), "{wrong:.400}");
    let large = PLAN.replace("GPUS", "all");
    let mut stream = server.connect();
    let head = format!(
        "POST /answer HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        server.host(),
        large.len()
    );
    stream.write_all(format!("{head}{large}").as_bytes()).expect("sent");
    let mut some = [0; 64];
    stream.read_exact(&mut some).expect("it has begun");
    drop(stream);
    assert_eq!(status(&server.ask(&small)), 200);
}
