//! What ranks send one another within a layer: all-reduces under tensor parallelism, and tokens on
//! their way to experts and back.

use crate::catalog::{
    AllReduce, AllReduceCurve, Arithmetic, EngineKernels, Formats, Gpu, Mixer, Mlp, Model, QkNorm,
};

use super::gemm::us_per_byte;
use super::shard::Shard;
use super::{CostError, ExpertExchange};

/// Bytes of a number of the hidden state.
const HIDDEN_BYTES: f64 = 2.0;

/// The time that all layers' messages take, for the tokens of a rank and those of all ranks together.
/// All-reduces are read off measured points where a GPU has them, and are `latency + bytes/rate` else.
///
/// - After attention, and after a dense network: an all-reduce over the tensor-parallel ranks.
/// - After experts of one data-parallel rank: the same, since each rank has all tokens, and adds up
///   what its experts, or its slices of them, make of them.
/// - Experts over several data-parallel ranks, in slices or by vLLM's default exchange: the tokens of
///   all are gathered, and the sums scattered back, which together is an all-reduce of all ranks'
///   tokens.
/// - Whole experts, by all-to-alls: each GPU dispatches its part of the rank's tokens, and gets as
///   many results back; of `R` ranks' experts `1 - 1/R` are elsewhere. Then the tensor-parallel ranks
///   gather their parts, half an all-reduce.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    fixed_us: f64,
    us_per_token: f64,
    /// For a token of any of the data-parallel ranks.
    us_per_group_token: f64,
    /// Messages read off measured points.
    measured: Vec<Measured>,
    /// A multiple of all.
    factor: f64,
}

/// Messages that are alike: so many, of so many bytes for each token.
#[derive(Clone, Debug)]
struct Measured {
    times: f64,
    bytes_per_token: f64,
    /// Of all ranks' tokens, not of a rank's.
    of_all: bool,
    curve: AllReduceCurve,
}

/// Bytes that ranks sum up for a token whose queries and keys are normalised over all heads: a variance
/// of each, in 32 bits (vLLM's `MiniMaxText01RMSNormTP`).
const VARIANCE_BYTES: f64 = 8.0;

impl Exchange {
    /// # Errors
    /// When the GPU has no figures for as many ranks.
    pub(super) fn new(
        model: &Model,
        gpu: &Gpu,
        shard: Shard,
        formats: &Formats,
        way: ExpertExchange,
        kernels: &EngineKernels,
    ) -> Result<Exchange, CostError> {
        let hidden = f64::from(model.hidden_size);
        let reduced = Message::all_reduce(gpu, shard.ranks, hidden * HIDDEN_BYTES)?;
        let mut measured = Vec::new();
        let mut sum = Message::default();
        let mut reduces =
            |ranks: u32, times: f64, bytes: f64, of_all: bool| -> Result<Message, CostError> {
                let line = Message::all_reduce(gpu, ranks, bytes)?;
                match gpu.all_reduce_curve(ranks, kernels.all_reduce) {
                    Some(curve) if ranks > 1 && times > 0.0 => {
                        measured.push(Measured { times, bytes_per_token: bytes, of_all, curve });
                        Ok(Message::default())
                    }
                    _ => Ok(Message {
                        fixed_us: times * line.fixed_us,
                        us_per_token: times * line.us_per_token,
                    }),
                }
            };
        let layers_with = |has: &dyn Fn(&crate::catalog::LayerGroup) -> bool| {
            let layers = model.groups.iter().filter(|group| has(group)).map(|group| group.layers);
            f64::from(layers.sum::<u32>())
        };
        let mixers = layers_with(&|group| group.mixer != Mixer::None);
        let dense = layers_with(&|group| matches!(group.mlp, Mlp::Dense(_)));
        let whole = layers_with(
            &|group| matches!(group.mixer, Mixer::Attention(a) if a.qk_norm == QkNorm::Whole),
        );
        let mut us_per_group_token = 0.0;
        sum.add(1.0, reduces(shard.ranks, mixers + dense, hidden * HIDDEN_BYTES, false)?);
        sum.add(1.0, reduces(shard.ranks, whole, VARIANCE_BYTES, false)?);
        if let Some(experts) = model.experts() {
            let layers = layers_with(&|group| matches!(group.mlp, Mlp::Experts(_)));
            match shard.whole_experts {
                Some(_) if shard.data > 1 && way != ExpertExchange::AllgatherReducescatter => {
                    let ranks = shard.expert_ranks;
                    let there = Dispatch::new(way, formats, experts.per_token, ranks);
                    let part = hidden / f64::from(shard.ranks);
                    for bytes in [there.input_bytes, HIDDEN_BYTES] {
                        let message = Message::all_to_all(gpu, ranks, bytes * there.copies * part)?;
                        sum.add(
                            layers,
                            Message {
                                fixed_us: message.fixed_us + there.more_us,
                                us_per_token: message.us_per_token / there.rate,
                            },
                        );
                    }
                    sum.add(0.5 * layers, reduced);
                }
                _ => {
                    let bytes = HIDDEN_BYTES * hidden;
                    let of_all = shard.data > 1;
                    let gathered = reduces(shard.expert_ranks, layers, bytes, of_all)?;
                    match of_all {
                        false => sum.add(1.0, gathered),
                        // The tokens of all ranks.
                        true => {
                            sum.fixed_us += gathered.fixed_us;
                            us_per_group_token = gathered.us_per_token;
                        }
                    }
                }
            }
        }
        let Message { fixed_us, us_per_token } = sum;
        let factor = kernels.communication;
        Ok(Exchange { fixed_us, us_per_token, us_per_group_token, measured, factor })
    }

    /// Microseconds for a batch of `tokens` tokens, when all data-parallel ranks together have
    /// `all_tokens`.
    pub(super) fn us(&self, tokens: f64, all_tokens: f64) -> f64 {
        let line =
            self.fixed_us + self.us_per_token * tokens + self.us_per_group_token * all_tokens;
        let measured = self.measured.iter().map(|message| {
            let tokens = if message.of_all { all_tokens } else { tokens };
            message.times * message.curve.us(message.bytes_per_token * tokens)
        });
        self.factor * (line + measured.sum::<f64>())
    }
}

/// How a token is sent to its experts.
#[derive(Clone, Copy, Debug)]
struct Dispatch {
    /// Bytes of a number on the way there.
    input_bytes: f64,
    /// Copies of a token.
    copies: f64,
    /// Time that a message takes more than the link's latency.
    more_us: f64,
    /// Share of the link's rate that the kernels reach.
    rate: f64,
}

impl Dispatch {
    /// DeepEP's figures are those of its README (H800, 7,168 numbers, 8 experts a token): normal
    /// kernels reach 153 to 158 of about 160 GB/s over NVLink; low-latency kernels take 77 us there
    /// and 114 us back for 128 tokens on 8 ranks, which is 98 to 127 GB/s, so that latency beyond
    /// the link's own is small.
    fn new(way: ExpertExchange, formats: &Formats, per_token: u32, ranks: u32) -> Dispatch {
        let per_token = f64::from(per_token);
        let own_bytes = match formats.experts.arithmetic() {
            Arithmetic::Fp8 => 1.0,
            _ => HIDDEN_BYTES,
        };
        match way {
            ExpertExchange::AllgatherReducescatter | ExpertExchange::AllToAll => {
                Dispatch { input_bytes: own_bytes, copies: per_token, more_us: 0.0, rate: 1.0 }
            }
            ExpertExchange::DeepepHighThroughput => {
                let ranks = f64::from(ranks);
                // Ranks that have some of its experts, evenly at random.
                let copies = ranks * (1.0 - libm::pow(1.0 - 1.0 / ranks, per_token));
                Dispatch { input_bytes: 1.0, copies, more_us: 20.0, rate: 0.95 }
            }
            ExpertExchange::DeepepLowLatency => {
                Dispatch { input_bytes: 1.0, copies: per_token, more_us: 5.0, rate: 0.7 }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Message {
    fixed_us: f64,
    us_per_token: f64,
}

impl Message {
    /// Of `bytes` a token, over `ranks` GPUs.
    fn all_reduce(gpu: &Gpu, ranks: u32, bytes: f64) -> Result<Message, CostError> {
        if ranks == 1 {
            return Ok(Message::default());
        }
        let link = link(gpu, ranks)?;
        let us_per_token = bytes * us_per_byte(link.gb_per_s);
        Ok(Message { fixed_us: link.latency_us, us_per_token })
    }

    /// `bytes` a token leave each of `ranks` GPUs, but for those that stay, at the rate of the wire:
    /// an all-reduce of a message sends `2 (R - 1)/R` times its bytes.
    fn all_to_all(gpu: &Gpu, ranks: u32, bytes: f64) -> Result<Message, CostError> {
        let link = link(gpu, ranks)?;
        let elsewhere = 1.0 - 1.0 / f64::from(ranks);
        let wire_gb_per_s = link.gb_per_s * 2.0 * elsewhere;
        let us_per_token = bytes * elsewhere * us_per_byte(wire_gb_per_s);
        Ok(Message { fixed_us: link.latency_us, us_per_token })
    }

    fn add(&mut self, times: f64, other: Message) {
        self.fixed_us += times * other.fixed_us;
        self.us_per_token += times * other.us_per_token;
    }
}

fn link(gpu: &Gpu, ranks: u32) -> Result<&AllReduce, CostError> {
    gpu.all_reduce_on(ranks).ok_or_else(|| CostError::AllReduceUnknown {
        gpu: gpu.name.clone(),
        tensor: ranks,
        known: gpu.all_reduce.last().map_or(1, |a| a.gpus),
    })
}
