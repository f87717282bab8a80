//! An authenticator in software with its browser, for tests: it says what it is told to say, right or wrong.

use kiban_pki::passkey::{Site, text_of};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

/// The person touched it, and gave a PIN.
pub const UP_UV: u8 = 1 | 4;

pub fn head(major: u8, argument: usize) -> Vec<u8> {
    let bytes = u64::try_from(argument).unwrap().to_be_bytes();
    let (short, from) = match argument {
        0..24 => return vec![major << 5 | bytes[7]],
        24..0x100 => (24, 7),
        0x100..0x1_0000 => (25, 6),
        _ => (26, 4),
    };
    [&[major << 5 | short], &bytes[from..]].concat()
}

pub fn number(number: i64) -> Vec<u8> {
    match usize::try_from(number) {
        Ok(number) => head(0, number),
        Err(_) => head(1, usize::try_from(-1 - number).unwrap()),
    }
}

pub fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len()), bytes.to_vec()].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [head(3, text.len()), text.as_bytes().to_vec()].concat()
}

pub fn map(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let pairs_in = pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]);
    [head(5, pairs.len()), pairs_in.collect::<Vec<_>>().concat()].concat()
}

enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What is said; each part may be another one than was asked for.
#[derive(Clone)]
pub struct Said {
    pub origin: String,
    pub rp_id: String,
    pub challenge: Vec<u8>,
    /// `webauthn.create` or `webauthn.get`; the right one when it is empty.
    pub purpose: &'static str,
    pub flags: u8,
}

impl Said {
    pub fn right(site: &Site, challenge: &[u8]) -> Self {
        let (origin, rp_id) = (site.origin.clone(), site.rp_id.clone());
        Self { origin, rp_id, challenge: challenge.to_vec(), purpose: "", flags: UP_UV }
    }

    pub fn client_data(&self, right: &'static str) -> Vec<u8> {
        let purpose = if self.purpose.is_empty() { right } else { self.purpose };
        let (challenge, origin) = (text_of(&self.challenge), &self.origin);
        format!(r#"{{"type":"{purpose}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#).into()
    }

    /// Authenticator data without a key.
    pub fn data(&self, flags: u8, counter: u32) -> Vec<u8> {
        let host = digest(&SHA256, self.rp_id.as_bytes());
        [host.as_ref(), &[flags], &counter.to_be_bytes()].concat()
    }
}

/// What it says of a passkey it has just made.
pub struct SaidMade {
    pub client_data: Vec<u8>,
    pub attestation: Vec<u8>,
}

/// Its answer.
pub struct SaidAnswer {
    pub client_data: Vec<u8>,
    pub authenticator_data: Vec<u8>,
    pub signature: Vec<u8>,
}

/// One credential.
pub struct Soft {
    key: Key,
    pub credential: Vec<u8>,
    /// Told with whatever comes next.
    pub counter: u32,
}

impl Soft {
    pub fn p256() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
        Self::of(Key::P256(key))
    }

    pub fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::of(Key::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()))
    }

    fn of(key: Key) -> Self {
        let public = match &key {
            Key::P256(key) => key.public_key().as_ref().to_vec(),
            Key::Ed25519(key) => key.public_key().as_ref().to_vec(),
        };
        let credential = digest(&SHA256, &public).as_ref().to_vec();
        Self { key, credential, counter: 0 }
    }

    /// The public key as COSE writes it.
    pub fn cose(&self) -> Vec<u8> {
        match &self.key {
            Key::P256(key) => {
                let point = key.public_key().as_ref();
                p256(1, &point[1..33], &point[33..])
            }
            Key::Ed25519(key) => map(&[
                (number(1), number(1)),
                (number(3), number(-8)),
                (number(-1), number(6)),
                (number(-2), bytes(key.public_key().as_ref())),
            ]),
        }
    }

    pub fn make(&self, said: &Said) -> SaidMade {
        self.make_with(said, &self.cose())
    }

    /// With another public key.
    pub fn make_with(&self, said: &Said, cose: &[u8]) -> SaidMade {
        let length = u16::try_from(self.credential.len()).unwrap().to_be_bytes();
        let made = [&[7; 16], &length[..], &self.credential, cose].concat();
        let data = [said.data(said.flags | 1 << 6, self.counter), made].concat();
        let attestation =
            map(&[(text("fmt"), text("none")), (text("attStmt"), map(&[])), (text("authData"), bytes(&data))]);
        SaidMade { client_data: said.client_data("webauthn.create"), attestation }
    }

    pub fn answer(&self, said: &Said) -> SaidAnswer {
        let (client_data, authenticator_data) = (said.client_data("webauthn.get"), said.data(said.flags, self.counter));
        let signed = [&authenticator_data, digest(&SHA256, &client_data).as_ref()].concat();
        let signature = match &self.key {
            Key::P256(key) => key.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(&signed).as_ref().to_vec(),
        };
        SaidAnswer { client_data, authenticator_data, signature }
    }
}

/// A key on a curve.
pub fn p256(curve: i64, x: &[u8], y: &[u8]) -> Vec<u8> {
    map(&[
        (number(1), number(2)),
        (number(3), number(-7)),
        (number(-1), number(curve)),
        (number(-2), bytes(x)),
        (number(-3), bytes(y)),
    ])
}
