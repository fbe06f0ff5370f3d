//! What a class does that its config does not say: biases, norms, activations with two or three
//! matrices, which layers its window is for.
//!
//! As in the modelling code of transformers 5.24.0; of classes that come with their checkpoint, as in
//! vLLM's or SGLang's.

use crate::catalog::model::QkNorm;

/// Which layers a class's window is for, where no list says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Windows {
    /// None: the class does not look at the key.
    Unread,
    /// All layers.
    All,
    /// All but each n-th, counted from 1, which looks at all tokens.
    ButEach(u32),
    /// The first of each two.
    First,
    /// Where `use_sliding_window` says so, layers from `max_window_layers` on.
    Qwen,
}

/// How the biases of attention's projections are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Biases {
    /// Never there.
    Never,
    /// Those of q, k and v where the key says it, else `bool`.
    Inputs(bool),
    /// All four where the key says it, else `bool`.
    All(bool),
}

/// What is the same in all models of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) biases: Biases,
    pub(super) qk_norm: QkNorm,
    /// Whether a feed-forward network has three matrices, not two.
    pub(super) gated: bool,
    /// Whether its matrices have biases where no key says it.
    pub(super) mlp_bias: bool,
    /// Norms of a layer, in widths of the hidden state: two where they have biases.
    pub(super) norms: u32,
    pub(super) windows: Windows,
    /// Rows of a table of positions besides `max_position_embeddings`; `None`: no such table.
    pub(super) positions: Option<u32>,
}

const LLAMA: Family = Family {
    biases: Biases::All(false),
    qk_norm: QkNorm::None,
    gated: true,
    mlp_bias: false,
    norms: 2,
    windows: Windows::Unread,
    positions: None,
};

const QWEN3: Family = Family { qk_norm: QkNorm::PerHead, windows: Windows::Qwen, ..LLAMA };

const GPT: Family =
    Family { biases: Biases::All(true), gated: false, mlp_bias: true, norms: 4, ..LLAMA };

/// A class that is not known is taken to be like Llama.
pub(super) const UNKNOWN: Family = Family { windows: Windows::All, ..LLAMA };

/// The family of a `model_type`; `None` where it is not known.
pub(super) fn family(kind: &str) -> Option<Family> {
    if let Some(family) = simple(kind).or_else(|| windowed(kind)).or_else(|| mixed(kind)) {
        return Some(family);
    }
    Some(match kind {
        "gpt2" | "gpt-sw3" | "gpt_bigcode" => Family { positions: Some(0), ..GPT },
        "opt" => Family { positions: Some(2), ..GPT },
        "gpt_neo" => {
            Family { biases: Biases::Never, positions: Some(0), windows: Windows::All, ..GPT }
        }
        "gptj" | "codegen" => Family { biases: Biases::Never, norms: 2, ..GPT },
        "phi" | "phi-msft" | "mixformer-sequential" => Family { norms: 2, ..GPT },
        "gpt_neox" | "bloom" | "persimmon" | "jais2" => GPT,
        "starcoder2" => Family { windows: Windows::All, ..GPT },
        "mpt" => Family { biases: Biases::Never, mlp_bias: false, norms: 2, ..GPT },
        "falcon" => Family { biases: Biases::All(false), mlp_bias: false, norms: 2, ..GPT },
        "jais" => Family { gated: true, ..GPT },
        "nemotron" => Family { mlp_bias: false, biases: Biases::All(false), ..GPT },
        "arcee" => Family { gated: false, ..LLAMA },
        "apertus" => Family { gated: false, qk_norm: QkNorm::PerHead, ..LLAMA },
        "phi3small" => Family { biases: Biases::All(true), mlp_bias: true, norms: 4, ..LLAMA },
        _ => return None,
    })
}

/// Whether a class is one of these, by the beginning of its name, or not known: keys that only these
/// classes read mean nothing in others.
pub(super) fn reads(kind: &str, classes: &[&str]) -> bool {
    classes.iter().any(|class| kind.starts_with(class)) || family(kind).is_none()
}

/// Classes like Llama without windows.
fn simple(kind: &str) -> Option<Family> {
    Some(match kind {
        "llama" | "granite" | "granitemoe" | "granitemoeshared" | "internlm" | "internlm3"
        | "gemma" | "helium" | "minicpm" | "minicpm3" | "aria_text" | "deepseek"
        | "deepseek_v2" | "deepseek_v3" | "deepseek_v32" | "kimi_k2" | "youtu" | "glm_moe_dsa"
        | "glm4_moe_lite" | "axk1" | "bitnet" | "solar" | "solar_open" | "orion" | "xverse"
        | "aquila" | "cwm_dense" | "iquestcoder" | "telechat" | "telechat3" | "teleflm"
        | "longcat_flash" | "mistral4" | "nemotron-nas" | "deci" | "decilm" | "chameleon"
        | "mllama_text_model" | "emu3_text_model" | "hyperclovax" | "mobilellm" | "yi" | "Yi"
        | "kimi_linear" | "sarvam_mla" | "smolvlm" | "nanbeige" => LLAMA,
        "baichuan"
        | "internlm2"
        | "grok-1"
        | "exaone"
        | "ernie4_5"
        | "ernie4_5_moe"
        | "ernie4_5_moe_vl"
        | "ernie4_5_vl_moe_text"
        | "ernie4_5_vl" => LLAMA,
        "seed_oss" => Family { biases: Biases::Inputs(true), ..LLAMA },
        "glm" | "glm4_moe" | "glm4v_moe_text" | "glm4_moe_text" => {
            Family { biases: Biases::Inputs(false), ..LLAMA }
        }
        "glm4" | "glm4v_text" => Family { biases: Biases::Inputs(false), norms: 4, ..LLAMA },
        "chatglm" => Family { biases: Biases::Inputs(true), ..LLAMA },
        "qwen" => Family { biases: Biases::Inputs(true), ..LLAMA },
        "stablelm" => Family { biases: Biases::Inputs(false), norms: 4, ..LLAMA },
        "olmo" => Family { norms: 0, ..LLAMA },
        "olmo2" | "flex_olmo" => Family { qk_norm: QkNorm::Whole, ..LLAMA },
        "olmoe" => Family { qk_norm: QkNorm::Whole, ..LLAMA },
        "cohere" => Family { norms: 1, ..LLAMA },
        "dbrx" => Family { biases: Biases::Never, ..LLAMA },
        "hunyuan_v1_dense" | "hunyuan_v1_moe" | "hunyuan" | "hunyuan_vl_text" | "dots1"
        | "dots1_text" | "hy_v3" | "minimax_m3" | "minimax_m3_vl" | "minimax_m3_vl_text" => {
            Family { qk_norm: QkNorm::PerHead, ..LLAMA }
        }
        "minimax_m2" => Family { qk_norm: QkNorm::Whole, biases: Biases::Never, ..LLAMA },
        "bailing_moe" => Family { ..LLAMA },
        "bailing_moe_v2" | "bailing_hybrid" | "bailing_moe_linear" | "sarvam_moe" => {
            Family { qk_norm: QkNorm::PerHead, ..LLAMA }
        }
        "step3_text" | "step3" => Family { biases: Biases::Never, ..LLAMA },
        "qwen3_vl_text"
        | "qwen3_vl_moe_text"
        | "qwen3_omni_moe_text"
        | "qwen3_omni_moe_thinker"
        | "qwen3_asr_text" => Family { qk_norm: QkNorm::PerHead, ..LLAMA },
        _ => return None,
    })
}

/// Classes with windows.
fn windowed(kind: &str) -> Option<Family> {
    let windows = |windows: Windows| Family { windows, ..LLAMA };
    Some(match kind {
        "mistral" | "mixtral" | "phi3" | "phi3_v" | "phi4mm" | "phi4_multimodal" | "ministral3" => {
            windows(Windows::All)
        }
        "ministral" | "cwm" => windows(Windows::All),
        "phimoe" => Family { biases: Biases::All(false), norms: 4, ..windows(Windows::All) },
        "smollm3" => windows(Windows::All),
        "qwen2"
        | "qwen2_vl"
        | "qwen2_vl_text"
        | "qwen2_5_vl"
        | "qwen2_5_vl_text"
        | "qwen2_moe"
        | "qwen2_audio_text"
        | "qwen2_5_omni_text"
        | "qwen2_5_omni_thinker" => {
            Family { biases: Biases::Inputs(true), windows: Windows::Qwen, ..LLAMA }
        }
        "mimo" => Family { biases: Biases::Inputs(true), windows: Windows::Qwen, ..LLAMA },
        "qwen3" | "qwen3_moe" => QWEN3,
        "gemma2" | "vaultgemma" => Family { norms: 4, ..windows(Windows::ButEach(2)) },
        "gemma3" | "gemma3_text" => {
            Family { norms: 4, qk_norm: QkNorm::PerHead, ..windows(Windows::ButEach(6)) }
        }
        "gemma3n_text" => {
            Family { norms: 4, qk_norm: QkNorm::PerHead, ..windows(Windows::ButEach(5)) }
        }
        "gemma4_text" | "gemma4" => {
            Family { norms: 4, qk_norm: QkNorm::PerHead, ..windows(Windows::ButEach(6)) }
        }
        "cohere2" | "cohere2_moe" => Family { norms: 1, ..windows(Windows::ButEach(4)) },
        "exaone4" | "exaone_moe" => {
            Family { qk_norm: QkNorm::PerHead, ..windows(Windows::ButEach(4)) }
        }
        "olmo3" => Family { qk_norm: QkNorm::Whole, ..windows(Windows::ButEach(4)) },
        "afmoe" => Family {
            norms: 4,
            qk_norm: QkNorm::PerHead,
            biases: Biases::Never,
            ..windows(Windows::ButEach(4))
        },
        "gpt_oss" => {
            Family { biases: Biases::All(true), mlp_bias: true, ..windows(Windows::First) }
        }
        "mimo_v2_flash" | "mimo_v2" => {
            Family { biases: Biases::Inputs(false), ..windows(Windows::All) }
        }
        "step3p5" | "step3p7" | "step3p7_flash" | "laguna" => {
            Family { qk_norm: QkNorm::PerHead, ..windows(Windows::All) }
        }
        "llama4_text" | "llama4" => LLAMA,
        "granite_swa" | "granitemoe_swa" | "mellum" | "beam" => windows(Windows::All),
        _ => return None,
    })
}

/// Classes with states.
fn mixed(kind: &str) -> Option<Family> {
    Some(match kind {
        "qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text" | "qwen3_5" | "qwen3_5_moe" | "lfm2"
        | "lfm2_moe" => Family { qk_norm: QkNorm::PerHead, ..LLAMA },
        "nemotron_h" => Family { gated: false, norms: 1, ..LLAMA },
        "mamba" | "falcon_mamba" | "mamba2" => Family { norms: 1, ..LLAMA },
        "jamba" | "bamba" | "granitemoehybrid" | "falcon_h1" | "minimax" | "minimax_text_01"
        | "minimax_m1" | "MiniMaxText01" | "MiniMaxM1" => LLAMA,
        "olmo_hybrid" => Family { qk_norm: QkNorm::Whole, ..LLAMA },
        _ => return None,
    })
}
