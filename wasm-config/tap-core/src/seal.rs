//! Makes a batch of what waits: encoded once, then kept byte for byte until it is answered.

use crate::queue::Queue;
use crate::totals::Amount;
use crate::wire::Message;

/// A full batch ends with the part that filled it: with room for that one, its memory need not grow, which would copy it.
const LAST_PART: usize = 16 * 1024;

/// A sealed batch.
#[derive(Debug)]
pub struct Batch {
    /// Its number in this VM.
    pub sequence: u64,
    /// The encoded message.
    pub bytes: Vec<u8>,
    /// What it holds.
    pub amount: Amount,
}

/// Gives batches their numbers.
#[derive(Debug)]
pub struct Sealer {
    envelope: Vec<u8>,
    batch_bytes: usize,
    sequence: u64,
}

impl Sealer {
    /// `envelope` is what [`crate::node::envelope`] made.
    #[must_use]
    pub fn new(envelope: Vec<u8>, batch_bytes: usize) -> Self {
        Self { envelope, batch_bytes, sequence: 0 }
    }

    /// Seals the oldest fragments, or the totals alone if nothing waits.
    pub fn seal(&mut self, queue: &mut Queue) -> Batch {
        self.sequence = self.sequence.saturating_add(1);
        let parts = queue.waiting().min(self.batch_bytes.saturating_add(LAST_PART));
        let guess = parts.saturating_add(self.envelope.len()).saturating_add(512);
        let mut message = Message::with_capacity(guess);
        message.raw(&self.envelope);
        message.uint(3, self.sequence);
        let amount = queue.take_parts(&mut message, self.batch_bytes);
        queue.totals.encode(4, &mut message);
        queue.untold = false;
        Batch { sequence: self.sequence, bytes: message.into_bytes(), amount }
    }
}
