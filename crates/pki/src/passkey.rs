//! パスキー (P-183): what an authenticator says when a passkey is made and when it is used (Web Authentication Level 2, §7.1 and §7.2), as
//! far as a relying party needs that knows the account already. Pure: bytes in, a passkey or a [`Fault`] out.
//!
//! - Keys: ES256 (P-256), EdDSA (Ed25519) and RS256 (2048 bits and more).
//! - The attestation statement is not checked ("none"): which make of authenticator it is, is not asked. Any format is taken, and nothing
//!   is concluded from it.
//! - The person was there and was verified, both times.

use crate::cbor::{Item, Reader};
use kiban_domain::base64;
use ring::digest::{SHA256, digest};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// More is nothing an authenticator sends.
pub const LONGEST: usize = 16_384;
/// COSE numbers of the keys that are taken, the best first.
pub const ALGORITHMS: [i64; 3] = [ES256, ED25519, RS256];

const ES256: i64 = -7;
const ED25519: i64 = -8;
const RS256: i64 = -257;

const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const MAY_BE_SAVED: u8 = 1 << 3;
const IS_SAVED: u8 = 1 << 4;
const WITH_KEY: u8 = 1 << 6;
const WITH_EXTENSIONS: u8 = 1 << 7;

/// Where passkeys are used: the address of a listener as browsers name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Scheme, host and port, the port only where it is not 443: `https://office.example.jp`.
    pub origin: String,
    /// The host.
    pub rp_id: String,
}

impl Site {
    /// The site of an `https` origin.
    pub fn of(origin: &str) -> Self {
        let origin = origin.trim_end_matches('/').to_ascii_lowercase();
        let origin = origin.strip_suffix(":443").unwrap_or(&origin).to_owned();
        let host = origin.strip_prefix("https://").unwrap_or_default();
        let rp_id = host.split(':').next().unwrap_or_default().to_owned();
        Self { origin, rp_id }
    }
}

/// Why what an authenticator said is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// Not what an authenticator and a browser write.
    #[error("not in the form of a passkey")]
    Malformed,
    /// Said for making when it should be for using, or the other way round.
    #[error("said for something else")]
    Purpose,
    /// Said to another address, or inside another page.
    #[error("said to another origin")]
    Origin,
    /// Another question than the one that is open.
    #[error("the answer to another challenge")]
    Challenge,
    /// Of another host.
    #[error("made for another host")]
    Host,
    /// Nobody touched it.
    #[error("the person was not there")]
    NotPresent,
    /// No PIN, finger or face.
    #[error("the person was not verified")]
    NotVerified,
    /// A kind, curve or length that is not taken.
    #[error("a key that is not taken")]
    Key,
    /// Not of this key.
    #[error("the signature does not fit")]
    Signature,
    /// It has not counted on: there may be a copy of it.
    #[error("the counter did not go on")]
    Counter,
}

impl Fault {
    /// Stable word for it, as it stands in the log.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "passkey_malformed",
            Self::Purpose => "passkey_purpose",
            Self::Origin => "passkey_origin",
            Self::Challenge => "passkey_challenge",
            Self::Host => "passkey_host",
            Self::NotPresent => "passkey_not_present",
            Self::NotVerified => "passkey_not_verified",
            Self::Key => "passkey_key",
            Self::Signature => "passkey_signature",
            Self::Counter => "passkey_counter",
        }
    }
}

/// A passkey that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Id of the credential, by which an authenticator finds it.
    pub credential: Vec<u8>,
    /// Its public key, as COSE writes it.
    pub key: Vec<u8>,
    /// Its counter; 0 where it has none.
    pub counter: u32,
}

/// What an authenticator says when a passkey is used.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// `clientDataJSON`.
    pub client_data: &'a [u8],
    /// `authenticatorData`.
    pub authenticator_data: &'a [u8],
    /// Over both.
    pub signature: &'a [u8],
}

/// Reads what an authenticator says of a passkey it has just made in answer to `challenge`.
pub fn read_made(site: &Site, challenge: &[u8], client_data: &[u8], attestation: &[u8]) -> Result<Made, Fault> {
    check_client_data(site, "webauthn.create", challenge, client_data)?;
    if attestation.len() > LONGEST {
        return Err(Fault::Malformed);
    }
    let data = Data::read(authenticator_data(attestation).ok_or(Fault::Malformed)?)?;
    data.check(site)?;
    let (credential, key) = data.made.ok_or(Fault::Malformed)?;
    Key::read(key)?;
    Ok(Made { credential: credential.to_vec(), key: key.to_vec(), counter: data.counter })
}

/// Checks the answer of a passkey to `challenge`; its counter from now on.
pub fn check_answer(
    site: &Site,
    challenge: &[u8],
    (key, counter): (&[u8], u32),
    answer: Answer<'_>,
) -> Result<u32, Fault> {
    check_client_data(site, "webauthn.get", challenge, answer.client_data)?;
    let data = Data::read(answer.authenticator_data)?;
    data.check(site)?;
    let signed = [answer.authenticator_data, digest(&SHA256, answer.client_data).as_ref()].concat();
    Key::read(key)?.check(&signed, answer.signature)?;
    // One that does not count stays at 0.
    if (counter, data.counter) != (0, 0) && data.counter <= counter {
        return Err(Fault::Counter);
    }
    Ok(data.counter)
}

/// What the browser says it asked the authenticator for. Members that come later are nothing to us; two of one name are none.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    purpose: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    is_inside_another: bool,
}

fn check_client_data(site: &Site, purpose: &str, challenge: &[u8], bytes: &[u8]) -> Result<(), Fault> {
    if bytes.len() > LONGEST {
        return Err(Fault::Malformed);
    }
    let data: ClientData = serde_json::from_slice(bytes).map_err(|_| Fault::Malformed)?;
    if data.purpose != purpose {
        return Err(Fault::Purpose);
    }
    if data.origin != site.origin || data.is_inside_another {
        return Err(Fault::Origin);
    }
    let answered = bytes_of(&data.challenge).ok_or(Fault::Challenge)?;
    if is_same(&answered, challenge) { Ok(()) } else { Err(Fault::Challenge) }
}

/// The same bytes, in a time that does not tell where they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// The authenticator data in an attestation object: a map of exactly these three.
fn authenticator_data(attestation: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(attestation);
    let (mut format, mut statement, mut data) = (None, None, None);
    for _ in 0..reader.map().filter(|pairs| *pairs == 3)? {
        match reader.text()? {
            "fmt" => format = Some(reader.text()?),
            "attStmt" => statement = Some(reader.skip_map()?),
            "authData" => data = Some(reader.bytes()?),
            _ => return None,
        }
    }
    (format.is_some() && statement.is_some() && reader.rest().is_empty()).then_some(data?)
}

/// Authenticator data (Web Authentication §6.1).
struct Data<'a> {
    host: &'a [u8],
    flags: u8,
    counter: u32,
    /// Id and key of one that was just made.
    made: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Data<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        Self::parts(bytes).filter(|_| bytes.len() <= LONGEST).ok_or(Fault::Malformed)
    }

    fn parts(bytes: &'a [u8]) -> Option<Self> {
        let (host, rest) = bytes.split_at_checked(32)?;
        let (flags, rest) = rest.split_first()?;
        let (counter, mut rest) = rest.split_first_chunk::<4>()?;
        // Saved elsewhere without being one that may be: no authenticator says so.
        if flags & (MAY_BE_SAVED | IS_SAVED) == IS_SAVED {
            return None;
        }
        let mut made = None;
        if flags & WITH_KEY != 0 {
            let (_make, after) = rest.split_at_checked(16)?;
            let (length, after) = after.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (id, after) = after.split_at_checked(length).filter(|_| (16..=1023).contains(&length))?;
            let mut reader = Reader::new(after);
            reader.skip_map()?;
            let key = after.get(..after.len() - reader.rest().len())?;
            (made, rest) = (Some((id, key)), reader.rest());
        }
        if flags & WITH_EXTENSIONS != 0 {
            let mut reader = Reader::new(rest);
            reader.skip_map()?;
            rest = reader.rest();
        }
        rest.is_empty().then_some(Self { host, flags: *flags, counter: u32::from_be_bytes(*counter), made })
    }

    fn check(&self, site: &Site) -> Result<(), Fault> {
        if !is_same(self.host, digest(&SHA256, site.rp_id.as_bytes()).as_ref()) {
            return Err(Fault::Host);
        }
        if self.flags & PRESENT == 0 {
            return Err(Fault::NotPresent);
        }
        if self.flags & VERIFIED == 0 {
            return Err(Fault::NotVerified);
        }
        Ok(())
    }
}

/// A public key (RFC 9053).
enum Key<'a> {
    /// x and y.
    P256([&'a [u8]; 2]),
    Ed25519(&'a [u8]),
    Rsa {
        n: &'a [u8],
        e: &'a [u8],
    },
}

impl<'a> Key<'a> {
    fn read(cose: &'a [u8]) -> Result<Self, Fault> {
        use Item::{Bytes, Number};
        let mut reader = Reader::new(cose);
        let pairs = reader.map().ok_or(Fault::Malformed)?;
        // Labels 1 (kty), 3 (alg), -1, -2 and -3.
        let mut values: [Option<Item<'_>>; 5] = [None; 5];
        for _ in 0..pairs {
            let place = match reader.item().ok_or(Fault::Malformed)? {
                Number(1) => 0,
                Number(3) => 1,
                Number(-1) => 2,
                Number(-2) => 3,
                Number(-3) => 4,
                _ => return Err(Fault::Key),
            };
            let value = reader.item().ok_or(Fault::Malformed)?;
            if values[place].replace(value).is_some() {
                return Err(Fault::Malformed);
            }
        }
        if !reader.rest().is_empty() {
            return Err(Fault::Malformed);
        }
        match values {
            [Some(Number(2)), Some(Number(ES256)), Some(Number(1)), Some(Bytes(x)), Some(Bytes(y))]
                if x.len() == 32 && y.len() == 32 =>
            {
                Ok(Self::P256([x, y]))
            }
            [Some(Number(1)), Some(Number(ED25519)), Some(Number(6)), Some(Bytes(x)), None] if x.len() == 32 => {
                Ok(Self::Ed25519(x))
            }
            [Some(Number(3)), Some(Number(RS256)), Some(Bytes(n)), Some(Bytes(e)), None] if is_long_enough(n, e) => {
                Ok(Self::Rsa { n, e })
            }
            _ => Err(Fault::Key),
        }
    }

    fn check(&self, signed: &[u8], found: &[u8]) -> Result<(), Fault> {
        let fits = match self {
            Self::P256([x, y]) => {
                let point = [&[4][..], x, y].concat();
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point).verify(signed, found)
            }
            Self::Ed25519(x) => UnparsedPublicKey::new(&signature::ED25519, x).verify(signed, found),
            Self::Rsa { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, signed, found)
            }
        };
        fits.map_err(|_| Fault::Signature)
    }
}

/// From 2048 to 8192 bits, without a leading zero; an odd exponent of at most four bytes.
fn is_long_enough(n: &[u8], e: &[u8]) -> bool {
    let starts_right = |number: &[u8]| number.first().is_some_and(|byte| *byte != 0);
    let is_2048 = n.len() > 256 || (n.len() == 256 && n.first().is_some_and(|byte| *byte >= 128));
    let is_odd = e.last().is_some_and(|byte| byte & 1 == 1);
    is_2048 && n.len() <= 1024 && starts_right(n) && starts_right(e) && is_odd && e.len() <= 4
}

/// Bytes as WebAuthn writes them into JSON: base64url without padding.
pub fn text_of(bytes: &[u8]) -> String {
    let url = |c: char| match c {
        '+' => '-',
        '/' => '_',
        c => c,
    };
    base64::encode(bytes).trim_end_matches('=').chars().map(url).collect()
}

/// Inverse of [`text_of`]; none of anything else.
pub fn bytes_of(text: &str) -> Option<Vec<u8>> {
    if text.len() > 2 * LONGEST || text.contains(['+', '/', '=']) {
        return None;
    }
    let plain = |c: char| match c {
        '-' => '+',
        '_' => '/',
        c => c,
    };
    let mut padded: String = text.chars().map(plain).collect();
    while !padded.len().is_multiple_of(4) {
        padded.push('=');
    }
    base64::decode(&padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_named_as_browsers_do() {
        let named = |origin: &str| (Site::of(origin).origin, Site::of(origin).rp_id);
        let name = |origin: &str, host: &str| (origin.to_owned(), host.to_owned());
        assert_eq!(named("https://Office.Kiban.test:443/"), name("https://office.kiban.test", "office.kiban.test"));
        assert_eq!(named("https://office.localhost:8443"), name("https://office.localhost:8443", "office.localhost"));
    }

    #[test]
    fn bytes_are_written_as_webauthn_writes_them() {
        assert_eq!(text_of(&[0xfb, 0xff, 0xbf, 1]), "-_-_AQ");
        assert_eq!(bytes_of("-_-_AQ"), Some(vec![0xfb, 0xff, 0xbf, 1]));
        for wrong in ["-_-_AQ==", "+/+/AQ", "-_-_AR", "A", "一二"] {
            assert_eq!(bytes_of(wrong), None, "{wrong}");
        }
    }
}
