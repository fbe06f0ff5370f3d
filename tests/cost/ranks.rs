//! Several GPUs: ranks that share a layer, and stages.

use metron_sim::catalog;
use metron_sim::cost::{
    BatchShape, Chunk, CostError, CostModel, Decodes, Dtype, Parallelism, Roofline, stage_layers,
};
use metron_sim::time::Span;

use crate::support::{build, decode_ms, prefill_ms};

#[test]
fn more_ranks_are_faster_but_not_twice() {
    let [one, two] = [1, 2].map(|r| build("llama-3.1-70b", "h200-sxm", "ideal", r).unwrap());
    for (alone, split) in [
        (decode_ms(&one, 16, 1024), decode_ms(&two, 16, 1024)),
        (prefill_ms(&one, 4096), prefill_ms(&two, 4096)),
    ] {
        assert!(split < alone && split > alone / 2.0, "{split} ms on two, {alone} on one");
    }
    let shape = BatchShape::decodes_alone(8, 8192);
    assert_eq!(one.parts(&shape).communication_us, 0.0);
    assert!(two.parts(&shape).communication_us > 0.0);
}

#[test]
fn stages_and_hand_overs_add_up_to_the_whole() {
    let model = catalog::model("llama-3.1-70b").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let profile = catalog::profile("vllm-0.19").unwrap();
    let build = |pipeline| {
        let parallelism = Parallelism { tensor: 2, pipeline, ..Parallelism::default() };
        Roofline::new(&model, &gpu, &profile, parallelism, Dtype::Bf16).unwrap()
    };
    let chunks = [Chunk { context: 300, tokens: 509 }];
    for shape in [
        BatchShape::new(&chunks, Decodes::one_token_each(9, 12_345), 10),
        BatchShape::decodes_alone(9, 12_345),
    ] {
        let (whole, four) = (build(1), build(4));
        assert_eq!((whole.stages(), four.stages()), (1, 4));
        assert_eq!(whole.hand_over(&shape), Span::ZERO);
        let hand_overs_us = 3.0 * four.hand_over(&shape).as_nanos() as f64 / 1e3;
        assert!(hand_overs_us > 0.0);
        let stages: Vec<f64> =
            (0..4).map(|s| four.stage_time(&shape, s).gpu.as_nanos() as f64 / 1e3).collect();
        let sum = stages.iter().sum::<f64>() + hand_overs_us;
        let [one_us, four_us] = [&whole, &four].map(|c| c.time(&shape).gpu.as_nanos() as f64 / 1e3);
        assert!((sum - four_us).abs() < 0.01, "{sum} {four_us}");
        assert!((one_us + hand_overs_us - four_us).abs() < 0.01 * one_us / 100.0);
        // 20 layers each; the head on the last; the gap between steps on the first.
        let parts: Vec<_> = (0..4).map(|s| four.stage_parts(&shape, s)).collect();
        assert!(parts[..3].iter().all(|p| p.head_us == 0.0) && parts[3].head_us > 0.0);
        assert!(parts[1..].iter().all(|p| p.host_us == 0.0) && parts[0].host_us > 0.0);
        assert!((parts[0].layers_us - parts[3].layers_us).abs() < 1e-9);
        let communication = four.parts(&shape).communication_us;
        let of_ranks = whole.parts(&shape).communication_us;
        assert!((communication - of_ranks - hand_overs_us).abs() < 0.01);
        assert!(four.overheads(&shape).communication > whole.overheads(&shape).communication);
    }
}

#[test]
fn layers_are_dealt_out_as_vllm_does() {
    assert_eq!(stage_layers(32, 4).unwrap(), [8, 8, 8, 8]);
    assert_eq!(stage_layers(62, 4).unwrap(), [15, 16, 16, 15]);
    assert_eq!(stage_layers(5, 3).unwrap(), [2, 2, 1]);
    assert_eq!(stage_layers(3, 1).unwrap(), [3]);
    assert!(matches!(stage_layers(3, 0), Err(CostError::NoRanks)));
    assert!(matches!(stage_layers(3, 4), Err(CostError::TooManyStages { .. })));
}
