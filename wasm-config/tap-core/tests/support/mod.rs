//! A proxy whose every answer the test decides, and a reader for what it was given to post.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

pub mod decode;
pub mod random;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use tap_core::headers::serialise;
use tap_core::host::{Block, Direction, Host, LogLevel, Metric, Post};
use tap_core::tap::Tap;

pub const ROOT: u32 = 1;
pub const PRINCIPAL: &str = "spiffe://cluster.local/ns/clients/sa/chat";
pub const START_NS: i64 = 1_790_000_000_123_456_789;
pub const SECOND: u64 = 1_000_000_000;
pub const MILLISECOND: u64 = 1_000_000;

#[derive(Default)]
pub struct FakeProxy {
    pub now: Cell<u64>,
    pub blocks: RefCell<HashMap<u32, Vec<u8>>>,
    pub chunk: RefCell<Vec<u8>>,
    /// No read of a body gives anything.
    pub chunkless: Cell<bool>,
    pub properties: RefCell<HashMap<String, Vec<u8>>>,
    pub refuses: Cell<bool>,
    /// Every try with its token, refused ones too.
    pub posted: RefCell<Vec<(u32, Vec<u8>)>>,
    pub post_headers: RefCell<Vec<u8>>,
    pub answer: RefCell<HashMap<String, String>>,
    pub counts: RefCell<HashMap<String, u64>>,
    pub lines: RefCell<Vec<String>>,
    pub tick_ms: Cell<u32>,
    pub finished: Cell<bool>,
    pub reads: Cell<u32>,
    /// The root whose stream calls next.
    pub current: Cell<u32>,
    pub marks: RefCell<Vec<u32>>,
    pub markless: Cell<bool>,
    pub looks_for_marks: Cell<u32>,
}

impl Host for FakeProxy {
    fn now_ns(&self) -> u64 {
        self.now.get()
    }
    fn block(&self, block: Block) -> Option<Vec<u8>> {
        self.blocks.borrow().get(&(block as u32)).cloned()
    }
    fn chunk(&self, _direction: Direction, start: usize, size: usize) -> Option<Vec<u8>> {
        let chunk = self.chunk.borrow();
        (!self.chunkless.get()).then(|| chunk[start..chunk.len().min(start + size)].to_vec())
    }
    fn property(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        let name = String::from_utf8(path.to_vec()).unwrap().replace('\0', ".");
        self.properties.borrow().get(&name).cloned()
    }
    fn post(&self, post: &Post<'_>) -> Option<u32> {
        let mut posted = self.posted.borrow_mut();
        let token = posted.len() as u32 + 1;
        posted.push((token, post.body.to_vec()));
        *self.post_headers.borrow_mut() = post.headers.to_vec();
        (!self.refuses.get()).then_some(token)
    }
    fn answer_header(&self, name: &str) -> Option<Vec<u8>> {
        self.answer.borrow().get(name).map(|value| value.clone().into_bytes())
    }
    fn count(&self, metric: Metric, by: u64) {
        *self.counts.borrow_mut().entry(format!("{metric:?}")).or_default() += by;
    }
    fn log(&self, _level: LogLevel, line: &str) {
        self.lines.borrow_mut().push(line.to_owned());
    }
    fn random(&self) -> Option<u64> {
        Some(0x0123_4567_89ab_cdef)
    }
    fn tick_every(&self, milliseconds: u32) {
        self.tick_ms.set(milliseconds);
    }
    fn done(&self) {
        self.finished.set(true);
    }
    fn mark(&self, root: u32) -> bool {
        self.marks.borrow_mut().push(root);
        !self.markless.get()
    }
    fn marked(&self) -> Option<u32> {
        self.looks_for_marks.set(self.looks_for_marks.get() + 1);
        let marks = self.marks.borrow();
        marks.iter().copied().find(|mark| !self.markless.get() && *mark == self.current.get())
    }
}

/// A configured filter in a fake proxy at the start of time. `extra` is added to the configuration, with its comma.
pub fn tap(extra: &str) -> Tap<FakeProxy> {
    let mut tap = Tap::new(FakeProxy::default());
    tap.host().now.set(START_NS as u64);
    let property = |name: &str, value: Vec<u8>| tap.host().properties.borrow_mut().insert(name.to_owned(), value);
    property("request.time", START_NS.to_le_bytes().to_vec());
    property("source.address", b"10.0.0.7:41000".to_vec());
    property("connection.uri_san_peer_certificate", PRINCIPAL.as_bytes().to_vec());
    property("response.flags", 0x4000_u64.to_le_bytes().to_vec());
    property("response.code", 400_u64.to_le_bytes().to_vec());
    property("xds.node.id", b"sidecar~10.1.2.3~llama-0.models~models.svc.cluster.local".to_vec());
    property("xds.node.cluster", b"llama.models".to_vec());
    property("xds.node.metadata.NAMESPACE", b"models".to_vec());
    property("xds.node.metadata.WORKLOAD_NAME", b"llama".to_vec());
    property("xds.node.metadata.CLUSTER_ID", b"east".to_vec());
    property("xds.node.metadata.NAME", b"llama-0".to_vec());
    property("xds.node.metadata.SERVICE_ACCOUNT", b"sa-llama".to_vec());
    property("xds.node.metadata.LABELS", serialise(&[(b"app", b"llama"), (b"v", b"\xff1")]));
    tap.on_configure(ROOT, format!(r#"{{"collector":{{"cluster":"collector"}}{extra}}}"#).as_bytes());
    assert_eq!(tap.host().lines.borrow().as_slice(), &[] as &[String]);
    tap
}

pub fn advance(tap: &Tap<FakeProxy>, by_ns: u64) {
    tap.host().now.set(tap.host().now.get() + by_ns);
}

pub fn block(tap: &mut Tap<FakeProxy>, stream: u32, block: Block, pairs: &[(&str, &str)], last: bool) {
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    tap.host().blocks.borrow_mut().insert(block as u32, serialise(&pairs));
    tap.on_block(stream, block, last);
}

pub fn request(tap: &mut Tap<FakeProxy>, stream: u32, path: &str, id: &str) {
    let pairs = [(":method", "POST"), (":path", path), ("x-request-id", id), ("authorization", "Bearer s3cr3t")];
    block(tap, stream, Block::RequestHeaders, &pairs, false);
}

pub fn response(tap: &mut Tap<FakeProxy>, stream: u32) {
    block(tap, stream, Block::ResponseHeaders, &[(":status", "200"), ("set-cookie", "a=b")], false);
}

pub fn chunk(tap: &mut Tap<FakeProxy>, stream: u32, direction: Direction, data: &[u8], last: bool) {
    *tap.host().chunk.borrow_mut() = data.to_vec();
    tap.on_chunk(stream, direction, data.len() as u32, last);
}

pub fn end(tap: &mut Tap<FakeProxy>, stream: u32) {
    tap.on_log(stream);
    assert!(tap.on_done(stream));
}

/// Lets the batch's age pass and ticks.
pub fn seal(tap: &mut Tap<FakeProxy>) {
    advance(tap, 200 * MILLISECOND);
    tap.on_tick(ROOT);
}

pub fn answer(tap: &mut Tap<FakeProxy>, token: u32, status: &str) {
    tap.host().answer.borrow_mut().insert(":status".to_owned(), status.to_owned());
    tap.on_answer(ROOT, token, true);
}

pub fn posted(tap: &Tap<FakeProxy>) -> Vec<decode::Batch> {
    tap.host().posted.borrow().iter().map(|(_, bytes)| decode::batch(bytes)).collect()
}

pub fn counted(tap: &Tap<FakeProxy>, metric: &str) -> u64 {
    tap.host().counts.borrow().get(metric).copied().unwrap_or(0)
}
