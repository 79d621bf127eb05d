//! The schema and the README say what the parser does.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use serde_json::{Map, Value, json};
use tap_core::config::parse;

const SCHEMA: &str = include_str!("../../plugin-config.schema.json");
const README: &str = include_str!("../../README.md");

fn faults(extra: &Value) -> Vec<String> {
    let mut document = json!({"collector": {"cluster": "c"}});
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let parsed = parse(document.to_string().as_bytes());
    parsed.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn properties() -> Map<String, Value> {
    serde_json::from_str::<Value>(SCHEMA).unwrap()["properties"].as_object().unwrap().clone()
}

#[test]
fn the_schema_knows_the_parsers_fields_and_defaults() {
    let told = faults(&json!({"nobody": 1}));
    let known = told[0].split("known: ").nth(1).unwrap().trim_end_matches(')');
    let mut known: Vec<_> = known.split(", ").collect();
    known.sort_unstable();
    assert_eq!(known, properties().keys().map(String::as_str).collect::<Vec<_>>());
    for (name, property) in properties().iter().filter(|(name, _)| *name != "collector") {
        assert_eq!(faults(&json!({ name: property["default"] })), [""; 0]);
    }
}

#[test]
fn the_schemas_ranges_are_the_parsers() {
    for (name, property) in &properties() {
        let (Some(low), Some(high)) = (property["minimum"].as_u64(), property["maximum"].as_u64()) else { continue };
        for (number, fine) in [(low, true), (high, true), (low.wrapping_sub(1), false), (high + 1, false)] {
            let own = |fault: &String| fault.starts_with(&format!("{name}: must be a whole number"));
            assert_eq!(!faults(&json!({ name: number })).iter().any(own), fine, "{name}: {number}");
        }
    }
}

#[test]
fn the_readme_shows_a_good_configuration_and_every_field() {
    let example = README.split("```json").nth(1).unwrap().split("```").next().unwrap();
    assert!(parse(example.as_bytes()).is_ok());
    for name in properties().keys().filter(|name| *name != "collector") {
        assert!(README.contains(&format!("| `{name}` |")), "{name}");
    }
}
