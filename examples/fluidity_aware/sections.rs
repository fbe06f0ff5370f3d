//! The tables.

use std::error::Error;

use super::figures::{Figures, LENGTH_NAMES, interval};
use super::load::{GPUS, Load, PROMISES, Point, Promised, SCHEDULERS, Sizes, play};

type Done = Result<(), Box<dyn Error>>;

/// A predictor that is right.
const RIGHT: &str = "{}";

fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

fn head(cells: &[String]) {
    println!();
    row(cells);
    row(&vec!["---".to_owned(); cells.len()]);
}

/// All seeds of each of these, in order. A trace is one load, whatever the seed: it is played once.
fn seeds<'s>(points: &[Point<'s>], sizes: &Sizes) -> Result<Vec<Vec<Figures>>, Box<dyn Error>> {
    let seeds_of = |point: &Point<'_>| if point.load == Load::Azure { 1 } else { sizes.seeds };
    let each = |point: &Point<'s>| {
        let point = point.clone();
        (1..=seeds_of(&point)).map(move |seed| Point { seed, ..point.clone() })
    };
    let all: Vec<Point<'s>> = points.iter().flat_map(each).collect();
    let mut figures = play(&all, sizes)?.into_iter();
    let of = |point| figures.by_ref().take(seeds_of(point) as usize).collect();
    Ok(points.iter().map(of).collect())
}

fn mean(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    figures.iter().map(of).sum::<f64>() / figures.len() as f64
}

fn shares(figures: &[Figures]) -> (f64, f64) {
    interval(&figures.iter().map(|figures| figures.share).collect::<Vec<_>>())
}

fn share_cell(figures: &[Figures]) -> String {
    let (mean, half) = shares(figures);
    if half.is_nan() { format!("{mean:.3}") } else { format!("{mean:.3} ±{half:.3}") }
}

fn point<'s>(
    load: Load,
    rate: f64,
    gpu: &'s str,
    promise: Promised,
    scheduler: &'s str,
) -> Point<'s> {
    Point { load, rate, gpu, promise, scheduler, predictor: RIGHT, seed: 1 }
}

/// Loads for the H100: below capacity, near it, past it, far past it. On an A100 a share of them.
fn rates(load: Load, gpu: &str) -> [f64; 4] {
    let rates = match load {
        Load::Chat => [4.0, 5.0, 6.0, 8.0],
        Load::Mixture => [4.0, 8.0, 10.0, 14.0],
        Load::Code => [2.0, 4.0, 8.0, 12.0],
        Load::Azure => [2.0, 2.5, 3.0, 3.5],
    };
    if gpu == "h100-sxm" { rates } else { rates.map(|rate| rate * 0.35) }
}

/// The share of fluid requests against load.
pub(crate) fn share(sizes: &Sizes) -> Done {
    println!("\n## Share of fluid requests");
    for (gpu, gpu_name) in GPUS {
        for load in Load::ALL.into_iter().filter(|load| load.is_there(sizes)) {
            for promise in PROMISES {
                println!("\n{} on {gpu_name}, {}:", load.name(), promise.name);
                let rates = rates(load, gpu);
                let named = rates.map(|rate| format!("{rate:.2}{}", load.unit()));
                head(&[&["".to_owned()][..], &named[..]].concat());
                let points: Vec<Point<'_>> = SCHEDULERS
                    .iter()
                    .flat_map(|(_, scheduler)| {
                        rates.map(|rate| point(load, rate, gpu, promise, scheduler))
                    })
                    .collect();
                let figures = seeds(&points, sizes)?;
                for ((name, _), figures) in SCHEDULERS.iter().zip(figures.chunks(rates.len())) {
                    let cells = figures.iter().map(|figures| share_cell(figures));
                    row(&std::iter::once((*name).to_owned()).chain(cells).collect::<Vec<_>>());
                }
            }
        }
    }
    Ok(())
}

/// The highest load at which 99 % are fluid, on an H100.
pub(crate) fn capacity(sizes: &Sizes) -> Done {
    println!("\n## Capacity at 99 % fluid, H100");
    let loads: Vec<Load> = Load::ALL.into_iter().filter(|load| load.is_there(sizes)).collect();
    let columns: Vec<(Load, Promised)> =
        loads.iter().flat_map(|&load| PROMISES.map(|promise| (load, promise))).collect();
    let names = columns.iter().map(|(load, promise)| format!("{} {}", load.name(), promise.name));
    head(&std::iter::once(String::new()).chain(names).collect::<Vec<_>>());
    for (name, scheduler) in SCHEDULERS {
        let mut cells = vec![name.to_owned()];
        for &(load, promise) in &columns {
            cells.push(highest(load, promise, scheduler, sizes)?);
        }
        row(&cells);
    }
    Ok(())
}

/// By bisection, to 1 %.
fn highest(
    load: Load,
    promise: Promised,
    scheduler: &str,
    sizes: &Sizes,
) -> Result<String, Box<dyn Error>> {
    let holds = |rate: f64| -> Result<bool, Box<dyn Error>> {
        let figures = seeds(&[point(load, rate, "h100-sxm", promise, scheduler)], sizes)?;
        Ok(shares(&figures[0]).0 >= 0.99)
    };
    let (mut low, mut high) = (0.25, 24.0);
    if !holds(low)? {
        return Ok(format!("< {low}"));
    }
    let mut first = rates(load, "h100-sxm")[1];
    while high / low > 1.01 {
        let middle = if first > low && first < high { first } else { f64::sqrt(low * high) };
        first = 0.0;
        if holds(middle)? { low = middle } else { high = middle }
    }
    Ok(format!("{low:.2}"))
}

/// What each part of `fluid` is worth.
pub(crate) fn parts(sizes: &Sizes) -> Done {
    const PARTS: [(&str, &str); 10] = [
        ("fluid", "fluid"),
        ("margin fixed at 1.15", "fluid: {learn_margin: false}"),
        ("margin fixed at 1", "fluid: {learn_margin: false, margin: 1}"),
        ("none relegated", "fluid: {relegate: false}"),
        ("those behind: shortest first", "fluid: {relegated: shortest}"),
        ("those behind: oldest first", "fluid: {relegated: oldest}"),
        ("no bank", "fluid: {bank: false}"),
        ("slivers begun", "fluid: {sliver: 1}"),
        ("oldest first every 20th iteration", "fluid: {fairness: 20}"),
        ("given up at 1 s", "fluid: {give_up_after: 1s}"),
    ];
    const TIGHT: Promised = PROMISES[0];
    let cases = [
        (Load::Chat, 5.0, "h100-sxm", TIGHT),
        (Load::Chat, 7.0, "h100-sxm", TIGHT),
        (Load::Mixture, 10.0, "h100-sxm", TIGHT),
        (Load::Code, 8.0, "h100-sxm", PROMISES[1]),
        (Load::Chat, 2.25, "a100-sxm-80gb", PROMISES[2]),
    ];
    println!("\n## What each part is worth (share; longest first token)");
    let name = |&(load, rate, gpu, promise): &(Load, f64, &str, Promised)| {
        format!("{} {rate}{} {gpu}, {}", load.name(), load.unit(), promise.name)
    };
    head(&std::iter::once(String::new()).chain(cases.iter().map(name)).collect::<Vec<_>>());
    for (part, scheduler) in PARTS {
        let points =
            cases.map(|(load, rate, gpu, promise)| point(load, rate, gpu, promise, scheduler));
        let figures = seeds(&points, sizes)?;
        let cell = |figures: &Vec<Figures>| {
            format!("{}; {:.0} s", share_cell(figures), mean(figures, |one| one.ttft_max))
        };
        row(&std::iter::once(part.to_owned()).chain(figures.iter().map(cell)).collect::<Vec<_>>());
    }
    Ok(())
}

/// The price: who waits, how long, and how many tokens a second there are.
pub(crate) fn price(sizes: &Sizes) -> Done {
    println!("\n## The price");
    let cases = [
        (Load::Chat, 6.0, PROMISES[0]),
        (Load::Chat, 8.0, PROMISES[0]),
        (Load::Mixture, 10.0, PROMISES[0]),
        (Load::Mixture, 14.0, PROMISES[0]),
    ];
    for (load, rate, promise) in cases {
        println!("\n{} at {rate}{} on H100, {}:", load.name(), load.unit(), promise.name);
        let lengths =
            LENGTH_NAMES.map(|name| format!("fluid, prompts {name} (longest first token)"));
        let others = ["share", "TTFT P50", "TTFT P99", "TBT P99", "tokens/s", "fairness"];
        let cells = [&[""][..], &others[..]].concat();
        let cells: Vec<String> = cells.into_iter().map(str::to_owned).chain(lengths).collect();
        head(&cells);
        let points: Vec<Point<'_>> = SCHEDULERS
            .iter()
            .map(|(_, scheduler)| point(load, rate, "h100-sxm", promise, scheduler))
            .collect();
        for ((name, _), figures) in SCHEDULERS.iter().zip(seeds(&points, sizes)?) {
            let mut cells = vec![
                (*name).to_owned(),
                share_cell(&figures),
                format!("{:.2} s", mean(&figures, |one| one.ttft_p50)),
                format!("{:.1} s", mean(&figures, |one| one.ttft_p99)),
                format!("{:.0} ms", mean(&figures, |one| one.tbt_p99 * 1e3)),
                format!("{:.0}", mean(&figures, |one| one.tokens_per_s)),
                format!("{:.2}", mean(&figures, Figures::fairness)),
            ];
            for place in 0..LENGTH_NAMES.len() {
                let sum = |of: fn(&(u32, u32, f64)) -> f64| {
                    figures.iter().map(|one| of(&one.lengths[place])).sum::<f64>()
                };
                let (fluid, all) = (sum(|one| f64::from(one.0)), sum(|one| f64::from(one.1)));
                let longest = figures.iter().map(|one| one.lengths[place].2).fold(0.0, f64::max);
                cells.push(match all > 0.0 {
                    true => format!("{:.3} ({longest:.1} s)", fluid / all),
                    false => "-".to_owned(),
                });
            }
            row(&cells);
        }
    }
    Ok(())
}

/// Predictions that are wrong.
pub(crate) fn predictor(sizes: &Sizes) -> Done {
    const WRONG: [(&str, &str); 7] = [
        ("right", RIGHT),
        ("10 % too short", "{bias: -0.1}"),
        ("20 % too short", "{bias: -0.2}"),
        ("30 % too short", "{bias: -0.3}"),
        ("±10 %", "{spread: 0.1}"),
        ("±20 %", "{spread: 0.2}"),
        ("±30 %", "{spread: 0.3}"),
    ];
    const POLICIES: [(&str, &str); 4] = [
        ("fluid", "fluid"),
        ("fluid, margin fixed at 1.15", "fluid: {learn_margin: false}"),
        ("qoserve", "qoserve"),
        ("medha", "medha"),
    ];
    for rate in [5.0, 7.0] {
        println!("\n## Predictions that are wrong: chat at {rate}/s on H100, {}", PROMISES[0].name);
        let names = WRONG.iter().map(|(name, _)| (*name).to_owned());
        head(&std::iter::once(String::new()).chain(names).collect::<Vec<_>>());
        for (name, scheduler) in POLICIES {
            let of = |(_, predictor): (&str, &'static str)| Point {
                predictor,
                ..point(Load::Chat, rate, "h100-sxm", PROMISES[0], scheduler)
            };
            let figures = seeds(&WRONG.map(of), sizes)?;
            let cells = figures.iter().map(|figures| share_cell(figures));
            row(&std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>());
        }
    }
    Ok(())
}
