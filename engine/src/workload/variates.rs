//! Random values of the standard distributions, from uniform ones.
//!
//! Written out here, on `libm` alone, because a sampler's last digit is part of a result: another
//! crate's samplers change with its version and with the maths library it is built on.

use std::sync::LazyLock;

use super::streams::Draws;

/// Exponential with mean 1, by inversion.
#[inline]
pub(crate) fn exponential(draws: &mut Draws) -> f64 {
    -libm::log(draws.open_unit())
}

/// Standard normal, by the ziggurat of Marsaglia and Tsang in the form of Doornik, "An improved
/// ziggurat method to generate normal random samples" (2005), with 128 layers. Nearly all values
/// take one uniform value and one multiplication.
#[inline]
pub(crate) fn normal(draws: &mut Draws) -> f64 {
    let ziggurat = &*ZIGGURAT;
    loop {
        // The lowest 7 bits choose the layer, the highest 53 the place in it.
        let bits = draws.bits();
        let layer = (bits & 0x7F) as usize;
        let u = (bits >> 11) as f64 * (2.0 / (1u64 << 53) as f64) - 1.0;
        if u.abs() < ziggurat.inside[layer] {
            return u * ziggurat.edges[layer];
        }
        if layer == 0 {
            return if u < 0.0 { -normal_tail(draws) } else { normal_tail(draws) };
        }
        let x = u * ziggurat.edges[layer];
        let (outer, inner) = (ziggurat.edges[layer], ziggurat.edges[layer + 1]);
        let low = libm::exp(-0.5 * (outer * outer - x * x));
        let high = libm::exp(-0.5 * (inner * inner - x * x));
        if high + draws.unit() * (low - high) < 1.0 {
            return x;
        }
    }
}

/// A normal value above [`TAIL`] (Marsaglia, 1964).
#[cold]
fn normal_tail(draws: &mut Draws) -> f64 {
    loop {
        let x = -libm::log(draws.open_unit()) / TAIL;
        let y = -libm::log(draws.open_unit());
        if 2.0 * y >= x * x {
            return TAIL + x;
        }
    }
}

const LAYERS: usize = 128;

/// Where the tail of the normal density begins, with 128 layers of equal area.
const TAIL: f64 = 3.442_619_855_899;

/// The area of a layer, under `exp(-x^2 / 2)`.
const LAYER_AREA: f64 = 9.912_563_035_262_17e-3;

struct Ziggurat {
    /// Right edges of the layers, from the bottom; the bottom one is as wide as its area with the
    /// tail makes it.
    edges: [f64; LAYERS + 1],
    /// The part of each layer that lies under the density for sure.
    inside: [f64; LAYERS],
}

static ZIGGURAT: LazyLock<Ziggurat> = LazyLock::new(|| {
    let density = |x: f64| libm::exp(-0.5 * x * x);
    let mut edges = [0.0; LAYERS + 1];
    edges[0] = LAYER_AREA / density(TAIL);
    edges[1] = TAIL;
    for layer in 2..LAYERS {
        let below = edges[layer - 1];
        edges[layer] = (-2.0 * libm::log(LAYER_AREA / below + density(below))).sqrt();
    }
    let inside = std::array::from_fn(|layer| edges[layer + 1] / edges[layer]);
    Ziggurat { edges, inside }
});

/// Gamma with mean `shape` and unit scale: Marsaglia and Tsang, "A simple method for generating
/// gamma variables", ACM TOMS 26 (2000); their boost `U^(1/shape)` below shape 1.
pub(crate) fn gamma(draws: &mut Draws, shape: f64) -> f64 {
    debug_assert!(shape > 0.0);
    let boosted = if shape < 1.0 { shape + 1.0 } else { shape };
    let d = boosted - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    let value = loop {
        let x = normal(draws);
        let t = 1.0 + c * x;
        if t <= 0.0 {
            continue;
        }
        let v = t * t * t;
        if libm::log(draws.open_unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            break d * v;
        }
    };
    if shape < 1.0 { value * libm::exp(libm::log(draws.open_unit()) / shape) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::streams::{Purpose, Stream};

    #[test]
    fn the_layers_have_equal_areas() {
        let density = |x: f64| libm::exp(-0.5 * x * x);
        let edges = &ZIGGURAT.edges;
        for layer in 1..LAYERS {
            let area = edges[layer] * (density(edges[layer + 1]) - density(edges[layer]));
            assert!((area / LAYER_AREA - 1.0).abs() < 1e-8, "layer {layer}: {area}");
        }
    }

    #[test]
    fn normal_values_lie_as_the_normal_law_has_them() {
        let n = 1_000_000u32;
        let stream = Stream::new(5, Purpose::Prompt);
        let values: Vec<f64> = (0..n).map(|key| normal(&mut stream.at(u64::from(key)))).collect();
        // Distribution function of the standard normal law, from tables.
        for (z, below) in [
            (-3.5, 0.000_232_629),
            (-3.0, 0.001_349_898),
            (-2.0, 0.022_750_132),
            (-1.0, 0.158_655_254),
            (-0.1, 0.460_172_163),
            (0.0, 0.5),
            (0.3, 0.617_911_422),
            (1.5, 0.933_192_799),
            (2.5, 0.993_790_335),
            (3.6, 0.999_840_891),
        ] {
            let part = values.iter().filter(|&&value| value < z).count() as f64 / f64::from(n);
            let deviation = (below * (1.0 - below) / f64::from(n)).sqrt();
            assert!((part - below).abs() < 4.0 * deviation, "{z}: {part}, expected {below}");
        }
        let moment = |power: i32| {
            let sum: f64 = values.iter().map(|&v| libm::pow(v, f64::from(power))).sum();
            sum / f64::from(n)
        };
        assert!(moment(1).abs() < 0.004);
        assert!((moment(2) - 1.0).abs() < 0.006);
        assert!(moment(3).abs() < 0.016);
        assert!((moment(4) - 3.0).abs() < 0.04);
    }

    #[test]
    fn gamma_has_its_mean_and_variance() {
        for shape in [0.05, 0.5, 1.0, 3.0, 100.0] {
            let stream = Stream::new(3, Purpose::Arrival);
            let n = 100_000u32;
            let values: Vec<f64> =
                (0..n).map(|key| gamma(&mut stream.at(u64::from(key)), shape)).collect();
            let mean = values.iter().sum::<f64>() / f64::from(n);
            let variance =
                values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / f64::from(n);
            assert!((mean / shape - 1.0).abs() < 0.06, "shape {shape}: mean {mean}");
            assert!((variance / shape - 1.0).abs() < 0.12, "shape {shape}: variance {variance}");
        }
    }
}
