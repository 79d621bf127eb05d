//! Reads a JSON object field by field and keeps every fault with the path of its field, so that one look at the log
//! shows all that is wrong with a configuration.

use serde_json::{Map, Value};
use std::fmt;

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, such as `rules[2].path.prefix`; empty: the whole document.
    pub field: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { "configuration" } else { &self.field };
        write!(formatter, "{field}: {}", self.problem)
    }
}

/// The faults found so far.
#[derive(Debug, Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, field: &str, problem: impl Into<String>) {
        self.0.push(Fault { field: field.to_owned(), problem: problem.into() });
    }
}

/// An object of the configuration and its place in it.
pub struct Object<'a> {
    place: String,
    map: Option<&'a Map<String, Value>>,
}

impl<'a> Object<'a> {
    /// The object at `place`; notes fields that nobody knows. A value that is no object reads as an empty one.
    pub fn new(place: &str, value: &'a Value, known: &[&str], faults: &mut Faults) -> Self {
        let object = Self { place: place.to_owned(), map: value.as_object() };
        match object.map {
            None => faults.add(place, format!("must be an object, not {}", kind(value))),
            Some(map) => {
                for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
                    faults.add(&object.field(name), format!("unknown field (known: {})", known.join(", ")));
                }
            }
        }
        object
    }

    /// The full name of one of its fields.
    #[must_use]
    pub fn field(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// A field's value, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.and_then(|map| map.get(name))
    }

    /// The names of its fields.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.map.into_iter().flat_map(|map| map.keys().map(String::as_str))
    }

    /// A whole number between `low` and `high`, or the default.
    pub fn number(&self, name: &str, low: u64, high: u64, default: u64, faults: &mut Faults) -> u64 {
        let Some(value) = self.get(name) else { return default };
        match value.as_u64() {
            Some(number) if (low..=high).contains(&number) => number,
            _ => {
                faults.add(&self.field(name), format!("must be a whole number from {low} to {high}, not {value}"));
                default
            }
        }
    }

    /// Whether a switch is on, or the default.
    pub fn switch(&self, name: &str, default: bool, faults: &mut Faults) -> bool {
        let Some(value) = self.get(name) else { return default };
        value.as_bool().unwrap_or_else(|| {
            faults.add(&self.field(name), format!("must be true or false, not {}", kind(value)));
            default
        })
    }

    /// A text, or None if it is not there.
    pub fn text(&self, name: &str, faults: &mut Faults) -> Option<String> {
        self.get(name).and_then(|value| text(&self.field(name), value, faults))
    }

    /// A list of texts, or the default.
    pub fn texts(&self, name: &str, default: &[&str], faults: &mut Faults) -> Vec<String> {
        match self.get(name) {
            None => default.iter().map(|text| (*text).to_owned()).collect(),
            Some(_) => self.items(name, faults).filter_map(|(place, value)| text(&place, value, faults)).collect(),
        }
    }

    /// The values of a list with their places; nothing if it is not there.
    pub fn items(&self, name: &str, faults: &mut Faults) -> impl Iterator<Item = (String, &'a Value)> + use<'a> {
        let field = self.field(name);
        let value = self.get(name);
        let list = value.and_then(Value::as_array);
        if let (Some(value), None) = (value, list) {
            faults.add(&field, format!("must be a list, not {}", kind(value)));
        }
        let numbered = list.into_iter().flatten().enumerate();
        numbered.map(move |(index, value)| (format!("{field}[{index}]"), value))
    }
}

fn text(field: &str, value: &Value, faults: &mut Faults) -> Option<String> {
    let text = value.as_str();
    if text.is_none() {
        faults.add(field, format!("must be a text, not {}", kind(value)));
    }
    text.map(str::to_owned)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
