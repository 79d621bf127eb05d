//! Faults are told with their field; whatever the bytes, nothing is refused and nothing panics.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod support;

use support::random::Random;
use support::{FakeProxy, ROOT, counted, posted, request, seal};
use tap_core::config::parse;
use tap_core::tap::Tap;

const GOOD: &str = r#"{"collector":{"cluster":"c","path":"/v1/tap","authority":"a","token":"t","timeout_ms":2000},
"request_body_bytes":1048576,"response_body_bytes":1048576,"websocket_response_bytes":8388608,"tail_bytes":16384,"caller_address":false,"caller_principal":true,"redact_headers":["authorization"],"redact_header_words":["token"],"redact_query":["key"],
"hash_headers":["x-api-key"],"hash_key":"0123456789abcdef",
"rules":[{"name":"n","path":{"exact":"/x"},"method":"GET","level":"metadata","sample":10}],"queue_bytes":8388608,
"batch_bytes":65536,"batch_age_ms":200,"tick_ms":25,"max_age_ms":120000,"posts_in_flight":8}"#;

fn faults(json: &str) -> Vec<String> {
    parse(json.as_bytes()).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn arguments_of_tools_in_headers_are_hidden_by_default() {
    let redaction = parse(br#"{"collector":{"cluster":"c"}}"#).unwrap().redaction;
    assert!(redaction.hides(b"mcp-param-region") && redaction.hides(b"Mcp-Param-Region"));
    assert!(!redaction.hides(b"mcp-method") && !redaction.hides(b"mcp-name") && !redaction.hides(b"mcp-session-id"));
}

#[test]
fn the_keys_of_apis_are_hidden_by_default_and_counts_are_not() {
    let redaction = parse(br#"{"collector":{"cluster":"c"}}"#).unwrap().redaction;
    for name in ["x-goog-api-key", "apikey", "X-Apikey", "Ocp-Apim-Subscription-Key", "api-key"] {
        assert!(redaction.hides(name.as_bytes()), "{name}");
    }
    assert!(!tap_core::usage::HEADERS.iter().any(|name| redaction.hides(name.as_bytes())));
    assert!(!redaction.hides(b"x-api") && !redaction.hides(b"key") && !redaction.hides(b"subscription"));
}

#[test]
fn every_field_is_known_and_nearly_all_may_be_left_out() {
    assert_eq!(faults(GOOD), [""; 0]);
    assert_eq!(faults(r#"{"collector":{"cluster":"c"}}"#), [""; 0]);
}

#[test]
fn a_small_queue_makes_the_default_batch_smaller() {
    let batch_bytes = |extra: &str| {
        let json = format!(r#"{{"collector":{{"cluster":"c"}}{extra}}}"#);
        parse(json.as_bytes()).unwrap().limits.batch_bytes
    };
    assert_eq!((batch_bytes(""), batch_bytes(r#","queue_bytes":100000"#)), (262_144, 50_000));
}

#[test]
fn a_fault_names_its_field() {
    let base = |extra: &str| format!(r#"{{"collector":{{"cluster":"c"}},{extra}}}"#);
    for (json, field) in [
        (String::new(), "configuration: is not JSON"),
        ("[]".to_owned(), "configuration: must be an object, not a list"),
        ("{}".to_owned(), "collector.cluster: "),
        (r#"{"collector":7}"#.to_owned(), "collector: must be an object, not a number"),
        (r#"{"collector":{"cluster":7}}"#.to_owned(), "collector.cluster: must be a text, not a number"),
        (r#"{"collector":{"cluster":"c","path":"tap"}}"#.to_owned(), "collector.path: must begin with /"),
        (r#"{"collector":{"cluster":"c","token":"a b"}}"#.to_owned(), "collector.token: must not hold spaces"),
        (base(r#""tick_ms":0"#), "tick_ms: must be a whole number from 1 to 10000, not 0"),
        (base(r#""queue_bytes":"8M""#), "queue_bytes: must be a whole number"),
        (base(r#""batch_bytes":5000000"#), "batch_bytes: must be at most half of queue_bytes"),
        (base(r#""tail_bytes":20000,"queue_bytes":65536"#), "tail_bytes: must be at most a quarter of queue_bytes"),
        (base(r#""posts_in_flight":9,"queue_bytes":65536,"batch_bytes":1024"#), "posts_in_flight: needs queue_bytes"),
        (base(r#""caller_address":1"#), "caller_address: must be true or false, not a number"),
        (base(r#""caller_principal":"property""#), "caller_principal: must be true or false, not a text"),
        (base(r#""bodies":1"#), "bodies: unknown field (known: collector, "),
        (base(r#""redact_headers":"cookie""#), "redact_headers: must be a list, not a text"),
        (base(r#""redact_query":"key""#), "redact_query: must be a list, not a text"),
        (base(r#""hash_headers":"x-api-key""#), "hash_headers: must be a list, not a text"),
        (base(r#""redact_headers":["a",1]"#), "redact_headers[1]: must be a text, not a number"),
        (base(r#""rules":[{"level":"none"}]"#), "rules[0].name: must have 1 to 64 bytes"),
        (base(r#""rules":[{"name":"a","level":"all"}]"#), "rules[0].level: must be one of"),
        (base(r#""rules":[{"name":"a","level":"none","sample":10001}]"#), "rules[0].sample: must be a whole number"),
        (base(r#""rules":[{"name":"a","level":"none","path":{}}]"#), "rules[0].path: must hold exactly one of"),
        (base(r#""rules":[{"name":"a","level":"none","path":{"regex":"x"}}]"#), "rules[0].path.regex: unknown field"),
        (
            base(r#""rules":[{"name":"a","level":"none"},{"name":"a","level":"none"}]"#),
            "rules[1].name: \"a\" is the name",
        ),
    ] {
        let found = faults(&json);
        assert!(found.iter().any(|fault| fault.starts_with(field)), "{json} gave {found:?}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    assert_eq!(faults(r#"{"collector":{"cluster":"","x":1},"tick_ms":-1,"rules":[3]}"#).len(), 6);
}

#[test]
fn a_faulty_configuration_lets_everything_pass_untouched() {
    let mut tap = Tap::new(FakeProxy::default());
    tap.on_configure(ROOT, br#"{"collector":{"cluster":"c"},"tick":5}"#);
    request(&mut tap, 2, "/", "id");
    seal(&mut tap);
    support::end(&mut tap, 2);
    assert!(tap.on_done(ROOT));
    assert_eq!((posted(&tap).len(), counted(&tap, "ConfigErrors"), counted(&tap, "Streams")), (0, 1, 0));
    let lines = tap.host().lines.borrow();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("tick: unknown field"), "{lines:?}");
}

#[test]
fn no_configuration_panics() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let mut json = GOOD.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(json.len() as u64) as usize;
            match random.below(4) {
                0 => json[at] = random.next() as u8,
                1 => drop(json.drain(at..(at + random.below(30) as usize).min(json.len()))),
                2 => json.insert(at, b"{}[]\",:09ntf"[random.below(12) as usize]),
                _ => json.truncate(at + 1),
            }
            if json.is_empty() {
                break;
            }
        }
        let _ = parse(&json);
    }
}
