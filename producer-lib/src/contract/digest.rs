//! Digests: they tell two bodies apart, whichever program wrote the bodies.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// The digest of a kind and of JSON values. The order of keys and the white space between them do not change the
/// digest.
pub(super) fn canonical_digest(kind: &str, values: impl Iterator<Item = serde_json::Value>) -> String {
    let mut text = Vec::from(kind);
    values.for_each(|value| write_canonically(&mut text, &value));
    hex_digest(&text)
}

fn write_canonically(text: &mut Vec<u8>, value: &serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort_unstable();
            text.push(b'{');
            for key in keys {
                write_json(text, key);
                write_canonically(text, &map[key]);
            }
            text.push(b'}');
        }
        Value::Array(items) => {
            text.push(b'[');
            items.iter().for_each(|item| write_canonically(text, item));
            text.push(b']');
        }
        scalar => {
            write_json(text, scalar);
            text.push(b',');
        }
    }
}

fn write_json(text: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // serde_json writes any string or number, and writing into memory cannot fail.
    let _ = serde_json::to_writer(text, value);
}

/// The first 16 bytes of the SHA-256, as 32 hex digits.
pub(super) fn hex_digest(bytes: &[u8]) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'));
    Sha256::digest(bytes)[..16].iter().flat_map(digits).collect()
}
