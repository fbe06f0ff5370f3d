use std::sync::Arc;

use super::*;
use crate::catalog::{self, Kind};
use crate::ids::{ClassId, RequestId};

fn speculative(tokens: u32, rule: AcceptanceRule) -> Arc<Speculative> {
    Arc::new(Speculative { rules: rules(tokens), acceptance: Acceptance::of_all(rule) })
}

fn rules(tokens: u32) -> DraftRules {
    DraftRules { method: Method::Eagle, tokens, off_above_running: None, by_batch_size: None }
}

/// Accepted drafts of a request's steps one after the other, for answers of so many tokens.
fn steps(luck: &Luck, request: u32, tokens: u32, drafts: u32) -> Vec<u32> {
    let (mut position, mut accepted) = (1, Vec::new());
    while position < tokens {
        let count = luck.accepted(RequestId(request), ClassId(0), position, drafts);
        accepted.push(count);
        position += count + 1;
    }
    accepted
}

/// Mean tokens of a step over many requests.
fn mean_length(luck: &Luck, drafts: u32) -> f64 {
    let all: Vec<u32> = (0..400).flat_map(|request| steps(luck, request, 500, drafts)).collect();
    1.0 + all.iter().map(|&count| f64::from(count)).sum::<f64>() / all.len() as f64
}

#[test]
fn methods_ask_of_a_scheduler_what_vllm_does() {
    // By hand from vLLM 0.33.0: lookahead, prefill lookahead, draft slots, hash lookahead at 3 drafts.
    let rows = [
        (Method::Ngram, [0, 0, 0, 0]),
        (Method::Suffix, [0, 0, 0, 0]),
        (Method::Eagle, [3, 1, 0, 1]),
        (Method::Eagle3, [3, 1, 0, 1]),
        (Method::Mtp { modules: 1 }, [3, 1, 0, 1]),
        (Method::Mtp { modules: 3 }, [3, 3, 0, 3]),
        (Method::DraftModel, [3, 0, 1, 0]),
    ];
    for (method, told) in rows {
        let found = [
            method.lookahead_slots(3),
            method.prefill_lookahead(3),
            method.draft_slots(),
            method.hash_lookahead(3),
        ];
        assert_eq!(found, told, "{method}");
    }
}

#[test]
fn ranges_of_batch_sizes_have_both_ends_and_gaps_inherit_from_below() {
    let table = DraftsByBatchSize::new(&[(256, 4096, 0), (2, 16, 3), (64, 128, 2)]).unwrap();
    let of = DraftRules { by_batch_size: Some(table), ..rules(4) };
    let told = [(1, 4), (2, 3), (16, 3), (17, 3), (63, 3), (64, 2), (255, 2), (256, 0), (5000, 0)];
    for (running, drafts) in told {
        assert_eq!(of.k_at(running), drafts, "{running}");
    }
    assert_eq!(DraftsByBatchSize::new(&[(1, 16, 3), (16, 20, 2)]), Err(1));
    assert_eq!(DraftsByBatchSize::new(&[(8, 4, 3)]), Err(0));
    assert_eq!(DraftsByBatchSize::new(&[(0, 4, 3)]), Err(0));
    let off = DraftRules { off_above_running: Some(32), ..rules(4) };
    assert_eq!([off.k_at(32), off.k_at(33)], [4, 0]);
}

#[test]
fn the_draws_are_the_documented_ones() {
    // Worked out apart from this code, from the definition of SplitMix64.
    use super::chance::{Draws, For};
    let draws = Draws::new(42);
    let found = [
        draws.of(0).at(For::Draft, 1),
        draws.of(7).at(For::Draft, 1_000),
        draws.of(7).at(For::State, 1_000),
    ];
    assert_eq!(found, PINNED);
}

const PINNED: [u64; 3] = [0x3D9150A46BF7F3E0, 0xC7B6F924FAFF79E0, 0xEF54D78E8BC6AD04];

#[test]
fn a_rate_gives_its_geometric_mean() {
    let luck = speculative(5, AcceptanceRule::rate(0.7, 5)).luck(3);
    let told: f64 = (0..=5).map(|power| libm::pow(0.7, f64::from(power))).sum();
    assert!((mean_length(&luck, 5) / told - 1.0).abs() < 0.01, "{told}");
    let luck = speculative(2, AcceptanceRule::by_position(&[0.9, 0.5])).luck(3);
    assert!((mean_length(&luck, 2) / 2.35 - 1.0).abs() < 0.01);
    let luck = speculative(7, AcceptanceRule::length(3.78, 7)).luck(3);
    assert!((mean_length(&luck, 7) / 3.78 - 1.0).abs() < 0.01);
    assert!(steps(&luck, 0, 500, 7).iter().all(|count| [2, 3].contains(count)));
}

#[test]
fn a_token_that_is_guessed_is_guessed_by_every_number_of_drafts() {
    let luck = speculative(8, AcceptanceRule::rate(0.6, 8)).luck(11);
    let guessed = |drafts: u32| {
        let mut tokens = std::collections::BTreeMap::new();
        let mut position = 1;
        for count in steps(&luck, 5, 3000, drafts) {
            for place in 0..count {
                tokens.insert(position + place, true);
            }
            if count < drafts {
                tokens.insert(position + count, false);
            }
            position += count + 1;
        }
        tokens
    };
    let [few, many] = [guessed(2), guessed(8)];
    let both = few.iter().filter_map(|(place, &one)| Some((one, *many.get(place)?)));
    let alike: Vec<bool> = both.map(|(one, other)| one == other).collect();
    assert!(alike.len() > 1000 && alike.iter().all(|&same| same));
    // Another seed, another request: other luck.
    let other = speculative(8, AcceptanceRule::rate(0.6, 8)).luck(12);
    assert_ne!(steps(&luck, 5, 3000, 8), steps(&other, 5, 3000, 8));
    assert_ne!(steps(&luck, 5, 3000, 8), steps(&luck, 6, 3000, 8));
}

#[test]
fn every_preset_gives_its_published_lengths_again() {
    let mut seen = 0;
    for name in catalog::names(Kind::Acceptance) {
        let preset = catalog::acceptance(&name).unwrap();
        assert!(Method::NAMES.contains(&&*preset.method), "{name}");
        for model in &preset.models {
            assert!(catalog::model(model).is_ok(), "{name}: {model}");
        }
        assert!(!preset.published.is_empty(), "{name}");
        for published in &preset.published {
            let rule = AcceptanceRule::preset(&preset, published.tokens).unwrap();
            let found = mean_length(&speculative(published.tokens, rule).luck(1), published.tokens);
            let off = found / published.length - 1.0;
            assert!(off.abs() < 0.03, "{name} with {}: {found}, {off:+.3}", published.tokens);
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen}");
}

#[test]
fn ngram_drafts_come_in_runs_and_requests_of_eagle_differ() {
    let luck = |name: &str| {
        let preset = catalog::acceptance(name).unwrap();
        speculative(5, AcceptanceRule::preset(&preset, 5).unwrap()).luck(1)
    };
    let correlation = |luck: &Luck| {
        let (mut pairs, mut all) = (Vec::new(), Vec::new());
        for request in 0..200 {
            let counts = steps(luck, request, 1000, 5);
            pairs.extend(counts.windows(2).map(|pair| (f64::from(pair[0]), f64::from(pair[1]))));
            all.extend(counts.into_iter().map(f64::from));
        }
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / all.len() as f64;
        let both = pairs.iter().map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
        both / pairs.len() as f64 / variance
    };
    let coder = correlation(&luck("llama-3.1-8b-ngram-instructcoder"));
    assert!((0.6..0.8).contains(&coder), "{coder}");
    let maths = correlation(&luck("llama-3.1-8b-ngram-gsm8k"));
    assert!((0.0..0.2).contains(&maths), "{maths}");

    let chats = luck("llama-3.1-8b-eagle-sharegpt");
    let mut means: Vec<f64> = (0..300)
        .map(|request| {
            let counts = steps(&chats, request, 2000, 5);
            1.0 + f64::from(counts.iter().sum::<u32>()) / counts.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    // Published: 1.93 and 3.16.
    assert!((1.85..2.05).contains(&means[30]), "P10 {}", means[30]);
    assert!((2.95..3.35).contains(&means[270]), "P90 {}", means[270]);
}

#[test]
fn recorded_rounds_are_given_again() {
    let text = "{\"accepted\": [2, 0, 3, 1]}\n\n{\"accepted\": [0]}\n";
    let rounds = Rounds::read(text).unwrap();
    assert_eq!(rounds.most(), 3);
    let luck = speculative(3, AcceptanceRule::rounds(rounds)).luck(0);
    assert_eq!(steps(&luck, 0, 21, 3), [2, 0, 3, 1, 2, 0, 3, 1]);
    assert_eq!(steps(&luck, 1, 4, 3), [0, 0, 0]);
    assert_eq!(steps(&luck, 2, 11, 3), [2, 0, 3, 1]);
    // Of fewer drafts no more can be accepted; what was guessed stays guessed.
    assert_eq!(steps(&luck, 0, 11, 1), [1, 0, 0, 1, 1, 1]);
    for (text, said) in [
        ("", "it has no line"),
        ("[1]", "line 1:"),
        ("{\"accepted\": []}", "line 1: `accepted` has no round"),
        ("{\"accepted\": [1]}\n{\"accepted\": [-1]}", "line 2:"),
        ("{\"accepted\": [1000]}", "at most 128"),
        ("{\"accepted\": [1], \"drafted\": [1]}", "unknown field `drafted`"),
    ] {
        let error = Rounds::read(text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn classes_have_their_own_rules() {
    let by_class = vec![AcceptanceRule::rate(0.0, 2), AcceptanceRule::rate(1.0, 2)];
    let acceptance = Acceptance::by_class(by_class);
    let of = Arc::new(Speculative { rules: rules(2), acceptance });
    let luck = of.luck(0);
    assert_eq!([0, 1].map(|class| luck.accepted(RequestId(0), ClassId(class), 1, 2)), [0, 2]);
}
