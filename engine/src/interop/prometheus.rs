//! Histograms of a server's own metrics, as Prometheus scrapes them (text exposition): vLLM's, SGLang's and
//! TGI's.
//!
//! A histogram says how many samples lie below each of a few limits. So a quantile is known within the
//! limits of its bucket, the mean exactly, and nothing of single requests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::fault::{Fault, InteropError, Position};
use crate::metrics::{Distribution, LatencyBounds, LatencyRange, RequestCounts, Summary};
use crate::promise::Verdict;
use crate::result::{MeasuredResult, RunResult};

/// Which latency a metric is; the part of the name in front of a `:` is the server's.
const METRICS: &[(&str, Of)] = &[
    ("time_to_first_token_seconds", Of::Ttft),
    ("inter_token_latency_seconds", Of::Tbt),
    // Its older name in vLLM.
    ("time_per_output_token_seconds", Of::Tbt),
    ("request_time_per_output_token_seconds", Of::Tpot),
    ("tgi_request_mean_time_per_token_duration", Of::Tpot),
    ("e2e_request_latency_seconds", Of::E2e),
    ("tgi_request_duration", Of::E2e),
    ("request_queue_time_seconds", Of::Queue),
    ("tgi_request_queue_duration", Of::Queue),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Ttft,
    Tbt,
    Tpot,
    E2e,
    Queue,
}

/// One histogram: samples at or below each limit, all of them, and their sum in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Histogram {
    /// By the bits of the limit, which order positive numbers; infinity last.
    buckets: BTreeMap<u64, f64>,
    count: Option<f64>,
    sum: Option<f64>,
}

/// Longest line that is read, and most lines.
const LINE_MAX: u64 = 1 << 16;
const LINES_MAX: usize = 1_000_000;

/// The runs of a file of such metrics, one a model that the server serves; `None` for another file.
///
/// # Errors
/// When it is one, and breaks its own format or has none of the histograms.
pub fn histograms(path: &Path) -> Option<Result<Vec<RunResult>, Box<InteropError>>> {
    if path.is_dir() {
        return None;
    }
    let mut reader = BufReader::new(std::fs::File::open(path).ok()?);
    let head = reader.fill_buf().ok()?;
    let head = String::from_utf8_lossy(&head[..head.len().min(4096)]).into_owned();
    let is_one = head.lines().take(50).any(|line| {
        line.starts_with("# HELP ") || line.starts_with("# TYPE ") || line.contains("_bucket{")
    });
    if !is_one {
        return None;
    }
    let error = |fault: Fault| {
        Box::new(InteropError {
            path: path.to_owned(),
            format: Some("prometheus"),
            fault,
            read_so_far: None,
            help: Some(
                "scrape the server itself: curl http://HOST:8000/metrics > metrics.txt".into(),
            ),
        })
    };
    Some(
        read(reader)
            .map_err(error)
            .map(|models| models.into_iter().map(|(model, of)| run(path, &model, &of)).collect()),
    )
}

fn read(mut reader: impl BufRead) -> Result<BTreeMap<String, BTreeMap<Of, Histogram>>, Fault> {
    let mut models: BTreeMap<String, BTreeMap<Of, Histogram>> = BTreeMap::new();
    let mut line = Vec::new();
    for number in 1.. {
        let at = Position { line: number as u64, ..Position::default() };
        line.clear();
        let read = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line);
        match read {
            Ok(0) => break,
            Ok(_) if line.len() as u64 == LINE_MAX || number > LINES_MAX => {
                return Err(Fault::at(at, "a line, or a file, that is too long"));
            }
            Ok(_) => {}
            Err(error) => return Err(Fault::at(at, format!("cannot be read: {error}"))),
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let Some(sample) = Sample::of(text) else {
            return Err(Fault::at(at, "expected `name{label=\"value\"} number`"));
        };
        let base = sample.name.rsplit(':').next().unwrap_or(sample.name);
        let parts = ["_bucket", "_count", "_sum"];
        let Some((name, part)) =
            parts.iter().find_map(|part| Some((base.strip_suffix(part)?, *part)))
        else {
            continue;
        };
        let Some((_, of)) = METRICS.iter().find(|(known, _)| *known == name) else { continue };
        if !sample.value.is_finite() || sample.value < 0.0 {
            return Err(Fault::at(at, "expected a number not below 0"));
        }
        let model = sample.label("model_name").or(sample.label("model")).unwrap_or_default();
        let histogram = models.entry(model).or_default().entry(*of).or_default();
        match part {
            "_bucket" => {
                let limit = sample.label("le").and_then(|le| match le.as_str() {
                    "+Inf" => Some(f64::INFINITY),
                    le => le.parse().ok().filter(|limit: &f64| *limit >= 0.0),
                });
                let Some(limit) = limit else {
                    return Err(Fault::at(at, "expected a limit `le` not below 0"));
                };
                // Engines of one server, and ends of a request, each have a row.
                *histogram.buckets.entry(limit.to_bits()).or_default() += sample.value;
            }
            "_count" => *histogram.count.get_or_insert(0.0) += sample.value,
            _ => *histogram.sum.get_or_insert(0.0) += sample.value,
        }
    }
    models.values_mut().for_each(|of| of.retain(|_, histogram| histogram.total() > 0.0));
    models.retain(|_, of| !of.is_empty());
    for (of, histogram) in models.values().flatten() {
        if histogram.buckets.values().is_sorted() {
            continue;
        }
        return Err(Fault::whole(format!("the buckets of {of:?} do not grow with their limits")));
    }
    if models.is_empty() {
        let names: Vec<&str> = METRICS.iter().map(|(name, _)| *name).collect();
        return Err(Fault::whole(format!(
            "none of these histograms has a sample: {}",
            names.join(", ")
        )));
    }
    Ok(models)
}

/// One line: a name, labels and a value.
struct Sample<'t> {
    name: &'t str,
    labels: &'t str,
    value: f64,
}

impl<'t> Sample<'t> {
    fn of(text: &'t str) -> Option<Sample<'t>> {
        let (name, labels, rest) = match text.split_once('{') {
            Some((name, rest)) => {
                let end = rest.rfind('}')?;
                (name, &rest[..end], &rest[end + 1..])
            }
            None => {
                let (name, rest) = text.split_once([' ', '\t'])?;
                (name, "", rest)
            }
        };
        // A time may follow the value.
        let value = rest.split_whitespace().next()?;
        let value = match value {
            "+Inf" => f64::INFINITY,
            value => value.parse().ok()?,
        };
        Some(Sample { name: name.trim(), labels, value })
    }

    fn label(&self, wanted: &str) -> Option<String> {
        let mut rest = self.labels;
        while let Some((name, more)) = rest.split_once("=\"") {
            let end = more.find('"')?;
            if name.trim_start_matches([',', ' ']) == wanted {
                return Some(more[..end].to_owned());
            }
            rest = &more[end + 1..];
        }
        None
    }
}

impl Histogram {
    fn total(&self) -> f64 {
        let last = self.buckets.values().next_back().copied();
        self.count.or(last).unwrap_or(0.0)
    }

    /// Limits of the bucket with the sample of this rank, from 1 on; no upper one in the last.
    fn bucket(&self, rank: f64) -> (f64, Option<f64>) {
        let mut below = 0.0;
        for (bits, samples) in &self.buckets {
            let limit = f64::from_bits(*bits);
            if *samples >= rank {
                return (below, Some(limit).filter(|limit| limit.is_finite()));
            }
            below = if limit.is_finite() { limit } else { below };
        }
        (below, None)
    }

    /// What the buckets leave open of each figure. Quantiles lie between two order statistics, as those of
    /// other files do.
    fn range(&self) -> LatencyRange {
        let total = self.total();
        let quantile = |q: f64| {
            let place = (total - 1.0) * q;
            let (least, _) = self.bucket(place.floor() + 1.0);
            let (_, most) = self.bucket(place.ceil() + 1.0);
            (least, most)
        };
        let mut range =
            LatencyRange { lower: Distribution::default(), upper: Distribution::default() };
        let LatencyRange { lower, upper } = &mut range;
        (lower.count, upper.count) = (total as u64, total as u64);
        let mean = self.sum.map(|sum| sum / total);
        (lower.mean, upper.mean) = (mean, mean);
        let of = |q: f64| {
            let (least, most) = quantile(q);
            (Some(least), most)
        };
        (lower.min, upper.min) = of(0.0);
        (lower.p50, upper.p50) = of(0.5);
        (lower.p90, upper.p90) = of(0.9);
        (lower.p95, upper.p95) = of(0.95);
        (lower.p99, upper.p99) = of(0.99);
        (lower.p999, upper.p999) = of(0.999);
        (lower.max, upper.max) = of(1.0);
        range
    }
}

/// A result in which the latencies are bounds, and what single requests would tell is not known.
fn run(path: &Path, model: &str, of: &BTreeMap<Of, Histogram>) -> RunResult {
    let range = |which: Of| of.get(&which).map(Histogram::range);
    let nothing = LatencyRange { lower: Distribution::default(), upper: Distribution::default() };
    let known = |which: Of| range(which).unwrap_or(nothing);
    let counted = |which: Of| {
        let mut distribution = Distribution::default();
        if let Some(histogram) = of.get(&which) {
            distribution.count = histogram.total() as u64;
            distribution.mean = histogram.sum.map(|sum| sum / histogram.total());
        }
        distribution
    };
    let completed = of.get(&Of::E2e).or(of.get(&Of::Ttft)).map_or(0, |h| h.total() as u64);
    let mut summary = Summary::of_bounds(LatencyBounds {
        ttft_s: known(Of::Ttft),
        tbt_s: range(Of::Tbt),
        tpot_s: known(Of::Tpot),
        e2e_s: known(Of::E2e),
        normalized_latency_s_per_token: nothing,
        scheduling_delay_s: range(Of::Queue),
    });
    summary.requests = RequestCounts { offered: completed, completed, ..RequestCounts::default() };
    summary.ttft_s = counted(Of::Ttft);
    summary.tbt_s = of.contains_key(&Of::Tbt).then(|| counted(Of::Tbt));
    summary.tpot_s = counted(Of::Tpot);
    summary.e2e_s = counted(Of::E2e);
    summary.scheduling_delay_s = of.contains_key(&Of::Queue).then(|| counted(Of::Queue));
    let names = [
        (Of::Ttft, "ttft_s"),
        (Of::Tbt, "tbt_s"),
        (Of::Tpot, "tpot_s"),
        (Of::E2e, "e2e_s"),
        (Of::Queue, "scheduling_delay_s"),
    ];
    let (there, missing): (Vec<_>, Vec<_>) =
        names.iter().partition(|(which, _)| of.contains_key(which));
    let exact: Vec<String> = there.iter().map(|(_, name)| format!("{name}.mean")).collect();
    let bounds = there.iter().map(|(_, name)| format!("{name}: quantiles within their buckets"));
    let mut unknown: Vec<String> =
        missing.iter().map(|(_, name)| format!("{name}: the file has no such histogram")).collect();
    unknown.push("fluidity, rates, tokens: histograms tell nothing of single requests".to_owned());
    let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
    let label = if model.is_empty() { stem.into_owned() } else { format!("{stem}: {model}") };
    let why = "the file has histograms, and no request's own times".to_owned();
    let slo = Verdict { met: None, why: Some(why), terms: Vec::new() };
    RunResult {
        scheduler: "prometheus".to_owned(),
        label,
        summary,
        slo,
        judged_by: Vec::new(),
        stalls: None,
        iterations: None,
        routing: None,
        pools: None,
        disaggregation: None,
        kv_tiers: None,
        kv: None,
        fairness: None,
        sessions: None,
        classes: None,
        energy: None,
        cost: None,
        features: BTreeMap::new(),
        warnings: Vec::new(),
        inert: Vec::new(),
        unknown,
        measured: Some(MeasuredResult {
            file: path.display().to_string(),
            format: "prometheus".to_owned(),
            granularity: "histogram".to_owned(),
            exact,
            bounds: bounds.collect(),
            notes: vec![
                "all requests since the server started are in it, whoever sent them; take two scrapes' \
                 difference for a part"
                    .to_owned(),
            ],
            ..MeasuredResult::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le=\"0.1\",model_name=\"m\",engine=\"0\"} 2.0
vllm:time_to_first_token_seconds_bucket{le=\"0.25\",model_name=\"m\",engine=\"0\"} 3.0
vllm:time_to_first_token_seconds_bucket{le=\"+Inf\",model_name=\"m\",engine=\"0\"} 4.0
vllm:time_to_first_token_seconds_bucket{le=\"0.1\",model_name=\"m\",engine=\"1\"} 5.0
vllm:time_to_first_token_seconds_bucket{le=\"0.25\",model_name=\"m\",engine=\"1\"} 6.0
vllm:time_to_first_token_seconds_bucket{le=\"+Inf\",model_name=\"m\",engine=\"1\"} 6.0
vllm:time_to_first_token_seconds_count{model_name=\"m\",engine=\"0\"} 4.0
vllm:time_to_first_token_seconds_count{model_name=\"m\",engine=\"1\"} 6.0
vllm:time_to_first_token_seconds_sum{model_name=\"m\",engine=\"0\"} 1.2
vllm:time_to_first_token_seconds_sum{model_name=\"m\",engine=\"1\"} 0.8
vllm:num_requests_running{model_name=\"m\"} 3
";

    #[test]
    fn quantiles_lie_within_their_buckets() {
        let models = read(TEXT.as_bytes()).expect("fine");
        let range = models["m"][&Of::Ttft].range();
        // Seven of ten samples are at or below 0.1 s, nine at or below 0.25 s.
        assert_eq!((range.lower.p50, range.upper.p50), (Some(0.0), Some(0.1)));
        // Order statistics 9 and 10: the latter has no limit above.
        assert_eq!((range.lower.p90, range.upper.p90), (Some(0.1), None));
        assert_eq!((range.lower.max, range.upper.max), (Some(0.25), None));
        assert_eq!((range.lower.mean, range.upper.mean), (Some(0.2), Some(0.2)));
        assert_eq!(range.lower.count, 10);
    }

    #[test]
    fn what_is_no_histogram_is_told() {
        let fault = |text: &str| read(text.as_bytes()).expect_err(text).message;
        assert!(fault("# TYPE x counter\nx 3\n").contains("none of these histograms"));
        assert!(fault("vllm:e2e_request_latency_seconds_bucket{le=\"x\"} 1\n").contains("limit"));
        assert!(fault("what is this\n").contains("expected `name"));
        let falling = "e2e_request_latency_seconds_bucket{le=\"1\"} 5\n\
                       e2e_request_latency_seconds_bucket{le=\"2\"} 4\n";
        assert!(fault(falling).contains("do not grow"));
    }
}
