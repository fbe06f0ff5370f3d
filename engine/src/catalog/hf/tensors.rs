//! The modules that a quantised checkpoint may leave in 16 bits, by their names in it.

use crate::catalog::model::{Attention, Latent, LayerGroup, Mixer, Mlp, Model, RecurrentKind};

/// What quantisation tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Attention,
    Mlp,
    Shared,
    Experts,
    Embedding,
    Head,
}

/// A matrix, or several that are alike.
pub(super) struct Module {
    pub(super) class: Class,
    /// Its names in use, from `layers.` on.
    pub(super) names: Vec<String>,
    pub(super) weights: u64,
}

/// All modules of a model.
pub(super) fn modules(model: &Model) -> Vec<Module> {
    let mut all = Vec::new();
    let h = model.hidden_size;
    let mut layer = 0_u32;
    for group in &model.groups {
        for _ in 0..group.layers {
            mixer(&mut all, group, layer, h);
            network(&mut all, group, layer, h);
            layer += 1;
        }
    }
    let table = model.embedding_parameters();
    let root = |class, name: &str| Module { class, names: vec![name.to_owned()], weights: table };
    all.push(root(Class::Embedding, "embed_tokens"));
    if !model.tied_embeddings {
        all.push(root(Class::Head, "lm_head"));
    }
    all
}

/// Adds a module of each matrix, under each of its parents' and its own names.
fn add(
    all: &mut Vec<Module>,
    layer: u32,
    class: Class,
    parents: &[&str],
    matrices: &[(&[&str], u64)],
) {
    for (own, weights) in matrices.iter().filter(|(_, weights)| *weights > 0) {
        let names = parents.iter().flat_map(|parent| {
            own.iter().map(move |name| format!("layers.{layer}.{parent}.{name}"))
        });
        all.push(Module { class, names: names.collect(), weights: *weights });
    }
}

fn mixer(all: &mut Vec<Module>, group: &LayerGroup, layer: u32, h: u32) {
    match group.mixer {
        Mixer::Attention(a) => attention(all, &a, layer, u64::from(h)),
        Mixer::Latent(latent) => latent_attention(all, &latent, layer, u64::from(h)),
        Mixer::Recurrent(r) => {
            let parents: &[&str] = match r.kind {
                RecurrentKind::Mamba | RecurrentKind::Mamba2 => &["mamba", "mixer"],
                RecurrentKind::GatedDelta => &["linear_attn"],
                RecurrentKind::KimiDelta => &["self_attn"],
                RecurrentKind::Lightning => &["self_attn", "attention", "linear_attn"],
                RecurrentKind::ShortConvolution => &["conv"],
            };
            let h = u64::from(h);
            let input: &[&str] =
                &["in_proj", "in_proj_qkvz", "in_proj_qkv", "in_proj_z", "qkv_proj", "q_proj"];
            let matrices = [
                (input, h * u64::from(r.input_columns)),
                (&["out_proj", "o_proj"][..], h * u64::from(r.output_rows)),
            ];
            add(all, layer, Class::Attention, parents, &matrices);
        }
        Mixer::None => {}
    }
}

fn attention(all: &mut Vec<Module>, a: &Attention, layer: u32, h: u64) {
    let keys = h * u64::from(a.kv_heads) * u64::from(a.key_dim);
    let kv = h * a.kv_columns();
    let matrices = [
        (&["q_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv"][..], h * a.query_columns()),
        (&["k_proj", "qkv_proj"][..], keys.min(kv)),
        (&["v_proj", "qkv_proj"][..], kv.saturating_sub(keys)),
        (&["o_proj", "dense", "c_proj", "out_proj"][..], h * a.output_rows()),
    ];
    add(all, layer, Class::Attention, &["self_attn", "attn", "attention", "mixer"], &matrices);
}

fn latent_attention(all: &mut Vec<Module>, latent: &Latent, layer: u32, h: u64) {
    let [heads, key, kv_rank, query_rank, rope, value] = [
        latent.heads,
        latent.key_dim,
        latent.kv_rank,
        latent.query_rank,
        latent.rope_dim,
        latent.value_dim,
    ]
    .map(u64::from);
    let (from, down) = match query_rank {
        0 => (h, 0),
        rank => (rank, h * rank),
    };
    let mut matrices = vec![
        (&["q_a_proj", "fused_qkv_a_proj_with_mqa"][..], down),
        (&["q_b_proj", "q_proj"][..], from * heads * key),
        (&["kv_a_proj_with_mqa", "fused_qkv_a_proj_with_mqa"][..], h * (kv_rank + rope)),
        (&["kv_b_proj"][..], kv_rank * heads * (key - rope + value)),
        (&["o_proj"][..], heads * value * h),
        (&["g_proj"][..], h * u64::from(latent.gate_columns)),
    ];
    if let Some(indexer) = latent.indexer {
        let [heads, dim] = [indexer.heads, indexer.dim].map(u64::from);
        matrices.push((&["indexer.wq_b"][..], from * heads * dim));
        matrices.push((&["indexer.wk", "indexer.wk_weights_proj"][..], h * dim));
        matrices.push((&["indexer.weights_proj"][..], h * heads));
    }
    add(all, layer, Class::Attention, &["self_attn", "attention", "attn"], &matrices);
}

const GATE: &[&str] = &["gate_proj", "gate_up_proj", "w1", "linear_fc1", "fc1"];
const UP: &[&str] = &["up_proj", "gate_up_proj", "w3", "fc1", "c_fc", "dense_h_to_4h"];
const DOWN: &[&str] = &["down_proj", "w2", "fc2", "c_proj", "dense_4h_to_h"];

fn network(all: &mut Vec<Module>, group: &LayerGroup, layer: u32, hidden_size: u32) {
    let h = u64::from(hidden_size);
    let of = |gated: bool, one: u64| [(GATE, if gated { one } else { 0 }), (UP, one), (DOWN, one)];
    match group.mlp {
        Mlp::None => {}
        Mlp::Dense(dense) => {
            let parents = ["mlp", "feed_forward", "mixer"];
            let one = h * u64::from(dense.width);
            add(all, layer, Class::Mlp, &parents, &of(dense.gated, one));
        }
        Mlp::Experts(experts) => {
            let parents = [
                "mlp.experts.0",
                "block_sparse_moe.experts.0",
                "feed_forward.experts.0",
                "mixer.experts.0",
                "moe.experts.0",
                "experts.0",
            ];
            let input = u64::from(experts.input_width(hidden_size));
            let one = u64::from(experts.count) * input * u64::from(experts.width);
            add(all, layer, Class::Experts, &parents, &of(experts.gated, one));
            let parents = [
                "mlp.shared_experts",
                "mlp.shared_expert",
                "block_sparse_moe.shared_experts",
                "block_sparse_moe.shared_expert",
                "feed_forward.shared_expert",
                "mixer.shared_experts",
                "share_expert",
                "shared_mlp",
                "mlp.shared_mlp",
            ];
            let one = h * u64::from(experts.shared_width);
            add(all, layer, Class::Shared, &parents, &of(experts.gated, one));
            let latent = h * u64::from(experts.latent);
            let parents = ["mlp", "mixer", "block_sparse_moe"];
            let names = [
                (&["fc1_latent_proj", "routed_expert_down_proj"][..], latent),
                (&["fc2_latent_proj", "routed_expert_up_proj"][..], latent),
            ];
            add(all, layer, Class::Shared, &parents, &names);
        }
    }
}
