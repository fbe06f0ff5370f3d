//! Random measured files, read and judged, against the slow reference on the same times.

use std::fmt::Write;
use std::fs;

use metron_sim::ids::{ClassId, ColumnId, LaneId};
use metron_sim::interop::{GivenPromise, GivenTtft, import, judge};
use metron_sim::metrics::{Deadlines, FirstToken, Knowledge, Options, RequestBounds, reference};
use metron_sim::result::MeasuredResult;
use metron_sim::time::{Span, Time};
use metron_sim::trace::{Column, NO_RUN, RequestRow, Run, Status, TokenTrace};

/// SplitMix64: files that are the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Nanoseconds: none, multiples of the deadline, just beside them, anything.
    fn gap(&mut self, tbt: u64) -> u64 {
        match self.below(10) {
            0 => 0,
            1..=4 => tbt,
            5 => tbt * self.below(5),
            6 => tbt * self.below(5) + 1,
            7 => (tbt * (1 + self.below(4))) - 1,
            8 => self.below(tbt),
            _ => self.below(tbt * 40),
        }
    }
}

/// Seconds with nine decimals.
fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

struct Request {
    start: u64,
    prompt: u32,
    output: u32,
    failed: bool,
    ttft: u64,
    gaps: Vec<u64>,
}

fn requests(random: &mut Random, tbt: u64, chunks: bool, failures: bool) -> Vec<Request> {
    (0..1 + random.below(12))
        .map(|_| {
            let failed = failures && random.below(6) == 0;
            let count = if failed { 0 } else { random.below(9) };
            let gaps: Vec<u64> = (0..count).map(|_| random.gap(tbt)).collect();
            let more = if chunks { random.below(4) as u32 } else { 0 };
            Request {
                start: random.below(5_000_000_000),
                prompt: 1 + random.below(500) as u32,
                output: if failed { 0 } else { gaps.len() as u32 + 1 + more },
                failed,
                ttft: if failed { 0 } else { random.gap(tbt) },
                gaps,
            }
        })
        .collect()
}

/// The trace that these requests are; without starts all begin at 0.
fn trace(requests: &[Request], starts: bool) -> TokenTrace {
    let base = requests.iter().map(|r| r.start).min().filter(|_| starts).unwrap_or(0);
    let mut column = Vec::new();
    let mut rows = Vec::new();
    let mut end = Time::ZERO;
    for request in requests {
        let arrival = if starts { request.start - base } else { 0 };
        let (first, begin) = (arrival + request.ttft, column.len() as u32);
        let mut at = first;
        for gap in &request.gaps {
            at += gap;
            column.push(Time::from_nanos(at));
        }
        end = end.max(Time::from_nanos(if request.failed { arrival } else { at }));
        let len = request.gaps.len() as u32;
        let run = Run { column: ColumnId(0), first: begin, len, next: NO_RUN };
        rows.push(RequestRow {
            arrival: Time::from_nanos(arrival),
            scheduled: Time::NEVER,
            first_token: if request.failed { Time::NEVER } else { Time::from_nanos(first) },
            run: if len == 0 { Run::EMPTY } else { run },
            prompt_tokens: request.prompt,
            tokens: if request.failed { 0 } else { request.output },
            hit_tokens: 0,
            preemptions: 0,
            lane: LaneId(0),
            class: ClassId(0),
            status: if request.failed { Status::Failed } else { Status::Completed },
        });
    }
    TokenTrace { columns: vec![Column::own(column)], requests: rows, end, ..TokenTrace::default() }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn etalon(requests: &[Request]) -> String {
    let gaps = |r: &Request| list(r.gaps.iter().map(|&gap| seconds(gap)));
    format!(
        "{{\"num_prompt_tokens\": {}, \"num_output_tokens\": {}, \"ttft\": {}, \"tbt\": {}}}",
        list(requests.iter().map(|r| r.prompt.to_string())),
        list(requests.iter().map(|r| r.output.to_string())),
        list(requests.iter().map(|r| seconds(r.ttft))),
        list(requests.iter().map(gaps)),
    )
}

fn vllm(requests: &[Request]) -> String {
    let gaps = |r: &Request| list(r.gaps.iter().map(|&gap| seconds(gap)));
    let mut text = String::from("{\"date\": \"x\", \"backend\": \"vllm\", \"model_id\": \"m\", ");
    write!(
        text,
        "\"num_prompts\": {}, \"input_lens\": {}, \"output_lens\": {}, \"ttfts\": {}, \"itls\": {}, \
         \"start_times\": {}, \"errors\": {}}}",
        requests.len(),
        list(requests.iter().map(|r| r.prompt.to_string())),
        list(requests.iter().map(|r| r.output.to_string())),
        list(requests.iter().map(|r| seconds(r.ttft))),
        list(requests.iter().map(gaps)),
        list(requests.iter().map(|r| seconds(r.start))),
        list(requests.iter().map(|r| if r.failed { "\"x\"" } else { "\"\"" }.to_owned())),
    )
    .expect("memory");
    text
}

#[test]
fn files_give_what_the_reference_gives() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.json");
    let mut random = Random(7);
    let (mut missed, mut exact, mut chunked) = (0u64, 0u32, 0u32);
    for case in 0..2000 {
        let tbt = [1_000_000, 25_000_000, 7][case % 3];
        let ttft = random.gap(tbt) + 1;
        let starts = case % 2 == 0;
        let requests = requests(&mut random, tbt, case % 5 == 0, starts);
        let text = if starts { vllm(&requests) } else { etalon(&requests) };
        fs::write(&path, text).expect("writable");
        let imported = import(&path, None).expect("a sound file");
        let [measured] = &imported.runs[..] else { panic!("one run") };
        let promise = GivenPromise {
            ttft: GivenTtft::Fixed(Span::from_nanos(ttft)),
            tbt: Some(Span::from_nanos(tbt)),
            fluidity: Some((0.9, 0.99)),
        };
        let of = MeasuredResult::default();
        let run = judge(measured, of, String::new(), &promise, true).expect("a fixed deadline");

        let first = FirstToken::Fixed(Span::from_nanos(ttft));
        let deadlines = Deadlines::new(first, Span::from_nanos(tbt), 0.9).expect("sound");
        let mut options = Options::new(deadlines);
        options.full = true;
        options.bounds = Some(RequestBounds { fluid: true, ..RequestBounds::default() });
        options.knows = Knowledge { token_times: true, arrivals: starts, scheduling: false };
        let mut expected = reference::evaluate(&trace(&requests, starts), &options);
        let mut summary = run.summary;
        let fluidity = expected.fluidity.as_ref().expect("token times");
        missed += u64::from(fluidity.service_miss_rate.is_some_and(|rate| rate > 0.0));
        if requests.iter().any(|r| r.output as usize > r.gaps.len() + 1) {
            // Of chunks: one token each is the worst that can be, but for the hits of the others.
            let given = summary.fluidity.take().expect("bounds");
            let bounds = given.bounds.expect("bounds").fluid_request_share.expect("requests");
            let of_chunks = fluidity.fluid_request_share.expect("requests");
            assert!(bounds.upper >= bounds.lower && bounds.lower >= of_chunks, "case {case}");
            (expected.fluidity, expected.goodput, summary.goodput) = (None, None, None);
        }
        assert_eq!(summary, expected, "case {case}");
        exact += u32::from(requests.iter().any(|r| !r.failed && r.ttft == ttft));
        chunked += u32::from(requests.iter().any(|r| r.output as usize > r.gaps.len() + 1));
    }
    // The cases are what they are meant to be.
    assert!(
        missed > 700 && missed < 2000 && exact > 30 && chunked > 200,
        "{missed} {exact} {chunked}"
    );
}
