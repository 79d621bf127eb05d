//! One stream: decides its level once, reads its key once, and hands every fragment on with its offset and time.

use crate::bounds;
use crate::caller;
use crate::headers::{self, EMPTY, Findings, Unreadable};
use crate::host::{Block, Direction, Host, Metric};
use crate::policy::Level;
use crate::queue::{Passed, Place, Shared};
use crate::redact::Redaction;
use crate::root::Root;
use crate::tail::Tail;
use crate::totals::Reason;
use crate::waiting::{End, Key, Waiting};
use std::cell::RefCell;
use std::rc::Rc;

const START: &[u8] = b"request\0time";
const FLAGS: &[u8] = b"response\0flags";
const CODE: &[u8] = b"response\0code";
/// The status behind which a WebSocket's frames pass.
const SWITCHING: &[u8] = b"101";
/// A longer request id is cut: every part repeats it.
pub const MAX_REQUEST_ID: usize = 1024;

#[derive(Debug, Default)]
struct Half {
    size: u64,
    complete: bool,
    /// Bytes passed beyond the limit, and their last ones are wanted.
    cut: bool,
    /// What passed could not be read for the tail.
    unread: bool,
    /// None: there was no need yet, or no room.
    tail: Option<Box<Tail>>,
}

/// A stream that has begun.
#[derive(Debug)]
pub struct Stream {
    level: Level,
    start_ns: u64,
    request: Half,
    response: Half,
    response_seen: bool,
    /// What is answered are a WebSocket's frames, of which more is captured.
    upgraded: bool,
    well: bool,
    ended: bool,
    headers_dropped: u32,
    waiting: Shared,
}

impl Stream {
    /// Begins a stream: reads its request headers and its key, and decides its level.
    pub fn begin<H: Host>(host: &H, root: &mut Root, number: u32) -> Self {
        let ordinal = root.queue.totals.streams;
        root.queue.totals.streams = ordinal.saturating_add(1);
        let settings = Rc::clone(&root.settings);
        let map = host.block(Block::RequestHeaders).unwrap_or_default();
        let found = inspect(root, Block::RequestHeaders, &map);
        let seen = found.unwrap_or_default();
        let decision = settings.policy.decide(seen.method, seen.path, seen.request_id, ordinal);
        // The request headers are told with the stream's start: a look at the clock would add only the time it took.
        let start = host.property(START).and_then(|bytes| integer(&bytes)).unwrap_or_else(|| host.now_ns() as i64);
        let key = Key {
            stream: number,
            request_id: seen.request_id.get(..MAX_REQUEST_ID).unwrap_or(seen.request_id).to_vec(),
            start_us: start.div_euclid(1_000),
            downstream: if settings.caller_address { caller::address(host) } else { Vec::new() },
            principal: if settings.caller_principal { caller::principal(host) } else { Vec::new() },
        };
        let outgoing = found.map(|findings| findings.redact);
        let mut stream = Self {
            level: decision.level,
            start_ns: start as u64,
            request: Half::default(),
            response: Half::default(),
            response_seen: false,
            upgraded: false,
            well: false,
            ended: false,
            headers_dropped: 0,
            waiting: Rc::new(RefCell::new(Waiting::new(key, decision))),
        };
        if stream.level != Level::None && !map.is_empty() {
            let map = ready(host, map, outgoing, &settings.redaction);
            stream.push_block(root, Block::RequestHeaders, map, start as u64);
        }
        stream
    }

    /// The headers or trailers of a direction came; the request headers came with [`Stream::begin`].
    pub fn on_block<H: Host>(&mut self, host: &H, root: &mut Root, block: Block, last: bool) {
        match block {
            Block::RequestHeaders | Block::RequestTrailers => self.request.complete |= last,
            Block::ResponseHeaders | Block::ResponseTrailers => self.response.complete |= last,
        }
        match block {
            Block::RequestTrailers => self.end_tail(host, root, Direction::Request),
            Block::ResponseTrailers => self.end_tail(host, root, Direction::Response),
            Block::RequestHeaders | Block::ResponseHeaders => {}
        }
        let repeated = block == Block::ResponseHeaders && std::mem::replace(&mut self.response_seen, true);
        if self.level == Level::None || block == Block::RequestHeaders || repeated {
            return;
        }
        let now_ns = host.now_ns();
        let map = host.block(block).unwrap_or_default();
        let found = inspect(root, block, &map);
        if block == Block::ResponseHeaders {
            self.well = found.is_ok_and(|findings| is_well(findings.status));
            self.upgraded = found.is_ok_and(|findings| findings.status == SWITCHING);
        }
        let outgoing = found.map(|findings| findings.redact);
        let map = ready(host, map, outgoing, &root.settings.redaction);
        self.push_block(root, block, map, now_ns);
    }

    fn push_block(&mut self, root: &mut Root, block: Block, map: Vec<u8>, now_ns: u64) {
        if !root.queue.push_block(&self.waiting, block, map, self.since_us(now_ns), now_ns) {
            self.headers_dropped = self.headers_dropped.saturating_add(1);
        }
    }

    /// A body chunk passes.
    pub fn on_chunk<H: Host>(&mut self, host: &H, root: &mut Root, direction: Direction, length: u32, last: bool) {
        let half = self.half(direction);
        let offset = half.size;
        half.size = offset.saturating_add(u64::from(length));
        half.complete |= last;
        if length != 0 && self.tells_chunks(direction) {
            self.pass(host, root, Place { direction, offset }, length);
        }
        if last {
            self.end_tail(host, root, direction);
        }
    }

    fn pass<H: Host>(&mut self, host: &H, root: &mut Root, place: Place, length: u32) {
        let Place { direction, offset } = place;
        let limit = self.capture_limit(root, direction);
        let captured = limit.saturating_sub(offset).min(u64::from(length)) as u32;
        let now_ns = host.now_ns();
        let at_us = self.since_us(now_ns);
        for (start, captured, length) in pieces(captured, length) {
            let place = Place { direction, offset: offset.saturating_add(u64::from(start)) };
            let passed = Passed { length, captured: captured as usize, at_us, now_ns };
            root.queue.push_chunk(&self.waiting, place, passed, || match captured {
                0 => Some(Vec::new()),
                size => host.chunk(direction, start as usize, size as usize),
            });
        }
        // Where a limit of 0 says that nothing of a body is wanted, its end is not wanted either.
        if captured < length && limit != 0 && root.settings.tail_bytes != 0 {
            self.keep_tail(host, root, direction, captured, length);
        }
    }

    /// Keeps the end of a chunk of which only the beginning is captured.
    fn keep_tail<H: Host>(&mut self, host: &H, root: &Root, direction: Direction, captured: u32, length: u32) {
        let most = root.settings.tail_bytes;
        let half = self.half(direction);
        half.cut = true;
        if half.tail.is_none() {
            half.tail = root.queue.tail(most).map(Box::new);
        }
        let Some(tail) = &mut half.tail else { return };
        let start = captured.max(length.saturating_sub(most as u32));
        let size = length.saturating_sub(start) as usize;
        match host.chunk(direction, start as usize, size) {
            Some(data) if data.len() == size => tail.push(&data),
            _ => {
                tail.clear();
                half.unread = true;
            }
        }
    }

    /// The body of this direction is over.
    fn end_tail<H: Host>(&mut self, host: &H, root: &mut Root, direction: Direction) {
        let limit = self.capture_limit(root, direction);
        let half = self.half(direction);
        if !std::mem::take(&mut half.cut) {
            return;
        }
        let data = half.tail.take().map(|tail| tail.into_bytes()).unwrap_or_default();
        let (size, unread) = (half.size, half.unread);
        let due = size.saturating_sub(limit).min(root.settings.tail_bytes as u64) as usize;
        if data.len() < due {
            let reason = if unread { Reason::QueueFull } else { Reason::BodyBudget };
            root.queue.drop_tail(reason, due.saturating_sub(data.len()));
        }
        if data.is_empty() {
            return;
        }
        let place = Place { direction, offset: size.saturating_sub(data.len() as u64) };
        root.queue.push_tail(&self.waiting, place, data, host.now_ns());
    }

    fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    /// The stream is over: nothing of it comes any more.
    pub fn on_end<H: Host>(&mut self, host: &H, root: &mut Root, logged: bool) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.end_tail(host, root, Direction::Request);
        self.end_tail(host, root, Direction::Response);
        let now_ns = host.now_ns();
        let number = |path| host.property(path).and_then(|bytes| integer(&bytes)).unwrap_or(0);
        let end = End {
            at_us: self.since_us(now_ns),
            request_size: self.request.size,
            response_size: self.response.size,
            request_complete: self.request.complete,
            response_complete: self.response.complete,
            response_flags: if logged && !self.is_clean() { number(FLAGS) as u64 } else { 0 },
            response_code: if logged && !self.response_seen { number(CODE) as u32 } else { 0 },
            headers_dropped: self.headers_dropped,
        };
        root.queue.push_end(&self.waiting, end, now_ns);
    }

    /// Both ways came to their end, and the status tells no failure: there is nothing that flags could explain.
    fn is_clean(&self) -> bool {
        self.well && self.request.complete && self.response.complete
    }

    /// The response's chunks are told at every level above NONE (their times are wanted), the request's with its bytes.
    fn tells_chunks(&self, direction: Direction) -> bool {
        match direction {
            Direction::Request => matches!(self.level, Level::Request | Level::RequestResponse),
            Direction::Response => self.level != Level::None,
        }
    }

    fn capture_limit(&self, root: &Root, direction: Direction) -> u64 {
        match (direction, self.level) {
            (Direction::Request, Level::Request | Level::RequestResponse) => root.settings.request_body_bytes,
            // Where nothing of bodies is wanted, nothing of these frames is.
            (Direction::Response, Level::RequestResponse)
                if self.upgraded && root.settings.response_body_bytes != 0 =>
            {
                root.settings.websocket_response_bytes
            }
            (Direction::Response, Level::RequestResponse) => root.settings.response_body_bytes,
            _ => 0,
        }
    }

    fn since_us(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.start_ns) / 1_000
    }
}

/// A chunk as (start, captured, length) of what is told as one: all of it, unless more is captured than fits into a batch.
fn pieces(captured: u32, length: u32) -> impl Iterator<Item = (u32, u32, u32)> {
    const MOST: u32 = bounds::CHUNK as u32;
    let whole = captured.saturating_sub(1) / MOST;
    let last = whole.saturating_mul(MOST);
    let full = (0..whole).map(|number| (number.saturating_mul(MOST), MOST, MOST));
    full.chain(std::iter::once((last, captured.saturating_sub(last), length.saturating_sub(last))))
}

fn inspect<'a>(root: &mut Root, block: Block, map: &'a [u8]) -> Result<Findings<'a>, Unreadable> {
    let [request_headers, request_trailers, response_headers, response_trailers] = &mut root.names;
    let names = match block {
        Block::RequestHeaders => request_headers,
        Block::RequestTrailers => request_trailers,
        Block::ResponseHeaders => response_headers,
        Block::ResponseTrailers => response_trailers,
    };
    headers::inspect(map, names, &root.settings.redaction)
}

/// A block as it may leave: redacted where its look-through said so, empty where it could not be read.
fn ready<H: Host>(host: &H, map: Vec<u8>, found: Result<bool, Unreadable>, redaction: &Redaction) -> Vec<u8> {
    match found {
        Ok(false) if map.is_empty() => EMPTY.to_vec(),
        Ok(false) => map,
        Ok(true) => headers::redacted(&map, redaction).unwrap_or_else(|_| EMPTY.to_vec()),
        Err(Unreadable) => {
            host.count(Metric::UnreadableBlocks, 1);
            EMPTY.to_vec()
        }
    }
}

/// A status below 400.
fn is_well(status: &[u8]) -> bool {
    matches!(status, [b'1'..=b'3', _, _])
}

/// Properties hold integers as eight bytes, little endian.
fn integer(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_le_bytes)
}
