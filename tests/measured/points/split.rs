//! How the GPUs of a row's server were split.
//!
//! InferenceMAX's launch scripts of 2025 chose by the number of users whether experts were whole, and whether
//! attention was data-parallel; its table did not say, and rows without a version are of that time
//! (SemiAnalysisAI/InferenceX: `benchmarks/dsr1_fp4_b200_trt_slurm.sh`, `dsr1_fp8_h200_trt_slurm.sh`,
//! `gptoss_fp4_b200_trt_slurm.sh` of 2025-10-10, `dsr1_fp4_b200_docker.sh` of 2025-11-05). Its script for MiniMax on
//! H200 gives every server whole experts since 2026-03-13, with which the eight-GPU rows were measured
//! (`minimaxm2.5_fp8_h200.sh`: `EP_SIZE` of at least 1).

use super::{Dropped, Engine, Row};

/// Tensor-parallel and data-parallel ranks, and whether experts are whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) tensor: u32,
    pub(super) data: u32,
    pub(super) expert: bool,
}

/// The split of a row, by the table or by the script that launched its server.
pub(super) fn split(row: &Row, engine: Engine, model: &str, gpu: &str) -> Result<Split, Dropped> {
    let told = told(row)?;
    let unversioned = row.text("backend_version").is_empty();
    let launched = match unversioned && told.data == 1 && !told.expert {
        true => launched(row, engine, model, gpu, told.tensor),
        false => None,
    };
    let whole = model == "minimax-m2" && gpu == "h200-sxm" && told.tensor == 8;
    Ok(launched.unwrap_or(Split { expert: told.expert || whole, ..told }))
}

/// What the script of its time launched.
fn launched(row: &Row, engine: Engine, model: &str, gpu: &str, tensor: u32) -> Option<Split> {
    let [prompt, output, users] =
        ["isl", "osl", "concurrency"].map(|column| row.whole(column).expect("a number"));
    let long = prompt == 8192;
    let deepseek = model.starts_with("deepseek");
    let (whole_over, data_over) = match (engine, gpu) {
        (Engine::Sglang, "b200-sxm") if deepseek && row.text("precision") == "fp4" => (0, u32::MAX),
        (Engine::TensorRtLlm, "h200-sxm") if deepseek => (0, if long { 32 } else { 64 }),
        (Engine::TensorRtLlm, "b200-sxm") if deepseek => {
            let whole = match (tensor, long, output) {
                (8, false, 1024) => 8,
                (8, false, 8192) => 16,
                _ => 32,
            };
            (whole, if long { 32 } else { 255 })
        }
        (Engine::TensorRtLlm, "b200-sxm") if model == "gpt-oss-120b" => {
            (if tensor >= 4 && !long { 15 } else { 255 }, 255)
        }
        _ => return None,
    };
    let expert = users > whole_over;
    Some(match users > data_over {
        true => Split { tensor: 1, data: tensor, expert },
        false => Split { tensor, data: 1, expert },
    })
}

/// What the table tells.
///
/// Some rows count GPUs twice. Rows of one measurement show it: `tp8_ep8` of one date has `tp_size 64,
/// moe_tp 8, moe_ep 8` where that of another has `tp_size 8, moe_tp 1, moe_ep 8`, and the times are the
/// same to the last digit; `attention_dp` likewise. Two rows of data-parallel attention are said as
/// `tp 4, dp 4, moe_ep 16`, on a node of 8 GPUs.
fn told(row: &Row) -> Result<Split, Dropped> {
    let [tensor, data, slices, whole] =
        ["tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size"]
            .map(|column| row.whole(column).unwrap_or(1).max(1));
    let of_a_sweep = row.whole("attention_dp_size").is_some();
    if of_a_sweep && whole > 1 && slices == whole && tensor * data == slices * whole {
        return Ok(match data > 1 {
            true => Split { tensor: 1, data: whole, expert: true },
            false => Split { tensor: whole, data: 1, expert: true },
        });
    }
    if data > 1 && tensor == data && slices == 1 && whole == tensor * data {
        return Ok(Split { tensor: 1, data, expert: true });
    }
    if whole > 1 && slices > 1 {
        return Err(Dropped::ExpertsBothWays);
    }
    Ok(Split { tensor, data, expert: whole > 1 })
}
