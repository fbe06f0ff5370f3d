//! GPUs of the catalog and of a scenario, and what cannot be priced.

use metron_sim::catalog;
use metron_sim::cost::{CostError, Dtype, Parallelism, Roofline, format_notes};

use crate::support::{build, decode_ms, prefill_ms, tensor};

/// A scenario whose GPU is `gpu`, resolved: its warnings, or what is wrong with it.
fn with_gpu(gpu: &str) -> Result<Vec<String>, String> {
    let text = format!(
        "model: llama-3.1-8b\ngpu: {gpu}\nschedulers: [vllm-v1: {{}}]\nworkload:\n  requests: 2\n  \
         arrivals: {{closed_loop: {{users: 1, think_time: 0s}}}}\n  lengths: {{prompt: {{fixed: 8}}, \
         output: {{fixed: 8}}}}\n"
    );
    let document = metron_sim::scenario::Document::from_text(
        "gpu",
        &text,
        metron_sim::scenario::Files::any(""),
    )
    .map_err(|e| e.to_string())?;
    match document.resolve(None) {
        Ok(resolved) => Ok(resolved.warnings),
        Err(error) => Err(format!("{error:?}")),
    }
}

#[test]
fn a_gpu_given_by_its_peaks_is_near_the_fitted_one() {
    let fitted = catalog::gpu("h100-sxm").unwrap();
    let derived = catalog::Gpu::from_peak(fitted.memory_bytes, fitted.peak).unwrap();
    let ideal = catalog::profile("ideal").unwrap();
    let model = catalog::model("llama-3.1-8b").unwrap();
    let [fitted, derived] = [fitted, derived]
        .map(|gpu| Roofline::new(&model, &gpu, &ideal, tensor(1), Dtype::Bf16).unwrap());
    for (decodes, kv) in [(1, 500), (32, 2000), (256, 1000)] {
        let ratio = decode_ms(&derived, decodes, kv) / decode_ms(&fitted, decodes, kv);
        assert!((0.9..1.15).contains(&ratio), "{decodes}: {ratio}");
    }
    for tokens in [128, 2048, 16_384] {
        let ratio = prefill_ms(&derived, tokens) / prefill_ms(&fitted, tokens);
        assert!((0.9..1.15).contains(&ratio), "{tokens}: {ratio}");
    }
}

#[test]
fn a_gpu_may_be_given_in_the_scenario() {
    let peaks = "{memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989}";
    let warnings = with_gpu(peaks).unwrap();
    assert!(warnings.iter().any(|w| w.contains("derived from the peak figures")), "{warnings:?}");
    for (gpu, wrong) in [
        ("{memory: 80GiB, memory_bandwidth: 3350GB/s}", "needs `bf16_tflops` too"),
        ("{bf16_tflops: 989}", "needs `memory` and `memory_bandwidth` too"),
        ("{base: h100-sxm, bf16_tflops: 989}", "goes with neither"),
        ("{memory: 80GiB}", "expected `base` or `file`"),
        ("{memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 0}", "bf16_tflops"),
    ] {
        let error = with_gpu(gpu).unwrap_err();
        assert!(error.contains(wrong), "{gpu}: {error}");
    }
}

/// A short convolution and the first Mamba are shared out by channels: their one head, or as many as
/// channels, are nothing that must divide. LFM2 and Jamba have 32 query heads.
#[test]
fn ranks_share_out_channels() {
    for model in ["lfm2-1.2b", "lfm2-8b-a1b", "jamba-1.5-mini"] {
        let one = decode_ms(&build(model, "h100-sxm", "ideal", 1).unwrap(), 64, 1000);
        for ranks in [2, 4] {
            let shared = build(model, "h100-sxm", "ideal", ranks).unwrap();
            assert!(decode_ms(&shared, 64, 1000) > 0.5 * one / f64::from(ranks), "{model}");
        }
    }
}

#[test]
fn what_cannot_be_priced_says_why() {
    let error = build("llama-3.1-8b", "h100-sxm", "ideal", 3).unwrap_err();
    assert!(matches!(error, CostError::HeadsNotDivisible { heads: 32, tensor: 3, .. }));
    let words = "llama-3.1-8b has 32 attention heads, which do not divide over tensor: 3";
    assert_eq!(error.to_string(), words);
    // 40 query heads divide over 5, the 128 of Mamba 2 do not.
    let error = build("nemotron-nano-9b-v2", "h100-sxm", "ideal", 5).unwrap_err();
    assert!(error.to_string().contains("has 128 heads of states, which do not"), "{error}");
    let error = build("llama-3.1-405b", "h100-sxm", "ideal", 16).unwrap_err();
    assert!(matches!(error, CostError::AllReduceUnknown { tensor: 16, known: 8, .. }));
    let [model, gpu, profile] = ["llama-3.1-8b", "rtx-4090", "ideal"];
    let (model, gpu) = (catalog::model(model).unwrap(), catalog::gpu(gpu).unwrap());
    let profile = catalog::profile(profile).unwrap();
    let ampere = catalog::gpu("a40").unwrap();
    // Without fp8 units kernels unpack the weights; the output says so.
    assert!(Roofline::new(&model, &ampere, &profile, tensor(1), Dtype::Fp8).is_ok());
    let notes = format_notes(&model, &ampere, &Dtype::Fp8.formats(&model.formats));
    assert_eq!(notes, ["a40 has no units for fp8: weights are unpacked and multiplied in 16 bits"]);
    let staged = Parallelism { pipeline: 33, ..Parallelism::default() };
    let ada = catalog::gpu("rtx-4090").unwrap();
    let error = Roofline::new(&model, &ada, &profile, staged, Dtype::Bf16).unwrap_err();
    assert_eq!(error.to_string(), "32 layers cannot be dealt out to pipeline: 33");
    let none = Parallelism { tensor: 0, ..Parallelism::default() };
    let error = Roofline::new(&model, &gpu, &profile, none, Dtype::Bf16).unwrap_err();
    assert_eq!(error, CostError::NoRanks);
}
