//! What memory the weights leave.

use metron_sim::catalog;
use metron_sim::cost::{CapacityError, CostError, KvRequest, Parallelism, kv_capacity};

use crate::support::{capacity, memory};

#[test]
fn kv_capacity_is_what_the_weights_leave() {
    let kv = capacity("llama-3.1-8b", "h100-sxm", 1).unwrap();
    assert_eq!(kv.bytes_per_block, 2 * 32 * 8 * 128 * 2 * 16);
    // 0.9 x 80 GiB - 2 x 8,030,261,248 - 3.5 GB = 57,748,888,832 bytes, by hand.
    assert_eq!(kv.kv_bytes, 57_748_888_832);
    assert_eq!(kv.blocks, 27_536);
    assert_eq!(
        kv.arithmetic,
        "80.0 GiB x 0.90 = 72.0 GiB; weights 15.0 GiB; activations, graphs and context 3.3 GiB; \
         left 53.8 GiB = 27,536 blocks of 16 tokens (2.0 MiB each)"
    );
    let two = capacity("llama-3.1-8b", "h100-sxm", 2).unwrap();
    assert_eq!(two.bytes_per_block, kv.bytes_per_block / 2);
    assert!(two.blocks > 2 * kv.blocks);
    // 8 KV heads on 16 ranks: each rank keeps one.
    let model = catalog::model("llama-3.1-8b").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let wide = KvRequest { overhead_bytes: 0, ..memory(&model, &gpu, 16) };
    assert_eq!(kv_capacity(&wide).unwrap().bytes_per_block, kv.bytes_per_block / 8);
    let nonsense = KvRequest { gpu_memory_utilization: f64::NAN, ..wide };
    assert!(matches!(kv_capacity(&nonsense), Err(CapacityError::Cost(CostError::Figure(_)))));
}

#[test]
fn stages_share_the_weights_and_the_fullest_decides() {
    let model = catalog::model("llama-3.1-70b").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let parallelism = Parallelism { pipeline: 3, ..Parallelism::default() };
    let kv = kv_capacity(&KvRequest { parallelism, ..memory(&model, &gpu, 1) }).unwrap();
    // Layers 27, 27, 26: the first has the embedding besides.
    let layer = (model.parameters() - 2 * 128_256 * 8192 - 8192) / 80;
    assert_eq!(kv.weight_bytes, 2 * (27 * layer + 128_256 * 8192));
    assert_eq!(kv.bytes_per_block, 27 * 2 * 8 * 128 * 2 * 16);
    assert!(kv.arithmetic.contains("weights of stage 1 of 3"), "{}", kv.arithmetic);
}

#[test]
fn a_model_too_big_is_refused_with_the_arithmetic() {
    let error = capacity("llama-3.1-70b", "h100-sxm", 1).unwrap_err();
    assert_eq!(
        error,
        "llama-3.1-70b does not fit on 1 x h100-sxm: 80.0 GiB x 0.90 = 72.0 GiB; weights 131.4 \
         GiB; activations, graphs and context 3.3 GiB; 62.7 GiB too little"
    );
    assert!(capacity("llama-3.1-70b", "h100-sxm", 4).is_ok());
}
