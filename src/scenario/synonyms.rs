//! What other tools call the keys of a scenario, and what to write for each.

use crate::scheduler::SchedulerConfig;
use crate::yaml::{Node, Path, Step};

/// Where a value goes that stands under another tool's name.
#[derive(Clone, Copy, Debug)]
enum To {
    /// This key, whatever else the scenario says.
    Key(&'static str),
    /// This key, as a yes or no.
    Switch(&'static str),
    /// A parameter of a scheduler: of the first that has one of these.
    Parameter(&'static [&'static str]),
    /// The rate of the arrivals.
    Rate,
    /// The users of a closed loop.
    Users,
    /// The length of prompts, or of outputs.
    Length(&'static str),
    /// The list of schedulers.
    Schedulers,
    /// When the first token, or each later one, is due.
    Due(&'static str),
}

/// Words as [`plain`] makes them, where they go, and a value for who gives none.
const WORDS: &[(&[&str], To, &str)] = &[
    (
        &[
            "tp",
            "tpsize",
            "tensorparallel",
            "tensorparallelsize",
            "tensorparallelism",
            "numgpus",
            "gpuspermodel",
            "tpdegree",
        ],
        To::Key("parallelism.tensor"),
        "2",
    ),
    (
        &["pp", "ppsize", "pipelineparallel", "pipelineparallelsize", "pipelineparallelism"],
        To::Key("parallelism.pipeline"),
        "2",
    ),
    (
        &["dp", "dpsize", "dataparallel", "dataparallelsize", "dataparallelism"],
        To::Key("parallelism.data"),
        "2",
    ),
    (
        &["ep", "expertparallel", "enableexpertparallel", "expertparallelism"],
        To::Switch("parallelism.expert"),
        "true",
    ),
    (
        &[
            "qps",
            "rps",
            "rate",
            "requestrate",
            "requestspersecond",
            "arrivalrate",
            "reqrate",
            "reqpers",
            "lambda",
            "load",
            "rates",
        ],
        To::Rate,
        "4",
    ),
    (
        &[
            "concurrency",
            "maxconcurrency",
            "numusers",
            "users",
            "clients",
            "numclients",
            "concurrentusers",
            "concurrentrequests",
            "numconcurrent",
        ],
        To::Users,
        "32",
    ),
    (
        &[
            "numprompts",
            "numrequests",
            "nrequests",
            "requestcount",
            "totalrequests",
            "maxrequests",
            "requests",
            "prompts",
        ],
        To::Key("workload.requests"),
        "1000",
    ),
    (
        &[
            "isl",
            "inputlen",
            "inputlength",
            "promptlen",
            "promptlength",
            "prompttokens",
            "inputtokens",
            "randominputlen",
            "prefilltokens",
            "inputsequencelength",
            "meaninputtokens",
            "prompt",
            "inputsize",
        ],
        To::Length("prompt"),
        "1024",
    ),
    (
        &[
            "osl",
            "outputlen",
            "outputlength",
            "outputtokens",
            "randomoutputlen",
            "decodetokens",
            "completiontokens",
            "outputsequencelength",
            "meanoutputtokens",
            "generatedtokens",
            "answertokens",
        ],
        To::Length("output"),
        "256",
    ),
    (
        &[
            "maxnumseqs",
            "batchsize",
            "maxbatchsize",
            "maxseqs",
            "maxrunningrequests",
            "maxbatch",
            "numseqs",
            "seats",
        ],
        To::Parameter(&["max_num_seqs", "max_running_requests", "max_batch_size", "n_parallel"]),
        "256",
    ),
    (
        &[
            "maxnumbatchedtokens",
            "tokenbudget",
            "maxbatchedtokens",
            "maxbatchtokens",
            "chunksize",
            "chunkedprefillsize",
            "prefillchunksize",
            "chunktokens",
            "maxnumtokens",
            "batchtokens",
        ],
        To::Parameter(&[
            "max_num_batched_tokens",
            "chunk_size",
            "chunked_prefill_size",
            "max_num_tokens",
        ]),
        "2048",
    ),
    (
        &["enablechunkedprefill", "chunkedprefill"],
        To::Parameter(&["enable_chunked_prefill"]),
        "true",
    ),
    (&["longprefilltokenthreshold"], To::Parameter(&["long_prefill_token_threshold"]), "1024"),
    (
        &[
            "enableprefixcaching",
            "prefixcache",
            "prefixcaching",
            "enablecaching",
            "apc",
            "automaticprefixcaching",
        ],
        To::Switch("engine.prefix_caching"),
        "true",
    ),
    (
        &["asyncscheduling", "overlapschedule", "enableoverlap"],
        To::Switch("engine.async_scheduling"),
        "true",
    ),
    (
        &["enforceeager", "eager", "disablecudagraph", "nocudagraph"],
        To::Switch("engine.enforce_eager"),
        "true",
    ),
    (
        &[
            "gpumemoryutilization",
            "gpuutil",
            "gpumemutil",
            "memfractionstatic",
            "memoryutilization",
            "gpumemory",
            "memfraction",
        ],
        To::Key("engine.gpu_memory_utilization"),
        "0.9",
    ),
    (
        &[
            "maxmodellen",
            "maxlen",
            "maxlength",
            "contextlength",
            "contextlen",
            "maxseqlen",
            "maxsequencelength",
            "maxmodellength",
            "context",
            "maxcontext",
        ],
        To::Key("engine.max_model_len"),
        "8192",
    ),
    (
        &["blocksize", "pagesize", "kvblocksize", "blocktokens"],
        To::Key("engine.kv_block_tokens"),
        "16",
    ),
    (
        &[
            "numgpublocks",
            "numgpublocksoverride",
            "numblocks",
            "kvcacheblocks",
            "numkvblocks",
            "kvblocks",
        ],
        To::Key("engine.kv_blocks"),
        "20000",
    ),
    (
        &[
            "quantization",
            "precision",
            "dtype",
            "weightdtype",
            "quant",
            "weightprecision",
            "datatype",
        ],
        To::Key("engine.dtype"),
        "fp8",
    ),
    (
        &["kvdtype", "kvcachedtype", "kvprecision", "cachedtype", "kvcacheprecision"],
        To::Key("engine.kv_cache_dtype"),
        "fp8",
    ),
    (
        &[
            "engineversion",
            "vllmversion",
            "version",
            "engineprofile",
            "profile",
            "backend",
            "framework",
        ],
        To::Key("engine.profile"),
        "vllm-0.19",
    ),
    (
        &[
            "gpus",
            "gputype",
            "gpuname",
            "device",
            "accelerator",
            "hardware",
            "gpumodel",
            "instancetype",
        ],
        To::Key("gpu"),
        "h100-sxm",
    ),
    (
        &["modelname", "modelid", "hfmodel", "llm", "checkpoint", "modelpath", "models"],
        To::Key("model"),
        "llama-3.1-8b",
    ),
    (
        &[
            "scheduler",
            "policy",
            "scheduling",
            "sched",
            "schedulingpolicy",
            "schedule",
            "algorithm",
        ],
        To::Schedulers,
        "sarathi",
    ),
    (
        &[
            "numreplicas",
            "instances",
            "workers",
            "replicacount",
            "numinstances",
            "replica",
            "servers",
            "nodes",
            "numworkers",
        ],
        To::Key("replicas"),
        "4",
    ),
    (
        &["loadbalancer", "lb", "routing", "routingpolicy", "balancer", "loadbalancing"],
        To::Key("router"),
        "least-requests",
    ),
    (
        &[
            "ttft",
            "ttftslo",
            "slottft",
            "timetofirsttoken",
            "ttftdeadline",
            "firsttoken",
            "ttfttarget",
        ],
        To::Due("ttft"),
        "500ms",
    ),
    (
        &[
            "tbt",
            "itl",
            "tpot",
            "tbtslo",
            "slotbt",
            "itlslo",
            "tpotslo",
            "intertokenlatency",
            "timebetweentokens",
            "tbtdeadline",
            "tbttarget",
        ],
        To::Due("tbt"),
        "25ms",
    ),
    (
        &["tokenspersecond", "tokenspers", "toks", "userspeed", "readingspeed"],
        To::Key("promise.tokens_per_s"),
        "30",
    ),
    (&["sla", "slos", "goal", "objective", "target"], To::Key("slo"), "{ttft: 500ms, tbt: 25ms}"),
    (&["seeds", "randomseed", "rngseed"], To::Key("seed"), "42"),
    (
        &[
            "tracefile",
            "dataset",
            "datasetpath",
            "tracepath",
            "inputfile",
            "traces",
            "workloadfile",
        ],
        To::Key("workload.trace.file"),
        "trace.csv",
    ),
    (
        &["timelimit", "timeout", "maxtime", "simtime", "simulationtime", "endtime"],
        To::Key("horizon"),
        "10min",
    ),
    (&["time", "runtime", "testduration"], To::Key("workload.duration"), "10min"),
    (
        &["warmup", "skipwarmup", "warmuptime", "skipfirst", "warmupduration"],
        To::Key("measure.skip_first"),
        "30s",
    ),
    (
        &["price", "cost", "costperhour", "hourlycost", "priceperhour", "usdperhour", "gpucost"],
        To::Key("gpu.price_usd_per_hour"),
        "2.5",
    ),
    (&["thinktime", "think"], To::Key("workload.arrivals.closed_loop.think_time"), "2s"),
    (&["burstiness"], To::Key("workload.arrivals.gamma.cv"), "1.5"),
    (
        &[
            "prefixlen",
            "sharedprefix",
            "sharedprefixlen",
            "prefixtokens",
            "prefixlength",
            "systemprompt",
            "systemprompttokens",
        ],
        To::Key("workload.prefix_groups"),
        "{count: 1, tokens: 512}",
    ),
    (
        &["maxnewtokens", "maxoutputtokens", "maxtokens"],
        To::Key("workload.max_tokens.fixed"),
        "512",
    ),
    (&["vram", "memory", "gpuram", "hbm"], To::Key("gpu.memory"), "80GiB"),
    (
        &["numspeculativetokens", "spectokens", "drafttokens"],
        To::Key("engine.speculative.num_speculative_tokens"),
        "3",
    ),
    (
        &["specdecode", "speculativedecoding", "speculativeconfig", "spec"],
        To::Key("engine.speculative"),
        "{method: eagle, num_speculative_tokens: 3}",
    ),
];

/// What to write in place of another tool's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fix {
    /// The key's path, as `--set` takes it.
    pub path: String,
    /// Its value in YAML.
    pub value: String,
}

impl Fix {
    /// As an argument of `--set`, in quotes where a shell needs them.
    pub(crate) fn set(&self) -> String {
        let Fix { path, value } = self;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        match value.chars().all(plain) {
            true => format!("--set {path}={value}"),
            false => format!("--set '{path}={value}'"),
        }
    }

    /// As it stands in the scenario's file.
    pub(crate) fn yaml(&self) -> String {
        let mut steps: Vec<&str> = self.path.split('.').collect();
        // An element of a list is written there, not by its number.
        let element = steps.iter().rposition(|step| step.parse::<usize>().is_ok());
        if let Some(at) = element {
            steps.drain(..=at);
        }
        match steps.as_slice() {
            ["schedulers", inside @ ..] if !inside.is_empty() => {
                format!("schedulers: [{{{}}}]", nested(inside, &self.value))
            }
            steps => nested(steps, &self.value),
        }
    }
}

fn nested(steps: &[&str], value: &str) -> String {
    match steps {
        [] => value.to_owned(),
        [last] => format!("{last}: {value}"),
        [first, rest @ ..] => format!("{first}: {{{}}}", nested(rest, value)),
    }
}

/// What to write for a key of this name at this place, with this value, in this scenario; `None` for a
/// name that no tool has.
pub(crate) fn fix(root: &Node, key: &str, value: Option<&str>, at: &Path) -> Option<Fix> {
    let (name, unit) = without_unit(key);
    let (_, to, example) = WORDS.iter().find(|(words, ..)| words.contains(&name.as_str()))?;
    let value = value.map_or((*example).to_owned(), |value| with_unit(value, unit));
    let (path, value) = match *to {
        To::Key(path) => (keeping_names(root, path), value),
        To::Switch(path) => (path.to_owned(), yes_or_no(&value).to_owned()),
        To::Parameter(names) => parameter(root, names, &name, value)?,
        To::Rate => (rate_path(root), value),
        To::Users => {
            ("workload.arrivals".to_owned(), format!("{{closed_loop: {{users: {value}}}}}"))
        }
        To::Length(which) => length(root, which, &value, at),
        To::Schedulers if value.starts_with('[') => ("schedulers".to_owned(), value),
        To::Schedulers => ("schedulers".to_owned(), format!("[{value}]")),
        To::Due(which) => due(root, which, value),
    };
    Some(Fix { path: within(at, path), value })
}

/// The parts of a scenario that a pool or a class has of its own: a key in one means that one's.
fn within(at: &Path, path: String) -> String {
    let head = path.split('.').next().unwrap_or_default();
    let (of_pool, of_class) =
        (["parallelism", "engine", "gpu", "replicas", "experts", "links"], ["slo", "promise"]);
    match at.steps() {
        [Step::Key(list), Step::Index(index), ..] if list == "pools" && of_pool.contains(&head) => {
            format!("pools.{index}.{path}")
        }
        [Step::Key(_), Step::Key(list), Step::Index(index), ..]
            if list == "classes" && of_class.contains(&head) =>
        {
            format!("workload.classes.{index}.{path}")
        }
        _ => path,
    }
}

/// A name as it is compared, and the unit that it ends in: `ttft_ms`.
fn without_unit(key: &str) -> (String, &'static str) {
    let lower = key.to_lowercase();
    let units = [
        ("_ms", "ms"),
        ("_us", "us"),
        ("_sec", "s"),
        ("_secs", "s"),
        ("_seconds", "s"),
        ("_s", "s"),
    ];
    let unit = units.iter().find(|(end, _)| lower.ends_with(end) && !lower.ends_with("per_s"));
    let (stem, unit) = match unit {
        Some((end, unit)) => (&lower[..lower.len() - end.len()], *unit),
        None => (lower.as_str(), ""),
    };
    (stem.chars().filter(|c| !matches!(c, '-' | '_' | ' ' | '.')).collect(), unit)
}

/// A number with the unit that its key named; a percentage as a share.
fn with_unit(value: &str, unit: &str) -> String {
    let number = value.parse::<f64>().is_ok();
    if number && !unit.is_empty() {
        return format!("{value}{unit}");
    }
    match value.strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok()) {
        Some(percent) => format!("{}", percent / 100.0),
        None => value.to_owned(),
    }
}

/// A switch: some tools count ranks where a yes is meant.
fn yes_or_no(value: &str) -> &'static str {
    match value.to_lowercase().as_str() {
        "false" | "0" | "no" | "off" => "false",
        _ => "true",
    }
}

/// A path into the map that stands where the scenario gives a name: `gpu: h100-sxm`, or nothing.
fn keeping_names(root: &Node, path: &str) -> String {
    let promised = root.get("promise").is_some();
    match path {
        "slo" if promised => "promise".to_owned(),
        path => path.to_owned(),
    }
}

/// The schedulers of a scenario, by name.
fn schedulers(root: &Node) -> Vec<String> {
    let list = root.get("schedulers").map(|node| &node.value);
    let crate::yaml::Value::List(items) = list.unwrap_or(&crate::yaml::Value::Null) else {
        return Vec::new();
    };
    let name = |item: &Node| -> Option<String> {
        let by_key = || item.entries().iter().find(|e| e.key != "label").map(|e| e.key.clone());
        item.as_text().map(str::to_owned).or_else(by_key)
    };
    items.iter().filter_map(name).collect()
}

/// The parameter of the first scheduler that has it; of vllm-v1 where none of them does.
fn parameter(
    root: &Node,
    names: &[&'static str],
    given: &str,
    value: String,
) -> Option<(String, String)> {
    let has = |scheduler: &str| {
        let config = SchedulerConfig::by_name(scheduler)?;
        let known = config.parameter_names();
        // The name that was typed first, where it is one.
        let own = known.iter().find(|name| name.replace(['_', '-'], "") == given);
        let one = own.or_else(|| known.iter().find(|name| names.contains(name)))?;
        Some((*one).to_owned())
    };
    for scheduler in schedulers(root) {
        if let Some(name) = has(&scheduler) {
            return Some((format!("schedulers.{scheduler}.{name}"), value));
        }
    }
    let name = has("vllm-v1").or_else(|| has("sarathi"))?;
    let scheduler = if has("vllm-v1").is_some() { "vllm-v1" } else { "sarathi" };
    Some(("schedulers".to_owned(), format!("[{{{scheduler}: {{{name}: {value}}}}}]")))
}

fn rate_path(root: &Node) -> String {
    let arrivals = root.get("workload").and_then(|workload| workload.get("arrivals"));
    let with_rate = ["poisson", "gamma", "weibull", "constant"];
    let process = with_rate.iter().find(|name| arrivals.is_some_and(|a| a.get(name).is_some()));
    format!("workload.arrivals.{}.rate", process.unwrap_or(&"poisson"))
}

/// A length as a distribution, and where the scenario's lengths are not two of them, the other one too.
fn length(root: &Node, which: &'static str, value: &str, at: &Path) -> (String, String) {
    let of_class = match at.steps() {
        [Step::Key(_), Step::Key(list), Step::Index(index), ..] if list == "classes" => {
            Some(*index)
        }
        _ => None,
    };
    let place = match of_class {
        Some(index) => format!("workload.classes.{index}.lengths"),
        None => "workload.lengths".to_owned(),
    };
    let lengths = root.get("workload").and_then(|workload| workload.get("lengths"));
    let both = of_class.is_none()
        && lengths.is_some_and(|l| l.get("prompt").is_some() && l.get("output").is_some());
    let dist = |value: &str| match value.starts_with('{') {
        true => value.to_owned(),
        false => format!("{{fixed: {value}}}"),
    };
    if both {
        return (format!("{place}.{which}"), dist(value));
    }
    // What else was typed beside it.
    let other = if which == "prompt" { "output" } else { "prompt" };
    let beside = root.locate(at).node.entries().iter().find_map(|entry| {
        let (name, _) = without_unit(&entry.key);
        let (_, to, _) = WORDS.iter().find(|(words, ..)| words.contains(&name.as_str()))?;
        matches!(to, To::Length(of) if *of == other).then(|| entry.value.scalar_text())?
    });
    let usual = if other == "output" { "256" } else { "1024" };
    let beside = beside.unwrap_or_else(|| usual.to_owned());
    let (prompt, output) = match which {
        "prompt" => (dist(value), dist(&beside)),
        _ => (dist(&beside), dist(value)),
    };
    (place, format!("{{prompt: {prompt}, output: {output}}}"))
}

/// A deadline; in a `promise` the pace is tokens a second.
fn due(root: &Node, which: &'static str, value: String) -> (String, String) {
    match (which, root.get("promise").is_some()) {
        ("ttft", true) => ("promise.ttft".to_owned(), value),
        ("tbt", true) => {
            let time = value.parse::<crate::units::Duration>().ok();
            let pace = time.map(|time| 1.0 / time.0.as_secs_f64()).filter(|pace| pace.is_finite());
            let pace = pace.map_or("30".to_owned(), |pace| format!("{}", pace.round()));
            ("promise.tokens_per_s".to_owned(), pace)
        }
        (which, _) => (format!("slo.{which}"), value),
    }
}
