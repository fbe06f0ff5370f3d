//! Random scenarios through every path, and proof that the checks can fail.

use std::collections::{BTreeMap, BTreeSet};

use metron_sim::catalog::EngineProfile;
use metron_sim::swarm::{draw, swarm};
use serde_json::Value;

/// `METRON_SWARM_RUNS`, or what a test run has time for.
fn runs() -> u64 {
    std::env::var("METRON_SWARM_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}

#[test]
fn ten_thousand_random_scenarios_hold() {
    let report = swarm(1, runs(), None);
    let broken: Vec<String> =
        report.failures.iter().map(|f| format!("{}\n  {}", f.what, f.replay)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(report.iterations > report.runs, "something was played");
    // A draw that never switches a feature on checks nothing of it.
    if report.runs >= 1000 {
        for (feature, cases) in &report.features {
            assert!(*cases * 200 > report.runs, "{feature} was on in {cases} cases only");
        }
    }
}

/// Keys that are never drawn, or always alike, and why.
const EXEMPT: &[(&str, &str)] = &[
    ("Speculative.draft_model", "of the models that are drawn one has a small one to draft for it"),
    ("DraftAcceptance.trace", "a file, under one name"),
    ("Scenario.derived", "written into results; not read"),
    ("ModelFigures.gguf", "a file of bytes; cases draw files of text"),
    ("ModelFigures.assume", "takes keys of any name; tests of the reader"),
    ("EngineProfile.evidence", "words for people"),
    ("Evidence.kind", "words for people"),
    ("Evidence.from", "words for people"),
    ("Evidence.expected_error", "words for people"),
    ("Day.file", "a file of its own in place of a shape; tests of the reader"),
    ("Arrivals.all_at_once", "a word that stands alone; both of its forms are drawn"),
];

/// Choices that are never drawn.
const EXEMPT_CHOICES: &[(&str, &str)] = &[
    ("TraceGaps=\"arrivals\"", "what holds of a file without gaps; with them it is refused"),
    ("AssumedKey=\"ignored\"", "goes with ModelFigures.assume"),
    ("EvidenceKind=\"fitted\"", "words for people"),
    ("EvidenceKind=\"derived\"", "words for people"),
    ("EvidenceKind=\"exact\"", "words for people"),
    ("EvidenceKind=\"defined\"", "words for people"),
    ("EvidenceKind=\"assumed\"", "words for people"),
    ("EvidenceKind=\"unstated\"", "words for people"),
];

/// The values that each key was given, by the schema's type and key.
#[derive(Default)]
struct Seen {
    values: BTreeMap<String, BTreeSet<String>>,
    choices: BTreeSet<String>,
}

impl Seen {
    /// Goes through `value` along its schema, which is called `name`.
    fn walk(&mut self, root: &Value, schema: &Value, name: &str, value: &Value) {
        if let Some(reference) = schema["$ref"].as_str() {
            let path = reference.strip_prefix('#').expect("a reference into the schema");
            let name = reference.rsplit('/').next().expect("a name");
            return self.walk(root, root.pointer(path).expect("it leads somewhere"), name, value);
        }
        for choice in choices(schema).filter(|choice| *choice == value) {
            self.choices.insert(format!("{name}={choice}"));
        }
        for word in ["anyOf", "oneOf", "allOf"] {
            for inner in schema[word].as_array().into_iter().flatten() {
                self.walk(root, inner, name, value);
            }
        }
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            let Some(value) = value.get(key) else { continue };
            self.values.entry(format!("{name}.{key}")).or_default().insert(value.to_string());
            self.walk(root, inner, name, value);
        }
        for value in value.as_array().into_iter().flatten() {
            self.walk(root, &schema["items"], name, value);
        }
    }

    /// Every key and choice of a schema that was never drawn away from one value.
    fn lacks(&self, schema: &Value, name: &str) -> Vec<String> {
        let mut types = vec![(name, schema)];
        let defined = schema["$defs"].as_object().into_iter().flatten();
        types.extend(defined.map(|(name, inner)| (name.as_str(), inner)));
        let mut lacks = Vec::new();
        for (name, schema) in types {
            self.lacking(schema, name, &mut lacks);
        }
        lacks
    }

    fn lacking(&self, schema: &Value, name: &str, lacks: &mut Vec<String>) {
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{name}.{key}");
            // Another name of a parameter is drawn under its own.
            let alias = inner["description"] == "Another name of one of these.";
            let exempt = alias || EXEMPT.iter().any(|(known, _)| *known == path);
            let drawn = self.values.get(&path).map_or(0, BTreeSet::len);
            if drawn < 2 && !exempt {
                lacks.push(format!("{path}: {drawn} values"));
            }
            assert!(drawn < 2 || !exempt || alias, "{path} is drawn, and excused from it");
            self.lacking(inner, name, lacks);
        }
        for choice in choices(schema) {
            let choice = format!("{name}={choice}");
            let exempt = EXEMPT_CHOICES.iter().any(|(known, _)| *known == choice);
            if !self.choices.contains(&choice) && !exempt {
                lacks.push(format!("{choice}: never"));
            }
        }
        for word in ["anyOf", "oneOf", "allOf"] {
            for inner in schema[word].as_array().into_iter().flatten() {
                self.lacking(inner, name, lacks);
            }
        }
    }
}

/// The words that a schema allows.
fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    listed.chain(schema.get("const")).filter(|choice| choice.is_string())
}

/// A new key, parameter or choice that the draw does not know fails here.
#[test]
fn every_key_of_a_scenario_and_a_profile_is_drawn_away_from_its_default() {
    let scenario = metron_sim::scenario::json_schema();
    let profile = schemars::schema_for!(EngineProfile).to_value();
    let (mut seen, mut of_profile) = (Seen::default(), Seen::default());
    for seed in 0..6000 {
        let case = draw(seed);
        seen.walk(&scenario, &scenario, "Scenario", &case.scenario);
        for (_, text) in case.files.iter().filter(|(name, _)| name.starts_with("profile")) {
            let drawn: Value = serde_json::from_str(text).expect("JSON");
            of_profile.walk(&profile, &profile, "EngineProfile", &drawn);
        }
    }
    let mut lacks = seen.lacks(&scenario, "Scenario");
    lacks.extend(of_profile.lacks(&profile, "EngineProfile"));
    assert!(lacks.is_empty(), "{}", lacks.join("\n"));
    // The walk can fail: a scenario of one kind alone lacks nearly all.
    let mut one = Seen::default();
    one.walk(&scenario, &scenario, "Scenario", &draw(1).scenario);
    assert!(one.lacks(&scenario, "Scenario").len() > 50);
}
