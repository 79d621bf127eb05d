//! Sealed batches until they are answered: which to post when, and when to give one up.

use crate::policy::mix;
use crate::seal::Batch;
use crate::totals::{Amount, Reason};

const MILLISECOND: u64 = 1_000_000;
const FIRST_BACKOFF_MS: u64 = 100;
const MAX_BACKOFF_MS: u64 = 1_000;
const MAX_RETRY_AFTER_MS: u64 = 30_000;
/// A post whose answer never comes, not even as a time-out, has failed after its time-out and this.
const LOST_ANSWER_MS: u64 = 5_000;

#[derive(Debug)]
enum State {
    Due { at_ns: u64 },
    Posted { token: u32, at_ns: u64 },
}

#[derive(Debug)]
struct Held {
    batch: Batch,
    sealed_ns: u64,
    failures: u32,
    state: State,
}

/// What the collector said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: durable.
    Accepted,
    /// A 4xx that a repeat would not change.
    Refused,
    /// No answer, or one that a repeat may change; with the collector's `Retry-After` in milliseconds.
    Failed(Option<u64>),
}

impl Answer {
    /// Reads a status; None: there was no answer.
    #[must_use]
    pub fn of(status: Option<u16>, retry_after_s: Option<u64>) -> Self {
        match status {
            Some(200) => Self::Accepted,
            Some(408 | 429) => Self::Failed(retry_after_s.map(|seconds| seconds.saturating_mul(1_000))),
            Some(400..=499) => Self::Refused,
            _ => Self::Failed(retry_after_s.map(|seconds| seconds.saturating_mul(1_000))),
        }
    }
}

/// A batch that has left the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Bytes that it retained.
    pub bytes: usize,
    /// What it held.
    pub amount: Amount,
    /// Why it was given up; None: it was accepted.
    pub given_up: Option<Reason>,
}

/// The sealed batches.
#[derive(Debug)]
pub struct Outbox {
    held: Vec<Held>,
    slots: usize,
    max_age_ns: u64,
    timeout_ns: u64,
}

impl Outbox {
    /// Holds up to `slots` batches, whether posted or waiting for their next try.
    #[must_use]
    pub fn new(slots: usize, max_age_ms: u64, timeout_ms: u32) -> Self {
        let max_age_ns = max_age_ms.saturating_mul(MILLISECOND);
        let timeout_ns = u64::from(timeout_ms).saturating_add(LOST_ANSWER_MS).saturating_mul(MILLISECOND);
        Self { held: Vec::new(), slots, max_age_ns, timeout_ns }
    }

    /// One more batch may be sealed.
    #[must_use]
    pub fn has_slot(&self) -> bool {
        self.held.len() < self.slots
    }

    /// Nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes a sealed batch, to be posted at once. Returns the bytes that it retains.
    pub fn hold(&mut self, batch: Batch, now_ns: u64) -> usize {
        let bytes = batch.bytes.capacity();
        self.held.push(Held { batch, sealed_ns: now_ns, failures: 0, state: State::Due { at_ns: now_ns } });
        bytes
    }

    /// Posts every batch that is due. Returns how many the proxy refused to post.
    pub fn post_due(&mut self, now_ns: u64, post: impl Fn(&[u8]) -> Option<u32>) -> u64 {
        let mut refused: u64 = 0;
        for held in &mut self.held {
            if !held.is_due(now_ns) {
                continue;
            }
            match post(&held.batch.bytes) {
                Some(token) => held.state = State::Posted { token, at_ns: now_ns },
                None => {
                    held.fail(now_ns, None);
                    refused = refused.saturating_add(1);
                }
            }
        }
        refused
    }

    /// An answer came. None if its batch stays for another try, or if nobody waits for the answer.
    pub fn answered(&mut self, token: u32, answer: Answer, now_ns: u64) -> Option<Gone> {
        let at = self.held.iter().position(|held| held.waits_for(token))?;
        match answer {
            Answer::Accepted => self.remove(at, None),
            Answer::Refused => self.remove(at, Some(Reason::Rejected)),
            Answer::Failed(retry_after_ms) => {
                self.held.get_mut(at)?.fail(now_ns, retry_after_ms);
                None
            }
        }
    }

    /// A batch that is too old for another try.
    pub fn expire(&mut self, now_ns: u64) -> Option<Gone> {
        let (age, timeout) = (self.max_age_ns, self.timeout_ns);
        for held in &mut self.held {
            if held.has_lost_its_answer(now_ns, timeout) {
                held.fail(now_ns, None);
            }
        }
        let too_old = |held: &Held| held.can_go() && now_ns.saturating_sub(held.sealed_ns) >= age;
        let at = self.held.iter().position(too_old)?;
        self.remove(at, Some(Reason::Expired))
    }

    /// Any batch, posted or not: the VM closes.
    pub fn abandon(&mut self) -> Option<Gone> {
        self.remove(0, Some(Reason::Shutdown))
    }

    fn remove(&mut self, at: usize, given_up: Option<Reason>) -> Option<Gone> {
        if at >= self.held.len() {
            return None;
        }
        let held = self.held.remove(at);
        Some(Gone { bytes: held.batch.bytes.capacity(), amount: held.batch.amount, given_up })
    }
}

impl Held {
    fn is_due(&self, now_ns: u64) -> bool {
        matches!(self.state, State::Due { at_ns } if at_ns <= now_ns)
    }

    fn waits_for(&self, answered: u32) -> bool {
        matches!(self.state, State::Posted { token, .. } if token == answered)
    }

    fn can_go(&self) -> bool {
        matches!(self.state, State::Due { .. })
    }

    fn has_lost_its_answer(&self, now_ns: u64, timeout_ns: u64) -> bool {
        matches!(self.state, State::Posted { at_ns, .. } if now_ns.saturating_sub(at_ns) > timeout_ns)
    }

    fn fail(&mut self, now_ns: u64, retry_after_ms: Option<u64>) {
        let doubled = FIRST_BACKOFF_MS.checked_shl(self.failures).unwrap_or(MAX_BACKOFF_MS).min(MAX_BACKOFF_MS);
        let wished = retry_after_ms.unwrap_or(0).min(MAX_RETRY_AFTER_MS);
        self.failures = self.failures.saturating_add(1).min(16);
        // Three quarters to the whole: proxies that failed together do not come back together.
        let quarter = doubled / 4;
        let spread = mix(self.batch.sequence ^ now_ns).checked_rem(quarter.max(1)).unwrap_or(0);
        let delay = doubled.saturating_sub(spread).max(wished).saturating_mul(MILLISECOND);
        self.state = State::Due { at_ns: now_ns.saturating_add(delay) };
    }
}
