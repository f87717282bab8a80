//! Finds canaries in any bytes: database files, logs, answers, backups. One test with it is one sentence: these words
//! are nowhere in these bytes.
//!
//! Each word is looked for as UTF-8, CP932, UTF-16 (both byte orders), half-width kana, percent-encoded, with JSON `\u`
//! escapes, in hexadecimal and as base64 at the three offsets at which it may begin.

use kiban_formats::text::{Encoding, encode};
use std::collections::HashMap;
use std::fmt::Write;
use std::io::{self, Read};

/// Where a canary was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The word.
    pub canary: String,
    /// The form in which it stood there, such as `UTF-8` or `base64`.
    pub form: &'static str,
    /// Offset of its first byte.
    pub at: u64,
}

/// The first canary in the bytes. To search many files for the same words, keep a [`Needle`].
pub fn find_canary(haystack: &[u8], canaries: &[String]) -> Option<Hit> {
    Needle::new(canaries).find(haystack)
}

/// Bytes at the end of a pattern by which it is recognised: there the words of different people differ.
const TAIL: usize = 6;

struct Pattern {
    bytes: Vec<u8>,
    canary: u32,
    form: &'static str,
}

/// Words prepared for searching. One pass over the bytes, whatever the number of words.
pub struct Needle {
    canaries: Vec<String>,
    patterns: Vec<Pattern>,
    /// Patterns by their last bytes.
    by_tail: HashMap<u64, Vec<u32>>,
    /// Filter in front of the map: one bit per hash of a tail.
    filter: Vec<u64>,
    longest: usize,
}

impl std::fmt::Debug for Needle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Needle({} words, {} patterns)", self.canaries.len(), self.patterns.len())
    }
}

impl Needle {
    /// Prepares the words. A form shorter than six bytes is left out, because it would be found by chance.
    pub fn new(canaries: &[String]) -> Self {
        let bits = (canaries.len() * 1_024).next_power_of_two().clamp(1 << 16, 1 << 26);
        let mut needle = Self {
            canaries: canaries.to_vec(),
            patterns: Vec::new(),
            by_tail: HashMap::new(),
            filter: vec![0; bits / 64],
            longest: 1,
        };
        for (canary, word) in canaries.iter().enumerate() {
            let mut known: Vec<Vec<u8>> = Vec::new();
            for (form, bytes) in forms(word) {
                if bytes.len() >= TAIL && !known.contains(&bytes) {
                    known.push(bytes.clone());
                    needle.add(Pattern { bytes, canary: canary as u32, form });
                }
            }
        }
        needle
    }

    fn add(&mut self, pattern: Pattern) {
        let tail = pattern.bytes[pattern.bytes.len() - TAIL..].iter().fold(0u64, |tail, b| tail << 8 | u64::from(*b));
        let (slot, bit) = self.slot(tail);
        self.filter[slot] |= bit;
        self.by_tail.entry(tail).or_default().push(self.patterns.len() as u32);
        self.longest = self.longest.max(pattern.bytes.len());
        self.patterns.push(pattern);
    }

    fn slot(&self, tail: u64) -> (usize, u64) {
        let hash = tail.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let at = hash as usize & (self.filter.len() * 64 - 1);
        (at / 64, 1 << (at % 64))
    }

    /// The canary that ends first.
    pub fn find(&self, haystack: &[u8]) -> Option<Hit> {
        const MASK: u64 = (1 << (8 * TAIL)) - 1;
        let mut tail = 0u64;
        for (at, byte) in haystack.iter().enumerate() {
            tail = (tail << 8 | u64::from(*byte)) & MASK;
            let (slot, bit) = self.slot(tail);
            if self.filter[slot] & bit == 0 || at + 1 < TAIL {
                continue;
            }
            if let Some(hit) = self.ending_at(&haystack[..=at], tail) {
                return Some(hit);
            }
        }
        None
    }

    fn ending_at(&self, before: &[u8], tail: u64) -> Option<Hit> {
        let candidates = self.by_tail.get(&tail)?.iter().filter_map(|i| self.patterns.get(*i as usize));
        let pattern = candidates.filter(|pattern| before.ends_with(&pattern.bytes)).max_by_key(|p| p.bytes.len())?;
        let canary = self.canaries.get(pattern.canary as usize)?.clone();
        Some(Hit { canary, form: pattern.form, at: (before.len() - pattern.bytes.len()) as u64 })
    }

    /// The same in something read piece by piece, such as a file larger than memory.
    pub fn find_in(&self, mut reader: impl Read) -> io::Result<Option<Hit>> {
        let mut buffer = vec![0u8; (1 << 20) + self.longest];
        let (mut kept, mut offset) = (0, 0u64);
        loop {
            let read = match reader.read(&mut buffer[kept..]) {
                Ok(0) => return Ok(None),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let filled = kept + read;
            if let Some(hit) = self.find(&buffer[..filled]) {
                return Ok(Some(Hit { at: offset + hit.at, ..hit }));
            }
            kept = filled.min(self.longest - 1);
            buffer.copy_within(filled - kept..filled, 0);
            offset += (filled - kept) as u64;
        }
    }
}

/// Every form of a word, the plainest first.
fn forms(word: &str) -> Vec<(&'static str, Vec<u8>)> {
    let cp932 = |text: &str| {
        let mut bytes = Vec::new();
        encode(text, Encoding::Cp932, &mut bytes).ok().map(|()| bytes).unwrap_or_default()
    };
    let half = half_width(word);
    let mut forms = vec![
        ("UTF-8", word.as_bytes().to_vec()),
        ("CP932", cp932(word)),
        ("UTF-16LE", word.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("UTF-16BE", word.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("half-width UTF-8", half.as_bytes().to_vec()),
        ("half-width CP932", cp932(&half)),
        ("half-width UTF-16LE", half.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("half-width UTF-16BE", half.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ];
    for upper in [true, false] {
        forms.push(("percent", percent(word.as_bytes(), upper)));
        forms.push(("percent CP932", percent(&cp932(word), upper)));
        forms.push(("JSON escape", json_escaped(word, upper)));
        forms.push(("hexadecimal", hexadecimal(word.as_bytes(), upper)));
    }
    for offset in 0..3 {
        for (form, bytes) in [("base64", word.as_bytes().to_vec()), ("base64 CP932", cp932(word))] {
            let encoded = base64(&bytes, offset);
            let url: Vec<u8> = encoded
                .iter()
                .map(|b| [*b, b'-', b'_'][usize::from(*b == b'+') + 2 * usize::from(*b == b'/')])
                .collect();
            forms.push((form, encoded));
            forms.push((form, url));
        }
    }
    forms
}

fn percent(bytes: &[u8], upper: bool) -> Vec<u8> {
    let mut out = String::new();
    for byte in bytes {
        let _ = match byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(b) => write!(out, "{}", char::from(*b)),
            b if upper => write!(out, "%{b:02X}"),
            b => write!(out, "%{b:02x}"),
        };
    }
    out.into_bytes()
}

fn json_escaped(word: &str, upper: bool) -> Vec<u8> {
    let mut out = String::new();
    for unit in word.encode_utf16() {
        let _ = match unit {
            u if u < 0x80 => write!(out, "{}", char::from(u as u8)),
            u if upper => write!(out, "\\u{u:04X}"),
            u => write!(out, "\\u{u:04x}"),
        };
    }
    out.into_bytes()
}

fn hexadecimal(bytes: &[u8], upper: bool) -> Vec<u8> {
    let hex = bytes.iter().fold(String::new(), |out, b| out + &format!("{b:02x}"));
    if upper { hex.to_uppercase().into_bytes() } else { hex.into_bytes() }
}

/// Base64 of the bytes when `offset` other bytes stand before them, without the letters that depend on neighbours.
fn base64(bytes: &[u8], offset: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |i: usize| bytes.get(i / 8).map_or(0, |b| b >> (7 - i % 8) & 1);
    let first = [0, 4, 2][offset % 3];
    let letters = (bytes.len() * 8).saturating_sub(first) / 6;
    (0..letters)
        .map(|letter| (0..6).fold(0u8, |value, i| value << 1 | bit(first + letter * 6 + i)))
        .map(|value| LETTERS[usize::from(value)])
        .collect()
}

/// Katakana as half-width kana, as some older systems write them.
fn half_width(word: &str) -> String {
    const PLAIN: &str = "ァｧアｱィｨイｲゥｩウｳェｪエｴォｫオｵカｶキｷクｸケｹコｺサｻシｼスｽセｾソｿタﾀチﾁッｯツﾂテﾃトﾄナﾅニﾆヌﾇネﾈノﾉハﾊヒﾋフﾌヘﾍホﾎマﾏミﾐムﾑメﾒモﾓャｬヤﾔュｭユﾕョｮヨﾖラﾗリﾘルﾙレﾚロﾛワﾜヲｦンﾝーｰ";
    const VOICED: &str = "ガｶギｷグｸゲｹゴｺザｻジｼズｽゼｾゾｿダﾀヂﾁヅﾂデﾃドﾄバﾊビﾋブﾌベﾍボﾎヴｳ";
    const HALF_VOICED: &str = "パﾊピﾋプﾌペﾍポﾎ";
    let mut out = String::new();
    for c in word.chars() {
        let found =
            [(PLAIN, None), (VOICED, Some('ﾞ')), (HALF_VOICED, Some('ﾟ'))].into_iter().find_map(|(table, mark)| {
                let full = table.chars().step_by(2);
                let half = table.chars().skip(1).step_by(2);
                full.zip(half).find(|(full, _)| *full == c).map(|(_, half)| (half, mark))
            });
        match found {
            Some((half, mark)) => {
                out.push(half);
                out.extend(mark);
            }
            None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::canaries;

    #[test]
    fn half_width_kana_keep_their_voicing_marks() {
        assert_eq!(half_width("カナリアゼロゴパ0042"), "ｶﾅﾘｱｾﾞﾛｺﾞﾊﾟ0042");
    }

    #[test]
    fn base64_at_each_offset_is_what_an_encoder_writes() {
        assert_eq!(base64(b"canary", 0), b"Y2FuYXJ5");
        // "xcanary" and "xycanary" as any encoder writes them: eGNhbmFyeQ== and eHljYW5hcnk=
        assert_eq!(base64(b"canary", 1), b"NhbmFye");
        assert_eq!(base64(b"canary", 2), b"jYW5hcn");
    }

    #[test]
    fn a_word_is_found_in_each_form_and_named() {
        let words = canaries(42);
        for word in &words {
            for (form, bytes) in forms(word).into_iter().filter(|(_, bytes)| bytes.len() >= TAIL) {
                let mut haystack = b"\x00\xffbefore \xe3\x82".to_vec();
                let at = haystack.len() as u64;
                haystack.extend_from_slice(&bytes);
                haystack.extend_from_slice(b"\x83 after");
                let hit = find_canary(&haystack, &words).unwrap_or_else(|| panic!("{word} as {form}"));
                assert_eq!((hit.canary.as_str(), hit.at), (word.as_str(), at), "{form}");
            }
        }
    }

    #[test]
    fn nothing_is_found_in_clean_bytes_and_in_other_people_s_words() {
        let words = canaries(42);
        let mut random = crate::random::Random::new(1, 1, "noise");
        let noise: Vec<u8> = (0..200_000).flat_map(|_| random.bits().to_le_bytes()).collect();
        assert_eq!(find_canary(&noise, &words), None);
        let others: String = (43..500).flat_map(canaries).collect();
        assert_eq!(find_canary(others.as_bytes(), &words), None);
        assert_eq!(find_canary("架空県見本市のカナリア、あるいはカナリア00".as_bytes(), &words), None);
        assert_eq!(find_canary(b"", &words), None);
    }

    #[test]
    fn a_word_across_the_pieces_of_a_large_file_is_found() {
        struct Drip(Vec<u8>, usize);
        impl Read for Drip {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let n = out.len().min(7).min(self.0.len() - self.1);
                out[..n].copy_from_slice(&self.0[self.1..self.1 + n]);
                self.1 += n;
                Ok(n)
            }
        }
        let words = canaries(7);
        let mut bytes = vec![b' '; 10_000];
        bytes.extend_from_slice(words[1].as_bytes());
        bytes.extend(vec![b' '; 100]);
        let hit = Needle::new(&words).find_in(Drip(bytes, 0)).unwrap();
        assert_eq!(hit, Some(Hit { canary: words[1].clone(), form: "UTF-8", at: 10_000 }));
    }
}
