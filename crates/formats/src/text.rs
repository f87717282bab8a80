//! Characters: strict CP932 and UTF-8 in and out, what may stand in a value, and how a value is shown in a message.
//!
//! CP932 is Windows-31J: user-defined characters (外字, F040–F9FC) are refused on reading, and whatever it cannot hold is
//! refused on writing, never replaced (docs/requirements.md §16).

use encoding_rs::SHIFT_JIS;
use kiban_domain::ids::looks_like_individual_number;
use std::borrow::Cow;
use std::fmt::Write;
use std::io::Read;
use std::ops::Range;
use std::sync::OnceLock;

/// Byte order mark of UTF-8.
pub(crate) const BOM: &[u8] = &[0xef, 0xbb, 0xbf];

/// How a text begins that a spreadsheet may run as a formula (T-20).
pub const FORMULA_STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Character code of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Windows-31J (MS932).
    Cp932,
    /// UTF-8; a byte order mark at the beginning is skipped.
    Utf8,
}

/// Why the bytes of a value are not text, with the 1-based position of the character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CharFault {
    /// No character of this encoding.
    Malformed(usize, String),
    /// 外字
    UserDefined(usize, String),
    /// A control or invisible character.
    Control(usize, char),
}

impl CharFault {
    /// Code of the rule.
    pub fn rule(&self) -> &'static str {
        if matches!(self, Self::Control(..)) { "control" } else { "encoding" }
    }

    /// What to do, in Japanese.
    pub fn message_ja(&self, encoding: Encoding) -> String {
        let name = match encoding {
            Encoding::Cp932 => "Shift_JIS(MS932)",
            Encoding::Utf8 => "UTF-8",
        };
        match self {
            Self::Malformed(at, hex) => {
                format!("{at}文字目のバイト({hex})は{name}の文字ではありません。文字コードを確認してください")
            }
            Self::UserDefined(at, hex) => {
                format!("{at}文字目に外字({hex})があります。外字は使えないため、標準の文字に置き換えてください")
            }
            Self::Control(at, c) => {
                format!("{at}文字目に制御文字(U+{:04X})があります。取り除いてください", *c as u32)
            }
        }
    }
}

/// Decodes one value strictly. Line breaks and tabs inside a value are text; other controls are not.
pub fn decode(bytes: &[u8], encoding: Encoding) -> Result<Cow<'_, str>, CharFault> {
    if bytes.is_ascii() {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        return match bytes.iter().position(|b| is_hidden(char::from(*b))) {
            Some(at) => Err(CharFault::Control(at + 1, char::from(bytes[at]))),
            None => Ok(Cow::Borrowed(text)),
        };
    }
    let text = match encoding {
        Encoding::Utf8 => Cow::Borrowed(std::str::from_utf8(bytes).map_err(|error| malformed_utf8(bytes, error))?),
        Encoding::Cp932 => SHIFT_JIS
            .decode_without_bom_handling_and_without_replacement(bytes)
            .ok_or_else(|| fault_of_cp932(bytes).unwrap_or(CharFault::Malformed(1, hex(bytes))))?,
    };
    match text.chars().position(|c| is_suspect(c) && (is_private(c) || is_hidden(c))) {
        None => Ok(text),
        Some(at) => {
            let c = text.chars().nth(at).unwrap_or_default();
            Err(match encoding {
                Encoding::Cp932 => fault_of_cp932(bytes).unwrap_or(CharFault::Control(at + 1, c)),
                Encoding::Utf8 if is_private(c) => CharFault::UserDefined(at + 1, format!("U+{:04X}", c as u32)),
                Encoding::Utf8 => CharFault::Control(at + 1, c),
            })
        }
    }
}

/// Decodes a value of CP932 to the end of a text by the rules of [`decode`], where nothing in it needs a look; false, and some
/// of it may be there, otherwise.
pub(crate) fn decode_common(bytes: &[u8], out: &mut String) -> bool {
    if bytes.iter().all(|b| matches!(b, b' '..=b'~')) {
        out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
        return true;
    }
    let doubles = doubles();
    out.reserve(bytes.len() + bytes.len() / 2);
    let mut rest = bytes;
    while let [first, others @ ..] = rest {
        rest = others;
        let c = match (first, others) {
            (b' '..=b'~' | b'\t' | b'\n' | b'\r', _) => char::from(*first),
            (0xa1..=0xdf, _) => char::from_u32(0xff61 + u32::from(first - 0xa1)).unwrap_or_default(),
            (_, [second, others @ ..]) => {
                rest = others;
                doubles[usize::from(*first) << 8 | usize::from(*second)]
            }
            (_, []) => '\0',
        };
        if c == '\0' {
            return false;
        }
        out.push(c);
    }
    true
}

/// The characters of two bytes by their bytes, as the strict decoder reads them; NUL for those that need a look.
fn doubles() -> &'static [char] {
    static DOUBLES: OnceLock<Vec<char>> = OnceLock::new();
    DOUBLES.get_or_init(|| {
        let double = |both: u16| {
            let bytes = both.to_be_bytes();
            let text = SHIFT_JIS.decode_without_bom_handling_and_without_replacement(&bytes)?;
            let mut chars = text.chars();
            chars.next().filter(|c| chars.next().is_none() && !is_private(*c) && !is_hidden(*c))
        };
        (0..=u16::MAX).map(|both| double(both).unwrap_or_default()).collect()
    })
}

/// Appends one value in the encoding of the file, or names the character that it cannot hold.
pub fn encode(text: &str, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), char> {
    if let Some(c) = text.chars().find(|c| is_private(*c) || is_hidden(*c)) {
        return Err(c);
    }
    if encoding == Encoding::Utf8 || text.is_ascii() {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    // The Web's encoder quietly turns these three into look-alikes; CP932 itself does not hold them.
    if let Some(c) = text.chars().find(|c| matches!(c, '\u{a5}' | '\u{203e}' | '\u{2212}')) {
        return Err(c);
    }
    let (bytes, _, unmappable) = SHIFT_JIS.encode(text);
    if unmappable {
        let alone = |c: &char| SHIFT_JIS.encode(c.encode_utf8(&mut [0; 4])).2;
        return Err(text.chars().find(alone).unwrap_or('\u{fffd}'));
    }
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Whether bytes are surely UTF-8 rather than CP932: valid, and with characters of the ranges Japanese text uses.
pub fn is_utf8_japanese(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            !bytes.is_ascii() && text.chars().any(|c| matches!(c, '\u{3000}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}'))
        }
        Err(_) => false,
    }
}

/// The beginning of a file without the character of UTF-8 that its last bytes may have cut.
pub(crate) fn whole_characters(head: &[u8]) -> &[u8] {
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        _ => head,
    }
}

/// Whether a 個人番号 stands anywhere in bytes that are read piece by piece.
pub(crate) fn source_holds_individual_number(mut source: impl Read, encoding: Encoding) -> std::io::Result<bool> {
    const PIECE: usize = 256 * 1024;
    const OVERLAP: usize = 64;
    let mut window = Vec::with_capacity(PIECE + OVERLAP);
    loop {
        let read = (&mut source).take(PIECE as u64).read_to_end(&mut window)?;
        if bytes_hold_individual_number(&window, encoding) {
            return Ok(true);
        }
        if read < PIECE {
            return Ok(false);
        }
        window.drain(..window.len() - OVERLAP);
    }
}

/// A value made safe for a message: hidden characters escaped, cut to `limit` characters, a 個人番号 not shown.
pub fn show(value: &str, limit: usize) -> String {
    if holds_individual_number(value) {
        return "個人番号の可能性があるため表示しません".to_owned();
    }
    let mut out = String::new();
    for (at, c) in value.chars().enumerate() {
        if at == limit {
            out.push('…');
            break;
        }
        if is_hidden(c) || is_private(c) || matches!(c, '\n' | '\r' | '\t') {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a 個人番号 stands in a text: twelve digits in a row or in three groups of four, full-width digits included
/// (P-026, P-039). Longer and shorter runs of digits are other numbers.
pub fn holds_individual_number(text: &str) -> bool {
    has_many_digits(text.as_bytes()) && numbers(&text.chars().map(fold).collect::<Vec<_>>()).next().is_some()
}

/// The character a digit or a separator stands for.
fn fold(c: char) -> char {
    match c {
        '０'..='９' => char::from_u32(c as u32 - '０' as u32 + '0' as u32).unwrap_or(c),
        '－' | '‐' | '−' | 'ー' => '-',
        '　' => ' ',
        c => c,
    }
}

/// Places of the 個人番号 in folded characters.
fn numbers(chars: &[char]) -> impl Iterator<Item = Range<usize>> {
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    (0..chars.len()).filter(move |at| digit(*at) && (*at == 0 || !digit(*at - 1))).filter_map(move |at| {
        let plain = (at..at + 12).all(digit) && !digit(at + 12);
        let separator = |at: usize| chars.get(at).filter(|c| matches!(c, '-' | ' '));
        let grouped =
            (at..at + 14).enumerate().all(|(i, at)| if i % 5 == 4 { separator(at).is_some() } else { digit(at) })
                && separator(at + 4) == separator(at + 9)
                && !digit(at + 14);
        let end = if plain { at + 12 } else { at + 14 };
        let is_one = (plain || grouped) && looks_like_individual_number(&chars[at..end].iter().collect::<String>());
        is_one.then_some(at..end)
    })
}

/// What stands where a 個人番号 stood: a control character, of one byte in every encoding, which no item may hold.
const BLANK: u8 = 0x7f;

/// Overwrites the 個人番号 that begin within a part of these bytes of a file, byte by byte: nothing moves, and a row that held
/// one stays a row with an error. Of JSON, digits that are written as escapes are found, too. Whether there was one.
pub fn blank_individual_numbers(bytes: &mut [u8], within: Range<usize>, is_json: bool) -> bool {
    /// Bytes looked at together, and those on both sides that tell where a run of digits begins and ends.
    const STEP: usize = 32 * 1024;
    const AROUND: usize = 256;
    let mut found = false;
    for encoding in [Encoding::Utf8, Encoding::Cp932] {
        for start in (0..bytes.len()).step_by(STEP) {
            let begin = start.saturating_sub(AROUND);
            let window = &bytes[begin..bytes.len().min(start + STEP + AROUND)];
            if encoding == Encoding::Utf8 && !has_many_digits(window) {
                continue;
            }
            let (chars, places): (Vec<char>, Vec<Range<usize>>) = characters(window, encoding, is_json).unzip();
            let spans = numbers(&chars).map(|at| begin + places[at.start].start..begin + places[at.end - 1].end);
            let here = start..start + STEP;
            let spans: Vec<_> = spans
                .filter(|span| here.contains(&span.start) && within.contains(&span.start) && !is_of_digest(bytes, span))
                .collect();
            found |= !spans.is_empty();
            spans.into_iter().for_each(|span| bytes[span].fill(BLANK));
        }
    }
    found
}

/// The characters of bytes, folded, with their places. What is none counts byte by byte.
fn characters(bytes: &[u8], encoding: Encoding, is_json: bool) -> impl Iterator<Item = (char, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let (c, length) = is_json.then(|| escaped(rest)).flatten().unwrap_or_else(|| first(rest, encoding));
        at += length;
        Some((fold(c), at - length..at))
    })
}

/// A character as JSON may write it: `\u` and four hexadecimal digits.
fn escaped(bytes: &[u8]) -> Option<(char, usize)> {
    let digits = std::str::from_utf8(bytes.strip_prefix(b"\\u")?.get(..4)?).ok()?;
    Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, 6))
}

fn first(bytes: &[u8], encoding: Encoding) -> (char, usize) {
    let length = match (encoding, bytes[0]) {
        (Encoding::Cp932, 0x81..=0x9f | 0xe0..=0xfc) | (Encoding::Utf8, 0xc2..=0xdf) => 2,
        (Encoding::Utf8, 0xe0..=0xef) => 3,
        (Encoding::Utf8, 0xf0..=0xf4) => 4,
        _ => 1,
    };
    let text = bytes.get(..length).and_then(|one| match encoding {
        Encoding::Utf8 => std::str::from_utf8(one).ok().map(Cow::Borrowed),
        Encoding::Cp932 => SHIFT_JIS.decode_without_bom_handling_and_without_replacement(one),
    });
    let c = text.as_deref().and_then(|text| text.chars().next());
    c.map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, length))
}

/// Whether a place lies in 64 lower-case hexadecimal digits: a digest is nobody's number.
fn is_of_digest(bytes: &[u8], span: &Range<usize>) -> bool {
    let is_hex = |b: &&u8| matches!(**b, b'0'..=b'9' | b'a'..=b'f');
    let before = bytes[..span.start].iter().rev().take_while(is_hex).take(65).count();
    let from = bytes[span.start..].iter().take_while(is_hex).take(65).count();
    before + from == 64
}

/// How often a byte stands in a text: in pieces whose counts fit a byte, which the machine adds up many at a time.
pub(crate) fn count(bytes: &[u8], wanted: u8) -> usize {
    let of_piece = |piece: &[u8]| usize::from(piece.iter().map(|byte| u8::from(*byte == wanted)).sum::<u8>());
    bytes.chunks(usize::from(u8::MAX)).map(of_piece).sum()
}

/// Whether enough bytes for a 個人番号 could belong to digits; a full-width one begins with EF. Most values end here.
pub(crate) fn has_many_digits(text: &[u8]) -> bool {
    let digits = |some: &[u8]| some.iter().fold(0u8, |n, b| n + u8::from(b.is_ascii_digit() || *b == 0xef));
    text.len() >= 12 && text.chunks(255).map(|some| usize::from(digits(some))).sum::<usize>() >= 12
}

/// The same in bytes that are not judged value by value: broken rows, files of unknown kind.
pub(crate) fn bytes_hold_individual_number(bytes: &[u8], encoding: Encoding) -> bool {
    const STEP: usize = 32 * 1024;
    (0..bytes.len()).step_by(STEP).any(|start| {
        // Windows overlap, so that a number on the border is seen whole.
        let window = &bytes[start..bytes.len().min(start + STEP + 64)];
        let text = match encoding {
            Encoding::Cp932 => SHIFT_JIS.decode_without_bom_handling(window).0,
            Encoding::Utf8 => String::from_utf8_lossy(window),
        };
        holds_individual_number(&text)
    })
}

/// Controls but for tab and line breaks, direction marks and invisible characters: nobody sees them, so nobody can mean them.
pub fn is_hidden(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        c if c.is_control() => true,
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffd}' => true,
        _ => false,
    }
}

/// Quick look: false for nearly all characters of Japanese text, true for every hidden or private one.
fn is_suspect(c: char) -> bool {
    !matches!(c, ' '..='~' | '\u{2100}'..='\u{d7ff}' | '\u{ff00}'..='\u{ffef}')
}

/// 外字: what each machine shows in its own way, or not at all.
pub fn is_private(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..)
}

fn malformed_utf8(bytes: &[u8], error: std::str::Utf8Error) -> CharFault {
    let good = error.valid_up_to();
    let before = String::from_utf8_lossy(&bytes[..good]).chars().count();
    let end = error.error_len().map_or(bytes.len(), |len| good + len);
    CharFault::Malformed(before + 1, hex(&bytes[good..end.min(good + 4)]))
}

/// First character that strict CP932 refuses.
fn fault_of_cp932(bytes: &[u8]) -> Option<CharFault> {
    let mut rest = bytes;
    let mut at = 0;
    while let Some(first) = rest.first() {
        at += 1;
        let double = matches!(first, 0x81..=0x9f | 0xe0..=0xfc) && rest.len() > 1;
        let (one, tail) = rest.split_at(if double { 2 } else { 1 });
        let text = SHIFT_JIS.decode_without_bom_handling_and_without_replacement(one);
        match text.as_deref().and_then(|text| text.chars().next()) {
            None => return Some(CharFault::Malformed(at, hex(one))),
            Some(c) if is_private(c) => return Some(CharFault::UserDefined(at, hex(one))),
            Some('\u{80}') => return Some(CharFault::Malformed(at, hex(one))),
            Some(c) if is_hidden(c) => return Some(CharFault::Control(at, c)),
            Some(_) => rest = tail,
        }
    }
    None
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(4).map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn user_defined_characters_are_refused_with_their_place() {
        let bytes = [0x89, 0xcb, 0xf0, 0x40];
        assert_eq!(decode(&bytes, Encoding::Cp932), Err(CharFault::UserDefined(2, "F0 40".into())));
        assert!(decode("\u{e000}".as_bytes(), Encoding::Utf8).is_err());
    }

    #[test]
    fn characters_whose_second_byte_is_a_backslash_survive() {
        let mut bytes = Vec::new();
        encode("表ソ能①髙～", Encoding::Cp932, &mut bytes).unwrap();
        assert!(bytes.contains(&0x5c));
        assert_eq!(decode(&bytes, Encoding::Cp932).unwrap(), "表ソ能①髙～");
    }

    #[test]
    fn bytes_are_counted_over_many_pieces() {
        let text = b"a\n".repeat(1_000);
        assert_eq!((count(&text, b'\n'), count(&text, b'{'), count(&[b'\n'; 700], b'\n')), (1_000, 0, 700));
    }

    #[test]
    fn what_cp932_cannot_hold_is_an_error_and_never_a_look_alike() {
        for (text, bad) in [("価格¥", '¥'), ("𠮷野", '𠮷'), ("3−1", '−'), ("a\u{202e}b", '\u{202e}'), ("〜", '〜')]
        {
            assert_eq!(encode(text, Encoding::Cp932, &mut Vec::new()), Err(bad), "{text}");
        }
    }

    #[test]
    fn every_pair_of_bytes_is_decoded_alike_quickly_and_strictly() {
        let mut common = 0;
        for both in 0..=u16::MAX {
            for bytes in [both.to_be_bytes().to_vec(), [&both.to_be_bytes()[..], b"1"].concat()] {
                let mut out = String::new();
                if decode_common(&bytes, &mut out) {
                    assert_eq!(decode(&bytes, Encoding::Cp932).as_deref(), Ok(&out[..]), "{bytes:?}");
                    common += 1;
                }
            }
        }
        // 7,000 kanji and kana, and 160 by 160 single ones, with and without one behind them.
        assert!(common > 60_000, "{common}");
    }

    #[test]
    fn an_individual_number_is_found_inside_a_text() {
        for text in ["123456789018", "番号：１２３４ ５６７８ ９０１８。", "a1234-5678-9018b"] {
            assert!(holds_individual_number(text), "{text}");
        }
        for text in ["1234567890189", "099-000-0101", "20260401 1030", "000012345678", "1234-567-89018"] {
            assert!(!holds_individual_number(text), "{text}");
        }
    }

    /// What is left of bytes, with the blanks as dots.
    fn blanked(mut bytes: Vec<u8>, is_json: bool) -> String {
        let all = 0..bytes.len();
        blank_individual_numbers(&mut bytes, all, is_json);
        decode_lossy(&bytes).replace('\u{7f}', ".")
    }

    fn decode_lossy(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn an_individual_number_is_overwritten_where_it_stands_and_nothing_else() {
        let digest = "3068430da9e4b7a674184035643d9e19af3dc7483e31cc03b35f75268401df77";
        for (before, after) in [
            ("1,\"架空 123456789018 花子\",2", "1,\"架空 ............ 花子\",2"),
            ("1,1234-5678-9018,2", "1,..............,2"),
            ("1,1234567890189,2", "1,1234567890189,2"),
            ("0001234567,20260401090000", "0001234567,20260401090000"),
        ] {
            assert_eq!(blanked(before.into(), false), after);
        }
        assert_eq!(blanked(digest.into(), false), digest, "a digest is nobody's number");
        // Full-width in both encodings, and as JSON may write it.
        assert_eq!(blanked("１２３４５６７８９０１８".into(), false), ".".repeat(36));
        let mut cp932 = Vec::new();
        encode("表１２３４５６７８９０１８", Encoding::Cp932, &mut cp932).unwrap();
        let all = 0..cp932.len();
        assert!(blank_individual_numbers(&mut cp932, all, false));
        assert_eq!(decode(&cp932[..2], Encoding::Cp932).unwrap(), "表");
        assert!(cp932[2..].iter().all(|b| *b == BLANK) && cp932.len() == 26);
        let escaped: String = "123456789018".chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
        assert_eq!(
            blanked(format!("{{\"a\":\"{escaped}\"}}").into(), true),
            format!("{{\"a\":\"{}\"}}", ".".repeat(72))
        );
        assert_eq!(blanked(escaped.clone().into(), false), escaped, "CSV has no escapes");
    }

    #[test]
    fn wherever_it_stands_in_a_large_file_and_only_where_it_is_asked_for() {
        for at in [0, 32_760, 32_768, 65_530, 99_988] {
            let mut bytes = vec![b'x'; 100_000];
            bytes[at..at + 12].copy_from_slice(b"123456789018");
            assert!(!blank_individual_numbers(&mut bytes.clone(), at + 1..100_000, false), "begins before the part");
            assert!(blank_individual_numbers(&mut bytes, at..at + 1, false), "{at}");
            assert_eq!(bytes.iter().filter(|b| **b == BLANK).count(), 12, "{at}");
            assert!(bytes.iter().all(|b| matches!(*b, BLANK | b'x')), "{at}");
        }
        // A long run of digits is cut nowhere.
        let mut digits = b"123456789018".repeat(10_000);
        assert!(!blank_individual_numbers(&mut digits, 0..120_000, false));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic_and_what_it_reads_it_can_write(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for encoding in [Encoding::Cp932, Encoding::Utf8] {
                if let Ok(text) = decode(&bytes, encoding) {
                    let mut out = Vec::new();
                    prop_assert_eq!(encode(&text, encoding, &mut out), Ok(()));
                    prop_assert_eq!(decode(&out, encoding), Ok(text));
                }
            }
            let mut out = "a".to_owned();
            if decode_common(&bytes, &mut out) {
                let text = decode(&bytes, Encoding::Cp932);
                prop_assert_eq!(text.as_deref(), Ok(&out[1..]));

            }
        }

        #[test]
        fn every_text_is_shown_without_controls(text in any::<String>()) {
            prop_assert!(!show(&text, 40).chars().any(is_hidden));
        }
    }
}
