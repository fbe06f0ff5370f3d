//! Drawn workloads: statistics, and the properties that make runs comparable.

use crate::workload::support::*;
use metron_sim::ids::ClassId;
use metron_sim::request::BlockIds;
use metron_sim::time::{Span, Time};
use metron_sim::workload::*;
use proptest::prelude::*;

const N: u32 = 100_000;

fn fixed() -> Lengths {
    independent(Shape::Fixed(100), Shape::Fixed(10))
}

fn poisson(rate: f64) -> Arrivals {
    Arrivals::Poisson { rate }
}

fn drawn(spec: &WorkloadSpec, seed: u64) -> Workload {
    let drawn = draw(spec, seed, LIMITS).unwrap();
    assert_eq!(drawn.warnings, []);
    drawn.workload
}

fn of_arrivals(arrivals: Arrivals, amount: Amount) -> Workload {
    drawn(&synthetic(arrivals, fixed(), amount), 42)
}

fn of_prompts(shape: Shape) -> Workload {
    let lengths = independent(shape, Shape::Fixed(1));
    let limits = Limits { max_model_len: u32::MAX, ..LIMITS };
    draw(&synthetic(poisson(1.0), lengths, requests(N)), 42, limits).unwrap().workload
}

#[test]
fn renewal_processes_have_their_rate_and_variation() {
    for (arrivals, rate, cv) in [
        (poisson(8.0), 8.0, 1.0),
        (Arrivals::Gamma { rate: 2.5, cv: 0.5 }, 2.5, 0.5),
        (Arrivals::Gamma { rate: 2.5, cv: 3.0 }, 2.5, 3.0),
        (Arrivals::Weibull { rate: 0.1, cv: 0.3 }, 0.1, 0.3),
        (Arrivals::Weibull { rate: 1000.0, cv: 2.0 }, 1000.0, 2.0),
    ] {
        let workload = of_arrivals(arrivals, requests(N));
        assert_eq!(workload.nominal_rate_per_s, Some(rate));
        let gaps = gaps(&workload);
        assert_near(gaps.mean, 1.0 / rate, 0.02 * f64::max(cv, 1.0));
        assert_near(gaps.cv, cv, 0.05);
    }
}

/// Reference tools clamp Poisson gaps at three means, which raises the rate by 5.24 %.
#[test]
fn poisson_gaps_are_exponential_and_not_clamped() {
    let gaps = gaps(&of_arrivals(poisson(1.0), requests(N)));
    assert_near(gaps.mean, 1.0, 0.01);
    assert_near(gaps.quantile(0.5), std::f64::consts::LN_2, 0.02);
    assert_near(gaps.quantile(0.99), libm::log(100.0), 0.02);
    assert!(gaps.quantile(1.0) > 9.0);
}

#[test]
fn constant_arrivals_do_not_drift() {
    let workload = of_arrivals(Arrivals::Constant { rate: 3.0 }, requests(3_000_001));
    for k in [0u64, 1, 2, 3, 1_000_000, 2_999_999, 3_000_000] {
        let ns = (k * 1_000_000_000 + 1) / 3; // nearest, by hand
        assert_eq!(workload.requests[k as usize].arrival, Time::from_nanos(ns), "{k}");
    }
}

#[test]
fn a_duration_ends_arrivals_just_before_it() {
    let amount = Amount { requests: None, duration: Some(seconds(10.0)) };
    assert_eq!(of_arrivals(Arrivals::Constant { rate: 2.0 }, amount).requests.len(), 20);
    let amount = Amount { requests: Some(7), duration: Some(seconds(10.0)) };
    assert_eq!(of_arrivals(Arrivals::Constant { rate: 2.0 }, amount).requests.len(), 7);
    let amount = Amount { requests: None, duration: Some(seconds(1000.0)) };
    let workload = of_arrivals(poisson(50.0), amount);
    assert_near(workload.requests.len() as f64, 50_000.0, 0.02);
    assert!(workload.requests.iter().all(|r| r.arrival < Time::from_nanos(1_000_000_000_000)));
}

#[test]
fn all_at_once_is_at_zero() {
    let workload = of_arrivals(Arrivals::AllAtOnce, requests(5));
    assert!(workload.requests.iter().all(|r| r.arrival == Time::ZERO));
    assert_eq!(workload.requests.len(), 5);
    assert_eq!(workload.nominal_rate_per_s, None);
}

#[test]
fn piecewise_rates_are_followed() {
    let piece = |s: f64, rate: f64, ramp_to: f64| Piece { length: seconds(s), rate, ramp_to };
    let pieces = vec![piece(100.0, 20.0, 20.0), piece(50.0, 0.0, 0.0), piece(100.0, 0.0, 200.0)];
    let workload = of_arrivals(Arrivals::Piecewise(pieces.clone()), UNBOUNDED);
    let count = |from: f64, to: f64| {
        let inside = |t: f64| t >= from && t < to;
        workload.requests.iter().filter(|r| inside(r.arrival.as_secs_f64())).count() as f64
    };
    assert_near(count(0.0, 100.0), 2000.0, 0.06);
    assert_eq!(count(100.0, 150.0), 0.0);
    assert_near(count(150.0, 200.0), 2500.0, 0.06);
    assert_near(count(200.0, 250.0), 7500.0, 0.04);
    assert_eq!(count(250.0, 1e9), 0.0);
    assert_near(workload.nominal_rate_per_s.unwrap(), 48.0, 1e-12);

    // More requests than the pieces hold: the last rate goes on.
    let longer = of_arrivals(Arrivals::Piecewise(pieces), requests(20_000));
    assert_eq!(longer.requests.len(), 20_000);
    assert_eq!(longer.requests[..workload.requests.len()], workload.requests);
    let last = longer.requests.last().unwrap().arrival.as_secs_f64();
    assert_near(last, 250.0 + 8000.0 / 200.0, 0.03);
}

#[test]
fn a_piecewise_rate_that_ends_at_zero_says_that_requests_are_missing() {
    let pieces = vec![Piece { length: seconds(10.0), rate: 10.0, ramp_to: 0.0 }];
    let spec = synthetic(Arrivals::Piecewise(pieces), fixed(), requests(1000));
    let drawn = draw(&spec, 1, LIMITS).unwrap();
    assert!(drawn.workload.requests.len() < 100);
    assert!(drawn.warnings[0].message.starts_with("1000 requests were asked for"));
}

#[test]
fn length_distributions_have_their_moments() {
    let stats = prompts(&of_prompts(Shape::Uniform { min: 10, max: 20 }));
    assert_near(stats.mean, 15.0, 0.01);
    assert_eq!((stats.quantile(0.0), stats.quantile(1.0)), (10.0, 20.0));

    let sigma: f64 = 0.6;
    let stats = prompts(&of_prompts(Shape::Lognormal { mean: 1024.0, sigma }));
    assert_near(stats.mean, 1024.0, 0.01);
    assert_near(stats.cv, libm::expm1(sigma * sigma).sqrt(), 0.02);
    assert_near(stats.quantile(0.5), 1024.0 * libm::exp(-sigma * sigma / 2.0), 0.01);

    let stats = prompts(&of_prompts(Shape::Geometric { mean: 50.0 }));
    assert_near(stats.mean, 50.0, 0.01);
    assert_near(stats.cv, (1.0 - 1.0 / 50.0f64).sqrt(), 0.02);
    assert_eq!(prompts(&of_prompts(Shape::Geometric { mean: 1.0 })).quantile(1.0), 1.0);

    let (min, max, theta) = (100, 1_000_099, 0.6);
    let stats = prompts(&of_prompts(Shape::Zipf { min, max, theta }));
    let weights: Vec<f64> = (1..=1_000_000).map(|k| libm::pow(f64::from(k), -theta)).collect();
    let total: f64 = weights.iter().sum();
    let mean: f64 = weights.iter().zip(100..).map(|(w, v)| w * f64::from(v)).sum::<f64>() / total;
    assert_near(stats.mean, mean, 0.01);
    assert!(stats.quantile(0.0) >= 100.0 && stats.quantile(1.0) <= 1_000_099.0);

    let points = vec![(0.1, 10.0), (0.5, 100.0), (0.9, 1000.0)];
    let stats = prompts(&of_prompts(Shape::Quantiles(points)));
    assert_eq!((stats.quantile(0.05), stats.quantile(0.95)), (10.0, 1000.0));
    assert_near(stats.quantile(0.5), 100.0, 0.02);
    assert_near(stats.quantile(0.7), 550.0, 0.02);
}

#[test]
fn lengths_are_clamped_and_at_least_one() {
    let clamped =
        Dist { shape: Shape::Lognormal { mean: 100.0, sigma: 2.0 }, min: Some(50), max: Some(60) };
    let lengths =
        Lengths::Independent { prompt: clamped, output: dist(Shape::Uniform { min: 0, max: 1 }) };
    let workload = drawn(&synthetic(poisson(1.0), lengths, requests(2000)), 3);
    let stats = prompts(&workload);
    assert_eq!((stats.quantile(0.0), stats.quantile(1.0)), (50.0, 60.0));
    assert!(workload.requests.iter().all(|r| r.output_tokens == 1));
}

/// Mean, P50, P90 and P99 of prompts and outputs as in the published traces.
#[test]
fn tables_have_the_statistics_of_their_traces() {
    for (table, prompt, output) in [
        (LengthTable::Chat, [2340.0, 1730.0, 5696.0, 7433.0], [439.0, 415.0, 834.0, 998.0]),
        (
            LengthTable::Summarisation,
            [2588.0, 2730.0, 3702.0, 3933.0],
            [291.0, 167.0, 372.0, 3271.0],
        ),
        (LengthTable::LongForm, [1067.0, 1037.0, 1453.0, 1800.0], [1613.0, 1601.0, 2149.0, 2533.0]),
        (LengthTable::Code, [2048.0, 1469.0, 5187.0, 7436.0], [28.0, 13.0, 55.0, 251.0]),
    ] {
        let spec = synthetic(poisson(1.0), Lengths::Table(table), requests(200_000));
        let workload = drawn(&spec, 42);
        for (stats, expected) in [(prompts(&workload), prompt), (outputs(&workload), output)] {
            let got = [stats.mean, stats.quantile(0.5), stats.quantile(0.9), stats.quantile(0.99)];
            for (got, expected) in got.into_iter().zip(expected) {
                assert!(
                    (got / expected - 1.0).abs() <= 0.03,
                    "{table:?}: got {got}, expected {expected}"
                );
            }
        }
    }
}

/// In BWB a translation is about as long as its chapter; in arXiv's limit of 4096 tokens, long
/// papers leave room for short abstracts only. Correlations of the traces: 0.78 and -0.46.
#[test]
fn tables_keep_most_of_the_dependence_of_output_on_prompt() {
    let correlation = |table| {
        let spec = synthetic(poisson(1.0), Lengths::Table(table), requests(N));
        let workload = drawn(&spec, 42);
        let (p, o) = (prompts(&workload), outputs(&workload));
        let covariance: f64 = workload
            .requests
            .iter()
            .map(|r| (f64::from(r.prompt_tokens) - p.mean) * (f64::from(r.output_tokens) - o.mean))
            .sum::<f64>()
            / f64::from(N);
        covariance / (p.mean * p.cv * o.mean * o.cv)
    };
    assert_near(correlation(LengthTable::LongForm), 0.76, 0.05);
    assert_near(correlation(LengthTable::Summarisation), -0.39, 0.1);
    assert!(correlation(LengthTable::Chat).abs() < 0.1);
}

#[test]
fn pairs_of_a_file_are_used_in_order_and_again() {
    let spec = synthetic(poisson(1.0), Lengths::File(data("lengths.csv")), requests(5));
    let workload = drawn(&spec, 1);
    let pairs: Vec<_> =
        workload.requests.iter().map(|r| (r.prompt_tokens, r.output_tokens)).collect();
    assert_eq!(pairs, [(3772, 54), (2015, 156), (88, 7), (3772, 54), (2015, 156)]);
}

/// Every process and distribution at once, for the properties below.
fn varied(arrivals: Arrivals, output: Shape, amount: Amount) -> WorkloadSpec {
    let own = independent(Shape::Zipf { min: 1, max: 5000, theta: 1.1 }, Shape::Fixed(7));
    WorkloadSpec {
        classes: vec![
            ClassSpec { name: "chat".into(), share: 3.0, priority: 0, lengths: None },
            ClassSpec { name: "batch".into(), share: 1.0, priority: 5, lengths: Some(own) },
        ],
        prefix_groups: Some(PrefixGroups { count: 10, tokens: 100, share: 0.5 }),
        ..synthetic(
            arrivals,
            independent(Shape::Lognormal { mean: 300.0, sigma: 1.0 }, output),
            amount,
        )
    }
}

fn processes() -> Vec<Arrivals> {
    vec![
        poisson(3.0),
        Arrivals::Gamma { rate: 3.0, cv: 2.0 },
        Arrivals::Weibull { rate: 3.0, cv: 0.5 },
        Arrivals::Constant { rate: 3.0 },
        Arrivals::AllAtOnce,
        Arrivals::Piecewise(vec![Piece { length: seconds(9.0), rate: 1.0, ramp_to: 5.0 }]),
    ]
}

#[test]
fn fewer_requests_are_a_prefix_of_more() {
    for arrivals in processes() {
        let few =
            drawn(&varied(arrivals.clone(), Shape::Geometric { mean: 9.0 }, requests(500)), 7);
        let many = drawn(&varied(arrivals, Shape::Geometric { mean: 9.0 }, requests(1000)), 7);
        assert_eq!(few.requests, many.requests[..500]);
        assert_eq!(few.blocks, many.blocks[..500]);
        assert_eq!(few.block_ids, many.block_ids);
    }
}

#[test]
fn changing_one_thing_moves_nothing_else() {
    let base = drawn(&varied(poisson(3.0), Shape::Geometric { mean: 9.0 }, requests(1000)), 7);
    let other = drawn(
        &varied(poisson(3.0), Shape::Zipf { min: 1, max: 99, theta: 0.5 }, requests(1000)),
        7,
    );
    let mut moved = 0;
    for (a, b) in base.requests.iter().zip(&other.requests) {
        assert_eq!((a.arrival, a.prompt_tokens, a.class), (b.arrival, b.prompt_tokens, b.class));
        moved += u32::from(a.output_tokens != b.output_tokens);
    }
    assert!(moved > 500);
    assert_eq!((base.blocks.len(), &base.blocks), (1000, &other.blocks));

    let bursty = Arrivals::Gamma { rate: 3.0, cv: 4.0 };
    let other = drawn(&varied(bursty, Shape::Geometric { mean: 9.0 }, requests(1000)), 7);
    for (a, b) in base.requests.iter().zip(&other.requests) {
        assert_eq!((a.prompt_tokens, a.output_tokens), (b.prompt_tokens, b.output_tokens));
    }
}

#[test]
fn seeds_and_streams_are_unrelated() {
    let spec = |seed| {
        let shape = Shape::Uniform { min: 1, max: 1_000_000_000 };
        let spec = synthetic(poisson(1.0), independent(shape.clone(), shape), requests(10_000));
        draw(&spec, seed, Limits { max_model_len: u32::MAX, ..LIMITS }).unwrap().workload
    };
    let (one, two) = (spec(1), spec(2));
    let column = |w: &Workload, f: fn(&metron_sim::request::Request) -> u32| -> Vec<f64> {
        w.requests.iter().map(|r| f64::from(f(r)) / 1e9 - 0.5).collect()
    };
    let (p1, o1) = (column(&one, |r| r.prompt_tokens), column(&one, |r| r.output_tokens));
    let p2 = column(&two, |r| r.prompt_tokens);
    // The variance of a uniform value is 1/12; the mean of n products of two is 1/(12 sqrt(n)).
    let bound = 4.0 / 12.0 / 100.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() / 1e4;
    assert!(product(&p1, &o1).abs() < bound);
    assert!(product(&p1, &p2).abs() < bound);
    assert!(product(&p1[1..], &p1).abs() < bound);
}

proptest! {
    #[test]
    fn a_rate_rescales_the_same_gaps(seed: u64, rate in 0.01f64..1000.0, factor in 0.1f64..10.0) {
        for make in [
            (|rate| Arrivals::Poisson { rate }) as fn(f64) -> Arrivals,
            |rate| Arrivals::Gamma { rate, cv: 1.7 },
            |rate| Arrivals::Weibull { rate, cv: 0.4 },
            |rate| Arrivals::Constant { rate },
        ] {
            let at = |rate| drawn(&synthetic(make(rate), fixed(), requests(50)), seed).requests;
            for (slow, fast) in at(rate).iter().zip(&at(rate * factor)) {
                let expected = slow.arrival.as_nanos() as f64 / factor;
                // Each is rounded once, and the slow one's rounding is divided by the factor.
                let error = (fast.arrival.as_nanos() as f64 - expected).abs();
                prop_assert!(error <= 0.5 + 0.5 / factor + expected * 1e-14);
            }
        }
    }

    #[test]
    fn any_description_is_drawn_or_refused(
        rate in prop::num::f64::ANY, cv in prop::num::f64::ANY, mean in prop::num::f64::ANY,
        sigma in prop::num::f64::ANY, min: u32, max: u32, factor in prop::num::f64::ANY,
        seed: u64, share in prop::num::f64::ANY, tokens in 0u32..200,
    ) {
        let shapes = [
            Shape::Fixed(min),
            Shape::Uniform { min, max },
            Shape::Lognormal { mean, sigma },
            Shape::Geometric { mean },
            Shape::Zipf { min, max, theta: sigma },
            Shape::Quantiles(vec![(0.1, mean), (sigma, f64::from(max))]),
        ];
        let mut all = processes();
        all.extend([
            poisson(rate),
            Arrivals::Gamma { rate: 1.0, cv },
            Arrivals::Weibull { rate, cv },
            Arrivals::Piecewise(vec![Piece { length: Span::from_nanos(seed), rate, ramp_to: 1.0 }]),
        ]);
        for arrivals in all {
            for shape in &shapes {
                let mut spec = varied(arrivals.clone(), shape.clone(), requests(20));
                spec.max_tokens = MaxTokens::Factor(factor);
                spec.prefix_groups = Some(PrefixGroups { count: min % 1000, tokens, share });
                spec.classes[0].share = share;
                for max_tokens in [MaxTokens::Factor(factor), MaxTokens::Fixed(max), MaxTokens::Model] {
                    spec.max_tokens = max_tokens;
                    spec.prefix_groups = spec.prefix_groups.filter(|_| tokens % 2 == 0);
                    let limits = Limits { max_model_len: min, kv_block_tokens: max % 100 };
                    let Ok(drawn) = draw(&spec, seed, limits) else { continue };
                    for r in &drawn.workload.requests {
                        prop_assert!(r.prompt_tokens >= 1 && r.output_tokens >= 1);
                        prop_assert!(r.max_tokens >= r.output_tokens);
                    }
                    for BlockIds { start, len } in &drawn.workload.blocks {
                        prop_assert!((start + len) as usize <= drawn.workload.block_ids.len());
                    }
                }
            }
        }
    }
}

/// The exact values are part of what a scenario means. Only classes go through another crate's sampler.
#[test]
fn values_are_pinned() {
    let spec = varied(
        Arrivals::Gamma { rate: 2.0, cv: 2.0 },
        Shape::Geometric { mean: 100.0 },
        requests(4),
    );
    let workload = drawn(&spec, 42);
    let rows: Vec<_> = workload
        .requests
        .iter()
        .zip(&workload.blocks)
        .map(|(r, b)| (r.arrival.as_nanos(), r.prompt_tokens, r.output_tokens, r.class.0, b.start))
        .collect();
    assert_eq!(rows, PINNED_GAMMA);
    let arrivals = |arrivals| -> Vec<u64> {
        let workload = of_arrivals(arrivals, requests(3));
        workload.requests.iter().map(|r| r.arrival.as_nanos()).collect()
    };
    assert_eq!(arrivals(poisson(2.0)), PINNED_POISSON);
    assert_eq!(arrivals(Arrivals::Weibull { rate: 2.0, cv: 2.0 }), PINNED_WEIBULL);
    let table = synthetic(poisson(1.0), Lengths::Table(LengthTable::Chat), requests(3));
    let pairs: Vec<_> =
        drawn(&table, 42).requests.iter().map(|r| (r.prompt_tokens, r.output_tokens)).collect();
    assert_eq!(pairs, PINNED_CHAT);
}

// Worked out apart from this code, in Python with the platform's maths, from the published
// algorithms. As first drawn: classes (the alias method of rand_distr) and prompts of the second
// class (Zipf's law).
const PINNED_GAMMA: [(u64, u32, u32, u16, u32); 4] = [
    (1_749_003, 1348, 7, 1, 54),
    (2_059_369_340, 274, 7, 1, 0),
    (3_696_267_684, 77, 23, 0, 12),
    (3_697_970_545, 109, 7, 1, 42),
];
const PINNED_POISSON: [u64; 3] = [525_940_350, 700_913_847, 907_211_517];
const PINNED_WEIBULL: [u64; 3] = [315_720_766, 357_271_215, 413_552_867];
const PINNED_CHAT: [(u32, u32); 3] = [(69, 62), (489, 410), (65, 708)];

#[test]
fn classes_get_their_shares_priorities_and_lengths() {
    let workload = drawn(&varied(poisson(3.0), Shape::Geometric { mean: 9.0 }, requests(N)), 7);
    assert_eq!(workload.classes, ["chat", "batch"]);
    let batch = workload.requests.iter().filter(|r| r.class == ClassId(1));
    assert_near(batch.clone().count() as f64, 25_000.0, 0.03);
    assert!(batch.clone().all(|r| r.priority == 5 && r.output_tokens == 7));
    assert!(workload.requests.iter().all(|r| r.class == ClassId(1) || r.priority == 0));
}

#[test]
fn prefix_groups_share_the_ids_of_full_blocks() {
    let mut spec = synthetic(
        poisson(1.0),
        independent(Shape::Uniform { min: 1, max: 200 }, Shape::Fixed(1)),
        requests(N),
    );
    spec.prefix_groups = Some(PrefixGroups { count: 4, tokens: 100, share: 0.25 });
    let workload = drawn(&spec, 42);
    assert_eq!(workload.block_tokens, 16);
    let mut heads = std::collections::BTreeMap::new();
    let mut members = 0;
    for (r, &BlockIds { start, len }) in workload.requests.iter().zip(&workload.blocks) {
        if len == 0 {
            continue;
        }
        members += 1;
        assert_eq!(len, r.prompt_tokens.min(100) / 16);
        let ids = &workload.block_ids[start as usize..(start + len) as usize];
        *heads.entry(ids[0]).or_insert(0) += 1;
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    }
    // 185 of 200 prompts fill a block.
    assert_near(f64::from(members), 0.25 * 0.925 * f64::from(N), 0.03);
    assert_eq!(heads.len(), 4);
    assert!(heads.values().all(|&count| f64::from(count) > 0.9 * f64::from(members) / 4.0));
}

#[test]
fn what_cannot_be_followed_is_refused_by_name() {
    let refused = |arrivals, lengths, amount| {
        let error = draw(&synthetic(arrivals, lengths, amount), 1, LIMITS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec);
        error.to_string()
    };
    let n = requests(10);
    for (arrivals, field) in [
        (poisson(0.0), "`rate`"),
        (poisson(f64::NAN), "`rate`"),
        (Arrivals::Weibull { rate: 1.0, cv: 1e9 }, "`cv`"),
        (Arrivals::Piecewise(vec![]), "`arrivals.piecewise`"),
        (Arrivals::ClosedLoop { users: 1, think_time: Span::ZERO }, "`arrivals`"),
        (poisson(1e-300), "`arrivals`"),
    ] {
        assert!(refused(arrivals, fixed(), n).starts_with(field));
    }
    assert!(refused(poisson(1.0), fixed(), UNBOUNDED).starts_with("`requests`"));
    let duration = Amount { requests: None, duration: Some(seconds(1.0)) };
    assert!(refused(Arrivals::AllAtOnce, fixed(), duration).starts_with("`requests`"));
    assert!(refused(poisson(1.0), fixed(), requests(u32::MAX)).starts_with("`requests`"));
    let output = Lengths::Independent {
        prompt: dist(Shape::Fixed(1)),
        output: Dist { shape: Shape::Fixed(5), min: Some(9), max: Some(3) },
    };
    assert!(refused(poisson(1.0), output, n).starts_with("`lengths.output`"));
}

#[test]
fn a_workload_without_requests_is_told() {
    let amount = Amount { requests: None, duration: Some(Span::from_nanos(1)) };
    let drawn = draw(&synthetic(poisson(1.0), fixed(), amount), 1, LIMITS).unwrap();
    assert_eq!(drawn.workload.requests, []);
    assert_eq!(drawn.warnings.len(), 1);
}
