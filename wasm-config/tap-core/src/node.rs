//! The proxy's own identity, read once and encoded once: it opens every batch.

use crate::bounds;
use crate::headers::Pairs;
use crate::host::{Host, LogLevel, Metric};
use crate::wire::Message;

const LABELS: &[u8] = b"xds\0node\0metadata\0LABELS";
const TEXTS: [(u32, &[u8]); 7] = [
    (1, b"xds\0node\0id"),
    (2, b"xds\0node\0cluster"),
    (3, b"xds\0node\0metadata\0NAMESPACE"),
    (4, b"xds\0node\0metadata\0WORKLOAD_NAME"),
    (6, b"xds\0node\0metadata\0CLUSTER_ID"),
    (7, b"xds\0node\0metadata\0NAME"),
    (8, b"xds\0node\0metadata\0SERVICE_ACCOUNT"),
];
/// One identity text's bound; Kubernetes names are far shorter.
const MAX_TEXT: usize = 512;

/// The encoded fields `node` and `vm` of a batch. `room` bounds the labels: those that do not fit are left out, and counted.
pub fn envelope<H: Host>(host: &H, vm: &str, room: usize) -> Vec<u8> {
    let mut message = Message::default();
    let node = message.open(1);
    for (field, path) in TEXTS {
        if let Some(value) = host.property(path) {
            message.bytes(field, utf8(&value, MAX_TEXT).as_bytes());
        }
    }
    if let Some(labels) = host.property(LABELS) {
        let left_out = encode_labels(&labels, room, &mut message);
        if left_out != 0 {
            host.count(Metric::LabelsLeftOut, left_out);
            host.log(
                LogLevel::Warn,
                &format!("{left_out} of the node's labels are left out of what is told: too many, or too long"),
            );
        }
    }
    message.close(node);
    message.bytes(2, vm.as_bytes());
    message.into_bytes()
}

/// Returns how many were left out.
fn encode_labels(labels: &[u8], room: usize, message: &mut Message) -> u64 {
    let (mut told, mut left_out) = (0_usize, 0_u64);
    for (name, value) in Pairs::new(labels).map_while(Result::ok) {
        let (name, value) = (utf8(name, MAX_TEXT), utf8(value, MAX_TEXT));
        let size = name.len().saturating_add(value.len()).saturating_add(16);
        if told >= bounds::LABELS || message.len().saturating_add(size) > room {
            left_out = left_out.saturating_add(1);
        } else {
            told = told.saturating_add(1);
            let entry = message.open(5);
            message.bytes(1, name.as_bytes());
            message.bytes(2, value.as_bytes());
            message.close(entry);
        }
    }
    left_out
}

/// The text as valid UTF-8 of at most `limit` bytes: protobuf refuses anything else in a string.
#[must_use]
pub fn utf8(bytes: &[u8], limit: usize) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    while text.len() > limit {
        text.pop();
    }
    text
}
