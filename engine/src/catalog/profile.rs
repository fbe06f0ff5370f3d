//! An engine profile: what an engine's version adds to the kernels' time, and its defaults.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{InvalidFigure, at_least_zero, positive};
use super::{AttentionTable, EngineKernels, Evidence, GpuConstants, HandOverWay, StepLaw};

/// An engine's version, as far as time and memory go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineProfile {
    /// Catalog name, such as `vllm-0.19`.
    pub name: String,
    /// One line for `metron-sim list profiles`.
    pub description: String,
    /// All kernel times are multiplied by this: what the kernels lose when they run in sequence.
    #[serde(default = "one")]
    pub kernel_factor: f64,
    /// How the engine's kernels differ from those that GPUs' constants were fitted on.
    #[serde(default, skip_serializing_if = "EngineKernels::is_usual")]
    pub kernels: EngineKernels,
    /// All that GPUs exchange takes so many times what the link's figures say, besides.
    #[serde(default = "one")]
    pub link_factor: f64,
    /// The engine's own work in an iteration. Asynchronous scheduling hides it behind the GPU.
    #[serde(default)]
    pub host: Overhead,
    /// Time between two iterations' kernels that asynchronous scheduling does not hide.
    #[serde(default)]
    pub step_gap: Overhead,
    /// `host` and `step_gap` on other machines, as multiples of what stands there: the least and the
    /// most that are to be expected. Left out: one machine's figures, of which no range is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_range: Option<[f64; 2]>,
    /// What lies between clients and the engine, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front_end: Option<FrontEndTimes>,
    /// Whether this version plans a step while the one before runs, by policies that can. A scheduler
    /// whose own version does not by default is not asked to. Left out: as the scheduler's version has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub async_scheduling: Option<bool>,
    /// Whether it does so too where the host drafts (`ngram`, `suffix`), which needs tokens that are there.
    /// Left out: as `async_scheduling` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub async_with_host_drafts: Option<bool>,
    /// Whether this version keeps KV blocks and finds them again by content, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_caching: Option<bool>,
    /// How requests go from replicas that prefill to those that decode.
    #[serde(default, skip_serializing_if = "HandOverWay::is_usual")]
    pub hand_over: HandOverWay,
    /// Sizes captured as CUDA graphs, ascending: a decode-only batch is padded to the next one.
    #[serde(default)]
    pub cuda_graph_sizes: Vec<u32>,
    /// Whether CUDA graphs are left out (vLLM's `--enforce-eager`) unless the scenario says otherwise:
    /// nothing is padded, and the host launches every kernel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enforce_eager: bool,
    /// The host's time to launch a kernel in eager mode, microseconds: an operation's way through
    /// Python, PyTorch and the driver. Assumed: 40, of which the kernels of Llama-3.1-8B make 13 ms.
    /// Reported: 8.4 ms a step of that model on an H100 in plain PyTorch (26 us a kernel); 22 ms
    /// where graphs take 13 for a 7B model of 28 layers on an A800 (vllm-project/vllm-omni, issue 7960; up to 75).
    #[serde(default = "eager_us_per_kernel")]
    pub eager_us_per_kernel: f64,
    /// The host's time to launch a kernel of an iteration with chunks, microseconds, where CUDA graphs hold
    /// decodes only: such an iteration takes at least all of its launches. 0: they are hidden.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prefill_us_per_kernel: f64,
    /// The host's time for the routed experts of a layer in such an iteration, microseconds besides: vLLM
    /// launches theirs one by one where it has compiled what lies between.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prefill_us_per_expert_layer: f64,
    /// Most tokens of an iteration's chunks that CUDA graphs hold too, so that it has no such launches
    /// (vLLM's piecewise graphs, `max_cudagraph_capture_size`).
    #[serde(default, skip_serializing_if = "no_tokens")]
    pub chunk_graph_tokens: u32,
    /// Tokens in a KV block unless the scenario says otherwise.
    pub kv_block_tokens: u32,
    /// Share of device memory used unless the scenario says otherwise.
    pub gpu_memory_utilization: f64,
    /// Activation peak, CUDA graphs and context, bytes.
    #[serde(default = "default_overhead_bytes")]
    pub overhead_bytes: u64,
    /// A measured time of one layer without attention, in place of the roofline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_table: Option<LayerTable>,
    /// Measured times of attention, in place of the constants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_table: Option<AttentionTable>,
    /// A linear law of the step's time, in place of a model on a GPU: neither is then asked for, but where
    /// KV blocks or the longest request are not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_law: Option<StepLaw>,
    /// Constants in place of the GPU's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuConstants>,
    /// What the constants were fitted on: they carry what is particular to it, and a run of something
    /// else warns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted_on: Option<FittedOn>,
    /// What the constants rest on.
    #[serde(default, skip_serializing_if = "Evidence::is_unstated")]
    pub evidence: Evidence,
    /// Where the constants come from, and how well they fit.
    pub source: String,
}

/// `delta0 + delta1 sequences`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Overhead {
    /// Each iteration, microseconds.
    #[serde(default)]
    pub iteration_us: f64,
    /// Each sequence of its batch, microseconds.
    #[serde(default)]
    pub sequence_us: f64,
}

/// Times of a front end, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrontEndTimes {
    /// From a client's sending to the engine's queue, of a request alone.
    #[serde(default)]
    pub before_us: f64,
    /// From the engine's token to the client.
    #[serde(default)]
    pub after_us: f64,
    /// Of `before_us`, what is served one request after the other.
    #[serde(default)]
    pub request_us: f64,
}

/// What a profile's constants were fitted on; what is left out is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FittedOn {
    /// The GPU's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// The model's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// GPUs that share every layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<u32>,
    /// Pipeline stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<u32>,
    /// Data-parallel ranks that share experts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<u32>,
    /// Whether GPUs held whole experts, of a model that has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expert: Option<bool>,
    /// How tokens got to experts on other ranks (`experts.exchange`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// Number format of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// The engine: the profile that the fit began with, or what wrote the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The run, or the iteration logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The most that the steps of those logs held: a run far beyond warns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<StepsSeen>,
}

/// The most of each that the steps of an iteration log held; what is left out is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepsSeen {
    /// Tokens of the chunks of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill_tokens: Option<u64>,
    /// Requests that decode in a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decodes: Option<u64>,
    /// Tokens of a request, prompt and answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u64>,
}

impl StepsSeen {
    /// A law is trusted so many times as far as its log goes.
    const FAR: f64 = 1.25;

    /// What is far beyond in another run: each as `what (there, most here)`.
    pub fn beyond(&self, run: &StepsSeen) -> Vec<String> {
        let pairs = [
            ("prefill tokens in a step", run.prefill_tokens, self.prefill_tokens),
            ("decodes in a step", run.decodes, self.decodes),
            ("tokens of context", run.context, self.context),
        ];
        let far = |(what, run, most): (&str, Option<u64>, Option<u64>)| {
            let (run, most) = (run?, most?);
            let beyond = run as f64 > StepsSeen::FAR * most as f64;
            beyond.then(|| format!("{run} {what} (in the log at most {most})"))
        };
        pairs.into_iter().filter_map(far).collect()
    }
}

impl FittedOn {
    /// What is other than it was: each as `what (here, fitted on)`. What is not known is taken to be alike.
    pub fn unlike(&self, here: &FittedOn) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, fitted: Option<String>, here: Option<String>| {
            if let (Some(fitted), Some(here)) = (fitted, here)
                && fitted != here
            {
                found.push(format!("{what} {here} in place of {fitted}"));
            }
        };
        compare("GPU", self.gpu.clone(), here.gpu.clone());
        compare("model", self.model.clone(), here.model.clone());
        let counts = [
            ("tensor:", self.tensor, here.tensor),
            ("pipeline:", self.pipeline, here.pipeline),
            ("data:", self.data, here.data),
        ];
        for (what, fitted, here) in counts {
            let [fitted, here] = [fitted, here].map(|count| count.map(|count| count.to_string()));
            compare(what, fitted, here);
        }
        let [fitted, now] = [self, here].map(|on| on.expert.map(|whole| whole.to_string()));
        compare("expert:", fitted, now);
        compare("exchange:", self.exchange.clone(), here.exchange.clone());
        compare("dtype", self.dtype.clone(), here.dtype.clone());
        found
    }
}

/// A layer without attention and communication, measured on one model, GPU and TP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerTable {
    /// Tokens in the batch, ascending.
    pub tokens: Vec<u32>,
    /// Time of one layer, microseconds, never falling; linear in between.
    pub layer_us: Vec<f64>,
}

fn one() -> f64 {
    1.0
}

/// Activations, graphs and context when nobody says otherwise: 3.5 GB.
pub const DEFAULT_OVERHEAD_BYTES: u64 = 3_500_000_000;

fn is_zero(figure: &f64) -> bool {
    *figure == 0.0
}

fn no_tokens(tokens: &u32) -> bool {
    *tokens == 0
}

fn eager_us_per_kernel() -> f64 {
    40.0
}

fn default_overhead_bytes() -> u64 {
    DEFAULT_OVERHEAD_BYTES
}

impl EngineProfile {
    /// Checks every figure's range.
    ///
    /// # Errors
    /// The first figure out of range, by its path.
    pub fn validate(&self) -> Result<(), InvalidFigure> {
        positive("kernel_factor", self.kernel_factor)?;
        self.kernels.validate()?;
        if let Some([least, most]) = self.host_range {
            at_least_zero("host_range", least)?;
            if !(least <= 1.0 && 1.0 <= most && most.is_finite()) {
                let problem = "must hold 1, what `host` and `step_gap` say".into();
                return Err(InvalidFigure::new("host_range", problem));
            }
        }
        positive("link_factor", self.link_factor)?;
        at_least_zero("host.iteration_us", self.host.iteration_us)?;
        at_least_zero("host.sequence_us", self.host.sequence_us)?;
        at_least_zero("step_gap.iteration_us", self.step_gap.iteration_us)?;
        at_least_zero("step_gap.sequence_us", self.step_gap.sequence_us)?;
        at_least_zero("eager_us_per_kernel", self.eager_us_per_kernel)?;
        at_least_zero("prefill_us_per_kernel", self.prefill_us_per_kernel)?;
        at_least_zero("prefill_us_per_expert_layer", self.prefill_us_per_expert_layer)?;
        if let Some(front_end) = &self.front_end {
            at_least_zero("front_end.before_us", front_end.before_us)?;
            at_least_zero("front_end.after_us", front_end.after_us)?;
            at_least_zero("front_end.request_us", front_end.request_us)?;
            if front_end.request_us > front_end.before_us {
                let problem = "must not be more than before_us, which it is a part of";
                return Err(InvalidFigure::new("front_end.request_us", problem.to_owned()));
            }
        }
        let invalid = |path: &str, problem: &str| Err(InvalidFigure::new(path, problem.into()));
        if self.cuda_graph_sizes.first() == Some(&0) || !ascends(&self.cuda_graph_sizes) {
            return invalid("cuda_graph_sizes", "must ascend from 1 or more");
        }
        if self.cuda_graph_sizes.last().is_some_and(|&size| size > 1 << 16) {
            return invalid("cuda_graph_sizes", "must not pass 65536");
        }
        if !(1..=1 << 16).contains(&self.kv_block_tokens) {
            return invalid("kv_block_tokens", "must lie in 1 to 65536");
        }
        if !(self.gpu_memory_utilization > 0.0 && self.gpu_memory_utilization <= 1.0) {
            return invalid("gpu_memory_utilization", "must lie in 0 to 1");
        }
        if let Some(law) = &self.step_law {
            law.validate()?;
            self.nothing_beside_a_law()?;
        }
        if let Some(table) = &self.attention_table {
            table.validate()?;
        }
        if let Some(table) = &self.layer_table {
            if table.tokens.len() != table.layer_us.len() || table.tokens.len() < 2 {
                return invalid("layer_table", "needs as many times as tokens, at least 2");
            }
            if table.tokens[0] == 0 || !ascends(&table.tokens) {
                return invalid("layer_table.tokens", "must ascend from 1 or more");
            }
            for &us in &table.layer_us {
                positive("layer_table.layer_us", us)?;
            }
            if table.layer_us.windows(2).any(|w| w[1] < w[0]) {
                return invalid("layer_table.layer_us", "must never fall");
            }
        }
        Ok(())
    }
}

impl EngineProfile {
    /// A profile that has this law and the usual defaults.
    pub fn of_law(name: &str, law: StepLaw) -> EngineProfile {
        EngineProfile {
            name: name.to_owned(),
            description: "a linear step-time law".to_owned(),
            kernel_factor: 1.0,
            link_factor: 1.0,
            kernels: EngineKernels::default(),
            host_range: None,
            host: Overhead::default(),
            step_gap: Overhead::default(),
            front_end: None,
            async_scheduling: None,
            async_with_host_drafts: None,
            prefix_caching: None,
            hand_over: HandOverWay::default(),
            cuda_graph_sizes: Vec::new(),
            enforce_eager: false,
            eager_us_per_kernel: eager_us_per_kernel(),
            prefill_us_per_kernel: 0.0,
            prefill_us_per_expert_layer: 0.0,
            chunk_graph_tokens: 0,
            kv_block_tokens: 16,
            gpu_memory_utilization: 0.9,
            overhead_bytes: DEFAULT_OVERHEAD_BYTES,
            layer_table: None,
            attention_table: None,
            step_law: Some(law),
            gpu: None,
            fitted_on: None,
            evidence: Evidence::default(),
            source: "given".to_owned(),
        }
    }

    /// What a law prices is priced by nothing else.
    fn nothing_beside_a_law(&self) -> Result<(), InvalidFigure> {
        let others = [
            ("layer_table", self.layer_table.is_some()),
            ("attention_table", self.attention_table.is_some()),
            ("gpu", self.gpu.is_some()),
            ("cuda_graph_sizes", !self.cuda_graph_sizes.is_empty()),
            ("enforce_eager", self.enforce_eager),
            ("prefill_us_per_kernel", self.prefill_us_per_kernel > 0.0),
            ("prefill_us_per_expert_layer", self.prefill_us_per_expert_layer > 0.0),
            ("chunk_graph_tokens", self.chunk_graph_tokens > 0),
        ];
        let beside = others.iter().find(|(_, there)| *there);
        beside.map_or(Ok(()), |(name, _)| {
            let problem =
                "goes not with `step_law`, which prices the whole step: leave one of the two out";
            Err(InvalidFigure::new(name, problem.to_owned()))
        })
    }
}

fn ascends(values: &[u32]) -> bool {
    values.windows(2).all(|w| w[0] < w[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_under_another_split_is_told() {
        let fitted = FittedOn {
            tensor: Some(2),
            pipeline: Some(1),
            data: Some(2),
            expert: Some(true),
            exchange: Some("all_to_all".to_owned()),
            ..FittedOn::default()
        };
        assert!(fitted.unlike(&fitted).is_empty());
        let here = FittedOn {
            pipeline: Some(2),
            data: Some(8),
            expert: Some(false),
            exchange: None,
            ..fitted.clone()
        };
        assert_eq!(
            fitted.unlike(&here),
            [
                "pipeline: 2 in place of 1",
                "data: 8 in place of 2",
                "expert: false in place of true"
            ]
        );
    }

    #[test]
    fn a_run_far_beyond_the_log_is_told() {
        let log = StepsSeen { prefill_tokens: Some(512), decodes: Some(20), context: None };
        let run = StepsSeen { prefill_tokens: Some(600), decodes: Some(64), context: Some(9000) };
        assert_eq!(log.beyond(&run), ["64 decodes in a step (in the log at most 20)"]);
    }
}
