//! Protobuf's wire format, as far as the filter writes it (<https://protobuf.dev/programming-guides/encoding/>).
//!
//! Nested messages get a length of fixed width (a varint padded to four bytes, which every parser takes), so a batch is
//! written in one pass, without measuring first and without a copy.

const LENGTH_WIDTH: usize = 4;
const WIRE_VARINT: u32 = 0;
const WIRE_BYTES: u32 = 2;

/// A growing message. Zero and empty values are left out, as proto3 does.
#[derive(Debug, Default)]
pub struct Message {
    bytes: Vec<u8>,
}

/// Where an open nested message began.
#[derive(Debug)]
#[must_use]
pub struct Nested(usize);

impl Message {
    /// An empty message with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes, in memory of about their size.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        const SLACK: usize = 1024;
        if self.bytes.capacity() > self.bytes.len().saturating_add(SLACK) {
            self.bytes.shrink_to_fit();
        }
        self.bytes
    }

    /// Bytes that are already encoded fields.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    /// A bare varint, as packed repeated fields hold them.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// uint32, uint64, int64, enum and bool fields.
    pub fn uint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, WIRE_VARINT);
            self.varint(value);
        }
    }

    /// bytes and string fields.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.bytes_header(field, value.len());
            self.bytes.extend_from_slice(value);
        }
    }

    /// The tag and length of a bytes field whose content the caller appends with [`Message::raw`].
    pub fn bytes_header(&mut self, field: u32, length: usize) {
        self.tag(field, WIRE_BYTES);
        self.varint(length as u64);
        self.bytes.reserve(length);
    }

    /// Begins a nested message or a packed field.
    pub fn open(&mut self, field: u32) -> Nested {
        self.tag(field, WIRE_BYTES);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH_WIDTH]);
        Nested(start)
    }

    /// Ends what [`Message::open`] began.
    pub fn close(&mut self, nested: Nested) {
        let body = nested.0.saturating_add(LENGTH_WIDTH);
        let length = self.bytes.len().saturating_sub(body);
        if let Some(width) = self.bytes.get_mut(nested.0..body) {
            width.copy_from_slice(&padded(length));
        }
    }

    fn tag(&mut self, field: u32, wire: u32) {
        self.varint(u64::from((field << 3) | wire));
    }
}

/// A length below 2^28 as a varint of four bytes.
fn padded(length: usize) -> [u8; LENGTH_WIDTH] {
    let more = |shift: u32| (((length >> shift) & 0x7f) as u8) | 0x80;
    [more(0), more(7), more(14), ((length >> 21) & 0x7f) as u8]
}
