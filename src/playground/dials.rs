//! What can be turned: sliders and menus, each with the field of the scenario that it sets.

use serde::Serialize;
use serde_json::{Value, json};

use super::bounds::{seats, token_budget};
use super::loaded::Loaded;
use super::member;
use crate::catalog::{Kind, names};
use crate::promise::TtftDeadline;
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

/// The dials of the scenario.
pub(super) fn dials(loaded: &Loaded) -> Vec<Dial> {
    let resolved = &loaded.resolved;
    let at = |path: &str| member(resolved, path).cloned().unwrap_or(Value::Null);
    let from = Source::of(loaded);
    let mut dials = vec![rate(resolved, from), requests(loaded, from)];
    for (id, label, range) in [
        ("prompt", "Prompt tokens, mean", (16.0, 32_768.0)),
        ("output", "Output tokens, mean", (1.0, 4096.0)),
    ] {
        dials.push(match every_class_has(resolved, &["lengths"]) {
            true => Dial::stuck(id, label, "every class has lengths of its own", Vec::new()),
            false => length(resolved, from, id, label, range),
        });
    }
    dials.push(Dial::menu("model", "Model", &at("model"), names(Kind::Model)));
    if !loaded.experiment.pools.is_empty() {
        for (id, label) in
            [("gpu", "GPU"), ("replicas", "Replicas"), ("kv_blocks", "KV blocks a replica")]
        {
            let why = "the scenario has pools, each with its own";
            dials.push(Dial::stuck(id, label, why, Vec::new()).group("hardware"));
        }
        dials.extend(promised(loaded));
        return dials;
    }
    dials.push(Dial::menu("gpu", "GPU", &at("gpu"), names(Kind::Gpu)));
    let replicas = Dial::slider("replicas", "Replicas", "replicas".to_owned(), at("replicas"));
    dials.push(Dial { ratio: false, ..replicas.range(1.0, 8.0) }.group("hardware"));
    let blocks = json!(loaded.experiment.engine.kv_blocks);
    let blocks =
        Dial::slider("kv_blocks", "KV blocks a replica", "engine.kv_blocks".to_owned(), blocks);
    dials.push(blocks.range(200.0, 100_000.0).group("hardware"));
    dials.extend(promised(loaded));
    dials
}

/// Whether every class that gets requests has one of these keys.
fn every_class_has(resolved: &Value, keys: &[&str]) -> bool {
    let classes = member(resolved, "workload.classes").and_then(Value::as_array);
    let with_requests = |class: &&Value| class["share"].as_f64() != Some(0.0);
    let has = |class: &Value| keys.iter().any(|key| !class[*key].is_null());
    let mut those = classes.into_iter().flatten().filter(with_requests).peekable();
    those.peek().is_some() && those.all(has)
}

fn promised(loaded: &Loaded) -> [Dial; 2] {
    if every_class_has(&loaded.resolved, &["slo", "promise"]) {
        let why = "every class has a promise of its own";
        return [("ttft", "First token due within"), ("tbt", "Next token due within")]
            .map(|(id, label)| Dial::stuck(id, label, why, Vec::new()).group("promise"));
    }
    let ms = |span: crate::time::Span| json!((span.as_secs_f64() * 1e6).round() / 1e3);
    let slo = &loaded.experiment.promises.common;
    let in_one_line = member(&loaded.resolved, "promise.tokens_per_s");
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
        Some(rate) => {
            let path = "promise.tokens_per_s".to_owned();
            let dial = Dial::slider("pace", "Tokens per second promised", path, rate.clone());
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
        match (loaded.document.gives("workload.trace"), member(&loaded.resolved, "workload.trace"))
        {
            (true, None | Some(Value::Null)) => Source::StandIn,
            (_, Some(Value::Object(_))) => Source::Trace,
            _ => Source::Drawn,
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

fn requests(loaded: &Loaded, from: Source) -> Dial {
    let value = member(&loaded.resolved, "workload.requests").cloned().unwrap_or(Value::Null);
    let within = match from {
        Source::StandIn if loaded.document.gives("workload.trace.stand_in.requests") => {
            "workload.trace.stand_in.requests"
        }
        _ => "workload.requests",
    };
    match value {
        Value::Null => {
            let why = "the scenario gives a duration or a trace";
            Dial::stuck("requests", "Requests", why, Vec::new())
        }
        value => Dial::slider("requests", "Requests", within.to_owned(), value).range(20.0, 5000.0),
    }
}

fn rate(resolved: &Value, from: Source) -> Dial {
    const LABEL: &str = "Requests per second";
    let read = if from == Source::Trace { "workload.trace" } else { "workload" };
    let (read, write) = (format!("{read}.arrivals"), format!("{}.arrivals", from.prefix()));
    for kind in ["poisson", "gamma", "weibull", "constant"] {
        if let Some(value) = member(resolved, &format!("{read}.{kind}.rate")) {
            let dial = Dial::slider("rate", LABEL, format!("{write}.{kind}.rate"), value.clone());
            return Dial { whole: false, ..dial.range(0.1, 100.0) };
        }
    }
    let kind = member(resolved, &read).and_then(|arrivals| match arrivals {
        Value::Object(map) => map.keys().next().cloned(),
        Value::String(name) => Some(name.clone()),
        _ => None,
    });
    match kind {
        Some(kind) => {
            let free = vec![format!("{write}={{poisson: {{rate: 2}}}}")];
            Dial::stuck("rate", LABEL, &format!("arrivals are `{kind}`"), free)
        }
        None => {
            let scale = member(resolved, "workload.trace.time_scale").cloned();
            let scale = scale.filter(Value::is_number).unwrap_or(json!(1.0));
            let path = "workload.trace.time_scale".to_owned();
            let dial = Dial::slider("rate", "Rate, times the trace's", path, scale);
            Dial { whole: false, ..dial.range(0.1, 10.0) }
        }
    }
}

fn length(
    resolved: &Value,
    from: Source,
    which: &'static str,
    label: &'static str,
    range: (f64, f64),
) -> Dial {
    let write = format!("{}.lengths", from.prefix());
    for (shape, of) in [("lognormal", ".mean"), ("geometric", ".mean"), ("fixed", "")] {
        if let Some(value) = member(resolved, &format!("workload.lengths.{which}.{shape}{of}")) {
            let path = format!("{write}.{which}.{shape}{of}");
            return Dial::slider(which, label, path, value.clone()).range(range.0, range.1);
        }
    }
    let lengths = member(resolved, "workload.lengths").and_then(Value::as_object);
    let drawn = |mean: u32| format!("{{lognormal: {{mean: {mean}, sigma: 0.6}}}}");
    let (why, free) = match lengths {
        None if from == Source::Trace => ("lengths come from a trace".to_owned(), Vec::new()),
        None => ("each class of requests has its own".to_owned(), Vec::new()),
        Some(lengths) if lengths.contains_key(which) => (
            "drawn from another distribution".to_owned(),
            vec![format!("{write}.{which}={}", drawn(if which == "prompt" { 1024 } else { 256 }))],
        ),
        Some(lengths) => (
            format!(
                "lengths come from the table `{}`",
                lengths.get("table").and_then(Value::as_str).unwrap_or("file")
            ),
            vec![format!("{write}={{prompt: {}, output: {}}}", drawn(1024), drawn(256))],
        ),
    };
    Dial::stuck(which, label, &why, free)
}

/// The dials of each scheduler that is shown.
pub(super) fn scheduler_dials(loaded: &Loaded) -> Vec<SchedulerDials> {
    let info = loaded.experiment.engine_info();
    let runs = loaded.shown.iter().zip(&loaded.experiment.schedulers);
    runs.map(|(&place, run)| {
        let path = |name: &str| format!("schedulers.{place}.{}.{name}", run.name);
        let mut dials = Vec::new();
        if let Some((name, value)) = token_budget(&run.config, &info) {
            let dial = Dial::slider("budget", name, path(name), value.into());
            dials.push(dial.range(16.0, 16_384.0).group("scheduler"));
        }
        if let Some((name, value)) = seats(&run.config, &info) {
            let dial = Dial::slider("seats", name, path(name), value.into());
            dials.push(dial.range(1.0, 1024.0).group("scheduler"));
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
