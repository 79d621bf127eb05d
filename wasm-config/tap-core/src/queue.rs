//! The queue of one root context: fragments of many streams, bounded in bytes, every drop counted.
//!
//! The bound covers what waits and what is sealed but not yet answered, in all queues of the VM ([`Room`]). Bodies may
//! fill 90 % of it, the tails of open ones a quarter; headers and ends still pass up to the whole. A share is set aside for what sealing adds (each batch
//! tells its node and its totals), so that sealing never lifts the sum above the bound.

use crate::bounds;
use crate::host::{Block, Direction};
use crate::room::Room;
use crate::tail::Tail;
use crate::totals::{Amount, Reason, Totals};
use crate::waiting::{BLOCK_COST, Chunk, END_COST, End, TAIL_COST, Taken, Waiting};
use crate::wire::Message;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A stream's waiting fragments, shared by its callbacks and by the queue.
pub type Shared = Rc<RefCell<Waiting>>;

/// What a batch's totals and a part that was split may add to the fragments' charges.
pub const SEAL_OVERHEAD: usize = 2048;

/// The bounded queue.
#[derive(Debug)]
pub struct Queue {
    limit: usize,
    set_aside: usize,
    room: Rc<Room>,
    order: VecDeque<Shared>,
    waiting: usize,
    retained: usize,
    waiting_ends: u64,
    /// The counts of this root.
    pub totals: Totals,
    /// Something was lost since the last batch told its totals.
    pub untold: bool,
}

impl Queue {
    /// A queue that takes nothing more when the room's queues hold `limit` bytes, with those set aside for what sealing
    /// adds, `set_aside` here.
    #[must_use]
    pub fn new(limit: usize, set_aside: usize, room: Rc<Room>) -> Self {
        room.set_aside(set_aside);
        Self {
            limit,
            set_aside,
            room,
            order: VecDeque::new(),
            waiting: 0,
            retained: 0,
            waiting_ends: 0,
            totals: Totals::default(),
            untold: false,
        }
    }

    /// Bytes that wait and bytes that are retained.
    #[must_use]
    pub fn used(&self) -> usize {
        self.waiting.saturating_add(self.retained)
    }

    /// Bytes that all queues of the VM hold, with the tails of open bodies.
    #[must_use]
    pub fn held(&self) -> usize {
        self.room.held()
    }

    /// Bytes that wait for a batch.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Ends that wait for a batch.
    #[must_use]
    pub fn waiting_ends(&self) -> u64 {
        self.waiting_ends
    }

    /// What waits fills a batch of so many bytes.
    #[must_use]
    pub fn fills(&self, batch_bytes: usize) -> bool {
        self.waiting >= batch_bytes || self.order.len() >= bounds::PARTS
    }

    /// Nothing waits for a batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// When the oldest waiting fragment came.
    #[must_use]
    pub fn oldest_ns(&self) -> Option<u64> {
        self.order.front().and_then(|shared| shared.try_borrow().ok()?.since_ns)
    }

    /// Counts a sealed batch, until [`Queue::release`].
    pub fn retain(&mut self, bytes: usize) {
        self.retained = self.retained.saturating_add(bytes);
        self.room.hold(bytes);
    }

    /// A retained batch has gone.
    pub fn release(&mut self, bytes: usize) {
        self.retained = self.retained.saturating_sub(bytes);
        self.room.let_go(bytes);
    }

    /// Takes a header or trailer block, or drops it: then false.
    #[must_use]
    pub fn push_block(&mut self, shared: &Shared, block: Block, map: Vec<u8>, at_us: u64, now_ns: u64) -> bool {
        let Ok(mut waiting) = shared.try_borrow_mut() else {
            self.drop(Reason::QueueFull, Amount::fragment(0));
            return false;
        };
        if map.len() > bounds::BLOCK {
            self.drop(Reason::QueueFull, Amount::fragment(0));
            return false;
        }
        let cost = BLOCK_COST.saturating_add(map.len());
        let admitted = self.admit(shared, &mut waiting, cost, false, now_ns, Amount::fragment(0));
        if admitted {
            waiting.add_block(block, map, at_us);
        }
        admitted
    }

    /// Takes a body chunk, or drops it. `data` is asked for the captured bytes only when there is room for them.
    pub fn push_chunk(
        &mut self,
        shared: &Shared,
        place: Place,
        passed: Passed,
        data: impl FnOnce() -> Option<Vec<u8>>,
    ) {
        let Ok(mut waiting) = shared.try_borrow_mut() else { return };
        let cost = waiting.chunk_cost(place.direction, place.offset, passed.captured);
        let amount = Amount::fragment(passed.captured);
        if !self.has_room(&waiting, cost, true, amount) {
            return;
        }
        match data() {
            Some(data) => {
                self.charge(shared, &mut waiting, cost, passed.now_ns);
                let chunk = Chunk { data, length: passed.length, at_us: passed.at_us };
                waiting.add_chunk(place.direction, place.offset, chunk);
            }
            None => self.drop(Reason::QueueFull, amount),
        }
    }

    /// Room for the last bytes of an open body, if there is any.
    #[must_use]
    pub fn tail(&self, most: usize) -> Option<Tail> {
        let fits = self.room.tails().saturating_add(most) <= self.limit / 4;
        let then = self.room.held().saturating_add(most);
        (fits && then <= body_share(self.room.of(self.limit))).then(|| Tail::new(most, self.room.hold_tail(most)))
    }

    /// Takes a body's tail, or drops it. Its room among the bodies was held while the body passed, so the share that bodies
    /// may fill is not asked again.
    pub fn push_tail(&mut self, shared: &Shared, place: Place, data: Vec<u8>, now_ns: u64) {
        let amount = Amount::fragment(data.len());
        let Ok(mut waiting) = shared.try_borrow_mut() else { return self.drop(Reason::QueueFull, amount) };
        let cost = TAIL_COST.saturating_add(data.len());
        if self.admit(shared, &mut waiting, cost, false, now_ns, amount) {
            waiting.add_tail(place.direction, place.offset, data);
        }
    }

    /// So many bytes of a tail are not there.
    pub fn drop_tail(&mut self, reason: Reason, bytes: usize) {
        self.drop(reason, Amount::fragment(bytes));
    }

    /// Takes a stream's end, or drops it.
    pub fn push_end(&mut self, shared: &Shared, end: End, now_ns: u64) {
        self.totals.ends = self.totals.ends.saturating_add(1);
        let Ok(mut waiting) = shared.try_borrow_mut() else {
            return self.drop(Reason::QueueFull, Amount::end());
        };
        if self.admit(shared, &mut waiting, END_COST, false, now_ns, Amount::end()) {
            waiting.add_end(end);
            self.waiting_ends = self.waiting_ends.saturating_add(1);
        }
    }

    /// Writes waiting streams' parts in the order of their oldest fragments, until the message has `limit` bytes, or as much
    /// of something else as a batch may hold ([`bounds`]).
    pub fn take_parts(&mut self, message: &mut Message, limit: usize) -> Amount {
        let (mut sum, mut parts) = (Amount::default(), 0_usize);
        while let Some(shared) = self.order.front().cloned() {
            let Ok(mut waiting) = shared.try_borrow_mut() else { break };
            let fragments = bounds::FRAGMENTS.saturating_sub(sum.fragments);
            if parts != 0 && (message.len() >= limit || fragments == 0 || parts >= bounds::PARTS) {
                break;
            }
            let taken = waiting.take_part(message, limit, fragments);
            parts = parts.saturating_add(1);
            self.account(&taken, &mut sum);
            if waiting.since_ns.is_some() {
                break;
            }
            self.order.pop_front();
        }
        self.totals.ends_sealed = self.totals.ends_sealed.saturating_add(sum.ends);
        sum
    }

    /// Drops all that waits.
    pub fn drop_all(&mut self, reason: Reason) {
        while let Some(shared) = self.order.pop_front() {
            if let Ok(waiting) = shared.try_borrow() {
                self.drop(reason, waiting.amount());
            }
        }
        self.room.let_go(self.waiting);
        self.waiting = 0;
        self.waiting_ends = 0;
    }

    fn account(&mut self, taken: &Taken, sum: &mut Amount) {
        self.waiting = self.waiting.saturating_sub(taken.charge);
        self.room.let_go(taken.charge);
        self.waiting_ends = self.waiting_ends.saturating_sub(taken.amount.ends);
        sum.add(taken.amount);
    }

    fn admit(
        &mut self,
        shared: &Shared,
        waiting: &mut Waiting,
        cost: usize,
        is_body: bool,
        now_ns: u64,
        amount: Amount,
    ) -> bool {
        let room = self.has_room(waiting, cost, is_body, amount);
        if room {
            self.charge(shared, waiting, cost, now_ns);
        }
        room
    }

    /// Counts the drop if there is none.
    fn has_room(&mut self, waiting: &Waiting, cost: usize, is_body: bool, amount: Amount) -> bool {
        let stream = if waiting.since_ns.is_some() { 0 } else { waiting.stream_cost() };
        let then = self.room.held().saturating_add(cost).saturating_add(stream);
        let limit = self.room.of(self.limit);
        let reason = if then > limit {
            Reason::QueueFull
        } else if is_body && then > body_share(limit) {
            Reason::BodyBudget
        } else {
            return true;
        };
        self.drop(reason, amount);
        false
    }

    fn charge(&mut self, shared: &Shared, waiting: &mut Waiting, cost: usize, now_ns: u64) {
        let stream = if waiting.since_ns.is_some() { 0 } else { waiting.stream_cost() };
        if waiting.since_ns.is_none() {
            waiting.since_ns = Some(now_ns);
            self.order.push_back(Rc::clone(shared));
        }
        let cost = cost.saturating_add(stream);
        waiting.charge = waiting.charge.saturating_add(cost);
        self.waiting = self.waiting.saturating_add(cost);
        self.room.hold(cost);
    }

    fn drop(&mut self, reason: Reason, amount: Amount) {
        self.totals.drops.add(reason, amount);
        self.untold = true;
    }
}

/// Of so many bytes, those that bodies may fill.
fn body_share(limit: usize) -> usize {
    limit.saturating_sub(limit / 10)
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.room.let_go(self.used());
        self.room.give_back(self.set_aside);
    }
}

/// Where a body chunk lies.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Which body.
    pub direction: Direction,
    /// Bytes of the body before it.
    pub offset: u64,
}

/// What passed with a body chunk, and when.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// Its length.
    pub length: u32,
    /// How many of its bytes are captured.
    pub captured: usize,
    /// Microseconds since the stream's start.
    pub at_us: u64,
    /// Nanoseconds since the epoch.
    pub now_ns: u64,
}
