//! Exploration.
use super::Point;
use super::played::{scenario, summed};
use metron_sim::catalog::{Gemm, GroupedGemm};
use metron_sim::cost::{BatchShape, Chunk, CostModel, Pricing, Roofline};
use metron_sim::runner::{PlayOptions, Requests, Simulate, Simulator};
use metron_sim::scenario::{Document, Files};
use std::io::Write;

fn fast_experts(e: &mut Option<GroupedGemm>) {
    if let Some(e) = e {
        e.tflops = 1e12;
        e.memory_gb_per_s = 1e12;
        e.launch_us = 0.0;
    }
}
fn no_launch(g: &mut Gemm) {
    g.launch_us = 0.0;
}

pub(crate) fn dump(point: &Point) -> Result<String, String> {
    let text = scenario(point);
    let document =
        Document::from_text("a point", &text, Files::any("")).map_err(|e| e.to_string())?;
    let experiment = document.resolve(None).map_err(|e| e.to_string())?.experiment;
    let pricing = *experiment.hardware.pricing.clone().expect("priced");
    let make = |f: &dyn Fn(&mut Pricing)| -> Roofline {
        let mut p = pricing.clone();
        f(&mut p);
        p.roofline().expect("ok")
    };
    let variants = [
        make(&|_| {}),
        make(&|p| {
            p.gpu.elementwise.kernel_us = 0.0;
            p.gpu.elementwise.memory_gb_per_s = 1e12;
        }),
        make(&|p| {
            fast_experts(&mut p.gpu.experts);
            fast_experts(&mut p.gpu.experts_fp8);
        }),
        make(&|p| {
            no_launch(&mut p.gpu.gemm_bf16);
            if let Some(g) = &mut p.gpu.gemm_fp8 {
                no_launch(g)
            }
        }),
        make(&|p| {
            for a in &mut p.gpu.all_reduce {
                a.latency_us = 0.0;
            }
        }),
    ];
    let (requests, _) = Requests::of(&experiment).map_err(|e| e.to_string())?;
    let options = PlayOptions { keep_log: true, ..PlayOptions::default() };
    let outcome = Simulator
        .simulate(&experiment, &experiment.schedulers[0], &requests, options)
        .map_err(|e| e.to_string())?;
    let (ttft, tpot) = summed(&outcome.trace);
    // decode only, mixed: [count, duration, seqs, tokens, kv, base 5 parts, elementwise, experts, launch, latency]
    let mut sums = [[0.0f64; 14]; 2];
    for log in outcome.log.iter().flatten() {
        let stride = 1;
        for it in log.iter() {
            let mixed = usize::from(!it.chunks.is_empty());
            // sample decode-only ones
            let chunks: Vec<Chunk> =
                it.chunks.iter().map(|c| Chunk { context: c.context, tokens: c.tokens }).collect();
            let shape = BatchShape::new(&chunks, it.decoding(), it.sampled()).beside(it.beside);
            let s = &mut sums[mixed];
            s[0] += 1.0;
            s[1] += it.end.as_nanos().saturating_sub(it.start.as_nanos()) as f64 * 1e-3;
            s[2] += shape.sequences() as f64;
            s[3] += chunks.iter().map(|c| f64::from(c.tokens)).sum::<f64>();
            s[4] += it.decode_kv_tokens as f64;
            let _ = stride;
            let p = variants.each_ref().map(|v| v.parts(&shape));
            for (i, v) in [
                p[0].layers_us,
                p[0].attention_us,
                p[0].communication_us,
                p[0].head_us,
                p[0].host_us,
            ]
            .into_iter()
            .enumerate()
            {
                s[5 + i] += v;
            }
            s[10] += p[0].layers_us - p[1].layers_us;
            s[11] += p[0].layers_us - p[2].layers_us;
            s[12] += p[0].layers_us - p[3].layers_us;
            s[13] += p[0].communication_us - p[4].communication_us;
        }
    }
    Ok(format!(
        "{{\"id\":{:?},\"conf\":{:?},\"engine\":{:?},\"model\":{:?},\"gpu\":{:?},\"dtype\":{:?},\"version\":{:?},\"tp\":{},\"dp\":{},\"ep\":{},\"isl\":{},\"osl\":{},\"c\":{},\"held\":{},\"ttft\":{},\"tpot\":{},\"sttft\":{ttft},\"stpot\":{tpot},\"sums\":{sums:?}}}",
        point.id,
        point.configuration(),
        point.engine.name(),
        point.model,
        point.gpu,
        point.dtype,
        point.version,
        point.tensor,
        point.data,
        point.expert,
        point.prompt,
        point.output,
        point.users,
        point.is_held_out(),
        point.ttft_ms,
        point.tpot_ms
    ))
}

pub(crate) fn write_all(points: &[Point], to: &std::path::Path) {
    use rayon::prelude::*;
    let lines: Vec<String> = points.par_iter().filter_map(|p| dump(p).ok()).collect();
    let mut f = std::fs::File::create(to).expect("w");
    for l in lines {
        writeln!(f, "{l}").expect("w");
    }
}
