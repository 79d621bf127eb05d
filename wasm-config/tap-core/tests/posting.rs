//! Retries, refusals, ages and the end of a VM.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod support;

use support::{FakeProxy, MILLISECOND, ROOT, SECOND, advance, answer, counted, end, posted, request, seal, tap};
use tap_core::headers::Pairs;
use tap_core::tap::Tap;

fn one_batch(tap: &mut Tap<FakeProxy>) {
    request(tap, 2, "/", "id");
    end(tap, 2);
    seal(tap);
}

fn tick_until_posted(tap: &mut Tap<FakeProxy>, posts: usize, within_ms: u64) {
    for _ in 0..within_ms / 25 {
        if tap.host().posted.borrow().len() >= posts {
            return;
        }
        advance(tap, 25 * MILLISECOND);
        tap.on_tick(ROOT);
    }
    assert_eq!(tap.host().posted.borrow().len(), posts, "within {within_ms} ms");
}

#[test]
fn a_post_names_the_path_the_type_and_the_token() {
    let mut tap = Tap::new(FakeProxy::default());
    let json = br#"{"collector":{"cluster":"outbound|8080||c.audit.svc.cluster.local","token":"T"}}"#;
    tap.on_configure(ROOT, json);
    one_batch(&mut tap);
    let headers = tap.host().post_headers.borrow().clone();
    let pairs: Vec<_> = Pairs::new(&headers).map(Result::unwrap).collect();
    assert!(pairs.contains(&(b":method", b"POST")) && pairs.contains(&(b":path", b"/v1/tap")));
    assert!(pairs.contains(&(b":authority", b"c.audit.svc.cluster.local")));
    assert!(pairs.contains(&(b"content-type", b"application/x-protobuf")));
    assert!(pairs.contains(&(b"authorization", b"Bearer T")));
}

#[test]
fn a_failed_post_is_repeated_byte_for_byte_with_a_growing_pause() {
    for status in [None, Some("500"), Some("503"), Some("408"), Some("429"), Some("204")] {
        let mut tap = tap("");
        one_batch(&mut tap);
        for (tries, within_ms) in [(2, 125), (3, 225), (4, 425), (5, 825), (6, 1_025), (7, 1_025)] {
            match status {
                None => tap.on_answer(ROOT, tries as u32 - 1, false),
                Some(status) => answer(&mut tap, tries as u32 - 1, status),
            }
            tick_until_posted(&mut tap, tries, within_ms);
        }
        let bytes: Vec<_> = tap.host().posted.borrow().iter().map(|(_, bytes)| bytes.clone()).collect();
        assert!(bytes.iter().all(|try_| try_ == &bytes[0]), "{status:?}");
        answer(&mut tap, 7, "200");
        assert_eq!((counted(&tap, "BatchesFailed"), counted(&tap, "BatchesPosted")), (6, 1));
        assert_eq!(tap.root(ROOT).unwrap().borrow().queue.used(), 0);
    }
}

#[test]
fn a_refused_batch_is_given_up_and_counted() {
    let mut tap = tap("");
    one_batch(&mut tap);
    answer(&mut tap, 1, "413");
    (0..20).for_each(|_| seal(&mut tap));
    let batches = posted(&tap);
    assert_eq!((batches.len(), batches[1].parts.len()), (2, 0), "the totals follow alone, once");
    assert_eq!(batches[1].totals.abandoned, [[4, 1, 2, 0]]);
    assert_eq!(batches[1].totals.batches_abandoned, 1);
    answer(&mut tap, 2, "413");
    (0..20).for_each(|_| seal(&mut tap));
    assert_eq!(posted(&tap).len(), 2, "a collector that refuses everything is not asked for ever");
}

#[test]
fn a_batch_that_is_too_old_is_given_up() {
    let mut tap = tap(r#","max_age_ms":5000"#);
    one_batch(&mut tap);
    tap.on_answer(ROOT, 1, false);
    tap.host().refuses.set(true);
    (0..26).for_each(|_| seal(&mut tap));
    assert_eq!(counted(&tap, "BatchesAbandoned"), 1);
    tap.host().refuses.set(false);
    (0..10).for_each(|_| seal(&mut tap));
    assert_eq!(posted(&tap).pop().unwrap().totals.abandoned, [[3, 1, 2, 0]]);
}

#[test]
fn a_collector_that_asks_for_a_pause_gets_it() {
    let mut tap = tap("");
    one_batch(&mut tap);
    tap.host().answer.borrow_mut().insert("retry-after".to_owned(), "7".to_owned());
    answer(&mut tap, 1, "503");
    advance(&tap, 6 * SECOND);
    tap.on_tick(ROOT);
    assert_eq!(posted(&tap).len(), 1);
    advance(&tap, SECOND);
    tap.on_tick(ROOT);
    assert_eq!(posted(&tap).len(), 2);
}

#[test]
fn a_missing_cluster_is_a_failed_post() {
    let mut tap = tap("");
    tap.host().refuses.set(true);
    one_batch(&mut tap);
    tick_until_posted(&mut tap, 5, 3_000);
    tap.host().refuses.set(false);
    let tries = posted(&tap).len();
    tick_until_posted(&mut tap, tries + 1, 1_025);
    answer(&mut tap, tries as u32 + 1, "200");
    assert_eq!((counted(&tap, "BatchesPosted"), tap.root(ROOT).unwrap().borrow().queue.used()), (1, 0));
}

#[test]
fn nothing_is_sealed_while_no_slot_is_free() {
    let mut tap = tap(r#","posts_in_flight":2"#);
    for stream in 2..30 {
        request(&mut tap, stream, "/", "id");
        end(&mut tap, stream);
        seal(&mut tap);
    }
    assert_eq!(posted(&tap).iter().map(|batch| batch.sequence).max(), Some(2));
    answer(&mut tap, 1, "200");
    assert_eq!(posted(&tap).pop().unwrap().parts.len(), 26, "what waited goes in one batch");
}

#[test]
fn a_post_whose_answer_never_comes_is_repeated() {
    let mut tap = tap("");
    one_batch(&mut tap);
    advance(&tap, 8 * SECOND);
    tap.on_tick(ROOT);
    advance(&tap, SECOND);
    tap.on_tick(ROOT);
    assert_eq!(posted(&tap).len(), 2);
    answer(&mut tap, 1, "200");
    assert_ne!(tap.root(ROOT).unwrap().borrow().queue.used(), 0, "the old answer is nobody's");
}

#[test]
fn a_closing_root_sends_first() {
    let mut tap = tap("");
    request(&mut tap, 2, "/", "id");
    end(&mut tap, 2);
    assert!(!tap.on_done(ROOT));
    assert_eq!(posted(&tap).len(), 1);
    tap.on_tick(ROOT);
    assert!(!tap.host().finished.get());
    answer(&mut tap, 1, "200");
    tap.on_tick(ROOT);
    assert!(tap.host().finished.get());
}

#[test]
fn a_closing_root_does_not_wait_for_ever() {
    let mut tap = tap(r#","max_age_ms":5000"#);
    tap.host().refuses.set(true);
    request(&mut tap, 2, "/", "id");
    end(&mut tap, 2);
    assert!(!tap.on_done(ROOT));
    (0..26).for_each(|_| seal(&mut tap));
    assert!(tap.host().finished.get());
}

#[test]
fn an_idle_root_closes_at_once() {
    assert!(tap("").on_done(ROOT));
}
