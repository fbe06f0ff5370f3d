//! Random values of the standard distributions, from uniform ones.
//!
//! Written out here, on `libm` alone, because a sampler's last digit is part of a result: another
//! crate's samplers change with its version and with the maths library it is built on.

use super::streams::Draws;

/// Exponential with mean 1, by inversion.
#[inline]
pub(crate) fn exponential(draws: &mut Draws) -> f64 {
    -libm::log(draws.open_unit())
}

/// Standard normal, by inversion.
#[inline]
pub(crate) fn normal(draws: &mut Draws) -> f64 {
    normal_quantile(draws.open_unit())
}

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

/// The standard normal value below which a part `p` of all values lies, 0 < p < 1, to about 16
/// digits: Wichura, "Algorithm AS 241", Applied Statistics 37 (1988), PPND16.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * ratio(r, &CENTRE);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = (-libm::log(tail)).sqrt();
    let x = if r <= 5.0 { ratio(r - 1.6, &TAIL) } else { ratio(r - 5.0, &FAR_TAIL) };
    if q < 0.0 { -x } else { x }
}

/// Numerator and denominator of a rational function, highest power first.
type Rational = [[f64; 8]; 2];

#[inline]
fn ratio(r: f64, [numerator, denominator]: &Rational) -> f64 {
    let horner = |c: &[f64; 8]| {
        ((((((c[0] * r + c[1]) * r + c[2]) * r + c[3]) * r + c[4]) * r + c[5]) * r + c[6]) * r
            + c[7]
    };
    horner(numerator) / horner(denominator)
}

#[rustfmt::skip]
#[expect(clippy::excessive_precision, reason = "as published")]
static CENTRE: Rational = [
    [
        2.509_080_928_730_122_672_7e3, 3.343_057_558_358_812_810_5e4,
        6.726_577_092_700_870_085_3e4, 4.592_195_393_154_987_145_7e4,
        1.373_169_376_550_946_112_5e4, 1.971_590_950_306_551_442_7e3,
        1.331_416_678_917_843_774_5e2, 3.387_132_872_796_366_608_0e0,
    ],
    [
        5.226_495_278_852_854_561_0e3, 2.872_908_573_572_194_267_4e4,
        3.930_789_580_009_271_061_0e4, 2.121_379_430_158_659_586_7e4,
        5.394_196_021_424_751_107_7e3, 6.871_870_074_920_579_083_0e2,
        4.231_333_070_160_091_125_2e1, 1.0,
    ],
];

#[rustfmt::skip]
#[expect(clippy::excessive_precision, reason = "as published")]
static TAIL: Rational = [
    [
        7.745_450_142_783_414_076_40e-4, 2.272_384_498_926_918_458_33e-2,
        2.417_807_251_774_506_117_70e-1, 1.270_458_252_452_368_382_58e0,
        3.647_848_324_763_204_605_04e0, 5.769_497_221_460_691_405_50e0,
        4.630_337_846_156_545_295_90e0, 1.423_437_110_749_683_577_34e0,
    ],
    [
        1.050_750_071_644_416_843_24e-9, 5.475_938_084_995_344_946_00e-4,
        1.519_866_656_361_645_719_66e-2, 1.481_039_764_274_800_745_90e-1,
        6.897_673_349_851_000_045_50e-1, 1.676_384_830_183_803_849_40e0,
        2.053_191_626_637_758_821_87e0, 1.0,
    ],
];

#[rustfmt::skip]
#[expect(clippy::excessive_precision, reason = "as published")]
static FAR_TAIL: Rational = [
    [
        2.010_334_399_292_288_132_65e-7, 2.711_555_568_743_487_578_15e-5,
        1.242_660_947_388_078_438_60e-3, 2.653_218_952_657_612_309_30e-2,
        2.965_605_718_285_048_912_30e-1, 1.784_826_539_917_291_335_80e0,
        5.463_784_911_164_114_369_90e0, 6.657_904_643_501_103_777_20e0,
    ],
    [
        2.044_263_103_389_939_785_64e-15, 1.421_511_758_316_445_888_70e-7,
        1.846_318_317_510_054_681_80e-5, 7.868_691_311_456_132_591_00e-4,
        1.487_536_129_085_061_485_25e-2, 1.369_298_809_227_358_053_10e-1,
        5.998_322_065_558_879_376_90e-1, 1.0,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::streams::{Purpose, Stream};

    #[test]
    fn normal_quantiles_are_the_tabled_ones() {
        // From CPython 3.11 statistics.NormalDist().inv_cdf, the same published algorithm.
        for (p, z) in [
            (0.5, 0.0),
            (0.9, 1.2815515655446008),
            (0.99, 2.3263478740408408),
            (0.001, -3.090232306167813),
            (1e-9, -5.9978070150076865),
            (1e-15, -7.941345326170997),
        ] {
            assert!((normal_quantile(p) - z).abs() <= 1e-14 * z.abs().max(1.0), "{p}");
        }
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
