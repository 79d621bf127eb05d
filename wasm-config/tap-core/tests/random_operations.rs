//! Whatever happens in whatever order, with whatever answers: the counts add up, memory is bounded, and what arrives of
//! a stream arrives in its order.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use support::decode::{Batch, Part};
use support::random::Random;
use support::{FakeProxy, MILLISECOND, ROOT, advance, tap};
use tap_core::host::{Block, Direction};
use tap_core::tap::Tap;

const STATUSES: [&str; 8] = ["200", "200", "200", "500", "503", "429", "400", "nonsense"];
const SEEDS: u64 = 300;
const QUEUE: u64 = 64 * 1024;

/// A life of the filter; what the proxy was told is kept to compare it with.
struct Life {
    tap: Tap<FakeProxy>,
    random: Random,
    alive: Vec<u32>,
    next: u32,
    /// Body bytes that really passed, by stream and direction.
    bodies: HashMap<(u32, u64), Vec<u8>>,
    unanswered: Vec<u32>,
    answered_posts: usize,
}

impl Life {
    fn new(seed: u64) -> Self {
        let extra = r#","queue_bytes":65536,"batch_bytes":4096,"posts_in_flight":3,"max_age_ms":3000,
            "request_body_bytes":3000,"response_body_bytes":5000,"tail_bytes":1500,
            "rules":[{"name":"n","path":{"prefix":"/n"},"level":"none"},{"name":"m","path":{"prefix":"/m"},"level":"metadata"},
                     {"name":"r","path":{"prefix":"/r"},"level":"request"},{"name":"s","path":{"prefix":"/s"},"level":"request_response","sample":5000}]"#;
        let (tap, random) = (tap(extra), Random(seed));
        Self { tap, random, alive: vec![], next: 2, bodies: HashMap::new(), unanswered: vec![], answered_posts: 0 }
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=3 => self.begin(),
            4..=9 => self.chunk(),
            10 | 11 => self.block(),
            12..=14 => self.end(),
            15 => self.answer(),
            16 => self.tap.host().refuses.set(self.random.below(3) == 0),
            17 => advance(&self.tap, self.random.below(2_000) * MILLISECOND),
            _ => {
                advance(&self.tap, self.random.below(60) * MILLISECOND);
                self.tap.on_tick(ROOT);
            }
        }
    }

    fn begin(&mut self) {
        let stream = self.next;
        self.next += 1;
        self.alive.push(stream);
        let path = ["/n", "/m", "/r", "/s", "/"][self.random.below(5) as usize];
        let (id, padding) = (format!("id-{stream}"), "x".repeat(self.random.below(300) as usize));
        let pairs = [(":path", path), (":method", "POST"), ("x-request-id", id.as_str()), ("x-p", padding.as_str())];
        if self.random.below(10) == 0 {
            let garbage = self.random.bytes(60);
            self.tap.host().blocks.borrow_mut().insert(0, garbage);
        }
        if self.random.below(10) != 0 {
            support::block(&mut self.tap, stream, Block::RequestHeaders, &pairs, self.random.below(3) == 0);
        }
    }

    fn some(&mut self) -> Option<u32> {
        let count = self.alive.len() as u64;
        if count == 0 { None } else { Some(self.alive[self.random.below(count) as usize]) }
    }

    fn chunk(&mut self) {
        let Some(stream) = self.some() else { return };
        let data = self.random.bytes(2_000);
        let direction = if self.random.below(2) == 0 { Direction::Request } else { Direction::Response };
        self.bodies.entry((stream, direction as u64)).or_default().extend(&data);
        support::chunk(&mut self.tap, stream, direction, &data, self.random.below(5) == 0);
    }

    fn block(&mut self) {
        let Some(stream) = self.some() else { return };
        let which =
            [Block::RequestTrailers, Block::ResponseHeaders, Block::ResponseTrailers][self.random.below(3) as usize];
        support::block(&mut self.tap, stream, which, &[("x-secret", "s"), ("a", "b")], true);
    }

    fn end(&mut self) {
        let Some(stream) = self.some() else { return };
        self.alive.retain(|alive| *alive != stream);
        if self.random.below(10) != 0 {
            self.tap.on_log(stream);
        }
        assert!(self.tap.on_done(stream));
    }

    fn answer(&mut self) {
        let posted = self.tap.host().posted.borrow().len();
        self.unanswered.extend((self.answered_posts..posted).map(|index| index as u32 + 1));
        self.answered_posts = posted;
        if self.unanswered.is_empty() {
            return;
        }
        let at = self.random.below(self.unanswered.len() as u64) as usize;
        let token = self.unanswered.swap_remove(at);
        let status = STATUSES[self.random.below(8) as usize];
        match self.random.below(4) {
            0 => self.tap.on_answer(ROOT, token, false),
            _ => support::answer(&mut self.tap, token, status),
        }
    }

    /// What must hold after every step.
    fn check(&self) {
        let root = self.tap.root(ROOT).unwrap().borrow();
        let totals = root.queue.totals;
        assert_eq!(totals.ends, totals.ends_sealed + totals.drops.sum().ends + root.queue.waiting_ends());
        assert!(root.queue.held() as u64 <= QUEUE, "{} bytes in a queue of {QUEUE}", root.queue.held());
        assert!(root.queue.used() <= root.queue.held());
    }

    /// Ends everything and lets a well collector take all.
    fn drain(&mut self) {
        self.tap.host().refuses.set(false);
        while let Some(stream) = self.alive.pop() {
            self.tap.on_log(stream);
            self.tap.on_done(stream);
        }
        let mut token = 1;
        for _ in 0..2_000 {
            advance(&self.tap, 100 * MILLISECOND);
            self.tap.on_tick(ROOT);
            while (token as usize) <= self.tap.host().posted.borrow().len() {
                support::answer(&mut self.tap, token, "200");
                token += 1;
            }
        }
    }
}

fn sealed(tap: &Tap<FakeProxy>) -> Vec<Batch> {
    let mut by_sequence: BTreeMap<u64, (Vec<u8>, Batch)> = BTreeMap::new();
    for ((_, bytes), batch) in tap.host().posted.borrow().iter().zip(support::posted(tap)) {
        let held = by_sequence.entry(batch.sequence).or_insert_with(|| (bytes.clone(), batch));
        assert_eq!(&held.0, bytes, "a retry must repeat the same bytes");
    }
    by_sequence.into_values().map(|(_, batch)| batch).collect()
}

fn check_stream(life: &Life, stream: u64, parts: &[&Part]) {
    let mut next = [0_u64; 2];
    let mut short = [false; 2];
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    for (index, part) in parts.iter().enumerate() {
        assert_eq!(part.index, index as u64, "stream {stream}");
        assert!(part.end.is_none() || index + 1 == parts.len(), "an end is the last thing");
        assert_eq!((part.start_us, part.downstream.as_str()), (support::START_NS / 1_000, ""));
        assert_eq!(part.principal, if index == 0 { support::PRINCIPAL } else { "" });
        for block in (0..4).filter(|block| part.blocks[*block].is_some()) {
            assert!(seen.insert(block) || block % 2 == 1, "headers come once");
        }
        for run in &part.runs {
            let direction = run.direction as usize;
            assert!(run.offset >= next[direction], "chunks keep their order");
            let passed: u64 = run.lengths.iter().sum();
            let body = &life.bodies[&(stream as u32, run.direction)];
            let at = run.offset as usize;
            assert_eq!(run.data, body[at..at + run.data.len()], "captured bytes lie where they say");
            assert!(!short[direction] || run.data.is_empty(), "behind the limit nothing is captured");
            short[direction] |= (run.data.len() as u64) < passed;
            next[direction] = run.offset + passed;
        }
        for (direction, offset, data) in &part.tails {
            let (body, at) = (&life.bodies[&(stream as u32, *direction)], *offset as usize);
            assert_eq!(*data, body[at..at + data.len()], "a tail lies where it says");
            assert!(at as u64 >= [3_000, 5_000][*direction as usize] && (1..=1_500).contains(&data.len()));
            assert_eq!(part.level as usize, [part.level as usize, 4][*direction as usize], "not below its level");
        }
    }
    let level = parts[0].level;
    assert!(level != 1 || parts.iter().all(|part| part.runs.is_empty() && part.blocks.iter().all(Option::is_none)));
    assert!(
        level != 2 || parts.iter().all(|part| part.runs.iter().all(|run| run.direction == 1 && run.data.is_empty()))
    );
}

#[test]
fn counts_bounds_and_order_hold_whatever_happens() {
    let (mut dropped, mut tails) = (0, 0);
    for seed in 0..SEEDS {
        let mut life = Life::new(seed);
        for _ in 0..400 {
            life.step();
            life.check();
        }
        life.drain();
        life.check();
        let batches = sealed(&life.tap);
        assert!(batches.iter().enumerate().all(|(index, batch)| batch.sequence == index as u64 + 1));
        let mut streams: BTreeMap<u64, Vec<&Part>> = BTreeMap::new();
        batches
            .iter()
            .flat_map(|batch| &batch.parts)
            .for_each(|part| streams.entry(part.stream).or_default().push(part));
        streams.iter().for_each(|(stream, parts)| check_stream(&life, *stream, parts));
        let last = &batches.last().unwrap().totals;
        let told: u64 = last.drops.iter().map(|drop| drop[1]).sum();
        let ends = streams.values().flatten().filter(|part| part.end.is_some()).count() as u64;
        assert_eq!((last.streams, last.ends, last.ends_sealed), (last.ends, ends + told, ends), "seed {seed}");
        let root = life.tap.root(ROOT).unwrap().borrow();
        assert_eq!((root.queue.held(), root.queue.is_empty()), (0, true), "everything is given back");
        tails += streams.values().flatten().map(|part| part.tails.len()).sum::<usize>();
        dropped += root.queue.totals.drops.sum().fragments;
    }
    assert!(dropped > 0 && tails > 0, "the runs must reach the bounds");
}
