//! Secrets told apart: a hashed header leaves as its hash or hidden, never as it came.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod support;

use support::{FakeProxy, ROOT, block, counted, end, posted, seal, tap};
use tap_core::hash::HeaderHash;
use tap_core::headers::Pairs;
use tap_core::host::Block;
use tap_core::tap::Tap;

const KEY: &str = "a key of 24 bytes, or so";

fn hash(name: &str, value: &str) -> Option<String> {
    let hash = HeaderHash::new(&["Authorization", "x-api-key", "proxy-authorization"], KEY.as_bytes()).unwrap();
    hash.of(name.as_bytes(), value.as_bytes()).map(|told| String::from_utf8(told).unwrap())
}

fn configured(extra: &str) -> Tap<FakeProxy> {
    let mut tap = tap("");
    tap.on_configure(ROOT, format!(r#"{{"collector":{{"cluster":"c"}},{extra}}}"#).as_bytes());
    tap
}

/// What is told of a request's headers and a response's.
fn told(tap: &mut Tap<FakeProxy>, request: &[(&str, &str)], response: &[(&str, &str)]) -> String {
    block(tap, 2, Block::RequestHeaders, request, true);
    block(tap, 2, Block::ResponseHeaders, response, true);
    end(tap, 2);
    seal(tap);
    let part = posted(tap).remove(0).parts.remove(0);
    let texts = [Block::RequestHeaders, Block::ResponseHeaders].map(|block| {
        let pairs = Pairs::new(&part.blocks[block as usize].as_ref().unwrap().0).map(Result::unwrap);
        pairs.map(|(name, value)| [name, b"=", value].concat()).collect::<Vec<_>>().join(&b' ')
    });
    String::from_utf8(texts.join(&b'|')).unwrap()
}

#[test]
fn a_hash_is_the_beginning_of_the_hmac_of_the_standards() {
    // RFC 4231, test case 3: 20 bytes 0xaa, 50 bytes 0xdd.
    let hash = HeaderHash::new(&["x"], &[0xaa; 20]).unwrap();
    assert_eq!(hash.of(b"X", &[0xdd; 50]).unwrap(), b"hmac-sha256:773ea91e36800e46854db8ebd09181a7");
    // Test case 6: a key longer than a block is hashed first.
    let hash = HeaderHash::new(&["x"], &[0xaa; 131]).unwrap();
    let data = b"Test Using Larger Than Block-Size Key - Hash Key First";
    assert_eq!(hash.of(b"x", data).unwrap(), b"hmac-sha256:60e431591ee0b67f0d8a26aacbf5b77f");
}

#[test]
fn a_key_has_one_hash_whatever_header_brings_it() {
    let alone = hash("x-api-key", "sk-1");
    for value in ["Bearer sk-1", "bearer sk-1", "Basic   sk-1", "sk-1", " Bearer\tsk-1 "] {
        assert_eq!(hash("AUTHORIZATION", value), alone, "{value}");
        assert_eq!(hash("proxy-authorization", value), alone, "{value}");
    }
    assert_ne!(hash("x-api-key", "Bearer sk-1"), alone);
    assert_ne!(hash("x-api-key", "sk-2"), alone);
    assert_eq!(hash("x-other", "sk-1"), None);
    assert!(hash("authorization", "").is_some() && hash("authorization", "Bearer").is_some());
}

#[test]
fn a_key_that_is_too_short_makes_no_hash() {
    assert!(HeaderHash::new(&["x"], &[1; 15]).is_none());
    assert!(HeaderHash::new(&["x"], &[1; 16]).is_some());
    assert!(HeaderHash::new(&[] as &[&str], &[1; 16]).is_none());
}

#[test]
fn hashed_headers_leave_as_hashes_and_the_other_secrets_hidden() {
    let mut tap = configured(&format!(r#""hash_headers":["Authorization","X-Team"],"hash_key":"{KEY}""#));
    let request = [(":path", "/"), ("authorization", "Bearer sk-1"), ("cookie", "c"), ("x-team", "red"), ("a", "b")];
    let (bearer, team) = (hash("x-api-key", "sk-1").unwrap(), hash("x-api-key", "red").unwrap());
    let wanted =
        format!(":path=/ authorization={bearer} cookie=[redacted] x-team={team} a=b|:status=200 x-team={team}");
    assert_eq!(told(&mut tap, &request, &[(":status", "200"), ("x-team", "red")]), wanted);
    assert_eq!(counted(&tap, "ConfigErrors"), 0);
}

#[test]
fn without_a_good_key_they_are_hidden_and_the_fault_is_told_and_counted() {
    for key in ["", r#","hash_key":"fifteen bytes..""#, r#","hash_key":7"#, r#","hash_key":null"#] {
        let mut tap = configured(&format!(r#""hash_headers":["x-team"]{key}"#));
        let text = told(&mut tap, &[("x-team", "red"), ("a", "b")], &[("x-team", "red")]);
        assert_eq!(text, "x-team=[redacted] a=b|x-team=[redacted]", "{key}");
        assert_eq!(counted(&tap, "ConfigErrors"), 1, "{key}");
        let lines = tap.host().lines.borrow();
        assert!(lines.iter().all(|line| line.contains("hash_key: must")) && !lines.is_empty(), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("fifteen")), "the key is in the log: {lines:?}");
    }
}

#[test]
fn names_that_cannot_be_read_let_nothing_be_told() {
    for names in [r#""x-team""#, r#"["x-team",7]"#, "{}"] {
        let tap = configured(&format!(r#""hash_headers":{names},"hash_key":"{KEY}""#));
        assert!(tap.root(ROOT).is_none(), "{names}");
        assert_eq!(counted(&tap, "ConfigErrors"), 1, "{names}");
    }
}
