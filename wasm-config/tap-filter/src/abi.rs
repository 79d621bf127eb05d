//! The proxy-wasm calls that the filter uses, as the proxy exports them, and the memory that passes between both.
//!
//! Source: proxy-wasm specification, abi-versions/v0.2.1. This is the only module with unsafe code.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc};
use std::ptr::null_mut;

const OK: u32 = 0;

mod proxy {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub fn proxy_get_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            max_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
        pub fn proxy_http_call(
            upstream: *const u8,
            upstream_size: usize,
            headers: *const u8,
            headers_size: usize,
            body: *const u8,
            body_size: usize,
            trailers: *const u8,
            trailers_size: usize,
            timeout_ms: u32,
            token: *mut u32,
        ) -> u32;
        pub fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
        pub fn proxy_increment_metric(id: u32, by: i64) -> u32;
        pub fn proxy_log(level: u32, line: *const u8, size: usize) -> u32;
        pub fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub fn proxy_done() -> u32;
        pub fn proxy_call_foreign_function(
            name: *const u8,
            name_size: usize,
            argument: *const u8,
            argument_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
    }
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn random_get(data: *mut u8, size: usize) -> u16;
    }
}

/// Memory that the proxy fills: it asks for it during a call and hands it over with the call's result.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout's size is not zero.
        Ok(layout) if size != 0 => unsafe { alloc(layout) },
        _ => null_mut(),
    }
}

/// Bytes that the proxy left in memory from [`proxy_on_memory_allocate`]. None: the call failed or there are none.
fn handed_over(call: impl FnOnce(&mut *mut u8, &mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    if call(&mut data, &mut size) != OK || data.is_null() || size == 0 {
        return None;
    }
    // SAFETY: the proxy allocated exactly `size` bytes above and gave up the pointer with this call.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Nanoseconds since the epoch.
pub fn now_ns() -> u64 {
    let mut time = 0;
    // SAFETY: the pointer is valid for the call.
    unsafe { proxy::proxy_get_current_time_nanoseconds(&mut time) };
    time
}

/// A header map, serialised.
pub fn header_map(map: u32) -> Option<Vec<u8>> {
    // SAFETY: both pointers are valid for the call.
    handed_over(|data, size| unsafe { proxy::proxy_get_header_map_pairs(map, data, size) })
}

/// One header's value.
pub fn header(map: u32, name: &str) -> Option<Vec<u8>> {
    // SAFETY: all pointers are valid for the call.
    handed_over(|data, size| unsafe { proxy::proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) })
}

/// Bytes of a buffer.
pub fn buffer(buffer: u32, start: usize, max_size: usize) -> Option<Vec<u8>> {
    // SAFETY: both pointers are valid for the call.
    handed_over(|data, size| unsafe { proxy::proxy_get_buffer_bytes(buffer, start, max_size, data, size) })
}

/// A property.
pub fn property(path: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: all pointers are valid for the call.
    handed_over(|data, size| unsafe { proxy::proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// What a function of the proxy that is not in the ABI answers.
pub fn foreign(name: &str, argument: &[u8]) -> Option<Vec<u8>> {
    let (name, name_size, argument, argument_size) = (name.as_ptr(), name.len(), argument.as_ptr(), argument.len());
    // SAFETY: all pointers are valid for the call.
    handed_over(|data, size| unsafe {
        proxy::proxy_call_foreign_function(name, name_size, argument, argument_size, data, size)
    })
}

/// Starts a post and returns its token.
pub fn http_call(cluster: &str, headers: &[u8], body: &[u8], timeout_ms: u32) -> Option<u32> {
    let mut token = 0;
    let no_trailers: [u8; 4] = [0; 4];
    // SAFETY: all pointers are valid for the call; the proxy copies what they show.
    let status = unsafe {
        proxy::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            no_trailers.as_ptr(),
            no_trailers.len(),
            timeout_ms,
            &mut token,
        )
    };
    (status == OK).then_some(token)
}

/// Defines a counter.
pub fn define_counter(name: &str) -> Option<u32> {
    const COUNTER: u32 = 0;
    let mut id = 0;
    // SAFETY: all pointers are valid for the call.
    let status = unsafe { proxy::proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &mut id) };
    (status == OK).then_some(id)
}

/// Adds to a counter.
pub fn increment(id: u32, by: u64) {
    // SAFETY: no pointers.
    unsafe { proxy::proxy_increment_metric(id, i64::try_from(by).unwrap_or(i64::MAX)) };
}

/// Writes to the proxy's log.
pub fn log(level: u32, line: &str) {
    // SAFETY: the pointer is valid for the call.
    unsafe { proxy::proxy_log(level, line.as_ptr(), line.len()) };
}

/// Sets the current root's timer.
pub fn tick_every(milliseconds: u32) {
    // SAFETY: no pointers.
    unsafe { proxy::proxy_set_tick_period_milliseconds(milliseconds) };
}

/// The current root has finished.
pub fn done() {
    // SAFETY: no pointers.
    unsafe { proxy::proxy_done() };
}

/// Random bits.
pub fn random() -> Option<u64> {
    let mut bytes = [0; 8];
    // SAFETY: the pointer is valid for the call.
    let status = unsafe { proxy::random_get(bytes.as_mut_ptr(), bytes.len()) };
    (status == 0).then_some(u64::from_le_bytes(bytes))
}
