//! Key shares (P-190, decision 0006.24): what lies outside the database and cannot be made again is split so that some of
//! the shares together give it back and fewer tell nothing (Shamir 1979, over GF(2⁸) as in AES).
//!
//! Own code because it is eighty lines: the crates that do this are unmaintained, biased (RUSTSEC-2024-0398) or bring their own
//! random numbers. A share is text for paper: a header that people read, then lines of base32 without 0, 1, 8 and 9, each
//! with its own check, so that whoever types it learns at once which line is wrong.

use crate::StoreError;
use crate::seal::{random_bytes, sha256};
use std::fmt::Write as _;
use zeroize::Zeroizing;

const TITLE: &str = "kiban-key-share-1";
/// RFC 4648: no character that is taken for another.
const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Bytes of a line of text, besides the check.
const LINE: usize = 17;
/// Bytes of the check at the end of a line.
const LINE_CHECK: usize = 3;

/// One share of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    /// The same in all shares of one splitting, 8 hexadecimal digits.
    pub set: String,
    /// 1, 2, 3, …
    pub number: u8,
    /// How many shares are needed.
    pub needed: u8,
    /// How many there are.
    pub shares: u8,
    /// Day of the splitting, `YYYY-MM-DD`.
    pub date: String,
    bytes: Zeroizing<Vec<u8>>,
}

/// Without the share itself.
impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share({} {}/{})", self.set, self.number, self.shares)
    }
}

/// Why shares do not give the secret back. Texts for the person at the keyboard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// A line cannot be what was printed.
    #[error("{0}行目が読めません。打ち間違いがないか確かめてください")]
    Line(usize),
    /// The header or the end is missing.
    #[error("分割片ではないか、途中で切れています")]
    NotAShare,
    /// All lines fit but the whole does not.
    #[error("分割片の確認値が合いません。行の抜けや並びを確かめてください")]
    Check,
    /// Shares of two splittings.
    #[error("違う組（{0} と {1}）の分割片が混ざっています")]
    OtherSet(String, String),
    /// Too few different shares.
    #[error("分割片が足りません（必要 {needed}枚、あるのは {found}枚）")]
    TooFew {
        /// Needed.
        needed: u8,
        /// Different ones given.
        found: usize,
    },
    /// Numbers that make no sense.
    #[error("分割は 2 枚以上 {0} 枚以下、必要な枚数は 2 枚以上で全体の枚数以下にしてください")]
    Numbers(u8),
    /// The secret put together is not the one that was split.
    #[error("組み合わせた結果の確認値が合いません。分割片のどれかが書き換えられています")]
    Secret,
    /// The system gives no random numbers.
    #[error("乱数を得られません")]
    Random,
}

/// Shares are handed to people; more than these nobody keeps track of.
const MOST: u8 = 16;

/// Splits a secret into `shares`, of which any `needed` give it back. `date`: `YYYY-MM-DD`.
pub fn split(secret: &[u8], shares: u8, needed: u8, date: &str) -> Result<Vec<Share>, ShareError> {
    if !(2..=shares).contains(&needed) || shares > MOST {
        return Err(ShareError::Numbers(MOST));
    }
    // The digest is split with the secret: it tells nobody anything and proves the result.
    let mut whole = Zeroizing::new(Vec::with_capacity(secret.len() + 8));
    whole.extend(&sha256(&[b"kiban key share", secret])[..8]);
    whole.extend(secret);
    let set: [u8; 4] = random_bytes().map_err(|_: StoreError| ShareError::Random)?;
    let set = crate::seal::hex(&set);
    let mut pieces: Vec<Zeroizing<Vec<u8>>> =
        (0..shares).map(|_| Zeroizing::new(Vec::with_capacity(whole.len()))).collect();
    for byte in whole.iter() {
        let random: Zeroizing<[u8; MOST as usize]> =
            Zeroizing::new(random_bytes().map_err(|_: StoreError| ShareError::Random)?);
        for (x, piece) in (1..).zip(&mut pieces) {
            piece.push(polynomial(*byte, &random[..usize::from(needed) - 1], x));
        }
    }
    let share = |(number, bytes)| Share { set: set.clone(), number, needed, shares, date: date.to_owned(), bytes };
    Ok((1..).zip(pieces).map(share).collect())
}

/// Puts a secret together again. Shares given twice count once.
pub fn combine(shares: &[Share]) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    let Some(first) = shares.first() else { return Err(ShareError::TooFew { needed: 2, found: 0 }) };
    let mut chosen: Vec<&Share> = Vec::new();
    for share in shares {
        if share.set != first.set {
            return Err(ShareError::OtherSet(first.set.clone(), share.set.clone()));
        }
        if (share.needed, share.bytes.len()) != (first.needed, first.bytes.len()) {
            return Err(ShareError::Secret);
        }
        if !chosen.iter().any(|known| known.number == share.number) {
            chosen.push(share);
        }
    }
    if chosen.len() < usize::from(first.needed) {
        return Err(ShareError::TooFew { needed: first.needed, found: chosen.len() });
    }
    chosen.truncate(usize::from(first.needed));
    let mut whole = Zeroizing::new(Vec::with_capacity(first.bytes.len()));
    for i in 0..first.bytes.len() {
        whole.push(at_zero(&chosen, i));
    }
    let (digest, secret) = whole.split_at_checked(8).ok_or(ShareError::Secret)?;
    if sha256(&[b"kiban key share", secret])[..8] != *digest {
        return Err(ShareError::Secret);
    }
    Ok(Zeroizing::new(secret.to_vec()))
}

/// The value at `x` of the polynomial that is `secret` at zero and has these random coefficients.
fn polynomial(secret: u8, random: &[u8], x: u8) -> u8 {
    random.iter().rev().fold(0, |sum, coefficient| times(sum ^ coefficient, x)) ^ secret
}

/// Lagrange's interpolation at zero of byte `i`.
fn at_zero(shares: &[&Share], i: usize) -> u8 {
    let mut sum = 0;
    for share in shares {
        let mut weight = 1;
        for other in shares.iter().filter(|other| other.number != share.number) {
            // x_j / (x_j - x_i); subtraction is exclusive or.
            weight = times(weight, times(other.number, inverse(other.number ^ share.number)));
        }
        sum ^= times(weight, share.bytes[i]);
    }
    sum
}

/// Product in GF(2⁸) modulo x⁸+x⁴+x³+x+1, the same steps for every value: no table that a cache could betray.
fn times(a: u8, b: u8) -> u8 {
    let (mut a, mut product) = (a, 0);
    for bit in 0..8 {
        product ^= a & ((b >> bit) & 1).wrapping_neg();
        a = (a << 1) ^ (0x1b & (a >> 7).wrapping_neg());
    }
    product
}

/// a⁻¹ = a²⁵⁴; zero for zero.
fn inverse(a: u8) -> u8 {
    let mut result = 1;
    let mut square = a;
    for _ in 0..7 {
        square = times(square, square);
        result = times(result, square);
    }
    result
}

impl Share {
    /// As it is printed.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(400 + self.bytes.len() * 3));
        let Self { set, number, needed, shares, date, bytes } = self;
        let _ = writeln!(text, "{TITLE}");
        let _ = writeln!(text, "set {set}  share {number} of {shares}  needed {needed}  date {date}");
        for line in bytes.chunks(LINE) {
            let mut whole = Zeroizing::new(line.to_vec());
            whole.extend(self.check(line));
            let digits = base32(&whole);
            for (i, group) in digits.as_bytes().chunks(4).enumerate() {
                if i > 0 {
                    text.push(' ');
                }
                text.extend(group.iter().map(|digit| char::from(*digit)));
            }
            text.push('\n');
        }
        let _ = writeln!(text, "check {}", self.whole_check());
        text
    }

    /// Reads what [`Share::to_text`] wrote and somebody typed: spaces, empty lines and lower case do not matter.
    pub fn from_text(text: &str) -> Result<Self, ShareError> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        if lines.next().is_none_or(|(_, line)| line.trim() != TITLE) {
            return Err(ShareError::NotAShare);
        }
        let (_, header) = lines.next().ok_or(ShareError::NotAShare)?;
        let mut share = Self::of_header(header).ok_or(ShareError::NotAShare)?;
        for (number, line) in lines {
            if let Some(check) = line.trim().to_ascii_lowercase().strip_prefix("check ") {
                return if check.trim() == share.whole_check() { Ok(share) } else { Err(ShareError::Check) };
            }
            let bytes = Zeroizing::new(unbase32(line).ok_or(ShareError::Line(number))?);
            let (bytes, check) = bytes
                .len()
                .checked_sub(LINE_CHECK)
                .and_then(|end| bytes.split_at_checked(end))
                .ok_or(ShareError::Line(number))?;
            if share.check(bytes) != *check {
                return Err(ShareError::Line(number));
            }
            share.bytes.extend(bytes);
        }
        Err(ShareError::NotAShare)
    }

    fn of_header(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["set", set, "share", number, "of", shares, "needed", needed, "date", date] = words.as_slice() else {
            return None;
        };
        let (number, needed, shares) = (number.parse().ok()?, needed.parse().ok()?, shares.parse().ok()?);
        let fits = set.len() == 8 && (1..=shares).contains(&number) && (2..=shares).contains(&needed) && shares <= MOST;
        // Room for all of it at once: bytes that grow leave copies behind.
        let bytes = Zeroizing::new(Vec::with_capacity(4096));
        let (set, date) = ((*set).to_owned(), (*date).to_owned());
        fits.then_some(Self { set, number, needed, shares, date, bytes })
    }

    /// The check of a line, bound to its share.
    fn check(&self, line: &[u8]) -> [u8; LINE_CHECK] {
        let whole = sha256(&[self.set.as_bytes(), &[self.number], line]);
        [whole[0], whole[1], whole[2]]
    }

    /// The check of the share with its header.
    fn whole_check(&self) -> String {
        let numbers = [self.number, self.needed, self.shares];
        crate::seal::hex(&sha256(&[self.set.as_bytes(), &numbers, self.date.as_bytes(), &self.bytes])[..4])
    }
}

fn base32(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 8 / 5 + 2));
    let (mut held, mut bits) = (0u16, 0);
    for byte in bytes {
        held = (held << 8) | u16::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(DIGITS[usize::from((held >> bits) & 31)]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(DIGITS[usize::from((held << (5 - bits)) & 31)]));
    }
    text
}

fn unbase32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut held, mut bits) = (0u16, 0);
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        let c = u8::try_from(c.to_ascii_uppercase()).ok()?;
        let digit = DIGITS.iter().position(|digit| *digit == c)?;
        held = (held << 5) | digit as u16;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
        held &= (1 << bits) - 1;
    }
    // What is left over is filled with zeros, and never a whole digit.
    (bits < 5 && held == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_field_is_a_field() {
        for a in 0..=255u8 {
            assert_eq!((times(a, 1), times(a, 0)), (a, 0));
            if a != 0 {
                assert_eq!(times(a, inverse(a)), 1, "{a}");
            }
            for b in 0..=255u8 {
                assert_eq!(times(a, b), times(b, a));
                assert_eq!(times(a ^ b, 7), times(a, 7) ^ times(b, 7));
            }
        }
        // FIPS 197, 4.2.
        assert_eq!((times(0x57, 0x83), times(0x57, 0x13)), (0xc1, 0xfe));
    }

    #[test]
    fn any_two_of_three_give_the_secret_back_and_one_does_not() {
        let shares = split(b"an invented secret", 3, 2, "2026-11-22").unwrap();
        for (i, j) in [(0, 1), (0, 2), (1, 2), (2, 0)] {
            let two = [shares[i].clone(), shares[j].clone()];
            assert_eq!(*combine(&two).unwrap(), b"an invented secret");
        }
        assert_eq!(*combine(&shares).unwrap(), b"an invented secret");
        assert_eq!(combine(&shares[..1]), Err(ShareError::TooFew { needed: 2, found: 1 }));
        let twice = [shares[1].clone(), shares[1].clone()];
        assert_eq!(combine(&twice), Err(ShareError::TooFew { needed: 2, found: 1 }));
        assert_eq!(combine(&[]), Err(ShareError::TooFew { needed: 2, found: 0 }));
        for (shares, needed) in [(3, 1), (2, 3), (1, 1), (17, 2), (0, 0)] {
            assert_eq!(split(b"x", shares, needed, "2026-11-22"), Err(ShareError::Numbers(16)));
        }
    }

    /// With one share fewer than needed every secret is equally likely: each value of the missing share gives another secret,
    /// and all 256 appear.
    #[test]
    fn fewer_shares_than_needed_tell_nothing() {
        let shares = split(&[42], 3, 2, "2026-11-22").unwrap();
        let mut seen = [false; 256];
        for guess in 0..=255u8 {
            let mut other = shares[1].clone();
            other.bytes[8] = guess;
            seen[usize::from(at_zero(&[&shares[0], &other], 8))] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn the_same_secret_never_gives_the_same_shares_and_sets_do_not_mix() {
        let one = split(&[0; 32], 3, 2, "2026-11-22").unwrap();
        let two = split(&[0; 32], 3, 2, "2026-11-22").unwrap();
        assert_ne!(one[0].bytes, two[0].bytes);
        assert!(one[0].bytes.iter().any(|byte| *byte != 0));
        assert!(matches!(combine(&[one[0].clone(), two[1].clone()]), Err(ShareError::OtherSet(..))));
        let forged = Share { set: one[0].set.clone(), ..two[1].clone() };
        assert_eq!(combine(&[one[0].clone(), forged]), Err(ShareError::Secret));
    }

    #[test]
    fn a_share_is_typed_from_paper_and_a_slip_is_told_by_its_line() {
        let share = &split(&[7; 50], 3, 2, "2026-11-22").unwrap()[2];
        let text = share.to_text();
        assert_eq!(Share::from_text(&text).unwrap(), *share);
        let typed = format!("\n  {}\n\n", text.to_lowercase().replace(' ', "  ").replace('\n', " \n\n"));
        assert_eq!(Share::from_text(&typed).unwrap(), *share);
        assert!(text.is_ascii() && text.lines().all(|line| line.len() < 60), "{}", *text);
        let lines: Vec<&str> = text.lines().collect();
        // Every single wrong character of a line is noticed, and which line it is in.
        for at in 0..lines[2].len() {
            let c = if &lines[2][at..=at] == "A" { "B" } else { "A" };
            let wrong = format!("{}{c}{}", &lines[2][..at], &lines[2][at + 1..]);
            let typed = text.replace(lines[2], &wrong);
            assert_eq!(Share::from_text(&typed), Err(ShareError::Line(3)), "character {at}");
        }
        assert_eq!(Share::from_text(&text.replace(lines[3], "")), Err(ShareError::Check));
        let swapped = text.replace(lines[2], "@").replace(lines[3], lines[2]).replace('@', lines[3]);
        assert_eq!(Share::from_text(&swapped), Err(ShareError::Check));
        assert_eq!(Share::from_text(&text.replace("share 3 of 3", "share 2 of 3")), Err(ShareError::Line(3)));
        assert_eq!(Share::from_text(&text.replace("needed 2", "needed 3")), Err(ShareError::Check));
        let cut = text.rfind("check").unwrap();
        assert_eq!(Share::from_text(&text[..cut]), Err(ShareError::NotAShare));
        assert_eq!(Share::from_text(""), Err(ShareError::NotAShare));
    }

    proptest! {
        #[test]
        fn what_was_split_comes_back(
            secret in proptest::collection::vec(any::<u8>(), 0..300),
            (shares, needed) in (2..=16u8).prop_flat_map(|shares| (Just(shares), 2..=shares)),
            skip in any::<u8>(),
        ) {
            let all = split(&secret, shares, needed, "2026-11-22").unwrap();
            let read = |share: &Share| Share::from_text(&share.to_text()).unwrap();
            let from = usize::from(skip % (shares - needed + 1));
            let some: Vec<_> = all.iter().skip(from).take(usize::from(needed)).map(read).collect();
            prop_assert_eq!(&*combine(&some).unwrap(), &secret);
            prop_assert!(combine(&some[1..]).is_err());
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
            let _ = Share::from_text(&format!("{TITLE}\nset 12345678  share 1 of 3  needed 2  date x\n{text}"));
            let _ = Share::from_text(&text);
        }
    }
}
