//! Headers that tell how much was used. They hold counts and times, never a secret, although their names hold a word that hides
//! others. The collector has the same table (`collector/messages/secrets.py`), and a test compares both.

/// Their names in lower case: TGI and TEI, then Bedrock.
pub const HEADERS: [&str; 8] = [
    "x-prompt-tokens",
    "x-generated-tokens",
    "x-compute-tokens",
    "x-time-per-token",
    "x-amzn-bedrock-input-token-count",
    "x-amzn-bedrock-output-token-count",
    "x-amzn-bedrock-cache-read-input-token-count",
    "x-amzn-bedrock-cache-write-input-token-count",
];

/// True if the header of this name tells usage. Upper and lower case are the same.
#[must_use]
pub fn tells(name: &[u8]) -> bool {
    HEADERS.iter().any(|header| header.as_bytes().eq_ignore_ascii_case(name))
}
