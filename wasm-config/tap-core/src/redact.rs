//! Which headers' values never leave the proxy.

/// Header names, and words inside header names, whose values are hidden. Upper and lower case are the same.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    names: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    name_lengths: u64,
    word_starts: u128,
}

impl Redaction {
    /// Hides these names and every name that holds one of these words.
    #[must_use]
    pub fn new<S: AsRef<str>>(names: &[S], words: &[S]) -> Self {
        let lower = |text: &S| text.as_ref().to_ascii_lowercase().into_bytes();
        let names: Vec<_> = names.iter().map(lower).collect();
        let words: Vec<_> = words.iter().map(lower).filter(|word| !word.is_empty()).collect();
        let name_lengths = names.iter().fold(0, |bits, name| bits | length_bit(name.len()));
        let word_starts = words.iter().filter_map(|word| word.first()).fold(0, |bits, byte| bits | byte_bit(*byte));
        Self { names, words, name_lengths, word_starts }
    }

    /// True if the value of this header must not be sent.
    #[must_use]
    pub fn hides(&self, name: &[u8]) -> bool {
        self.is_named(name) || self.holds_word(name)
    }

    // The bit sets below spare the comparison for nearly every header of a request.
    fn is_named(&self, name: &[u8]) -> bool {
        self.name_lengths & length_bit(name.len()) != 0 && self.names.iter().any(|held| held.eq_ignore_ascii_case(name))
    }

    fn holds_word(&self, name: &[u8]) -> bool {
        let mut rest = name;
        while let Some((first, behind)) = rest.split_first() {
            if self.word_starts & byte_bit(first.to_ascii_lowercase()) != 0 && self.starts_with_word(rest) {
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

fn byte_bit(byte: u8) -> u128 {
    1 << (byte & 127)
}
