//! The little of DER (X.690) that encrypted keys and PKCS #12 need: values with their tags, written and read.

/// SEQUENCE
pub const SEQUENCE: u8 = 0x30;
/// SET
pub const SET: u8 = 0x31;
/// OCTET STRING
pub const OCTETS: u8 = 0x04;
/// INTEGER
pub const INTEGER: u8 = 0x02;
/// OBJECT IDENTIFIER
pub const OID: u8 = 0x06;
/// NULL
pub const NULL: u8 = 0x05;
/// BMPString
pub const BMP: u8 = 0x1e;
/// `[0]`, constructed
pub const CONTEXT_0: u8 = 0xa0;

/// A value: tag, length, the parts one after the other.
pub fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | bytes.len() as u8);
        out.extend_from_slice(bytes);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// An INTEGER that is not negative.
pub fn integer(number: u32) -> Vec<u8> {
    unsigned(&number.to_be_bytes())
}

/// An INTEGER from the bytes of a number that is not negative, most significant first.
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let skipped = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len().saturating_sub(1));
    let digits = &bytes[skipped..];
    let sign: &[u8] = if digits.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    value(INTEGER, &[sign, digits])
}

/// Values one after the other, read by tag.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the next value, which must have this tag.
    pub fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            long @ 0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        if *found != tag {
            return None;
        }
        self.0 = rest;
        Some(content)
    }

    /// The next value as an INTEGER.
    pub fn integer(&mut self) -> Option<u32> {
        let digits = self.take(INTEGER)?;
        let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
        (digits.len() <= 4).then(|| digits.iter().fold(0, |number, digit| number << 8 | u32::from(*digit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_whatever_its_length() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let written = value(OCTETS, &[&content]);
            let mut reader = Reader(&written);
            assert_eq!(reader.take(OCTETS), Some(&content[..]));
            assert!(reader.0.is_empty());
            assert_eq!(Reader(&written).take(SEQUENCE), None);
            assert_eq!(Reader(&written[..written.len() - 1]).take(OCTETS), None);
        }
        for number in [0, 1, 127, 128, 2_048, 600_000, u32::MAX] {
            assert_eq!(Reader(&integer(number)).integer(), Some(number));
        }
        assert_eq!(integer(128), [2, 2, 0, 128]);
        assert_eq!(unsigned(&[0, 0, 128, 1]), [2, 3, 0, 128, 1]);
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
    }
}
