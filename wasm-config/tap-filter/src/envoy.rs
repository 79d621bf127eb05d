//! [`Host`] on the proxy's calls.

use crate::abi;
use std::cell::OnceCell;
use tap_core::host::{Block, Direction, Host, LogLevel, Metric, Post};

const HTTP_CALL_RESPONSE_HEADERS: u32 = 6;

/// Envoy keeps CEL expressions for each root context, numbered from 0, and evaluates them in its streams: the first one is
/// the root's mark, the root's own number as a literal.
const MARK: &[u8] = &0_u32.to_le_bytes();

/// The proxy that runs this module.
#[derive(Default)]
pub struct Envoy {
    counters: OnceCell<[Option<u32>; 8]>,
}

impl Envoy {
    fn counter(&self, metric: Metric) -> Option<u32> {
        let counters = self.counters.get_or_init(|| {
            [
                "meshscribe_tap_streams",
                "meshscribe_tap_batches_posted",
                "meshscribe_tap_batches_failed",
                "meshscribe_tap_batches_abandoned",
                "meshscribe_tap_fragments_dropped",
                "meshscribe_tap_config_errors",
                "meshscribe_tap_unreadable_blocks",
                "meshscribe_tap_labels_left_out",
            ]
            .map(abi::define_counter)
        });
        counters.get(metric as usize).copied().flatten()
    }
}

impl Host for Envoy {
    fn now_ns(&self) -> u64 {
        abi::now_ns()
    }

    fn block(&self, block: Block) -> Option<Vec<u8>> {
        abi::header_map(block as u32)
    }

    fn chunk(&self, direction: Direction, start: usize, size: usize) -> Option<Vec<u8>> {
        abi::buffer(direction as u32, start, size)
    }

    fn property(&self, path: &[u8]) -> Option<Vec<u8>> {
        abi::property(path)
    }

    fn post(&self, post: &Post<'_>) -> Option<u32> {
        abi::http_call(post.cluster, post.headers, post.body, post.timeout_ms)
    }

    fn answer_header(&self, name: &str) -> Option<Vec<u8>> {
        abi::header(HTTP_CALL_RESPONSE_HEADERS, name)
    }

    fn count(&self, metric: Metric, by: u64) {
        if let Some(id) = self.counter(metric) {
            abi::increment(id, by);
        }
    }

    fn log(&self, level: LogLevel, line: &str) {
        abi::log(level as u32, line);
    }

    fn random(&self) -> Option<u64> {
        abi::random()
    }

    fn tick_every(&self, milliseconds: u32) {
        abi::tick_every(milliseconds);
    }

    fn done(&self) {
        abi::done();
    }

    fn mark(&self, root: u32) -> bool {
        abi::foreign("expr_create", root.to_string().as_bytes()).as_deref() == Some(MARK)
    }

    fn marked(&self) -> Option<u32> {
        abi::foreign("expr_evaluate", MARK)?.try_into().ok().and_then(|mark| i64::from_le_bytes(mark).try_into().ok())
    }
}
