//! How much of a stream is captured: the first rule that matches its path and method decides, then sampling.

use std::rc::Rc;

/// How much is captured; the numbers are those of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Only the end is told.
    None = 1,
    /// Headers, sizes and times.
    Metadata = 2,
    /// And the request body.
    Request = 3,
    /// And the response body.
    RequestResponse = 4,
}

/// How a rule looks at the path (without its query).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// Every path.
    Any,
    /// The whole path.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// Its end.
    Suffix(String),
}

impl PathMatch {
    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => path == text.as_bytes(),
            Self::Prefix(text) => path.starts_with(text.as_bytes()),
            Self::Suffix(text) => path.ends_with(text.as_bytes()),
        }
    }
}

/// One rule of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Told with every stream that it decided.
    pub name: Rc<str>,
    /// Which paths.
    pub path: PathMatch,
    /// Which method; none: every method.
    pub method: Option<String>,
    /// How much.
    pub level: Level,
    /// How many of 10,000 streams; the others are at level NONE.
    pub sample: u32,
}

/// What was decided for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// How much is captured.
    pub level: Level,
    /// The rule's name; empty: no rule matched.
    pub rule: Rc<str>,
}

/// All rules in their order.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    no_rule: Rc<str>,
}

/// Samples are told in parts of this.
pub const SAMPLE_WHOLE: u32 = 10_000;

impl Policy {
    /// Without a matching rule everything is captured.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, no_rule: Rc::from("") }
    }

    /// Decides on a stream. `ordinal` takes the place of a request id that is missing.
    #[must_use]
    pub fn decide(&self, method: &[u8], path: &[u8], request_id: &[u8], ordinal: u64) -> Decision {
        let path = path.split(|byte| *byte == b'?').next().unwrap_or(path);
        let fits =
            |rule: &&Rule| rule.method.as_ref().is_none_or(|held| held.as_bytes() == method) && rule.path.matches(path);
        match self.rules.iter().find(fits) {
            None => Decision { level: Level::RequestResponse, rule: self.no_rule.clone() },
            Some(rule) => {
                let kept = rule.sample >= SAMPLE_WHOLE || lot(request_id, ordinal) < rule.sample;
                Decision { level: if kept { rule.level } else { Level::None }, rule: rule.name.clone() }
            }
        }
    }
}

/// A number below 10,000: from the request id, so that all proxies on a call's way draw the same, else from a counter
/// (times a number coprime to 10,000: every lot comes up once in 10,000 streams, and neighbours lie far apart).
fn lot(request_id: &[u8], ordinal: u64) -> u32 {
    const SPREAD: u64 = 6_181;
    let number = if request_id.is_empty() { ordinal.wrapping_mul(SPREAD) } else { mix(fnv1a(request_id)) };
    number.checked_rem(u64::from(SAMPLE_WHOLE)).unwrap_or(0) as u32
}

/// FNV-1a, 64 bit. In a UUID the version digit is left out: proxies change it when they trace.
fn fnv1a(request_id: &[u8]) -> u64 {
    const UUID_TEXT: usize = 36;
    const VERSION_DIGIT: usize = 14;
    let skipped = if request_id.len() == UUID_TEXT { VERSION_DIGIT } else { usize::MAX };
    let kept = request_id.iter().enumerate().filter(|(at, _)| *at != skipped);
    kept.fold(0xcbf2_9ce4_8422_2325, |hash, (_, byte)| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of SplitMix64: spreads a number over all 64 bits.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
