//! All-reduces as they were measured: times by message size, by kernel, and which kernel an engine's
//! version takes for which message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{InvalidFigure, positive};
use super::{Gpu, Link};

/// Measured times of one kernel on so many GPUs. Between two sizes a time is read off on a log-log
/// scale; below the first it is the first's, and beyond the last it grows as the size does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllReducePoints {
    /// GPUs that take part.
    pub gpus: u32,
    /// What sums up.
    pub kernel: AllReduceKernel,
    /// Sizes of the message, bytes, ascending.
    pub bytes: Vec<u64>,
    /// Time for each of them, microseconds, never falling.
    pub us: Vec<f64>,
}

/// Kernels that all-reduce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AllReduceKernel {
    /// vLLM's custom kernel, over peers' memory.
    Custom,
    /// PyTorch's symmetric memory, summed in NVLink's switches.
    Symmetric,
    /// NCCL.
    Nccl,
}

/// Which kernel an engine takes for a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AllReduceChoice {
    /// vLLM before 0.11: its custom kernel up to 8 MB, then NCCL.
    CustomThenNccl,
    /// vLLM from 0.11 on: its custom kernel, symmetric memory, NCCL, by the limits of
    /// `vllm/distributed/device_communicators/all_reduce_utils.py`.
    #[default]
    Vllm,
    /// Whichever is fastest for the size: TensorRT-LLM's and SGLang's choices are tuned by size.
    Fastest,
}

const MIB: u64 = 1 << 20;

impl AllReduceChoice {
    /// The largest messages for the custom kernel and for symmetric memory on so many GPUs.
    fn limits(self, gpus: u32, generation: Generation) -> [u64; 2] {
        use Generation::{Blackwell, Hopper, Other};
        match (self, generation, gpus) {
            (AllReduceChoice::Fastest, ..) => [u64::MAX, u64::MAX],
            (AllReduceChoice::CustomThenNccl, ..) | (AllReduceChoice::Vllm, Other, _) => {
                [8 * MIB, 0]
            }
            (AllReduceChoice::Vllm, Hopper, 2) => [64 * MIB, 64 * MIB],
            (AllReduceChoice::Vllm, Hopper, 3..=4) => [32 * MIB, 32 * MIB],
            (AllReduceChoice::Vllm, Hopper, 5..=6) => [MIB / 2, 64 * MIB],
            // To 64 MiB; the figures beyond are those of the better of it and NCCL.
            (AllReduceChoice::Vllm, Hopper, _) => [MIB / 4, u64::MAX],
            (AllReduceChoice::Vllm, Blackwell, 2) => [2 * MIB, 8 * MIB],
            (AllReduceChoice::Vllm, Blackwell, 3..=4) => [2 * MIB, 32 * MIB],
            (AllReduceChoice::Vllm, Blackwell, _) => [MIB, 128 * MIB],
        }
    }
}

/// GPUs as vLLM's limits tell them apart: by compute capability 9.0, 10.0, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Hopper,
    Blackwell,
    Other,
}

impl AllReducePoints {
    /// Its time for a message of `bytes`, microseconds.
    fn us(&self, bytes: f64) -> f64 {
        log_log(&self.bytes, &self.us, bytes)
    }

    fn validate(&self) -> Result<(), InvalidFigure> {
        let invalid = |path: &str, problem: &str| Err(InvalidFigure::new(path, problem.into()));
        if self.gpus < 2 {
            return invalid("all_reduce_points.gpus", "must be 2 or more");
        }
        if self.bytes.len() != self.us.len() || self.bytes.len() < 2 {
            return invalid("all_reduce_points.us", "needs as many times as sizes, at least 2");
        }
        if self.bytes[0] == 0 || self.bytes.windows(2).any(|w| w[1] <= w[0]) {
            return invalid("all_reduce_points.bytes", "must ascend from 1 or more");
        }
        for &us in &self.us {
            positive("all_reduce_points.us", us)?;
        }
        if self.us.windows(2).any(|w| w[1] < w[0]) {
            return invalid("all_reduce_points.us", "must never fall");
        }
        Ok(())
    }
}

/// The value at `x` of points, on straight lines of a log-log scale.
fn log_log(xs: &[u64], ys: &[f64], x: f64) -> f64 {
    let after = xs.partition_point(|&at| at as f64 <= x);
    if after == 0 {
        return ys[0];
    }
    let (left, low) = (xs[after - 1] as f64, ys[after - 1]);
    if after == xs.len() {
        return low * x / left;
    }
    let (right, high) = (xs[after] as f64, ys[after]);
    let part = libm::log(x / left) / libm::log(right / left);
    low * libm::exp(part * libm::log(high / low))
}

/// An engine's all-reduce on so many GPUs, by the kernel that it takes for each size.
#[derive(Clone, Debug)]
pub(crate) struct AllReduceCurve {
    custom: Option<(AllReducePoints, u64)>,
    symmetric: Option<(AllReducePoints, u64)>,
    nccl: Option<AllReducePoints>,
    fastest: bool,
}

impl AllReduceCurve {
    /// Time of a message of `bytes`, microseconds; never falling with the size.
    pub(crate) fn us(&self, bytes: f64) -> f64 {
        let limited = |kernel: &Option<(AllReducePoints, u64)>| {
            let (points, most) = kernel.as_ref()?;
            (bytes <= *most as f64).then(|| points.us(bytes))
        };
        let [custom, symmetric] = [limited(&self.custom), limited(&self.symmetric)];
        let nccl = self.nccl.as_ref().map(|points| points.us(bytes));
        if self.fastest {
            let known = [custom, symmetric, nccl].into_iter().flatten();
            return known.fold(f64::INFINITY, f64::min);
        }
        // A kernel that takes over must not make a larger message cheaper than the largest before.
        let at_limit = |kernel: &Option<(AllReducePoints, u64)>| {
            kernel.as_ref().map_or(0.0, |(points, most)| points.us(bytes.min(*most as f64)))
        };
        let before = at_limit(&self.custom).max(match custom {
            Some(_) => 0.0,
            None => at_limit(&self.symmetric),
        });
        let any = || self.custom.as_ref().or(self.symmetric.as_ref()).map(|(p, _)| p.us(bytes));
        custom.or(symmetric).or(nccl).or_else(any).unwrap_or(0.0).max(match custom {
            Some(_) => 0.0,
            None => before,
        })
    }
}

impl Gpu {
    /// The all-reduce of `gpus` GPUs as measured, by the kernels that `choice` takes; that of the next
    /// larger group measured. `None` where no such group was.
    pub(crate) fn all_reduce_curve(
        &self,
        gpus: u32,
        choice: AllReduceChoice,
    ) -> Option<AllReduceCurve> {
        if self.gpus_per_node.is_some_and(|node| gpus > node) {
            return None;
        }
        let group = self.all_reduce_points.iter().map(|p| p.gpus).filter(|&g| g >= gpus).min()?;
        let of = |kernel| {
            let mut points = self.all_reduce_points.iter();
            points.find(|p| p.gpus == group && p.kernel == kernel).cloned()
        };
        let limits = choice.limits(group, self.generation());
        let limited = |kernel, most| of(kernel).filter(|_| most > 0).map(|points| (points, most));
        Some(AllReduceCurve {
            custom: limited(AllReduceKernel::Custom, limits[0]),
            symmetric: limited(AllReduceKernel::Symmetric, limits[1]),
            nccl: of(AllReduceKernel::Nccl),
            fastest: choice == AllReduceChoice::Fastest,
        })
    }

    /// By its units: cards on PCIe have capabilities of their own.
    fn generation(&self) -> Generation {
        let nvlink = self.link.as_ref().is_some_and(|link: &Link| !link.is_pcie());
        match (nvlink, self.peak.fp4_tflops, self.peak.fp8_tflops) {
            (true, Some(_), _) => Generation::Blackwell,
            (true, None, Some(_)) => Generation::Hopper,
            _ => Generation::Other,
        }
    }

    /// Checks the measured all-reduces.
    pub(super) fn validate_all_reduce_points(&self) -> Result<(), InvalidFigure> {
        self.all_reduce_points.iter().try_for_each(AllReducePoints::validate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gpu;
    use super::*;

    #[test]
    fn points_are_read_off_on_a_log_log_scale() {
        let (xs, ys) = ([1024, 4096], [2.0, 8.0]);
        assert_eq!(log_log(&xs, &ys, 10.0), 2.0);
        assert!((log_log(&xs, &ys, 2048.0) - 4.0).abs() < 1e-12);
        assert_eq!(log_log(&xs, &ys, 8192.0), 16.0);
    }

    #[test]
    fn each_version_takes_its_kernels() {
        let h100 = gpu("h100-sxm").unwrap();
        let us = |choice, mib: f64| h100.all_reduce_curve(8, choice).unwrap().us(mib * MIB as f64);
        // Summed in the switches: vLLM pull request 42324.
        assert!((us(AllReduceChoice::Vllm, 16.0) - 87.0).abs() < 1e-9);
        // The custom kernel's table, and beyond 8 MB NCCL's.
        assert!((us(AllReduceChoice::CustomThenNccl, 4.0) - 50.71).abs() < 1e-9);
        assert!(us(AllReduceChoice::CustomThenNccl, 64.0) > 500.0);
        for mib in [0.01, 0.2, 0.5, 3.0, 16.0, 64.0, 200.0] {
            let fastest = us(AllReduceChoice::Fastest, mib);
            assert!(fastest <= us(AllReduceChoice::Vllm, mib) + 1e-9);
            assert!(fastest <= us(AllReduceChoice::CustomThenNccl, mib) + 1e-9);
        }
    }

    #[test]
    fn a_larger_message_is_never_faster() {
        for name in super::super::names(super::super::Kind::Gpu) {
            let gpu = gpu(&name).unwrap();
            for choice in
                [AllReduceChoice::CustomThenNccl, AllReduceChoice::Vllm, AllReduceChoice::Fastest]
            {
                for gpus in [2, 4, 8] {
                    let Some(curve) = gpu.all_reduce_curve(gpus, choice) else { continue };
                    let times: Vec<f64> =
                        (0..400).map(|i| curve.us(256.0 * libm::pow(1.05, f64::from(i)))).collect();
                    assert!(
                        times.windows(2).all(|w| w[0] <= w[1] * (1.0 + 1e-12)),
                        "{name} {gpus} {choice:?}"
                    );
                }
            }
        }
    }
}
