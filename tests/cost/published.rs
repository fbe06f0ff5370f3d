//! Prices against published measurements.

use metron_sim::catalog::{self, Model, ModelOverrides};
use metron_sim::cost::{BatchShape, Chunk, CostModel, Decodes, Dtype, Roofline};

use crate::shared::{say, shared};
use crate::support::{build, capacity, decode_ms, prefill_ms, tensor};

/// Sarathi-Serve's artifact, Yi-34B on two A100-80G, and Etalon's, Yi-34B on two H100 under
/// vLLM: prefill times of engines of 2024, with the overheads of those. Their shape holds: how
/// much longer a prompt of twice the tokens takes.
#[test]
fn prefill_grows_as_published_curves_do() {
    let a100 = [(1024, 214.3), (2048, 366.0), (4096, 757.6), (8192, 1863.0), (16_384, 4407.0)];
    let h100 = [(4096, 270.0), (8192, 580.0), (16_384, 1340.0), (32_768, 4050.0)];
    for (gpu, curve) in [("a100-sxm-80gb", &a100[..]), ("h100-sxm", &h100[..])] {
        let model =
            ModelOverrides { max_position_embeddings: Some(65_536), ..ModelOverrides::default() };
        let model: Model = catalog::model("yi-34b").unwrap().with(&model).unwrap();
        let gpu = catalog::gpu(gpu).unwrap();
        let ideal = catalog::profile("ideal").unwrap();
        let cost = Roofline::new(&model, &gpu, &ideal, tensor(2), Dtype::Bf16).unwrap();
        for &(tokens, published_ms) in curve {
            let ratio = prefill_ms(&cost, tokens) / published_ms;
            assert!((0.5..1.3).contains(&ratio), "{} {tokens}: {ratio:.2}", gpu.name);
        }
        for pair in curve.windows(2) {
            let published = pair[1].1 / pair[0].1;
            let priced = prefill_ms(&cost, pair[1].0) / prefill_ms(&cost, pair[0].0);
            let ratio = priced / published;
            assert!((0.7..1.4).contains(&ratio), "{} {pair:?}: {ratio:.2}", gpu.name);
        }
    }
}

/// Sarathi-Serve's artifact: three decodes more in a prefill batch cost next to nothing.
#[test]
fn a_few_decodes_ride_along_nearly_free() {
    let cost = build("yi-34b", "a100-sxm-80gb", "ideal", 2).unwrap();
    let alone = prefill_ms(&cost, 1024);
    let chunk = [Chunk { context: 0, tokens: 1021 }];
    let shape = BatchShape::new(&chunk, Decodes::one_token_each(3, 3 * 1024), 4);
    let ratio = cost.time(&shape).gpu.as_millis_f64() / alone;
    assert!((0.99..1.02).contains(&ratio), "{ratio}");
}

/// Closed-loop TPOT of Qwen3-32B on two H100 under vLLM 0.12 (aiconfigurator, Apache-2.0). How
/// the clients were paced is unknown: when all start together, an answer sees decodes only; when
/// they are spread, it sees the others' prefills too. The measurement must lie near the two.
#[test]
fn decode_time_under_vllm_0_12_is_near_a_measured_tpot() {
    let name = "data/silicon/h100_qwen3-32b_bf16_vllm012_tp2_osl512.csv";
    let Some(path) = shared(name) else { return };
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let cost = build("qwen3-32b", "h100-sxm", "vllm-0.12", 2).unwrap();
    let kv_tokens = 16.0 * f64::from(capacity("qwen3-32b", "h100-sxm", 2).unwrap().blocks);
    let mut rows = 0;
    for record in reader.records() {
        let record = record.unwrap();
        let at = |i: usize| record[i].parse::<f64>().unwrap();
        let (isl, osl, batch, tpot_ms) = (at(5), at(6), at(7), at(11));
        if batch * (isl + osl) > kv_tokens {
            continue;
        }
        // Half of an answer is in KV on average.
        let together = decode_ms(&cost, batch as u32, (isl + osl / 2.0) as u32);
        let spread = together + batch * prefill_ms(&cost, isl as u32) / osl;
        say(&format!(
            "TPOT isl {isl:6} batch {batch:4}: measured {tpot_ms:6.2} ms, priced {together:6.2} \
             together, {spread:6.2} spread"
        ));
        assert!((0.9 * together..1.1 * spread).contains(&tpot_ms), "{isl} {batch}");
        rows += 1;
    }
    assert!(rows >= 8, "{rows} rows");
}
