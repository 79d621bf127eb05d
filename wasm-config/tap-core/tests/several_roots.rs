//! One VM holds a root for each plugin configuration, and every stream is told as its own root says.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod support;

use support::{FakeProxy, MILLISECOND, ROOT, advance, end, posted, request, tap};
use tap_core::tap::Tap;

const OTHER: u32 = 7;
const FAULTY: &str = r#"{"collector":{"cluster":"c"},"tick":5}"#;

fn rule(name: &str) -> String {
    format!(r#"{{"collector":{{"cluster":"c"}},"rules":[{{"name":"{name}","level":"metadata"}}]}}"#)
}

/// A stream of `root` passes.
fn pass(tap: &mut Tap<FakeProxy>, root: u32, stream: u32) {
    tap.host().current.set(root);
    request(tap, stream, "/", "id");
    end(tap, stream);
}

/// (stream, rule) of all that both roots have posted after their age.
fn told(tap: &mut Tap<FakeProxy>) -> Vec<(u64, String)> {
    advance(tap, 200 * MILLISECOND);
    tap.on_tick(ROOT);
    tap.on_tick(OTHER);
    let parts = posted(tap).into_iter().flat_map(|batch| batch.parts);
    parts.map(|part| (part.stream, part.rule)).collect()
}

#[test]
fn each_stream_is_told_by_its_own_root() {
    let mut tap = tap("");
    tap.on_configure(OTHER, rule("other").as_bytes());
    for (root, stream) in [(ROOT, 20), (OTHER, 21), (ROOT, 22), (OTHER, 23)] {
        pass(&mut tap, root, stream);
    }
    let expected = [(20, ""), (22, ""), (21, "other"), (23, "other")].map(|(stream, rule)| (stream, rule.to_owned()));
    assert_eq!(told(&mut tap), expected);
    assert_eq!(tap.host().marks.borrow().as_slice(), [OTHER], "the first needs no mark");
}

#[test]
fn a_root_alone_is_not_looked_for() {
    let mut tap = tap("");
    pass(&mut tap, ROOT, 20);
    assert_eq!(tap.host().looks_for_marks.get(), 0);
    tap.on_configure(OTHER, rule("other").as_bytes());
    tap.host().current.set(OTHER);
    request(&mut tap, 21, "/", "id");
    end(&mut tap, 21);
    assert_eq!(tap.host().looks_for_marks.get(), 1, "once for each stream");
}

#[test]
fn a_stream_keeps_its_root_when_another_one_comes() {
    let mut tap = tap("");
    request(&mut tap, 20, "/", "id");
    tap.on_configure(OTHER, rule("other").as_bytes());
    end(&mut tap, 20);
    assert_eq!(told(&mut tap), [(20, String::new())]);
}

#[test]
fn streams_of_a_refused_configuration_are_left_alone_beside_a_good_one() {
    let mut tap = tap("");
    tap.on_configure(OTHER, FAULTY.as_bytes());
    pass(&mut tap, OTHER, 20);
    pass(&mut tap, ROOT, 21);
    assert_eq!(told(&mut tap), [(21, String::new())]);
}

#[test]
fn a_stream_that_began_under_a_refused_configuration_is_never_told() {
    let mut tap = Tap::new(FakeProxy::default());
    tap.on_configure(ROOT, FAULTY.as_bytes());
    tap.host().current.set(ROOT);
    request(&mut tap, 20, "/", "id");
    assert!(tap.on_done(ROOT));
    tap.on_configure(OTHER, rule("other").as_bytes());
    end(&mut tap, 20);
    pass(&mut tap, OTHER, 21);
    assert_eq!(told(&mut tap), [(21, "other".to_owned())]);
}

#[test]
fn a_root_that_has_gone_leaves_the_other_its_streams() {
    let mut tap = tap("");
    tap.on_configure(OTHER, rule("other").as_bytes());
    assert!(tap.on_done(ROOT));
    pass(&mut tap, OTHER, 20);
    tap.on_configure(ROOT + 1, rule("third").as_bytes());
    pass(&mut tap, OTHER, 21);
    assert_eq!(told(&mut tap), [(20, "other".to_owned()), (21, "other".to_owned())]);
    assert_eq!(tap.host().marks.borrow().as_slice(), [OTHER, ROOT + 1]);
}

#[test]
fn a_proxy_without_marks_is_told_of_and_gets_the_newest_configuration() {
    let mut tap = tap("");
    tap.host().markless.set(true);
    tap.on_configure(OTHER, rule("other").as_bytes());
    pass(&mut tap, ROOT, 20);
    assert_eq!(told(&mut tap), [(20, "other".to_owned())]);
    assert!(tap.host().lines.borrow()[0].contains("the newest one is used"));
}

/// Fills the queue of `root` until it takes no more. Returns what both roots hold then.
fn fill(tap: &mut Tap<FakeProxy>, root: u32, stream: u32) -> [usize; 2] {
    tap.host().current.set(root);
    for number in 0..100 {
        request(tap, stream + number, "/", &"x".repeat(1000));
    }
    [ROOT, OTHER].map(|root| tap.root(root).unwrap().borrow().queue.used())
}

#[test]
fn roots_of_one_vm_share_one_bound() {
    const BOUND: usize = 65_536;
    let small = r#""queue_bytes":65536,"posts_in_flight":2"#;
    let mut tap = tap(&format!(",{small}"));
    tap.on_configure(OTHER, format!(r#"{{"collector":{{"cluster":"c"}},{small}}}"#).as_bytes());
    let [full, _] = fill(&mut tap, ROOT, 100);
    assert!(full > BOUND / 2, "the one that has traffic may use nearly all of it");
    let [first, second] = fill(&mut tap, OTHER, 300);
    assert!(second < 2_500 && first + second <= BOUND, "{first} and {second} bytes are held");
    assert_ne!(
        tap.root(OTHER).unwrap().borrow().queue.totals.drops.sum().fragments,
        0,
        "what found no room is counted"
    );
    assert!(!tap.on_done(ROOT), "it waits for its answers");
    tap.on_configure(ROOT, FAULTY.as_bytes());
    for number in 0..100 {
        end(&mut tap, 100 + number);
        tap.on_done(100 + number);
    }
    tap.host().current.set(OTHER);
    for number in 0..100 {
        request(&mut tap, 500 + number, "/", &"x".repeat(1000));
    }
    let held = tap.root(OTHER).unwrap().borrow().queue.used();
    assert!(held > BOUND / 2, "a root that is no more leaves its share to the others: {held} bytes are held");
}
