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

const KEYS: &[&str] = &[
    "num_prompt_tokens",
    "num_output_tokens",
    "num_total_tokens",
    "ttft",
    "tbt",
    "end_to_end_latency",
    "normalized_end_to_end_latency",
    "tpot",
    "deadline_miss_rate",
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
    let (mut miss_rates, mut judged) = (0.0, 0u32);
    let mut reported = BTreeMap::new();
    let read = json.object(KEYS, |json, key| {
        match key {
            "num_prompt_tokens" => arrays.input_lens = Some(counts(json, key)?),
            "num_output_tokens" => arrays.output_lens = Some(counts(json, key)?),
            "ttft" => arrays.ttfts = Some(seconds(json, key)?),
            "end_to_end_latency" => arrays.totals = Some(seconds(json, key)?),
            "num_total_tokens" => token_sums = Some(counts(json, key)?),
            "tbt" => arrays.gaps = Some(gaps(json, key, &progress.spool)?),
            "tpot" | "normalized_end_to_end_latency" => {
                let (mut sum, mut all) = (0.0, 0u32);
                json.list(|json| {
                    if let Some(seconds) = json.figure()? {
                        (sum, all) = (sum + seconds, all + 1);
                    }
                    Ok(())
                })?;
                if all > 0 {
                    reported.insert(format!("mean_{key}"), sum / f64::from(all));
                }
            }
            _ => json.list(|json| {
                let at = json.position();
                if let Some(rate) = json.figure()? {
                    if !(0.0..=1.0).contains(&rate) {
                        return Err(Fault::at(at, format!("`{key}` is {rate}: no share")));
                    }
                    miss_rates += rate;
                    judged += 1;
                }
                Ok(())
            })?,
        }
        Ok(())
    });
    read.map_err(|fault| arrays.told(fault))?;
    if arrays.ttfts.is_none() || arrays.gaps.is_none() {
        return Err(Fault::whole("`ttft` or `tbt` is missing"));
    }
    let wrong_sums = token_sums.map_or(0, |sums| differing(&arrays, &sums));
    let mut measured = arrays.build(Rules::default(), progress)?.finish(Granularity::Token)?;
    measured.knows.arrivals = false;
    measured.reported = reported;
    measured
        .notes
        .push("failed requests are not in such a file: shares are over the others".into());
    if wrong_sums > 0 {
        measured.contradictions.push(format!(
            "`num_total_tokens` is not the sum of prompt and output tokens of {wrong_sums} requests"
        ));
    }
    if judged > 0 {
        let mean = miss_rates / f64::from(judged);
        measured.reported.insert("mean_deadline_miss_rate".to_owned(), mean);
        measured.notes.push(
            "the file's own deadline_miss_rate was judged by deadlines that it does not state"
                .to_owned(),
        );
    }
    Ok(measured)
}

/// Requests whose prompt and output tokens do not add up to what the file says of both.
fn differing(arrays: &Arrays, sums: &[u32]) -> usize {
    let (Some(inputs), Some(outputs)) = (&arrays.input_lens, &arrays.output_lens) else { return 0 };
    let added = inputs.iter().zip(outputs).map(|(a, b)| a.saturating_add(*b));
    let all = inputs.len().max(sums.len());
    all - added.zip(sums).filter(|(added, sum)| added == *sum).count().min(all)
}
