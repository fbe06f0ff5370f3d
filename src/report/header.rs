//! What was simulated, in a few lines above the table.

use serde::Deserialize;
use serde_json::Value;

use crate::catalog::Evidence;
use crate::result::ResultFile;
use crate::shown::count;

/// The lines of the header: the scenario and its description; the system; the requests; the
/// promise. Read from the resolved scenario, as published; what it does not say is left out.
pub fn header(result: &ResultFile) -> Vec<String> {
    let scenario = &result.scenario;
    let mut lines = Vec::new();
    let title = [text(scenario, "/name"), text(scenario, "/description")];
    let title: Vec<String> = title.into_iter().flatten().collect();
    if !title.is_empty() {
        lines.push(title.join(": "));
    }
    lines.extend(labelled("system", &system(scenario)));
    match pools(scenario) {
        Some(pools) => lines.extend(pools),
        None => lines.extend(labelled("KV memory", &memory(result))),
    }
    lines.extend(text(scenario, "/derived/profile/host").map(|host| format!("host: {host}")));
    lines.extend(cautions(scenario));
    lines.extend(labelled("workload", &workload(scenario)));
    lines.extend(labelled("observed", &observed(scenario)));
    lines.extend(labelled("SLO", &promise(scenario)));
    for (what, list) in [("class", "/workload/classes"), ("pool", "/pools")] {
        for one in scenario.pointer(list).and_then(Value::as_array).into_iter().flatten() {
            let name = text(one, "/name").unwrap_or_default();
            lines.extend(labelled(&format!("SLO of {what} {name}"), &promise(one)));
        }
    }
    lines
}

/// For how long, and which requests count, where that is not all.
fn observed(scenario: &Value) -> Vec<String> {
    let given = |path: &str| text(scenario, path).filter(|value| value != "0s" && value != "0ns");
    [
        given("/horizon").map(|end| format!("for {end}")),
        given("/measure/skip_first")
            .map(|skip| format!("requests of the first {skip} do not count")),
        given("/measure/skip_last").map(|skip| format!("requests of the last {skip} do not count")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn labelled(label: &str, parts: &[String]) -> Option<String> {
    (!parts.is_empty()).then(|| format!("{label}: {}", parts.join(", ")))
}

/// Fewest words for what the model runs on: `h100-sxm`, `2 x h100-sxm + 4 x l40s`.
pub fn fleet(scenario: &Value) -> Option<String> {
    let Some(pools) = scenario.pointer("/pools").and_then(Value::as_array) else {
        return gpu(scenario.get("gpu")?);
    };
    let one = |pool: &Value| {
        let product =
            ["/replicas", "/parallelism/tensor", "/parallelism/pipeline", "/parallelism/data"]
                .iter()
                .filter_map(|path| pool.pointer(path)?.as_u64())
                .product::<u64>();
        Some(format!("{product} x {}", gpu(pool.get("gpu")?)?))
    };
    let pools: Option<Vec<String>> = pools.iter().map(one).collect();
    Some(pools?.join(" + "))
}

fn gpu(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("base")?.as_str()).map(str::to_owned)
}

/// What a model or a GPU is called.
fn named(value: &Value) -> Option<String> {
    let name = ["", "/base", "/name"].iter().find_map(|at| value.pointer(at)?.as_str());
    Some(name.map_or_else(|| "own figures".to_owned(), str::to_owned))
}

/// The model's name; of one from a file, the name that was found for it.
fn model(scenario: &Value) -> Option<String> {
    let value = scenario.get("model").filter(|value| !value.is_null())?;
    match value.get("config") {
        Some(config) => text(scenario, "/derived/model/name").or_else(|| Some(plain(config))),
        None => named(value),
    }
}

/// Whether pools say which model they serve.
fn own_models(scenario: &Value) -> bool {
    let pools = scenario.pointer("/pools").and_then(Value::as_array);
    pools.into_iter().flatten().any(|pool| pool.get("model").is_some())
}

/// A line for each pool: what its replicas are, and their KV memory.
fn pools(scenario: &Value) -> Option<Vec<String>> {
    let pools = scenario.pointer("/pools")?.as_array()?;
    let lines = pools.iter().enumerate().map(|(place, pool)| {
        // As a scenario of its own would have them.
        let mut alone = pool.clone();
        alone["derived"] = scenario.pointer(&format!("/derived/pools/{place}")).cloned().into();
        let name = text(pool, "/name").unwrap_or_default();
        let mut parts = system(&alone);
        if pool.pointer("/replicas").and_then(Value::as_u64) == Some(1) {
            parts.insert(1.min(parts.len()), "1 replica".to_owned());
        }
        parts.extend(memory_of(&alone, None));
        format!("pool {name}: {}", parts.join(", "))
    });
    Some(lines.collect())
}

/// A line for each GPU whose constants were not measured.
fn cautions(scenario: &Value) -> Vec<String> {
    let pools = scenario.pointer("/derived/pools").and_then(Value::as_array);
    let alone = scenario.pointer("/derived/gpu");
    let gpus = pools.into_iter().flatten().filter_map(|pool| pool.get("gpu")).chain(alone);
    let mut lines: Vec<String> = Vec::new();
    for gpu in gpus {
        let evidence: Option<Evidence> =
            gpu.get("evidence").and_then(|evidence| Evidence::deserialize(evidence).ok());
        let name = text(gpu, "/name").unwrap_or_default();
        let line = evidence.and_then(|evidence| evidence.caution(&name));
        lines.extend(line.filter(|line| !lines.contains(line)));
    }
    lines
}

fn system(scenario: &Value) -> Vec<String> {
    let mut parts = Vec::new();
    let gpus = ["/parallelism/tensor", "/parallelism/pipeline", "/parallelism/data"]
        .iter()
        .filter_map(|path| scenario.pointer(path)?.as_u64())
        .product::<u64>();
    let named = |path: &str| named(scenario.pointer(path)?);
    match (model(scenario), named("/gpu")) {
        (Some(model), Some(gpu)) if gpus > 1 => parts.push(format!("{model} on {gpus} x {gpu}")),
        (Some(model), Some(gpu)) => parts.push(format!("{model} on {gpu}")),
        (None, Some(gpu)) if gpus > 1 => parts.push(format!("{gpus} x {gpu}")),
        (Some(one), None) | (None, Some(one)) => parts.push(one),
        (None, None) => {}
    }
    if let Some(replicas) = scenario.pointer("/replicas").and_then(Value::as_u64)
        && replicas > 1
    {
        parts.push(format!("{replicas} replicas"));
    }
    if let Some(pools) = scenario.pointer("/pools").and_then(Value::as_array) {
        // What follows from the scenario counts data-parallel ranks.
        let derived = scenario.pointer("/derived/pools").and_then(Value::as_array);
        let of = derived.unwrap_or(pools);
        let replicas: u64 = of.iter().filter_map(|pool| pool.pointer("/replicas")?.as_u64()).sum();
        let router =
            scenario.pointer("/router").map_or(String::new(), |r| format!(" behind {}", plain(r)));
        parts = model(scenario).filter(|_| !own_models(scenario)).into_iter().collect();
        parts.push(format!("{} pools with {replicas} replicas{router}", pools.len()));
        return parts;
    }
    if let Some(data) = scenario.pointer("/parallelism/data").and_then(Value::as_u64)
        && data > 1
    {
        parts.push(format!("{data} data-parallel ranks"));
    }
    if scenario.pointer("/parallelism/expert").and_then(Value::as_bool) == Some(true) {
        parts.push("expert parallelism".to_owned());
    }
    if let Some(profile) = scenario.pointer("/engine/profile") {
        parts.push(format!("engine {}", plain(profile)));
    }
    let own = || text(scenario, "/derived/model_formats");
    parts.extend(match text(scenario, "/engine/dtype") {
        Some(dtype) if dtype == "auto" => own().or(Some(dtype)),
        dtype => dtype,
    });
    parts.extend(text(scenario, "/engine/kv_cache_dtype").map(|dtype| format!("KV in {dtype}")));
    parts
}

/// How many blocks, and where the number came from.
fn memory(result: &ResultFile) -> Vec<String> {
    let from_run = result.runs.iter().find_map(|run| run.kv).map(|kv| kv.blocks);
    memory_of(&result.scenario, from_run)
}

fn memory_of(scenario: &Value, from_run: Option<u64>) -> Vec<String> {
    let given = scenario.pointer("/engine/kv_blocks").and_then(Value::as_u64);
    let Some(blocks) = given.or(from_run) else { return Vec::new() };
    let tokens = scenario.pointer("/engine/kv_block_tokens").and_then(Value::as_u64);
    let groups = text(scenario, "/derived/kv_blocks/groups/words");
    let mut parts = vec![match tokens {
        Some(tokens) if groups.is_some() => format!(
            "{} blocks of {tokens} tokens a replica, in groups of layers: {}",
            count(blocks),
            groups.unwrap_or_default()
        ),
        Some(tokens) => format!(
            "{} blocks of {tokens} tokens = {} tokens a replica",
            count(blocks),
            count(blocks.saturating_mul(tokens))
        ),
        None => format!("{} blocks a replica", count(blocks)),
    }];
    if text(scenario, "/derived/kv_blocks/from").is_some_and(|from| from == "given") {
        parts.push("as given".to_owned());
    }
    if let Some(longest) = scenario.pointer("/engine/max_model_len").and_then(Value::as_u64) {
        parts.push(format!("max_model_len {}", count(longest)));
    }
    if let (Some(arithmetic), Some(last)) =
        (text(scenario, "/derived/kv_blocks/arithmetic"), parts.last_mut())
    {
        last.push_str(&format!(" ({arithmetic})"));
    }
    parts
}

fn workload(scenario: &Value) -> Vec<String> {
    let at = |path: &str| scenario.pointer(&format!("/workload{path}")).filter(|v| !v.is_null());
    let mut parts = Vec::new();
    if let Some(requests) = at("/requests").and_then(Value::as_u64) {
        parts.push(format!("{} requests", count(requests)));
    }
    parts.extend(at("/duration").map(|duration| format!("arrivals for {}", plain(duration))));
    parts.extend(at("/trace/file").map(|file| format!("trace {}", plain(file))));
    parts.extend(at("/arrivals").map(plain));
    parts.extend(at("/lengths/prompt").map(|prompt| format!("prompts {}", plain(prompt))));
    parts.extend(at("/lengths/output").map(|output| format!("outputs {}", plain(output))));
    if at("/lengths/prompt").is_none() {
        parts.extend(at("/lengths").map(|lengths| format!("lengths {}", plain(lengths))));
    }
    parts.extend(scenario.pointer("/seed").map(|seed| format!("seed {}", plain(seed))));
    parts
}

fn promise(scenario: &Value) -> Vec<String> {
    let at = |path: &str| scenario.pointer(&format!("/slo{path}")).filter(|v| !v.is_null());
    let mut parts = Vec::new();
    let percent = |share: &Value| share.as_f64().map(|share| format!("{} %", share * 100.0));
    if let Some(promise) = scenario.get("promise").filter(|promise| promise.is_object()) {
        let of = |key: &str| promise.get(key).filter(|value| !value.is_null());
        if let (Some(share), Some(ttft)) = (of("share").and_then(percent), of("ttft").map(plain)) {
            let pace = of("tokens_per_s").map_or(String::new(), |rate| {
                format!(
                    ", then {} tokens/s (fluidity-index >= {})",
                    plain(rate),
                    of("index").map_or("0.9".to_owned(), plain)
                )
            });
            parts.push(format!("{share} of requests get the first token within {ttft}{pace}"));
            return parts;
        }
    }
    if let (Some(share), Some(index)) =
        (at("/fluidity/share").and_then(percent), at("/fluidity/index"))
    {
        // What is due is not promised of each token: it is what the index counts.
        let due = at("/ttft").map_or(String::new(), |ttft| match ttft.get("prefill_curve_plus") {
            Some(slack) => {
                let of = match scenario.pointer("/pools") {
                    None => "",
                    Some(_) if own_models(scenario) => " in the slowest pool of its model",
                    Some(_) => " in the slowest pool",
                };
                format!(" the prompt's prefill time{of} + {}", plain(slack))
            }
            None => format!(" {}", plain(ttft)),
        });
        let then =
            at("/tbt").map_or(String::new(), |tbt| format!(", then one every {}", plain(tbt)));
        parts.push(format!(
            "{share} of requests fluid: fluidity-index >= {} with the first token due after{due}{then}",
            plain(index)
        ));
    }
    if let Some(bounds) = scenario.pointer("/slo/bounds").or(scenario.pointer("/bounds"))
        && bounds.as_object().is_some_and(|bounds| !bounds.is_empty())
    {
        parts.push(format!("bounds {}", plain(bounds)));
    }
    parts
}

fn text(value: &Value, path: &str) -> Option<String> {
    value.pointer(path)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A value in few words: `poisson(rate=2)`, `lognormal(mean=1024, sigma=0.6)`, `25ms`.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => match number.as_f64() {
            // 1024.0 is a figure of the scenario, not a measurement.
            Some(value) if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let maps = items.iter().any(|item| item.as_object().is_some_and(|m| m.len() > 1));
            let between = if maps { "; " } else { ", " };
            format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(between))
        }
        Value::Object(members) => {
            match members.iter().next() {
                // A choice with its parameters.
                Some((name, Value::Object(parameters))) if members.len() == 1 => {
                    format!("{name}({})", inner(parameters)).replace("()", "")
                }
                Some((name, value)) if members.len() == 1 => format!("{name} {}", plain(value)),
                _ => inner(members),
            }
        }
    }
}

/// What stands in a map: `mean=500, sigma=0.7`, `lognormal(mean=500, sigma=0.7), max=4000`.
fn inner(members: &serde_json::Map<String, Value>) -> String {
    let known = members.iter().filter(|(_, value)| !value.is_null());
    let one = |(key, value): (&String, &Value)| match value {
        Value::Object(parameters) => format!("{key}({})", inner(parameters)),
        _ => format!("{key}={}", plain(value)),
    };
    known.map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::fixture;
    use serde_json::json;

    #[test]
    fn says_what_was_simulated() {
        let lines = header(&fixture::result(vec![fixture::run("sarathi")])).join("\n");
        assert_eq!(
            lines,
            "chat\n\
             system: llama-3.1-8b on h100-sxm, engine vllm-0.19, bf16\n\
             KV memory: 27,000 blocks of 16 tokens = 432,000 tokens a replica\n\
             workload: 1,000 requests, poisson(rate=2), prompts lognormal(mean=1024, sigma=0.6), \
             outputs lognormal(mean=256, sigma=0.6), seed 42\n\
             SLO: 99 % of requests fluid: fluidity-index >= 0.9 with the first token due after the prompt's \
             prefill time + 300ms, then one every 25ms"
        );
    }

    #[test]
    fn the_number_of_kv_blocks_says_where_it_came_from() {
        let mut result = fixture::result(vec![fixture::run("sarathi")]);
        let line = |result: &ResultFile| header(result)[2].clone();
        result.scenario["derived"] = json!({"kv_blocks": {"from": "given"}});
        assert!(line(&result).ends_with("a replica, as given"), "{}", line(&result));
        result.scenario["derived"] =
            json!({"kv_blocks": {"from": "memory", "arithmetic": "80 GiB x 0.90 - 18 GiB"}});
        assert!(line(&result).ends_with("a replica (80 GiB x 0.90 - 18 GiB)"), "{}", line(&result));
    }

    #[test]
    fn a_gpu_that_was_not_measured_is_said_once() {
        let mut result = fixture::result(Vec::new());
        let gpu = |kind: &str| {
            json!({"name": "h20", "evidence":
                {"kind": kind, "from": "h100-sxm", "expected_error": "10 to 20 %"}})
        };
        let said = "GPU h20: constants derived from h100-sxm's shares of peak, expect 10 to 20 %";
        let times = |result: &ResultFile| header(result).iter().filter(|l| *l == said).count();
        result.scenario["derived"] = json!({"gpu": gpu("derived")});
        assert_eq!(times(&result), 1);
        result.scenario["derived"] = json!({"gpu": gpu("fitted")});
        assert_eq!(times(&result), 0);
        let pool = json!({"gpu": gpu("derived")});
        result.scenario["derived"] = json!({"pools": [pool, pool]});
        assert_eq!(times(&result), 1);
    }

    #[test]
    fn maps_in_maps_and_lists_of_maps_stay_apart() {
        let prompt = json!({"lognormal": {"mean": 500, "sigma": 0.7}, "max": 4000});
        assert_eq!(plain(&prompt), "lognormal(mean=500, sigma=0.7), max=4000");
        let pieces = json!({"piecewise": [{"for": "1min", "rate": 1}, {"for": "5s", "rate": 2}]});
        assert_eq!(plain(&pieces), "piecewise [for=1min, rate=1; for=5s, rate=2]");
    }

    #[test]
    fn any_scenario_is_survived() {
        for scenario in [json!(null), json!([]), json!("x"), json!({"model": 3, "slo": []})] {
            let mut result = fixture::result(Vec::new());
            result.scenario = scenario;
            let _lines = header(&result);
        }
        let mut result = fixture::result(Vec::new());
        result.scenario = json!({"gpu": {"base": "l40s"}, "model": "m",
            "parallelism": {"tensor": 2, "pipeline": 2}});
        assert_eq!(header(&result), ["system: m on 4 x l40s"]);
    }
}
