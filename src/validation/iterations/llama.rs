//! Calls of llama.cpp's `llama_decode`, a JSON line each.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::read::{AllLines, OrderOfTime, json};
use super::{IDLE_S, IterationLog, Length, LogFormat, Step};
use crate::cost::{Chunk, Decodes};

#[derive(Deserialize)]
struct Line {
    t0_s: f64,
    t1_s: f64,
    /// Slots at work, with the task of each.
    #[serde(default)]
    busy: Vec<(u64, u64)>,
    /// Slot, tokens, position of the first of them, 1 if they are a prompt's.
    batch: Vec<(u64, u32, u32, u32)>,
}

pub(super) fn read(lines: &mut AllLines<'_>) -> Result<IterationLog, String> {
    let mut order = Vec::new();
    let mut of: BTreeMap<u64, Length> = BTreeMap::new();
    let mut timed: Vec<(Vec<Chunk>, Decodes, [f64; 2])> = Vec::new();
    let mut order_of_time = OrderOfTime::default();
    for (number, text) in lines {
        let Some(line) = json::<Line>(number, &text)? else { continue };
        let at = [line.t0_s, line.t1_s];
        if !at.iter().all(|s| s.is_finite()) || at[1] < at[0] {
            return Err(format!("line {number}: expected `t0_s` before `t1_s`, found {at:?}"));
        }
        order_of_time.next(number, at[0])?;
        let tasks: BTreeMap<u64, u64> = line.busy.iter().copied().collect();
        let (mut chunks, mut decodes, mut kv) = (Vec::new(), 0_u32, 0_u64);
        for &(slot, tokens, position, is_prompt) in line.batch.iter().filter(|entry| entry.1 > 0) {
            let task = tasks.get(&slot).copied();
            if is_prompt == 1 {
                chunks.push(Chunk { context: position, tokens });
            } else {
                decodes += tokens;
                kv += u64::from(position) + u64::from(tokens);
            }
            let Some(task) = task else { continue };
            let length = of.entry(task).or_insert_with(|| {
                order.push(task);
                Length::default()
            });
            match is_prompt == 1 {
                true => length.prompt = position.saturating_add(tokens),
                false => length.output = length.output.saturating_add(tokens),
            }
        }
        if !line.batch.is_empty() {
            timed.push((chunks, Decodes::one_token_each(decodes, kv), at));
        }
    }
    let step =
        |(index, (chunks, decodes, [begin, end])): (usize, &(Vec<Chunk>, Decodes, [f64; 2]))| {
            let gap = timed.get(index + 1).map(|(_, _, next)| next[0] - end);
            let gap = gap.filter(|gap| (0.0..IDLE_S).contains(gap));
            Step::new(chunks, *decodes, (end - begin) * 1e6, gap.map(|s| s * 1e6))
        };
    Ok(IterationLog {
        format: LogFormat::LlamaDecodes,
        steps: timed.iter().enumerate().map(step).collect(),
        // The first token comes out of the prompt's last call.
        lengths: order
            .iter()
            .map(|task| Length { output: of[task].output.saturating_add(1), ..of[task] })
            .collect(),
        asynchronous: Some(false),
        prefix_hits: false,
        notes: Vec::new(),
    })
}
