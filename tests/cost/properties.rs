//! What holds of every price, whatever the GPU, the engine's era and the model: more work is never
//! cheaper, and a batch is never dearer than its chunks alone and then its decodes alone. All that
//! the catalog lists is taken up.

use std::ops::RangeInclusive;

use metron_sim::catalog::{self, EngineProfile, Gpu, Kind, Mixer, Model, PrefillAttention, Reach};
use metron_sim::cost::{
    BatchShape, Chunk, CostModel, Decodes, Dtype, IterationTime, KvDtype, Parallelism, Precision,
    Roofline,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::TOGETHER_MOST;

/// A batch as it is drawn.
#[derive(Clone, Debug)]
struct Batch {
    chunks: Vec<Chunk>,
    decodes: u32,
    /// Drafted tokens of each decode.
    drafts: u32,
    mean_kv: u64,
    /// Chunks that complete a prompt.
    completing: u32,
}

impl Batch {
    /// `decodes` like its own, and `more` KV entries.
    fn decodes(&self, decodes: u32, more: u64) -> Decodes {
        let kv = u64::from(decodes) * (self.mean_kv + u64::from(self.drafts)) + more;
        Decodes::verifying(decodes, decodes * (1 + self.drafts), kv)
    }
}

/// A model, how it is split, and in which numbers.
#[derive(Clone, Debug)]
struct Served {
    model: String,
    parallelism: Parallelism,
    precision: Precision,
}

fn any_served() -> impl Strategy<Value = Served> {
    (
        prop::sample::select(catalog::names(Kind::Model)),
        prop::sample::select(vec![1, 2, 4, 8]),
        1_u32..=2,
        prop::sample::select(vec![Dtype::Bf16, Dtype::Bf16, Dtype::Fp8]),
        prop::sample::select(vec![KvDtype::Auto, KvDtype::Auto, KvDtype::Fp8]),
    )
        .prop_map(|(model, tensor, pipeline, weights, kv)| Served {
            model,
            parallelism: Parallelism { tensor, pipeline, ..Parallelism::default() },
            precision: Precision { weights, kv },
        })
}

/// Small and large numbers alike.
fn few_or_many(range: RangeInclusive<u32>) -> impl Strategy<Value = u32> {
    let (least, most) = range.into_inner();
    prop_oneof![least..=(least + 20).min(most), least..=most]
}

/// None, few or many for a decode.
fn any_drafts() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0), 2 => 1_u32..=8, 1 => 1_u32..=128]
}

fn any_batch(chunks: RangeInclusive<usize>, decodes: RangeInclusive<u32>) -> BoxedStrategy<Batch> {
    let chunk = (few_or_many(0..=20_000), few_or_many(1..=5000))
        .prop_map(|(context, tokens)| Chunk { context, tokens });
    let chunks = prop::collection::vec(chunk, chunks);
    (chunks, few_or_many(decodes), any_drafts(), few_or_many(1..=16_384), 0_u32..=4)
        .prop_map(|(chunks, decodes, drafts, mean_kv, completing)| {
            let completing = completing.min(chunks.len() as u32);
            Batch { chunks, decodes, drafts, mean_kv: mean_kv.into(), completing }
        })
        .prop_filter("nothing to compute", |b| b.decodes > 0 || !b.chunks.is_empty())
        .boxed()
}

/// Whether decode-only batches are padded to captured CUDA graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    AsProfiles,
    None,
}

/// Checks batches under every profile on every GPU, `cases` times with models drawn anew.
fn everywhere(
    cases: u32,
    padding: Padding,
    batch: impl Fn() -> BoxedStrategy<Batch>,
    check: impl Fn(&Gpu, &Served, &Roofline, &Batch) -> Result<(), TestCaseError>,
) {
    for gpu in catalog::names(Kind::Gpu) {
        let gpu = catalog::gpu(&gpu).unwrap();
        for profile in catalog::names(Kind::Profile) {
            let mut profile = catalog::profile(&profile).unwrap();
            if padding == Padding::None {
                profile.cuda_graph_sizes.clear();
            }
            let config = ProptestConfig {
                cases,
                // Models that do not fit the GPU's constants, or the split.
                max_global_rejects: 50 * cases,
                failure_persistence: None,
                ..ProptestConfig::default()
            };
            let batches = prop::collection::vec(batch(), 12);
            TestRunner::new(config)
                .run(&(any_served(), batches), |(served, batches)| {
                    let Some(cost) = build(&gpu, &profile, &served) else {
                        return Err(TestCaseError::reject("not priced"));
                    };
                    batches.iter().try_for_each(|batch| check(&gpu, &served, &cost, batch))
                })
                .unwrap_or_else(|e| panic!("{} under {}: {e}", gpu.name, profile.name));
        }
    }
}

fn build(gpu: &Gpu, profile: &EngineProfile, served: &Served) -> Option<Roofline> {
    let model = catalog::model(&served.model).unwrap();
    Roofline::new(&model, gpu, profile, served.parallelism, served.precision).ok()
}

fn price(cost: &Roofline, chunks: &[Chunk], decodes: Decodes, sampled: u32) -> IterationTime {
    cost.time(&BatchShape::new(chunks, decodes, sampled))
}

#[test]
fn more_work_is_never_cheaper() {
    everywhere(
        6,
        Padding::AsProfiles,
        || any_batch(0..=3, 0..=700),
        |_, _, cost, batch| {
            let Batch { chunks, completing, .. } = batch;
            let decodes = batch.decodes(batch.decodes, 0);
            let sampled = decodes.tokens() + completing;
            let base = price(cost, chunks, decodes, sampled);
            let dearer = |what: &str, more: u32, time: IterationTime| {
                prop_assert!(time.gpu >= base.gpu, "{what} by {more}: {time:?} below {base:?}");
                prop_assert!(time.host >= base.host, "{what} by {more}: host");
                Ok(())
            };
            for more in [1, 2, 15, 64, 300] {
                let sampling = price(cost, chunks, decodes, sampled + more);
                dearer("sampled", more, sampling)?;
                if batch.decodes > 0 {
                    let longer = batch.decodes(batch.decodes, more.into());
                    dearer("KV", more, price(cost, chunks, longer, sampled))?;
                    let drafted = Decodes::verifying(
                        batch.decodes,
                        decodes.tokens() + more,
                        longer.kv_tokens(),
                    );
                    dearer("drafts", more, price(cost, chunks, drafted, sampled))?;
                }
                // Further decodes are as long as the mean, which stands for the longest, and have as
                // many drafts: among shorter ones the longest would seem to shrink.
                let further = batch.decodes(batch.decodes + more, 0);
                dearer("decodes", more, price(cost, chunks, further, sampled))?;
                for at in 0..chunks.len() {
                    let mut grown = chunks.clone();
                    grown[at].tokens += more;
                    dearer("a chunk's tokens", more, price(cost, &grown, decodes, sampled))?;
                    grown[at] = Chunk { context: chunks[at].context + more, ..chunks[at] };
                    // Within chunks a later token may read less.
                    let anew = |reach: &Reach| matches!(reach, Reach::Chunk(_));
                    if !cost.reaches().iter().any(anew) {
                        let time = price(cost, &grown, decodes, sampled);
                        dearer("a chunk's context", more, time)?;
                    }
                }
                let mut another = chunks.clone();
                another.push(Chunk { context: 0, tokens: more });
                dearer("a chunk of tokens", more, price(cost, &another, decodes, sampled))?;
            }
            Ok(())
        },
    );
}

/// How much dearer than in turn a batch may be.
///
/// On cards where chunks and decodes in one kernel of FlashAttention-2 were measured they are dearer
/// indeed, for two reasons, which bound by how much: a decode's keys are walked by one block, where a
/// kernel for decodes splits them ([`TOGETHER_MOST`]), and K and V are read once for each query head
/// of a group, at no less than two thirds of the bandwidth. (Latent attention has two kernels.)
fn most(gpu: &Gpu, model: &Model) -> f64 {
    match &gpu.prefill_attention {
        PrefillAttention::FlashAttention2(fit) if fit.mixed_measured => {
            let group = |(mixer, _): (Mixer, u32)| match mixer {
                Mixer::Attention(a) => TOGETHER_MOST.max(1.5 * f64::from(a.heads / a.kv_heads)),
                _ => 1.0,
            };
            model.mixers().into_iter().map(group).fold(1.0, f64::max)
        }
        _ => 1.0,
    }
}

#[test]
fn a_batch_is_never_dearer_than_its_chunks_and_then_its_decodes() {
    everywhere(
        6,
        Padding::AsProfiles,
        || any_batch(1..=3, 1..=256),
        |gpu, served, cost, batch| {
            let Batch { chunks, completing, .. } = batch;
            let decodes = batch.decodes(batch.decodes, 0);
            let shapes = [
                BatchShape::new(chunks, decodes, decodes.tokens() + completing),
                BatchShape::new(chunks, Decodes::NONE, *completing),
                BatchShape::of_decodes(decodes),
            ];
            let [together, first, then] = shapes.map(|shape| {
                let (time, aside) = (cost.time(&shape), cost.overheads(&shape));
                (time.gpu.as_nanos() - aside.gap.as_nanos(), aside.gap + aside.host)
            });
            let most = most(gpu, &catalog::model(&served.model).unwrap());
            let in_turn = first.0 + then.0;
            // Each stage and what it hands over is rounded to nanoseconds.
            let rounded = 4.0 * f64::from(served.parallelism.pipeline);
            prop_assert!(
                together.0 as f64 <= most * in_turn as f64 + rounded,
                "{} ns together, {in_turn} in turn: {:.4}",
                together.0,
                together.0 as f64 / in_turn as f64
            );
            prop_assert!(together.1 <= first.1 + then.1, "overheads");
            let (time, parts) = (cost.time(&shapes[0]), cost.parts(&shapes[0]));
            let whole = (time.gpu + time.host).as_nanos() as f64;
            let sum = 1e3
                * (parts.layers_us
                    + parts.attention_us
                    + parts.communication_us
                    + parts.head_us
                    + parts.host_us);
            prop_assert!((whole - sum).abs() <= rounded, "parts of {sum} ns make up {whole}");
            let stages = (0..cost.stages()).map(|stage| cost.stage_time(&shapes[0], stage).gpu);
            let staged = stages.fold(cost.hand_over(&shapes[0]), |sum, stage| sum + stage);
            prop_assert_eq!(staged, time.gpu, "stages and their hand-over");
            Ok(())
        },
    );
}

/// To verify drafts is never dearer than to decode as many tokens one after the other, but for what
/// tables are off between their knots, 1 part in 10,000. Without padding, which a batch may need where
/// smaller ones do not: 6 tokens run as 8, and each may reach experts of its own. What ranks send each
/// other is looked at apart: what is too large for an engine's own all-reduce goes by NCCL's, which may
/// take longer than several of its own: on an A100 1.6 times as long, as it was measured.
#[test]
fn a_query_of_several_tokens_is_never_dearer_than_as_many_steps() {
    everywhere(
        6,
        Padding::None,
        || any_batch(0..=0, 1..=256),
        |_, _, cost, batch| {
            let apart = |shape: &BatchShape<'_>| {
                let sent_us = cost.parts(shape).communication_us;
                (cost.time(shape).gpu.as_nanos() as f64 - 1e3 * sent_us, sent_us)
            };
            let shape = BatchShape::of_decodes(batch.decodes(batch.decodes, 0));
            let (together, sent_together) = apart(&shape);
            let (mut in_turn, mut sent_in_turn) = (0.0, 0.0);
            for step in 0..=u64::from(batch.drafts) {
                let kv = u64::from(batch.decodes) * (batch.mean_kv + step);
                let (alone, sent) = apart(&BatchShape::decodes_alone(batch.decodes, kv));
                in_turn += alone;
                sent_in_turn += sent;
            }
            // Each stage and what it hands over is rounded to nanoseconds.
            let rounded = 4.0 * f64::from(batch.drafts + 2);
            prop_assert!(
                together <= in_turn * 1.0001 + rounded,
                "{together} ns together, {in_turn} ns in turn"
            );
            prop_assert!(
                sent_together <= 2.0 * sent_in_turn + 1e-3,
                "{sent_together} us sent together, {sent_in_turn} us in turn"
            );
            Ok(())
        },
    );
}
