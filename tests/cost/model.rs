//! Models that are not dense, and numbers that are not bf16.

use metron_sim::catalog::{self, Attention, KvSource, Mixer, QkNorm, Reach};
use metron_sim::cost::{
    BatchShape, Chunk, CostModel, Decodes, Dtype, KvRequest, Roofline, kv_capacity,
};

use crate::support::{build, capacity, decode_ms, memory, tensor};

#[test]
fn an_activated_expert_is_read_once() {
    let cost = build("mixtral-8x7b", "h200-sxm", "ideal", 1).unwrap();
    let [one, sixteen] = [1, 16].map(|n| decode_ms(&cost, n, 512));
    // One token wakes 2 of 8 experts, sixteen wake nearly all: about four times the weights.
    assert!((2.5..5.0).contains(&(sixteen / one)), "{sixteen} against {one}");
    let dense = build("llama-2-70b", "h200-sxm", "ideal", 1).unwrap();
    assert!(decode_ms(&cost, 1, 512) < decode_ms(&dense, 1, 512) / 3.0);
}

/// Latent attention keeps 512 + 64 numbers a token and layer, on every rank, where 16 heads of 192
/// and 128 would be nine times as many.
#[test]
fn latent_attention_keeps_and_reads_little() {
    let model = catalog::model("deepseek-v2-lite").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    for ranks in [1, 2, 4] {
        let kv = capacity("deepseek-v2-lite", "h100-sxm", ranks).unwrap();
        assert_eq!(kv.bytes_per_block, 27 * (512 + 64) * 2 * 16);
        // All but the compressing matrices is split.
        let unsplit = 2 * 27 * 2048 * (512 + 64);
        let split = 2 * model.parameters() - unsplit;
        assert_eq!(kv.weight_bytes, split.div_ceil(u64::from(ranks)) + unsplit);
    }
    let ideal = catalog::profile("ideal").unwrap();
    let mut heads_apart = model.clone();
    let attention = Attention {
        heads: 16,
        kv_heads: 16,
        key_dim: 160,
        value_dim: 160,
        reach: Reach::All,
        kv: KvSource::Own,
        qk_norm: QkNorm::None,
        qkv_bias: false,
        output_bias: false,
        gate_columns: 0,
    };
    for group in &mut heads_apart.groups {
        group.mixer = Mixer::Attention(attention);
    }
    let [latent, apart] = [&model, &heads_apart].map(|model| {
        let cost = Roofline::new(model, &gpu, &ideal, tensor(1), Dtype::Bf16).unwrap();
        let kv = 64 * 4096;
        let shape = BatchShape::decodes_alone(64, kv);
        cost.parts(&shape).attention_us
    });
    assert!(latent < apart / 4.0, "{latent} {apart}");
    // 64 x 4096 tokens of 1152 bytes in 27 layers at 3,050 GB/s, and the launches.
    let reading_us = 27.0 * 64.0 * 4096.0 * 1152.0 / 3050e3;
    assert!((reading_us..1.4 * reading_us + 27.0 * 20.0).contains(&latent), "{latent}");
}

/// 37 B of 671 B parameters work on a token: the published figure.
#[test]
fn deepseek_v3_in_fp8_fits_on_eight_h200_and_computes_its_active_parameters() {
    let model = catalog::model("deepseek-v3").unwrap();
    let gpu = catalog::gpu("h200-sxm").unwrap();
    let ideal = catalog::profile("ideal").unwrap();
    let cost = Roofline::new(&model, &gpu, &ideal, tensor(8), Dtype::Fp8).unwrap();
    let tokens = 8192.0;
    let chunk = [Chunk { context: 0, tokens: 8192 }];
    let shape = BatchShape::new(&chunk, Decodes::NONE, 1);
    let us = cost.parts(&shape).layers_us;
    let least_us = 2.0 * 37e9 * tokens / 8.0 / (gpu.gemm_fp8.unwrap().tflops * 1e6);
    assert!((least_us..4.0 * least_us).contains(&us), "{us} {least_us}");
    let bf16 = KvRequest { block_tokens: 64, ..memory(&model, &gpu, 8) };
    let fp8 = KvRequest { precision: Dtype::Fp8.into(), ..bf16 };
    assert!(kv_capacity(&fp8).unwrap().blocks > 1000);
    assert!(kv_capacity(&bf16).is_err());
}

#[test]
fn fp8_halves_the_weights_to_read() {
    let model = catalog::model("llama-3.1-8b").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let ideal = catalog::profile("ideal").unwrap();
    let [bf16, fp8] = [Dtype::Bf16, Dtype::Fp8]
        .map(|dtype| Roofline::new(&model, &gpu, &ideal, tensor(1), dtype).unwrap());
    let ratio = decode_ms(&fp8, 8, 512) / decode_ms(&bf16, 8, 512);
    assert!((0.5..0.8).contains(&ratio), "{ratio}");
}
