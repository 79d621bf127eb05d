//! Header blocks in the serialisation of the proxy-wasm ABI (`proxy_get_header_map_pairs`), little endian: u32 count,
//! count × (u32 name length, u32 value length), count × (name, NUL, value, NUL). They are read where they lie and passed
//! on as they are; only a redaction builds a new one.

use crate::names::{Header, Names};
use crate::redact::Redaction;

/// A block without pairs.
pub const EMPTY: [u8; 4] = [0; 4];

/// Iterates over a serialised block; `Err` ends a block that does not keep to the format.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    block: &'a [u8],
    left: usize,
    size_at: usize,
    data_at: usize,
}

/// The block breaks off or its lengths point outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl<'a> Pairs<'a> {
    /// Starts at the block's first pair. No bytes at all are a block without pairs.
    #[must_use]
    pub fn new(block: &'a [u8]) -> Self {
        let left = if block.is_empty() { 0 } else { read_u32(block, 0).unwrap_or(usize::MAX) };
        let data_at = left.saturating_mul(8).saturating_add(4);
        Self { block, left, size_at: 4, data_at }
    }

    fn pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let name_size = read_u32(self.block, self.size_at)?;
        let value_size = read_u32(self.block, self.size_at.saturating_add(4))?;
        let (name, value_at) = text(self.block, self.data_at, name_size)?;
        let (value, next_at) = text(self.block, value_at, value_size)?;
        self.size_at = self.size_at.saturating_add(8);
        self.data_at = next_at;
        Some((name, value))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let pair = self.pair();
        self.left = if pair.is_some() { self.left.saturating_sub(1) } else { 0 };
        Some(pair.ok_or(Unreadable))
    }
}

fn read_u32(block: &[u8], at: usize) -> Option<usize> {
    let word = block.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?) as usize)
}

/// The text at `at` and where the next one begins, behind the NUL.
fn text(block: &[u8], at: usize, size: usize) -> Option<(&[u8], usize)> {
    let end = at.checked_add(size)?;
    block.get(end).filter(|nul| **nul == 0)?;
    Some((block.get(at..end)?, end.checked_add(1)?))
}

/// What one look at a block tells. The texts borrow from the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings<'a> {
    /// `x-request-id`.
    pub request_id: &'a [u8],
    /// `:path`.
    pub path: &'a [u8],
    /// `:method`.
    pub method: &'a [u8],
    /// `:status`.
    pub status: &'a [u8],
    /// Some value has to be redacted.
    pub redact: bool,
}

/// Reads a block through once; `names` knows the blocks of this kind that came before.
///
/// # Errors
/// [`Unreadable`] if the block does not keep to the format.
pub fn inspect<'a>(block: &'a [u8], names: &mut Names, redaction: &Redaction) -> Result<Findings<'a>, Unreadable> {
    let mut findings = Findings::default();
    for (place, pair) in Pairs::new(block).enumerate() {
        let (name, value) = pair?;
        let meaning = names.meaning(place, name, redaction);
        match meaning.header {
            Header::Path => findings.path = value,
            Header::Method => findings.method = value,
            Header::Status => findings.status = value,
            Header::RequestId => findings.request_id = value,
            Header::Other => {}
        }
        findings.redact |= meaning.hidden || (meaning.url && redaction.hides_of(value));
    }
    Ok(findings)
}

/// The block with every hidden value replaced.
///
/// # Errors
/// [`Unreadable`] if the block does not keep to the format.
pub fn redacted(block: &[u8], redaction: &Redaction) -> Result<Vec<u8>, Unreadable> {
    // A pair takes ten bytes at least, so a count that lies cannot ask for more memory than the block has.
    let mut pairs = Vec::with_capacity(Pairs::new(block).left.min(block.len() / 10));
    for pair in Pairs::new(block) {
        let (name, value) = pair?;
        pairs.push((name, redaction.told(name, value)));
    }
    Ok(written(&pairs))
}

/// Serialises pairs.
#[must_use]
pub fn serialise(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    written(pairs)
}

fn written<V: AsRef<[u8]>>(pairs: &[(&[u8], V)]) -> Vec<u8> {
    let size = |(name, value): &(&[u8], V)| name.len().saturating_add(value.as_ref().len()).saturating_add(10);
    let mut block = Vec::with_capacity(pairs.iter().map(size).fold(EMPTY.len(), usize::saturating_add));
    block.extend_from_slice(&(pairs.len() as u32).to_le_bytes());
    for (name, value) in pairs {
        block.extend_from_slice(&(name.len() as u32).to_le_bytes());
        block.extend_from_slice(&(value.as_ref().len() as u32).to_le_bytes());
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value.as_ref()]) {
        block.extend_from_slice(text);
        block.push(0);
    }
    block
}
