//! What header names mean to the filter. The blocks of one proxy name the same headers in the same places most of the time:
//! then one comparison with the name that stood there last tells all, instead of a search through the name.

use crate::redact::Redaction;

/// Beyond these a name is looked at anew each time, so that no client makes the memory grow.
const PLACES: usize = 64;
const NAME_BYTES: usize = 64;

/// A header that the filter reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// `:path`.
    Path,
    /// `:method`.
    Method,
    /// `:status`.
    Status,
    /// `x-request-id`.
    RequestId,
    /// None of these.
    Other,
}

/// A name's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Which header it is.
    pub header: Header,
    /// Its value must not be sent.
    pub hidden: bool,
    /// Its value is a path or URL, whose query may hold what must not be sent.
    pub url: bool,
}

impl Meaning {
    fn of(name: &[u8], redaction: &Redaction) -> Self {
        let header = match name {
            b":path" => Header::Path,
            b":method" => Header::Method,
            b":status" => Header::Status,
            b"x-request-id" => Header::RequestId,
            _ => Header::Other,
        };
        Self { header, hidden: redaction.hides(name), url: Redaction::is_url(name) }
    }
}

/// The names that stood in each place of a kind of block. One for each redaction: what is hidden is remembered.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: Vec<(Vec<u8>, Meaning)>,
}

impl Names {
    /// The meaning of the name in this place of a block.
    pub fn meaning(&mut self, place: usize, name: &[u8], redaction: &Redaction) -> Meaning {
        match self.known.get(place) {
            Some((known, meaning)) if known == name => *meaning,
            _ => {
                let meaning = Meaning::of(name, redaction);
                self.remember(place, name, meaning);
                meaning
            }
        }
    }

    fn remember(&mut self, place: usize, name: &[u8], meaning: Meaning) {
        if name.len() > NAME_BYTES {
            return;
        }
        let next = self.known.len();
        match self.known.get_mut(place) {
            Some((known, told)) => {
                known.clear();
                known.extend_from_slice(name);
                *told = meaning;
            }
            None if place < PLACES && place == next => self.known.push((name.to_vec(), meaning)),
            None => {}
        }
    }
}
