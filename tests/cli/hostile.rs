//! Hostile files at every place that reads one, through the program: exit code 2, no panic, an end,
//! and never more memory than [`MEMORY_KB`].
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Address space that a refusal may take: threads' stacks and the program's own image included.
const MEMORY_KB: u64 = 1_500_000;
/// Longest refusal, bytes: long lines are not quoted.
const STDERR_MAX: usize = 64 << 10;
/// CPU time that a refusal may take, seconds.
const CPU_SECONDS_MAX: u64 = 60;

const SCENARIO: &str = "\
engine: {profile: {fixed: {iteration: 5ms}}, kv_blocks: 1000, max_model_len: 4096}
schedulers: [sarathi]
workload:
  requests: 5
  arrivals: all_at_once
  lengths: {prompt: {fixed: 100}, output: {fixed: 5}}
slo: {ttft: 500ms, tbt: 25ms}
";

const MEASURED: &str =
    r#"{"num_prompt_tokens": [7], "num_output_tokens": [2], "ttft": [0.1], "tbt": [[0.1]]}"#;

struct Ended {
    code: Option<i32>,
    stderr: String,
}

/// Runs the program in `folder` within the limits.
fn run(folder: &Path, args: &[String]) -> Ended {
    run_within(MEMORY_KB, folder, args)
}

fn run_within(kilobytes: u64, folder: &Path, args: &[String]) -> Ended {
    let mut child = Command::new("sh")
        .args([
            "-c",
            &format!("ulimit -v {kilobytes}; ulimit -t {CPU_SECONDS_MAX}; exec \"$@\""),
            "sh",
        ])
        .arg(env!("CARGO_BIN_EXE_metron-sim"))
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut pipe = child.stderr.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("read");
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let code = child.wait().expect("ended").code();
    Ended { code, stderr: reader.join().expect("read") }
}

/// Every way to hand the program a file of this name.
fn places(name: &str) -> Vec<Vec<String>> {
    let set = |set: &str| {
        let set = set.replace("FILE", name);
        vec!["run".to_owned(), "good.yaml".to_owned(), "--set".to_owned(), set]
    };
    let words = |line: &str| line.replace("FILE", name).split(' ').map(str::to_owned).collect();
    let mut places: Vec<Vec<String>> = vec![
        words("run FILE"),
        words("evaluate FILE"),
        words("evaluate good.json --ttft-curve FILE"),
        words("compare FILE good.json"),
        words("merge FILE"),
        words("validate good.yaml --observed FILE"),
        words("calibrate good.yaml --observed FILE"),
    ];
    let modelled = "engine={profile: ideal}";
    for mut more in [
        set("engine.profile={file: FILE}"),
        set("workload.lengths={file: FILE}"),
        set("workload={trace: {file: FILE}}"),
    ] {
        if more[3].starts_with("engine.profile") {
            more.extend(
                ["--set", "model=llama-3.1-8b", "--set", "gpu=h100-sxm"].map(str::to_owned),
            );
        }
        places.push(more);
    }
    for (key, other) in
        [("model={config: FILE}", "gpu=h100-sxm"), ("gpu={file: FILE}", "model=llama-3.1-8b")]
    {
        let mut more = set(key);
        more.extend(["--set", other, "--set", modelled].map(str::to_owned));
        places.push(more);
    }
    places
}

fn prepare(folder: &Path) {
    fs::write(folder.join("good.yaml"), SCENARIO).expect("writable");
    fs::write(folder.join("good.json"), MEASURED).expect("writable");
}

fn utf16(text: &str) -> Vec<u8> {
    [0xfffe_u16.swap_bytes()]
        .into_iter()
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// Contents that are no sound file of any kind.
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let bomb = (1..40).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, i| {
        let list = vec![format!("*a{}", i - 1); 9].join(", ");
        text + &format!("a{i}: &a{i} [{list}]\n")
    });
    vec![
        ("empty", Vec::new()),
        ("newline", b"\n".to_vec()),
        ("nul", vec![0; 4096]),
        ("utf16", utf16(SCENARIO)),
        ("utf16-json", utf16(MEASURED)),
        ("lone-surrogate", b"name: \xed\xa0\x80\n{\"a\": \"\\ud800\"}\n".to_vec()),
        ("json-surrogate", b"{\"backend\": \"\\ud800\"}".to_vec()),
        ("bad-utf8", vec![0xff; 1000]),
        ("deep-lists", "[".repeat(100_000).into_bytes()),
        ("deep-maps", "{\"a\":".repeat(100_000).into_bytes()),
        ("deep-blocks", "- ".repeat(100_000).into_bytes()),
        ("deep-closed", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes()),
        ("alias-bomb", bomb.into_bytes()),
        ("alias-loop", b"a: &a [*a]\n".to_vec()),
        ("merge-bomb", b"a: &a {b: 1}\nc: {<<: [*a, *a, *a], <<: *a}\n".to_vec()),
        ("doubled-keys", b"{\"backend\": 1, \"backend\": 2}".to_vec()),
        ("doubled-yaml", b"seed: 1\nseed: 2\n".to_vec()),
        ("huge-number", b"{\"ttft\": [1e999], \"tbt\": [[18446744073709551616]]}".to_vec()),
        ("huge-digits", format!("seed: {}\n", "9".repeat(100_000)).into_bytes()),
        ("huge-csv", b"arrival_s,prompt_tokens,output_tokens\n1e999,18446744073709551616,-0\n".to_vec()),
        ("negative-csv", b"arrival_s,prompt_tokens,output_tokens\n-1,-1,-1\n".to_vec()),
        ("huge-jsonl", b"{\"timestamp\": 1e999, \"input_length\": 4294967296, \"output_length\": 1e30, \"hash_ids\": []}\n".to_vec()),
        ("header-only", b"arrival_s,prompt_tokens,output_tokens\n".to_vec()),
        ("open-quote", format!("a,b\n\"{}", "x".repeat(2_000_000)).into_bytes()),
        ("many-columns", ",".repeat(1_000_000).into_bytes()),
        ("carriage", b"\r\r\r\r".to_vec()),
        ("script", b"#!/bin/sh\necho no\n".to_vec()),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec()),
        ("bom-only", b"\xef\xbb\xbf".to_vec()),
    ]
}

fn complain(complaints: &mut Vec<String>, what: &str, args: &[String], ended: &Ended) {
    let short = ended.stderr.chars().take(300).collect::<String>();
    if ended.code != Some(2) || ended.stderr.contains("panicked") {
        complaints.push(format!("{what}: {args:?}: {:?}: {short}", ended.code));
    } else if ended.stderr.trim().is_empty() || ended.stderr.len() > STDERR_MAX {
        complaints.push(format!("{what}: {args:?}: says {} bytes", ended.stderr.len()));
    }
}

#[test]
fn hostile_content_is_refused_everywhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    prepare(folder.path());
    let mut complaints = Vec::new();
    for (what, bytes) in corpus() {
        // The extension picks a reader in some places.
        for extension in ["yaml", "json", "csv", "jsonl"] {
            let name = format!("x.{extension}");
            fs::write(folder.path().join(&name), &bytes).expect("writable");
            let all = places(&name);
            // Each extension at a place of its own, and one of them at all.
            let some: Vec<_> = match extension {
                "json" => all,
                "csv" => all.into_iter().filter(|args| args[0] != "merge").collect(),
                "yaml" => vec![all[0].clone(), all[7].clone(), all[11].clone()],
                _ => vec![all[1].clone(), all[9].clone()],
            };
            for args in some {
                let ended = run(folder.path(), &args);
                complain(&mut complaints, what, &args, &ended);
            }
        }
    }
    assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn folders_devices_and_missing_files_are_refused_everywhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    prepare(folder.path());
    fs::create_dir(folder.path().join("d.csv")).expect("writable");
    let mut complaints = Vec::new();
    for name in ["d.csv", "/dev/zero", "missing.csv"] {
        for args in places(name) {
            let ended = run(folder.path(), &args);
            complain(&mut complaints, name, &args, &ended);
        }
    }
    assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn a_line_of_200_megabytes_is_refused_everywhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    prepare(folder.path());
    let mut complaints = Vec::new();
    for (what, head) in [
        ("letters", &b""[..]),
        ("a text", b"{\"backend\": \""),
        ("a row", b"arrival_s,prompt_tokens,output_tokens\n"),
    ] {
        let mut file = fs::File::create(folder.path().join("x.csv")).expect("writable");
        file.write_all(head).expect("room");
        let part = vec![b'7'; 1 << 20];
        for _ in 0..200 {
            file.write_all(&part).expect("room");
        }
        for args in places("x.csv") {
            let ended = run(folder.path(), &args);
            complain(&mut complaints, what, &args, &ended);
        }
    }
    assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), complaints.join("\n"));
}

/// Figures at and past the ends of their types: refused before the run, or run to an end.
#[test]
fn figures_without_measure_are_refused_or_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    prepare(folder.path());
    let refused = [
        "workload.requests=10000000000",
        "workload.requests=1e10",
        "workload.requests=-0",
        "workload.arrivals={poisson: {rate: 1e-9}}",
        "workload.arrivals={poisson: {rate: 1e999}}",
        "workload.duration=1000000000s",
        "workload.lengths.output.fixed=4000000000",
        "workload.lengths.output.fixed=-1",
        "workload.lengths.prompt={zipf: {min: 1, max: 100000000, theta: 51}}",
        "workload.arrivals={closed_loop: {users: 4000000000, think_time: 1s}}",
        "workload.arrivals={closed_loop: {users: 1, think_time: 1000000000s}}",
        "workload.classes=[{name: a, share: 0}]",
        "workload.classes=[{name: a, share: .nan}]",
        "workload.classes=[{name: a, share: .inf}]",
        "workload.max_tokens={factor: 1e300}",
        "workload.prefix_groups={count: 4000000000, tokens: 16, share: 1}",
        "engine.kv_blocks=4000000000",
        "engine.max_model_len=4000000000",
        "engine.kv_block_tokens=4294967295",
        "engine.profile.fixed.iteration=300000000s",
        "replicas=1000000000",
        "seed=18446744073709551616",
        "horizon=1e999s",
        "slo.tbt=99999999999999999999s",
        "slo.fluidity.index=1e999",
        "parallelism={tensor: 4294967295}",
    ];
    let mut complaints = Vec::new();
    for set in refused {
        let args = ["run", "good.yaml", "--set", set].map(str::to_owned);
        complain(&mut complaints, "refused", &args, &run(folder.path(), &args));
    }
    // Each figure alone is fine; together they pass what times or memory hold.
    let together: [&[&str]; 5] = [
        // No request arrives after the duration, but the last one takes its time.
        &[
            "engine.profile.fixed.iteration=3600s",
            "workload={duration: 1h, arrivals: {closed_loop: {users: 2, think_time: 1s}}, \
             lengths: {prompt: {fixed: 100}, output: {fixed: 90000000}}}",
            "engine.max_model_len=100000000",
            "engine.kv_blocks=10000000",
        ],
        &[
            "engine.profile.fixed.iteration=3600s",
            "workload={requests: 9, duration: 1h, arrivals: {closed_loop: {users: 2, think_time: \
             1s}}, lengths: {prompt: {fixed: 100}, output: {fixed: 90000000}}}",
            "engine.max_model_len=100000000",
            "engine.kv_blocks=10000000",
        ],
        &[
            "engine.profile.fixed.iteration=3600s",
            "workload.lengths.output.fixed=10000000",
            "engine.max_model_len=1000000000",
            "engine.kv_blocks=100000000",
        ],
        &["schedulers=[nano-vllm]", "engine.kv_blocks=1073741824"],
        &[
            "schedulers=[vllm-v1]",
            "engine.prefix_caching=true",
            "engine.kv_blocks=1000000",
            "replicas=10000",
        ],
    ];
    for sets in together {
        let mut args = ["run", "good.yaml"].map(str::to_owned).to_vec();
        args.extend(sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
        complain(&mut complaints, "together", &args, &run(folder.path(), &args));
    }
    let fine = [
        "seed=18446744073709551615",
        "replicas=10000",
        "engine.kv_blocks=1073741824",
        "engine.max_model_len=1073741824",
        "engine.profile.fixed.iteration=1ns",
        "slo.tbt=1ns",
        "slo.tbt=300000000s",
        "horizon=300000000s",
        "horizon=1ns",
        "workload.lengths.output.fixed=100000000",
        "workload={duration: 1h, arrivals: {closed_loop: {users: 2, think_time: 1s}}, \
         lengths: {prompt: {fixed: 100}, output: {fixed: 20}}}",
    ];
    for set in fine {
        let args = ["run", "good.yaml", "-q", "--set", set].map(str::to_owned);
        let ended = run(folder.path(), &args);
        if ended.code != Some(0) || !ended.stderr.is_empty() {
            complaints.push(format!("{set}: {:?}: {}", ended.code, ended.stderr));
        }
    }
    assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), complaints.join("\n"));
}

/// Lists with more entries than any scenario needs are refused before an entry is read.
#[test]
fn long_lists_are_refused_before_they_are_walked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let list = |n: usize, entry: &dyn Fn(usize) -> String| -> String {
        format!("[{}]", (0..n).map(entry).collect::<Vec<_>>().join(", "))
    };
    let class = |i: usize| format!("{{name: c{i}, share: 1, slo: {{tbt: 20ms}}}}");
    let long = [
        ("workload.classes", list(12_000, &class), 1000),
        ("schedulers", list(12_000, &|_| "sarathi".to_owned()), 256),
        ("pools", list(12_000, &|i| format!("{{name: p{i}, replicas: 1}}")), 256),
        (
            "workload.arrivals",
            format!("{{piecewise: {}}}", list(12_000, &|_| "{for: 1s, rate: 2}".to_owned())),
            10_000,
        ),
        (
            "workload.lengths.prompt",
            format!(
                "{{quantiles: {{{}}}}}",
                (0..12_000)
                    .map(|i| format!("{}: {}", i as f64 / 12_000.0, i + 1))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            1000,
        ),
        (
            "router",
            format!("{{class-to-pool: {{chat: {}}}}}", list(90_000, &|_| "1".to_owned())),
            10_000,
        ),
        (
            "engine.profile",
            format!("{{fixed: {{iteration: 1ms, x: {}}}}}", list(90_000, &|_| "{}".to_owned())),
            10_000,
        ),
    ];
    let mut complaints = Vec::new();
    for (path, value, most) in long {
        fs::write(folder.path().join("good.yaml"), SCENARIO).expect("writable");
        let mut text = SCENARIO.to_owned();
        match path.split_once('.') {
            Some(("workload", key)) => {
                let own = format!("  {key}: {value}\n");
                text = text.replace(
                    "  arrivals: all_at_once\n",
                    if key == "arrivals" { &own } else { "  arrivals: all_at_once\n" },
                );
                if key == "classes" {
                    text = text.replace("workload:\n", &format!("workload:\n{own}"));
                } else if key == "lengths.prompt" {
                    text = text.replace("{fixed: 100}", &value);
                }
            }
            Some((_, _)) => text = text.replace("{fixed: {iteration: 5ms}}", &value),
            None if path == "schedulers" => text = text.replace("[sarathi]", &value),
            None => text.push_str(&format!("{path}: {value}\n")),
        }
        fs::write(folder.path().join("long.yaml"), text).expect("writable");
        let args = ["run", "long.yaml"].map(str::to_owned);
        let ended = run(folder.path(), &args);
        complain(&mut complaints, path, &args, &ended);
        let told = format!("expected at most {most}");
        if !ended.stderr.contains(&told) {
            complaints
                .push(format!("{path}: {}", ended.stderr.chars().take(400).collect::<String>()));
        }
    }
    assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), complaints.join("\n"));
}

/// A file can name a prompt of two billion tokens: it is turned away, and nothing is made for it.
#[test]
fn a_huge_prompt_in_a_file_is_rejected() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/huge");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in ["huge-prompt.yaml", "huge-prompt.csv"] {
        fs::copy(data.join(file), folder.path().join(file)).expect("copied");
    }
    let args = ["run", "huge-prompt.yaml", "-q", "--requests", "rows.csv"].map(str::to_owned);
    let ended = run(folder.path(), &args);
    assert!(matches!(ended.code, Some(0 | 3)), "{:?}: {}", ended.code, ended.stderr);
    let rows = fs::read_to_string(folder.path().join("rows.csv")).expect("written");
    let (head, rows) = rows.split_once('\n').expect("a head");
    let status = head.split(',').position(|name| name == "status").expect("a column");
    let ends: Vec<&str> = rows.lines().filter_map(|row| row.split(',').nth(status)).collect();
    assert_eq!(ends, ["rejected", "completed"]);
}

#[test]
fn a_run_that_memory_cannot_hold_is_refused_in_words() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    prepare(folder.path());
    let sets = [
        "schedulers=[vllm-v1]",
        "engine.prefix_caching=true",
        // Each takes 32 bytes.
        "engine.kv_blocks=60000000",
    ];
    let mut args = ["run", "good.yaml"].map(str::to_owned).to_vec();
    args.extend(sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
    let ended = run(folder.path(), &args);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("out of memory"), "{}", ended.stderr);
    assert!(ended.stderr.contains("kv_blocks"), "{}", ended.stderr);
    // Runs that go on at once, each of which would fit.
    let sets = [
        "schedulers=[vllm-v1, nano-vllm, sglang]",
        "engine.prefix_caching=true",
        "engine.kv_blocks=18000000",
    ];
    let mut args = ["run", "good.yaml", "--jobs", "3"].map(str::to_owned).to_vec();
    args.extend(sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
    let ended = run(folder.path(), &args);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("3 runs at once take"), "{}", ended.stderr);
    // Requests are counted before they are drawn.
    let many = "workload={requests: 40000000, arrivals: all_at_once, lengths: {prompt: {fixed: 5}, \
                output: {fixed: 5}}}";
    let args = ["run", "good.yaml", "--set", many].map(str::to_owned);
    let began = std::time::Instant::now();
    let ended = run(folder.path(), &args);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("40000000 requests take"), "{}", ended.stderr);
    assert!(began.elapsed().as_secs() < 20, "they were drawn");
    // Answers of so many tokens are refused, however they are spread.
    let many = [
        "workload={requests: 1000000, arrivals: all_at_once, lengths: {prompt: {fixed: 1}, \
                 output: {fixed: 1000000}}}",
        "engine.max_model_len=1000002",
        "engine.kv_blocks=1000000",
        "engine.profile.fixed.iteration=1ns",
    ];
    let mut args = ["run", "good.yaml"].map(str::to_owned).to_vec();
    args.extend(many.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
    let ended = run(folder.path(), &args);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("output tokens together"), "{}", ended.stderr);
}

/// Where the system has no memory left, the program says so and ends as for an I/O error.
#[test]
fn out_of_memory_is_said_in_words() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    prepare(at);
    let args = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    let many = "good.yaml --set workload.requests=150000";
    let tokens = run(at, &args(&format!("run {many} --format quiet --tokens t.csv")));
    assert_eq!(tokens.code, Some(0), "{}", tokens.stderr);
    for line in [
        format!("run {many} --format json -o out.json"),
        format!("run {many} --report out.html"),
        format!("run {many} --timeline out.json"),
        format!("explain {many}"),
        format!("sweep {many} --vary seed=1,2,3 --jobs 3"),
        "evaluate t.csv --ttft 500ms".to_owned(),
    ] {
        // Less and less, so that it ends at one place after the other.
        let mut said = 0;
        for megabytes in [100, 70, 50] {
            let ended = run_within(megabytes << 10, at, &args(&line));
            let told = format!("{line} in {megabytes} MB: {:?}, {}", ended.code, ended.stderr);
            // A run may be known beforehand to need too much.
            assert!(matches!(ended.code, Some(0..=2)), "{told}");
            assert!(!ended.stderr.contains("memory allocation of"), "{told}");
            said += usize::from(ended.stderr.contains("out of memory"));
        }
        assert!(said > 0, "{line}: memory never ran out");
        let left = fs::read_dir(at).expect("there").map(|one| one.expect("one").file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".tmp")).collect();
        assert!(left.is_empty(), "{line}: {left:?}");
    }
}
