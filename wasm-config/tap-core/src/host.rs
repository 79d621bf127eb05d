//! What the filter needs of its proxy. Every call can fail, and none may panic.

/// A header block that the proxy holds for the current stream. The numbers are the proxy-wasm ABI's map types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Request headers.
    RequestHeaders = 0,
    /// Request trailers.
    RequestTrailers = 1,
    /// Response headers.
    ResponseHeaders = 2,
    /// Response trailers.
    ResponseTrailers = 3,
}

/// The direction of a body; the numbers are those of the messages and of the ABI's buffer types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Request = 0,
    /// From the upstream to the client.
    Response = 1,
}

/// The filter's counters in the proxy's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Streams begun.
    Streams,
    /// Posts answered with 200.
    BatchesPosted,
    /// Posts that failed, each attempt counted.
    BatchesFailed,
    /// Sealed batches given up.
    BatchesAbandoned,
    /// Fragments dropped before sealing.
    FragmentsDropped,
    /// Refused plugin configurations.
    ConfigErrors,
    /// Header blocks that could not be read and were passed on empty.
    UnreadableBlocks,
    /// Labels of the node that found no room in a batch, once per VM.
    LabelsLeftOut,
}

/// How loud a log line is; the numbers are the ABI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Normal news.
    Info = 2,
    /// Something is lost or will be.
    Warn = 3,
    /// The filter does not do its work.
    Error = 4,
}

/// One post to the collector. `headers` is serialised as in [`crate::headers`].
pub struct Post<'a> {
    /// The proxy's name for the collector's cluster.
    pub cluster: &'a str,
    /// Serialised request headers, pseudo headers included.
    pub headers: &'a [u8],
    /// The batch.
    pub body: &'a [u8],
    /// After so many milliseconds without an answer the post has failed.
    pub timeout_ms: u32,
}

/// The proxy, as the filter sees it. Properties and paths are in the ABI's form, segments separated by NUL.
pub trait Host {
    /// Nanoseconds since the epoch.
    fn now_ns(&self) -> u64;
    /// The serialised header block of the current stream, if the proxy has it.
    fn block(&self, block: Block) -> Option<Vec<u8>>;
    /// `size` bytes of the current body chunk, from `start` on.
    fn chunk(&self, direction: Direction, start: usize, size: usize) -> Option<Vec<u8>>;
    /// A property's bytes.
    fn property(&self, path: &[u8]) -> Option<Vec<u8>>;
    /// Starts a post; the token comes back with its answer. None: the proxy refused (such as: no such cluster).
    fn post(&self, post: &Post<'_>) -> Option<u32>;
    /// A header of the answer that is being told.
    fn answer_header(&self, name: &str) -> Option<Vec<u8>>;
    /// Adds to a counter.
    fn count(&self, metric: Metric, by: u64);
    /// Writes a line to the proxy's log.
    fn log(&self, level: LogLevel, line: &str);
    /// Random bits, if the proxy gives any.
    fn random(&self) -> Option<u64>;
    /// Asks for a tick every so many milliseconds.
    fn tick_every(&self, milliseconds: u32);
    /// Tells the proxy that a closing root context has finished.
    fn done(&self);
    /// Marks the current root context, so that [`Host::marked`] gives `root` in its streams. False: the proxy cannot.
    fn mark(&self, root: u32) -> bool;
    /// The mark of the current stream's root context.
    fn marked(&self) -> Option<u32>;
}
