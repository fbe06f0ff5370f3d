//! A GPU of which only the maker's figures are known, beside a fitted relative: its constants are
//! the shares of the peaks that the relative reaches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AllReduce, Chip, DecodeAttention, Elementwise, Evidence, FileError, FlashAttention2, Gemm, Gpu,
    GpuSource, GroupedGemm, InvalidFigure, Kind, Link, Peak, Power, PrefillAttention, Sampler,
    built_in_text, unknown,
};
use crate::yaml;

/// A GPU's file without constants: `derived_from` names the GPU whose shares stand in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuOfPeaks {
    /// Catalog name, such as `h20`.
    pub name: String,
    /// One line for `metron-sim list gpus`.
    pub description: String,
    /// The catalog's GPU whose constants are known, as near to this one as there is.
    pub derived_from: String,
    /// How far off times are expected to be, in words such as `10 to 20 %`.
    pub expected_error: String,
    /// Device memory, bytes.
    pub memory_bytes: u64,
    /// The maker's figures.
    pub peak: Peak,
    /// The chip's counts; needed where the relative's prefill attention is priced by its blocks.
    #[serde(default)]
    pub chip: Option<Chip>,
    /// What joins the GPUs of a node.
    #[serde(default)]
    pub link: Option<Link>,
    /// GPUs of a node.
    #[serde(default)]
    pub gpus_per_node: Option<u32>,
    /// Experts in 8 bits, where measured on this GPU. Absent: the relative's, scaled by the peaks.
    #[serde(default)]
    pub experts_fp8: Option<GroupedGemm>,
    /// The same in 4 bits.
    #[serde(default)]
    pub experts_fp4: Option<GroupedGemm>,
    /// All-reduce by number of GPUs. Absent: the relative's, scaled by the links' bandwidth.
    #[serde(default)]
    pub all_reduce: Option<Vec<AllReduce>>,
    /// Money, US dollars per GPU and hour.
    #[serde(default)]
    pub price_usd_per_hour: Option<f64>,
    /// Power, when measured or stated.
    #[serde(default)]
    pub power: Option<Power>,
    /// Where the figures come from; `constants` goes behind the words about the shares.
    #[serde(default)]
    pub source: GpuSource,
}

/// A GPU's file of either form: with all constants, or with peaks and a relative.
pub(super) fn read(text: &str) -> Result<Gpu, FileError> {
    if yaml::tree(text)?.get(DERIVED_FROM).is_none() {
        return Ok(yaml::read(text)?);
    }
    let peaks: GpuOfPeaks = yaml::read(text)?;
    let name = &peaks.derived_from;
    let relative = built_in_text(Kind::Gpu, name).ok_or_else(|| unknown(Kind::Gpu, name))?;
    if yaml::tree(relative)?.get(DERIVED_FROM).is_some() {
        let problem = format!("{name} has no constants of its own");
        return Err(InvalidFigure::new(DERIVED_FROM, problem).into());
    }
    let relative: Gpu = yaml::read(relative)?;
    Ok(Gpu::from_relative(peaks, &relative)?)
}

const DERIVED_FROM: &str = "derived_from";

/// By how much a GPU's peaks pass its relative's.
#[derive(Clone, Copy)]
struct Ratio {
    compute: f64,
    bandwidth: f64,
}

impl Gpu {
    /// The GPU of these peaks, each constant the share of the peak that `relative` reaches: rates of
    /// compute and of memory are scaled, launch times and the sharpness of knees are kept.
    ///
    /// # Errors
    /// When a figure is out of range, or one that the relative's constants need is missing.
    pub fn from_relative(peaks: GpuOfPeaks, relative: &Gpu) -> Result<Gpu, InvalidFigure> {
        let ratio = Ratio {
            compute: peaks.peak.bf16_tflops / relative.peak.bf16_tflops,
            bandwidth: peaks.peak.memory_gb_per_s / relative.peak.memory_gb_per_s,
        };
        let in_fp8 = match (peaks.peak.fp8_tflops, relative.peak.fp8_tflops) {
            (Some(own), Some(others)) => Some(Ratio { compute: own / others, ..ratio }),
            _ => None,
        };
        let in_fp4 = match (peaks.peak.fp4_tflops, relative.peak.fp4_tflops) {
            (Some(own), Some(others)) => Some(Ratio { compute: own / others, ..ratio }),
            _ => None,
        };
        // As measured, where the links are the same; a line of its own replaces them.
        let same_link = peaks.link.as_ref().map(|l| (l.gb_per_s, l.is_pcie()))
            == relative.link.as_ref().map(|l| (l.gb_per_s, l.is_pcie()));
        let all_reduce_points = match same_link && peaks.link.is_some() {
            true => relative.all_reduce_points.clone(),
            false => Vec::new(),
        };
        let all_reduce = match &peaks.all_reduce {
            Some(given) => given.clone(),
            None => all_reduce(&peaks, relative)?,
        };
        let gpu = Gpu {
            gemm_bf16: ratio.gemm(&relative.gemm_bf16),
            gemm_fp8: in_fp8.and_then(|ratio| Some(ratio.gemm(&relative.gemm_fp8?))),
            gemm_fp4: in_fp4.and_then(|ratio| Some(ratio.gemm(&relative.gemm_fp4?))),
            experts_fp4: peaks
                .experts_fp4
                .or_else(|| in_fp4.and_then(|ratio| Some(ratio.experts(&relative.experts_fp4?)))),
            experts: relative.experts.map(|experts| ratio.experts(&experts)),
            experts_fp8: peaks
                .experts_fp8
                .or_else(|| in_fp8.and_then(|ratio| Some(ratio.experts(&relative.experts_fp8?)))),
            elementwise: Elementwise {
                memory_gb_per_s: ratio.bandwidth * relative.elementwise.memory_gb_per_s,
                ..relative.elementwise
            },
            decode_attention: ratio.decode_attention(&relative.decode_attention),
            prefill_attention: prefill_attention(&peaks, relative, ratio)?,
            sampler: Sampler {
                sequence_us: relative.sampler.sequence_us / ratio.bandwidth,
                ..relative.sampler
            },
            all_reduce,
            all_reduce_points,
            network: None,
            evidence: Evidence::derived_from(&peaks.derived_from, &peaks.expected_error),
            source: source(&peaks, relative),
            name: peaks.name,
            description: peaks.description,
            memory_bytes: peaks.memory_bytes,
            peak: peaks.peak,
            chip: peaks.chip,
            link: peaks.link,
            gpus_per_node: peaks.gpus_per_node,
            price_usd_per_hour: peaks.price_usd_per_hour,
            power: peaks.power,
        };
        gpu.validate()?;
        Ok(gpu)
    }
}

impl Ratio {
    fn gemm(self, of: &Gemm) -> Gemm {
        Gemm {
            tflops: self.compute * of.tflops,
            memory_gb_per_s: self.bandwidth * of.memory_gb_per_s,
            ..*of
        }
    }

    fn experts(self, of: &GroupedGemm) -> GroupedGemm {
        GroupedGemm {
            tflops: self.compute * of.tflops,
            memory_gb_per_s: self.bandwidth * of.memory_gb_per_s,
            ..*of
        }
    }

    /// A faster memory needs as many more bytes under way to be busy.
    fn decode_attention(self, of: &DecodeAttention) -> DecodeAttention {
        DecodeAttention {
            memory_gb_per_s: self.bandwidth * of.memory_gb_per_s,
            ramp_mb: self.bandwidth * of.ramp_mb,
            warm: None,
            ..*of
        }
    }
}

fn prefill_attention(
    peaks: &GpuOfPeaks,
    relative: &Gpu,
    ratio: Ratio,
) -> Result<PrefillAttention, InvalidFigure> {
    let of = match relative.prefill_attention {
        PrefillAttention::FlashAttention3(mut fit) => {
            fit.tflops *= ratio.compute;
            fit.memory_gb_per_s = fit.memory_gb_per_s.map(|rate| ratio.bandwidth * rate);
            return Ok(PrefillAttention::FlashAttention3(fit));
        }
        PrefillAttention::FlashAttention2(fit) => fit,
    };
    let (Some(own), Some(others)) = (peaks.chip, relative.chip) else {
        return Err(InvalidFigure::new(
            "chip",
            format!("is needed: {}'s prefill attention is priced by blocks", relative.name),
        ));
    };
    let slots = f64::from(own.multiprocessors);
    Ok(PrefillAttention::FlashAttention2(FlashAttention2 {
        tflops: ratio.compute * of.tflops,
        slots,
        token_ns: of.token_ns * of.slots / slots,
        token_gb_per_s: of.token_gb_per_s.map(|rate| ratio.bandwidth * rate),
        memory_gb_per_s: ratio.bandwidth * of.memory_gb_per_s,
        l2_mb: of.l2_mb * own.l2_mb / others.l2_mb,
        mixed_measured: false,
        ..of
    }))
}

/// The relative's all-reduces, at the rate of this GPU's link.
fn all_reduce(peaks: &GpuOfPeaks, relative: &Gpu) -> Result<Vec<AllReduce>, InvalidFigure> {
    let (Some(own), Some(others)) = (&peaks.link, &relative.link) else {
        return Ok(Vec::new());
    };
    if own.is_pcie() != others.is_pcie() {
        let problem = format!("is needed: {} and {} are not alike", own.name, others.name);
        return Err(InvalidFigure::new("all_reduce", problem));
    }
    let ratio = own.gb_per_s / others.gb_per_s;
    let scaled = |a: &AllReduce| AllReduce { gb_per_s: ratio * a.gb_per_s, ..*a };
    Ok(relative.all_reduce.iter().map(scaled).collect())
}

fn source(peaks: &GpuOfPeaks, relative: &Gpu) -> GpuSource {
    let percent = |of: f64, peak: f64| format!("{:.0} %", 100.0 * of / peak);
    let [compute, bandwidth] = [relative.peak.bf16_tflops, relative.peak.memory_gb_per_s];
    let prefill = match relative.prefill_attention {
        PrefillAttention::FlashAttention2(fit) => fit.tflops,
        PrefillAttention::FlashAttention3(fit) => fit.tflops,
    };
    let mut constants = format!(
        "derived, not measured: the shares of its peaks that {} reaches: {} of compute and {} of \
         bandwidth in matrix products, {} and {} in attention; launch times kept",
        relative.name,
        percent(relative.gemm_bf16.tflops, compute),
        percent(relative.gemm_bf16.memory_gb_per_s, bandwidth),
        percent(prefill, compute),
        percent(relative.decode_attention.memory_gb_per_s, bandwidth),
    );
    if !peaks.source.constants.is_empty() {
        constants.push_str(". ");
        constants.push_str(&peaks.source.constants);
    }
    let scaled = || format!("not measured: {}'s, scaled by the links' bandwidth", relative.name);
    let all_reduce = match (&peaks.all_reduce, peaks.source.all_reduce.as_str()) {
        (None, "") if peaks.link.is_some() => scaled(),
        (_, given) => given.to_owned(),
    };
    GpuSource { constants, all_reduce, ..peaks.source.clone() }
}

#[cfg(test)]
mod tests;
