//! As much CBOR (RFC 8949) as an authenticator writes about a new passkey, in the canonical form of CTAP 2: definite lengths, shortest
//! heads, no tags and no floats. Whatever else comes is none.

/// Values within values; what is deeper is not read.
const DEEPEST: usize = 4;

/// What has not been read yet.
pub(crate) struct Reader<'a>(&'a [u8]);

/// The head of a value, with the content of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A number from -2^63 to 2^63 - 1.
    Number(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    /// So many values follow.
    List(u64),
    /// So many pairs follow.
    Map(u64),
    /// False, true or null.
    Simple,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Major type and argument; the argument in its shortest form.
    fn head(&mut self) -> Option<(u8, u64)> {
        let first = *self.take(1)?.first()?;
        let (major, short) = (first >> 5, first & 31);
        let (length, least) = match short {
            0..24 => return Some((major, u64::from(short))),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return None,
        };
        let argument = self.take(length)?.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        (argument >= least).then_some((major, argument))
    }

    pub(crate) fn item(&mut self) -> Option<Item<'a>> {
        let (major, argument) = self.head()?;
        let number = i64::try_from(argument).ok();
        let length = usize::try_from(argument).ok();
        Some(match major {
            0 => Item::Number(number?),
            1 => Item::Number(-1 - number?),
            2 => Item::Bytes(self.take(length?)?),
            3 => Item::Text(std::str::from_utf8(self.take(length?)?).ok()?),
            4 => Item::List(argument),
            5 => Item::Map(argument),
            7 if (20..=22).contains(&argument) => Item::Simple,
            _ => return None,
        })
    }

    pub(crate) fn map(&mut self) -> Option<u64> {
        match self.item()? {
            Item::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        match self.item()? {
            Item::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        match self.item()? {
            Item::Text(text) => Some(text),
            _ => None,
        }
    }

    fn skip_at(&mut self, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        let values = match self.item()? {
            Item::List(values) => values,
            Item::Map(pairs) => pairs.checked_mul(2)?,
            _ => return Some(()),
        };
        (0..values).try_for_each(|_| self.skip_at(depth + 1))
    }

    /// Passes a map, whatever is in it. A count that is longer than what came ends where that ends.
    pub(crate) fn skip_map(&mut self) -> Option<()> {
        let pairs = self.map()?;
        (0..pairs.checked_mul(2)?).try_for_each(|_| self.skip_at(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_what_is_longer_than_it_must_be_is_none() {
        let items = |bytes: &[u8]| Reader::new(bytes).item().map(|item| format!("{item:?}"));
        assert_eq!(items(&[0x26]).as_deref(), Some("Number(-7)"));
        assert_eq!(items(&[0x39, 0x01, 0x00]).as_deref(), Some("Number(-257)"));
        assert_eq!(items(&[0x42, 1, 2]).as_deref(), Some("Bytes([1, 2])"));
        assert_eq!(items(&[0x63, b'f', b'm', b't']).as_deref(), Some("Text(\"fmt\")"));
        for wrong in [
            &[0x18, 23][..],
            &[0x19, 0, 255],
            &[0x5f, 0x41, 1, 0xff],
            &[0xc0, 0],
            &[0xf9, 0, 0],
            &[0x61, 0xff],
            &[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[],
        ] {
            assert_eq!(items(wrong), None, "{wrong:02x?}");
        }
    }

    #[test]
    fn a_count_that_lies_and_a_depth_without_end_are_not_followed() {
        assert_eq!(Reader::new(&[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).skip_at(0), None);
        assert_eq!(Reader::new(&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).skip_map(), None);
        assert_eq!(Reader::new(&[0x81; 4096]).skip_at(0), None);
        assert_eq!(Reader::new(&[0x82, 0x81, 0x01, 0xa1, 0x61, b'x', 0xf5]).skip_at(0), Some(()));
    }
}
