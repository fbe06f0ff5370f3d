//! Whether any request can run at all, as far as the scenario alone proves it.

use super::check::Check;
use super::engine::{Engine, any_engine};
use super::fits;
use super::fleet::Built;
use super::lengths::at_least;
use crate::cost::KvRequest;
use crate::scenario::experiment::SchedulerRun;
use crate::scenario::resolved::BlocksFrom;
use crate::scheduler::EngineInfo;
use crate::workload::{Lengths, MaxContext, SessionsSpec, Source, WorkloadSpec};
use crate::yaml::Path;

/// Reports when every request must be rejected: the shortest prompt and output that the lengths
/// can give are too long for the engine of every pool.
pub(super) fn check(
    check: &mut Check<'_>,
    workload: &WorkloadSpec,
    fleet: &[Built],
    runs: &[SchedulerRun],
) {
    let before = check.problems.len();
    for pool in fleet {
        let reported = check.problems.len();
        on_pool(check, workload, pool, runs);
        if check.problems.len() == reported {
            check.problems.truncate(before);
            return;
        }
    }
}

fn on_pool(check: &mut Check<'_>, workload: &WorkloadSpec, pool: &Built, runs: &[SchedulerRun]) {
    let engine = &pool.engine.limits;
    let lengths = match &workload.source {
        Source::Synthetic { lengths, .. } => lengths,
        Source::Sessions(sessions) => {
            let path = Path::root().key("workload").key("sessions");
            first_turns(check, &path, sessions, pool);
            return;
        }
        Source::Trace(_) => return,
    };
    let path = Path::root().key("workload");
    let mut used: Vec<(Path, &Lengths)> = Vec::new();
    for (i, class) in workload.classes.iter().enumerate().filter(|(_, c)| c.share > 0.0) {
        match &class.lengths {
            Some(own) => {
                used.push((check.element(&path.key("classes"), i).key("lengths"), own));
            }
            None => used.push((path.key("lengths"), lengths)),
        }
    }
    if used.is_empty() {
        used.push((path.key("lengths"), lengths));
    }
    let mut shortest: Option<(u32, u32, Path)> = None;
    for (path, lengths) in used {
        let Lengths::Independent { prompt, output } = lengths else { return };
        let pair = (at_least(prompt), at_least(output), path);
        if shortest.as_ref().is_none_or(|s| pair.0 < s.0) {
            shortest = Some(pair);
        }
    }
    let Some((prompt, output, path)) = shortest else { return };
    let longest = engine.max_model_len;
    if prompt >= longest {
        let message = format!(
            "no request can run: prompts have at least {prompt} tokens, and max_model_len is {longest}"
        );
        check.report(&path.key("prompt"), message, &longer(pool, prompt));
        return;
    }
    let block_tokens = engine.kv_block_tokens;
    let tokens = prompt.saturating_add(output - 1).min(longest);
    for run in runs {
        let info = pool.engine.info(&run.config);
        let needs = run.config.build(&info).needs();
        let step_tokens = needs.step_tokens_max.map_or(u64::MAX, u64::from);
        let blocks = info.kv_groups.most_blocks(tokens.into(), step_tokens, block_tokens);
        let usable = engine.kv_blocks.saturating_sub(needs.null_blocks + needs.watermark_blocks);
        if blocks > u64::from(usable) {
            let kept_back = needs.null_blocks + needs.watermark_blocks;
            let message = format!(
                "no request can run under {}: the shortest takes {blocks} KV blocks ({tokens} tokens, \
                 {block_tokens} a block), and {usable} of {} are usable ({kept_back} kept back)",
                run.name, engine.kv_blocks
            );
            let (path, help) = match pool.engine.derived.kv_blocks.from {
                BlocksFrom::Given => (
                    pool.owner.path(check, &["engine", "kv_blocks"]),
                    "raise `engine.kv_blocks`, or shorten the requests".to_owned(),
                ),
                BlocksFrom::Memory { .. } => {
                    (path.key("prompt"), memory_for(&pool.engine, blocks + u64::from(kept_back)))
                }
            };
            check.report(&path, message, &help);
            return;
        }
        if let Some(most) = needs.prompt_tokens_max.filter(|&most| prompt > most) {
            let message = format!(
                "no request can run under {}: it schedules prompts of at most {most} tokens, and \
                 prompts have at least {prompt}",
                run.name
            );
            check.report(
                &path.key("prompt"),
                message,
                "raise its token budget, or shorten the prompts",
            );
            return;
        }
    }
}

/// How prompts of so many tokens can be served that are longer than any request may be.
fn longer(pool: &Built, prompt: u32) -> String {
    let engine = &pool.engine;
    let info = EngineInfo {
        kv_block_tokens: engine.limits.kv_block_tokens,
        kv_blocks: engine.limits.kv_blocks,
        kv_groups: engine.limits.kv_groups,
        ..any_engine()
    };
    let in_memory = matches!(engine.derived.kv_blocks.from, BlocksFrom::Memory { .. });
    if in_memory && prompt >= info.kv_tokens() {
        let tokens = u64::from(prompt) + 1;
        let block_tokens = engine.limits.kv_block_tokens;
        // A block is kept back by some policies.
        let blocks = info.kv_groups.most_blocks(tokens, u64::MAX, block_tokens) + 1;
        return memory_for(engine, blocks);
    }
    "a prompt must leave room for an output: shorten it, or raise `engine.max_model_len`".to_owned()
}

/// How there are as many KV blocks, where memory is the limit.
fn memory_for(engine: &Engine, blocks: u64) -> String {
    let hardware = &engine.hardware;
    let Some((pricing, asked)) = hardware.pricing.as_ref().zip(hardware.memory_asked) else {
        return "shorten the requests, or take a GPU with more memory".to_owned();
    };
    let request = KvRequest {
        model: &pricing.model,
        gpu: &pricing.gpu,
        parallelism: pricing.parallelism,
        precision: pricing.precision,
        gpu_memory_utilization: asked.utilization,
        block_tokens: engine.limits.kv_block_tokens,
        overhead_bytes: asked.reserved_bytes,
        drafter: pricing.drafter.as_ref(),
    };
    let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
    format!(
        "the GPUs' memory has no room for more: shorten the requests, or use {}",
        fits::advice(&request, blocks)
    )
}

/// Reports sessions none of whose first turns fits into the context, and summaries that do not.
fn first_turns(check: &mut Check<'_>, path: &Path, sessions: &SessionsSpec, pool: &Built) {
    let longest = pool.engine.limits.max_model_len;
    let shared = sessions.shared_prefix.map_or(0, |prefix| prefix.tokens);
    let prompt = at_least(&sessions.first_prompt).saturating_add(shared);
    if prompt >= longest {
        let message = format!(
            "no session can begin: first prompts have at least {prompt} tokens with the shared prefix, and \
             max_model_len is {longest}"
        );
        check.report(&path.key("first_prompt"), message, &longer(pool, prompt));
    }
    if let MaxContext::Compact { to } = sessions.max_context
        && to >= longest
    {
        let message = format!("a summary of {to} tokens fills max_model_len, which is {longest}");
        let help = "leave room for the next turn and its answer";
        check.report(&path.key("max_context").key("compact").key("to"), message, help);
    }
}
