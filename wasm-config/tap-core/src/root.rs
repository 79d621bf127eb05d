//! The root context of one VM: looks at the queue on every tick, seals, posts, and takes the answers.

use crate::config::Settings;
use crate::host::{Host, LogLevel, Metric, Post};
use crate::names::Names;
use crate::node;
use crate::outbox::{Answer, Gone, Outbox};
use crate::policy::mix;
use crate::queue::{Queue, SEAL_OVERHEAD};
use crate::room::Room;
use crate::seal::Sealer;
use crate::totals::Reason;
use std::rc::Rc;

const MILLISECOND: u64 = 1_000_000;
const TOTALS_ALONE_NS: u64 = 1_000 * MILLISECOND;
const MAX_ENVELOPE: usize = 16 * 1024;

/// The state that all streams of one VM and plugin share.
pub struct Root {
    /// The plugin configuration.
    pub settings: Rc<Settings>,
    /// What waits.
    pub queue: Queue,
    /// The names of each kind of block, under this configuration's redaction.
    pub names: [Names; 4],
    outbox: Outbox,
    sealer: Sealer,
    sealed_ns: u64,
    closing_ns: Option<u64>,
    told: Told,
}

/// What the proxy's counters know already.
#[derive(Default)]
struct Told {
    streams: u64,
    fragments_dropped: u64,
}

impl Root {
    /// Reads the node and begins to tick. `room` is the VM's; `salt` tells this root from others without random bits.
    pub fn new<H: Host>(host: &H, settings: Settings, room: Rc<Room>, salt: u64) -> Self {
        let limits = settings.limits;
        let vm = format!("{:016x}", host.random().unwrap_or_else(|| mix(host.now_ns() ^ mix(salt))));
        let share = limits.queue_bytes.checked_div(limits.posts_in_flight.saturating_mul(4)).unwrap_or(0);
        let envelope = node::envelope(host, &vm, share.min(MAX_ENVELOPE));
        let per_batch = envelope.len().saturating_add(SEAL_OVERHEAD);
        host.tick_every(limits.tick_ms);
        Self {
            queue: Queue::new(limits.queue_bytes, per_batch.saturating_mul(limits.posts_in_flight), room),
            names: Default::default(),
            outbox: Outbox::new(limits.posts_in_flight, limits.max_age_ms, settings.collector.timeout_ms),
            sealer: Sealer::new(envelope, limits.batch_bytes),
            sealed_ns: 0,
            closing_ns: None,
            told: Told::default(),
            settings: Rc::new(settings),
        }
    }

    /// Looks after age, retries and full batches. True: a closing root has finished.
    pub fn tick<H: Host>(&mut self, host: &H) -> bool {
        let now_ns = host.now_ns();
        while let Some(gone) = self.outbox.expire(now_ns) {
            self.settle(host, gone);
        }
        self.send(host, now_ns);
        self.tell_metrics(host);
        self.closing_ns.is_some() && self.finish(host, now_ns)
    }

    /// The answer to a post came, or the news that none will.
    pub fn answered<H: Host>(&mut self, host: &H, token: u32, answer: Answer) {
        let now_ns = host.now_ns();
        match answer {
            Answer::Accepted => host.count(Metric::BatchesPosted, 1),
            Answer::Refused | Answer::Failed(_) => host.count(Metric::BatchesFailed, 1),
        }
        if let Some(gone) = self.outbox.answered(token, answer, now_ns) {
            self.settle(host, gone);
        }
        self.send(host, now_ns);
    }

    /// The VM is to close. True: it can, at once; else a tick says when it has finished.
    pub fn close<H: Host>(&mut self, host: &H) -> bool {
        let now_ns = host.now_ns();
        self.closing_ns.get_or_insert(now_ns);
        self.send(host, now_ns);
        self.tell_metrics(host);
        self.is_idle()
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.outbox.is_empty() && !self.queue.untold
    }

    /// Seals while a slot is free and there is reason to, and posts what is due.
    fn send<H: Host>(&mut self, host: &H, now_ns: u64) {
        self.post_due(host, now_ns);
        while self.outbox.has_slot() && self.should_seal(now_ns) {
            self.sealed_ns = now_ns;
            let batch = self.sealer.seal(&mut self.queue);
            let retained = self.outbox.hold(batch, now_ns);
            self.queue.retain(retained);
            self.post_due(host, now_ns);
        }
    }

    fn should_seal(&self, now_ns: u64) -> bool {
        let limits = &self.settings.limits;
        let closing = self.closing_ns.is_some();
        match self.queue.oldest_ns() {
            Some(since_ns) => {
                let age_ns = now_ns.saturating_sub(since_ns);
                closing
                    || self.queue.fills(limits.batch_bytes)
                    || age_ns >= limits.batch_age_ms.saturating_mul(MILLISECOND)
            }
            None => self.queue.untold && (closing || now_ns.saturating_sub(self.sealed_ns) >= TOTALS_ALONE_NS),
        }
    }

    fn post_due<H: Host>(&mut self, host: &H, now_ns: u64) {
        let collector = &self.settings.collector;
        let refused = self.outbox.post_due(now_ns, |body| {
            let (cluster, headers, timeout_ms) = (&collector.cluster, &collector.headers, collector.timeout_ms);
            host.post(&Post { cluster, headers, body, timeout_ms })
        });
        if refused != 0 {
            host.count(Metric::BatchesFailed, refused);
        }
    }

    fn settle<H: Host>(&mut self, host: &H, gone: Gone) {
        self.queue.release(gone.bytes);
        let Some(reason) = gone.given_up else { return };
        host.count(Metric::BatchesAbandoned, 1);
        let totals = &mut self.queue.totals;
        totals.batches_abandoned = totals.batches_abandoned.saturating_add(1);
        totals.abandoned.add(reason, gone.amount);
        // A batch of totals alone says nothing that the next one will not say: else a collector that refuses
        // everything would be asked once a second for ever.
        self.queue.untold = self.queue.untold || gone.amount.fragments != 0;
    }

    fn tell_metrics<H: Host>(&mut self, host: &H) {
        let (streams, dropped) = (self.queue.totals.streams, self.queue.totals.drops.sum().fragments);
        let told = std::mem::replace(&mut self.told, Told { streams, fragments_dropped: dropped });
        if streams > told.streams {
            host.count(Metric::Streams, streams.saturating_sub(told.streams));
        }
        if dropped > told.fragments_dropped {
            host.count(Metric::FragmentsDropped, dropped.saturating_sub(told.fragments_dropped));
        }
    }

    /// True when nothing is left to send, or when there is no more time to.
    fn finish<H: Host>(&mut self, host: &H, now_ns: u64) -> bool {
        let since_ns = self.closing_ns.unwrap_or(now_ns);
        if self.is_idle() {
            return true;
        }
        if now_ns.saturating_sub(since_ns) < self.settings.limits.max_age_ms.saturating_mul(MILLISECOND) {
            return false;
        }
        while let Some(gone) = self.outbox.abandon() {
            self.settle(host, gone);
        }
        self.queue.drop_all(Reason::Shutdown);
        self.tell_metrics(host);
        let totals = &self.queue.totals;
        let (dropped, given_up) = (totals.drops.sum(), totals.abandoned.sum());
        host.log(
            LogLevel::Warn,
            &format!(
                "closed without an answer of the collector: {dropped:?} dropped, {given_up:?} given up since start"
            ),
        );
        true
    }
}
