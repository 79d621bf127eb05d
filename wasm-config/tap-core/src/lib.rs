//! The tap filter's logic: what is copied of a stream, what waits, what is dropped and counted, and what is posted when.
//!
//! Nothing here calls the proxy: everything outside comes in through [`host::Host`], so the whole filter runs in native
//! tests. The crate `tap-filter` is the thin layer that gives it Envoy's calls. The messages that leave are those of
//! `collector/messages/tap.proto`, which is also where their meaning is written down.
//!
//! The way of a fragment: [`tap`] (callbacks) → [`stream`] (one stream: key, level, offsets) → [`queue`] (bound, drops)
//! → [`seal`] (a batch) → [`outbox`] (post, retry, give up).

pub mod bounds;
pub mod caller;
pub mod config;
pub mod hash;
pub mod headers;
pub mod host;
pub mod names;
pub mod node;
pub mod outbox;
pub mod policy;
pub mod query;
pub mod queue;
pub mod reader;
pub mod redact;
pub mod room;
pub mod root;
pub mod seal;
pub mod stream;
pub mod tail;
pub mod tap;
pub mod totals;
pub mod usage;
pub mod waiting;
pub mod wire;
