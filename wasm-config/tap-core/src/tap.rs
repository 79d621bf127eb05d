//! The callbacks of one VM. None of them ever holds a stream back, and each works whatever came before it.

use crate::config;
use crate::host::{Block, Direction, Host, LogLevel, Metric};
use crate::outbox::Answer;
use crate::reader::Fault;
use crate::room::Room;
use crate::root::Root;
use crate::stream::Stream;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

type SharedRoot = Rc<RefCell<Root>>;

/// The proxy numbers its contexts; one multiplication spreads them over the table.
#[derive(Clone, Copy, Debug, Default)]
pub struct ContextHasher(u64);

impl Hasher for ContextHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type Contexts<T> = HashMap<u32, T, BuildHasherDefault<ContextHasher>>;

/// A root context. Its streams do not say whose they are: it is the only one, or it left a mark when it joined others.
struct Plugin {
    context: u32,
    marked: bool,
    /// None: its configuration was refused.
    root: Option<SharedRoot>,
}

/// The root of the stream that the proxy is calling about. The first root has no mark, because one alone needs none.
fn root_of_stream<H: Host>(host: &H, plugins: &[Plugin]) -> Option<SharedRoot> {
    let plugin = match plugins {
        [only] => Some(only),
        several => {
            let mark = host.marked();
            several.iter().rev().find(|plugin| mark.map_or(!plugin.marked, |context| context == plugin.context))
        }
    };
    plugin?.root.clone()
}

/// A stream that is told.
struct Slot {
    root: SharedRoot,
    stream: Stream,
}

impl Slot {
    fn begin<H: Host>(host: &H, root: SharedRoot, context: u32) -> Option<Self> {
        let stream = Stream::begin(host, &mut *root.try_borrow_mut().ok()?, context);
        Some(Self { root, stream })
    }

    fn end_unlogged<H: Host>(mut self, host: &H) {
        if let Ok(mut root) = self.root.try_borrow_mut() {
            self.stream.on_end(host, &mut root, false);
        }
    }
}

/// One VM: its root contexts (one for each plugin configuration, the newest last) and their streams (None: not told).
pub struct Tap<H: Host> {
    host: H,
    plugins: Vec<Plugin>,
    slots: Contexts<Option<Slot>>,
    room: Rc<Room>,
}

impl<H: Host> Tap<H> {
    /// A VM without contexts.
    pub fn new(host: H) -> Self {
        Self { host, plugins: Vec::new(), slots: Contexts::default(), room: Rc::default() }
    }

    /// The proxy it runs in.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// A root context's state, for a look at its counts.
    pub fn root(&self, root: u32) -> Option<&RefCell<Root>> {
        self.plugins.iter().find(|plugin| plugin.context == root)?.root.as_deref()
    }

    /// Configures a root context. A faulty configuration is told and counted, and the root then lets everything pass
    /// without a look: the proxy would fail every request if it were refused.
    pub fn on_configure(&mut self, root: u32, json: &[u8]) {
        let marked = self.marks(root);
        self.forget(root);
        let configured = match config::parse(json) {
            Ok(settings) => {
                self.report(&settings.tolerated, "in part");
                Some(Rc::new(RefCell::new(Root::new(&self.host, settings, Rc::clone(&self.room), u64::from(root)))))
            }
            Err(faults) => {
                self.report(&faults, "nothing is tapped");
                None
            }
        };
        self.plugins.push(Plugin { context: root, marked, root: configured });
    }

    /// Whether a root that is being configured has a mark; it gets one if it is not the first.
    fn marks(&self, root: u32) -> bool {
        if let Some(known) = self.plugins.iter().find(|plugin| plugin.context == root) {
            return known.marked;
        }
        if self.plugins.is_empty() {
            return false;
        }
        let marked = self.host.mark(root);
        if !marked {
            let line = "this proxy cannot tell the streams of several plugin configurations in one VM apart: \
                        the newest one is used; give each its own vm_id";
            self.host.log(LogLevel::Error, line);
        }
        marked
    }

    fn forget(&mut self, root: u32) {
        self.plugins.retain(|plugin| plugin.context != root);
    }

    fn report(&self, faults: &[Fault], outcome: &str) {
        if !faults.is_empty() {
            self.host.count(Metric::ConfigErrors, 1);
        }
        for fault in faults {
            self.host.log(LogLevel::Error, &format!("plugin configuration refused, {outcome}: {fault}"));
        }
    }

    /// Headers or trailers pass. A stream begins with whatever is heard of it first.
    pub fn on_block(&mut self, context: u32, block: Block, last: bool) {
        self.with_stream(context, |host, root, stream| stream.on_block(host, root, block, last));
    }

    /// A body chunk passes.
    pub fn on_chunk(&mut self, context: u32, direction: Direction, length: u32, last: bool) {
        self.with_stream(context, |host, root, stream| stream.on_chunk(host, root, direction, length, last));
    }

    /// The stream is logged: it is over. Some streams are seen only here.
    pub fn on_log(&mut self, context: u32) {
        self.with_stream(context, |host, root, stream| stream.on_end(host, root, true));
    }

    /// A root's timer.
    pub fn on_tick(&mut self, root: u32) {
        if self.with_root(root, |host, root| root.tick(host)) == Some(true) {
            self.forget(root);
            self.host.done();
        }
    }

    /// The answer to a post; `answered` is false if there was none.
    pub fn on_answer(&mut self, root: u32, token: u32, answered: bool) {
        let number = |name| {
            let value = self.host.answer_header(name)?;
            std::str::from_utf8(&value).ok()?.trim().parse::<u64>().ok()
        };
        let status = if answered { number(":status") } else { None };
        let retry_after = if matches!(status, Some(408 | 429 | 503)) { number("retry-after") } else { None };
        let answer = Answer::of(status.and_then(|status| u16::try_from(status).ok()), retry_after);
        self.with_root(root, |host, root| root.answered(host, token, answer));
    }

    /// A context is done: it hears nothing more, which is why there is no callback for its deletion, nor for its making
    /// (every crossing costs). False: a root still has something to send; `Host::done` follows on a tick.
    pub fn on_done(&mut self, context: u32) -> bool {
        if let Some(slot) = self.slots.remove(&context) {
            if let Some(told) = slot {
                told.end_unlogged(&self.host);
            }
            return true;
        }
        let closed = self.with_root(context, |host, root| root.close(host)).unwrap_or(true);
        if closed {
            self.forget(context);
        }
        closed
    }

    fn with_root<T>(&self, root: u32, act: impl FnOnce(&H, &mut Root) -> T) -> Option<T> {
        let mut root = self.root(root)?.try_borrow_mut().ok()?;
        Some(act(&self.host, &mut root))
    }

    fn with_stream(&mut self, context: u32, act: impl FnOnce(&H, &mut Root, &mut Stream)) {
        let Self { host, plugins, slots, .. } = self;
        let slot = slots
            .entry(context)
            .or_insert_with(|| root_of_stream(host, plugins).and_then(|root| Slot::begin(host, root, context)));
        let Some(Slot { root, stream }) = slot else { return };
        if let Ok(mut root) = root.try_borrow_mut() {
            act(host, &mut root, stream);
        }
    }
}
