//! Etalon's `request_level_metrics.json`: one object of parallel arrays, all times in seconds.
//!
//! `tbt` leaves out the first token. There are no timestamps and no failed requests, and the
//! deadlines behind its `deadline_miss_rate` are not in the file.

use std::collections::BTreeMap;
use std::io::Read;

use super::Progress;
use super::fault::Fault;
use super::json::Json;
use super::measured::{Granularity, Measured};
use super::parallel::{self, Arrays, Rules, counts, gaps, seconds};

const MISS_RATE: &str = "deadline_miss_rate";

const KEYS: &[&str] = &[
    "num_prompt_tokens",
    "num_output_tokens",
    "num_total_tokens",
    "ttft",
    "tbt",
    "end_to_end_latency",
    "normalized_end_to_end_latency",
    "tpot",
    MISS_RATE,
    "output_throughput",
];

/// Reads every run of a file.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    parallel::objects(json, progress, object)
}

fn object<R: Read>(json: &mut Json<R>, progress: &Progress) -> Result<Measured, Fault> {
    let mut arrays = Arrays::default();
    let mut token_sums: Option<Vec<u32>> = None;
    let mut figures: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    let read = json.object(KEYS, |json, key| {
        match key {
            "num_prompt_tokens" => arrays.input_lens = Some(counts(json, key)?),
            "num_output_tokens" => arrays.output_lens = Some(counts(json, key)?),
            "ttft" => arrays.ttfts = Some(seconds(json, key)?),
            "end_to_end_latency" => arrays.totals = Some(seconds(json, key)?),
            "num_total_tokens" => token_sums = Some(counts(json, key)?),
            "tbt" => arrays.gaps = Some(gaps(json, key, &progress.spool)?),
            _ => {
                let of = figures.entry(key).or_default();
                json.list(|json| {
                    let at = json.position();
                    let figure = json.figure()?;
                    let wrong =
                        figure.filter(|figure| *figure < 0.0 || key == MISS_RATE && *figure > 1.0);
                    if let Some(wrong) = wrong {
                        let what = if key == MISS_RATE { "no share" } else { "negative" };
                        return Err(Fault::at(at, format!("`{key}` is {wrong}: {what}")));
                    }
                    of.push(figure);
                    Ok(())
                })?;
            }
        }
        Ok(())
    });
    read.map_err(|fault| arrays.told(fault))?;
    if arrays.ttfts.is_none() || arrays.gaps.is_none() {
        return Err(Fault::whole("`ttft` or `tbt` is missing"));
    }
    let requests = arrays.requests()?.unwrap_or(0);
    if let Some((name, of)) = figures.iter().find(|(_, of)| of.len() != requests) {
        let entries = of.len();
        return Err(Fault::whole(format!(
            "{entries} {name} but {requests} ttft: entries are missing"
        )));
    }
    let wrong_sums = token_sums.map_or(0, |sums| differing(&arrays, &sums));
    let odd = figures.iter().filter_map(|(name, of)| odd(&arrays, name, of)).collect::<Vec<_>>();
    let mut measured = arrays.build(Rules::default(), progress)?.finish(Granularity::Token)?;
    measured.knows.arrivals = false;
    measured
        .notes
        .push("failed requests are not in such a file: shares are over the others".into());
    if wrong_sums > 0 {
        measured.contradictions.push(format!(
            "`num_total_tokens` is not the sum of prompt and output tokens of {wrong_sums} requests"
        ));
    }
    measured.contradictions.extend(odd);
    for name in ["tpot", "normalized_end_to_end_latency", MISS_RATE] {
        let known = figures.get(name).into_iter().flatten().flatten();
        let (sum, count) = known.fold((0.0, 0u32), |(sum, count), one| (sum + one, count + 1));
        if count > 0 {
            measured.reported.insert(format!("mean_{name}"), sum / f64::from(count));
        }
    }
    if measured.reported.contains_key("mean_deadline_miss_rate") {
        measured.notes.push(
            "the file's own deadline_miss_rate was judged by deadlines that it does not state"
                .to_owned(),
        );
    }
    Ok(measured)
}

/// What of a list of figures is not what its requests' latencies and tokens give: of how many.
fn odd(arrays: &Arrays, name: &str, figures: &[Option<f64>]) -> Option<String> {
    let (totals, outputs) = (arrays.totals.as_ref()?, arrays.output_lens.as_ref()?);
    let ttfts = arrays.ttfts.as_ref()?;
    let own = |request: usize| {
        let [total, ttft] = [totals[request], ttfts[request]].map(|ns| ns as f64 / 1e9);
        let tokens = f64::from(outputs[request]);
        match name {
            "tpot" if tokens > 1.0 => Some((total - ttft) / (tokens - 1.0)),
            "normalized_end_to_end_latency" if tokens > 0.0 => Some(total / tokens),
            "output_throughput" if total > 0.0 => Some(tokens / total),
            _ => None,
        }
    };
    let differs = |(request, told): (usize, &Option<f64>)| {
        let (Some(told), Some(own)) = (*told, own(request)) else { return false };
        (told - own).abs() > (told.max(own) * 0.25).max(0.001)
    };
    let differing = figures.iter().enumerate().filter(|one| differs(*one)).count();
    (differing * 100 > figures.len())
        .then(|| format!("`{name}` is not what times and tokens of {differing} requests give"))
}

/// Requests whose prompt and output tokens do not add up to what the file says of both.
fn differing(arrays: &Arrays, sums: &[u32]) -> usize {
    let (Some(inputs), Some(outputs)) = (&arrays.input_lens, &arrays.output_lens) else { return 0 };
    let added = inputs.iter().zip(outputs).map(|(a, b)| a.saturating_add(*b));
    let all = inputs.len().max(sums.len());
    all - added.zip(sums).filter(|(added, sum)| added == *sum).count().min(all)
}
