//! The feed-forward network of a layer.

use serde::Serialize;

/// The feed-forward network of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mlp {
    /// One network for every token.
    Dense(Dense),
    /// A mixture of experts.
    Experts(Experts),
    /// None: the layer is a mixer alone.
    None,
}

/// A dense network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dense {
    /// Its width (`intermediate_size`).
    pub width: u32,
    /// Whether it has a gate: three matrices instead of two.
    pub gated: bool,
    /// Whether its matrices have biases.
    pub bias: bool,
}

/// A mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Experts {
    /// Routed experts a layer.
    pub count: u32,
    /// Routed experts that each token goes to.
    pub per_token: u32,
    /// Width of a routed expert.
    pub width: u32,
    /// Width of the shared experts that every token goes to, all together; 0 is none.
    pub shared_width: u32,
    /// Whether experts have a gate: three matrices instead of two.
    pub gated: bool,
    /// Whether the experts' matrices have biases (gpt-oss).
    pub bias: bool,
    /// Width that tokens are compressed to before they go to routed experts; 0: not compressed
    /// (Nemotron 3 Super and Ultra).
    pub latent: u32,
}

impl Dense {
    /// Matrices.
    pub fn matrices(&self) -> u32 {
        if self.gated { 3 } else { 2 }
    }
}

impl Experts {
    /// Matrices of an expert.
    pub fn matrices(&self) -> u32 {
        if self.gated { 3 } else { 2 }
    }

    /// Width of what goes into a routed expert.
    pub fn input_width(&self, hidden_size: u32) -> u32 {
        if self.latent == 0 { hidden_size } else { self.latent }
    }

    /// Parameters of one routed expert's matrices.
    pub fn expert_parameters(&self, hidden_size: u32) -> u64 {
        let input = u64::from(self.input_width(hidden_size));
        u64::from(self.matrices()) * input * u64::from(self.width)
    }
}

/// Parameters of a feed-forward network, by what quantisation tells apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MlpParameters {
    /// Matrices of a dense network.
    pub dense: u64,
    /// Matrices of shared experts, and of what compresses tokens for routed ones.
    pub shared: u64,
    /// Matrices of all routed experts.
    pub routed: u64,
    /// Of `routed`, those that one token goes through.
    pub routed_active: u64,
    /// Routers and biases.
    pub small: u64,
}

impl Mlp {
    /// Its parameters.
    pub fn parameters(&self, hidden_size: u32) -> MlpParameters {
        let h = u64::from(hidden_size);
        match *self {
            Mlp::None => MlpParameters::default(),
            Mlp::Dense(dense) => {
                let width = u64::from(dense.width);
                let biases = u64::from(dense.matrices() - 1) * width + h;
                MlpParameters {
                    dense: u64::from(dense.matrices()) * h * width,
                    small: if dense.bias { biases } else { 0 },
                    ..MlpParameters::default()
                }
            }
            Mlp::Experts(experts) => {
                let [count, width] = [experts.count, experts.width].map(u64::from);
                let one = experts.expert_parameters(hidden_size);
                let biases = count * (u64::from(experts.matrices() - 1) * width + h) + count;
                MlpParameters {
                    dense: 0,
                    shared: u64::from(experts.matrices()) * h * u64::from(experts.shared_width)
                        + 2 * h * u64::from(experts.latent),
                    routed: count * one,
                    routed_active: u64::from(experts.per_token) * one,
                    small: count * h + if experts.bias { biases } else { 0 },
                }
            }
        }
    }
}
