//! Etalon's `request_level_metrics.json`: one object of parallel arrays, all times in seconds.
//!
//! `tbt` leaves out the first token. There are no timestamps and no failed requests, and the
//! deadlines behind its `deadline_miss_rate` are not in the file.

use std::io::Read;

use super::Progress;
use super::fault::Fault;
use super::json::Json;
use super::measured::{Granularity, Measured};
use super::parallel::{self, Arrays, Rules, counts, gaps, seconds};
use super::spool::Spool;

const KEYS: &[&str] =
    &["num_prompt_tokens", "num_output_tokens", "ttft", "tbt", "deadline_miss_rate"];

/// Reads every run of a file.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    parallel::objects(json, progress, object)
}

fn object<R: Read>(json: &mut Json<R>, spool: &Spool) -> Result<Measured, Fault> {
    let mut arrays = Arrays::default();
    let (mut miss_rates, mut judged) = (0.0, 0u32);
    let read = json.object(KEYS, |json, key| {
        match key {
            "num_prompt_tokens" => arrays.input_lens = Some(counts(json, key)?),
            "num_output_tokens" => arrays.output_lens = Some(counts(json, key)?),
            "ttft" => arrays.ttfts = Some(seconds(json, key)?),
            "tbt" => arrays.gaps = Some(gaps(json, key, spool)?),
            _ => json.list(|json| {
                if let Some(rate) = json.figure()? {
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
    let mut measured = arrays.build(Rules::default())?.finish(Granularity::Token)?;
    measured.knows.arrivals = false;
    measured
        .notes
        .push("failed requests are not in such a file: shares are over the others".into());
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
