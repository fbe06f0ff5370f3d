//! A question as a form has it, read: what is asked, or what is wrong with which control.

use serde::Deserialize;

use super::check;
use super::question::{Load, PlanQuestion, Traffic, TrafficLengths};
use super::search::PlanOptions;
use crate::catalog::{Kind, names};
use crate::cost::Dtype;
use crate::scenario::Files;
use crate::suggest::advice;
use crate::units::Duration;

/// A question as a form has it: texts that are yet to be read. An empty one is left out. Each is called
/// and written as the flag of `metron-sim plan`, lists with commas.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the flags are described where they are read")]
pub struct PlanForm {
    pub model: String,
    pub gpus: String,
    pub prompt: String,
    pub output: String,
    pub shared_prefix: String,
    pub ttft: String,
    pub tokens_per_s: String,
    pub share: String,
    pub rate: String,
    pub users: String,
    pub think_time: String,
    pub price: String,
    pub tp: String,
    pub dtype: String,
    pub seeds: String,
    pub seed: String,
}

/// A control whose answer cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanWrong {
    /// The control, as [`PlanForm`] calls it.
    pub control: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A form that was read.
#[derive(Clone, Debug)]
pub struct PlanAsked {
    /// What is asked.
    pub question: PlanQuestion,
    /// The traffic in it.
    pub traffic: Traffic,
    /// Seeds; all else is as the command line has it.
    pub options: PlanOptions,
    /// The line that asks the same on the command line.
    pub command: String,
}

/// Longest prompt and answer, tokens, and most users.
const MOST: u32 = 1_000_000;
/// Most sets of requests that an answer must hold, as on the command line.
const SEEDS_MAX: u32 = 100;

impl PlanForm {
    /// Reads every control. A model is one of the catalogue, and no file is looked at.
    ///
    /// # Errors
    /// What is wrong, control by control.
    pub fn read(&self) -> Result<PlanAsked, Vec<PlanWrong>> {
        let mut reader = Reader { wrong: Vec::new() };
        let found = self.take(&mut reader);
        match found {
            Some(found) if reader.wrong.is_empty() => Ok(found),
            _ => Err(reader.wrong),
        }
    }

    fn take(&self, reader: &mut Reader) -> Option<PlanAsked> {
        let model = reader.take("model", model(&self.model));
        let listed: Vec<String> = list(&self.gpus).map(str::to_owned).collect();
        let gpus = match listed.is_empty() {
            true => Err("choose one GPU at least".to_owned()),
            false => PlanQuestion::gpus_of(&listed),
        };
        let gpus = reader.take("gpus", gpus);
        let prompt = reader.take("prompt", whole(&self.prompt, 1, MOST, 2_000));
        let output = reader.take("output", whole(&self.output, 1, MOST, 200));
        let shared = optional(&self.shared_prefix, |text| {
            let most = prompt.unwrap_or(MOST);
            whole(text, 0, most, 500.min(most))
        });
        let shared_prefix = reader.take("shared_prefix", shared.map(Option::unwrap_or_default));
        let ttft = match self.ttft.trim() {
            "" => Err("when is the first token due? Such as p99=1s".to_owned()),
            given => check::ttft(given),
        };
        let ttft = reader.take("ttft", ttft);
        let pace = number(&self.tokens_per_s, 30.0).and_then(check::tokens_per_s);
        let tokens_per_s = reader.take("tokens_per_s", pace);
        let usual = if self.share.trim().is_empty() { "99%" } else { self.share.trim() };
        let share = reader.take("share", check::share(usual));
        let load = self.load(reader);
        let of_these = gpus.clone().unwrap_or_default();
        let prices = list(&self.price).map(|text| check::price(text, &of_these));
        let prices = reader.take("price", prices.collect::<Result<Vec<_>, _>>());
        let tensor = list(&self.tp).map(|text| whole(text, 1, 1_024, 2));
        let tensor = reader.take("tp", tensor.collect::<Result<Vec<_>, _>>());
        let dtypes = list(&self.dtype).map(dtype).collect::<Result<Vec<_>, _>>();
        let dtypes = reader.take("dtype", dtypes);
        let usual = PlanOptions::default();
        let seeds = optional(&self.seeds, |text| whole(text, 1, SEEDS_MAX, usual.seeds));
        let seeds = reader.take("seeds", seeds);
        let seed = optional(&self.seed, |text| {
            text.parse::<u64>()
                .map_err(|_| format!("expected a whole number, such as 42, found `{text}`"))
        });
        let seed = reader.take("seed", seed)?;
        let lengths = TrafficLengths::Fixed {
            prompt: prompt?,
            output: output?,
            shared_prefix: shared_prefix?,
        };
        let traffic = Traffic {
            model: model?,
            load: load?,
            lengths,
            ttft: ttft?,
            tokens_per_s: tokens_per_s?,
            share: share?,
        };
        let document = traffic.document(Files::none()).map_err(|error| error.to_string());
        let question = PlanQuestion {
            document: reader.take("model", document)?,
            own_schedulers: false,
            rate: None,
            counts_sessions: false,
            gpus: gpus?,
            prices: prices?,
            tensor: tensor?,
            dtypes: dtypes?,
            apart: None,
        };
        let options = PlanOptions { seeds: seeds?.unwrap_or(usual.seeds), seed, ..usual };
        let command = command(&question, &traffic, &options);
        Some(PlanAsked { question, traffic, options, command })
    }

    fn load(&self, reader: &mut Reader) -> Option<Load> {
        let given = |text: &str| !text.trim().is_empty();
        match (given(&self.rate), given(&self.users)) {
            (true, true) => {
                let why = "give requests a second or users, not both".to_owned();
                reader.take("users", Err(why))
            }
            (false, true) => {
                let users = reader.take("users", whole(&self.users, 1, MOST, 200));
                let think = if given(&self.think_time) { self.think_time.trim() } else { "10s" };
                let think = reader.take("think_time", check::time(think));
                Some(Load::Users(users?, think?))
            }
            (_, false) => {
                let rate = number(&self.rate, 20.0).and_then(check::rate);
                reader.take("rate", rate).map(Load::Rate)
            }
        }
    }
}

/// Notes what is wrong, and goes on.
struct Reader {
    wrong: Vec<PlanWrong>,
}

impl Reader {
    fn take<T>(&mut self, control: &'static str, found: Result<T, String>) -> Option<T> {
        found.map_err(|message| self.wrong.push(PlanWrong { control, message })).ok()
    }
}

/// The parts of a list.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty())
}

fn optional<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    match text.trim() {
        "" => Ok(None),
        given => read(given).map(Some),
    }
}

fn found(text: &str) -> String {
    match text.trim() {
        "" => "found nothing".to_owned(),
        given => format!("found `{given}`"),
    }
}

fn whole(text: &str, least: u32, most: u32, such_as: u32) -> Result<u32, String> {
    let read = text.trim().parse().ok().filter(|value| (least..=most).contains(value));
    read.ok_or_else(|| {
        format!(
            "expected a whole number from {least} to {most}, such as {such_as}, {}",
            found(text)
        )
    })
}

fn number(text: &str, such_as: f64) -> Result<f64, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("expected a number above 0, such as {such_as}, {}", found(text)))
}

fn model(text: &str) -> Result<String, String> {
    let known = names(Kind::Model);
    match text.trim() {
        "" => Err("choose a model".to_owned()),
        name if known.iter().any(|one| one == name) => Ok(name.to_owned()),
        name => {
            let help = advice(name, known.iter().map(String::as_str));
            Err(format!("the catalogue has no model `{name}`; {help}"))
        }
    }
}

fn dtype(text: &str) -> Result<String, String> {
    let known: Result<Dtype, _> = serde_json::from_value(text.into());
    known.map(|_| text.to_owned()).map_err(|_| {
        format!(
            "`{text}` is no number format: auto, bf16, fp16, fp8, int8, int4, mxfp4 and nvfp4 are"
        )
    })
}

/// The line that asks the same.
fn command(question: &PlanQuestion, traffic: &Traffic, options: &PlanOptions) -> String {
    let mut line = format!("metron-sim plan --model {}", traffic.model);
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" --{name} {value}"));
        }
    };
    flag("gpus", Some(question.gpus.join(",")));
    if let TrafficLengths::Fixed { prompt, output, shared_prefix } = &traffic.lengths {
        flag("prompt", Some(prompt.to_string()));
        flag("output", Some(output.to_string()));
        flag("shared-prefix", (*shared_prefix > 0).then(|| shared_prefix.to_string()));
    }
    let (stat, limit) = &traffic.ttft;
    flag("ttft", Some(format!("{stat}={}", Duration(*limit))));
    flag("tokens-per-s", Some(traffic.tokens_per_s.to_string()));
    let usual = check::parse_share("99%");
    flag(
        "share",
        Some(traffic.share).filter(|_| Some(traffic.share) != usual).map(|s| s.to_string()),
    );
    match traffic.load {
        Load::Rate(rate) => flag("rate", Some(rate.to_string())),
        Load::Users(users, think) => {
            flag("users", Some(users.to_string()));
            flag("think-time", Some(Duration(think).to_string()));
        }
        Load::Trace(rate) => flag("rate", rate.map(|rate| rate.to_string())),
    }
    for (gpu, usd) in &question.prices {
        flag("price", Some(format!("{gpu}={usd}")));
    }
    let tensor: Vec<String> = question.tensor.iter().map(u32::to_string).collect();
    flag("tp", Some(tensor.join(",")).filter(|list| !list.is_empty()));
    flag("dtype", Some(question.dtypes.join(",")).filter(|list| !list.is_empty()));
    let usual = PlanOptions::default().seeds;
    flag("seeds", (options.seeds != usual).then(|| options.seeds.to_string()));
    flag("seed", options.seed.map(|seed| seed.to_string()));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> PlanForm {
        let text = |text: &str| text.to_owned();
        PlanForm {
            model: text("llama-3.1-8b"),
            gpus: text("h100, l40s"),
            prompt: text("2000"),
            output: text("200"),
            ttft: text("600ms"),
            tokens_per_s: text("40"),
            rate: text("20"),
            ..PlanForm::default()
        }
    }

    #[test]
    fn a_form_is_the_same_question_as_its_command() {
        let asked = form().read().expect("sound");
        assert_eq!(
            asked.command,
            "metron-sim plan --model llama-3.1-8b --gpus h100-sxm,l40s --prompt 2000 --output 200 \
             --ttft p99=600ms --tokens-per-s 40 --rate 20"
        );
        let more = PlanForm {
            shared_prefix: "500".to_owned(),
            rate: String::new(),
            users: "60".to_owned(),
            think_time: "2s".to_owned(),
            share: "95 %".to_owned(),
            price: "l40s=0.9".to_owned(),
            tp: "1,2".to_owned(),
            dtype: "fp8".to_owned(),
            seeds: "2".to_owned(),
            seed: "7".to_owned(),
            ..form()
        };
        let asked = more.read().expect("sound");
        let end = "--shared-prefix 500 --ttft p99=600ms --tokens-per-s 40 --share 0.95 --users 60 \
                   --think-time 2s --price l40s=0.9 --tp 1,2 --dtype fp8 --seeds 2 --seed 7";
        assert!(asked.command.ends_with(end), "{}", asked.command);
        assert_eq!((asked.options.seeds, asked.options.seed), (2, Some(7)));
    }

    #[test]
    fn every_control_says_what_is_wrong_with_it() {
        type Set = fn(&mut PlanForm, String);
        let cases: [(&str, Set, &str, &str); 17] = [
            ("model", |form, text| form.model = text, "lama-3.1-8b", "did you mean `llama-3.1-8b`"),
            ("model", |form, text| form.model = text, "../config.json", "no model"),
            ("model", |form, text| form.model = text, "", "choose a model"),
            ("gpus", |form, text| form.gpus = text, "h1000-sxm", "h100-sxm"),
            ("gpus", |form, text| form.gpus = text, " , ", "one GPU at least"),
            ("prompt", |form, text| form.prompt = text, "2k", "such as 2000, found `2k`"),
            ("output", |form, text| form.output = text, "0", "from 1 to 1000000"),
            ("shared_prefix", |form, text| form.shared_prefix = text, "2001", "from 0 to 2000"),
            ("ttft", |form, text| form.ttft = text, "q=1s", "figures are"),
            ("ttft", |form, text| form.ttft = text, "0s", "above 0"),
            ("tokens_per_s", |form, text| form.tokens_per_s = text, "-3", "above 0"),
            ("share", |form, text| form.share = text, "120%", "0 % to 100 %"),
            ("rate", |form, text| form.rate = text, "", "such as 20, found nothing"),
            ("users", |form, text| form.users = text, "5", "not both"),
            ("price", |form, text| form.price = text, "a100=3", "h100-sxm=2.5"),
            ("dtype", |form, text| form.dtype = text, "fp9", "no number format"),
            ("seeds", |form, text| form.seeds = text, "101", "from 1 to 100"),
        ];
        for (control, set, text, why) in cases {
            let mut one = form();
            set(&mut one, text.to_owned());
            let wrong = one.read().expect_err(text);
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert_eq!(wrong[0].control, control);
            assert!(wrong[0].message.contains(why), "{wrong:?}");
        }
        let all = PlanForm::default().read().expect_err("empty");
        let controls: Vec<&str> = all.iter().map(|one| one.control).collect();
        assert_eq!(controls, ["model", "gpus", "prompt", "output", "ttft", "tokens_per_s", "rate"]);
    }
}
