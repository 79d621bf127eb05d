//! Who called: what the proxy itself knows of the connection, never what a request says of itself.

use crate::host::Host;
use crate::node::utf8;

const ADDRESS: &[u8] = b"source\0address";
/// The first URI among the names of the certificate that the caller's connection was made with.
const PRINCIPAL: &[u8] = b"connection\0uri_san_peer_certificate";
/// Where mTLS ends before the connection that the request is in (HBONE at a waypoint), Istio's proxies hand it on as this.
const TUNNELLED_PRINCIPAL: &[u8] = b"filter_state\0io.istio.peer_principal";
const MAX_ADDRESS: usize = 128;
/// SPIFFE's bound of an identity.
pub const MAX_PRINCIPAL: usize = 2048;

/// The caller's `ip:port`.
pub fn address<H: Host>(host: &H) -> Vec<u8> {
    let bytes = host.property(ADDRESS).unwrap_or_default();
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.len() <= MAX_ADDRESS => bytes,
        _ => utf8(&bytes, MAX_ADDRESS).into_bytes(),
    }
}

/// The caller's identity; empty: the mesh does not vouch for one. What cannot be told whole is not told: a part of it could
/// be another's name.
pub fn principal<H: Host>(host: &H) -> Vec<u8> {
    let told = |path| host.property(path).filter(|bytes| !bytes.is_empty());
    let bytes = told(PRINCIPAL).or_else(|| told(TUNNELLED_PRINCIPAL)).unwrap_or_default();
    let whole = bytes.len() <= MAX_PRINCIPAL && std::str::from_utf8(&bytes).is_ok();
    if whole { bytes } else { Vec::new() }
}
