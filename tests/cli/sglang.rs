//! SGLang's rules seen from outside: how long requests wait, by both paths. The right values are those
//! of SGLang 0.5.23's own scheduler on the same requests.

use crate::both_paths::by_both;
use assert_cmd::Command;

/// Mean time to the first token in seconds.
fn mean_ttft(scenario: &str, overlap: bool) -> f64 {
    let file = by_both(&[
        "run",
        &format!("tests/data/cases/sglang/{scenario}"),
        "--set",
        &format!("engine.async_scheduling={overlap}"),
    ]);
    file["runs"][0]["ttft_s"]["mean"].as_f64().expect("a mean")
}

/// Overlap hides the host; it does not leave memory unused. A flag cleared a turn before the memory
/// comes gave 1.81 s.
#[test]
fn a_busy_small_pool_admits_when_memory_comes() {
    let overlapped = mean_ttft("busy.yaml", true);
    assert!((overlapped - 1.115).abs() < 0.02, "{overlapped}");
    let in_turn = mean_ttft("busy.yaml", false);
    assert!((in_turn - 1.106).abs() < 0.02, "{in_turn}");
}

/// Request 2 needs 46 of 100 KV tokens, and request 0 gives 25 back at its end: it is admitted then,
/// not when request 1 has ended too. The three first tokens come after 10, 10 and about 60 ms.
#[test]
fn a_request_is_admitted_at_the_first_end_that_makes_room() {
    for overlap in [true, false] {
        let mean = mean_ttft("flag.yaml", overlap);
        assert!((0.02..0.035).contains(&mean), "overlap {overlap}: {mean}");
    }
}

/// Decodes beside the chunks of a long prompt take the memory that its admission left to it: the
/// real system ends there with "Out of memory".
#[test]
fn a_carried_chunk_without_memory_is_warned_of() {
    const SCENARIO: &str = "
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 24400, kv_block_tokens: 1, max_model_len: 32768, prefix_caching: true}
schedulers: [sglang: {enable_mixed_chunk: true, chunked_prefill_size: 64}]
workload: {trace: {file: rows.csv}}
";
    let folder = tempfile::tempdir().unwrap();
    let many = "0,20,1500\n".repeat(20);
    let rows = format!("arrival_s,prompt_tokens,output_tokens\n{many}7,8000,50\n");
    std::fs::write(folder.path().join("rows.csv"), rows).unwrap();
    std::fs::write(folder.path().join("s.yaml"), SCENARIO).unwrap();
    let warned = |set: &[&str]| {
        let mut command = Command::cargo_bin("metron-sim").unwrap();
        let command =
            command.current_dir(folder.path()).args(["run", "s.yaml", "--format", "json"]);
        let output = command.args(set).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap().contains("SGLang would run out of memory here")
    };
    assert!(warned(&[]));
    assert!(!warned(&["--set", "engine.kv_blocks=60000"]));
}
