//! The tap filter as a proxy-wasm module (ABI 0.2.1): the proxy's callbacks in, [`tap_core`] behind them.
//!
//! Every callback lets the stream go on. The module declares the calls itself, because the SDK's wrappers panic where a
//! proxy answers something they do not expect.

mod abi;
mod callbacks;
mod envoy;
