//! Measured attention times that an engine profile may carry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{InvalidFigure, positive};

/// Attention of one layer on one rank, measured on one model, GPU and TP, in place of the constants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttentionTable {
    /// Batches in which every request decodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<DecodeTable>,
    /// One prefill chunk alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill: Option<PrefillTable>,
}

/// Decode attention by decodes and KV tokens of each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecodeTable {
    /// Decodes in the batch, ascending.
    pub decodes: Vec<u32>,
    /// KV tokens of each decode, ascending.
    pub kv_tokens: Vec<u32>,
    /// A row for each of `decodes`, a time for each of `kv_tokens`, microseconds, never falling
    /// along either.
    pub layer_us: Vec<Vec<f64>>,
}

/// Prefill attention by tokens of the chunk and context before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrefillTable {
    /// Tokens of the chunk, ascending.
    pub tokens: Vec<u32>,
    /// Tokens already in KV, ascending, from 0.
    pub context: Vec<u32>,
    /// A row for each of `tokens`, a time for each of `context`, microseconds, never falling along
    /// either.
    pub layer_us: Vec<Vec<f64>>,
}

impl AttentionTable {
    pub(super) fn validate(&self) -> Result<(), InvalidFigure> {
        if let Some(table) = &self.decode {
            let path = "attention_table.decode";
            axis(&format!("{path}.decodes"), &table.decodes, 1)?;
            axis(&format!("{path}.kv_tokens"), &table.kv_tokens, 1)?;
            grid(path, &table.layer_us, table.decodes.len(), table.kv_tokens.len())?;
        }
        if let Some(table) = &self.prefill {
            let path = "attention_table.prefill";
            axis(&format!("{path}.tokens"), &table.tokens, 1)?;
            axis(&format!("{path}.context"), &table.context, 0)?;
            grid(path, &table.layer_us, table.tokens.len(), table.context.len())?;
        }
        Ok(())
    }
}

fn axis(path: &str, values: &[u32], first: u32) -> Result<(), InvalidFigure> {
    if values.len() < 2 || values[0] < first || values.windows(2).any(|w| w[0] >= w[1]) {
        let problem = format!("needs at least 2 numbers that ascend from {first} or more");
        return Err(InvalidFigure::new(path, problem));
    }
    Ok(())
}

fn grid(path: &str, rows: &[Vec<f64>], height: usize, width: usize) -> Result<(), InvalidFigure> {
    let path = format!("{path}.layer_us");
    if rows.len() != height || rows.iter().any(|row| row.len() != width) {
        let problem = format!("needs {height} rows of {width} times");
        return Err(InvalidFigure::new(&path, problem));
    }
    for &us in rows.iter().flatten() {
        positive(&path, us)?;
    }
    let along = rows.iter().any(|row| row.windows(2).any(|w| w[1] < w[0]));
    let across = rows.windows(2).any(|w| w[0].iter().zip(&w[1]).any(|(low, high)| high < low));
    if along || across {
        return Err(InvalidFigure::new(
            &path,
            "must never fall, in a row or from row to row".into(),
        ));
    }
    Ok(())
}
