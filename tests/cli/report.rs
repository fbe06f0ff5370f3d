//! `--report`: each command's page is whole or absent, says what its result says, stays within its
//! size, and leaves the result itself alone.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn sim(args: &[&str]) -> Output {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::cargo_bin("metron-sim").expect("the binary");
    command.current_dir(root).args(args).output().expect("it runs")
}

/// The page's size without its data, and the data.
fn page(path: &Path) -> (usize, Value) {
    let html = fs::read_to_string(path).expect("a page");
    let from = html.find("id=\"data\">").expect("data") + "id=\"data\">".len();
    let data = &html[from..from + html[from..].find("</script>").expect("its end")];
    assert!(data.len() < 4_000_000, "{} bytes of data", data.len());
    (html.len() - data.len(), serde_json::from_str(data).expect("JSON"))
}

#[test]
fn a_report_leaves_the_result_alone_and_says_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    let to = path.to_str().expect("text");
    let base = ["run", "scenarios/chat.yaml", "--set", "workload.requests=200"];
    let plain = sim(&base);
    let told = sim(&[&base[..], &["--report", to]].concat());
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(plain.stdout, told.stdout);
    let (rest, data) = page(&path);
    assert!(rest < 500_000, "{rest} bytes beside the data");
    assert_eq!(data["kind"], "run");
    let json = sim(&[&base[..], &["--format", "json"]].concat());
    let result: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    for (run, view) in result["runs"].as_array().expect("runs").iter().zip(0..) {
        let view = &data["runs"][view];
        assert_eq!(view["label"], run["label"]);
        let cdf = &view["tbt"];
        let last = cdf["value"].as_array().expect("values").last().expect("one");
        assert_eq!(cdf["count"], run["tbt_s"]["count"]);
        assert_eq!(last, &run["tbt_s"]["max"]);
        assert_eq!(cdf["value"][0], run["tbt_s"]["min"]);
        assert_eq!(view["lanes"][0]["iterations"], run["iterations"]["count"]);
        assert_eq!(view["miss_rate"], run["fluidity"]["p99_miss_rate_by_tbt_ms"]);
    }
    // The same again gives the same bytes.
    let first = fs::read(&path).expect("a page");
    sim(&[&base[..], &["--report", to, "--jobs", "1"]].concat());
    assert_eq!(first, fs::read(&path).expect("a page"));
}

#[test]
fn every_command_has_its_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let small = ["scenarios/chat.yaml", "--set", "workload.requests=60"];
    let vary = "workload.arrivals.poisson.rate=2,4";
    sim(&[&["run"], &small[..], &["--tokens", &file("t.jsonl")]].concat());
    let tokens = file("t.jsonl");
    let commands: [(&str, Vec<&str>); 4] = [
        ("explain", [&["explain"], &small[..]].concat()),
        ("evaluate", vec!["evaluate", &tokens]),
        ("capacity", [&["capacity"], &small[..], &["--seeds", "1", "--precision", "20%"]].concat()),
        ("sweep", [&["sweep"], &small[..], &["--vary", vary]].concat()),
    ];
    for (kind, args) in commands {
        let to = file(&format!("{kind}.html"));
        let told = sim(&[&args[..], &["--report", &to]].concat());
        assert!(matches!(told.status.code(), Some(0 | 3)), "{kind}: {told:?}");
        let (_, data) = page(Path::new(&to));
        assert_eq!(data["kind"], kind);
    }
    let (_, explained) = page(Path::new(&file("explain.html")));
    let stall = &explained["runs"][0]["stalls"][0];
    let causes = stall["causes_ns"].as_object().expect("causes").values();
    let sum: u64 = causes.map(|ns| ns.as_u64().expect("a count")).sum();
    assert_eq!(Some(sum), stall["length_ns"].as_u64(), "a stall's causes add up to it");
    let (_, swept) = page(Path::new(&file("sweep.html")));
    assert_eq!(swept["sweep"]["points"].as_array().expect("points").len(), 4);
    // The same sweep in two shards, merged: the same page.
    for shard in ["1/2", "2/2"] {
        let to = file(&format!("shard{}.json", &shard[..1]));
        let part = ["--vary", vary, "--shard", shard, "--format", "json", "-o", &to];
        let told = sim(&[&["sweep"], &small[..], &part].concat());
        assert!(told.status.success(), "{told:?}");
    }
    let (one, two, to) = (file("shard1.json"), file("shard2.json"), file("merged.html"));
    let told = sim(&["merge", &one, &two, "--report", &to]);
    assert!(told.status.success(), "{told:?}");
    let (_, merged) = page(Path::new(&to));
    assert_eq!(merged["sweep"], swept["sweep"]);
    let (_, capacity) = page(Path::new(&file("capacity.html")));
    assert!(capacity["capacity"]["schedulers"][0]["probed"][0]["fluid"].is_number());
    let (_, measured) = page(Path::new(&file("evaluate.html")));
    let run = &measured["runs"][0];
    assert!(run["tpot"]["value"].is_array() && run["lanes"].as_array().is_some_and(Vec::is_empty));
    assert!(run["absent"].as_array().expect("said").iter().any(|one| one["part"] == "timeline"));
}

#[test]
fn a_page_that_cannot_be_is_told_at_once_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing/page.html");
    let told = sim(&["run", "scenarios/chat.yaml", "--report", missing.to_str().expect("text")]);
    assert_eq!(told.status.code(), Some(1));
    assert!(told.stdout.is_empty());
    let same = folder.path().join("one.html");
    let same = same.to_str().expect("text");
    let told = sim(&["run", "scenarios/chat.yaml", "--report", same, "-o", same]);
    assert_eq!(told.status.code(), Some(2));
    let broken = sim(&["run", "tests/data/broken/unknown-gpu.yaml", "--report", same]);
    assert_eq!(broken.status.code(), Some(2));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_long_run_is_thinned_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    let told = sim(&[
        "run",
        "scenarios/chat.yaml",
        "--set",
        "workload.requests=6000",
        "--report",
        path.to_str().expect("text"),
    ]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let (_, data) = page(&path);
    assert!(data["thinned"][0].as_str().expect("said").contains("60,000"));
    for run in data["runs"].as_array().expect("runs") {
        let lane = &run["lanes"][0];
        assert!(lane["all"]["each"].as_u64().expect("a count") > 1);
        assert!(lane["all"]["start_us"].as_array().expect("columns").len() <= 12_000);
        // The longest iteration of all is still there.
        let longest = lane["all"]["merged"]["longest_us"].as_array().expect("columns");
        assert!(!longest.is_empty());
        let stalls = run["stalls"].as_array().expect("stalls").len();
        assert_eq!(lane["details"].as_array().expect("stretches").len(), stalls);
        for detail in lane["details"].as_array().expect("stretches") {
            assert_eq!(detail["each"], 1);
        }
    }
}
