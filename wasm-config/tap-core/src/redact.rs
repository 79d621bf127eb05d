//! Which headers' values never leave the proxy, and what is told in their place.

use crate::hash::HeaderHash;
use crate::query::Query;
use crate::usage;
use std::borrow::Cow;

const REDACTED: &[u8] = b"[redacted]";
/// Headers whose values are paths or URLs, or hold such, with the queries that a caller, a proxy or a server wrote. MCP's
/// clients name a resource by its URI.
const URLS: [&[u8]; 13] = [
    b":path",
    b"x-envoy-original-path",
    b"referer",
    b"location",
    b"x-forwarded-uri",
    b"x-original-url",
    b"x-original-uri",
    b"x-rewrite-url",
    b"content-location",
    b"operation-location",
    b"link",
    b"refresh",
    b"mcp-name",
];

/// Header names, and words inside header names, whose values are hidden. Upper and lower case are the same.
#[derive(Clone, Debug)]
pub struct Redaction {
    names: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    name_lengths: u64,
    // By byte, in both cases: a look into a table is much cheaper than a shift of 128 bits, which Wasm does not have.
    word_starts: [bool; 256],
    hash: Option<HeaderHash>,
    query: Query,
}

impl Redaction {
    /// Hides these names and every name that holds one of these words, except names that tell usage.
    #[must_use]
    pub fn new<S: AsRef<str>>(names: &[S], words: &[S]) -> Self {
        let lower = |text: &S| text.as_ref().to_ascii_lowercase().into_bytes();
        let names: Vec<_> = names.iter().map(lower).collect();
        let words: Vec<_> = words.iter().map(lower).filter(|word| !word.is_empty()).collect();
        let name_lengths = names.iter().fold(0, |bits, name| bits | length_bit(name.len()));
        let mut word_starts = [false; 256];
        for byte in words.iter().filter_map(|word| word.first()) {
            for start in [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
                word_starts.get_mut(usize::from(start)).into_iter().for_each(|held| *held = true);
            }
        }
        Self { names, words, name_lengths, word_starts, hash: None, query: Query::default() }
    }

    /// Tells hashes of these hidden headers.
    #[must_use]
    pub fn hashing(self, hash: Option<HeaderHash>) -> Self {
        Self { hash, ..self }
    }

    /// Hides these parameters of the paths and URLs that headers hold.
    #[must_use]
    pub fn hiding(self, query: Query) -> Self {
        Self { query, ..self }
    }

    /// The value as it may leave: of a hidden header its hash where that is wanted, else `[redacted]`; of a path or URL
    /// what its query may tell.
    #[must_use]
    pub fn told<'a>(&self, name: &[u8], value: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.hides(name) {
            return if Self::is_url(name) { self.query.told(value) } else { Cow::Borrowed(value) };
        }
        match self.hash.as_ref().and_then(|hash| hash.of(name, value)) {
            Some(hash) => Cow::Owned(hash),
            None => Cow::Borrowed(REDACTED),
        }
    }

    /// True if the value of this header must not be sent.
    #[must_use]
    pub fn hides(&self, name: &[u8]) -> bool {
        self.is_named(name) || (self.holds_word(name) && !usage::tells(name))
    }

    /// True if this header's value is a path or URL.
    #[must_use]
    pub fn is_url(name: &[u8]) -> bool {
        URLS.iter().any(|held| held.eq_ignore_ascii_case(name))
    }

    /// True if this path or URL holds a value that must not be sent.
    #[must_use]
    pub fn hides_of(&self, url: &[u8]) -> bool {
        self.query.hides(url)
    }

    // The length bits and the table of starts spare the comparison for nearly every header of a request.
    fn is_named(&self, name: &[u8]) -> bool {
        self.name_lengths & length_bit(name.len()) != 0 && self.names.iter().any(|held| held.eq_ignore_ascii_case(name))
    }

    fn holds_word(&self, name: &[u8]) -> bool {
        let mut rest = name;
        while let Some((first, behind)) = rest.split_first() {
            let may_start = self.word_starts.get(usize::from(*first)).copied().unwrap_or(false);
            if may_start && self.starts_with_word(rest) {
                return true;
            }
            rest = behind;
        }
        false
    }

    fn starts_with_word(&self, text: &[u8]) -> bool {
        self.words.iter().any(|word| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)))
    }
}

fn length_bit(length: usize) -> u64 {
    1 << (length & 63)
}
