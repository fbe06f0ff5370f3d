//! What vLLM's `benchmarks/multi_turn` makes conversations from (`generate_multi_turn.json`, vLLM,
//! Apache-2.0): how many messages, prefixes and tokens. A user's message and the answer to it are a turn here,
//! and two of its `num_turns`.

use std::path::Path;

use super::ReadSessions;
use super::described::{Described, File, given};
use super::values::{Shape, Values};
use crate::workload::streams::{Purpose, Stream};
use crate::workload::zipf::Zipf;
use crate::workload::{GapKind, WorkloadError};
use crate::yaml::Node;

/// Reads a file and draws its conversations.
pub(super) fn read(path: &Path, seed: u64) -> Result<ReadSessions, WorkloadError> {
    let file = File::read(path)?;
    let root = &file.root;
    let conversations = file.count(file.needed(root, "num_conversations")?, "num_conversations")?;
    let (input, output) = (file.needed(root, "prompt_input")?, file.needed(root, "prompt_output")?);
    let common = match given(input, "common_prefix_num_tokens") {
        Some(node) => values(&file, node)?.draw(Stream::new(seed, Purpose::Prefix), 0),
        None => 0,
    };
    let described = Described {
        conversations,
        prefixes: vec![common],
        own_prefix: values(&file, file.needed(input, "prefix_num_tokens")?)?,
        messages: values(&file, file.needed(input, "num_turns")?)?,
        messages_a_turn: 2,
        input: values(&file, file.needed(input, "num_tokens")?)?,
        input_has_prefix: true,
        output: values(&file, file.needed(output, "num_tokens")?)?,
        gap_s: Values::constant(0.0),
        kind: GapKind::User,
    };
    let mut read = described.draw(path, seed)?;
    read.notes.push(
        "its conversations are drawn with the scenario's seed; each turn follows the answer before it at once, \
         as with `--request-rate 0`"
            .to_owned(),
    );
    Ok(read)
}

/// A distribution as the benchmark names it.
fn values(file: &File<'_>, node: &Node) -> Result<Values, WorkloadError> {
    let name = file.needed(node, "distribution")?;
    let number = |key: &str, least: f64| file.number(file.needed(node, key)?, key, least);
    let shape = match name.as_text().unwrap_or_default() {
        "constant" => Shape::Constant(number("value", 0.0)?),
        "uniform" => {
            let (min, max) = (number("min", 0.0)?, number("max", 0.0)?);
            if min > max {
                let message = format!("expected min <= max, found min {min} above max {max}");
                return Err(file.wrong(node, "min", message));
            }
            Shape::Uniform(min.ceil(), max.floor().max(min.ceil()))
        }
        "lognormal" if given(node, "average").is_some() => {
            let average = number("average", 1.0)?;
            let ratio = match given(node, "median_ratio") {
                Some(given) => file.number(given, "median_ratio", 0.0)?,
                None => 0.85,
            };
            if !(ratio > 0.0 && ratio < 1.0) {
                let message = format!("expected a number between 0 and 1, found {ratio}");
                return Err(file.wrong(node, "median_ratio", message));
            }
            let sigma = (-2.0 * libm::log(ratio)).sqrt();
            Shape::Lognormal { mu: libm::log(average * ratio), sigma }
        }
        "lognormal" => Shape::Lognormal { mu: number("mean", 0.0)?, sigma: number("sigma", 0.0)? },
        "zipf" => {
            let alpha = number("alpha", 1.0)?;
            if alpha <= 1.0 {
                let message = format!("expected a number above 1, found {alpha}");
                return Err(file.wrong(node, "alpha", message));
            }
            Shape::Zipf(Zipf::new(1 << 30, alpha))
        }
        "poisson" => {
            let mean = number("alpha", 0.0)?;
            if mean > 1e6 {
                return Err(file.wrong(node, "alpha", "expected at most a million"));
            }
            Shape::Poisson { mean }
        }
        _ => {
            let message = format!(
                "expected `constant`, `uniform`, `lognormal`, `zipf` or `poisson`, found {}",
                name.describe()
            );
            return Err(file.wrong(name, "distribution", message));
        }
    };
    let mut values = Values::new(shape);
    // Of a uniform one `max` is its own end.
    if !matches!(values.shape, Shape::Uniform(..) | Shape::Constant(_))
        && let Some(max) = given(node, "max")
    {
        values.max = file.number(max, "max", 1.0)?;
    }
    Ok(values)
}
