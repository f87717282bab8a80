//! Codes of an authenticator app: TOTP (RFC 6238) with SHA-1, six digits and steps of 30 seconds, which is what the apps people have
//! understand.

use kiban_domain::Timestamp;
use ring::hmac;

/// Seconds of a step.
const STEP: i64 = 30;
/// Digits of a code.
pub(crate) const DIGITS: usize = 6;
const MODULUS: u32 = 1_000_000;
/// Steps before and after the present one whose codes are taken: clocks of telephones differ.
const AROUND: i64 = 1;

/// The step of an instant.
fn step_at(now: Timestamp) -> i64 {
    now.as_second().div_euclid(STEP)
}

/// The code of a step (RFC 4226).
fn code_of(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let at = usize::from(bytes.last().copied().unwrap_or_default() & 15);
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes);
    format!("{:0width$}", (four & 0x7fff_ffff) % MODULUS, width = DIGITS)
}

/// The step whose code this is, among those that are good now. Every step costs the same.
pub(crate) fn step_of(secret: &[u8], code: &str, now: Timestamp) -> Option<i64> {
    let present = step_at(now);
    let fits = |step: &i64| {
        let expected = code_of(secret, *step);
        let differs = expected.bytes().zip(code.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        code.len() == DIGITS && differs == 0
    };
    (present - AROUND..=present + AROUND).filter(fits).max()
}

/// RFC 4648 base32 without padding, as apps and people read a secret.
pub(crate) fn base32(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    let sign = |five: &[u8]| five.iter().chain(&[0; 5]).take(5).fold(0, |all, bit| all << 1 | usize::from(*bit));
    bits.chunks(5).map(|five| char::from(SIGNS[sign(five)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_appendix_of_rfc_6238() {
        // The last six of its eight digits.
        for (second, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(code_of(SECRET, second / STEP), code);
        }
    }

    #[test]
    fn a_code_is_good_one_step_before_and_after_its_own() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let good: Vec<i64> = (0..150).step_by(30).filter(|s| step_of(SECRET, "287082", at(*s)).is_some()).collect();
        assert_eq!(good, [0, 30, 60]);
        assert_eq!(step_of(SECRET, "287082", at(59)), Some(1));
        for wrong in ["", "28708", "2870822", "287083", "２８７０８２"] {
            assert_eq!(step_of(SECRET, wrong, at(59)), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_written_in_base32() {
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
        assert_eq!(base32(SECRET), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }
}
