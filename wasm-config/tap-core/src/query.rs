//! Which values in the query or the fragment of a path or URL never leave the proxy. The collector has the same rule
//! (`collector/messages/queries.py`); `tests/queries.json` holds both to it.

use std::borrow::Cow;
use std::ops::Range;

const REDACTED: &[u8] = b"[redacted]";
/// Of what stands between `[` and `]` behind a name.
const INDEX_BYTES: usize = 32;

/// Names of parameters whose values are hidden. Upper and lower case are the same, and so are percent-encoded letters.
#[derive(Clone, Debug, Default)]
pub struct Query {
    names: Vec<Vec<u8>>,
}

impl Query {
    /// Hides the values of these parameters.
    #[must_use]
    pub fn new<S: AsRef<str>>(names: &[S]) -> Self {
        Self { names: names.iter().map(|name| name.as_ref().to_ascii_lowercase().into_bytes()).collect() }
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

    /// Where the values lie, in one pass: from the first `?` or `#` on.
    fn secrets<'a>(&'a self, url: &'a [u8]) -> impl Iterator<Item = Range<usize>> + use<'a> {
        let mut at = opening(url).unwrap_or(url.len());
        std::iter::from_fn(move || {
            loop {
                let rest = url.get(at..)?;
                at = at.saturating_add(rest.iter().position(|byte| matches!(byte, b'?' | b'&' | b';' | b'#' | b'%'))?);
                let Some((b'?' | b'&' | b';' | b'#', size)) = symbol(url.get(at..)?) else {
                    at = at.saturating_add(1);
                    continue;
                };
                at = at.saturating_add(size);
                let behind = url.get(at..)?;
                if let Some(value) = self.value(behind) {
                    let found = at.saturating_add(value.start)..at.saturating_add(value.end);
                    at = found.end;
                    return Some(found);
                }
            }
        })
    }

    /// Where the value lies if the text begins with a name whose value is hidden.
    fn value(&self, text: &[u8]) -> Option<Range<usize>> {
        self.names.iter().find_map(|held| {
            let mut at = spelled(text, held)?;
            at = at.saturating_add(index(text.get(at..)?).unwrap_or(0));
            let (b'=', size) = symbol(text.get(at..)?)? else { return None };
            at = at.saturating_add(size);
            let value = text.get(at..)?;
            // To most servers `;` and `?` are bytes of a value, so they begin a name, but do not end what is hidden.
            // A name with an encoded `=` stands in a URL that is another one's value: there an encoded `&` ends it too.
            let ends = |(place, byte): (usize, &u8)| match byte {
                b'&' | b'#' => true,
                b'%' => size > 1 && value.get(place..).is_some_and(|rest| rest.starts_with(b"%26")),
                _ => false,
            };
            let length = value.iter().enumerate().position(ends).unwrap_or(value.len());
            Some(at..at.saturating_add(length))
        })
    }
}

/// Where a query or a fragment begins.
fn opening(url: &[u8]) -> Option<usize> {
    let may_open = |(place, byte): (usize, &u8)| match byte {
        b'?' | b'#' => true,
        b'%' => matches!(url.get(place..).and_then(symbol), Some((b'?' | b'#', _))),
        _ => false,
    };
    url.iter().enumerate().position(may_open)
}

/// The byte that the text begins with and how long it is written: as itself, or percent-encoded once or more often, as
/// in a URL that is another one's value.
fn symbol(text: &[u8]) -> Option<(u8, usize)> {
    let (first, mut rest) = text.split_first()?;
    if *first != b'%' {
        return Some((*first, 1));
    }
    let mut size: usize = 3;
    while let Some(behind) = rest.strip_prefix(b"25") {
        rest = behind;
        size = size.saturating_add(2);
    }
    match rest {
        [high, low, ..] => Some((encoded(*high, *low)?, size)),
        _ => None,
    }
}

/// How long the name at the text's begin is, in any case and with any of its letters percent-encoded; `None`: it is
/// another one.
fn spelled(text: &[u8], name: &[u8]) -> Option<usize> {
    let mut at: usize = 0;
    for letter in name {
        let size = match text.get(at..)? {
            [b'%', high, low, ..] if encoded(*high, *low).is_some_and(|byte| byte.eq_ignore_ascii_case(letter)) => 3,
            [byte, ..] if byte.eq_ignore_ascii_case(letter) => 1,
            _ => return None,
        };
        at = at.saturating_add(size);
    }
    Some(at)
}

/// How long the index at the text's begin is: that of a list, `[]` or `[0]`.
fn index(text: &[u8]) -> Option<usize> {
    let (b'[', begin) = symbol(text)? else { return None };
    let inner = text.get(begin..)?;
    let length = inner.iter().position(|byte| b"[]=%&?;#".contains(byte)).filter(|length| *length <= INDEX_BYTES)?;
    let (b']', end) = symbol(inner.get(length..)?)? else { return None };
    Some(begin.saturating_add(length).saturating_add(end))
}

fn encoded(high: u8, low: u8) -> Option<u8> {
    Some((nibble(high)? << 4) | nibble(low)?)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
