//! A batch never takes longer than its parts run one after the other, on any GPU, under any engine.

use metron_sim::catalog::{self, Kind};
use metron_sim::cost::{BatchShape, Chunk, CostModel, Decodes, Dtype, Roofline};
use metron_sim::time::Span;

use crate::support::tensor;

const MODELS: [(&str, u32); 6] = [
    ("llama-3.1-8b", 1),
    ("llama-3.1-70b", 4),
    ("llama-3.1-70b", 8),
    ("qwen3-30b-a3b", 1),
    ("deepseek-v2-lite", 1),
    ("yi-34b", 2),
];

const CHUNKS: [Chunk; 9] = [
    Chunk { context: 0, tokens: 1 },
    Chunk { context: 16_000, tokens: 1 },
    Chunk { context: 0, tokens: 64 },
    Chunk { context: 3_000, tokens: 100 },
    Chunk { context: 0, tokens: 512 },
    Chunk { context: 16_000, tokens: 512 },
    Chunk { context: 0, tokens: 2_048 },
    Chunk { context: 0, tokens: 8_192 },
    Chunk { context: 60_000, tokens: 8_192 },
];

/// Requests, and KV entries that each reads.
const DECODES: [(u32, u64); 9] = [
    (1, 16),
    (1, 64_000),
    (8, 1_000),
    (32, 300),
    (64, 4_000),
    (64, 16_000),
    (256, 1_000),
    (512, 64_000),
    (1_500, 500),
];

/// Each time is rounded to a nanosecond.
const ROUNDING: Span = Span::from_nanos(3);

struct Priced {
    cost: Roofline,
    what: String,
}

impl Priced {
    fn whole(&self, chunks: &[Chunk], decodes: Decodes) -> Span {
        let sampled = decodes.requests() + chunks.len() as u32;
        let time = self.cost.time(&BatchShape::new(chunks, decodes, sampled));
        time.gpu + time.host
    }

    fn at_most(&self, parts: &[Span], chunks: &[Chunk], decodes: Decodes, wrong: &mut Vec<String>) {
        let whole = self.whole(chunks, decodes);
        let together = parts.iter().fold(ROUNDING, |sum, &part| sum + part);
        if whole > together {
            let what = &self.what;
            wrong.push(format!("{what}: {chunks:?} and {decodes:?}: {whole:?}, {parts:?} apart"));
        }
    }
}

fn each_priced(mut check: impl FnMut(&Priced)) {
    for gpu in catalog::names(Kind::Gpu) {
        let gpu = catalog::gpu(&gpu).unwrap();
        for profile in catalog::names(Kind::Profile) {
            let profile = catalog::profile(&profile).unwrap();
            for (name, ranks) in MODELS {
                let model = catalog::model(name).unwrap();
                let what = format!("{name}x{ranks} on {} under {}", gpu.name, profile.name);
                // A model whose experts were not measured on a GPU is refused, not guessed.
                if let Ok(cost) = Roofline::new(&model, &gpu, &profile, tensor(ranks), Dtype::Bf16)
                {
                    check(&Priced { cost, what });
                }
            }
        }
    }
}

#[test]
fn a_batch_is_never_dearer_than_its_parts_in_turn() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    each_priced(|priced| {
        for chunk in CHUNKS {
            for (requests, kv_each) in DECODES {
                let decodes = Decodes::one_token_each(requests, u64::from(requests) * kv_each);
                let [one, alone] =
                    [priced.whole(&[chunk], Decodes::NONE), priced.whole(&[], decodes)];
                priced.at_most(&[one, alone], &[chunk], decodes, &mut wrong);
                for other in [CHUNKS[3], CHUNKS[6]] {
                    let other_alone = priced.whole(&[other], Decodes::NONE);
                    let chunks = [chunk, other];
                    priced.at_most(&[one, other_alone, alone], &chunks, decodes, &mut wrong);
                    let beside = priced.whole(&[chunk], decodes);
                    priced.at_most(&[beside, other_alone], &chunks, decodes, &mut wrong);
                    priced.at_most(&[one, other_alone], &chunks, Decodes::NONE, &mut wrong);
                }
                checked += 1;
            }
        }
    });
    assert!(
        wrong.is_empty(),
        "{} of {checked}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(checked > 20_000, "{checked}");
}

/// Prefill tokens do not hide in decodes either: a mixed batch costs at least each of its parts.
#[test]
fn a_batch_is_never_cheaper_than_a_part_of_it() {
    let mut wrong = Vec::new();
    each_priced(|priced| {
        for chunk in CHUNKS {
            for (requests, kv_each) in DECODES {
                let decodes = Decodes::one_token_each(requests, u64::from(requests) * kv_each);
                let whole = priced.whole(&[chunk], decodes);
                // A batch with a chunk is not padded to a captured CUDA graph.
                let unpadded = requests == 1 || requests > 512;
                let parts = [
                    Some(priced.whole(&[chunk], Decodes::NONE)),
                    unpadded.then(|| priced.whole(&[], decodes)),
                ];
                for part in parts.into_iter().flatten() {
                    if part > whole + ROUNDING {
                        let what = &priced.what;
                        wrong.push(format!(
                            "{what}: {chunk:?} and {decodes:?}: {whole:?} < {part:?}"
                        ));
                    }
                }
            }
        }
    });
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
