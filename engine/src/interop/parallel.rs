//! Files of parallel arrays, one entry a request: vLLM, SGLang and Etalon.

use std::collections::BTreeMap;
use std::io::Read;

use super::Progress;
use super::builder::{Builder, Sent, sum};
use super::ended::Ended;
use super::fault::Fault;
use super::json::{Json, SECONDS};
use super::measured::Measured;
use super::spool::{Numbers, Spool};

/// Tokens that can have come with the first one: those of one chunk.
const FIRST_CHUNK_MAX: u64 = 1 << 16;

/// The arrays of one run, as they come.
#[derive(Debug, Default)]
pub(super) struct Arrays {
    pub(super) input_lens: Option<Vec<u32>>,
    pub(super) output_lens: Option<Vec<u32>>,
    pub(super) ttfts: Option<Vec<u64>>,
    pub(super) gaps: Option<Gaps>,
    pub(super) starts: Option<Vec<u64>>,
    pub(super) queue: Option<Vec<u64>>,
    pub(super) totals: Option<Vec<u64>>,
    /// How each request ended that did not complete.
    pub(super) failed: Option<Vec<Option<Ended>>>,
    /// Requests of no error and no token.
    pub(super) empty: u64,
}

/// The gaps of all requests, one after another.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    gaps: Numbers,
    /// Where each request's gaps end.
    ends: Vec<usize>,
    spool: Spool,
}

/// What is special about a file's requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// Equal gaps one after another are one chunk's, spread over its tokens by the client, and
    /// tokens without a gap came with the first one (SGLang's own backend).
    pub(super) smoothed: bool,
}

/// Reads the objects of a file, each of them a run.
pub(super) fn objects<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
    object: impl Fn(&mut Json<R>, &Progress) -> Result<Measured, Fault>,
) -> Result<Vec<Measured>, Fault> {
    let mut runs = Vec::new();
    while json.another()? {
        let begin = json.position();
        runs.push(object(json, progress).map_err(|fault| fault.or_at(begin))?);
        progress.runs += 1;
    }
    Ok(runs)
}

impl Arrays {
    /// The arrays that are there, by name, with their lengths.
    fn lengths(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let lengths = [
            ("ttfts", self.ttfts.as_ref().map(Vec::len)),
            ("input_lens", self.input_lens.as_ref().map(Vec::len)),
            ("output_lens", self.output_lens.as_ref().map(Vec::len)),
            ("gaps", self.gaps.as_ref().map(|gaps| gaps.ends.len())),
            ("start times", self.starts.as_ref().map(Vec::len)),
            ("queue times", self.queue.as_ref().map(Vec::len)),
            ("latencies", self.totals.as_ref().map(Vec::len)),
            ("errors", self.failed.as_ref().map(Vec::len)),
        ];
        lengths.into_iter().filter_map(|(name, len)| Some((name, len?)))
    }

    /// The same fault, which ended the reading of these arrays, with what was read of them.
    pub(super) fn told(&self, fault: Fault) -> Fault {
        let whole = self.lengths().map(|(name, len)| format!("{len} {name}"));
        let read: Vec<String> = whole.chain(fault.read.clone()).collect();
        Fault { read: (!read.is_empty()).then(|| read.join(", ")), ..fault }
    }

    /// Requests in the arrays.
    ///
    /// # Errors
    /// When two arrays are of different lengths.
    pub(super) fn requests(&self) -> Result<Option<usize>, Fault> {
        let mut known = self.lengths();
        let Some((first, expected)) = known.next() else { return Ok(None) };
        for (name, len) in known {
            if len != expected {
                return Err(Fault::whole(format!(
                    "{len} {name} but {expected} {first}: entries are missing"
                )));
            }
        }
        Ok(Some(expected))
    }

    /// Adds every request to a builder. There must be TTFTs.
    ///
    /// # Errors
    /// When arrays do not fit each other, times are too large, or gaps cannot be read back.
    pub(super) fn build(&mut self, rules: Rules, progress: &Progress) -> Result<Builder, Fault> {
        let requests = self.requests()?.unwrap_or(0);
        let ttfts = self.ttfts.take().unwrap_or_default();
        let gaps = self.gaps.take().unwrap_or_default();
        let Gaps { gaps, ends, spool } = gaps;
        let mut builder = Builder::new(progress).ends_with_last_token();
        let (mut gaps, mut listed) = (gaps.read(), Vec::new());
        let mut begin = 0;
        for index in 0..requests {
            let output = self.output_lens.as_ref().map(|lens| lens[index]);
            let told = self.failed.as_ref().and_then(|failed| failed[index]);
            let sent = self.starts.as_ref().map_or(0, |starts| starts[index]);
            let end = ends.get(index).copied().unwrap_or(begin);
            let mut output = output;
            if output == Some(0) && told.is_none() && end > begin {
                // What came did come.
                builder.odd("have no output token, and gaps between tokens", || {
                    format!("{} gaps", end - begin)
                });
                output = None;
            }
            let failed = told.is_some() || output == Some(0);
            self.empty += u64::from(failed && told.is_none());
            let mut own = gaps.by_ref().take(end - begin);
            let count = (end - begin) as u64;
            begin = end;
            let mut first = None;
            if !failed {
                let mut at = sum(sent, ttfts[index])?;
                first = Some(at);
                if rules.smoothed {
                    let unlisted = u64::from(output.unwrap_or(0)).saturating_sub(count + 1);
                    if unlisted > FIRST_CHUNK_MAX {
                        return Err(Fault::whole(format!(
                            "request {index}: {unlisted} of its tokens have no gap: gaps are missing"
                        )));
                    }
                    (0..unlisted).for_each(|_| builder.token(at));
                    listed.clear();
                    listed.extend(own.by_ref());
                    for chunk in listed.chunk_by(|a, b| a == b) {
                        let whole = chunk[0].checked_mul(chunk.len() as u64);
                        at = sum(at, whole.unwrap_or(u64::MAX))?;
                        chunk.iter().for_each(|_| builder.token(at));
                    }
                } else {
                    for gap in own.by_ref() {
                        at = sum(at, gap)?;
                        builder.token(at);
                    }
                }
            }
            // Those of a failed request, if it has any.
            own.for_each(drop);
            builder.request(Sent {
                sent,
                first,
                prompt_tokens: self.input_lens.as_ref().map_or(0, |lens| lens[index]),
                output_tokens: output,
                ended: match failed {
                    true => told.unwrap_or(Ended::Failed),
                    false => Ended::Completed,
                },
                waited: self.queue.as_ref().map(|queue| queue[index]),
                total: self.totals.as_ref().map(|totals| totals[index]),
                ..Sent::default()
            })?;
        }
        match spool.lost() {
            Some(why) => Err(Fault::whole(format!("the temporary file cannot be read: {why}"))),
            None => Ok(builder),
        }
    }
}

/// Reads a list of times in seconds; null where the client has none. `key` names it in errors.
pub(super) fn seconds<R: Read>(json: &mut Json<R>, key: &str) -> Result<Vec<u64>, Fault> {
    list(json, key, |json| json.nanos(SECONDS))
}

/// Reads a list of counts.
pub(super) fn counts<R: Read>(json: &mut Json<R>, key: &str) -> Result<Vec<u32>, Fault> {
    list(json, key, Json::count)
}

/// Reads a list of error texts: what each that is one says. The texts are not kept.
pub(super) fn errors<R: Read>(json: &mut Json<R>, key: &str) -> Result<Vec<Option<Ended>>, Fault> {
    list(json, key, |json| {
        let text = json.string_or_skip()?.filter(|text| !text.is_empty());
        Ok(text.map(|text| Ended::by_text(&text)))
    })
}

/// Reads a figure that the client worked out, as a number or as the text of one; one that is not finite
/// is kept as NaN, for [`hold`](super::contradictions::hold) to judge.
pub(super) fn reported<R: Read>(
    json: &mut Json<R>,
    name: &str,
    all: &mut BTreeMap<String, f64>,
) -> Result<Option<f64>, Fault> {
    let at = json.position();
    let value = json.figure_or_nan()?;
    if let Some(value) = value {
        if value < 0.0 {
            return Err(Fault::at(at, format!("`{name}` is {value}, which is negative")));
        }
        all.insert(name.to_owned(), value);
    }
    Ok(value)
}

fn list<R: Read, T>(
    json: &mut Json<R>,
    key: &str,
    mut one: impl FnMut(&mut Json<R>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut all = Vec::new();
    let read = json.list(|json| {
        all.push(one(json)?);
        Ok(())
    });
    read.map_err(|fault| fault.after(all.len(), key))?;
    Ok(all)
}

/// Reads a list of lists of gaps in seconds.
pub(super) fn gaps<R: Read>(json: &mut Json<R>, key: &str, spool: &Spool) -> Result<Gaps, Fault> {
    let gaps = Numbers::new(spool.clone());
    let mut all = Gaps { gaps, ends: Vec::new(), spool: spool.clone() };
    let read = json.list(|json| {
        json.list(|json| {
            all.gaps.push(json.nanos(SECONDS)?);
            Ok(())
        })?;
        all.ends.push(all.gaps.len());
        Ok(())
    });
    read.map_err(|fault| fault.after(all.ends.len(), key))?;
    Ok(all)
}
