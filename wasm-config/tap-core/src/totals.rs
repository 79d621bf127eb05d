//! The counts that make every loss known. Cumulative, and exact before sealing.

use crate::wire::Message;

/// Why something was not sent; the numbers are those of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The queue is at its bound.
    QueueFull = 1,
    /// The bodies' share of the queue is used up.
    BodyBudget = 2,
    /// The batch reached its maximum age without an answer.
    Expired = 3,
    /// The collector refused the batch.
    Rejected = 4,
    /// The VM was closed before it could send.
    Shutdown = 5,
}

/// All reasons, in the messages' order.
pub const REASONS: [Reason; 5] =
    [Reason::QueueFull, Reason::BodyBudget, Reason::Expired, Reason::Rejected, Reason::Shutdown];

/// An amount: what a batch holds, or what was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Ends of streams.
    pub ends: u64,
    /// Header blocks, trailer blocks, body chunks and ends.
    pub fragments: u64,
    /// Captured body bytes.
    pub bytes: u64,
}

impl Amount {
    /// One fragment that is not an end, with its captured body bytes.
    #[must_use]
    pub fn fragment(bytes: usize) -> Self {
        Self { ends: 0, fragments: 1, bytes: bytes as u64 }
    }

    /// One end.
    #[must_use]
    pub fn end() -> Self {
        Self { ends: 1, fragments: 1, bytes: 0 }
    }

    /// Adds another amount.
    pub fn add(&mut self, other: Self) {
        self.ends = self.ends.saturating_add(other.ends);
        self.fragments = self.fragments.saturating_add(other.fragments);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Amounts by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByReason {
    amounts: [Amount; REASONS.len()],
}

impl ByReason {
    /// Adds to one reason.
    pub fn add(&mut self, reason: Reason, amount: Amount) {
        if let Some(held) = self.amounts.get_mut((reason as usize).saturating_sub(1)) {
            held.add(amount);
        }
    }

    /// The sum over all reasons.
    #[must_use]
    pub fn sum(&self) -> Amount {
        let mut sum = Amount::default();
        self.amounts.iter().for_each(|amount| sum.add(*amount));
        sum
    }

    fn encode(&self, field: u32, message: &mut Message) {
        for (reason, amount) in REASONS.iter().zip(&self.amounts) {
            if amount.fragments != 0 {
                let drop = message.open(field);
                message.uint(1, *reason as u64);
                message.uint(2, amount.ends);
                message.uint(3, amount.fragments);
                message.uint(4, amount.bytes);
                message.close(drop);
            }
        }
    }
}

/// Everything counted since the VM started: at any time `ends = ends_sealed + drops.ends + waiting ends`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Streams begun.
    pub streams: u64,
    /// Streams ended.
    pub ends: u64,
    /// Ends inside sealed batches.
    pub ends_sealed: u64,
    /// Dropped before sealing.
    pub drops: ByReason,
    /// Sealed, then given up.
    pub abandoned: ByReason,
    /// Sealed batches given up.
    pub batches_abandoned: u64,
}

impl Totals {
    /// Writes the message `Totals` as the given field.
    pub fn encode(&self, field: u32, message: &mut Message) {
        let totals = message.open(field);
        message.uint(1, self.streams);
        message.uint(2, self.ends);
        message.uint(3, self.ends_sealed);
        self.drops.encode(4, message);
        self.abandoned.encode(5, message);
        message.uint(6, self.batches_abandoned);
        message.close(totals);
    }
}
