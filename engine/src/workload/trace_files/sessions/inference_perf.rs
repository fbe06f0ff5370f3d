//! Conversations of inference-perf's configuration (kubernetes-sigs/inference-perf, Apache-2.0): `data.type`
//! `conversation_replay`, or `shared_prefix`, of one turn each or of several (`enable_multi_turn_chat`).

use std::path::Path;

use super::ReadSessions;
use super::described::{Described, File, given};
use super::values::{Shape, Values};
use crate::workload::streams::{Purpose, Stream};
use crate::workload::{GapKind, WorkloadError};
use crate::yaml::{Node, Value};

/// Reads a file and draws its conversations.
pub(super) fn read(path: &Path, seed: u64) -> Result<ReadSessions, WorkloadError> {
    let file = File::read(path)?;
    let data = file.needed(&file.root, "data")?;
    let kind = file.needed(data, "type")?;
    let (described, how) = match kind.as_text().unwrap_or_default() {
        "conversation_replay" => {
            (conversations(&file, file.needed(data, "conversation_replay")?)?, "conversations")
        }
        "shared_prefix" => {
            let of = file.needed(data, "shared_prefix")?;
            (shared_prefix(&file, of, seed)?, "users with a shared prefix")
        }
        _ => {
            let message = format!(
                "expected `conversation_replay` or `shared_prefix`, found {}",
                kind.describe()
            );
            return Err(file.wrong(kind, "data.type", message));
        }
    };
    let mut read = described.draw(path, seed)?;
    read.notes.push(format!(
        "its {how} are drawn with the scenario's seed; of the rest of the configuration nothing is used but \
         `load.stages` for the number of rounds"
    ));
    Ok(read)
}

fn conversations(file: &File<'_>, of: &Node) -> Result<Described, WorkloadError> {
    let each = |key: &str, or: f64| {
        given(of, key).map_or(Ok(Values::constant(or)), |node| distribution(file, node, key))
    };
    let count = match given(of, "num_conversations") {
        Some(node) => file.count(node, "num_conversations")?,
        None => 200,
    };
    Ok(Described {
        conversations: count,
        prefixes: vec![file.number_or(of, "shared_system_prompt_len", 8359.0)? as u32],
        own_prefix: each("dynamic_system_prompt_len", 0.0)?,
        messages: each("turns_per_conversation", 10.0)?,
        messages_a_turn: 1,
        input: each("input_tokens_per_turn", 512.0)?,
        input_has_prefix: false,
        output: each("output_tokens_per_turn", 256.0)?,
        gap_s: each("tool_call_latency_sec", 0.0)?,
        kind: GapKind::Tool,
    })
}

fn shared_prefix(file: &File<'_>, of: &Node, seed: u64) -> Result<Described, WorkloadError> {
    let either = |names: [&str; 2]| {
        let node = names.into_iter().find_map(|name| Some((given(of, name)?, name)));
        node.map_or(Ok(10), |(node, name)| file.count(node, name))
    };
    let groups = either(["num_unique_system_prompts", "num_groups"])?;
    let users = either(["num_users_per_system_prompt", "num_prompts_per_group"])?;
    let length = |key: &str, legacy: &str, or: f64| match (given(of, key), given(of, legacy)) {
        (Some(node), _) if matches!(node.value, Value::Map(_)) => distribution(file, node, key),
        (_, Some(node)) => distribution(file, node, legacy),
        (Some(node), None) => Ok(Values::constant(file.number(node, key, 0.0)?)),
        (None, None) => Ok(Values::constant(or)),
    };
    let system = length("system_prompt_len", "", 100.0)?;
    let prefix = Stream::new(seed, Purpose::Prefix);
    let all = groups.checked_mul(users).filter(|all| *all <= crate::workload::MAX_REQUESTS);
    let all = all.ok_or_else(crate::workload::arrivals::too_many_requests)?;
    let talks = given(of, "enable_multi_turn_chat")
        .is_some_and(|node| matches!(node.value, Value::Bool(true)));
    // Users take turns for as long as requests are sent; without more turns each prompt is sent once.
    let rounds = match talks {
        true => (stages(file)? / f64::from(all)).ceil().max(1.0),
        false => 1.0,
    };
    Ok(Described {
        conversations: all,
        prefixes: (0..groups).map(|group| system.draw(prefix, group.into())).collect(),
        own_prefix: Values::constant(0.0),
        messages: Values::constant(rounds),
        messages_a_turn: 1,
        input: length("question_len", "question_distribution", 50.0)?,
        input_has_prefix: false,
        output: length("output_len", "output_distribution", 50.0)?,
        gap_s: Values::constant(0.0),
        kind: GapKind::User,
    })
}

/// Requests of all stages of the load.
fn stages(file: &File<'_>) -> Result<f64, WorkloadError> {
    let load = file.needed(&file.root, "load")?;
    let stages = file.needed(load, "stages")?;
    let Value::List(all) = &stages.value else {
        let message = format!("expected a list, found {}", stages.describe());
        return Err(file.wrong(stages, "load.stages", message));
    };
    let mut requests = 0.0;
    for stage in all {
        requests += match given(stage, "num_requests") {
            Some(node) => file.number(node, "num_requests", 0.0)?,
            None => {
                let rate = file.number(file.needed(stage, "rate")?, "rate", 0.0)?;
                rate * file.number(file.needed(stage, "duration")?, "duration", 0.0)?
            }
        };
    }
    Ok(requests)
}

/// A distribution as inference-perf names it: normal unless it says otherwise, of 10 to 1024.
fn distribution(file: &File<'_>, node: &Node, field: &str) -> Result<Values, WorkloadError> {
    if let Value::Int(_) | Value::Float(..) = node.value {
        return Ok(Values::constant(file.number(node, field, 0.0)?));
    }
    let (min, max) = (file.number_or(node, "min", 10.0)?, file.number_or(node, "max", 1024.0)?);
    let mean = file.number_or(node, "mean", 512.0)?;
    let sd = match given(node, "variance") {
        Some(variance) => file.number(variance, "variance", 0.0)?.sqrt(),
        None => file.number_or(node, "std_dev", 200.0)?,
    };
    if min > max {
        let message = format!("expected min <= max, found min {min} above max {max}");
        return Err(file.wrong(node, field, message));
    }
    let kind = given(node, "type").map(|node| (node, node.as_text().unwrap_or_default()));
    let shape = match kind {
        None | Some((_, "normal")) => Shape::Normal { mean, sd },
        // What is fixed is not clipped.
        Some((_, "fixed")) => return Ok(Values::constant(mean)),
        Some((_, "uniform")) => Shape::Uniform(min, max),
        Some((_, "poisson")) => Shape::Poisson { mean: mean.min(1e6) },
        Some((node, "lognormal")) if mean <= 0.0 => {
            return Err(file.wrong(node, field, "expected a mean above 0 for a lognormal"));
        }
        Some((_, "lognormal")) => Values::lognormal(mean, sd),
        Some((node, _)) => {
            let message = format!(
                "expected `normal`, `lognormal`, `uniform`, `poisson` or `fixed`, found {}",
                node.describe()
            );
            return Err(file.wrong(node, field, message));
        }
    };
    Ok(Values { min, max, ..Values::new(shape) })
}
