//! Steps as a subclass of vLLM's scheduler writes them down, a JSON line each.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::read::{AllLines, OrderOfTime, json};
use super::{IDLE_S, IterationLog, Length, LogFormat, Step};
use crate::cost::{Chunk, Decodes};

#[derive(Deserialize)]
struct Line {
    schedule_start_s: f64,
    schedule_end_s: f64,
    /// Null where the log ends before the step.
    update_start_s: Option<f64>,
    update_end_s: Option<f64>,
    /// `[request, tokens, computed before]`, and drafts among the tokens.
    batch: Vec<Vec<u64>>,
    #[serde(default)]
    emitted: BTreeMap<String, u64>,
}

struct Timed {
    chunks: Vec<Chunk>,
    decodes: Decodes,
    at: [f64; 4],
}

pub(super) fn read(lines: &mut AllLines<'_>) -> Result<IterationLog, String> {
    let mut lengths = Lengths::default();
    let mut timed = Vec::new();
    let mut order = OrderOfTime::default();
    for (number, text) in lines {
        let Some(line) = json::<Line>(number, &text)? else { continue };
        let batch = lengths.take(&line).map_err(|problem| format!("line {number}: {problem}"))?;
        let (Some(update_start), Some(update_end)) = (line.update_start_s, line.update_end_s)
        else {
            continue;
        };
        let at = [line.schedule_start_s, line.schedule_end_s, update_start, update_end];
        if !at.iter().all(|s| s.is_finite()) || at.windows(2).any(|w| w[1] < w[0]) {
            return Err(format!(
                "line {number}: expected scheduling and update one after the other, found {at:?}"
            ));
        }
        order.next(number, at[0])?;
        if !line.batch.is_empty() {
            timed.push(Timed { chunks: batch.0, decodes: batch.1, at });
        }
    }
    let overlaps = |w: &&[Timed]| w[1].at[0] < w[0].at[3];
    let overlapping = timed.windows(2).filter(overlaps).count();
    let asynchronous = overlapping * 2 > timed.len();
    let mut steps = Vec::with_capacity(timed.len());
    let mut before = f64::NEG_INFINITY;
    for (index, step) in timed.iter().enumerate() {
        let [schedule_start, schedule_end, update_start, update_end] = step.at;
        let own = schedule_end - schedule_start + (update_end - update_start);
        let (gpu, host) = match asynchronous {
            // A step lasts from one update to the next: what overlaps is no time of its own.
            true => (update_end - schedule_start.max(before), Some(own)),
            false => {
                let next = timed.get(index + 1).map(|next| next.at[0] - update_end);
                let gap = next.filter(|gap| (0.0..IDLE_S).contains(gap));
                (update_start - schedule_end, gap.map(|gap| own + gap))
            }
        };
        before = update_end;
        steps.push(Step::new(&step.chunks, step.decodes, gpu * 1e6, host.map(|s| s * 1e6)));
    }
    Ok(IterationLog {
        format: LogFormat::SchedulerSteps,
        steps,
        lengths: lengths.in_order(),
        asynchronous: Some(asynchronous),
        prefix_hits: lengths.prefix_hits,
        notes: Vec::new(),
    })
}

/// Who got tokens so far.
#[derive(Default)]
struct Lengths {
    of: BTreeMap<u64, Length>,
    order: Vec<u64>,
    /// Who was in a batch.
    met: BTreeSet<u64>,
    prefix_hits: bool,
}

impl Lengths {
    /// A batch's chunks and decodes. A request decodes once it has a token and computes one more.
    fn take(&mut self, line: &Line) -> Result<(Vec<Chunk>, Decodes), String> {
        let (mut chunks, mut decodes, mut tokens, mut kv) = (Vec::new(), 0_u32, 0_u32, 0_u64);
        // A log may begin while requests run.
        let begun = !self.met.is_empty();
        for entry in &line.batch {
            let &[request, computed, before, ..] = &entry[..] else {
                return Err("expected [request, tokens, computed before] in `batch`".to_owned());
            };
            let drafts = entry.get(3).copied().unwrap_or(0);
            let [computed, drafts, context] = [computed, drafts, before].map(u32::try_from);
            let (Ok(computed), Ok(drafts), Ok(context)) = (computed, drafts, context) else {
                return Err("expected numbers of tokens in `batch`".to_owned());
            };
            if computed == 0 {
                continue;
            }
            self.prefix_hits |= self.met.insert(request) && begun && context > 0;
            if self.of.contains_key(&request) && computed.saturating_sub(drafts) == 1 {
                decodes += 1;
                tokens += computed;
                kv += before + u64::from(computed);
            } else {
                chunks.push(Chunk { context, tokens: computed });
            }
            let got = line.emitted.get(&request.to_string()).copied().unwrap_or(0);
            if got > 0 {
                let length = self.of.entry(request).or_insert_with(|| {
                    self.order.push(request);
                    Length { prompt: context.saturating_add(computed), output: 0 }
                });
                length.output = length.output.saturating_add(u32::try_from(got).unwrap_or(0));
            }
        }
        Ok((chunks, Decodes::verifying(decodes, tokens, kv)))
    }

    fn in_order(&self) -> Vec<Length> {
        self.order.iter().map(|request| self.of[request]).collect()
    }
}
