//! The constants that a real run can be asked for, and the steps in which a fit moves them.

use crate::catalog::{Arithmetic, Gemm, GpuConstants, GroupedGemm, PrefillAttention};
use crate::cost::Pricing;

/// Constants that are fitted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What the engine adds to a step: each step, and each sequence of its batch.
    Host,
    /// A factor on all kernels.
    Kernels,
    /// Effective FLOP/s and bandwidth of matrix products and attention.
    Gpu,
    /// A factor on all that GPUs exchange.
    Link,
}

/// A constant to fit.
pub(super) struct Free {
    /// Its path in the profile's file.
    pub name: &'static str,
    /// Its unit; empty for a factor.
    pub unit: &'static str,
    /// What the optimiser moves by 1: a change that matters, of a size like the others'.
    pub step: f64,
    /// The least and the most that it may be.
    pub bounds: (f64, f64),
    place: fn(&mut Pricing) -> &mut f64,
}

impl Free {
    /// Its value.
    pub(super) fn get(&self, pricing: &Pricing) -> f64 {
        *(self.place)(&mut pricing.clone())
    }

    /// Puts a value in its place.
    pub(super) fn set(&self, pricing: &mut Pricing, value: f64) {
        *(self.place)(pricing) = value;
    }

    /// Its value at a place in the optimiser's units. What an optimiser leaves of nothing is 0.
    pub(super) fn value(&self, x: f64) -> f64 {
        const NOTHING: f64 = 1e-6;
        let (low, high) = self.bounds;
        if x.abs() < NOTHING && low == 0.0 { 0.0 } else { (x * self.step).clamp(low, high) }
    }

    /// A time that can be nothing: up to 40 steps.
    fn time(name: &'static str, step: f64, place: fn(&mut Pricing) -> &mut f64) -> Free {
        Free { name, unit: "us", step, bounds: (0.0, 40.0 * step), place }
    }

    /// A rate or a factor: a step is 10 % of what it is without a fit, from half to double of that. So a
    /// fit that begins with another's result may go no further than that one.
    fn rate(
        name: &'static str,
        unit: &'static str,
        unfitted: &Pricing,
        place: fn(&mut Pricing) -> &mut f64,
    ) -> Free {
        let plain = *place(&mut unfitted.clone());
        Free { name, unit, step: 0.1 * plain, bounds: (0.5 * plain, 2.0 * plain), place }
    }

    /// The same, with room for a value that is there already.
    fn around(self, pricing: &Pricing) -> Free {
        let now = self.get(pricing);
        let bounds = (self.bounds.0.min(now), self.bounds.1.max(now));
        Free { bounds, ..self }
    }
}

/// Makes the profile carry the constants of the GPU that can be fitted, so that they can be moved.
pub(super) fn own_gpu_constants(pricing: &mut Pricing) {
    let carried = pricing.profile.gpu.take().unwrap_or_default();
    let gpu = carried.on(&pricing.gpu);
    let formats = pricing.precision.formats(&pricing.model);
    let in_fp8 = [formats.mlp, formats.experts].iter().any(|f| f.arithmetic() == Arithmetic::Fp8);
    let (gemm_fp8, experts_fp8) = match in_fp8 {
        // Derived ones have to be carried too, where they are what is fitted.
        true => (
            gpu.gemm_for(Arithmetic::Fp8).map(|(gemm, _)| gemm),
            gpu.experts_for(Arithmetic::Fp8).map(|(experts, _)| experts),
        ),
        false => (gpu.gemm_fp8, gpu.experts_fp8),
    };
    pricing.profile.gpu = Some(GpuConstants {
        gemm_bf16: Some(gpu.gemm_bf16),
        gemm_fp8,
        experts: gpu.experts,
        experts_fp8,
        decode_attention: Some(gpu.decode_attention),
        prefill_attention: Some(gpu.prefill_attention),
        ..carried
    });
}

/// The pricing with the GPU's own constants and no factors.
fn unfitted(pricing: &Pricing) -> Pricing {
    let mut plain = pricing.clone();
    let carried = plain.profile.gpu.take();
    (plain.profile.kernel_factor, plain.profile.link_factor) = (1.0, 1.0);
    if carried.is_some() {
        own_gpu_constants(&mut plain);
    }
    plain
}

/// Whether the GPUs of a replica, or of ranks that share experts, exchange anything.
pub(super) fn exchanges(pricing: &Pricing) -> bool {
    let spread = pricing.parallelism;
    let shares = spread.data > 1 && pricing.model.experts().is_some();
    spread.tensor > 1 || spread.pipeline > 1 || shares
}

/// The constants of these groups for an engine, in the order of the groups.
pub(super) fn free(groups: &[Group], pricing: &Pricing) -> Vec<Free> {
    let plain = &unfitted(pricing);
    let mut constants = Vec::new();
    for group in groups {
        match group {
            // Under asynchronous scheduling host time hides behind the GPU: a gap is what is seen.
            Group::Host if pricing.profile.async_scheduling == Some(true) => constants.extend([
                Free::time("step_gap.iteration_us", 500.0, |p| {
                    &mut p.profile.step_gap.iteration_us
                }),
                Free::time("step_gap.sequence_us", 10.0, |p| &mut p.profile.step_gap.sequence_us),
            ]),
            Group::Host => constants.extend([
                Free::time("host.iteration_us", 500.0, |p| &mut p.profile.host.iteration_us),
                Free::time("host.sequence_us", 10.0, |p| &mut p.profile.host.sequence_us),
            ]),
            Group::Kernels => constants
                .push(Free::rate("kernel_factor", "", plain, |p| &mut p.profile.kernel_factor)),
            Group::Gpu => constants.extend(of_gpu(plain)),
            Group::Link => {
                constants.push(Free::rate("link_factor", "", plain, |p| &mut p.profile.link_factor))
            }
        }
    }
    constants.into_iter().map(|constant| constant.around(pricing)).collect()
}

fn of_gpu(pricing: &Pricing) -> Vec<Free> {
    const CARRIED: &str = "the profile carries the GPU's constants";
    fn constants(pricing: &mut Pricing) -> &mut GpuConstants {
        pricing.profile.gpu.as_mut().expect(CARRIED)
    }
    fn bf16(pricing: &mut Pricing) -> &mut Gemm {
        constants(pricing).gemm_bf16.as_mut().expect(CARRIED)
    }
    fn fp8(pricing: &mut Pricing) -> &mut Gemm {
        constants(pricing).gemm_fp8.as_mut().expect(CARRIED)
    }
    let formats = pricing.precision.formats(&pricing.model);
    let carried = pricing.profile.gpu.as_ref();
    let has_fp8 = carried.is_some_and(|gpu| gpu.gemm_fp8.is_some());
    let in_fp8 = formats.mlp.arithmetic() == Arithmetic::Fp8 && has_fp8;
    let mut free = match in_fp8 {
        true => vec![
            Free::rate("gpu.gemm_fp8.tflops", "TFLOP/s", pricing, |p| &mut fp8(p).tflops),
            Free::rate("gpu.gemm_fp8.memory_gb_per_s", "GB/s", pricing, |p| {
                &mut fp8(p).memory_gb_per_s
            }),
        ],
        false => vec![
            Free::rate("gpu.gemm_bf16.tflops", "TFLOP/s", pricing, |p| &mut bf16(p).tflops),
            Free::rate("gpu.gemm_bf16.memory_gb_per_s", "GB/s", pricing, |p| {
                &mut bf16(p).memory_gb_per_s
            }),
        ],
    };
    fn experts(pricing: &mut Pricing) -> &mut GroupedGemm {
        constants(pricing).experts.as_mut().expect(CARRIED)
    }
    fn experts_fp8(pricing: &mut Pricing) -> &mut GroupedGemm {
        constants(pricing).experts_fp8.as_mut().expect(CARRIED)
    }
    if pricing.model.experts().is_some() {
        let in_fp8 = formats.experts.arithmetic() == Arithmetic::Fp8;
        let carried = pricing.profile.gpu.as_ref();
        free.extend(match in_fp8 && carried.is_some_and(|gpu| gpu.experts_fp8.is_some()) {
            true => [
                Free::rate("gpu.experts_fp8.tflops", "TFLOP/s", pricing, |p| {
                    &mut experts_fp8(p).tflops
                }),
                Free::rate("gpu.experts_fp8.memory_gb_per_s", "GB/s", pricing, |p| {
                    &mut experts_fp8(p).memory_gb_per_s
                }),
            ],
            false => [
                Free::rate("gpu.experts.tflops", "TFLOP/s", pricing, |p| &mut experts(p).tflops),
                Free::rate("gpu.experts.memory_gb_per_s", "GB/s", pricing, |p| {
                    &mut experts(p).memory_gb_per_s
                }),
            ],
        });
    }
    free.push(Free::rate("gpu.decode_attention.memory_gb_per_s", "GB/s", pricing, |p| {
        &mut constants(p).decode_attention.as_mut().expect(CARRIED).memory_gb_per_s
    }));
    free.push(Free::rate(
        "gpu.prefill_attention.tflops",
        "TFLOP/s",
        pricing,
        |p| match constants(p).prefill_attention.as_mut().expect(CARRIED) {
            PrefillAttention::FlashAttention2(fa) => &mut fa.tflops,
            PrefillAttention::FlashAttention3(fa) => &mut fa.tflops,
        },
    ));
    free
}
