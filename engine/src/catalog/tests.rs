use super::*;

#[test]
fn every_built_in_entry_reads_and_is_in_range() {
    for name in names(Kind::Gpu) {
        let gpu = gpu(&name).unwrap();
        assert_eq!(gpu.name, name);
        gpu.validate().unwrap();
        let gemm = gpu.gemm_bf16;
        assert!(gemm.tflops < gpu.peak.bf16_tflops, "{name}: above its peak");
        assert!(gemm.memory_gb_per_s < gpu.peak.memory_gb_per_s, "{name}: above its peak");
    }
    for name in names(Kind::Model) {
        let model = model(&name).unwrap();
        assert_eq!(model.name, name);
        model.validate().unwrap();
    }
    for name in names(Kind::Profile) {
        let profile = profile(&name).unwrap();
        assert_eq!(profile.name, name);
        profile.validate().unwrap();
    }
    assert!(names(Kind::Gpu).len() >= 8);
    assert!(names(Kind::Model).len() >= 20);
}

#[test]
fn lists_describe_every_entry() {
    for kind in [Kind::Gpu, Kind::Model, Kind::Profile] {
        let entries = list(kind);
        assert_eq!(entries.len(), names(kind).len());
        assert!(entries.iter().all(|e| !e.description.is_empty()));
    }
}

#[test]
fn figures_give_the_published_sizes() {
    // Said so roughly by their makers that no count comes near.
    const ROUGH: [&str; 4] =
        ["qwen3-next-80b-a3b", "granite-4.0-h-tiny", "lfm2-8b-a1b", "kimi-linear-48b-a3b"];
    let error = |given: u64, published: u64| given as f64 / published as f64 - 1.0;
    for name in names(Kind::Model) {
        let model = model(&name).unwrap();
        let published = model.published;
        if let Some(parameters) = published.parameters {
            let off = error(model.parameters(), parameters);
            assert!(off.abs() < 0.005, "{name}: {} parameters, {off:+.4}", model.parameters());
        }
        if let Some(active) = published.active_parameters.filter(|_| !ROUGH.contains(&&*name)) {
            // Makers count with embedding and head, with one of them, or with neither.
            let all = model.active_parameters();
            let table = model.embedding_parameters();
            let counts = [all, all - table, all.saturating_sub(2 * table)];
            let off =
                counts.map(|count| error(count, active).abs()).into_iter().fold(1.0, f64::min);
            assert!(off < 0.035, "{name}: {all} active parameters, {off:+.4}");
        }
        if let Some(bytes) = published.checkpoint_bytes {
            // With layers for multi-token prediction or without, and those with tables of their own.
            let own = model.checkpoint_bytes();
            let draft = own + model.draft_bytes();
            let tables = draft + 4 * model.embedding_parameters();
            let off = [own, draft, tables].map(|given| error(given, bytes).abs());
            let off = off.into_iter().fold(1.0, f64::min);
            assert!(off < 0.02, "{name}: {own} bytes, {off:+.4}");
        }
        if let Some(bytes) = published.kv_bytes_per_token {
            // Published without what an indexer keeps.
            let indexers: u64 = model
                .groups
                .iter()
                .filter_map(|group| match group.mixer {
                    Mixer::Latent(latent) => Some((group.layers, latent.indexer?)),
                    _ => None,
                })
                .map(|(layers, indexer)| u64::from(layers) * indexer.kv_bytes())
                .sum();
            assert_eq!(model.kv_bytes_per_token(16 * 1024) - indexers, bytes, "{name}");
        }
    }
}

#[test]
fn an_unknown_name_suggests_the_nearest() {
    let error = gpu("h100").unwrap_err();
    assert_eq!(error.nearest.as_deref(), Some("h100-sxm"));
    assert!(error.valid.contains(&"rtx-4090".to_owned()));
    let text = error.to_string();
    assert!(text.starts_with("unknown GPU `h100` (did you mean `h100-sxm`?); known: "), "{text}");
    assert_eq!(model("Llama-3.1-8B").unwrap_err().nearest.as_deref(), Some("llama-3.1-8b"));
    assert_eq!(model("llama3.1-8b").unwrap_err().nearest.as_deref(), Some("llama-3.1-8b"));
    assert_eq!(profile("vllm-0.18").unwrap_err().nearest.as_deref(), Some("vllm-0.19"));
    assert_eq!(gpu("potato").unwrap_err().nearest, None);
    assert_eq!(gpu("../models/yi-34b").unwrap_err().given, "../models/yi-34b");
}

#[test]
fn a_user_file_is_checked() {
    let text = DATA.get_file("gpus/h100-sxm.yaml").unwrap().contents_utf8().unwrap();
    assert_eq!(Gpu::from_yaml(text).unwrap(), gpu("h100-sxm").unwrap());
    let misspelt = text.replace("price_usd_per_hour", "price_usd_per_hr");
    let error = Gpu::from_yaml(&misspelt).unwrap_err();
    assert!(matches!(error, FileError::Syntax(_)));
    let line = misspelt.lines().position(|line| line.contains("per_hr")).unwrap() + 1;
    let said = format!(
        "line {line}, column 1: price_usd_per_hr: unknown key `price_usd_per_hr` \
         (did you mean `price_usd_per_hour`?"
    );
    assert!(error.to_string().starts_with(&said), "{error}");
    let broken = text.replacen("tflops: 783.03", "tflops: [", 1);
    let error = Gpu::from_yaml(&broken).unwrap_err().to_string();
    assert!(error.starts_with("line ") && error.contains("not YAML"), "{error}");
    let words = text.replacen("tflops: 783.03", "tflops: many", 1);
    let error = Gpu::from_yaml(&words).unwrap_err().to_string();
    assert!(error.contains("gemm_bf16.tflops: expected a number, found the text"), "{error}");
    let zero = text.replacen("tflops: 783.03", "tflops: 0", 1);
    assert_ne!(zero, text);
    let error = Gpu::from_yaml(&zero).unwrap_err();
    assert!(error.to_string().starts_with("gemm_bf16.tflops: must lie in"), "{error}");
}

#[test]
fn entries_survive_a_round_trip() {
    for name in names(Kind::Gpu) {
        let gpu = gpu(&name).unwrap();
        let json = serde_json::to_string(&gpu).unwrap();
        assert_eq!(serde_json::from_str::<Gpu>(&json).unwrap(), gpu);
    }
    for name in names(Kind::Profile) {
        let profile = profile(&name).unwrap();
        let json = serde_json::to_string(&profile).unwrap();
        assert_eq!(serde_json::from_str::<EngineProfile>(&json).unwrap(), profile);
    }
}

#[test]
fn overrides_replace_some_figures_and_mark_the_name() {
    let base = gpu("rtx-pro-6000").unwrap();
    assert_eq!(base.clone().with(&GpuOverrides::default()).unwrap(), base);
    let faster = base
        .clone()
        .with(&GpuOverrides {
            interconnect_bytes_per_s: Some(32e9),
            interconnect_latency_us: Some(5.0),
            ..GpuOverrides::default()
        })
        .unwrap();
    assert_eq!(faster.name, "rtx-pro-6000*");
    assert!(faster.all_reduce.iter().all(|a| a.gb_per_s == 32.0 && a.latency_us == 5.0));
    assert_eq!(faster.gemm_bf16, base.gemm_bf16);

    let mut alone = base.clone();
    alone.all_reduce.clear();
    let only_bandwidth =
        GpuOverrides { interconnect_bytes_per_s: Some(16e9), ..GpuOverrides::default() };
    assert_eq!(alone.with(&only_bandwidth).unwrap_err().path, "interconnect");
    let nonsense = GpuOverrides { interconnect_latency_us: Some(-1.0), ..GpuOverrides::default() };
    assert_eq!(base.with(&nonsense).unwrap_err().path, "all_reduce.latency_us");
}

#[test]
fn model_overrides_are_checked() {
    let model = model("llama-3.1-8b").unwrap();
    let half = ModelOverrides { layers: Some(16), ..ModelOverrides::default() };
    let smaller = model.clone().with(&half).unwrap();
    assert_eq!((smaller.layers(), smaller.name.as_str()), (16, "llama-3.1-8b*"));
    assert!(smaller.parameters() < model.parameters());
    let odd = ModelOverrides { kv_heads: Some(5), ..ModelOverrides::default() };
    assert_eq!(model.with(&odd).unwrap_err().path, "kv_heads");
}

#[test]
fn layers_that_other_figures_hang_on_are_not_replaced() {
    // Falcon-H1's 44 layers are two each, LongCat's 28 as well; Gemma 3n embeds in each of 35.
    for (name, why) in [
        ("falcon-h1-7b", "each layer of its config is two here"),
        ("longcat-flash", "each layer of its config is two here"),
        ("gemma-3n-e4b", "its embeddings by layer"),
    ] {
        let fewer = ModelOverrides { layers: Some(10), ..ModelOverrides::default() };
        let error = model(name).unwrap().with(&fewer).unwrap_err();
        assert_eq!(error.path, "layers");
        assert!(error.problem.contains(why), "{error}");
    }
}

#[test]
fn a_latent_head_must_be_above_its_rotary_part() {
    let short = ModelOverrides { head_dim: Some(64), ..ModelOverrides::default() };
    let error = model("deepseek-v3").unwrap().with(&short).unwrap_err();
    assert_eq!(error.path, "head_dim");
}

#[test]
fn approximations_are_said() {
    assert!(model("llama-3.1-8b").unwrap().approximations().is_empty());
    assert!(model("gemma-2-9b").unwrap().approximations().is_empty());
    assert!(model("mixtral-8x7b").unwrap().approximations().is_empty());
}

#[test]
fn an_all_reduce_in_between_takes_the_next_larger_group() {
    let gpu = gpu("h100-sxm").unwrap();
    assert_eq!(gpu.all_reduce_on(3).map(|a| a.gpus), Some(4));
    assert_eq!(gpu.all_reduce_on(8).map(|a| a.gpus), Some(8));
    assert_eq!(gpu.all_reduce_on(9), None);
}
