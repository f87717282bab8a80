//! 本人確認 by a card (P-102, P-107): what the identification app on a terminal says after it has read one.
//!
//! The app asks the platform for a challenge, has the card sign it (the PIN stays between the person, the card and the
//! app) and signs the whole with the key of the terminal's own certificate. The result is one line of text:
//!
//! `KC1.<challenge>.<card certificate>.<face>.<signature of the face>.<signature of the card>.<terminal certificate>.<signature of the terminal>`
//!
//! Every part but the first two is base64. The face is what the card holder's authority states about the holder, five
//! items with tabs between them: 証記載保険者番号, 被保険者番号, カナ氏名, 生年月日 (`YYYYMMDD`), 性別コード.
//!
//! [`CardAuthority`] and [`SoftCard`] are for tests and training: an invented authority and cards that are files.

use crate::read::{self, parse};
use crate::sealed_key::{self, KEY_FILE_ROUNDS};
use crate::tls::Identity;
use crate::{Error, ca, files};
use jiff::Timestamp;
use kiban_domain::base64;
use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair, KeyUsagePurpose, SerialNumber};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use std::path::Path;
use x509_parser::certificate::X509Certificate;
use zeroize::{Zeroize as _, Zeroizing};

const LABEL: &str = "KC1";
/// More is no statement.
pub const LONGEST_STATEMENT: usize = 16_384;
/// A real card locks after so many wrong PINs in a row.
pub const PIN_TRIES: u32 = 3;
const CARD_DAYS: u32 = 5 * 365;
const AUTHORITY_DAYS: u32 = 10 * 365;

/// What was read, after every signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardReading {
    /// The challenge that was signed.
    pub challenge: String,
    /// Fingerprint of the terminal's certificate.
    pub terminal: String,
    /// Fingerprint of the card's certificate; empty where the card itself signed nothing ([`crate::reader`]).
    pub card: String,
    /// 証記載保険者番号, 被保険者番号, カナ氏名, 生年月日, 性別コード, as the card's authority states them.
    pub face: [String; 5],
}

/// Why a statement is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CardFault {
    /// No statement of an identification app.
    #[error("not a card statement")]
    Form,
    /// The card is of another authority, or it or its face was changed.
    #[error("the card is not of the known authority")]
    Authority,
    /// The card's certificate is not valid on that day.
    #[error("the card's certificate is not valid at this time")]
    Period,
    /// The card did not sign this challenge for this terminal.
    #[error("the card did not sign this challenge")]
    Card,
    /// The terminal did not sign the statement.
    #[error("the terminal did not sign the statement")]
    Terminal,
}

impl CardFault {
    /// The same in Japanese, with what to do.
    pub fn message_ja(self) -> &'static str {
        match self {
            Self::Form => "カードの読み取り結果ではありません。読み取りアプリの結果を、最初から最後まで入れてください",
            Self::Authority => {
                "このカードは、この基盤で確かめられる発行者のものではありません。被保険者証で登録してください"
            }
            Self::Period => "カードの電子証明書の期限が切れています。被保険者証で登録してください",
            Self::Card => "カードの署名が合いません。もう一度カードを読み取ってください",
            Self::Terminal => "読み取った端末の署名が合いません。この事業所の端末で、もう一度読み取ってください",
        }
    }
}

/// Takes a statement apart and checks every signature of it. Whether the challenge was ours and the terminal is in good
/// standing is for the caller to ask.
pub fn check_statement(text: &str, authority_der: &[u8], now: Timestamp) -> Result<CardReading, CardFault> {
    let text = text.trim();
    let (signed, terminal_signature) = text.rsplit_once('.').ok_or(CardFault::Form)?;
    let parts: Vec<&str> = signed.split('.').collect();
    let [LABEL, challenge, card, face, face_signature, card_signature, terminal] = parts[..] else {
        return Err(CardFault::Form);
    };
    if text.len() > LONGEST_STATEMENT || challenge.is_empty() {
        return Err(CardFault::Form);
    }
    let bytes = |part: &str| base64::decode(part).ok_or(CardFault::Form);
    let (card, face, terminal) = (bytes(card)?, bytes(face)?, bytes(terminal)?);
    let certificate = parse(&card).map_err(|_| CardFault::Form)?;
    let authority = parse(authority_der).map_err(|_| CardFault::Authority)?;
    let of_authority = certificate.verify_signature(Some(authority.public_key())).is_ok()
        && certificate.issuer() == authority.subject()
        && !certificate.is_ca()
        && verifies(&authority, &face_bytes(&card, &face), &bytes(face_signature)?);
    if !of_authority {
        return Err(CardFault::Authority);
    }
    let is_valid = |certificate: &X509Certificate<'_>| {
        let validity = certificate.validity();
        (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now.as_second())
    };
    if !is_valid(&certificate) || !is_valid(&authority) {
        return Err(CardFault::Period);
    }
    let fingerprint = read::fingerprint(&terminal);
    if !verifies(&certificate, &challenge_bytes(challenge, &fingerprint), &bytes(card_signature)?) {
        return Err(CardFault::Card);
    }
    let holder = parse(&terminal).map_err(|_| CardFault::Form)?;
    if !verifies(&holder, signed.as_bytes(), &bytes(terminal_signature)?) {
        return Err(CardFault::Terminal);
    }
    let face = String::from_utf8(face).map_err(|_| CardFault::Form)?;
    let items: Vec<String> = face.split('\t').map(str::to_owned).collect();
    let face = <[String; 5]>::try_from(items).map_err(|_| CardFault::Form)?;
    Ok(CardReading { challenge: challenge.to_owned(), terminal: fingerprint, card: read::fingerprint(&card), face })
}

/// What the authority signs: the face belongs to this card and to no other.
fn face_bytes(card_der: &[u8], face: &[u8]) -> Vec<u8> {
    [b"kiban card face\n", read::fingerprint(card_der).as_bytes(), b"\n", face].concat()
}

/// What the card signs: this challenge, at this terminal.
fn challenge_bytes(challenge: &str, terminal: &str) -> Vec<u8> {
    format!("kiban card challenge\n{challenge}\n{terminal}").into_bytes()
}

pub(crate) fn verifies(signer: &X509Certificate<'_>, message: &[u8], signature: &[u8]) -> bool {
    let key = signer.public_key();
    let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
    let algorithm: &dyn VerificationAlgorithm =
        match (key.algorithm.algorithm.to_id_string().as_str(), curve.as_deref()) {
            ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => &signature::ECDSA_P256_SHA256_ASN1,
            ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => &signature::ECDSA_P384_SHA384_ASN1,
            ("1.3.101.112", _) => &signature::ED25519,
            ("1.2.840.113549.1.1.1", _) => &signature::RSA_PKCS1_2048_8192_SHA256,
            _ => return false,
        };
    UnparsedPublicKey::new(algorithm, &*key.subject_public_key.data).verify(message, signature).is_ok()
}

/// An invented authority of cards: one folder with key and certificate. No real card is ever signed by it.
pub struct CardAuthority {
    certificate_pem: String,
    key: Zeroizing<String>,
}

impl CardAuthority {
    /// Makes one in a new or empty folder.
    pub fn init(dir: &Path, now: Timestamp) -> Result<Self, Error> {
        files::create_private_dir(dir)?;
        let params = ca::ca_params("見本のカード発行者（試験用）", AUTHORITY_DAYS, 0, now)?;
        let mut key = KeyPair::generate()?;
        let certificate_pem = params.self_signed(&key)?.pem();
        let key_pem = Zeroizing::new(key.serialize_pem());
        key.zeroize();
        files::write_new(&dir.join("card-authority.key"), &key_pem, 0o600)?;
        files::write_new(&dir.join("card-authority.crt"), &certificate_pem, 0o644)?;
        Ok(Self { certificate_pem, key: key_pem })
    }

    /// Opens one.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let certificate_pem = files::read(&dir.join("card-authority.crt"))?;
        Ok(Self { certificate_pem, key: files::read_private(&dir.join("card-authority.key"))? })
    }

    /// Its certificate, which a platform has to know.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A card for somebody invented.
    pub fn issue(&self, face: &[String; 5], pin: &str, now: Timestamp) -> Result<SoftCard, Error> {
        let mut params = CertificateParams::default();
        // As on the real card: the certificate for proving oneself names nobody.
        let serial = ca::random_serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, read::hex(&serial).to_uppercase());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        ca::valid_from(&mut params, now, CARD_DAYS)?;
        let (mut key, mut own) = (KeyPair::generate()?, KeyPair::from_pem(&self.key)?);
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, &own)?;
        let certificate = params.signed_by(&key, &issuer)?;
        let face = face.join("\t");
        let plain = Zeroizing::new(key.serialize_der());
        let signer = Identity::from_pem(&self.certificate_pem, &self.key)?;
        let card = SoftCard {
            face_signature: sign(&signer, &face_bytes(certificate.der(), face.as_bytes()))?,
            certificate: certificate.der().to_vec(),
            face,
            key: sealed_key::encrypt_key(&plain, pin, KEY_FILE_ROUNDS)?,
            wrong_pins: 0,
        };
        key.zeroize();
        own.zeroize();
        Ok(card)
    }
}

/// A card that is a file: certificate, face, and the key under the PIN.
#[derive(Clone)]
pub struct SoftCard {
    certificate: Vec<u8>,
    face: String,
    face_signature: Vec<u8>,
    key: Vec<u8>,
    wrong_pins: u32,
}

const FILE_LABEL: &str = "kiban-soft-card-1";

impl SoftCard {
    /// The text of its file: label, certificate, face, its signature, encrypted key, wrong PINs so far.
    pub fn text(&self) -> String {
        let Self { certificate, face, face_signature, key, wrong_pins } = self;
        let parts = [certificate.as_slice(), face.as_bytes(), face_signature, key].map(base64::encode);
        format!("{FILE_LABEL} {} {wrong_pins}\n", parts.join(" "))
    }

    /// The card in a file's text.
    pub fn of_text(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [FILE_LABEL, certificate, face, face_signature, key, wrong_pins] = words[..] else { return None };
        Some(Self {
            certificate: base64::decode(certificate)?,
            face: String::from_utf8(base64::decode(face)?).ok()?,
            face_signature: base64::decode(face_signature)?,
            key: base64::decode(key)?,
            wrong_pins: wrong_pins.parse().ok()?,
        })
    }

    /// Whether too many wrong PINs were tried.
    pub fn is_locked(&self) -> bool {
        self.wrong_pins >= PIN_TRIES
    }

    /// How often a PIN may still be tried.
    pub fn tries_left(&self) -> u32 {
        PIN_TRIES.saturating_sub(self.wrong_pins)
    }

    /// The statement about this card at a terminal. `None`: the PIN is wrong, which the card now knows, or it is locked.
    pub fn state(&mut self, pin: &str, challenge: &str, terminal: &Identity) -> Result<Option<String>, Error> {
        if self.is_locked() {
            return Ok(None);
        }
        let plain = match sealed_key::decrypt_key(&self.key, pin) {
            Ok(plain) => plain,
            Err(Error::Passphrase) => return Ok(self.miss()),
            Err(error) => return Err(error),
        };
        // A wrong PIN may leave bytes that look right and are no key.
        let Ok(mut key) = KeyPair::try_from(plain.as_slice()) else { return Ok(self.miss()) };
        self.wrong_pins = 0;
        let own = terminal.chain.first().ok_or(Error::Certificate("no certificate of the terminal".to_owned()))?;
        let pem = Zeroizing::new(key.serialize_pem());
        key.zeroize();
        let card = Identity::from_pem(&pem::encode(&pem::Pem::new("CERTIFICATE", self.certificate.clone())), &pem)?;
        let signed_by_card = sign(&card, &challenge_bytes(challenge, &read::fingerprint(own)))?;
        let parts = [&self.certificate, self.face.as_bytes(), &self.face_signature, &signed_by_card, own.as_ref()];
        let signed = format!("{LABEL}.{challenge}.{}", parts.map(base64::encode).join("."));
        let signature = sign(terminal, signed.as_bytes())?;
        Ok(Some(format!("{signed}.{}", base64::encode(&signature))))
    }

    fn miss(&mut self) -> Option<String> {
        self.wrong_pins += 1;
        None
    }
}

/// A signature by the key of an identity, of the kind that [`verifies`] expects of it.
pub(crate) fn sign(identity: &Identity, message: &[u8]) -> Result<Vec<u8>, Error> {
    let offered = [
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::ED25519,
        SignatureScheme::RSA_PKCS1_SHA256,
    ];
    let signer = any_supported_type(&identity.key)?.choose_scheme(&offered);
    let signer = signer.ok_or_else(|| Error::Certificate("kind of key not supported".to_owned()))?;
    Ok(signer.sign(message)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ca, tls};
    use kiban_domain::Organization;

    fn now() -> Timestamp {
        "2026-11-22T01:00:00Z".parse().unwrap()
    }

    fn face() -> [String; 5] {
        ["999999", "0000000001", "カクウ ハナコ", "19420408", "2"].map(str::to_owned)
    }

    struct Scene {
        authority: CardAuthority,
        terminal: Identity,
        _folder: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let ca = Ca::init(&folder.path().join("ca"), "見本", now()).unwrap();
            let office = Organization::parse("9970000015").unwrap();
            let issued = ca.issue_client(office, "受付", 30, now()).unwrap();
            let terminal = Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap();
            let authority = CardAuthority::init(&folder.path().join("cards"), now()).unwrap();
            Self { authority, terminal, _folder: folder }
        }

        fn statement(&self) -> String {
            let mut card = self.authority.issue(&face(), "1234", now()).unwrap();
            card.state("1234", "abc", &self.terminal).unwrap().unwrap()
        }

        fn check(&self, text: &str) -> Result<CardReading, CardFault> {
            let der = tls::certificates(self.authority.certificate_pem()).unwrap();
            check_statement(text, &der[0], now())
        }
    }

    #[test]
    fn a_statement_says_whose_card_was_read_where() {
        let scene = Scene::new();
        let reading = scene.check(&format!(" {}\r\n", scene.statement())).unwrap();
        assert_eq!((reading.face, reading.challenge.as_str()), (face(), "abc"));
        assert_eq!(reading.terminal, read::fingerprint(&scene.terminal.chain[0]));
    }

    #[test]
    fn a_statement_with_any_part_of_another_is_refused_and_any_changed_byte_too() {
        let scene = Scene::new();
        let mut other_face = face();
        other_face[1] = "0000000002".to_owned();
        let mut card = scene.authority.issue(&other_face, "9999", now()).unwrap();
        let other = card.state("9999", "def", &Scene::new().terminal).unwrap().unwrap();
        let (ours, theirs) = (scene.statement(), other);
        let (ours, theirs): (Vec<_>, Vec<_>) = (ours.split('.').collect(), theirs.split('.').collect());
        for part in 1..ours.len() {
            let mut mixed = ours.clone();
            mixed[part] = theirs[part];
            assert!(scene.check(&mixed.join(".")).is_err(), "part {part}");
            let mut changed = ours.join(".").into_bytes();
            let at = ours[..part].iter().map(|part| part.len() + 1).sum::<usize>() + ours[part].len() / 2;
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(scene.check(&String::from_utf8(changed).unwrap()).is_err(), "a byte of part {part}");
        }
        for noise in ["", "KC1", "KC1.......", "KC2.a.b.c.d.e.f.g", &"KC1.".repeat(8_000)] {
            assert_eq!(scene.check(noise), Err(CardFault::Form));
        }
    }

    #[test]
    fn a_card_of_another_authority_or_past_its_end_is_refused() {
        let (scene, other) = (Scene::new(), Scene::new());
        assert_eq!(scene.check(&other.statement()), Err(CardFault::Authority));
        let der = tls::certificates(scene.authority.certificate_pem()).unwrap();
        let later = "2031-12-01T00:00:00Z".parse().unwrap();
        assert_eq!(check_statement(&scene.statement(), &der[0], later), Err(CardFault::Period));
    }

    #[test]
    fn three_wrong_pins_lock_a_card_and_its_file_remembers() {
        let scene = Scene::new();
        let card = scene.authority.issue(&face(), "1234", now()).unwrap();
        assert!(!card.text().contains("1234"));
        let mut card = SoftCard::of_text(&card.text()).unwrap();
        assert!(card.state("0000", "abc", &scene.terminal).unwrap().is_none());
        assert!(
            card.state("1234", "abc", &scene.terminal).unwrap().is_some(),
            "the right one counts from the beginning"
        );
        for left in [2, 1, 0] {
            assert!(card.state("0000", "abc", &scene.terminal).unwrap().is_none());
            card = SoftCard::of_text(&card.text()).unwrap();
            assert_eq!(card.tries_left(), left);
        }
        assert!(card.state("1234", "abc", &scene.terminal).unwrap().is_none());
    }
}
