//! What can be turned: sliders and menus, each with the field of the scenario that it sets.

use serde::Serialize;
use serde_json::{Value, json};

use super::bounds::{TENSOR, seats, token_budget};
use super::loaded::Loaded;
use super::reach::Reach;
use crate::catalog::{Kind, names};
use crate::promise::TtftDeadline;
use crate::scenario::raw::{Arrivals, Class, Dist, Workload};
use crate::scheduler::SchedulerConfig;

/// A slider or a menu.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Dial {
    /// Its name among the dials.
    pub id: &'static str,
    /// For people.
    pub label: &'static str,
    /// Where it belongs: `load`, `hardware` or `promise`.
    pub group: &'static str,
    /// The field that it sets; none where the scenario does not let it.
    pub path: Option<String>,
    /// Written behind the number: `ms`, or nothing.
    pub unit: &'static str,
    /// What it is set to.
    pub value: Value,
    /// Least and most of a slider.
    pub range: Option<(f64, f64)>,
    /// Whether a slider moves by ratios.
    pub ratio: bool,
    /// Whether only whole numbers make sense.
    pub whole: bool,
    /// Names of a menu.
    pub choices: Vec<String>,
    /// Why it cannot be turned.
    pub why: Option<String>,
    /// What to know of its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Overrides after which it can be.
    pub free: Vec<String>,
}

/// The dials of one scheduler.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SchedulerDials {
    /// Place in the scenario.
    pub place: usize,
    /// The scheduler.
    pub name: String,
    /// Name and parameters.
    pub label: String,
    /// What it does.
    pub summary: &'static str,
    /// Every scheduler.
    pub choices: &'static [&'static str],
    /// What bounds the tokens of an iteration, and what bounds the requests with a seat.
    pub dials: Vec<Dial>,
}

impl Dial {
    fn slider(id: &'static str, label: &'static str, path: String, value: Value) -> Dial {
        Dial {
            id,
            label,
            group: "load",
            path: Some(path),
            unit: "",
            value,
            range: None,
            ratio: true,
            whole: true,
            choices: Vec::new(),
            why: None,
            note: None,
            free: Vec::new(),
        }
    }

    fn range(mut self, least: f64, most: f64) -> Dial {
        // What the scenario says is always on the slider.
        let value = self.value.as_f64().unwrap_or(least);
        self.range = Some((least.min(value), most.max(value)));
        self
    }

    fn group(self, group: &'static str) -> Dial {
        Dial { group, ..self }
    }

    fn menu(id: &'static str, label: &'static str, value: &Value, choices: Vec<String>) -> Dial {
        let why = (!value.is_string()).then(|| "given by figures in the scenario".to_owned());
        let path = id.to_owned();
        Dial { choices, why, ..Dial::slider(id, label, path, value.clone()).group("hardware") }
    }

    fn stuck(id: &'static str, label: &'static str, why: &str, free: Vec<String>) -> Dial {
        Dial {
            path: None,
            why: Some(why.to_owned()),
            free,
            ..Dial::slider(id, label, String::new(), Value::Null)
        }
    }
}

/// The dials of the scenario; no slider leads beyond what the page plays.
pub(super) fn dials(loaded: &Loaded, reach: &Reach) -> Vec<Dial> {
    let filled = &loaded.resolved.filled;
    let workload = filled.workload.as_ref().expect("a resolved scenario has requests");
    let from = Source::of(loaded);
    let mut dials = vec![rate(workload, from, reach), requests(loaded, workload, from, reach)];
    for (id, label, range) in [
        ("prompt", "Prompt tokens, mean", (16.0, 32_768.0, reach.longer_prompts())),
        ("output", "Output tokens, mean", (1.0, 4096.0, reach.longer_outputs())),
    ] {
        dials.push(match every_class(workload, |class| class.lengths.is_some()) {
            true => Dial::stuck(id, label, "every class has lengths of its own", Vec::new()),
            false => length(workload, from, id, label, range),
        });
    }
    dials.push(Dial::menu("model", "Model", &json!(filled.model), names(Kind::Model)));
    if !loaded.experiment.pools.is_empty() {
        for (id, label) in [
            ("gpu", "GPU"),
            ("tensor", GPUS),
            ("replicas", "Replicas"),
            ("kv_blocks", "KV blocks a replica"),
        ] {
            let why = "the scenario has pools, each with its own";
            dials.push(Dial::stuck(id, label, why, Vec::new()).group("hardware"));
        }
        dials.extend(promised(loaded, workload));
        return dials;
    }
    dials.push(Dial::menu("gpu", "GPU", &json!(filled.gpu), names(Kind::Gpu)));
    dials.extend(tensor(loaded));
    let replicas =
        Dial::slider("replicas", "Replicas", "replicas".to_owned(), json!(filled.replicas));
    let most = f64::from(filled.replicas.unwrap_or(1)) * reach.more_replicas();
    dials.push(
        Dial { ratio: false, ..replicas.range(1.0, most.floor().min(8.0)) }.group("hardware"),
    );
    let blocks = json!(loaded.experiment.engine.kv_blocks);
    let blocks =
        Dial::slider("kv_blocks", "KV blocks a replica", "engine.kv_blocks".to_owned(), blocks);
    let fewest = reach.fewest_blocks(loaded.experiment.engine.kv_block_tokens).ceil();
    dials.push(blocks.range(fewest.max(200.0), 100_000.0).group("hardware"));
    dials.extend(promised(loaded, workload));
    dials
}

const GPUS: &str = "GPUs per replica";

/// Over how many GPUs a replica's layers are split; none where no model says what that does.
fn tensor(loaded: &Loaded) -> Option<Dial> {
    let filled = &loaded.resolved.filled;
    filled.model.as_ref()?;
    let spread = filled.parallelism?;
    let own = spread.tensor.unwrap_or(1);
    let mut sizes = TENSOR.to_vec();
    sizes.push(own);
    sizes.sort_unstable();
    sizes.dedup();
    let lanes = spread.pipeline.unwrap_or(1) * spread.data.unwrap_or(1);
    let label = if lanes == 1 { GPUS } else { "GPUs that share a layer (tensor)" };
    let dial = Dial::slider("tensor", label, "parallelism.tensor".to_owned(), json!(own));
    let choices = sizes.iter().map(u32::to_string).collect();
    Some(Dial { choices, note: loaded.fitted.clone(), ..dial.group("hardware") })
}

/// Whether there are classes, and this is so of each that gets requests.
fn every_class(workload: &Workload, so: impl Fn(&Class) -> bool) -> bool {
    let classes = workload.classes.iter().flatten();
    let mut those = classes.filter(|class| class.share != Some(0.0)).peekable();
    those.peek().is_some() && those.all(so)
}

fn promised(loaded: &Loaded, workload: &Workload) -> [Dial; 2] {
    if every_class(workload, |class| class.slo.is_some() || class.promise.is_some()) {
        let why = "every class has a promise of its own";
        return [("ttft", "First token due within"), ("tbt", "Next token due within")]
            .map(|(id, label)| Dial::stuck(id, label, why, Vec::new()).group("promise"));
    }
    let ms = |span: crate::time::Span| json!((span.as_secs_f64() * 1e6).round() / 1e3);
    let slo = &loaded.experiment.promises.common;
    let in_one_line = loaded.resolved.filled.promise;
    let (path, label, value) = match &slo.ttft {
        TtftDeadline::Fixed(span) if in_one_line.is_some() => {
            ("promise.ttft", "First token promised within", ms(*span))
        }
        TtftDeadline::Fixed(span) => ("slo.ttft", "First token due within", ms(*span)),
        TtftDeadline::PrefillCurvePlus { slack, .. } => {
            ("slo.ttft.prefill_curve_plus", "First token due: prefill time plus", ms(*slack))
        }
    };
    let promise = |dial: Dial| dial.group("promise");
    let ttft = Dial::slider("ttft", label, path.to_owned(), value).range(10.0, 10_000.0);
    let pace = match in_one_line {
        Some(promise) => {
            let (path, rate) = ("promise.tokens_per_s".to_owned(), json!(promise.tokens_per_s));
            let dial = Dial::slider("pace", "Tokens per second promised", path, rate);
            Dial { whole: false, ..dial.range(2.0, 200.0) }
        }
        None => {
            let tbt = ms(slo.tbt);
            let dial = Dial::slider("tbt", "Next token due within", "slo.tbt".to_owned(), tbt);
            Dial { unit: "ms", ..dial.range(5.0, 500.0) }
        }
    };
    [promise(Dial { unit: "ms", ..ttft }), promise(pace)]
}

/// Where a scenario says which requests arrive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// `workload`.
    Drawn,
    /// A trace, read.
    Trace,
    /// What stands in for a trace that is not there: the resolved scenario has it in `workload`.
    StandIn,
}

impl Source {
    fn of(loaded: &Loaded) -> Source {
        let read = loaded.resolved.filled.workload.as_ref().is_some_and(|of| of.trace.is_some());
        match (loaded.document.gives("workload.trace"), read) {
            (_, true) => Source::Trace,
            (true, false) => Source::StandIn,
            (false, false) => Source::Drawn,
        }
    }

    /// Where overrides of arrivals and lengths go.
    fn prefix(self) -> &'static str {
        match self {
            Source::Drawn => "workload",
            Source::Trace => "workload.trace",
            Source::StandIn => "workload.trace.stand_in",
        }
    }
}

fn requests(loaded: &Loaded, workload: &Workload, from: Source, reach: &Reach) -> Dial {
    let most = |now: u32, usual: f64| (f64::from(now) * reach.more_requests()).floor().min(usual);
    if let Some(sessions) = &workload.sessions {
        let path = "workload.sessions.count".to_owned();
        return match sessions.count {
            Some(count) => {
                let dial = Dial::slider("requests", "Sessions", path, count.into());
                dial.range(2.0, most(count, 200.0))
            }
            None => {
                Dial::stuck("requests", "Sessions", "the scenario gives a duration", Vec::new())
            }
        };
    }
    let within = match from {
        Source::StandIn if loaded.document.gives("workload.trace.stand_in.requests") => {
            "workload.trace.stand_in.requests"
        }
        _ => "workload.requests",
    };
    match workload.requests {
        None => {
            let why = "the scenario gives a duration or a trace";
            Dial::stuck("requests", "Requests", why, Vec::new())
        }
        Some(requests) => {
            let dial = Dial::slider("requests", "Requests", within.to_owned(), requests.into());
            dial.range(20.0, most(requests, 5000.0))
        }
    }
}

fn rate(workload: &Workload, from: Source, reach: &Reach) -> Dial {
    let least = |now: f64, usual: f64| (now * reach.lower_rate()).max(usual);
    const LABEL: &str = "Requests per second";
    if let Some(sessions) = &workload.sessions {
        const LABEL: &str = "Sessions per second";
        let arrivals = sessions.arrivals.as_ref();
        return match arrivals.and_then(|of| Some((of.name(), of.rate()?))) {
            Some((kind, rate)) => {
                let path = format!("workload.sessions.arrivals.{kind}.rate");
                let dial = Dial::slider("rate", LABEL, path, rate.into());
                Dial { whole: false, ..dial.range(least(rate, 0.01), 10.0) }
            }
            None => {
                let kind = arrivals.map_or("users", Arrivals::name);
                Dial::stuck("rate", LABEL, &format!("sessions begin by `{kind}`"), Vec::new())
            }
        };
    }
    let write = format!("{}.arrivals", from.prefix());
    let arrivals = match &workload.trace {
        Some(trace) => trace.arrivals.as_ref(),
        None => workload.arrivals.as_ref(),
    };
    if let Some((kind, rate)) = arrivals.and_then(|of| Some((of.name(), of.rate()?))) {
        let dial = Dial::slider("rate", LABEL, format!("{write}.{kind}.rate"), rate.into());
        return Dial { whole: false, ..dial.range(least(rate, 0.1), 100.0) };
    }
    match arrivals.map(Arrivals::name) {
        Some(kind) => {
            let free = vec![format!("{write}={{poisson: {{rate: 2}}}}")];
            Dial::stuck("rate", LABEL, &format!("arrivals are `{kind}`"), free)
        }
        None => {
            let scale = workload.trace.as_ref().and_then(|trace| trace.time_scale).unwrap_or(1.0);
            let path = "workload.trace.time_scale".to_owned();
            let dial = Dial::slider("rate", "Rate, times the trace's", path, scale.into());
            Dial { whole: false, ..dial.range(least(scale, 0.1), 10.0) }
        }
    }
}

fn length(
    workload: &Workload,
    from: Source,
    which: &'static str,
    label: &'static str,
    (least, most, times): (f64, f64, f64),
) -> Dial {
    if workload.sessions.is_some() {
        let why = "`sessions` says how long turns are";
        return Dial::stuck(which, label, why, Vec::new());
    }
    let write = format!("{}.lengths", from.prefix());
    let lengths = workload.lengths.as_ref();
    let of_this = lengths.and_then(|lengths| match which {
        "prompt" => lengths.prompt.as_ref(),
        _ => lengths.output.as_ref(),
    });
    if let Some((shape, mean)) = of_this.and_then(mean) {
        let path = format!("{write}.{which}.{shape}");
        let most = mean.as_f64().map_or(most, |mean| (mean * times).floor().min(most));
        return Dial::slider(which, label, path, mean).range(least, most);
    }
    let drawn = |mean: u32| format!("{{lognormal: {{mean: {mean}, sigma: 0.6}}}}");
    let (why, free) = match lengths {
        None if from == Source::Trace => ("lengths come from a trace".to_owned(), Vec::new()),
        None => ("each class of requests has its own".to_owned(), Vec::new()),
        Some(_) if of_this.is_some() => (
            "drawn from another distribution".to_owned(),
            vec![format!("{write}.{which}={}", drawn(if which == "prompt" { 1024 } else { 256 }))],
        ),
        Some(lengths) => (
            format!(
                "lengths come from the table `{}`",
                json!(lengths.table).as_str().unwrap_or("file")
            ),
            vec![format!("{write}={{prompt: {}, output: {}}}", drawn(1024), drawn(256))],
        ),
    };
    Dial::stuck(which, label, &why, free)
}

/// The mean that a distribution gives, and the keys under which it does.
fn mean(dist: &Dist) -> Option<(&'static str, Value)> {
    let lognormal = dist.lognormal.map(|of| ("lognormal.mean", json!(of.mean)));
    let geometric = || dist.geometric.map(|of| ("geometric.mean", json!(of.mean)));
    let fixed = || dist.fixed.map(|length| ("fixed", json!(length)));
    lognormal.or_else(geometric).or_else(fixed)
}

/// The dials of each scheduler that is shown.
pub(super) fn scheduler_dials(loaded: &Loaded, reach: &Reach) -> Vec<SchedulerDials> {
    let runs = loaded.shown.iter().zip(&loaded.experiment.schedulers);
    runs.map(|(&place, run)| {
        let path = |name: &str| format!("schedulers.{place}.{}.{name}", run.name);
        let info = loaded.experiment.engine_info(&run.config);
        let mut dials = Vec::new();
        if let Some((name, value)) = token_budget(&run.config, &info) {
            let dial = Dial::slider("budget", name, path(name), value.into());
            dials.push(
                dial.range(reach.least_budget().ceil().max(16.0), 16_384.0).group("scheduler"),
            );
        }
        if let Some((name, value)) = seats(&run.config, &info) {
            let dial = Dial::slider("seats", name, path(name), value.into());
            dials.push(dial.range(reach.fewest_seats().ceil().max(1.0), 1024.0).group("scheduler"));
        }
        SchedulerDials {
            place,
            name: run.name.clone(),
            label: run.label.clone(),
            summary: run.config.summary(),
            choices: SchedulerConfig::names(),
            dials,
        }
    })
    .collect()
}
