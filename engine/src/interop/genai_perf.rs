//! GenAI-Perf's `profile_export.json`, which perf_analyzer writes (0.0.16, its last version): an object
//! with a list of experiments, each a run, with a list of requests.
//!
//! A request has the nanosecond at which it was sent, those at which responses came, and the responses
//! themselves: packets whose text is looked for and not kept. The server's counts are in its usage report,
//! where the client asked for one; else packets with text are what is counted.

use std::io::Read;

use super::Progress;
use super::builder::{Builder, Sent};
use super::ended::Ended;
use super::fault::Fault;
use super::json::Json;
use super::measured::{Granularity, Measured};
use super::packets::Packet;

/// Reads every experiment of a file.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    let mut runs = Vec::new();
    json.object(&["experiments"], |json, _| {
        json.list(|json| {
            runs.push(experiment(json, progress)?);
            progress.runs += 1;
            progress.requests = 0;
            Ok(())
        })
    })?;
    if json.another()? {
        return Err(json.fault("something follows the object"));
    }
    Ok(runs)
}

fn experiment<R: Read>(json: &mut Json<R>, progress: &mut Progress) -> Result<Measured, Fault> {
    let begin = json.position();
    let mut builder = Builder::new(progress);
    let (mut mode, mut value, mut uncounted) = (None, None, 0u64);
    json.object(&["experiment", "requests"], |json, key| match key {
        "experiment" => json.object(&["mode", "value"], |json, key| {
            match key {
                "mode" => mode = json.string_or_skip()?,
                _ => value = json.figure_or_skip()?,
            }
            Ok(())
        }),
        _ => json.list(|json| {
            uncounted += u64::from(request(json, &mut builder)?);
            progress.requests += 1;
            Ok(())
        }),
    })?;
    let mut measured = builder.finish(Granularity::Token).map_err(|fault| fault.or_at(begin))?;
    if uncounted > 0 {
        measured.notes.push(format!(
            "the server gave no usage for {uncounted} requests: their packets with text are taken for \
             tokens, and the lengths of their prompts are not known"
        ));
    }
    measured.name = match (mode, value) {
        (Some(mode), Some(value)) => format!("{mode}={value}"),
        (Some(mode), None) => mode,
        _ => String::new(),
    };
    Ok(measured)
}

/// Reads a request; tells whether its tokens are counted by packets.
fn request<R: Read>(json: &mut Json<R>, builder: &mut Builder) -> Result<bool, Fault> {
    const KEYS: &[&str] = &["timestamp", "response_timestamps", "response_outputs", "success"];
    let begin = json.position();
    let (mut sent, mut success) = (None, None);
    let mut times: Vec<u64> = Vec::new();
    let mut packets: Vec<Packet> = Vec::new();
    json.object(KEYS, |json, key| match key {
        "timestamp" => {
            sent = json.nanos_or_null(0)?;
            Ok(())
        }
        "success" => {
            success = if json.null()? { None } else { Some(json.truth()?) };
            Ok(())
        }
        _ if json.null()? => Ok(()),
        "response_timestamps" => json.list(|json| {
            times.push(json.nanos(0)?);
            Ok(())
        }),
        _ => json.list(|json| {
            let mut packet = Packet::default();
            json.object(&["response", "text_output"], |json, key| {
                let Some(text) = json.string_or_skip()? else { return Ok(()) };
                match key {
                    "response" => packet = Packet::of_events(&text),
                    // Triton's own: the text itself.
                    _ => (packet.text, packet.answer) = (!text.is_empty(), !text.is_empty()),
                }
                Ok(())
            })?;
            packets.push(packet);
            Ok(())
        }),
    })?;
    let Some(sent) = sent else { return Err(Fault::at(begin, "`timestamp` is missing")) };
    let (answered, counted) = (times.len(), packets.len());
    if counted > 0 && counted != answered {
        let what = format!("it has {answered} times of responses and {counted} responses");
        builder.refuse(&what).map_err(|fault| fault.or_at(begin))?;
        return Ok(false);
    }
    let usage = |of: fn(&Packet) -> Option<u32>| packets.iter().rev().find_map(of);
    let (prompt, output) = (usage(|p| p.prompt_tokens), usage(|p| p.output_tokens));
    // Where outputs were not kept every response may be a token.
    let holds = |at: usize| packets.get(at).is_none_or(|packet| packet.text);
    let mut of_text = times.iter().enumerate().filter(|(at, _)| holds(*at)).map(|(_, time)| *time);
    let failed = success == Some(false) || of_text.clone().next().is_none();
    let (mut first, mut answer) = (None, None);
    if !failed {
        first = of_text.next();
        of_text.for_each(|at| builder.token(at));
        let answers = packets.iter().position(|packet| packet.answer);
        answer = answers.and_then(|at| times.get(at)).copied();
    }
    let end = times.last().copied();
    builder.observed_until(end.unwrap_or(sent));
    let row = Sent {
        sent,
        first,
        answer,
        prompt_tokens: prompt.unwrap_or(0),
        output_tokens: output,
        ended: if failed { Ended::Failed } else { Ended::Completed },
        total: end.map(|end| end.saturating_sub(sent)),
        ..Sent::default()
    };
    builder.request(row).map_err(|fault| fault.or_at(begin))?;
    Ok(output.is_none() && !failed)
}
