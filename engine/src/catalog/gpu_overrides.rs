//! A GPU of the catalog with some figures replaced.

use super::{AllReduce, Gpu, InvalidFigure, Power};

/// An interconnect given in full holds up to as many GPUs.
const GPUS_MAX: u32 = 1 << 16;

/// Figures to replace in a GPU taken by name: `{base: rtx-pro-6000, interconnect: {...}}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuOverrides {
    /// Device memory, bytes.
    pub memory_bytes: Option<u64>,
    /// All-reduce bandwidth, bytes/s, whatever the number of GPUs.
    pub interconnect_bytes_per_s: Option<f64>,
    /// All-reduce latency, microseconds, whatever the number of GPUs.
    pub interconnect_latency_us: Option<f64>,
    /// US dollars per GPU and hour.
    pub price_usd_per_hour: Option<f64>,
    /// Power when idle, watts.
    pub idle_w: Option<f64>,
    /// Power at most, watts.
    pub max_w: Option<f64>,
}

impl Gpu {
    /// The same GPU with some figures replaced. The name gets a `*`, so that no report passes it
    /// off as the catalog's.
    ///
    /// # Errors
    /// When a replaced figure is out of range, or only one of an interconnect's two figures is
    /// given for a GPU that has none.
    pub fn with(mut self, overrides: &GpuOverrides) -> Result<Gpu, InvalidFigure> {
        if *overrides == GpuOverrides::default() {
            return Ok(self);
        }
        self.name.push('*');
        if let Some(bytes) = overrides.memory_bytes {
            self.memory_bytes = bytes;
        }
        let (bandwidth, latency) =
            (overrides.interconnect_bytes_per_s, overrides.interconnect_latency_us);
        if bandwidth.is_some() || latency.is_some() {
            // The given link is a line, whatever was measured on the GPU's own.
            self.all_reduce_points.clear();
        }
        if (bandwidth.is_some() || latency.is_some()) && self.all_reduce.is_empty() {
            let (Some(bandwidth), Some(latency)) = (bandwidth, latency) else {
                return Err(InvalidFigure::new(
                    "interconnect",
                    format!("{} has no all-reduce figures: give bandwidth and latency", self.name),
                ));
            };
            self.all_reduce = [2, 4, 8]
                .map(|gpus| AllReduce { gpus, latency_us: latency, gb_per_s: bandwidth / 1e9 })
                .to_vec();
        }
        if let (Some(bandwidth), Some(latency)) = (bandwidth, latency)
            && self.all_reduce_on(GPUS_MAX).is_none()
        {
            let gb_per_s = bandwidth / 1e9;
            self.all_reduce.push(AllReduce { gpus: GPUS_MAX, latency_us: latency, gb_per_s });
        }
        for link in &mut self.all_reduce {
            link.gb_per_s = bandwidth.map_or(link.gb_per_s, |b| b / 1e9);
            link.latency_us = latency.unwrap_or(link.latency_us);
        }
        if overrides.price_usd_per_hour.is_some() {
            self.price_usd_per_hour = overrides.price_usd_per_hour;
        }
        if overrides.idle_w.is_some() || overrides.max_w.is_some() {
            let old = self.power.unwrap_or(Power { idle_w: 0.0, max_w: 0.0 });
            self.power = Some(Power {
                idle_w: overrides.idle_w.unwrap_or(old.idle_w),
                max_w: overrides.max_w.unwrap_or(old.max_w),
            });
        }
        self.validate()?;
        Ok(self)
    }
}
