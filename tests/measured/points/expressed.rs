//! From a row to a point: what it was, and why some rows are none.

use super::split::{Split, split};
use super::{Engine, Point, Row};

/// Why a row is not compared. All of these were settled by what the table says of a row beside its
/// times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dropped {
    Disaggregated,
    UsersUnknown,
    SeveralServers,
    ExpertsBothWays,
    Drafts,
    DraftsBySglang,
    BeyondPeak,
}

impl Dropped {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Dropped::Disaggregated => "prefill and decode on different servers: another task",
            Dropped::UsersUnknown => "the number of users was not recorded",
            Dropped::SeveralServers => {
                "GB200 rows of DeepSeek-R1: `tp_size` is 12 to 64, of which 12, 20, 28, 36, 40, 48 and 52 \
                 divide no 128 heads: all GPUs of a deployment of several servers, not a split"
            }
            Dropped::ExpertsBothWays => {
                "experts split in width and in number at once (moe_tp 2, moe_ep 2 or 4): no setting"
            }
            Dropped::Drafts => {
                "TensorRT-LLM 1.2.0rc6.post3 and 1.1.0rc2.post2 serving DeepSeek: versions whose points \
                 of one configuration are 1.4 to 1.75 times faster than another's, which is what drafts \
                 (MTP) do; whether they were on was not recorded"
            }
            Dropped::DraftsBySglang => {
                "SGLang serving Qwen3.5 in fp8 on 4 B200 with sliced experts: InferenceMAX's configuration of \
                 that date has it with drafts alone (`qwen3.5-fp8-b200-sglang-mtp`), which `sglang` does not model"
            }
            Dropped::BeyondPeak => {
                "Qwen3-32B on GB200, prompts of 15,000 and 448 users on 2 GPUs: by their times, 4 times the \
                 GPUs' peak in fp4: users or GPUs of several servers"
            }
        }
    }
}

/// The point of a row.
pub(crate) fn express(row: &Row) -> Result<Point, Dropped> {
    if row.text("mode") != "agg" {
        return Err(Dropped::Disaggregated);
    }
    let Some(users) = row.whole("concurrency").filter(|&users| users > 0) else {
        return Err(Dropped::UsersUnknown);
    };
    let engine = engine(row);
    let gpu = gpu(row);
    let model = model(row.text("model_path"));
    if model == "deepseek-r1" && gpu == "gb200" {
        return Err(Dropped::SeveralServers);
    }
    if gpu == "gb200" && row.whole("isl") == Some(15_000) {
        return Err(Dropped::BeyondPeak);
    }
    let drafts = ["1.2.0rc6.post3", "1.1.0rc2.post2"].contains(&row.text("backend_version"));
    if model.starts_with("deepseek") && engine == Engine::TensorRtLlm && drafts {
        return Err(Dropped::Drafts);
    }
    if drafted(row, model, gpu) {
        return Err(Dropped::DraftsBySglang);
    }
    let Split { tensor, data, expert } = split(row, engine, model, gpu)?;
    Ok(Point {
        model,
        gpu,
        engine,
        version: row.text("backend_version").to_owned(),
        dtype: dtype(model, row.text("precision")),
        kv_in_fp8: engine == Engine::TensorRtLlm && of_model_opt(model, row.text("precision")),
        fixed_lengths: row.text("id").starts_with("qwen_qwen3"),
        prompt: row.whole("isl").expect("a length"),
        output: row.whole("osl").expect("a length"),
        users,
        tensor,
        data,
        expert,
        ttft_ms: row.number("silicon_ttft_ms"),
        tpot_ms: row.number("silicon_tpot_ms"),
    })
}

pub(super) fn engine(row: &Row) -> Engine {
    match row.text("backend") {
        "sglang" => Engine::Sglang,
        "trtllm" => Engine::TensorRtLlm,
        "vllm" => Engine::Vllm,
        other => panic!("an engine {other}"),
    }
}

pub(super) fn gpu(row: &Row) -> &'static str {
    match row.text("system") {
        "b200_sxm" => "b200-sxm",
        "b300_sxm" => "b300-sxm",
        "gb200" => "gb200",
        "gb300" => "gb300",
        "h100_sxm" => "h100-sxm",
        "h200_sxm" => "h200-sxm",
        other => panic!("a GPU {other}"),
    }
}

pub(super) fn model(path: &str) -> &'static str {
    match path {
        "MiniMaxAI/MiniMax-M2.5" => "minimax-m2",
        "Qwen/Qwen3-235B-A22B-FP8" => "qwen3-235b-a22b",
        "Qwen/Qwen3-32B" | "nvidia/Qwen3-32B-NVFP4" => "qwen3-32b",
        "Qwen/Qwen3.5-397B-A17B" => "qwen3.5-397b-a17b",
        "deepseek-ai/DeepSeek-R1" | "nvidia/DeepSeek-R1-NVFP4" => "deepseek-r1",
        "deepseek-ai/DeepSeek-V3" => "deepseek-v3",
        "meta-llama/Llama-3.1-70B" => "llama-3.1-70b",
        "meta-llama/Llama-3.1-8B-Instruct" => "llama-3.1-8b",
        "moonshotai/Kimi-K2.5" => "kimi-k2.5",
        "openai/gpt-oss-120b" => "gpt-oss-120b",
        "zhipuai/GLM-5" => "glm-5",
        other => panic!("a model {other}"),
    }
}

/// The model's own formats where the precision is that of its checkpoint.
pub(super) fn dtype(model: &str, precision: &str) -> &'static str {
    match (model, precision) {
        ("gpt-oss-120b", "fp4") | ("kimi-k2.5", "int4") => "auto",
        (_, "bf16" | "") => "bf16",
        (_, "fp8") => "fp8",
        (_, "fp4") => "nvfp4",
        other => panic!("a precision {other:?}"),
    }
}

/// Whether the checkpoint is NVIDIA's, which has scales for K and V in 8 bits; TensorRT-LLM follows it.
pub(super) fn of_model_opt(model: &str, precision: &str) -> bool {
    precision == "fp4" && model != "gpt-oss-120b"
        || precision == "fp8" && model.starts_with("llama")
}

/// Whether InferenceMAX's configuration of 2026-03-25 (`.github/configs/nvidia-master.yaml`) has the server
/// with drafts alone: its other Qwen3.5 in fp8 on 4 B200 has whole experts.
fn drafted(row: &Row, model: &str, gpu: &str) -> bool {
    let [tensor, whole] = ["tp_size", "moe_ep_size"].map(|column| row.whole(column));
    (model, gpu, row.text("precision")) == ("qwen3.5-397b-a17b", "b200-sxm", "fp8")
        && (tensor, whole) == (Some(4), Some(1))
}
