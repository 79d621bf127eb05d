//! What one batch holds at most. The collector refuses more (`collector/receive/wire.py` and `shape.py`), and a refused batch is
//! lost; so no configuration, traffic or backlog may make the filter seal more.

/// Parts of a batch: half of what the collector takes (`ingest.max_batch_parts`).
pub const PARTS: usize = 4_096;
/// Runs of a part, which gaps make: half of what the collector takes.
pub const RUNS: usize = 2_048;
/// Blocks, chunks and ends of a batch, give or take those that one part ends with: half of the chunks that the collector takes.
pub const FRAGMENTS: u64 = 262_144;
/// Captured bytes that are told as one chunk; of a longer one several are told, with the same time. `batch_bytes`, two of these,
/// two tails and four blocks stay below the collector's `ingest.max_batch_bytes`.
pub const CHUNK: usize = 1 << 20;
/// Bytes of a header or trailer block: a longer one finds no room.
pub const BLOCK: usize = 1 << 20;
/// Bytes of a body's tail, of which a batch's last part may hold two.
pub const TAIL: usize = 256 << 10;
/// The largest `batch_bytes`.
pub const BATCH_BYTES: u64 = 8 << 20;
/// Labels of the node.
pub const LABELS: usize = 256;
