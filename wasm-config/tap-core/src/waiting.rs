//! The fragments of one stream that wait for a batch, and their encoding as a part.

use crate::bounds;
use crate::host::{Block, Direction};
use crate::policy::Decision;
use crate::totals::Amount;
use crate::wire::Message;
use std::collections::VecDeque;

/// Charged for a stream that waits, without its key.
pub const STREAM_COST: usize = 256;
/// Charged for a header or trailer block, without its bytes.
pub const BLOCK_COST: usize = 32;
/// Charged for a body chunk, without its bytes.
pub const CHUNK_COST: usize = 48;
/// Charged for the beginning of a run.
pub const RUN_COST: usize = 64;
/// Charged for a body's tail, without its bytes.
pub const TAIL_COST: usize = 48;
/// Charged for an end.
pub const END_COST: usize = 64;

/// What names a stream. Two streams of one VM never share `stream`.
#[derive(Clone, Debug)]
pub struct Key {
    /// The proxy's number for it.
    pub stream: u32,
    /// `x-request-id`.
    pub request_id: Vec<u8>,
    /// Microseconds since the epoch.
    pub start_us: i64,
    /// `ip:port`, UTF-8; empty unless the configuration wants it.
    pub downstream: Vec<u8>,
    /// The caller's identity, UTF-8; told once, with the first part, and not held longer.
    pub principal: Vec<u8>,
}

impl Key {
    /// Bytes of its texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.request_id.len().saturating_add(self.downstream.len()).saturating_add(self.principal.len())
    }

    /// It has no texts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A body chunk: what passed, and what was captured of it.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Captured bytes, from the chunk's beginning.
    pub data: Vec<u8>,
    /// Bytes that passed.
    pub length: u32,
    /// Microseconds since the stream's start.
    pub at_us: u64,
}

#[derive(Debug)]
struct Run {
    direction: Direction,
    offset: u64,
    end: u64,
    // False once a chunk was captured in part: data behind it would not lie where its lengths say.
    dense: bool,
    chunks: Vec<Chunk>,
}

impl Run {
    fn continues(&self, offset: u64, chunk: &Chunk) -> bool {
        self.end == offset && (self.dense || chunk.data.is_empty())
    }

    fn push(&mut self, chunk: Chunk) {
        self.end = self.end.saturating_add(u64::from(chunk.length));
        self.dense = self.dense && chunk.data.len() == chunk.length as usize;
        self.chunks.push(chunk);
    }
}

/// The end of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Microseconds since the stream's start.
    pub at_us: u64,
    /// Request body bytes that passed.
    pub request_size: u64,
    /// Response body bytes that passed.
    pub response_size: u64,
    /// The request's end was seen.
    pub request_complete: bool,
    /// The response's end was seen.
    pub response_complete: bool,
    /// The proxy's response flags; 0 for a clean end below status 400.
    pub response_flags: u64,
    /// Only where no response headers were seen.
    pub response_code: u32,
    /// Header and trailer blocks of the stream that found no room.
    pub headers_dropped: u32,
}

#[derive(Debug)]
struct WaitingTail {
    direction: Direction,
    offset: u64,
    data: Vec<u8>,
}

#[derive(Debug)]
struct WaitingBlock {
    map: Vec<u8>,
    at_us: u64,
}

/// One stream's waiting fragments.
#[derive(Debug)]
pub struct Waiting {
    key: Key,
    decision: Decision,
    next_index: u32,
    blocks: [Option<WaitingBlock>; 4],
    runs: VecDeque<Run>,
    tails: Vec<WaitingTail>,
    end: Option<End>,
    /// The time of the oldest fragment; None: nothing waits.
    pub since_ns: Option<u64>,
    /// What its fragments are charged in the queue.
    pub charge: usize,
}

/// What went into a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Its fragments.
    pub amount: Amount,
    /// Their charge.
    pub charge: usize,
}

impl Taken {
    fn add(&mut self, amount: Amount, charge: usize) {
        self.amount.add(amount);
        self.charge = self.charge.saturating_add(charge);
    }
}

impl Waiting {
    /// A stream without fragments.
    #[must_use]
    pub fn new(key: Key, decision: Decision) -> Self {
        let (blocks, runs, tails) = ([None, None, None, None], VecDeque::new(), Vec::new());
        Self { key, decision, next_index: 0, blocks, runs, tails, end: None, since_ns: None, charge: 0 }
    }

    /// What the stream itself is charged while it waits.
    #[must_use]
    pub fn stream_cost(&self) -> usize {
        STREAM_COST.saturating_add(self.key.len())
    }

    /// What a chunk at this offset would be charged.
    #[must_use]
    pub fn chunk_cost(&self, direction: Direction, offset: u64, captured: usize) -> usize {
        let continued = self.runs.iter().rfind(|run| run.direction == direction).is_some_and(|run| run.end == offset);
        let run = if continued { 0 } else { RUN_COST };
        CHUNK_COST.saturating_add(run).saturating_add(captured)
    }

    /// Adds a block.
    pub fn add_block(&mut self, block: Block, map: Vec<u8>, at_us: u64) {
        if let Some(slot) = self.blocks.get_mut(block as usize) {
            *slot = Some(WaitingBlock { map, at_us });
        }
    }

    /// Adds a chunk, to the run that it continues if there is one.
    pub fn add_chunk(&mut self, direction: Direction, offset: u64, chunk: Chunk) {
        // Only the last one of a direction can go on.
        match self.runs.iter_mut().rfind(|run| run.direction == direction) {
            Some(run) if run.continues(offset, &chunk) => run.push(chunk),
            _ => {
                let mut run = Run { direction, offset, end: offset, dense: true, chunks: Vec::new() };
                run.push(chunk);
                self.runs.push_back(run);
            }
        }
    }

    /// Adds the last bytes of a body, which begin at `offset`.
    pub fn add_tail(&mut self, direction: Direction, offset: u64, data: Vec<u8>) {
        self.tails.push(WaitingTail { direction, offset, data });
    }

    /// Adds the end.
    pub fn add_end(&mut self, end: End) {
        self.end = Some(end);
    }

    /// Everything that waits, counted.
    #[must_use]
    pub fn amount(&self) -> Amount {
        let mut amount = Amount::default();
        self.blocks.iter().flatten().for_each(|_| amount.add(Amount::fragment(0)));
        for chunk in self.runs.iter().flat_map(|run| &run.chunks) {
            amount.add(Amount::fragment(chunk.data.len()));
        }
        self.tails.iter().for_each(|tail| amount.add(Amount::fragment(tail.data.len())));
        self.end.iter().for_each(|_| amount.add(Amount::end()));
        amount
    }

    /// Writes the stream's next part, with as many chunks as fit until the message has `limit` bytes or the part so many
    /// `fragments` (at least one), tails, trailers and the end only behind the last chunk. Returns what it took; the rest goes on
    /// waiting.
    pub fn take_part(&mut self, message: &mut Message, limit: usize, fragments: u64) -> Taken {
        let (mut taken, mut runs) = (Taken::default(), 0_usize);
        let part = message.open(5);
        self.encode_key(message);
        self.take_block(Block::RequestHeaders, message, &mut taken);
        self.take_block(Block::ResponseHeaders, message, &mut taken);
        while let Some(run) = self.runs.front_mut() {
            let room = limit.saturating_sub(message.len());
            let left = fragments.saturating_sub(taken.amount.fragments);
            if taken.amount.fragments != 0 && (room == 0 || left == 0 || runs >= bounds::RUNS) {
                break;
            }
            if take_run(run, message, room, left, &mut taken) {
                self.runs.pop_front();
            }
            runs = runs.saturating_add(1);
        }
        if self.runs.is_empty() {
            self.take_tails(message, &mut taken);
            self.take_block(Block::RequestTrailers, message, &mut taken);
            self.take_block(Block::ResponseTrailers, message, &mut taken);
            self.take_end(message, &mut taken);
        }
        message.close(part);
        self.settle(&mut taken);
        taken
    }

    fn encode_key(&mut self, message: &mut Message) {
        message.uint(1, u64::from(self.key.stream));
        message.bytes(2, &self.key.request_id);
        message.uint(3, self.key.start_us as u64);
        message.bytes(4, &self.key.downstream);
        message.uint(5, u64::from(self.next_index));
        message.uint(6, self.decision.level as u64);
        message.bytes(7, self.decision.rule.as_bytes());
        message.bytes(14, &std::mem::take(&mut self.key.principal));
        self.next_index = self.next_index.wrapping_add(1);
    }

    fn take_block(&mut self, block: Block, message: &mut Message, taken: &mut Taken) {
        if let Some(waiting) = self.blocks.get_mut(block as usize).and_then(Option::take) {
            let headers = message.open((block as u32).saturating_add(8));
            message.bytes(1, &waiting.map);
            message.uint(2, waiting.at_us);
            message.close(headers);
            taken.add(Amount::fragment(0), BLOCK_COST.saturating_add(waiting.map.len()));
        }
    }

    fn take_tails(&mut self, message: &mut Message, taken: &mut Taken) {
        for tail in self.tails.drain(..) {
            let nested = message.open((tail.direction as u32).saturating_add(15));
            message.uint(1, tail.offset);
            message.bytes(2, &tail.data);
            message.close(nested);
            taken.add(Amount::fragment(tail.data.len()), TAIL_COST.saturating_add(tail.data.len()));
        }
    }

    fn take_end(&mut self, message: &mut Message, taken: &mut Taken) {
        if let Some(end) = self.end.take() {
            let nested = message.open(13);
            message.uint(1, end.at_us);
            message.uint(2, end.request_size);
            message.uint(3, end.response_size);
            message.uint(4, u64::from(end.request_complete));
            message.uint(5, u64::from(end.response_complete));
            message.uint(6, end.response_flags);
            message.uint(7, u64::from(end.response_code));
            message.uint(8, u64::from(end.headers_dropped));
            message.close(nested);
            taken.add(Amount::end(), END_COST);
        }
    }

    /// When nothing is left, the whole charge is given back, the stream's own included.
    fn settle(&mut self, taken: &mut Taken) {
        if self.runs.is_empty() {
            taken.charge = self.charge;
            self.since_ns = None;
        }
        self.charge = self.charge.saturating_sub(taken.charge);
    }
}

/// Writes the run's first chunks, as many as fit into `room`, `left` at most and at least one. True if none is left.
fn take_run(run: &mut Run, message: &mut Message, room: usize, left: u64, taken: &mut Taken) -> bool {
    let count = fitting(&run.chunks, room).min(left as usize).max(1);
    let passed = encode_run(run, count, message, taken);
    if count >= run.chunks.len() {
        return true;
    }
    run.chunks.drain(..count);
    run.offset = run.offset.saturating_add(passed);
    false
}

fn fitting(chunks: &[Chunk], room: usize) -> usize {
    const ENCODED_CHUNK: usize = 8;
    let mut size: usize = 0;
    let fits = |chunk: &&Chunk| {
        let before = size;
        size = size.saturating_add(chunk.data.len()).saturating_add(ENCODED_CHUNK);
        before < room
    };
    chunks.iter().take_while(fits).count()
}

/// Returns how many bytes passed with these chunks.
fn encode_run(run: &Run, count: usize, message: &mut Message, taken: &mut Taken) -> u64 {
    let chunks = || run.chunks.iter().take(count);
    let size = chunks().fold(0, |size: usize, chunk| size.saturating_add(chunk.data.len()));
    let nested = message.open(12);
    message.uint(1, run.direction as u64);
    message.uint(2, run.offset);
    if size != 0 {
        message.bytes_header(3, size);
        chunks().for_each(|chunk| message.raw(&chunk.data));
    }
    let lengths = message.open(4);
    chunks().for_each(|chunk| message.varint(u64::from(chunk.length)));
    message.close(lengths);
    let times = message.open(5);
    chunks().for_each(|chunk| message.varint(chunk.at_us));
    message.close(times);
    message.close(nested);
    chunks()
        .for_each(|chunk| taken.add(Amount::fragment(chunk.data.len()), CHUNK_COST.saturating_add(chunk.data.len())));
    chunks().fold(0, |passed, chunk| passed.saturating_add(u64::from(chunk.length)))
}
