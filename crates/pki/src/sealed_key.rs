//! Encryption under a password: PBES2 of RFC 8018 with PBKDF2-HMAC-SHA-256 and AES-256-CBC, as OpenSSL, Windows and macOS
//! read it. `EncryptedPrivateKeyInfo` of a key file, and the parts of a PKCS #12 file.

use std::num::NonZeroU32;

use aes::Aes256;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use ring::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

use crate::Error;
use crate::der::{NULL, OCTETS, OID, Reader, SEQUENCE, integer, value};

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
const BLOCK: usize = 16;
/// Rounds of a key file's derivation, as OWASP recommends for a password a person chose.
pub const KEY_FILE_ROUNDS: u32 = 600_000;
/// More than this is no file of ours but one that keeps the program busy.
const MOST_ROUNDS: u32 = 10_000_000;

/// Random bytes.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// The algorithm with its parameters, and the encrypted bytes.
pub fn encrypt(plain: &[u8], password: &str, rounds: u32) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let (salt, iv) = (random::<16>()?, random::<BLOCK>()?);
    let cipher = cipher(password, &salt, rounds)?;
    let prf = value(SEQUENCE, &[&value(OID, &[HMAC_SHA256]), &value(NULL, &[])]);
    let kdf = value(SEQUENCE, &[&value(OCTETS, &[&salt]), &integer(rounds), &prf]);
    let kdf = value(SEQUENCE, &[&value(OID, &[PBKDF2]), &kdf]);
    let scheme = value(SEQUENCE, &[&value(OID, &[AES_256_CBC]), &value(OCTETS, &[&iv])]);
    let algorithm = value(SEQUENCE, &[&value(OID, &[PBES2]), &value(SEQUENCE, &[&kdf, &scheme])]);
    Ok((algorithm, cbc_encrypt(&cipher, iv, plain)))
}

/// A private key (PKCS #8) as `EncryptedPrivateKeyInfo`.
pub fn encrypt_key(pkcs8: &[u8], password: &str, rounds: u32) -> Result<Vec<u8>, Error> {
    let (algorithm, encrypted) = encrypt(pkcs8, password, rounds)?;
    Ok(value(SEQUENCE, &[&algorithm, &value(OCTETS, &[&encrypted])]))
}

/// Back from `EncryptedPrivateKeyInfo`; [`Error::Passphrase`] when the password is another.
pub fn decrypt_key(der: &[u8], password: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unknown = || Error::Certificate("the key is encrypted in a way that is not known here".to_owned());
    let (salt, rounds, iv, encrypted) = parts(der).ok_or_else(unknown)?;
    let cipher = cipher(password, salt, rounds)?;
    cbc_decrypt(&cipher, iv, encrypted).ok_or(Error::Passphrase)
}

type Parts<'a> = (&'a [u8], u32, [u8; BLOCK], &'a [u8]);

fn parts(der: &[u8]) -> Option<Parts<'_>> {
    let mut whole = Reader(Reader(der).take(SEQUENCE)?);
    let mut algorithm = Reader(whole.take(SEQUENCE)?);
    let is = |found: Option<&[u8]>, wanted: &[u8]| (found? == wanted).then_some(());
    is(algorithm.take(OID), PBES2)?;
    let mut parameters = Reader(algorithm.take(SEQUENCE)?);
    let mut kdf = Reader(parameters.take(SEQUENCE)?);
    is(kdf.take(OID), PBKDF2)?;
    let mut kdf = Reader(kdf.take(SEQUENCE)?);
    let (salt, rounds) = (kdf.take(OCTETS)?, kdf.integer().filter(|rounds| *rounds <= MOST_ROUNDS)?);
    // The length of the key may be named.
    let _ = kdf.integer();
    is(Reader(kdf.take(SEQUENCE)?).take(OID), HMAC_SHA256)?;
    let mut scheme = Reader(parameters.take(SEQUENCE)?);
    is(scheme.take(OID), AES_256_CBC)?;
    let iv = scheme.take(OCTETS)?.try_into().ok()?;
    Some((salt, rounds, iv, whole.take(OCTETS)?))
}

fn cipher(password: &str, salt: &[u8], rounds: u32) -> Result<Aes256, Error> {
    let rounds = NonZeroU32::new(rounds).ok_or(Error::Passphrase)?;
    let mut key = Zeroizing::new([0_u8; 32]);
    derive(PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut *key);
    Aes256::new_from_slice(&*key).map_err(|_| Error::Passphrase)
}

/// CBC with the padding of PKCS #7.
fn cbc_encrypt(cipher: &Aes256, iv: [u8; BLOCK], plain: &[u8]) -> Vec<u8> {
    let padding = BLOCK - plain.len() % BLOCK;
    let mut padded = Zeroizing::new(Vec::with_capacity(plain.len() + padding));
    padded.extend_from_slice(plain);
    padded.resize(plain.len() + padding, padding as u8);
    let (mut before, mut out) = (iv, Vec::with_capacity(padded.len()));
    for piece in padded.chunks_exact(BLOCK) {
        let mut block = Array::from(before);
        block.iter_mut().zip(piece).for_each(|(byte, plain)| *byte ^= plain);
        cipher.encrypt_block(&mut block);
        before = block.into();
        out.extend_from_slice(&before);
    }
    out
}

fn cbc_decrypt(cipher: &Aes256, iv: [u8; BLOCK], encrypted: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if encrypted.is_empty() || !encrypted.len().is_multiple_of(BLOCK) {
        return None;
    }
    let (mut before, mut plain) = (iv, Zeroizing::new(Vec::with_capacity(encrypted.len())));
    for piece in encrypted.chunks_exact(BLOCK) {
        let piece: [u8; BLOCK] = piece.try_into().ok()?;
        let mut block = Array::from(piece);
        cipher.decrypt_block(&mut block);
        plain.extend(block.iter().zip(before).map(|(byte, before)| byte ^ before));
        block.as_mut_slice().zeroize();
        before = piece;
    }
    let padding = usize::from(*plain.last()?);
    let kept = plain.len().checked_sub(padding)?;
    let fits = (1..=BLOCK).contains(&padding) && plain[kept..].iter().all(|byte| usize::from(*byte) == padding);
    fits.then(|| plain.truncate(kept)).map(|()| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_under_its_password_only() {
        for length in [0, 1, 15, 16, 17, 138] {
            let key = vec![0x5a; length];
            let sealed = encrypt_key(&key, "正しい合言葉", 1_000).unwrap();
            assert_eq!(*decrypt_key(&sealed, "正しい合言葉").unwrap(), key);
            // One in 256 other passwords leaves a padding that fits; the bytes are never the key.
            assert!(decrypt_key(&sealed, "別の合言葉").map_or(true, |found| *found != key || key.is_empty()));
            let cut = &sealed[..sealed.len() - 1];
            assert!(matches!(decrypt_key(cut, "正しい合言葉"), Err(Error::Certificate(_))));
        }
    }
}
