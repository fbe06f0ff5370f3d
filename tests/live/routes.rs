//! What a client of the mock server can rely on, asked by hand.

use std::time::Duration;

use metron_sim::live::mock::Faults;
use serde_json::Value;

use crate::support::{ask, mock, pose, prepared};

const SMALL: &str = "
engine: {profile: {fixed: {iteration: 1ms}}, kv_blocks: 64, max_model_len: 256}
schedulers: [vllm-v1]
workload:
  requests: 3
  arrivals: {poisson: {rate: 1}}
  lengths: {prompt: {fixed: 4}, output: {fixed: 5}}
slo: {ttft: 100ms, tbt: 15ms, fluidity: {index: 0.9, share: 0.99}}
";

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn json(answer: &str) -> Value {
    serde_json::from_str(body(answer)).unwrap_or_else(|_| panic!("no JSON: {answer}"))
}

/// The events of a streamed answer, without the frames of the transfer.
fn events(answer: &str) -> Vec<Value> {
    let data = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}

#[test]
fn answers_are_openais() {
    let prepared = prepared(SMALL);
    let mock = mock(&prepared, pose());
    let at = mock.address();
    let models = json(&ask(at, "GET", "/v1/models", ""));
    assert_eq!(
        (&models["data"][0]["id"], &models["data"][0]["max_model_len"]),
        (&"m".into(), &256.into())
    );
    assert!(ask(at, "GET", "/health", "").starts_with("HTTP/1.1 200"));

    let whole =
        json(&ask(at, "POST", "/v1/completions", r#"{"prompt": [1,2,3], "max_tokens": 9}"#));
    // Nobody forbids the end, so the answer is as long as the scenario's are.
    assert_eq!(whole["usage"]["completion_tokens"], 5);
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    let text = whole["choices"][0]["text"].as_str().expect("text");
    let tokens =
        json(&ask(at, "POST", "/tokenize", &serde_json::json!({"prompt": text}).to_string()));
    assert_eq!(tokens["count"], 5);

    let asked = r#"{"prompt": "baba dede", "max_tokens": 7, "ignore_eos": true, "stream": true,
        "return_token_ids": true, "stream_options": {"include_usage": true}}"#;
    let answer = ask(at, "POST", "/v1/completions", asked);
    assert!(answer.contains("text/event-stream") && answer.contains("data: [DONE]"));
    let all = events(&answer);
    assert_eq!(all.len(), 7 + 1, "a chunk a step, and the usage");
    assert!(
        all[..7]
            .iter()
            .all(|one| one["choices"][0]["token_ids"].as_array().expect("ids").len() == 1)
    );
    assert_eq!(all[6]["choices"][0]["finish_reason"], "length");
    assert_eq!(all[7]["usage"]["prompt_tokens"], 2);
    assert_eq!(all[7]["usage"]["completion_tokens"], 7);

    let chat = r#"{"messages": [{"role": "user", "content": "baba dede"}], "max_completion_tokens": 3,
        "stream": true}"#;
    let all = events(&ask(at, "POST", "/v1/chat/completions", chat));
    assert_eq!(all.len(), 1 + 3, "a role first");
    assert_eq!(all[0]["choices"][0]["delta"]["role"], "assistant");

    let page = ask(at, "GET", "/metrics", "");
    for name in [
        "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 0",
        "vllm:kv_cache_usage_perc",
        "vllm:generation_tokens_total{engine=\"0\",model_name=\"m\"} 15",
        "vllm:time_to_first_token_seconds_count{engine=\"0\",model_name=\"m\"} 3",
        "vllm:inter_token_latency_seconds_bucket",
        "vllm:num_preemptions_total",
        "vllm:prefix_cache_hits_total",
    ] {
        assert!(page.contains(name), "{name} is missing in {page}");
    }
    mock.stop();
}

#[test]
fn errors_have_the_right_status_and_words() {
    let prepared = prepared(SMALL);
    let mut posing = pose();
    posing.api_key = Some("secret".to_owned());
    let closed = mock(&prepared, posing);
    let refused = ask(closed.address(), "GET", "/v1/models", "");
    assert!(refused.starts_with("HTTP/1.1 401") && !refused.contains("secret"), "{refused}");
    closed.stop();

    let mock = mock(&prepared, pose());
    let at = mock.address();
    for (path, body, status, words) in [
        ("/v1/completions", r#"{"model": "x", "prompt": "a"}"#, 404, "does not exist"),
        ("/v1/completions", r#"{"prompt": "a", "max_tokens": 300}"#, 400, "maximum context length"),
        ("/v1/completions", "{", 400, "not as expected"),
        ("/v1/chat/completions", r#"{"prompt": "a"}"#, 400, "messages"),
        ("/v1/embeddings", "{}", 404, "/v1/completions"),
    ] {
        let answer = ask(at, "POST", path, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {body}: {answer}");
        assert!(
            json(&answer)["error"]["message"].as_str().expect("words").contains(words),
            "{answer}"
        );
    }
    assert!(ask(at, "GET", "/v1/completions", "").starts_with("HTTP/1.1 405"));
    mock.stop();
}

#[test]
fn faults_come_when_they_are_asked_for() {
    let prepared = prepared(SMALL);
    let with = |faults: Faults| {
        let mut pose = pose();
        pose.faults = faults;
        mock(&prepared, pose)
    };
    let asked = r#"{"prompt": "a", "max_tokens": 9, "ignore_eos": true, "stream": true}"#;
    let fails = with(Faults { error_rate: 1.0, ..Faults::default() });
    assert!(ask(fails.address(), "POST", "/v1/completions", asked).starts_with("HTTP/1.1 500"));
    fails.stop();
    let breaks = with(Faults { disconnect_rate: 1.0, ..Faults::default() });
    let answer = ask(breaks.address(), "POST", "/v1/completions", asked);
    assert!(!answer.contains("[DONE]") && !events(&answer).is_empty(), "{answer}");
    breaks.stop();
    let starts = with(Faults { slow_start: Duration::from_secs(3600), ..Faults::default() });
    assert!(ask(starts.address(), "GET", "/health", "").starts_with("HTTP/1.1 503"));
    starts.stop();
    let full = with(Faults { queue_limit: Some(0), ..Faults::default() });
    let answer = ask(full.address(), "POST", "/v1/completions", asked);
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after"), "{answer}");
    full.stop();
    let bundles = with(Faults { chunk_tokens: 4, ..Faults::default() });
    let answer = ask(bundles.address(), "POST", "/v1/completions", asked);
    assert_eq!(events(&answer).len(), 3, "4, 4 and 1");
    bundles.stop();
}
