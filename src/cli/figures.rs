//! What `metron-sim list` tells of a GPU, a model or a profile besides its name.

use serde::Serialize;

use crate::catalog::{
    self, AcceptanceFigures, AcceptancePreset, AllReduce, Chip, EngineProfile, Evidence,
    EvidenceKind, Formats, Gpu, GpuSource, Kind, Link, LinkPreset, Model, Peak, Power, Published,
};
use crate::shown::{count, percent, three_digits};

/// An entry's evidence and figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// What the figures rest on.
    pub evidence: Evidence,
    /// The figures.
    #[serde(flatten)]
    pub of: FiguresOf,
}

/// The figures of a GPU, a model or a profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FiguresOf {
    /// Of a GPU.
    Gpu(Box<GpuFigures>),
    /// Of a model.
    Model(Box<ModelFigures>),
    /// Of a profile.
    Profile(ProfileFigures),
    /// Of published acceptance.
    Acceptance(Box<AcceptancePreset>),
    /// Of a link between replicas.
    Link(Box<LinkPreset>),
}

/// A GPU's figures, the constants of its kernels left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GpuFigures {
    /// Device memory, bytes.
    pub memory_bytes: u64,
    /// The maker's figures.
    pub peak: Peak,
    /// The chip's counts.
    pub chip: Option<Chip>,
    /// What joins the GPUs of a node.
    pub link: Option<Link>,
    /// GPUs of a node.
    pub gpus_per_node: Option<u32>,
    /// All-reduce by number of GPUs.
    pub all_reduce: Vec<AllReduce>,
    /// US dollars per GPU and hour.
    pub price_usd_per_hour: Option<f64>,
    /// Electric power.
    pub power: Option<Power>,
    /// Where the figures come from.
    pub source: GpuSource,
}

/// A model's figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelFigures {
    /// Parameters that its figures make.
    pub parameters: u64,
    /// Parameters that a token goes through.
    pub active_parameters: u64,
    /// What its makers publish.
    pub published: Published,
    /// The number formats of its checkpoint.
    pub formats: Formats,
    /// The same of the tensors that it has, in words.
    pub formats_in_words: String,
    /// Bytes of its weights in these.
    pub weight_bytes: u64,
    /// Bytes of K and V a token in all layers, in the numbers of its config.
    pub kv_bytes_per_token: u64,
    /// Bytes of the states of one request.
    pub state_bytes_per_request: u64,
    /// Layers.
    pub layers: u32,
    /// Kinds of layers, each with their number.
    pub kinds: Vec<String>,
    /// Width of the hidden state.
    pub hidden_size: u32,
    /// Tokens in the vocabulary.
    pub vocab_size: u32,
    /// Longest sequence, tokens.
    pub max_position_embeddings: u32,
    /// Where the figures come from.
    pub source: String,
}

/// A profile's figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProfileFigures {
    /// Where the constants come from, and how well they fit.
    pub source: String,
}

impl Figures {
    /// Those of an entry of the catalog, where there is one of this name.
    pub fn of(kind: Kind, name: &str) -> Option<Figures> {
        match kind {
            Kind::Gpu => catalog::gpu(name).ok().map(Figures::of_gpu),
            Kind::Model => catalog::model(name).ok().map(Figures::of_model),
            Kind::Profile => catalog::profile(name).ok().map(Figures::of_profile),
            Kind::Acceptance => catalog::acceptance(name).ok().map(Figures::of_acceptance),
            Kind::Link => catalog::link(name).ok().map(Figures::of_link),
        }
    }

    fn of_gpu(gpu: Gpu) -> Figures {
        let of = GpuFigures {
            memory_bytes: gpu.memory_bytes,
            peak: gpu.peak,
            chip: gpu.chip,
            link: gpu.link,
            gpus_per_node: gpu.gpus_per_node,
            all_reduce: gpu.all_reduce,
            price_usd_per_hour: gpu.price_usd_per_hour,
            power: gpu.power,
            source: gpu.source,
        };
        Figures { evidence: gpu.evidence, of: FiguresOf::Gpu(Box::new(of)) }
    }

    fn of_model(model: Model) -> Figures {
        let of = ModelFigures {
            parameters: model.parameters(),
            active_parameters: model.active_parameters(),
            published: model.published,
            formats: model.formats,
            formats_in_words: model.formats_in_words(),
            weight_bytes: model.checkpoint_bytes(),
            kv_bytes_per_token: model
                .kv_bytes_per_token(model.formats.kv_bits_1024ths.unwrap_or(16 * 1024)),
            state_bytes_per_request: model.state_bytes_per_request(),
            layers: model.layers(),
            kinds: model.kinds().iter().map(ToString::to_string).collect(),
            hidden_size: model.hidden_size,
            vocab_size: model.vocab_size,
            max_position_embeddings: model.max_position_embeddings,
            source: model.source.clone(),
        };
        Figures { evidence: model.evidence(), of: FiguresOf::Model(Box::new(of)) }
    }

    fn of_profile(profile: EngineProfile) -> Figures {
        let of = ProfileFigures { source: profile.source };
        Figures { evidence: profile.evidence, of: FiguresOf::Profile(of) }
    }

    fn of_link(preset: LinkPreset) -> Figures {
        Figures { evidence: preset.evidence.clone(), of: FiguresOf::Link(Box::new(preset)) }
    }

    fn of_acceptance(preset: AcceptancePreset) -> Figures {
        Figures { evidence: preset.evidence.clone(), of: FiguresOf::Acceptance(Box::new(preset)) }
    }

    /// A sentence a line: the figures, what they rest on, where they come from.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = match &self.of {
            FiguresOf::Gpu(gpu) => gpu.lines(),
            FiguresOf::Model(model) => model.lines(),
            FiguresOf::Profile(_) => Vec::new(),
            FiguresOf::Acceptance(preset) => acceptance_lines(preset),
            FiguresOf::Link(preset) => link_lines(preset),
        };
        lines.push(rests_on(&self.evidence));
        lines.extend(match &self.of {
            FiguresOf::Gpu(gpu) => gpu.sources(),
            FiguresOf::Model(model) => vec![labelled("source", &model.source)],
            FiguresOf::Profile(profile) => vec![labelled("source", &profile.source)],
            FiguresOf::Acceptance(preset) => vec![labelled("source", &preset.source)],
            FiguresOf::Link(preset) => vec![labelled("source", &preset.source)],
        });
        lines.retain(|line| !line.is_empty());
        lines
    }
}

fn rests_on(evidence: &Evidence) -> String {
    let from = match (evidence.kind, evidence.from.as_str()) {
        (_, "") => String::new(),
        (EvidenceKind::Fitted, from) => format!(" on {from}"),
        (EvidenceKind::Derived, from) => format!(" from {from}"),
        (_, from) => format!(": {from}"),
    };
    let error = evidence.expected_error.as_deref();
    let error = error.map_or(String::new(), |error| format!("; expected error: {error}"));
    format!("{}{from}{error}", evidence.kind)
}

/// What a link carries.
fn link_lines(preset: &LinkPreset) -> Vec<String> {
    let whose = if preset.scope == "gpu" { "each GPU" } else { "each replica" };
    let reached = preset.bytes_per_s() / 1e9;
    let figures = format!(
        "{} GB/s one way for {whose}, of which large transfers reach {} ({} GB/s); latency {} us",
        preset.gb_per_s,
        percent(preset.efficiency),
        three_digits(reached),
        preset.latency_us
    );
    vec![figures]
}

/// What was drafted for whom, and how much was accepted.
fn acceptance_lines(preset: &AcceptancePreset) -> Vec<String> {
    let of = match preset.models.is_empty() {
        true => String::new(),
        false => format!(" of {}", preset.models.join(", ")),
    };
    let taken = if preset.default { ", taken where a scenario gives none" } else { "" };
    let figures = match &preset.acceptance {
        AcceptanceFigures::Lengths(lengths) => {
            let lengths: Vec<String> = lengths.iter().map(|one| format!("{one:.2}")).collect();
            format!("tokens a step with 1, 2, ... drafts: {}", lengths.join(", "))
        }
        AcceptanceFigures::Rate { mean, sd } => {
            format!("rate: {mean} in the mean, requests differ by {sd}")
        }
        AcceptanceFigures::Copying(copying) => format!(
            "copies: {} of all tokens, correlation of neighbours {}; drafts accepted there {}, elsewhere {}",
            copying.share, copying.persistence, copying.accepted, copying.elsewhere
        ),
    };
    let published: Vec<String> = preset
        .published
        .iter()
        .map(|one| format!("{:.2} with {}", one.length, one.tokens))
        .collect();
    vec![
        format!("method: {}{of}{taken}", preset.method),
        figures,
        labelled("published tokens a step", &published.join(", ")),
        labelled("workload", &preset.workload),
    ]
}

fn labelled(label: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{label}: {}", text.trim()) }
}

impl GpuFigures {
    fn lines(&self) -> Vec<String> {
        let Peak { bf16_tflops, fp8_tflops, fp4_tflops, int8_tops, memory_gb_per_s } = self.peak;
        let memory = self.memory_bytes as f64 / f64::from(1 << 30);
        let rates = [
            ("bf16", Some(bf16_tflops), "TFLOP/s"),
            ("fp8", fp8_tflops, "TFLOP/s"),
            ("fp4", fp4_tflops, "TFLOP/s"),
            ("int8", int8_tops, "TOP/s"),
        ];
        let rates: Vec<String> = rates
            .into_iter()
            .filter_map(|(name, rate, unit)| Some(format!("{name} {} {unit}", rate?)))
            .collect();
        let mut lines = vec![
            format!("memory: {memory:.1} GiB at {memory_gb_per_s} GB/s"),
            format!("peak: {}", rates.join(", ")),
        ];
        let link = self.link.as_ref();
        let mut links: Vec<String> = link
            .map(|l| format!("{} at {} GB/s each way", l.name, l.gb_per_s))
            .into_iter()
            .collect();
        links.extend(self.gpus_per_node.map(|gpus| format!("{gpus} GPUs a node")));
        links.extend(self.all_reduce.iter().map(|a| {
            format!("all-reduce of {}: {:.1} us + {:.0} GB/s", a.gpus, a.latency_us, a.gb_per_s)
        }));
        lines.push(labelled("link", &links.join(", ")));
        let price = self.price_usd_per_hour.map(|price| format!("{price:.2} USD an hour"));
        let power = self.power.map(|p| format!("{} W idle, {} W at most", p.idle_w, p.max_w));
        lines.push(labelled("price", &price.unwrap_or_default()));
        lines.push(labelled("power", &power.unwrap_or_default()));
        lines
    }

    fn sources(&self) -> Vec<String> {
        let GpuSource { figures, constants, all_reduce, price } = &self.source;
        vec![
            labelled("figures", figures),
            labelled("constants", constants),
            labelled("all-reduce", all_reduce),
            labelled("price", price),
        ]
    }
}

impl ModelFigures {
    fn lines(&self) -> Vec<String> {
        let billions = |parameters: u64| format!("{:.2} B", parameters as f64 / 1e9);
        let published = self.published.parameters.map(billions);
        let published = published.map_or(String::new(), |b| format!(" (published: {b})"));
        let active = match self.active_parameters == self.parameters {
            true => String::new(),
            false => format!(", {} active", billions(self.active_parameters)),
        };
        let weights = self.weight_bytes as f64 / f64::from(1 << 30);
        let states = match self.state_bytes_per_request {
            0 => String::new(),
            bytes => format!(", states of {} KiB a request", count(bytes / 1024)),
        };
        vec![
            format!("parameters: {}{active}{published}", billions(self.parameters)),
            format!("weights: {weights:.1} GiB, {}", self.formats_in_words),
            format!("KV: {} bytes a token{states}", count(self.kv_bytes_per_token)),
            format!("layers: {}", self.kinds.join("; ")),
            format!(
                "shape: {} layers of width {}, vocabulary of {}, up to {} tokens",
                self.layers,
                self.hidden_size,
                count(self.vocab_size.into()),
                count(self.max_position_embeddings.into())
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_gpu_says_from_what_and_how_far_off() {
        let lines = Figures::of(Kind::Gpu, "h20").unwrap().lines();
        assert_eq!(lines[0], "memory: 95.6 GiB at 4000 GB/s");
        assert_eq!(lines[1], "peak: bf16 148 TFLOP/s, fp8 296 TFLOP/s, int8 296 TOP/s");
        assert!(
            lines[2].starts_with("link: NVLink 4 at 450 GB/s each way, 8 GPUs a node, all-reduce"),
            "{lines:?}"
        );
        let text = lines.join("\n");
        assert!(text.contains("\nderived from h100-sxm; expected error: 10 to 20 %\n"), "{text}");
        // There is no price.
        assert!(!text.contains("USD"), "{text}");
    }

    #[test]
    fn json_has_the_evidence() {
        let gpu = serde_json::to_value(Figures::of(Kind::Gpu, "h20").unwrap()).unwrap();
        assert_eq!(gpu["evidence"]["kind"], "derived");
        assert_eq!(gpu["evidence"]["from"], "h100-sxm");
        assert_eq!(gpu["evidence"]["expected_error"], "10 to 20 %");
        assert_eq!(gpu["peak"]["bf16_tflops"], 148.0);
        let model =
            serde_json::to_value(Figures::of(Kind::Model, "llama-3.1-8b").unwrap()).unwrap();
        assert_eq!(model["evidence"]["kind"], "exact");
        assert_eq!(model["parameters"], 8_030_261_248_u64);
        let profile = Figures::of(Kind::Profile, "ideal").unwrap();
        assert_eq!(profile.evidence.kind, EvidenceKind::Defined);
    }
}
