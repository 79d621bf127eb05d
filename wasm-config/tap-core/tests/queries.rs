//! Secrets in queries: hidden in each header that holds a path or URL, and nothing else is.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod support;

use std::borrow::Cow;
use support::random::Random;
use support::{FakeProxy, ROOT, block, end, posted, seal, tap};
use tap_core::config::parse;
use tap_core::headers::Pairs;
use tap_core::host::Block;
use tap_core::query::Query;
use tap_core::redact::Redaction;
use tap_core::tap::Tap;

const VECTORS: &str = include_str!("queries.json");
const SECRET: (&str, &str) = ("/a?key=s3cr3t&x=1", "/a?key=[redacted]&x=1");

fn standard() -> Redaction {
    parse(br#"{"collector":{"cluster":"c"}}"#).unwrap().redaction
}

#[test]
fn the_vectors_that_the_collector_shares_are_told_as_they_say() {
    let vectors: Vec<(String, String)> = serde_json::from_str::<Vec<Vec<String>>>(VECTORS)
        .unwrap()
        .into_iter()
        .map(|mut pair| (pair.remove(0), pair.remove(0)))
        .collect();
    assert!(vectors.len() > 40);
    for (url, wanted) in vectors {
        let told = standard().told(b":path", url.as_bytes()).into_owned();
        assert_eq!(String::from_utf8(told).unwrap(), wanted);
        assert!(url == wanted || standard().hides_of(url.as_bytes()), "{url}");
    }
}

#[test]
fn where_nothing_is_hidden_nothing_is_copied() {
    for url in ["/v1/chat/completions", "/a?x=1&monkey=2", "/a?key", "/a#?k=1", "/a%20b%2Fkey%3D1", ""] {
        assert!(matches!(standard().told(b":path", url.as_bytes()), Cow::Borrowed(_)), "{url}");
        assert!(!standard().hides_of(url.as_bytes()), "{url}");
    }
}

fn configured(extra: &str) -> Tap<FakeProxy> {
    let mut tap = tap("");
    tap.on_configure(ROOT, format!(r#"{{"collector":{{"cluster":"c"}}{extra}}}"#).as_bytes());
    tap
}

/// What is told of a request's headers and a response's.
fn told(tap: &mut Tap<FakeProxy>, request: &[(&str, &str)], response: &[(&str, &str)]) -> Vec<(String, String)> {
    block(tap, 2, Block::RequestHeaders, request, true);
    block(tap, 2, Block::ResponseHeaders, response, true);
    end(tap, 2);
    seal(tap);
    let part = posted(tap).remove(0).parts.remove(0);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let told = |block: Block| {
        let pairs = Pairs::new(&part.blocks[block as usize].as_ref().unwrap().0).map(Result::unwrap);
        pairs.map(|(name, value)| (text(name), text(value))).collect::<Vec<_>>()
    };
    [told(Block::RequestHeaders), told(Block::ResponseHeaders)].concat()
}

#[test]
fn every_header_that_holds_a_path_or_url_is_told_without_secrets_and_others_as_they_came() {
    let (given, hidden) = SECRET;
    let asked = [
        ":path",
        "x-envoy-original-path",
        "referer",
        "x-forwarded-uri",
        "x-original-url",
        "x-original-uri",
        "x-rewrite-url",
        "mcp-name",
    ];
    let answered = ["location", "content-location", "operation-location", "link", "refresh"];
    let all = |names: &[&'static str], note| names.iter().map(|name| (*name, given)).chain([note]).collect::<Vec<_>>();
    let found = told(&mut configured(""), &all(&asked, ("x-note", given)), &all(&answered, (":status", "302")));
    for (name, value) in &found {
        let wanted = match name.as_str() {
            "x-note" => given,
            ":status" => "302",
            _ => hidden,
        };
        assert_eq!(value, wanted, "{name}");
    }
    assert_eq!(found.len(), 15);
}

#[test]
fn a_list_replaces_the_names_and_an_empty_one_hides_nothing() {
    let (given, _) = SECRET;
    let path = |extra: &str| told(&mut configured(extra), &[(":path", given)], &[(":status", "200")]).remove(0).1;
    assert_eq!(path(r#","redact_query":["X"]"#), "/a?key=s3cr3t&x=[redacted]");
    assert_eq!(path(r#","redact_query":[]"#), given);
    assert_eq!(path(r#","redact_headers":[":path"]"#), "[redacted]");
}

#[test]
fn a_rule_looks_at_the_path_as_it_came() {
    let rules = r#","rules":[{"name":"r","path":{"exact":"/a"},"level":"metadata"}]"#;
    let mut tap = configured(rules);
    assert_eq!(told(&mut tap, &[(":path", SECRET.0)], &[(":status", "200")])[0].1, SECRET.1);
    assert_eq!(posted(&tap)[0].parts[0].rule, "r");
}

#[test]
fn whatever_the_bytes_nothing_panics_and_what_was_told_is_told_the_same_again() {
    const PIECES: [&[u8]; 24] = [
        b"?",
        b"&",
        b";",
        b"=",
        b"#",
        b"%",
        b"%6b",
        b"key",
        b"ey",
        b"KEY",
        b"sig",
        b"/",
        b"\xff",
        b"[redacted]",
        b"%3f",
        b"%26",
        b"%3D",
        b"%253D",
        b"%23",
        b"25",
        b"[",
        b"]",
        b"%5b",
        b"%255D",
    ];
    let (mut random, query) = (Random(11), Query::new(&["key", "sig", ""]));
    for _ in 0..50_000 {
        let url: Vec<u8> = (0..random.below(24)).flat_map(|_| PIECES[random.below(24) as usize]).copied().collect();
        let once = query.told(&url).into_owned();
        assert_eq!(query.told(&once).as_ref(), once.as_slice());
        assert_eq!(query.hides(&url), matches!(query.told(&url), Cow::Owned(_)));
    }
}
