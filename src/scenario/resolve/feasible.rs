//! Whether any request can run at all, as far as the scenario alone proves it.

use super::check::Check;
use super::fleet::Built;
use super::lengths::at_least;
use crate::scenario::experiment::SchedulerRun;
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
            first_turns(check, &path, sessions, engine.max_model_len);
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
        let help =
            "a prompt must leave room for an output: shorten it, or raise `engine.max_model_len`";
        check.report(&path.key("prompt"), message, help);
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
            let path = pool.owner.path(check, &["engine", "kv_blocks"]);
            check.report(&path, message, "raise `engine.kv_blocks`, or shorten the requests");
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

/// Reports sessions none of whose first turns fits into the context, and summaries that do not.
fn first_turns(check: &mut Check<'_>, path: &Path, sessions: &SessionsSpec, longest: u32) {
    let shared = sessions.shared_prefix.map_or(0, |prefix| prefix.tokens);
    let prompt = at_least(&sessions.first_prompt).saturating_add(shared);
    if prompt >= longest {
        let message = format!(
            "no session can begin: first prompts have at least {prompt} tokens with the shared prefix, and \
             max_model_len is {longest}"
        );
        let help =
            "a prompt must leave room for an output: shorten it, or raise `engine.max_model_len`";
        check.report(&path.key("first_prompt"), message, help);
    }
    if let MaxContext::Compact { to } = sessions.max_context
        && to >= longest
    {
        let message = format!("a summary of {to} tokens fills max_model_len, which is {longest}");
        let help = "leave room for the next turn and its answer";
        check.report(&path.key("max_context").key("compact").key("to"), message, help);
    }
}
