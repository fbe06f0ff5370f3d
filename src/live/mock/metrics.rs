//! The page at `/metrics`, under the names of vLLM 0.32 (`v1/metrics/loggers.py`), in simulated time.

use std::fmt::Write as _;
use std::sync::Arc;

use super::clockwork::seconds;
use crate::ids::RequestId;
use crate::live::Lateness;
use crate::request::Request;
use crate::sim::Live;
use crate::time::Time;

/// Upper ends of the buckets, s, of time to first token.
const TTFT: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
/// Those of times between tokens and of time per output token.
const TPOT: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
/// Those of whole requests and of queueing.
const WHOLE: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];

struct Histogram {
    name: &'static str,
    help: &'static str,
    ends: &'static [f64],
    /// The last is of what is above all ends.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(name: &'static str, help: &'static str, ends: &'static [f64]) -> Histogram {
        Histogram { name, help, ends, counts: vec![0; ends.len() + 1], sum: 0.0 }
    }

    fn add(&mut self, value: f64) {
        self.counts[self.ends.partition_point(|&end| end < value)] += 1;
        self.sum += value;
    }
}

/// What was counted of an open request.
struct Counted {
    arrival: Time,
    first: Option<Time>,
    last: Time,
    tokens: u32,
    longest: u32,
}

/// Counters and histograms.
pub(super) struct Metrics {
    model: String,
    lateness: Arc<Lateness>,
    open: Vec<Option<Counted>>,
    ttft: Histogram,
    gaps: Histogram,
    tpot: Histogram,
    e2e: Histogram,
    queue: Histogram,
    prompt_tokens: u64,
    generation_tokens: u64,
    ended_by_length: u64,
    ended_by_stop: u64,
    rejected: u64,
}

impl Metrics {
    pub(super) fn new(model: String, lateness: Arc<Lateness>) -> Metrics {
        Metrics {
            model,
            lateness,
            open: Vec::new(),
            ttft: Histogram::new(
                "vllm:time_to_first_token_seconds",
                "Histogram of time to first token in seconds.",
                TTFT,
            ),
            gaps: Histogram::new(
                "vllm:inter_token_latency_seconds",
                "Histogram of inter-token latency in seconds.",
                TPOT,
            ),
            tpot: Histogram::new(
                "vllm:request_time_per_output_token_seconds",
                "Histogram of time_per_output_token_seconds per request.",
                TPOT,
            ),
            e2e: Histogram::new(
                "vllm:e2e_request_latency_seconds",
                "Histogram of e2e request latency in seconds.",
                WHOLE,
            ),
            queue: Histogram::new(
                "vllm:request_queue_time_seconds",
                "Histogram of time spent in WAITING phase for request.",
                WHOLE,
            ),
            prompt_tokens: 0,
            generation_tokens: 0,
            ended_by_length: 0,
            ended_by_stop: 0,
            rejected: 0,
        }
    }

    pub(super) fn arrive(&mut self, request: &Request) {
        self.open.push(Some(Counted {
            arrival: request.arrival,
            first: None,
            last: request.arrival,
            tokens: 0,
            longest: request.max_tokens,
        }));
        self.prompt_tokens += u64::from(request.prompt_tokens);
    }

    pub(super) fn tokens(
        &mut self,
        request: RequestId,
        at: Time,
        count: u32,
        last: bool,
        live: &Live<'_>,
    ) {
        self.generation_tokens += u64::from(count);
        let place = &mut self.open[request.index()];
        let Some(open) = place else { return };
        let first = *open.first.get_or_insert(at);
        if open.tokens == 0 {
            self.ttft.add(seconds(at.since(open.arrival)));
            let scheduled = live.scheduled(request);
            if scheduled != Time::NEVER {
                self.queue.add(seconds(scheduled.since(open.arrival)));
            }
        } else {
            self.gaps.add(seconds(at.since(open.last)));
        }
        open.tokens += count;
        open.last = at;
        if last {
            self.e2e.add(seconds(at.since(open.arrival)));
            if open.tokens > 1 {
                self.tpot.add(seconds(at.since(first)) / f64::from(open.tokens - 1));
            }
            if open.tokens >= open.longest {
                self.ended_by_length += 1;
            } else {
                self.ended_by_stop += 1;
            }
            *place = None;
        }
    }

    pub(super) fn rejected(&mut self) {
        self.rejected += 1;
    }

    /// In Prometheus' text format.
    pub(super) fn page(&mut self, live: &Live<'_>) -> String {
        let mut page = String::with_capacity(16 << 10);
        let label = |engine: usize| format!("engine=\"{engine}\",model_name=\"{}\"", self.model);
        let loads: Vec<_> = live.loads().collect();
        let uses: Vec<_> = live.kv_uses().collect();
        let mut each =
            |name: &str, kind: &str, help: &str, values: &mut dyn Iterator<Item = f64>| {
                head(&mut page, name, kind, help);
                for (engine, value) in values.enumerate() {
                    let _ = writeln!(page, "{name}{{{}}} {value}", label(engine));
                }
            };
        each(
            "vllm:num_requests_running",
            "gauge",
            "Number of requests in model execution batches.",
            &mut loads.iter().map(|load| f64::from(load.running)),
        );
        each(
            "vllm:num_requests_waiting",
            "gauge",
            "Number of requests waiting to be processed.",
            &mut loads.iter().map(|load| f64::from(load.waiting)),
        );
        each(
            "vllm:kv_cache_usage_perc",
            "gauge",
            "KV-cache usage. 1 means 100 percent usage.",
            &mut loads.iter().map(|load| load.kv_use),
        );
        each(
            "vllm:num_preemptions_total",
            "counter",
            "Cumulative number of preemption from the engine.",
            &mut uses.iter().map(|kv| kv.preemptions as f64),
        );
        each(
            "vllm:prefix_cache_hits_total",
            "counter",
            "Prefix cache hits, in terms of number of cached tokens.",
            &mut uses.iter().map(|kv| kv.prefix_hit_tokens as f64),
        );
        let all = label(0);
        let mut one = |name: &str, help: &str, more: &str, value: u64| {
            head(&mut page, name, "counter", help);
            let _ = writeln!(page, "{name}{{{all}{more}}} {value}");
        };
        one(
            "vllm:prefix_cache_queries_total",
            "Prefix cache queries, in terms of number of queried tokens.",
            "",
            self.prompt_tokens,
        );
        one(
            "vllm:prompt_tokens_total",
            "Number of prefill tokens processed.",
            "",
            self.prompt_tokens,
        );
        one(
            "vllm:generation_tokens_total",
            "Number of generation tokens processed.",
            "",
            self.generation_tokens,
        );
        let name = "vllm:request_success_total";
        head(&mut page, name, "counter", "Count of successfully processed requests.");
        for (reason, count) in [("length", self.ended_by_length), ("stop", self.ended_by_stop)] {
            let _ = writeln!(page, "{name}{{{all},finished_reason=\"{reason}\"}} {count}");
        }
        for histogram in [&self.ttft, &self.gaps, &self.tpot, &self.e2e, &self.queue] {
            let Histogram { name, help, ends, counts, sum } = histogram;
            head(&mut page, name, "histogram", help);
            let mut below = 0;
            for (end, count) in ends.iter().zip(counts) {
                below += count;
                let _ = writeln!(page, "{name}_bucket{{{all},le=\"{end:?}\"}} {below}");
            }
            let count = below + counts[ends.len()];
            let _ = writeln!(page, "{name}_bucket{{{all},le=\"+Inf\"}} {count}");
            let _ = writeln!(page, "{name}_count{{{all}}} {count}\n{name}_sum{{{all}}} {sum}");
        }
        let name = "metron_mock_rejected_total";
        head(&mut page, name, "counter", "Requests that the simulated engine turned away.");
        let _ = writeln!(page, "{name} {}", self.rejected);
        let name = "metron_mock_lateness_seconds";
        head(
            &mut page,
            name,
            "summary",
            "Time from when tokens were due to when they were written.",
        );
        for q in [0.5, 0.99, 0.999] {
            let late = self.lateness.quantile(q).as_secs_f64();
            let _ = writeln!(page, "{name}{{quantile=\"{q}\"}} {late}");
        }
        let _ = writeln!(page, "{name}_count {}", self.lateness.count());
        page
    }
}

fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
