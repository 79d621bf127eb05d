//! The module's exports. All state hangs on one thread-local: the proxy runs each VM on one thread.
//!
//! Exporting a function is what `unsafe(no_mangle)` is for here; the functions themselves are safe.
#![allow(unsafe_code)]

use crate::abi;
use crate::envoy::Envoy;
use std::cell::RefCell;
use tap_core::host::{Block, Direction};
use tap_core::tap::Tap;

const CONTINUE: u32 = 0;
const PLUGIN_CONFIGURATION: u32 = 7;

thread_local! {
    static TAP: RefCell<Tap<Envoy>> = RefCell::new(Tap::new(Envoy::default()));
}

/// None if the proxy calls back in the middle of a call, which it does not.
fn with_tap<T>(act: impl FnOnce(&mut Tap<Envoy>) -> T) -> Option<T> {
    TAP.try_with(|tap| tap.try_borrow_mut().ok().map(|mut tap| act(&mut tap))).ok().flatten()
}

fn block(context: u32, block: Block, last: bool) -> u32 {
    with_tap(|tap| tap.on_block(context, block, last));
    CONTINUE
}

fn chunk(context: u32, direction: Direction, length: u32, end_of_stream: u32) -> u32 {
    with_tap(|tap| tap.on_chunk(context, direction, length, end_of_stream != 0));
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _size: u32) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    let json = abi::buffer(PLUGIN_CONFIGURATION, 0, size).unwrap_or_default();
    with_tap(|tap| tap.on_configure(root, &json));
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _count: u32, end_of_stream: u32) -> u32 {
    block(context, Block::RequestHeaders, end_of_stream != 0)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, length: u32, end_of_stream: u32) -> u32 {
    chunk(context, Direction::Request, length, end_of_stream)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _count: u32) -> u32 {
    block(context, Block::RequestTrailers, true)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _count: u32, end_of_stream: u32) -> u32 {
    block(context, Block::ResponseHeaders, end_of_stream != 0)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, length: u32, end_of_stream: u32) -> u32 {
    chunk(context, Direction::Response, length, end_of_stream)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _count: u32) -> u32 {
    block(context, Block::ResponseTrailers, true)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: u32) {
    with_tap(|tap| tap.on_log(context));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    with_tap(|tap| tap.on_done(context)).map_or(1, u32::from)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    with_tap(|tap| tap.on_tick(root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(root: u32, token: u32, headers: u32, _body: u32, _trailers: u32) {
    with_tap(|tap| tap.on_answer(root, token, headers != 0));
}
