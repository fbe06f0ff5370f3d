//! The catalog's constants against measured kernel times: a table of mean absolute percentage
//! errors on stderr, and the bounds that they hold.
//!
//! The tables are other projects' (LLMServingSim, MIT; aiconfigurator, Apache-2.0) and not part
//! of this repository. They are looked for in `$METRON_SHARED` or `../shared`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::shared::{say, shared};
use crate::support::TOGETHER_MOST;
use metron_sim::catalog::{self, Experts, Model, ModelOverrides, PrefillAttention};
use metron_sim::cost::{
    BatchShape, Chunk, CostModel, Decodes, Dtype, Parallelism, Parts, Roofline, gemm_us,
    routed_experts_us,
};

/// Where the tables are, or `None` after saying so.
fn kernels() -> Option<PathBuf> {
    shared("data/kernels")
}

/// Rows of a CSV file, gzipped or not, as the named columns.
fn rows<const N: usize>(path: &Path, columns: [&str; N]) -> Vec<[String; N]> {
    let mut text = String::new();
    let mut file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if path.extension().is_some_and(|e| e == "gz") {
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        file.read_to_string(&mut text).unwrap();
    }
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let at = columns
        .map(|c| headers.iter().position(|h| h == c).unwrap_or_else(|| panic!("no column {c}")));
    reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            at.map(|i| record[i].to_owned())
        })
        .collect()
}

fn int(text: &str) -> u32 {
    text.parse().unwrap()
}

fn float(text: &str) -> f64 {
    text.parse().unwrap()
}

/// Mean absolute and mean signed error, as shares.
#[derive(Default)]
struct Errors {
    n: usize,
    absolute: f64,
    signed: f64,
}

impl Errors {
    fn add(&mut self, predicted: f64, measured: f64) {
        let error = predicted / measured - 1.0;
        self.n += 1;
        self.absolute += error.abs();
        self.signed += error;
    }

    /// Prints a line and checks the bound.
    fn report(&self, what: &str, bound: f64) {
        assert!(self.n > 0, "{what}: no rows");
        let [mape, bias] = [self.absolute, self.signed].map(|sum| 100.0 * sum / self.n as f64);
        say(&format!(
            "{what:<50} {:>6} rows  MAPE {mape:5.1} %  bias {bias:+5.1} %  bound {:4.1} %",
            self.n,
            100.0 * bound
        ));
        assert!(mape <= 100.0 * bound, "{what}: {mape:.2} % is above {:.1} %", 100.0 * bound);
    }
}

/// Prices one layer of `model` without any overhead of an engine.
fn one_layer(model: &Model, gpu: &str, tensor: u32) -> Roofline {
    let one = ModelOverrides { layers: Some(1), ..ModelOverrides::default() };
    let model = model.clone().with(&one).unwrap();
    let gpu = catalog::gpu(gpu).unwrap();
    let ideal = catalog::profile("ideal").unwrap();
    let parallelism = Parallelism { tensor, ..Parallelism::default() };
    Roofline::new(&model, &gpu, &ideal, parallelism, Dtype::Bf16).unwrap()
}

/// A model of which only the attention matters.
fn attention_only(heads: u32, kv_heads: u32) -> Model {
    let base = catalog::model("llama-3.1-8b").unwrap();
    let overrides = ModelOverrides {
        heads: Some(heads),
        kv_heads: Some(kv_heads),
        head_dim: Some(128),
        ..ModelOverrides::default()
    };
    base.with(&overrides).unwrap()
}

fn price(cost: &Roofline, chunks: &[Chunk], decodes: u32, kv_each: u32) -> Parts {
    cost.parts(&BatchShape::new(
        chunks,
        Decodes::one_token_each(decodes, u64::from(decodes) * u64::from(kv_each)),
        decodes,
    ))
}

#[test]
fn layers_without_attention() {
    let Some(kernels) = kernels() else { return };
    for (folder, gpu, tensor, bound) in [
        ("RTX4090_Llama-3.1-8B_tp1", "rtx-4090", 1, 0.04),
        ("RTXPRO6000_Llama-3.1-8B_tp1", "rtx-pro-6000", 1, 0.04),
        ("RTXPRO6000_Llama-3.1-8B_tp2", "rtx-pro-6000", 2, 0.04),
    ] {
        let cost = one_layer(&catalog::model("llama-3.1-8b").unwrap(), gpu, tensor);
        let columns = [
            "tokens",
            "qkv_proj",
            "rotary_emb",
            "o_proj",
            "gate_up_proj",
            "act_fn",
            "down_proj",
            "layernorm",
            "layernorm",
        ];
        let mut errors = Errors::default();
        for row in rows(&kernels.join("llmservingsim").join(folder).join("dense_us.csv"), columns) {
            let measured: f64 = row[1..].iter().map(|v| float(v)).sum();
            let chunk = Chunk { context: 0, tokens: int(&row[0]) };
            errors.add(price(&cost, &[chunk], 0, 0).layers_us, measured);
        }
        errors.report(&format!("layer       {folder}"), bound);
    }
}

#[test]
fn output_head_and_sampler() {
    let Some(kernels) = kernels() else { return };
    for (folder, gpu, tensor) in [
        ("RTX4090_Llama-3.1-8B_tp1", "rtx-4090", 1),
        ("RTXPRO6000_Llama-3.1-8B_tp1", "rtx-pro-6000", 1),
        ("RTXPRO6000_Llama-3.1-8B_tp2", "rtx-pro-6000", 2),
    ] {
        let cost = one_layer(&catalog::model("llama-3.1-8b").unwrap(), gpu, tensor);
        let path = kernels.join("llmservingsim").join(folder).join("per_sequence_us.csv");
        let mut errors = Errors::default();
        for [sequences, head, sampler] in rows(&path, ["sequences", "lm_head", "sampler"]) {
            let measured = float(&head) + float(&sampler);
            errors.add(price(&cost, &[], int(&sequences), 16).head_us, measured);
        }
        errors.report(&format!("head        {folder}"), 0.06);
    }
}

#[test]
fn attention_of_the_rtx_cards() {
    let Some(kernels) = kernels() else { return };
    let [llama, qwen] = ["llama-3.1-8b", "qwen3-30b-a3b"];
    for (folder, gpu, model, tensor, decode_bound, mixed_bound) in [
        ("RTX4090_Llama-3.1-8B_tp1", "rtx-4090", llama, 1, 0.03, 0.08),
        ("RTXPRO6000_Llama-3.1-8B_tp1", "rtx-pro-6000", llama, 1, 0.03, 0.08),
        ("RTXPRO6000_Llama-3.1-8B_tp2", "rtx-pro-6000", llama, 2, 0.05, 0.085),
        ("RTXPRO6000_Qwen3-30B-A3B-Instruct-2507_tp1", "rtx-pro-6000", qwen, 1, 0.06, 0.07),
    ] {
        let cost = one_layer(&catalog::model(model).unwrap(), gpu, tensor);
        let path = kernels.join("llmservingsim").join(folder).join("attention_us.csv");
        let columns = ["prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us"];
        let [mut decode, mut decode_all, mut usual, mut all] = [(); 4].map(|()| Errors::default());
        for row in rows(&path, columns) {
            let [tokens, context, decodes, kv] = [0, 1, 2, 3].map(|i| int(&row[i]));
            let measured = float(&row[4]);
            if tokens == 0 {
                let predicted = price(&cost, &[], decodes, kv).attention_us;
                decode_all.add(predicted, measured);
                // One sequence's KV stays in L2 from one repetition to the next, which it
                // would not between two layers.
                if decodes >= 2 && kv >= 256 {
                    decode.add(predicted, measured);
                }
                continue;
            }
            let chunk = Chunk { context, tokens };
            let predicted = price(&cost, &[chunk], decodes, kv).attention_us;
            all.add(predicted, measured);
            let is_usual = |kv: u32| (256..=8192).contains(&kv);
            if tokens >= 128
                && (context == 0 || is_usual(context))
                && (decodes == 0 || is_usual(kv))
            {
                usual.add(predicted, measured);
            }
        }
        let name = folder.trim_end_matches("-Instruct-2507_tp1");
        decode.report(&format!("decode usual {name}"), decode_bound);
        decode_all.report(&format!("decode all  {name}"), 0.09);
        usual.report(&format!("mixed usual {name}"), mixed_bound);
        all.report(&format!("mixed all   {name}"), 0.10);
    }
}

/// Why the RTX cards are spared the rule that a batch is never dearer than its parts in turn: in one
/// kernel of FlashAttention-2 most batches are.
#[test]
fn chunks_and_decodes_together_are_dearer_where_it_was_measured() {
    let Some(kernels) = kernels() else { return };
    for (folder, gpu) in [
        ("RTX4090_Llama-3.1-8B_tp1", "rtx-4090"),
        ("RTXPRO6000_Llama-3.1-8B_tp1", "rtx-pro-6000"),
        ("RTXPRO6000_Llama-3.1-8B_tp2", "rtx-pro-6000"),
        ("RTXPRO6000_Qwen3-30B-A3B-Instruct-2507_tp1", "rtx-pro-6000"),
    ] {
        let PrefillAttention::FlashAttention2(fit) = catalog::gpu(gpu).unwrap().prefill_attention
        else {
            panic!("{gpu} runs FlashAttention-2");
        };
        assert!(fit.mixed_measured, "{gpu}");
        let path = kernels.join("llmservingsim").join(folder).join("attention_us.csv");
        let columns = ["prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us"];
        let rows: HashMap<[u32; 4], f64> = rows(&path, columns)
            .iter()
            .map(|row| ([0, 1, 2, 3].map(|i| int(&row[i])), float(&row[4])))
            .collect();
        let mut ratios = Vec::new();
        for (&[tokens, context, decodes, kv], together_us) in &rows {
            if tokens > 0
                && decodes > 0
                && let Some(chunk_us) = rows.get(&[tokens, context, 0, 0])
                && let Some(decodes_us) = rows.get(&[0, 0, decodes, kv])
            {
                ratios.push(together_us / (chunk_us + decodes_us));
            }
        }
        ratios.sort_by(f64::total_cmp);
        let (median, most) = (ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
        say(&format!(
            "together    {folder:<42} {:>6} rows  median {median:.2}  most {most:.2} times in turn",
            ratios.len()
        ));
        assert!(median > 1.1, "{folder}: {median}");
        assert!((5.0..TOGETHER_MOST).contains(&most), "{folder}: {most}");
    }
}

#[test]
fn matrix_products() {
    let Some(kernels) = kernels() else { return };
    for (folder, gpu, bound) in [
        ("a100_sxm", "a100-sxm-80gb", 0.10),
        ("h100_sxm", "h100-sxm", 0.10),
        ("b200_sxm", "b200-sxm", 0.10),
        ("rtx_pro_6000_server", "rtx-pro-6000", 0.16),
    ] {
        let fit = catalog::gpu(gpu).unwrap().gemm_bf16;
        let path = kernels.join("aic").join(folder).join("gemm.csv.gz");
        let mut errors = Errors::default();
        for row in rows(&path, ["gemm_dtype", "m", "n", "k", "us"]) {
            if row[0] == "bfloat16" {
                let [m, n, k] = [1, 2, 3].map(|i| int(&row[i]));
                errors.add(gemm_us(&fit, m, n, k), float(&row[4]));
            }
        }
        errors.report(&format!("GEMM        {folder}"), bound);
    }
}

#[test]
fn attention_of_the_server_gpus() {
    let Some(kernels) = kernels() else { return };
    for (folder, gpu, prefill_bound, decode_bound) in [
        ("a100_sxm", "a100-sxm-80gb", 0.07, 0.10),
        ("h100_sxm", "h100-sxm", 0.07, 0.10),
        ("b200_sxm", "b200-sxm", 0.07, 0.10),
        // Measured with another kernel than the catalog's constants, which are LLMServingSim's.
        ("rtx_pro_6000_server", "rtx-pro-6000", 0.16, 0.35),
    ] {
        let mut costs: Vec<((u32, u32), Roofline)> = Vec::new();
        let mut cost_of = |heads, kv_heads| -> Roofline {
            let key = (heads, kv_heads);
            if let Some((_, cost)) = costs.iter().find(|(k, _)| *k == key) {
                return cost.clone();
            }
            let cost = one_layer(&attention_only(heads, kv_heads), gpu, 1);
            costs.push((key, cost.clone()));
            cost
        };
        let folder_path = kernels.join("aic").join(folder);
        let columns = ["batch_size", "isl", "step", "num_heads", "num_key_value_heads", "us"];
        let [mut prefill, mut prefill_all] = [(); 2].map(|()| Errors::default());
        for row in rows(&folder_path.join("attn_context.csv.gz"), columns) {
            let [batch, tokens, context, heads, kv_heads] = [0, 1, 2, 3, 4].map(|i| int(&row[i]));
            let chunks = vec![Chunk { context, tokens }; batch as usize];
            let predicted = price(&cost_of(heads, kv_heads), &chunks, 0, 0).attention_us;
            let measured = float(&row[5]);
            prefill_all.add(predicted, measured);
            let usual_heads = heads >= 8 && heads / kv_heads <= 8;
            if usual_heads && tokens >= 128 && batch * tokens <= 16_384 {
                prefill.add(predicted, measured);
            }
        }
        prefill.report(&format!("prefill usual {folder}"), prefill_bound);
        let other_kernel = folder.starts_with("rtx");
        let all_bound = if other_kernel { 0.36 } else { 0.15 };
        prefill_all.report(&format!("prefill all {folder}"), all_bound);
        let [mut decode, mut decode_all, mut beyond_cache] = [(); 3].map(|()| Errors::default());
        for row in rows(&folder_path.join("attn_decode.csv.gz"), columns) {
            let [batch, past, heads, kv_heads] = [0, 2, 3, 4].map(|i| int(&row[i]));
            let kv = u64::from(batch) * u64::from(past + 1);
            // The benchmark repeats one kernel on the same K and V.
            let predicted = cost_of(heads, kv_heads).repeated_decode_attention_us(batch, kv);
            let cold = price(&cost_of(heads, kv_heads), &[], batch, past + 1).attention_us;
            let measured = float(&row[5]);
            decode_all.add(predicted, measured);
            let usual_heads = heads >= 4 * kv_heads && heads <= 8 * kv_heads;
            if usual_heads && batch <= 512 && (128..=32_768).contains(&(past + 1)) {
                decode.add(predicted, measured);
                if kv * u64::from(kv_heads) * 512 > 200_000_000 {
                    beyond_cache.add(cold, measured);
                }
            }
        }
        decode.report(&format!("decode usual {folder}"), decode_bound);
        // As serving is priced: K and V from memory, where no cache could have held them.
        beyond_cache.report(&format!("decode from memory {folder}"), decode_bound);
        decode_all.report(&format!("decode all  {folder}"), if other_kernel { 0.36 } else { 0.22 });
    }
}

#[test]
fn mixtures_of_experts() {
    let Some(kernels) = kernels() else { return };
    for (folder, gpu, bound) in [
        ("h100_sxm", "h100-sxm", 0.08),
        ("b200_sxm", "b200-sxm", 0.12),
        ("rtx_pro_6000_server", "rtx-pro-6000", 0.08),
    ] {
        let fit = catalog::gpu(gpu).unwrap().experts.unwrap();
        let columns = [
            "moe_dtype",
            "num_tokens",
            "hidden_size",
            "inter_size",
            "topk",
            "num_experts",
            "moe_tp_size",
            "moe_ep_size",
            "us",
        ];
        let mut errors = Errors::default();
        let path = kernels.join("aic").join(folder).join("moe_balanced.csv.gz");
        for row in rows(&path, columns) {
            let [tokens, hidden, width, per_token, count, tp, ep] =
                [1, 2, 3, 4, 5, 6, 7].map(|i| int(&row[i]));
            if row[0] != "bfloat16" || ep != 1 || tp > 8 || count > 256 {
                continue;
            }
            let experts = routed_alone(count, per_token, width / tp);
            let activated = f64::from(count.min(tokens * per_token));
            let us = routed_experts_us(&fit, hidden, &experts, tokens, activated, 2.0);
            errors.add(us, float(&row[8]));
        }
        errors.report(&format!("experts     {folder}"), bound);
    }
    let fit = catalog::gpu("rtx-pro-6000").unwrap().experts.unwrap();
    let qwen = catalog::model("qwen3-30b-a3b").unwrap();
    let folder = "RTXPRO6000_Qwen3-30B-A3B-Instruct-2507_tp1";
    let path = kernels.join("llmservingsim").join(folder).join("moe_us.csv");
    let mut errors = Errors::default();
    for row in rows(&path, ["tokens", "activated_experts", "time_us"]) {
        let experts = qwen.experts().unwrap();
        let us =
            routed_experts_us(&fit, qwen.hidden_size, &experts, int(&row[0]), float(&row[1]), 2.0);
        errors.add(us, float(&row[2]));
    }
    errors.report("experts     RTXPRO6000_Qwen3-30B-A3B", 0.09);
}

/// Gated experts without a shared one.
fn routed_alone(count: u32, per_token: u32, width: u32) -> Experts {
    Experts { count, per_token, width, shared_width: 0, gated: true, bias: false, latent: 0 }
}

/// The shapes that the fp8 constants were fitted on and those that were kept apart: for each number
/// of ranks, shapes in order, every other one. What a rank holds of an expert divides by 64.
#[test]
fn mixtures_of_experts_in_fp8() {
    let Some(kernels) = kernels() else { return };
    for (folder, gpu, bounds) in
        [("h100_sxm", "h100-sxm", [0.045, 0.055]), ("b200_sxm", "b200-sxm", [0.085, 0.09])]
    {
        let fit = catalog::gpu(gpu).unwrap().experts_fp8.unwrap();
        let columns = [
            "moe_dtype",
            "num_tokens",
            "hidden_size",
            "inter_size",
            "topk",
            "num_experts",
            "moe_tp_size",
            "moe_ep_size",
            "us",
        ];
        let path = kernels.join("aic").join(folder).join("moe_balanced.csv.gz");
        // By ranks: the shape, tokens, time.
        let mut by_ranks = std::collections::BTreeMap::<u32, Vec<([u32; 4], u32, f64)>>::new();
        for row in rows(&path, columns) {
            let [tokens, hidden, width, per_token, count, tp, ep] =
                [1, 2, 3, 4, 5, 6, 7].map(|i| int(&row[i]));
            if row[0] == "fp8" && ep == 1 && tp <= 8 && count <= 256 {
                let point = ([hidden, width, per_token, count], tokens, float(&row[8]));
                by_ranks.entry(tp).or_default().push(point);
            }
        }
        let mut errors = [(); 2].map(|()| Errors::default());
        for (tp, points) in by_ranks {
            let shapes: std::collections::BTreeSet<[u32; 4]> =
                points.iter().map(|point| point.0).collect();
            for (shape, tokens, measured) in points {
                let [hidden, width, per_token, count] = shape;
                if width % (64 * tp) != 0 {
                    continue;
                }
                let experts = routed_alone(count, per_token, width / tp);
                let activated = f64::from(count.min(tokens * per_token));
                let us = routed_experts_us(&fit, hidden, &experts, tokens, activated, 1.0);
                let apart = shapes.iter().position(|other| *other == shape).unwrap() % 2;
                errors[apart].add(us, measured);
            }
        }
        for ((errors, bound), which) in errors.iter().zip(bounds).zip(["fitted", "apart"]) {
            errors.report(&format!("experts fp8 {which} {folder}"), bound);
        }
    }
}
