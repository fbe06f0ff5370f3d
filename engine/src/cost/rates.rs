//! Which rates a product in a number format has on a GPU.

use crate::catalog::{
    Arithmetic, EvidenceKind, Format, Formats, Gpu, GroupedGemm, Mixer, Mlp, Model, Origin,
};

use super::KvDtype;
use super::gemm::Gemm;

/// What a kernel that unpacks weights to 16 bits keeps of the plain product's rates. Assumed: public
/// measurements of Marlin-like kernels lie between 70 and 95 % of them.
const UNPACKED_COMPUTE: f64 = 0.85;
const UNPACKED_BANDWIDTH: f64 = 0.9;

/// How a GPU computes products in a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In 16 bits, as they are stored.
    Plain,
    /// In narrower numbers, at rates of this origin.
    Narrow(Origin),
    /// It has no such units: weights are unpacked, and products are in 16 bits.
    Unpacked,
}

/// How `gpu` computes products with weights in `format`.
pub(super) fn way(gpu: &Gpu, format: Format) -> Way {
    let arithmetic = format.arithmetic();
    match gpu.gemm_for(arithmetic) {
        _ if arithmetic == Arithmetic::Bf16 && !format.is_unpacked() => Way::Plain,
        Some((_, origin)) if arithmetic != Arithmetic::Bf16 => Way::Narrow(origin),
        _ => Way::Unpacked,
    }
}

/// Bytes of an activation that goes into a product with weights in `format`.
pub(super) fn input_bytes(gpu: &Gpu, format: Format) -> f64 {
    match (way(gpu, format), format.arithmetic()) {
        (Way::Plain | Way::Unpacked, _) | (_, Arithmetic::Bf16) => 2.0,
        (Way::Narrow(_), Arithmetic::Fp8 | Arithmetic::Int8) => 1.0,
        (Way::Narrow(_), Arithmetic::Fp4) => 0.5625,
    }
}

/// Prices products with weights in `format`.
pub(super) fn gemm(gpu: &Gpu, format: Format) -> Gemm {
    let mut fit = gpu.gemm_bf16;
    match way(gpu, format) {
        Way::Plain => {}
        Way::Narrow(_) => {
            fit = gpu.gemm_for(format.arithmetic()).map_or(fit, |(narrow, _)| narrow);
        }
        Way::Unpacked => {
            fit.tflops *= UNPACKED_COMPUTE;
            fit.memory_gb_per_s *= UNPACKED_BANDWIDTH;
        }
    }
    Gemm::new(&fit, format.bytes_each(), input_bytes(gpu, format))
}

/// The rates of grouped products with weights in `format`; `fit` are those in 16 bits. Where weights are
/// unpacked they take `narrow` times as long to compute.
pub(super) fn grouped(gpu: &Gpu, fit: &GroupedGemm, format: Format, narrow: f64) -> GroupedGemm {
    let mut fit = *fit;
    match way(gpu, format) {
        Way::Plain => {}
        Way::Narrow(_) => {
            fit = gpu.experts_for(format.arithmetic()).map_or(fit, |(rates, _)| rates);
        }
        Way::Unpacked => {
            fit.tflops *= UNPACKED_COMPUTE / narrow;
            fit.memory_gb_per_s *= UNPACKED_BANDWIDTH;
        }
    }
    fit
}

/// What is taken for granted when a model's products are priced on a GPU in these formats, a sentence
/// each, for the output to say.
pub fn format_notes(model: &Model, gpu: &Gpu, formats: &Formats) -> Vec<String> {
    let mut notes = Vec::new();
    let mut told: Vec<Format> = Vec::new();
    for format in used(model, formats) {
        if told.contains(&format) {
            continue;
        }
        told.push(format);
        let derived_alone = gpu.evidence.kind != EvidenceKind::Derived;
        match way(gpu, format) {
            Way::Narrow(Origin::Derived) if derived_alone => notes.push(format!(
                "matrix products in {format} were not measured on {}: its peak, by the shares that \
                 h100-sxm reaches in fp8",
                gpu.name
            )),
            Way::Unpacked if format.arithmetic() != Arithmetic::Bf16 => notes.push(format!(
                "{} has no units for {format}: weights are unpacked and multiplied in 16 bits",
                gpu.name
            )),
            Way::Unpacked => notes.push(format!(
                "{format}: kernels that unpack weights are taken to reach {:.0} % of the compute and \
                 {:.0} % of the bandwidth of plain ones",
                100.0 * UNPACKED_COMPUTE,
                100.0 * UNPACKED_BANDWIDTH
            )),
            Way::Plain | Way::Narrow(_) => {}
        }
    }
    notes
}

/// What is to be known of KV in a format on a GPU; `None` where it is usual there.
pub fn kv_format_note(gpu: &Gpu, kv: KvDtype) -> Option<String> {
    let lacks = kv == KvDtype::Nvfp4 && gpu.gemm_for(Arithmetic::Fp4).is_none();
    lacks.then(|| {
        format!(
            "{} has no units for nvfp4, without which no engine is known to keep KV so: it is priced as \
             if its kernels read it as fast as other KV",
            gpu.name
        )
    })
}

/// The formats of the products that a model has.
fn used(model: &Model, formats: &Formats) -> Vec<Format> {
    let mut used = Vec::new();
    for group in &model.groups {
        if group.mixer != Mixer::None {
            used.push(formats.attention);
        }
        match group.mlp {
            Mlp::Dense(_) => used.push(formats.mlp),
            Mlp::Experts(experts) => {
                used.push(formats.experts);
                if experts.shared_width > 0 {
                    used.push(formats.shared);
                }
            }
            Mlp::None => {}
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn kv_in_4_bits_is_told_where_the_gpu_has_no_such_units() {
        let note = |gpu: &str, kv| kv_format_note(&catalog::gpu(gpu).expect("known"), kv);
        for gpu in ["t4", "a100-sxm-80gb", "h100-sxm"] {
            assert!(note(gpu, KvDtype::Nvfp4).is_some_and(|said| said.contains("nvfp4")), "{gpu}");
            assert_eq!(note(gpu, KvDtype::Fp8), None);
        }
        assert_eq!(note("b200-sxm", KvDtype::Nvfp4), None);
    }
}
