//! From a row of prefill and decode apart to a point: how it is read, and why some rows are none.

use std::collections::BTreeSet;

use super::apart::{Apart, Workers};
use super::expressed::{dtype, engine, gpu, model, of_model_opt};
use super::{Engine, Row};

/// Why a row is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotApart {
    Colocated,
    SameMeasurement,
    WorkersUnknown,
    UsersUnknown,
}

impl NotApart {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            NotApart::Colocated => "prefill and decode on the same servers: `public_points`",
            NotApart::SameMeasurement => {
                "the number of workers is not given, and is in another row with the same times to the last \
                 digit, which is compared"
            }
            NotApart::WorkersUnknown => "the number of workers was not recorded",
            NotApart::UsersUnknown => "the number of users was not recorded",
        }
    }
}

/// The times of rows that say how many workers there were: other rows of the same measurements do not.
pub(crate) fn times_with_workers(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().filter(|row| row.whole("prefill_num_workers").is_some()).map(times).collect()
}

fn times(row: &Row) -> String {
    format!("{} {}", row.text("silicon_ttft_ms"), row.text("silicon_tpot_ms"))
}

/// The point of a row.
pub(crate) fn express_apart(row: &Row, known: &BTreeSet<String>) -> Result<Apart, NotApart> {
    if row.text("mode") != "disagg" {
        return Err(NotApart::Colocated);
    }
    if row.whole("prefill_num_workers").is_none() {
        let same = known.contains(&times(row));
        return Err(if same { NotApart::SameMeasurement } else { NotApart::WorkersUnknown });
    }
    let Some(users) = row.whole("concurrency").filter(|&users| users > 0) else {
        return Err(NotApart::UsersUnknown);
    };
    let (engine, gpu) = (engine(row), gpu(row));
    let model = model(row.text("model_path"));
    let [prefill, decode] = ["prefill", "decode"].map(|role| workers(row, role, engine, gpu));
    Ok(Apart {
        model,
        gpu,
        engine,
        version: row.text("backend_version").to_owned(),
        dtype: dtype(model, row.text("precision")),
        kv_in_fp8: kv_in_fp8(row, engine, model),
        prompt: row.whole("isl").expect("a length"),
        output: row.whole("osl").expect("a length"),
        users,
        prefill,
        decode,
        ttft_ms: row.number("silicon_ttft_ms"),
        tpot_ms: row.number("silicon_tpot_ms"),
    })
}

/// Whether K and V are in 8 bits. TensorRT-LLM's example of DeepSeek sets `kv_cache_config: {dtype: fp8}` for all
/// formats, and in 16 bits the KV of 512 users with prompts of 8,192 tokens, which one row has on eight
/// H200, takes 33 GB a GPU, where weights leave 23.
fn kv_in_fp8(row: &Row, engine: Engine, model: &str) -> bool {
    let of_checkpoint = of_model_opt(model, row.text("precision"));
    engine == Engine::TensorRtLlm && (of_checkpoint || model.starts_with("deepseek"))
}

/// Whether a GPU is one of a rack whose GPUs all reach each other's memory.
fn of_a_rack(gpu: &str) -> bool {
    gpu.starts_with("gb")
}

/// The workers of a role. Two things are read otherwise than they are written:
///
/// - vLLM with `tp 16, ep 16` has 16 data-parallel ranks. With 16 tensor-parallel ones each GPU would read the
///   latent KV of all requests: from 256 to 1,024 users 75 GB more a step, 9 ms at a GB200's 8 TB/s, and
///   a step took 1.9 ms longer.
/// - SGLang's data-parallel ranks of a rack hold whole experts, also where the row has `ep 1`: DeepEP, which
///   its guide for GB200 takes there, sets the expert-parallel size to the number of GPUs
///   (`server_args.py`). Slices for 32 ranks would be 64 wide, half a block of the checkpoint's fp8.
fn workers(row: &Row, role: &str, engine: Engine, gpu: &str) -> Workers {
    let of = |column: &str| row.whole(&format!("{role}_{column}")).unwrap_or(1).max(1);
    let (count, tensor, data) = (of("num_workers"), of("tp_size"), of("attention_dp_size"));
    let whole = of("moe_ep_size") > 1;
    let (tensor, data, expert) = match engine {
        Engine::Vllm if tensor == 16 && whole => (1, 16, true),
        Engine::Sglang if data > 1 && of_a_rack(gpu) => (tensor, data, true),
        _ => (tensor, data, whole),
    };
    let several = expert && data > 1;
    let exchange = several.then(|| exchange(role, engine, gpu, tensor * data));
    Workers { count, tensor, data, expert, exchange }
}

/// How data-parallel ranks send tokens to whole experts and back.
///
/// - TensorRT-LLM sends them by all-to-alls over NVLink where there are at least as many ranks as a token has
///   experts (8) and a rack's GPUs reach each other's memory; else it gathers (`fused_moe_wide_ep.py`,
///   `select_alltoall_method_type`).
/// - SGLang on GB200 has DeepEP, its normal kernels where it prefills and its low-latency ones where it
///   decodes (its guide for wide expert parallelism); its default, without `--moe-a2a-backend`, gathers.
/// - vLLM gathers by default.
fn exchange(role: &str, engine: Engine, gpu: &str, ranks: u32) -> &'static str {
    match engine {
        Engine::TensorRtLlm if of_a_rack(gpu) && ranks >= 8 => "all_to_all",
        Engine::Sglang if of_a_rack(gpu) && role == "prefill" => "deepep_high_throughput",
        Engine::Sglang if of_a_rack(gpu) => "deepep_low_latency",
        Engine::Sglang | Engine::TensorRtLlm | Engine::Vllm => "allgather_reducescatter",
    }
}
