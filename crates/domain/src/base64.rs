//! Bytes inside JSON: base64 (RFC 4648, with padding), for `#[serde(with = "…")]`.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes bytes as base64.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let at = |i: usize| u32::from(part.get(i).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i > part.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

/// Reads base64; none unless it is exactly what [`encode`] writes.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for part in text.as_bytes().chunks(4) {
        let letters = part.iter().take_while(|b| **b != b'=');
        let values: Vec<u32> = letters.map(|b| value(*b)).collect::<Option<_>>()?;
        let bits = (0..4).fold(0, |bits, i| bits << 6 | values.get(i).copied().unwrap_or_default());
        let bytes = bits.to_be_bytes();
        out.extend(bytes.get(1..values.len())?);
    }
    (encode(&out) == text).then_some(out)
}

fn value(letter: u8) -> Option<u32> {
    LETTERS.iter().position(|l| *l == letter).and_then(|at| u32::try_from(at).ok())
}

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    decode(&text).ok_or_else(|| D::Error::custom("not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_nothing_else_is_read() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Some(all));
        for wrong in ["Zg=", "Z===", "Zh==", "Zm9v\n", "Zm9v=", "一"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
