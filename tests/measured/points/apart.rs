//! A point of prefill and decode on servers of their own, as a scenario.

use super::played::{simulated, system};
use super::{Engine, Measured, Played, is_held_out};

/// A point that a scenario with pools of roles says.
#[derive(Clone, Debug)]
pub(crate) struct Apart {
    pub(crate) model: &'static str,
    pub(crate) gpu: &'static str,
    pub(crate) engine: Engine,
    pub(crate) version: String,
    pub(crate) dtype: &'static str,
    pub(crate) kv_in_fp8: bool,
    pub(crate) prompt: u32,
    pub(crate) output: u32,
    pub(crate) users: u32,
    pub(crate) prefill: Workers,
    pub(crate) decode: Workers,
    pub(crate) ttft_ms: f64,
    pub(crate) tpot_ms: f64,
}

/// Servers of one role.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workers {
    pub(crate) count: u32,
    pub(crate) tensor: u32,
    pub(crate) data: u32,
    pub(crate) expert: bool,
    /// How ranks send tokens to experts (`experts.exchange`), where there are several.
    pub(crate) exchange: Option<&'static str>,
}

impl Workers {
    /// As `4 x tp8 ep`.
    pub(crate) fn split(self) -> String {
        let ranks = if self.data > 1 { format!(" dp{}", self.data) } else { String::new() };
        let experts = if self.expert { " ep" } else { "" };
        format!("{:>2} x tp{}{ranks}{experts}", self.count, self.tensor)
    }

    fn pool(self, name: &str, role: &str) -> String {
        let Workers { count, tensor, data, expert, exchange } = self;
        // SGLang's guide for GB200 places experts, and copies of popular ones, by what they get to do.
        let placed = exchange.is_some_and(|way| way.starts_with("deepep"));
        let placed = if placed { ", imbalance: 1.1" } else { "" };
        let experts = exchange.map(|way| format!(", experts: {{exchange: {way}{placed}}}"));
        format!(
            "{{name: {name}, role: {role}, replicas: {count}, \
             parallelism: {{tensor: {tensor}, data: {data}, expert: {expert}}}{}}}",
            experts.unwrap_or_default()
        )
    }
}

/// How many requests a rank decodes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seats {
    /// As many as there are.
    Enough,
    /// As many as users did not wait for, where that is a round number ([`Apart::seats`]).
    Waited,
}

/// Which replica takes blocks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As the engine's profile has it.
    Own,
    /// The one that prefills, whatever the engine.
    SourceFirst,
}

impl Apart {
    /// What was configured, without the engine's version.
    pub(crate) fn configuration(&self) -> String {
        format!(
            "{} {} {} {} {}x{} c{} {} to {}",
            self.engine.name(),
            self.model,
            self.gpu,
            self.dtype,
            self.prompt,
            self.output,
            self.users,
            self.prefill.split(),
            self.decode.split()
        )
    }

    /// Whether fits must not see it.
    pub(crate) fn is_held_out(&self) -> bool {
        is_held_out(&self.configuration())
    }

    /// The seats of a rank that decodes, where times tell. TensorRT-LLM gives a rank `max_batch_size` of
    /// them, which the table leaves out and is commonly a power of two; users beyond wait, and that wait is
    /// in TTFT. Of `users`, `users x decode time / (TTFT + decode time)` decode at a time (Little's
    /// law): where that is nearly a power of two for each rank, and fewer than its share of users, it is
    /// taken for its seats. So TTFT is no prediction there; TPOT hardly enters, since it is in both times.
    pub(crate) fn seats(&self) -> Option<u32> {
        if self.engine != Engine::TensorRtLlm {
            return None;
        }
        let decoding = self.tpot_ms * (self.mean_output() - 1.0);
        let ranks = f64::from(self.decode.count * self.decode.data);
        let each = f64::from(self.users) * decoding / (self.ttft_ms + decoding) / ranks;
        let seats = libm::exp2(libm::log2(each).round());
        let full = (0.9..=1.03).contains(&(each / seats));
        (full && seats >= 1.0 && seats * ranks < f64::from(self.users)).then_some(seats as u32)
    }

    /// The scenario, as a user would write it. `vllm-v1` stands in for the other engines' schedulers, which
    /// no pool with a role can have: a replica that decodes has nothing to choose but whom to admit. KV
    /// goes over a rack's NVLink, or over InfiniBand of 400 Gb/s a GPU (assumed; not recorded).
    fn scenario(&self, seats: Seats, order: Order) -> String {
        let (profile, _) = system(self.engine, &self.version);
        let kv = if self.kv_in_fp8 { "fp8" } else { "auto" };
        let link = if self.gpu.starts_with("gb") { "nvlink5" } else { "ib-400g" };
        let seats = match seats {
            Seats::Enough => None,
            Seats::Waited => self.seats(),
        };
        let order = match order {
            Order::Own => "",
            Order::SourceFirst => "order: source-first, ",
        };
        let low = |tokens: u32| (0.8 * f64::from(tokens)) as u32;
        format!(
            "model: {}\ngpu: {}\n\
             engine: {{profile: {profile}, dtype: {}, kv_cache_dtype: {kv}, max_model_len: {}}}\n\
             schedulers: [vllm-v1: {{max_num_seqs: {}, max_num_batched_tokens: 16384}}]\n\
             pools:\n  - {}\n  - {}\nrouter: least-requests\n\
             disaggregation: {{{order}decode_router: least-requests, transfer: {{link: {link}}}}}\n\
             workload:\n  requests: {}\n  arrivals: {{closed_loop: {{users: {}, think_time: 0s}}}}\n  \
             lengths: {{prompt: {{uniform: {{min: {}, max: {}}}}}, output: {{uniform: {{min: {}, max: {}}}}}}}\n",
            self.model,
            self.gpu,
            self.dtype,
            self.prompt + self.output + 256,
            seats.unwrap_or(self.users),
            self.prefill.pool("p", "prefill"),
            self.decode.pool("d", "decode"),
            self.turns() * self.users,
            self.users,
            low(self.prompt),
            self.prompt,
            low(self.output),
            self.output,
        )
    }

    /// How often a user asks: ten times there, fewer here where answers are long or users many.
    fn turns(&self) -> u32 {
        match (u64::from(self.users) * u64::from(self.output)) >> 18 {
            0 => 6,
            1..=3 => 4,
            4..=15 => 3,
            _ => 2,
        }
    }
}

impl Measured for Apart {
    fn measured(&self) -> Played {
        Played { ttft_ms: self.ttft_ms, tpot_ms: self.tpot_ms }
    }

    fn mean_output(&self) -> f64 {
        0.9 * f64::from(self.output)
    }
}

/// Simulates it.
///
/// # Errors
/// What the program says against it.
pub(crate) fn play_apart(point: &Apart, seats: Seats, order: Order) -> Result<Played, String> {
    simulated(&point.scenario(seats, order), None)
}
