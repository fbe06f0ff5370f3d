//! Files that contradict themselves: each is refused or said aloud, and never judged.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::{Value, json};

fn formats(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats").join(name)
}

/// Evaluates a file of these bytes: its exit code, its runs and what was said of it.
fn evaluate(name: &str, bytes: &[u8]) -> (i32, Vec<Value>, String) {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join(name);
    fs::write(&path, bytes).expect("writable");
    if name.ends_with(".csv") && bytes.starts_with(b"request_id") {
        let header = formats("blis/blis_tracev2.yaml");
        fs::copy(header, path.with_extension("yaml")).expect("a header");
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    let asked = ["--format", "json", "--tbt", "100ms", "--ttft", "1s"];
    let output = program.arg("evaluate").arg(&path).args(asked).output().expect("it runs");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8(output.stderr).expect("text");
    let said = said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    let runs = result["runs"].as_array().cloned().unwrap_or_default();
    (output.status.code().expect("an exit code"), runs, said)
}

/// Asserts that a file is refused, or gets no verdict, and that `words` are said.
fn wrong(what: &str, name: &str, bytes: &[u8], words: &str) {
    let (code, runs, said) = evaluate(name, bytes);
    match code {
        0 => {
            let last = runs.last().expect("a run");
            assert!(last["slo"]["met"].is_null(), "{what}: judged; {said}");
            assert!(said.contains("contradicts itself"), "{what}: {said}");
        }
        code => assert_eq!(code, 2, "{what}: {said}"),
    }
    assert!(said.contains(words), "{what}: {said}");
}

/// Asserts that nothing is said of a file.
fn sound(what: &str, name: &str, bytes: &[u8]) {
    let (code, _, said) = evaluate(name, bytes);
    assert_eq!(code, 0, "{what}: {said}");
    assert!(!said.contains("contradicts itself"), "{what}: {said}");
}

fn documents(text: &str) -> Vec<Value> {
    let stream = serde_json::Deserializer::from_str(text).into_iter();
    stream.map(|value| value.expect("JSON")).collect()
}

fn written(documents: &[Value]) -> Vec<u8> {
    documents.iter().map(|document| format!("{document}\n")).collect::<String>().into_bytes()
}

/// Sets a value, at a pointer whose `*` stands for every entry of a list or member of an object.
fn set(value: &mut Value, pointer: &str, to: &dyn Fn(&Value) -> Value) {
    let Some((key, rest)) = pointer.split_once('/') else {
        *value = to(value);
        return;
    };
    assert_eq!(key, "");
    let (key, rest) = match rest.find('/') {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let rest = if rest.is_empty() { String::new() } else { rest.to_owned() };
    match value {
        Value::Array(items) if key == "*" => items.iter_mut().for_each(|item| set(item, &rest, to)),
        Value::Array(items) => set(&mut items[key.parse::<usize>().expect("an index")], &rest, to),
        Value::Object(members) => {
            set(members.entry(key.to_owned()).or_insert(Value::Null), &rest, to);
        }
        _ => panic!("nothing at {pointer}"),
    }
}

enum To {
    Is(Value),
    Times(f64),
}
use To::{Is, Times};

fn changed(of: &mut Value, pointer: &str, to: &To) {
    set(of, pointer, &|old| match to {
        Is(value) => value.clone(),
        // Whole numbers stay whole.
        Times(factor) => match old.as_u64() {
            Some(count) => Value::from((count as f64 * factor) as u64),
            None => Value::from(old.as_f64().expect("a number") * factor),
        },
    });
}

/// A file, one edit, and what must be said.
fn table(name: &str, rows: &[(&str, To, &str)]) {
    let whole = documents(&fs::read_to_string(formats(name)).expect("there"));
    let file = name.rsplit('/').next().expect("a name");
    sound(name, file, &written(&whole));
    for (pointer, to, words) in rows {
        let mut edited = whole.clone();
        edited.iter_mut().for_each(|document| changed(document, pointer, to));
        wrong(&format!("{name} {pointer}"), file, &written(&edited), words);
    }
}

#[test]
fn lengths_that_times_belie() {
    let none = Is(json!([0, 0, 0, 0, 0, 0, 0, 0]));
    table(
        "vllm/detailed.json",
        &[
            ("/output_lens", none, "8 of 8 requests have no output token, and gaps"),
            ("/output_lens/3", Is(0.into()), "1 of 8 requests have no output token, and gaps"),
            ("/queue_times/*", Is(100000.0.into()), "a request waited 100,000 s to be sent"),
        ],
    );
    table(
        "sglang/detailed.jsonl",
        &[
            ("/output_lens/3", Is(0.into()), "1 of 8 requests have no output token, and gaps"),
            ("/concurrency", Is(468.4.into()), "`concurrency` is 468.4"),
        ],
    );
    table(
        "etalon/request_level_metrics.json",
        &[
            ("/tpot", Is(json!([0.065])), "1 tpot but 3 ttft"),
            ("/output_throughput", Is(json!([14.7, 10.2])), "2 output_throughput but 3 ttft"),
            ("/deadline_miss_rate", Is(json!([])), "0 deadline_miss_rate but 3 ttft"),
            ("/output_throughput/*", Is(14705.0.into()), "`output_throughput` is not what"),
        ],
    );
}

#[test]
fn numbers_that_are_none() {
    table(
        "vllm/detailed.json",
        &[
            ("/total_output_tokens", Is("960".into()), "`total_output_tokens` is 960"),
            ("/mean_ttft_ms", Is("5000".into()), "`mean_ttft_ms` is 5.00 s"),
            ("/duration", Is("NaN".into()), "`duration` is no finite number"),
            ("/duration", Is(json!([0.6])), "expected a number, found a list"),
        ],
    );
    let text = fs::read_to_string(formats("vllm/detailed.json")).expect("there");
    let text = text.replace("\"mean_ttft_ms\": ", "\"mean_ttft_ms\": NaN, \"zz\": ");
    wrong("NaN", "x.json", text.as_bytes(), "`mean_ttft_ms` is no finite number");
}

/// One benchmark with all its figures.
fn guidellm() -> Value {
    let text = fs::read_to_string(formats("guidellm/guidellm.json")).expect("there");
    let mut file: Value = serde_json::from_str(&text).expect("JSON");
    let benchmark = &mut file["benchmarks"][0];
    let requests = benchmark["requests"]["successful"].as_array().expect("requests").clone();
    let (count, tokens) = (requests.len() as f64, 12.0);
    let mean = |name: &str| {
        let sum: f64 = requests.iter().map(|request| request[name].as_f64().expect(name)).sum();
        sum / count
    };
    let took = mean("request_latency") * count;
    benchmark["start_time"] = 1_795_319_605.0.into();
    benchmark["end_time"] = (1_795_319_605.0 + took).into();
    benchmark["duration"] = took.into();
    let of = |mean: f64| json!({"successful": {"mean": mean}});
    benchmark["metrics"] = json!({
        "request_totals": {"successful": count, "errored": 0, "incomplete": 0, "total": count},
        "request_latency": of(mean("request_latency")),
        "time_to_first_token_ms": of(mean("time_to_first_token_ms")),
        "inter_token_latency_ms": of(mean("inter_token_latency_ms")),
        "time_per_output_token_ms": of(mean("time_per_output_token_ms")),
        "output_token_count": of(tokens),
        "requests_per_second": of(count / took),
        "output_tokens_per_second": of(count * tokens / took),
    });
    file
}

#[test]
fn guidellm_files_that_contradict_themselves() {
    let whole = guidellm();
    sound("guidellm", "g.json", whole.to_string().as_bytes());
    let requests = "/benchmarks/0/requests/successful/*";
    let of = |what: &str| format!("/benchmarks/0/{what}");
    let mean = |what: &str| format!("/benchmarks/0/metrics/{what}/successful/mean");
    let each = |what: &str| format!("{requests}/{what}");
    let rows: Vec<(String, To, &str)> = vec![
        (of("metrics/request_totals/errored"), Is(5.into()), "request_totals.errored` is 5"),
        (of("metrics/request_totals/incomplete"), Is(500.into()), "incomplete` is 500"),
        (of("metrics/request_totals/total"), Is(999.into()), "request_totals.total` is 999"),
        (mean("output_token_count"), Times(10.0), "metrics.output_token_count.mean` is"),
        (mean("requests_per_second"), Times(10.0), "metrics.requests_per_second.mean` is"),
        (mean("output_tokens_per_second"), Times(10.0), "output_tokens_per_second.mean` is"),
        (mean("inter_token_latency_ms"), Times(1e3), "inter_token_latency_ms.mean` is"),
        (mean("time_per_output_token_ms"), Times(1e3), "time_per_output_token_ms.mean` is"),
        (of("duration"), Is(1000.into()), "from `start_time` to `end_time`"),
        (of("end_time"), Is(1.into()), "`end_time` is before `start_time`"),
        (each("info/error"), Is("broken".into()), "listed as successful, and tell of an error"),
        (each("info/status"), Is("errored".into()), "its status is errored"),
        (format!("{}/info/status", requests.replace('*', "1")), Is("cancelled".into()), "1 of"),
        (each("inter_token_latency_ms"), Times(1e3), "a mean time of a token"),
        (each("time_per_output_token_ms"), Times(1e3), "a mean time of a token"),
        (each("tokens_per_second"), Times(1e3), "tell a rate"),
        (each("output_tokens_per_second"), Times(1e3), "tell a rate"),
    ];
    for (pointer, to, words) in rows {
        let mut edited = whole.clone();
        changed(&mut edited, &pointer, &to);
        wrong(&pointer, "g.json", edited.to_string().as_bytes(), words);
    }
    let mut twice = whole.clone();
    let first = twice["benchmarks"][0]["requests"]["successful"][0].clone();
    twice["benchmarks"][0]["requests"]["successful"][1] = first;
    wrong("a copy", "g.json", twice.to_string().as_bytes(), "stand in the file twice");
}

#[test]
fn blis_rows_that_contradict_themselves() {
    let text = fs::read_to_string(formats("blis/blis_tracev2.csv")).expect("there");
    sound("blis", "b.csv", text.as_bytes());
    let lines: Vec<&str> = text.lines().collect();
    let names: Vec<&str> = lines[0].split(',').collect();
    for (column, value, words) in [
        ("output_tokens", "1", "have one token or none, and chunks far apart"),
        ("output_tokens", "0", "have one token or none, and chunks far apart"),
        ("num_chunks", "99999", "tell a number of chunks"),
        ("num_chunks", "1", "tell a number of chunks"),
        ("num_chunks", "0", "tell a number of chunks"),
        ("error_message", "timeout", "are called ok, and tell of an error"),
        ("finish_reason", "error", "are called ok, and tell of an error"),
        ("finish_reason", "abort", "are called ok, and tell of an error"),
    ] {
        let place = names.iter().position(|name| *name == column).expect(column);
        let mut cells: Vec<&str> = lines[1].split(',').collect();
        cells[place] = value;
        let row = cells.join(",");
        let edited = [lines[0], &row, lines[2], ""].join("\n");
        wrong(&format!("{column} {value}"), "b.csv", edited.as_bytes(), words);
    }
    let doubled = [lines[0], lines[1], lines[1], ""].join("\n");
    wrong("blis twice", "b.csv", doubled.as_bytes(), "stand in the file twice");
}

#[test]
fn requests_and_runs_that_stand_twice() {
    for (name, words) in [
        ("aiperf/profile_export.jsonl", "stand in the file twice"),
        ("aiperf/profile_export_raw.jsonl", "stand in the file twice"),
        ("sglang/detailed.jsonl", "run 2 has the same requests as run 1"),
        ("vllm/detailed.json", "run 2 has the same requests as run 1"),
        ("vllm/no_details.json", "run 2 has the same requests as run 1"),
    ] {
        let bytes = fs::read(formats(name)).expect("there");
        let twice = [bytes.as_slice(), b"\n", bytes.as_slice()].concat();
        wrong(name, name.rsplit('/').next().expect("a name"), &twice, words);
    }
    let name = "inference-perf/per_request_lifecycle_metrics.json";
    let mut list: Value =
        serde_json::from_slice(&fs::read(formats(name)).expect("there")).expect("JSON");
    let first = list[0].clone();
    list.as_array_mut().expect("a list").push(first);
    wrong(name, "i.json", list.to_string().as_bytes(), "stand in the file twice");
    let mut one =
        documents(&fs::read_to_string(formats("aiperf/profile_export.jsonl")).expect("x"));
    one.iter_mut().for_each(|row| changed(row, "/metadata/x_request_id", &Is("a".into())));
    wrong("one id", "a.jsonl", &written(&one), "stand in the file twice");
}

/// What is changed, how, and what must be said of it.
type Edit<'e> = (&'e str, &'e dyn Fn(&mut Value), &'e str);

#[test]
fn rows_of_other_clients_that_contradict_themselves() {
    let later = |row: &mut Value, by: u64| {
        let start = row["metadata"]["request_start_ns"].as_u64().expect("a time");
        row["metadata"]["credit_issued_ns"] = (start + by).into();
    };
    let edits: &[Edit<'_>] = &[
        (
            "aiperf/profile_export.jsonl",
            &|row| changed(row, "/metrics/time_to_first_token/value", &Is(Value::Null)),
            "have gaps between tokens, and no first token",
        ),
        (
            "aiperf/profile_export.jsonl",
            &|row| changed(row, "/metrics/http_req_duration/value", &Times(100.0)),
            "have a part that took longer than all of it",
        ),
        (
            "aiperf/profile_export.jsonl",
            &|row| changed(row, "/metrics/output_token_throughput_per_user/value", &Times(100.0)),
            "tell a rate",
        ),
        (
            "aiperf/profile_export.jsonl",
            &|row| later(row, 1_000_000_000),
            "were sent before the client wanted to",
        ),
        (
            "aiperf/profile_export.jsonl",
            &|row| changed(row, "/metadata/credit_issued_ns", &Is(0.into())),
            "s in the client: is the file in another unit?",
        ),
        (
            "aiperf/profile_export_raw.jsonl",
            &|row| {
                let start = row["start_perf_ns"].as_u64().expect("a time");
                row["end_perf_ns"] = (start + 100_000_000_000).into();
            },
            "took longer than their tokens tell",
        ),
    ];
    for (name, edit, words) in edits {
        let mut rows = documents(&fs::read_to_string(formats(name)).expect("there"));
        rows.iter_mut().for_each(edit);
        wrong(&format!("{name}: {words}"), "a.jsonl", &written(&rows), words);
    }
    let name = "inference-perf/per_request_lifecycle_metrics.json";
    let response = "/*/info/response_metrics";
    for (pointer, to, words) in [
        ("chunk_times", Is(Value::Null), "have times of tokens, and none of chunks"),
        ("output_token_times/*", Times(1.1), "tell two times of the same token"),
        ("server_usage/prompt_tokens", Is(1.into()), "tell two lengths of the same prompt"),
    ] {
        let mut list: Value =
            serde_json::from_slice(&fs::read(formats(name)).expect("there")).expect("JSON");
        if pointer.starts_with("server") {
            changed(&mut list, "/*/info/request_metrics/text/input_tokens", &Is(99999.into()));
        }
        changed(&mut list, &format!("{response}/{pointer}"), &to);
        wrong(pointer, "i.json", list.to_string().as_bytes(), words);
    }
}

#[test]
fn who_ended_a_request_is_not_guessed() {
    // A server's error counts, whatever the client did then.
    let text = fs::read_to_string(formats("aiperf/profile_export.jsonl")).expect("there");
    let mut rows = documents(&text);
    rows[0]["metadata"]["was_cancelled"] = true.into();
    rows[0]["error"] = json!({"code": 500, "type": "x", "message": ""});
    let (code, runs, said) = evaluate("a.jsonl", &written(&rows));
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        (&runs[0]["requests"]["failed"], &runs[0]["requests"]["cancelled"]),
        (&1.into(), &0.into())
    );
    // What is empty is no error.
    let name = "inference-perf/per_request_lifecycle_metrics.json";
    for none in [json!(""), json!({}), json!([]), json!(false), json!(0), Value::Null] {
        let mut list: Value =
            serde_json::from_slice(&fs::read(formats(name)).expect("there")).expect("JSON");
        changed(&mut list, "/*/error", &Is(none.clone()));
        let (code, runs, said) = evaluate("i.json", list.to_string().as_bytes());
        assert_eq!(code, 0, "{said}");
        assert_eq!(runs[0]["requests"]["failed"], 0, "{none}");
    }
}

/// What `run` writes with this flag.
fn own(flag: &str) -> String {
    let place = tempfile::tempdir().expect("a temporary folder");
    let scenario = "engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 512, max_model_len: 4096}\n\
         schedulers: [vllm-v0]\nhorizon: 2s\n\
         workload: {requests: 20, arrivals: {poisson: {rate: 10}}, \
         lengths: {prompt: {fixed: 50}, output: {fixed: 20}}}\nslo: {ttft: 100ms, tbt: 15ms}\n";
    fs::write(place.path().join("s.yaml"), scenario).expect("writable");
    let mut program = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    let ran = program.current_dir(place.path()).args(["run", "s.yaml", "-q", flag, "x.csv"]);
    ran.assert().success();
    fs::read_to_string(place.path().join("x.csv")).expect("written")
}

/// The rows of a CSV file without quotes but in its last column, with a cell of one row set.
fn with_cell(text: &str, row: usize, column: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let place = lines[0].split(',').position(|name| name == column).expect(column);
    let mut cells: Vec<&str> = lines[row].splitn(place + 2, ',').collect();
    cells[place] = value;
    lines[row] = cells.join(",");
    lines.join("\n") + "\n"
}

#[test]
fn our_own_rows_that_contradict_themselves() {
    let requests = own("--requests");
    let (code, _, said) = evaluate("r.csv", requests.as_bytes());
    assert_eq!(code, 0, "{said}");
    for (column, value, words) in [
        ("output_tokens", "20000", "`tpot_s` contradicts"),
        ("tpot_s", "0.5", "`tpot_s` contradicts"),
        ("met", "5", "`met` contradicts"),
        ("missed", "5", "`fluidity_index` contradicts"),
        ("fluidity_index", "0.5", "`fluidity_index` contradicts"),
        ("scheduled_s", "99.0", "came before it was scheduled"),
        ("status", "rejected", "a rejected request with tokens"),
        ("left_tokens", "7", "`left_tokens` of a completed request"),
        ("class", "other", "`class` is none of those that `run` names"),
        ("hit_tokens", "9999", "`hit_tokens` are more than the prompt has"),
    ] {
        let edited = with_cell(&requests, 2, column, value);
        wrong(column, "r.csv", edited.as_bytes(), words);
    }
    let mut lines: Vec<String> = requests
        .lines()
        .map(|line| match line.find("\"{") {
            Some(facts) => line[..facts].to_owned(),
            None => line.to_owned(),
        })
        .collect();
    lines.insert(2, lines[1].clone());
    let doubled = lines.join("\n") + "\n";
    wrong("doubled", "r.csv", doubled.as_bytes(), "stand in the file twice");

    let tokens = own("--tokens");
    let (code, _, said) = evaluate("t.csv", tokens.as_bytes());
    assert_eq!(code, 0, "{said}");
    for (column, value, words) in [
        ("scheduled_s", "99.0", "`scheduled_s` is another in this row"),
        ("class", "other", "`class` is another in this row"),
        ("prompt_tokens", "51", "`prompt_tokens` is another in this row"),
        ("output_tokens", "21", "`output_tokens` is another in this row"),
        ("ttft_deadline_s", "0.2", "`ttft_deadline_s` is another in this row"),
        ("left_tokens", "7", "`left_tokens` of a completed request"),
    ] {
        let edited = with_cell(&tokens, 3, column, value);
        wrong(column, "t.csv", edited.as_bytes(), words);
    }
    for (old, new, words) in [
        ("\"\"end_ns\"\":2000000000", "\"\"end_ns\"\":1", "the run ended at"),
        (
            "\"\"nominal_rate_per_s\"\":\"\"10\"\"",
            "\"\"nominal_rate_per_s\"\":\"\"-10\"\"",
            "`run` holds something else",
        ),
    ] {
        assert!(tokens.contains(old), "{tokens}");
        wrong(new, "t.csv", tokens.replacen(old, new, 1).as_bytes(), words);
    }
}

#[test]
fn files_of_other_kinds_say_where_they_belong() {
    for (name, text, words) in [
        (
            "s.json",
            r#"{"schema_version": 1, "kind": "sweep", "points": [], "pareto": []}"#,
            "the result of `metron-sim sweep`",
        ),
        (
            "c.json",
            r#"{"schema_version": 1, "kind": "capacity", "searched": {}, "promise": {}}"#,
            "the result of `metron-sim capacity`",
        ),
        (
            "run.csv",
            "scheduler,label,requests.offered,requests.completed\na,a,1,1\n",
            "the table of `metron-sim run --format csv`",
        ),
        ("chunk.csv", "0,1.33,8.6,Weibull,0.375,0.397\n", "ServeGen's model of one client"),
        (
            "chunk.json",
            r#"{"0": {"input_tokens": "{224: 0.25}", "output_tokens": "{10: 1}"}}"#,
            "ServeGen's model of one client",
        ),
    ] {
        let (code, _, said) = evaluate(name, text.as_bytes());
        assert_eq!(code, 2, "{name}");
        assert!(said.contains(words), "{name}: {said}");
        if name.ends_with("json") && text.contains("schema_version") {
            let place = tempfile::tempdir().expect("a temporary folder");
            let path = place.path().join(name);
            fs::write(&path, text).expect("writable");
            let mut program = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
            let output = program.arg("compare").args([&path, &path]).output().expect("it runs");
            let said = String::from_utf8(output.stderr).expect("text");
            assert!(said.contains(&words[..14]), "{name}: {said}");
        }
    }
}

#[test]
fn an_object_of_many_keys_is_read_quickly() {
    let mut text = fs::read_to_string(formats("vllm/detailed.json")).expect("there");
    let end = text.rfind('}').expect("an object");
    let keys: String = (0..200_000).map(|key| format!(", \"key {key}\": {key}")).collect();
    text.insert_str(end, &keys);
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("wide.json");
    fs::write(&path, text).expect("writable");
    let begun = std::time::Instant::now();
    metron_sim::interop::import(&path, None).expect("sound");
    // Without optimisation, on a busy machine; it took a minute.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
