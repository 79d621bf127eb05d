//! No configuration, traffic or backlog makes the filter seal what the collector refuses: the numbers here are the collector's
//! own (`collector/receive/wire.py`, `shape.py`, `ingest.max_batch_bytes`), not the filter's.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use support::decode::{Batch, batch, labels};
use support::{FakeProxy, ROOT, answer, block, chunk, counted, end, posted, request, response, seal, tap};
use tap_core::headers::serialise;
use tap_core::host::{Block, Direction};
use tap_core::policy::{Decision, Level};
use tap_core::queue::{Passed, Place, Queue, Shared};
use tap_core::tap::Tap;
use tap_core::waiting::{Key, Waiting};
use tap_core::wire::Message;

const PARTS: usize = 8_192;
const RUNS: usize = 4_096;
const CHUNKS: usize = 524_288;
const BATCH: usize = 16 << 20;
const NODE: usize = 64 << 10;
const LABELS: usize = 256;
const LARGE: &str = r#","batch_bytes":8388608,"queue_bytes":134217728,"request_body_bytes":67108864,"tail_bytes":262144,"caller_principal":false"#;

/// Everything that waits, sealed and answered.
fn drained(tap: &mut Tap<FakeProxy>) -> Vec<Batch> {
    let mut token = 0;
    loop {
        seal(tap);
        let posts = tap.host().posted.borrow().len() as u32;
        if token == posts {
            break;
        }
        while token < posts {
            token += 1;
            answer(tap, token, "200");
        }
    }
    tap.host().posted.borrow().iter().for_each(|(_, bytes)| assert!(bytes.len() <= BATCH, "{}", bytes.len()));
    posted(tap)
}

fn ended_without_a_word(tap: &mut Tap<FakeProxy>, streams: std::ops::Range<u32>) {
    streams.for_each(|stream| {
        block(tap, stream, Block::RequestHeaders, &[], true);
        end(tap, stream);
    });
}

#[test]
fn a_batch_holds_half_of_the_parts_that_the_collector_takes_at_most() {
    let none = r#","rules":[{"name":"n","level":"none"}]"#;
    let mut tap = tap(&format!("{LARGE}{none}"));
    tap.host().properties.borrow_mut().clear();
    ended_without_a_word(&mut tap, 2..4_097);
    tap.on_tick(ROOT);
    assert_eq!(posted(&tap).len(), 0, "neither full nor old");
    ended_without_a_word(&mut tap, 4_097..50_000);
    tap.on_tick(ROOT);
    assert_eq!(posted(&tap).len(), 8, "so many parts fill a batch, whatever its bytes");
    let batches = drained(&mut tap);
    assert!(batches.iter().all(|batch| batch.parts.len() <= PARTS / 2));
    let mut streams: Vec<u64> = batches.iter().flat_map(|batch| &batch.parts).map(|part| part.stream).collect();
    streams.dedup();
    assert_eq!(streams, (2..50_000).collect::<Vec<u64>>());
    assert_eq!(batches.last().unwrap().totals.ends_sealed, 49_998);
}

fn stream(number: u32) -> Shared {
    let key = Key { stream: number, request_id: vec![], start_us: 1, downstream: vec![], principal: vec![] };
    Rc::new(RefCell::new(Waiting::new(key, Decision { level: Level::Metadata, rule: Rc::from("") })))
}

/// A chunk of one byte that is told by its length alone.
fn told(queue: &mut Queue, stream: &Shared, direction: Direction, offset: u64) {
    let passed = Passed { length: 1, captured: 0, at_us: 1, now_ns: 1 };
    queue.push_chunk(stream, Place { direction, offset }, passed, || Some(vec![]));
}

fn taken(queue: &mut Queue) -> Vec<Batch> {
    let mut batches = vec![];
    while !queue.is_empty() {
        let mut message = Message::default();
        queue.take_parts(&mut message, 8 << 20);
        batches.push(batch(&message.into_bytes()));
    }
    assert_eq!(queue.used(), 0);
    batches
}

#[test]
fn a_part_holds_half_of_the_runs_that_the_collector_takes_at_most() {
    let mut queue = Queue::new(1 << 30, 0, Rc::default());
    let gappy = stream(2);
    for number in 0..20_000 {
        told(&mut queue, &gappy, Direction::Response, 2 * number);
        told(&mut queue, &gappy, Direction::Request, 3 * number);
    }
    let batches = taken(&mut queue);
    let parts: Vec<_> = batches.iter().flat_map(|batch| &batch.parts).collect();
    assert!(parts.iter().all(|part| part.runs.len() <= RUNS / 2));
    let offsets = |direction: Direction, step: u64| {
        let runs = parts.iter().flat_map(|part| &part.runs).filter(|run| run.direction == direction as u64);
        assert_eq!(
            runs.map(|run| run.offset).collect::<Vec<u64>>(),
            (0..20_000).map(|n| step * n).collect::<Vec<u64>>()
        );
    };
    offsets(Direction::Response, 2);
    offsets(Direction::Request, 3);
    assert!(parts.iter().enumerate().all(|(index, part)| part.index == index as u64));
}

#[test]
fn chunks_of_both_directions_in_turn_are_two_runs() {
    let mut queue = Queue::new(1 << 20, 0, Rc::default());
    let both = stream(2);
    for offset in 0..100 {
        told(&mut queue, &both, Direction::Request, offset);
        told(&mut queue, &both, Direction::Response, offset);
    }
    assert_eq!(taken(&mut queue)[0].parts[0].runs.len(), 2);
}

#[test]
fn a_batch_holds_about_half_of_the_chunks_that_the_collector_takes_at_most() {
    let mut queue = Queue::new(1 << 30, 0, Rc::default());
    for number in 0..100 {
        let long = stream(number);
        (0..10_000).for_each(|offset| told(&mut queue, &long, Direction::Response, offset));
    }
    let one = stream(100);
    (0..600_000).for_each(|offset| told(&mut queue, &one, Direction::Response, offset));
    let chunks = |batch: &Batch| batch.parts.iter().flat_map(|part| &part.runs).map(|run| run.lengths.len()).sum();
    let counts: Vec<usize> = taken(&mut queue).iter().map(chunks).collect();
    assert!(counts.iter().all(|count| *count <= CHUNKS / 2 + 10), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 1_600_000);
}

#[test]
fn a_body_chunk_larger_than_a_batch_is_told_in_pieces() {
    let mut tap = tap(LARGE);
    let body: Vec<u8> = (0..40_000_000_u32).map(|at| (at / 7) as u8).collect();
    request(&mut tap, 2, "/", "id");
    chunk(&mut tap, 2, Direction::Request, &body, true);
    response(&mut tap, 2);
    end(&mut tap, 2);
    let batches = drained(&mut tap);
    assert!(batches.len() >= 3);
    let runs: Vec<_> = batches.iter().flat_map(|batch| &batch.parts).flat_map(|part| &part.runs).collect();
    assert!(runs.iter().flat_map(|run| &run.data).eq(&body));
    assert_eq!(runs.iter().flat_map(|run| &run.lengths).sum::<u64>(), body.len() as u64);
}

#[test]
fn what_is_not_captured_of_a_large_chunk_is_told_with_its_last_piece() {
    let mut tap = tap(r#","request_body_bytes":3000000"#);
    request(&mut tap, 2, "/", "id");
    chunk(&mut tap, 2, Direction::Request, &[7; 5_000_000], true);
    end(&mut tap, 2);
    let batches = drained(&mut tap);
    let runs = || batches.iter().flat_map(|batch| &batch.parts).flat_map(|part| &part.runs);
    assert_eq!(runs().flat_map(|run| run.lengths.clone()).collect::<Vec<u64>>(), [1 << 20, 1 << 20, 2_902_848]);
    assert_eq!(runs().map(|run| run.data.len()).sum::<usize>(), 3_000_000);
}

#[test]
fn the_fullest_batch_is_one_that_the_collector_takes() {
    let mut tap = tap(LARGE);
    let long = "x".repeat((1 << 20) - 100);
    request(&mut tap, 2, "/", "id");
    chunk(&mut tap, 2, Direction::Request, &vec![1; (8 << 20) - 1_000], true);
    block(&mut tap, 3, Block::RequestHeaders, &[("x", &long)], false);
    block(&mut tap, 3, Block::ResponseHeaders, &[("x", &long)], false);
    chunk(&mut tap, 3, Direction::Request, &[2; 1 << 20], false);
    chunk(&mut tap, 3, Direction::Response, &[3; 2 << 20], false);
    block(&mut tap, 3, Block::RequestTrailers, &[("x", &long)], true);
    block(&mut tap, 3, Block::ResponseTrailers, &[("x", &long)], true);
    end(&mut tap, 3);
    assert_eq!(drained(&mut tap)[0].parts.len(), 2, "the second begins where there is room for a byte");
}

#[test]
fn a_header_block_beyond_what_a_batch_can_hold_is_dropped_and_counted() {
    let mut tap = tap(LARGE);
    block(&mut tap, 2, Block::RequestHeaders, &[(":path", "/"), ("x", &"x".repeat(1 << 20))], true);
    end(&mut tap, 2);
    let batches = drained(&mut tap);
    assert_eq!(batches[0].parts[0].blocks, [None, None, None, None]);
    assert_eq!(batches[0].parts[0].end.unwrap()[7], 1, "the end tells of it");
    assert_eq!(batches[0].totals.drops, [[1, 0, 1, 0]]);
}

fn labelled(pairs: &[(String, String)]) -> Tap<FakeProxy> {
    let mut tap = tap("");
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    for name in ["id", "cluster", "metadata.NAMESPACE", "metadata.WORKLOAD_NAME", "metadata.NAME"] {
        tap.host().properties.borrow_mut().insert(format!("xds.node.{name}"), vec![b'n'; 10_000]);
    }
    tap.host().properties.borrow_mut().insert("xds.node.metadata.LABELS".to_owned(), serialise(&pairs));
    tap.on_configure(ROOT, br#"{"collector":{"cluster":"c"}}"#);
    request(&mut tap, 2, "/", "id");
    seal(&mut tap);
    tap
}

#[test]
fn labels_beyond_what_the_collector_takes_are_left_out_and_counted() {
    let many: Vec<_> = (0..300).map(|number| (format!("l{number}"), "v".to_owned())).collect();
    let tap = labelled(&many);
    assert_eq!(labels(&posted(&tap)[0].node), LABELS);
    assert_eq!(counted(&tap, "LabelsLeftOut"), 44);
    assert!(tap.host().lines.borrow()[0].starts_with("44 of the node's labels are left out"));
}

#[test]
fn a_node_is_told_in_less_than_the_collector_takes() {
    let long: Vec<_> = (0..300).map(|number| (format!("l{number}").repeat(100), "v".repeat(70_000))).collect();
    let tap = labelled(&long);
    assert!(posted(&tap)[0].node.len() < NODE / 2);
    assert!(counted(&tap, "LabelsLeftOut") > 250);
}
