//! Measured attention times, looked up: linear between the points of a grid, and beyond its edge
//! the edge's time scaled as the constants' own price grows.

use crate::catalog::{self, AttentionTable};

/// The tables of a profile.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) decode: Option<Grid>,
    pub(super) prefill: Option<Grid>,
}

impl Measured {
    pub(super) fn new(table: Option<&AttentionTable>) -> Measured {
        let decode = |t: &catalog::DecodeTable| Grid::new(&t.decodes, &t.kv_tokens, &t.layer_us);
        let prefill = |t: &catalog::PrefillTable| Grid::new(&t.tokens, &t.context, &t.layer_us);
        Measured {
            decode: table.and_then(|t| t.decode.as_ref()).map(decode),
            prefill: table.and_then(|t| t.prefill.as_ref()).map(prefill),
        }
    }
}

/// Times over two ascending axes.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    rows: Vec<f64>,
    columns: Vec<f64>,
    us: Vec<Vec<f64>>,
}

impl Grid {
    fn new(rows: &[u32], columns: &[u32], us: &[Vec<f64>]) -> Grid {
        let axis = |values: &[u32]| values.iter().map(|&v| f64::from(v)).collect();
        Grid { rows: axis(rows), columns: axis(columns), us: us.to_vec() }
    }

    /// The time at a point; `model` is the price by constants.
    pub(super) fn us(&self, row: f64, column: f64, model: impl Fn(f64, f64) -> f64) -> f64 {
        let (row_at, row_part, row_edge) = place(&self.rows, row);
        let (column_at, column_part, column_edge) = place(&self.columns, column);
        let along = |r: usize| {
            let [low, high] = [self.us[r][column_at], self.us[r][column_at + 1]];
            low + (high - low) * column_part
        };
        let (low, high) = (along(row_at), along(row_at + 1));
        let inside = low + (high - low) * row_part;
        if row_edge == row && column_edge == column {
            return inside;
        }
        inside * model(row, column) / model(row_edge, column_edge)
    }
}

/// The interval of an axis, how far into it, and the nearest value on the axis. A grid's axis has at
/// least two values.
fn place(axis: &[f64], value: f64) -> (usize, f64, f64) {
    let last = axis.len() - 1;
    let edge = value.clamp(axis[0], axis[last]);
    let at = axis.partition_point(|&v| v <= edge).clamp(1, last) - 1;
    (at, (edge - axis[at]) / (axis[at + 1] - axis[at]), edge)
}
