//! Random batches: more work is never cheaper.

use metron_sim::cost::{BatchShape, Chunk, CostModel, Decodes, Roofline};
use proptest::prelude::*;

use crate::support::build;

fn any_cost() -> impl Strategy<Value = (&'static str, Roofline)> {
    prop::sample::select(vec![
        ("llama-3.1-8b", "h100-sxm", "vllm-0.12", 1),
        ("llama-3.1-8b", "rtx-4090", "vllm-0.19", 1),
        ("qwen3-32b", "rtx-pro-6000", "ideal", 2),
        ("qwen3-30b-a3b", "rtx-pro-6000", "vllm-0.19", 1),
        ("yi-34b", "a100-sxm-80gb", "vllm-0.4", 4),
    ])
    .prop_map(|(model, gpu, profile, ranks)| {
        (gpu, build(model, gpu, profile, ranks).expect("these all fit"))
    })
}

fn any_chunks() -> impl Strategy<Value = Vec<Chunk>> {
    let chunk =
        (0_u32..20_000, 1_u32..5000).prop_map(|(context, tokens)| Chunk { context, tokens });
    prop::collection::vec(chunk, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn more_work_is_never_cheaper(
        (gpu, cost) in any_cost(),
        chunks in any_chunks(),
        decodes in 0_u32..700,
        mean_kv in 1_u64..20_000,
        more in 1_u32..300,
    ) {
        prop_assume!(decodes > 0 || !chunks.is_empty());
        let price = |chunks: &[Chunk], decodes: u32, kv: u64, sampled: u32| {
            cost.time(&BatchShape::new(chunks, Decodes::one_token_each(decodes, kv), sampled))
        };
        let kv = u64::from(decodes) * mean_kv;
        let base = price(&chunks, decodes, kv, decodes);
        let check = |what: &str, dearer: metron_sim::cost::IterationTime| {
            prop_assert!(dearer.gpu >= base.gpu, "{what} on {gpu}: {dearer:?} below {base:?}");
            prop_assert!(dearer.host >= base.host, "{what} on {gpu}: host");
            Ok(())
        };
        if decodes > 0 {
            check("more KV", price(&chunks, decodes, kv + u64::from(more), decodes))?;
        }
        // Decodes of the mean length or more: the mean stands for the longest in a batch with
        // chunks on the cards with FlashAttention-2.
        let longer = kv + u64::from(more) * (mean_kv + 1);
        check("more decodes", price(&chunks, decodes + more, longer, decodes + more))?;
        check("more sampled", price(&chunks, decodes, kv, decodes + more))?;
        if let Some(first) = chunks.first() {
            let mut grown = chunks.clone();
            grown[0] = Chunk { tokens: first.tokens + more, ..*first };
            check("a longer chunk", price(&grown, decodes, kv, decodes))?;
            grown[0] = Chunk { context: first.context + more, ..*first };
            check("more context", price(&grown, decodes, kv, decodes))?;
            grown[0] = *first;
            grown.push(Chunk { context: 0, tokens: more });
            check("another chunk", price(&grown, decodes, kv, decodes))?;
        }
    }

    #[test]
    fn the_same_shape_costs_the_same(
        (_, cost) in any_cost(), chunks in any_chunks(), decodes in 1_u32..2000, kv in 1_u64..1 << 40,
    ) {
        let shape =
            BatchShape::new(&chunks, Decodes::one_token_each(decodes, kv), decodes);
        prop_assert_eq!(cost.time(&shape), cost.clone().time(&shape));
    }
}
