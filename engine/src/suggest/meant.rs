//! Other words for a name.

use super::plain;

/// What people write, and what it is called here, the first that fits. Words stand as
/// [`plain`] makes them.
const WORDS: &[(&[&str], &[&str])] = &[
    // Schedulers and the systems that have them.
    (&["vllm", "vllmlatest", "continuousbatching", "default"], &["vllm-v1", "vllm-0.19"]),
    (&["vllm1", "v1"], &["vllm-v1"]),
    (&["vllm0", "v0", "prefillfirst"], &["vllm-v0"]),
    (&["chunkedprefill", "chunked", "sarathiserve", "stallfree"], &["sarathi"]),
    (&["trtllm", "tensorrt", "trt", "inflightbatching"], &["tensorrt-llm"]),
    (&["sgl", "sglangserve", "srt", "radixattention"], &["sglang"]),
    (&["llamaserver", "llamacppserver", "gguf", "ollama"], &["llama-cpp"]),
    (&["textgenerationinference", "hftgi", "huggingfacetgi"], &["tgi"]),
    (&["ft", "static", "staticbatching", "requestlevel"], &["faster-transformer"]),
    (
        &["deepspeed", "fastgen", "deepspeedfastgen", "deepspeedmii", "dynamicsplitfuse"],
        &["splitfuse"],
    ),
    (&["iterationlevel"], &["orca"]),
    // Arrivals.
    (&["exponential", "markov", "memoryless"], &["poisson", "geometric"]),
    (&["random"], &["poisson", "uniform"]),
    (&["uniform", "deterministic", "fixed", "regular", "constantrate"], &["constant", "uniform"]),
    (
        &["burst", "batch", "offline", "instant", "inf", "immediate", "synchronous"],
        &["all_at_once"],
    ),
    (&["ramp", "steps", "stepwise", "schedule", "timevarying", "spike"], &["piecewise"]),
    (
        &["closed", "concurrency", "concurrent", "users", "maxconcurrency"],
        &["closed_loop", "users"],
    ),
    (&["qps", "rps", "requestrate", "requestspersecond", "lambda"], &["rate"]),
    (&["burstiness", "cov", "coefficientofvariation"], &["cv"]),
    // Lengths.
    (&["constant", "const", "value", "len", "exact"], &["fixed"]),
    (&["normal", "gaussian", "lognorm"], &["lognormal"]),
    (&["powerlaw", "pareto"], &["zipf"]),
    (&["percentiles", "histogram", "cdf"], &["quantiles"]),
    (
        &[
            "isl",
            "inputlen",
            "inputlength",
            "promptlen",
            "promptlength",
            "input",
            "inputs",
            "prompttokens",
            "inputtokens",
        ],
        &["prompt", "prompt_tokens"],
    ),
    (
        &[
            "osl",
            "outputlen",
            "outputlength",
            "completion",
            "decode",
            "outputtokens",
            "answer",
            "generation",
        ],
        &["output", "output_tokens"],
    ),
    (&["sharegpt", "conversation", "conversations", "dialog"], &["chat"]),
    (&["summarization", "arxiv", "summary", "summaries"], &["summarisation"]),
    (&["coding", "humaneval", "codecompletion"], &["code"]),
    (&["longform", "writing", "story"], &["long-form"]),
    // Number formats.
    (&["bfloat16", "half", "16bit", "brainfloat"], &["bf16"]),
    (&["float16", "f16"], &["fp16"]),
    (&["float8", "fp8e4m3", "fp8e5m2", "f8", "w8a8fp8", "e4m3"], &["fp8"]),
    (&["w8a8", "8bit", "w8a16"], &["int8"]),
    (&["awq", "gptq", "w4a16", "4bit", "q4"], &["int4"]),
    (&["fp4"], &["nvfp4", "mxfp4"]),
    // Routers.
    (&["rr", "roundrobin", "cyclic"], &["round-robin"]),
    (
        &["leastloaded", "leastconnections", "jsq", "shortestqueue", "leastload"],
        &["least-requests"],
    ),
    (&["p2c", "twochoices", "poweroftwochoices"], &["power-of-two"]),
    (&["sticky", "affinity", "session"], &["session-affinity"]),
    (&["dp", "dataparallel", "dplb"], &["vllm-dp"]),
    // Statistics and figures.
    (&["average", "avg"], &["mean"]),
    (&["p999percent", "p99.9"], &["p999"]),
    (&["itl", "intertokenlatency", "timebetweentokens"], &["tbt", "tbt_s"]),
    (&["latency", "e2el", "endtoend", "requestlatency"], &["e2e", "e2e_s"]),
    (&["timetofirsttoken", "firsttoken"], &["ttft", "ttft_s"]),
    // Speculative decoding.
    (&["eagle3head"], &["eagle3"]),
    (&["promptlookup", "lookup"], &["ngram"]),
    (&["draft", "model"], &["draft_model"]),
    (&["multitokenprediction"], &["mtp"]),
];

/// The name that another word stands for.
pub(super) fn by_another_word<'a>(given: &str, valid: &[&'a str]) -> Option<&'a str> {
    let given = plain(given);
    // A name that is only spelt otherwise is that name.
    if let Some(same) = valid.iter().find(|name| plain(name) == given) {
        return Some(same);
    }
    let listed = |word: &&str| plain(word) == given;
    let names = WORDS.iter().filter(|(words, _)| words.iter().any(&listed));
    names.flat_map(|(_, names)| *names).find_map(|name| valid.iter().find(|v| *v == name).copied())
}
