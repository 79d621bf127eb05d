//! The plugin configuration: JSON in, [`Settings`] or all its faults out. `plugin-config.schema.json` says the same for
//! tools, `README.md` for people.

use crate::bounds;
use crate::hash::{HeaderHash, MIN_KEY};
use crate::headers;
use crate::policy::{Level, PathMatch, Policy, Rule, SAMPLE_WHOLE};
use crate::query::Query;
use crate::reader::{Fault, Faults, Object};
use crate::redact::Redaction;
use serde_json::Value;
use std::rc::Rc;

const REDACTED_HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"];
// The last one begins the names of headers in which MCP's clients repeat the arguments of tools.
const REDACTED_WORDS: [&str; 6] = ["token", "secret", "api-key", "apikey", "subscription-key", "mcp-param-"];
// Google's form, OAuth's, Azure's, and what presigns a URL for AWS, Google and Azure. The collector's are the same.
const REDACTED_QUERY: [&str; 19] = [
    "key",
    "api_key",
    "api-key",
    "apikey",
    "subscription-key",
    "access_token",
    "token",
    "sig",
    "signature",
    "password",
    "secret",
    "client_secret",
    "x-amz-signature",
    "x-amz-security-token",
    "x-goog-signature",
    "x-api-key",
    "refresh_token",
    "id_token",
    "auth",
];
const MAX_BODY: u64 = 64 * MIB;
const WEBSOCKET: u64 = 8 * MIB;
const MIB: u64 = 1024 * 1024;
const QUEUE_BYTES: u64 = 8 * MIB;
const LEAST_QUEUE: u64 = 64 * 1024;
const TAIL_BYTES: u64 = 16 * 1024;

/// The filter's settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where and how to post.
    pub collector: Collector,
    /// Bytes of a request body that are captured.
    pub request_body_bytes: u64,
    /// Bytes of a response body that are captured.
    pub response_body_bytes: u64,
    /// The same of what is answered on a connection that became a WebSocket: that may be hundreds of answers.
    pub websocket_response_bytes: u64,
    /// Bytes of the end of a body that is longer than what is captured; 0: none.
    pub tail_bytes: usize,
    /// The caller's address is told. Off by default: one read costs 2 µs of a request, and the access log has it.
    pub caller_address: bool,
    /// The caller's principal is told. On by default: one read of a property, of what the connection keeps ready.
    pub caller_principal: bool,
    /// Headers, and parameters of queries, whose values are hidden.
    pub redaction: Redaction,
    /// What is captured of which streams.
    pub policy: Policy,
    /// Queue and timing.
    pub limits: Limits,
    /// Faults that stop no tapping: what they touch is hidden instead of told.
    pub tolerated: Vec<Fault>,
}

/// The collector, as the proxy reaches it.
#[derive(Clone, Debug)]
pub struct Collector {
    /// The proxy's cluster name.
    pub cluster: String,
    /// The post's serialised headers.
    pub headers: Vec<u8>,
    /// A post without an answer has failed after this.
    pub timeout_ms: u32,
}

/// The numbers that bound memory and time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that wait or are retained, per VM.
    pub queue_bytes: usize,
    /// A batch is sealed at this size.
    pub batch_bytes: usize,
    /// A batch is sealed when its oldest fragment is this old.
    pub batch_age_ms: u64,
    /// Between two looks at the queue.
    pub tick_ms: u32,
    /// A sealed batch is given up at this age.
    pub max_age_ms: u64,
    /// Sealed batches at a time.
    pub posts_in_flight: usize,
}

/// Reads a plugin configuration.
///
/// # Errors
/// Every fault found, each with its field.
pub fn parse(json: &[u8]) -> Result<Settings, Vec<Fault>> {
    let mut faults = Faults::default();
    let settings = match serde_json::from_slice::<Value>(json) {
        Ok(document) => Some(settings(&document, &mut faults)),
        Err(error) => {
            faults.add("", format!("is not JSON: {error}"));
            None
        }
    };
    settings.filter(|_| faults.0.is_empty()).ok_or(faults.0)
}

fn settings(document: &Value, faults: &mut Faults) -> Settings {
    let known = [
        "collector",
        "request_body_bytes",
        "response_body_bytes",
        "websocket_response_bytes",
        "tail_bytes",
        "caller_address",
        "caller_principal",
        "redact_headers",
        "redact_header_words",
        "redact_query",
        "hash_headers",
        "hash_key",
        "rules",
        "queue_bytes",
        "batch_bytes",
        "batch_age_ms",
        "tick_ms",
        "max_age_ms",
        "posts_in_flight",
    ];
    let object = Object::new("", document, &known, faults);
    let mut tolerated = Faults::default();
    Settings {
        collector: collector(&object, faults),
        request_body_bytes: object.number("request_body_bytes", 0, MAX_BODY, MIB, faults),
        response_body_bytes: object.number("response_body_bytes", 0, MAX_BODY, MIB, faults),
        websocket_response_bytes: object.number("websocket_response_bytes", 0, MAX_BODY, WEBSOCKET, faults),
        tail_bytes: tail_bytes(&object, faults),
        caller_address: object.switch("caller_address", false, faults),
        caller_principal: object.switch("caller_principal", true, faults),
        redaction: redaction(&object, faults, &mut tolerated),
        policy: policy(&object, faults),
        limits: limits(&object, faults),
        tolerated: tolerated.0,
    }
}

/// All tails of open bodies may fill a quarter of the queue, so one must fit there.
fn tail_bytes(object: &Object<'_>, faults: &mut Faults) -> usize {
    let most = object.number("tail_bytes", 0, bounds::TAIL as u64, TAIL_BYTES, faults);
    // A queue_bytes that is no number is a fault already.
    let queue_bytes = object.get("queue_bytes").and_then(Value::as_u64).unwrap_or(QUEUE_BYTES);
    if most > queue_bytes.max(LEAST_QUEUE) / 4 {
        faults.add("tail_bytes", format!("must be at most a quarter of queue_bytes ({queue_bytes}), not {most}"));
    }
    most as usize
}

/// What is to be hashed is hidden in any case. So without a good key its value reads `[redacted]`, and the streams are
/// told all the same; names that cannot be read are a fault like any other, because they could not be hidden.
fn redaction(object: &Object<'_>, faults: &mut Faults, tolerated: &mut Faults) -> Redaction {
    let mut names = object.texts("redact_headers", &REDACTED_HEADERS, faults);
    let words = object.texts("redact_header_words", &REDACTED_WORDS, faults);
    let query = object.texts("redact_query", &REDACTED_QUERY, faults);
    let hashed = object.texts("hash_headers", &[], faults);
    let key = object.text("hash_key", tolerated).unwrap_or_default();
    if !hashed.is_empty() && key.len() < MIN_KEY {
        let problem = format!("must have at least {MIN_KEY} bytes, not {}: hash_headers read [redacted]", key.len());
        tolerated.add("hash_key", problem);
    }
    let hash = HeaderHash::new(&hashed, key.as_bytes());
    names.extend(hashed);
    Redaction::new(&names, &words).hashing(hash).hiding(Query::new(&query))
}

fn collector(object: &Object<'_>, faults: &mut Faults) -> Collector {
    let known = ["cluster", "path", "authority", "token", "timeout_ms"];
    let absent = Value::Object(serde_json::Map::new());
    let value = object.get("collector").unwrap_or(&absent);
    let collector = Object::new("collector", value, &known, faults);
    let cluster = collector.text("cluster", faults).unwrap_or_default();
    if cluster.is_empty() {
        faults.add("collector.cluster", "must name the proxy's cluster of the collector");
    }
    let path = collector.text("path", faults).unwrap_or_else(|| "/v1/tap".to_owned());
    if !path.starts_with('/') {
        faults.add("collector.path", "must begin with /");
    }
    let authority = collector.text("authority", faults).unwrap_or_else(|| host_of(&cluster).to_owned());
    let token = collector.text("token", faults);
    for (field, text) in [("path", Some(&path)), ("authority", Some(&authority)), ("token", token.as_ref())] {
        if text.is_some_and(|text| text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ')) {
            faults.add(&collector.field(field), "must not hold spaces or control characters");
        }
    }
    let headers = post_headers(&path, &authority, token.as_deref());
    let timeout_ms = collector.number("timeout_ms", 1, 60_000, 2_000, faults) as u32;
    Collector { cluster, headers, timeout_ms }
}

/// Istio's cluster names end in the host: `outbound|8080||collector.audit.svc.cluster.local`.
fn host_of(cluster: &str) -> &str {
    cluster.rsplit('|').next().unwrap_or(cluster)
}

fn post_headers(path: &str, authority: &str, token: Option<&str>) -> Vec<u8> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":path", path.as_bytes()),
        (b":authority", authority.as_bytes()),
        (b"content-type", b"application/x-protobuf"),
    ];
    if let Some(bearer) = &bearer {
        pairs.push((b"authorization", bearer.as_bytes()));
    }
    headers::serialise(&pairs)
}

fn policy(object: &Object<'_>, faults: &mut Faults) -> Policy {
    let mut rules: Vec<Rule> = Vec::new();
    for (place, value) in object.items("rules", faults) {
        let rule = rule(&place, value, faults);
        if rules.iter().any(|held| held.name == rule.name) {
            faults.add(&format!("{place}.name"), format!("{:?} is the name of an earlier rule", rule.name));
        }
        rules.push(rule);
    }
    Policy::new(rules)
}

fn rule(place: &str, value: &Value, faults: &mut Faults) -> Rule {
    let object = Object::new(place, value, &["name", "path", "method", "level", "sample"], faults);
    let name = object.text("name", faults).unwrap_or_default();
    if !(1..=64).contains(&name.len()) {
        faults.add(&object.field("name"), "must have 1 to 64 bytes");
    }
    let method = object.text("method", faults);
    if method.as_ref().is_some_and(String::is_empty) {
        faults.add(&object.field("method"), "must not be empty (leave it out for every method)");
    }
    Rule {
        name: Rc::from(name),
        path: object.get("path").map_or(PathMatch::Any, |path| path_match(&object.field("path"), path, faults)),
        method,
        level: level(&object, faults),
        sample: object.number("sample", 0, u64::from(SAMPLE_WHOLE), u64::from(SAMPLE_WHOLE), faults) as u32,
    }
}

fn path_match(place: &str, value: &Value, faults: &mut Faults) -> PathMatch {
    let object = Object::new(place, value, &["exact", "prefix", "suffix"], faults);
    let mut found = ["exact", "prefix", "suffix"].into_iter().filter_map(|name| {
        let text = object.text(name, faults)?;
        Some(match name {
            "exact" => PathMatch::Exact(text),
            "prefix" => PathMatch::Prefix(text),
            _ => PathMatch::Suffix(text),
        })
    });
    let first = found.next();
    let more = found.next().is_some();
    if first.is_none() || more {
        faults.add(place, "must hold exactly one of exact, prefix, suffix");
    }
    first.unwrap_or(PathMatch::Any)
}

fn level(object: &Object<'_>, faults: &mut Faults) -> Level {
    match object.text("level", faults).as_deref() {
        Some("none") => Level::None,
        Some("metadata") => Level::Metadata,
        Some("request") => Level::Request,
        Some("request_response") => Level::RequestResponse,
        _ => {
            faults.add(&object.field("level"), "must be one of none, metadata, request, request_response");
            Level::None
        }
    }
}

fn limits(object: &Object<'_>, faults: &mut Faults) -> Limits {
    let queue_bytes = object.number("queue_bytes", LEAST_QUEUE, 256 * MIB - 1, QUEUE_BYTES, faults);
    let batch_bytes = BATCH_BYTES.min(queue_bytes / 2);
    let limits = Limits {
        queue_bytes: queue_bytes as usize,
        batch_bytes: object.number("batch_bytes", 1024, bounds::BATCH_BYTES, batch_bytes, faults) as usize,
        batch_age_ms: object.number("batch_age_ms", 1, 60_000, 200, faults),
        tick_ms: object.number("tick_ms", 1, 10_000, 25, faults) as u32,
        max_age_ms: object.number("max_age_ms", 100, 3_600_000, 120_000, faults),
        posts_in_flight: object.number("posts_in_flight", 1, 64, 8, faults) as usize,
    };
    if limits.batch_bytes > limits.queue_bytes / 2 {
        let problem =
            format!("must be at most half of queue_bytes ({}), not {}", limits.queue_bytes, limits.batch_bytes);
        faults.add("batch_bytes", problem);
    }
    if limits.posts_in_flight > limits.queue_bytes / BYTES_PER_POST {
        let problem = format!("needs queue_bytes of at least {BYTES_PER_POST} for each post");
        faults.add("posts_in_flight", problem);
    }
    limits
}

/// A post has a price of its own, whatever it carries. From this size on a busy proxy no longer feels it.
const BATCH_BYTES: u64 = 256 * 1024;
/// What the envelopes of sealed batches may take of the queue's bound, times four; see [`crate::queue`].
const BYTES_PER_POST: usize = 8 * 1024;
