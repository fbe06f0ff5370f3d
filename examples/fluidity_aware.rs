//! The study behind `docs/fluidity-aware.md`: what schedulers that look at deadlines are worth, and at what
//! price. Prints its tables as Markdown, and what it ran.
//!
//! ```text
//! cargo run --release --example fluidity_aware -- [--requests N] [--seeds N] [--jobs N]
//!     [--azure AzureLLMInferenceTrace_conv.csv] [share] [capacity] [parts] [price] [predictor]
//! ```
//!
//! Without names of sections it does all of them. A trace is a CSV of `arrival_s`, `prompt_tokens` and
//! `output_tokens`, or as Azure publishes it; without one that workload is left out.

#[path = "fluidity_aware/figures.rs"]
mod figures;
#[path = "fluidity_aware/load.rs"]
mod load;
#[path = "fluidity_aware/sections.rs"]
mod sections;

use std::error::Error;
use std::process::ExitCode;

use load::Sizes;

/// What to do.
struct Asked {
    sizes: Sizes,
    sections: Vec<String>,
}

const SECTIONS: [&str; 5] = ["share", "capacity", "parts", "price", "predictor"];

fn asked(mut words: impl Iterator<Item = String>) -> Result<Asked, Box<dyn Error>> {
    let mut asked = Asked { sizes: Sizes::default(), sections: Vec::new() };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--requests" => asked.sizes.requests = value()?.parse()?,
            "--seeds" => asked.sizes.seeds = value()?.parse()?,
            "--jobs" => asked.sizes.jobs = value()?.parse()?,
            "--azure" => asked.sizes.azure = Some(value()?.into()),
            section if SECTIONS.contains(&section) => asked.sections.push(word),
            _ => {
                return Err(format!("unknown: {word}; sections are {}", SECTIONS.join(", ")).into());
            }
        }
    }
    if asked.sections.is_empty() {
        asked.sections = SECTIONS.map(str::to_owned).to_vec();
    }
    if asked.sizes.requests == 0 || asked.sizes.seeds == 0 || asked.sizes.jobs == 0 {
        return Err("at least one request, one seed and one job".into());
    }
    Ok(asked)
}

fn run(asked: &Asked) -> Result<(), Box<dyn Error>> {
    let sizes = &asked.sizes;
    println!(
        "{} requests a run (code: half as many more; Azure: as many rows, played once), {} seeds.",
        sizes.requests, sizes.seeds
    );
    for section in &asked.sections {
        match section.as_str() {
            "share" => sections::share(sizes)?,
            "capacity" => sections::capacity(sizes)?,
            "parts" => sections::parts(sizes)?,
            "price" => sections::price(sizes)?,
            _ => sections::predictor(sizes)?,
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match asked(std::env::args().skip(1)).and_then(|asked| run(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_one_runs() {
        let words = ["--requests", "60", "--seeds", "2", "parts", "predictor"];
        run(&asked(words.map(str::to_owned).into_iter()).expect("it is understood"))
            .expect("it runs");
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let of = |words: &[&str]| asked(words.iter().map(|&word| word.to_owned())).is_err();
        assert!(of(&["speed"]) && of(&["--seeds"]) && of(&["--seeds", "0"]));
    }
}
