use super::super::{gpu, names};
use super::*;

fn peaks(memory_gb_per_s: f64, bf16_tflops: f64) -> GpuOfPeaks {
    GpuOfPeaks {
        name: "half".into(),
        description: "half of another".into(),
        derived_from: "h100-sxm".into(),
        expected_error: "10 to 20 %".into(),
        memory_bytes: 40 << 30,
        peak: Peak {
            bf16_tflops,
            fp8_tflops: Some(2.0 * bf16_tflops),
            fp4_tflops: None,
            int8_tops: None,
            memory_gb_per_s,
        },
        chip: None,
        link: Some(Link { name: "NVLink 4".into(), gb_per_s: 225.0 }),
        gpus_per_node: Some(8),
        experts_fp8: None,
        experts_fp4: None,
        all_reduce: None,
        price_usd_per_hour: None,
        power: None,
        source: GpuSource::default(),
    }
}

#[test]
fn rates_are_shares_of_the_peak_and_times_are_kept() {
    let h100 = gpu("h100-sxm").unwrap();
    let half = Gpu::from_relative(peaks(1675.0, 494.5), &h100).unwrap();
    assert!((half.gemm_bf16.tflops - 783.03 / 2.0).abs() < 1e-6);
    assert!((half.gemm_bf16.memory_gb_per_s - 2884.3 / 2.0).abs() < 1e-6);
    assert_eq!(half.gemm_bf16.launch_us, 3.7423);
    assert!((half.decode_attention.memory_gb_per_s - 3049.7 / 2.0).abs() < 1e-6);
    assert!((half.sampler.sequence_us - 0.56).abs() < 1e-9);
    // 989 TFLOP/s of 1979.
    let fp8 = half.gemm_fp8.unwrap();
    assert!((fp8.tflops - 1201.1 * 989.0 / 1979.0).abs() < 1e-6);
    // Half the link.
    assert!((half.all_reduce[2].gb_per_s - 50.17).abs() < 1e-6);
    assert_eq!(half.all_reduce[2].latency_us, 5.421);
    assert_eq!(half.evidence, Evidence::derived_from("h100-sxm", "10 to 20 %"));
    assert_eq!(
        half.evidence.caution("half").unwrap(),
        "GPU half: constants derived from h100-sxm's shares of peak, expect 10 to 20 %"
    );
    assert!(half.source.constants.contains("79 % of compute and 86 % of bandwidth"));
    assert_eq!(h100.evidence.caution("h100-sxm"), None);
}

#[test]
fn the_same_peaks_give_the_same_constants() {
    let h100 = gpu("h100-sxm").unwrap();
    let twin = GpuOfPeaks { link: h100.link.clone(), ..peaks(3350.0, 989.0) };
    let twin = GpuOfPeaks { peak: h100.peak, ..twin };
    let twin = Gpu::from_relative(twin, &h100).unwrap();
    assert_eq!(twin.gemm_bf16, h100.gemm_bf16);
    assert_eq!(twin.gemm_fp8, h100.gemm_fp8);
    assert_eq!(twin.experts, h100.experts);
    assert_eq!(twin.prefill_attention, h100.prefill_attention);
    assert_eq!(twin.all_reduce, h100.all_reduce);
}

#[test]
fn what_the_relatives_constants_need_is_asked_for() {
    let h100 = gpu("h100-sxm").unwrap();
    let mut slow = peaks(1675.0, 494.5);
    slow.link = Some(Link { name: "PCIe 5.0 x16".into(), gb_per_s: 63.0 });
    let error = Gpu::from_relative(slow.clone(), &h100).unwrap_err();
    assert_eq!(error.to_string(), "all_reduce: is needed: PCIe 5.0 x16 and NVLink 4 are not alike");
    slow.all_reduce = Some(Vec::new());
    assert!(Gpu::from_relative(slow.clone(), &h100).is_ok());
    // FlashAttention-2 is priced by its blocks.
    let error = Gpu::from_relative(slow, &gpu("a100-sxm-80gb").unwrap()).unwrap_err();
    assert_eq!(error.path, "chip");
}

#[test]
fn a_file_names_its_relative() {
    let file = |from: &str| {
        format!(
            "name: x\ndescription: y\nderived_from: {from}\nexpected_error: 20 %\n\
             memory_bytes: 100000000000\npeak: {{bf16_tflops: 148, memory_gb_per_s: 4000}}\n"
        )
    };
    let own = Gpu::from_yaml(&file("h100-sxm")).unwrap();
    assert!((own.gemm_bf16.tflops - 148.0 * 783.03 / 989.0).abs() < 1e-6);
    assert!(own.all_reduce.is_empty() && own.gemm_fp8.is_none());
    let error = Gpu::from_yaml(&file("h100")).unwrap_err().to_string();
    assert!(error.starts_with("derived_from: unknown GPU `h100` (did you mean"), "{error}");
    let error = Gpu::from_yaml(&file("h20")).unwrap_err().to_string();
    assert_eq!(error, "derived_from: h20 has no constants of its own");
    let error = Gpu::from_yaml(&format!("{}gemm_bf16: {{}}\n", file("h100-sxm"))).unwrap_err();
    assert!(error.to_string().contains("unknown key `gemm_bf16`"), "{error}");
}

#[test]
fn every_built_in_gpu_says_what_it_rests_on() {
    for name in names(Kind::Gpu) {
        let gpu = gpu(&name).unwrap();
        assert!(!gpu.evidence.is_unstated() && !gpu.evidence.from.is_empty(), "{name}");
        assert!(gpu.evidence.expected_error.is_some(), "{name}");
        assert!(!gpu.source.figures.is_empty() && !gpu.source.constants.is_empty(), "{name}");
        assert!(gpu.link.is_some() && gpu.gpus_per_node.is_some(), "{name}");
        let largest = gpu.all_reduce.last().map_or(1, |a| a.gpus);
        let node = gpu.gpus_per_node.unwrap();
        assert_eq!(largest, node, "{name}: figures for a whole node and no more");
    }
    assert!(names(Kind::Gpu).len() >= 25);
}
