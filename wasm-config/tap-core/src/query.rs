//! Which values in the query of a path or URL never leave the proxy. The collector has the same rule
//! (`collector/messages/queries.py`); `tests/queries.json` holds both to it.

use std::borrow::Cow;
use std::ops::Range;

const REDACTED: &[u8] = b"[redacted]";

/// Names of parameters whose values are hidden. Upper and lower case are the same, and so are percent-encoded letters.
#[derive(Clone, Debug, Default)]
pub struct Query {
    names: Vec<Vec<u8>>,
    longest: usize,
}

impl Query {
    /// Hides the values of these parameters.
    #[must_use]
    pub fn new<S: AsRef<str>>(names: &[S]) -> Self {
        let names: Vec<_> = names.iter().map(|name| name.as_ref().to_ascii_lowercase().into_bytes()).collect();
        let longest = names.iter().map(Vec::len).max().unwrap_or(0);
        Self { names, longest }
    }

    /// True if this path or URL holds a value that must not be sent.
    #[must_use]
    pub fn hides(&self, url: &[u8]) -> bool {
        self.secrets(url).next().is_some()
    }

    /// The path or URL as it may leave: `[redacted]` in place of each such value, every other byte as it came.
    #[must_use]
    pub fn told<'a>(&self, url: &'a [u8]) -> Cow<'a, [u8]> {
        let (mut told, mut from) = (Vec::new(), 0);
        for secret in self.secrets(url) {
            told.extend_from_slice(url.get(from..secret.start).unwrap_or_default());
            told.extend_from_slice(REDACTED);
            from = secret.end;
        }
        if from == 0 {
            return Cow::Borrowed(url);
        }
        told.extend_from_slice(url.get(from..).unwrap_or_default());
        Cow::Owned(told)
    }

    /// Where the values lie, in one pass: from the first `?` on, in front of a fragment.
    fn secrets<'a>(&'a self, url: &'a [u8]) -> impl Iterator<Item = Range<usize>> + use<'a> {
        let begin = url.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(url.len());
        let behind = url.get(begin..).unwrap_or_default();
        let size = behind.iter().position(|byte| *byte == b'#').unwrap_or(behind.len());
        let query = url.get(..begin.saturating_add(size)).unwrap_or_default();
        let mut at = begin.saturating_add(1);
        std::iter::from_fn(move || {
            loop {
                let rest = query.get(at..)?;
                let stop = rest.iter().position(|byte| *byte == b'=' || parts(*byte))?;
                let name = rest.get(..stop)?;
                at = at.saturating_add(stop).saturating_add(1);
                if rest.get(stop) != Some(&b'=') {
                    continue;
                }
                let value = query.get(at..)?;
                // To most servers `;` and `?` are bytes of a value, so they do not end what is hidden.
                let is_secret = self.is_secret(name);
                let ends = |byte: &u8| if is_secret { *byte == b'&' } else { parts(*byte) };
                let found = at..at.saturating_add(value.iter().position(ends).unwrap_or(value.len()));
                at = found.end.saturating_add(1);
                if is_secret {
                    return Some(found);
                }
            }
        })
    }

    fn is_secret(&self, name: &[u8]) -> bool {
        // An encoded byte takes three. A longer name is none of these, and not worth a look.
        if name.len() > self.longest.saturating_mul(3) {
            return false;
        }
        if name.contains(&b'%') {
            return self.names.iter().any(|held| decoded(name).eq(held.iter().copied()));
        }
        self.names.iter().any(|held| held.eq_ignore_ascii_case(name))
    }
}

/// Between two parameters; also in front of one in a URL that is another one's value.
fn parts(byte: u8) -> bool {
    matches!(byte, b'&' | b';' | b'?')
}

/// A name's bytes in lower case, percent-decoded once.
fn decoded(name: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (byte, behind) = match rest {
            [b'%', high, low, behind @ ..] => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => ((high << 4) | low, behind),
                _ => (b'%', rest.get(1..)?),
            },
            [byte, behind @ ..] => (*byte, behind),
            [] => return None,
        };
        rest = behind;
        Some(byte.to_ascii_lowercase())
    })
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
