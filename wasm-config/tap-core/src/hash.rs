//! Tells secrets apart without telling them: a keyed hash takes the place of a header's value.
//!
//! HMAC-SHA256 (RFC 2104, FIPS 180-4), of which the first 16 bytes are told. Whoever does not hold the key can neither
//! check a guess nor compare with hashes made under another key.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A shorter key could be guessed.
pub const MIN_KEY: usize = 16;

const PREFIX: &[u8] = b"hmac-sha256:";
const TOLD: usize = 16;
/// RFC 9110, section 11.4: `credentials = auth-scheme [ 1*SP ( token68 / … ) ]`.
const WITH_SCHEME: [&[u8]; 2] = [b"authorization", b"proxy-authorization"];

/// Which headers are hashed, and the key, ready for use.
#[derive(Clone, Debug)]
pub struct HeaderHash {
    names: Vec<Vec<u8>>,
    keyed: Hmac<Sha256>,
}

impl HeaderHash {
    /// None if there is nothing to hash or the key is shorter than [`MIN_KEY`]. Names are compared without case.
    #[must_use]
    pub fn new<S: AsRef<str>>(names: &[S], key: &[u8]) -> Option<Self> {
        if names.is_empty() || key.len() < MIN_KEY {
            return None;
        }
        let names = names.iter().map(|name| name.as_ref().to_ascii_lowercase().into_bytes()).collect();
        Some(Self { names, keyed: Hmac::new_from_slice(key).ok()? })
    }

    /// What is told in place of this header's value; None: this header is not hashed.
    #[must_use]
    pub fn of(&self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        if !self.names.iter().any(|held| held.eq_ignore_ascii_case(name)) {
            return None;
        }
        let with_scheme = WITH_SCHEME.iter().any(|held| held.eq_ignore_ascii_case(name));
        Some(self.told(if with_scheme { credentials(value) } else { value }))
    }

    fn told(&self, secret: &[u8]) -> Vec<u8> {
        let digest = self.keyed.clone().chain_update(secret).finalize().into_bytes();
        let hex = digest.iter().take(TOLD).flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        PREFIX.iter().copied().chain(hex).collect()
    }
}

/// What follows the scheme; without a scheme the whole value. So a key has one hash, under whichever header it came.
fn credentials(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    match value.iter().position(u8::is_ascii_whitespace) {
        Some(at) => value.get(at..).unwrap_or_default().trim_ascii_start(),
        None => value,
    }
}

fn digit(nibble: u8) -> u8 {
    b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'?')
}
