//! Header blocks: redaction hides what it must and nothing else; no bytes whatever make it panic.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod support;

use support::random::Random;
use tap_core::headers::{EMPTY, Pairs, Unreadable, inspect, redacted, serialise};
use tap_core::names::Names;
use tap_core::policy::{Level, PathMatch, Policy, Rule};
use tap_core::redact::Redaction;
use tap_core::usage;

#[test]
fn a_count_is_no_secret_unless_its_own_name_is_listed() {
    for name in usage::HEADERS {
        assert!(!standard().hides(name.as_bytes()) && !standard().hides(name.to_uppercase().as_bytes()), "{name}");
        assert!(Redaction::new(&[name], &["token"]).hides(name.as_bytes()), "{name}");
        assert!(standard().hides(format!("{name}-of-session").as_bytes()) == (name.contains("token")), "{name}");
    }
}

fn standard() -> Redaction {
    Redaction::new(&["authorization", "Cookie"], &["token", "secret"])
}

#[test]
fn named_headers_and_words_are_hidden_in_any_case() {
    for name in ["authorization", "AUTHORIZATION", "cookie", "x-token", "TokenX", "my-secrets", "secret", "x-ttoken"] {
        assert!(standard().hides(name.as_bytes()), "{name}");
    }
    for name in ["", "authorizatiom", "authorization2", "x-toke", "tok-en", "accept", "secre", "cookies"] {
        assert!(!standard().hides(name.as_bytes()), "{name}");
    }
}

#[test]
fn a_redacted_block_keeps_its_names_and_other_values() {
    let block = serialise(&[(b"a", b"1"), (b"x-token", b"t0p"), (b"b", b"")]);
    assert!(inspect(&block, &mut Names::default(), &standard()).unwrap().redact);
    let hidden = serialise(&[(b"a", b"1"), (b"x-token", b"[redacted]"), (b"b", b"")]);
    assert_eq!(redacted(&block, &standard()).unwrap(), hidden);
}

#[test]
fn a_cut_block_is_unreadable_wherever_it_is_cut() {
    let block = serialise(&[(b":path", b"/x"), (b"x-request-id", b"7")]);
    assert_eq!(inspect(&block, &mut Names::default(), &standard()).unwrap().request_id, b"7");
    for size in 1..block.len() {
        assert_eq!(inspect(&block[..size], &mut Names::default(), &standard()), Err(Unreadable), "{size} bytes");
    }
    assert_eq!(Pairs::new(&EMPTY).count() + Pairs::new(&[]).count(), 0);
}

#[test]
fn what_stood_there_before_changes_nothing() {
    const NAMES: [&[u8]; 7] = [b":path", b":status", b"x-request-id", b"cookie", b"x-token", b"accept", &[b'n'; 90]];
    let (mut random, mut names) = (Random(5), Names::default());
    for _ in 0..5_000 {
        let named: Vec<_> = (0..random.below(90)).map(|_| NAMES[random.below(7) as usize]).collect();
        let block = serialise(&named.iter().map(|name| (*name, *name)).collect::<Vec<_>>());
        let anew = inspect(&block, &mut Names::default(), &standard());
        assert_eq!(inspect(&block, &mut names, &standard()), anew, "{named:?}");
    }
}

#[test]
fn no_block_panics() {
    let mut random = Random(3);
    for _ in 0..50_000 {
        let mut block = serialise(&[(b":path", b"/v1"), (b"authorization", b"x"), (b"x-request-id", b"id")]);
        for _ in 0..=random.below(3) {
            let at = random.below(block.len() as u64) as usize;
            block[at] = random.next() as u8;
        }
        block.truncate(random.below(block.len() as u64 + 1) as usize);
        let _ = (inspect(&block, &mut Names::default(), &standard()), redacted(&block, &standard()));
        let noise = random.bytes(40);
        let _ = (inspect(&noise, &mut Names::default(), &standard()), redacted(&noise, &standard()));
    }
}

fn rule(name: &str, path: PathMatch, method: Option<&str>, sample: u32) -> Rule {
    Rule { name: name.into(), path, method: method.map(str::to_owned), level: Level::Metadata, sample }
}

#[test]
fn the_first_rule_that_matches_decides_without_the_query() {
    let policy = Policy::new(vec![
        rule("exact", PathMatch::Exact("/a".into()), Some("GET"), 10_000),
        rule("prefix", PathMatch::Prefix("/a".into()), None, 10_000),
        rule("suffix", PathMatch::Suffix("/end".into()), None, 10_000),
    ]);
    let name = |method: &str, path: &str| policy.decide(method.as_bytes(), path.as_bytes(), b"", 0).rule.to_string();
    assert_eq!([name("GET", "/a?q=/end"), name("POST", "/a"), name("GET", "/ab")], ["exact", "prefix", "prefix"]);
    assert_eq!([name("GET", "/x/end?z"), name("GET", "/x"), name("", "")], ["suffix", "", ""]);
}

#[test]
fn sampling_keeps_its_share_and_is_the_same_at_every_proxy() {
    let policy = Policy::new(vec![rule("s", PathMatch::Any, None, 2_500)]);
    let kept = |id: &str, ordinal| policy.decide(b"GET", b"/", id.as_bytes(), ordinal).level == Level::Metadata;
    let by_id = (0..20_000).filter(|n| kept(&format!("{n:08x}-2026-4abc-9def-{n:012x}"), 0)).count();
    assert!((4_600..5_400).contains(&by_id), "{by_id} of 20000");
    let by_counter = (0..20_000).filter(|n| kept("", *n)).count();
    assert_eq!(by_counter, 5_000);
    let traced = |digit: char| format!("0f2d9f1c-9b1a-{digit}6de-8e0b-5a1f0c3d9e77");
    assert_eq!(kept(&traced('4'), 0), kept(&traced('9'), 0));
}
